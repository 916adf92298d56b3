//! Tables and frames for a run: one gateway port, one fabric port, two instances, routes into one tunnel.

use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::seam::{
    Encapsulation, LabelTarget, Nexthop, NexthopId, PortId, Refusal, TunnelId, VifId, VrfId,
};
use engine::table::{AdjacencyId, Port, PortRole, Tables, TablesWriter};
use ipnet::Ipv4Net;
use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::gre::Gre;
use wire::ipv4::{self, Ipv4};
use wire::mpls::Mpls;
use wire::udp::{self, Udp};
use wire::{Label, Mac, VlanId};
use zerocopy::IntoBytes;

pub const FABRIC: PortId = PortId(0);
pub const GATEWAY: PortId = PortId(1);

const VRF: VrfId = VrfId(1);
const VIF: VifId = VifId(1);
const FABRIC_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const HOST_MAC: Mac = Mac([0x52, 0x54, 0, 0, 1, 7]);
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);
const VLAN: VlanId = VlanId::MIN;
/// The second instance.
const OTHER_VIF: VifId = VifId(2);
const OTHER_MAC: Mac = Mac([0x52, 0x54, 0, 0, 1, 8]);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 8);
const OTHER_VLAN: VlanId = VlanId::MAX;

/// What a run forwards.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub encapsulation: Encapsulation,
    /// Bytes of the frame from the instance, without FCS.
    pub frame: usize,
    /// Routes into the tunnel, and as many flows.
    pub routes: u32,
}

/// The tables of a profile.
pub fn tables(profile: &Profile) -> Result<(Arc<Tables>, TablesWriter), Refusal> {
    let (tables, mut writer) = Tables::new(1);
    writer.port_set(FABRIC, Port { role: PortRole::Fabric, mac: FABRIC_MAC, mtu: 9000 })?;
    writer.port_set(GATEWAY, Port { role: PortRole::Gateway, mac: FABRIC_MAC, mtu: 9000 })?;
    writer.tunnel_address_set(LOCAL);
    writer.adjacency_set(AdjacencyId(0), FABRIC, Some(PEER_MAC))?;
    writer.tunnel_set(TunnelId(1), REMOTE, profile.encapsulation)?;
    writer.tunnel_via(TunnelId(1), Some(AdjacencyId(0)))?;
    writer.vrf_set(VRF)?;
    writer.vif_set(VIF, GATEWAY, VLAN, VRF, HOST_MAC)?;
    writer.vif_address_set(VIF, HOST)?;
    writer.nexthop_set(NexthopId(1), Nexthop::Vif(VIF))?;
    writer.route_set(VRF, Ipv4Net::from(HOST), NexthopId(1))?;
    writer.vif_set(OTHER_VIF, GATEWAY, OTHER_VLAN, VRF, OTHER_MAC)?;
    writer.vif_address_set(OTHER_VIF, OTHER)?;
    writer.nexthop_set(NexthopId(3), Nexthop::Vif(OTHER_VIF))?;
    writer.route_set(VRF, Ipv4Net::from(OTHER), NexthopId(3))?;
    writer.nexthop_set(NexthopId(2), Nexthop::Tunnel { tunnel: TunnelId(1), label: label() })?;
    for route in 0..profile.routes {
        writer.route_set(VRF, slash24(destination(route)), NexthopId(2))?;
    }
    writer.label_set(label(), LabelTarget::Vrf(VRF))?;
    Ok((tables, writer))
}

fn slash24(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new_assert(address, 24).trunc()
}

fn label() -> Label {
    Label::MIN
}

fn destination(flow: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 1).to_bits() + (flow << 8))
}

/// A frame from the instance into the tunnel.
pub fn outbound(profile: &Profile, flow: u32) -> Vec<u8> {
    let packet = packet(HOST, destination(flow), profile.frame - TaggedEthernet::LEN, flow);
    let header = TaggedEthernet::new(Mac::GATEWAY, HOST_MAC, VLAN, eth::IPV4);
    [header.as_bytes(), &packet].concat()
}

/// A frame from the instance to the other one.
pub fn across(profile: &Profile, flow: u32) -> Vec<u8> {
    let packet = packet(HOST, OTHER, profile.frame - TaggedEthernet::LEN, flow);
    let header = TaggedEthernet::new(Mac::GATEWAY, HOST_MAC, VLAN, eth::IPV4);
    [header.as_bytes(), &packet].concat()
}

/// A frame from the tunnel to the instance, with the same packet inside.
pub fn inbound(profile: &Profile, flow: u32) -> Vec<u8> {
    let packet = packet(destination(flow), HOST, profile.frame - TaggedEthernet::LEN, flow);
    let label = Mpls::bottom(label(), 64);
    let middle = match profile.encapsulation {
        Encapsulation::MplsOverUdp => {
            let payload = (Mpls::LEN + packet.len()) as u16;
            Udp::new(49152 + (flow % 16384) as u16, udp::MPLS, payload).as_bytes().to_vec()
        }
        Encapsulation::MplsOverGre => Gre::new(eth::MPLS).as_bytes().to_vec(),
    };
    let protocol = match profile.encapsulation {
        Encapsulation::MplsOverUdp => ipv4::UDP,
        Encapsulation::MplsOverGre => ipv4::GRE,
    };
    let total = Ipv4::LEN + middle.len() + Mpls::LEN + packet.len();
    let mut outer = Ipv4::new(REMOTE, LOCAL, protocol, total as u16);
    outer.fill_checksum();
    let header = Ethernet::new(FABRIC_MAC, PEER_MAC, eth::IPV4);
    [header.as_bytes(), outer.as_bytes(), &middle, label.as_bytes(), &packet].concat()
}

fn packet(source: Ipv4Addr, destination: Ipv4Addr, length: usize, flow: u32) -> Vec<u8> {
    let mut ip = Ipv4::new(source, destination, ipv4::UDP, length as u16);
    ip.fill_checksum();
    let udp = Udp::new(1024 + (flow % 60_000) as u16, 53, (length - Ipv4::LEN - Udp::LEN) as u16);
    let mut packet = [ip.as_bytes(), udp.as_bytes()].concat();
    packet.resize(length, 0xa5);
    packet
}
