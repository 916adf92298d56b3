//! Frames for the other tests, of plain bytes.

use std::net::Ipv4Addr;

use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::mpls::Mpls;
use wire::udp::Udp;
use wire::{Label, Mac, VlanId};
use zerocopy::IntoBytes;

use crate::lab::FABRIC_MAC;

pub const A: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);
pub const B: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 8);
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 9);
pub const A_MAC: Mac = Mac([0x52, 0x54, 0, 0, 1, 7]);
pub const B_MAC: Mac = Mac([0x52, 0x54, 0, 0, 1, 8]);
pub const C: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 9);
pub const C_MAC: Mac = Mac([0x52, 0x54, 0, 0, 1, 9]);
pub const PE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub const A6: &str = "2001:db8:1::7";
pub const B6: &str = "2001:db8:1::8";
pub const FAR6: &str = "2001:db8:9::9";
pub const GATEWAY6: &str = "2001:db8:1::1";

pub fn vlan(id: u16) -> VlanId {
    VlanId::new(id).unwrap()
}

/// A UDP packet of `total` bytes; `change` before the checksum is made.
pub fn packet(from: Ipv4Addr, to: Ipv4Addr, total: u16, change: impl FnOnce(&mut Ipv4)) -> Vec<u8> {
    let mut ip = Ipv4::new(from, to, ipv4::UDP, total);
    change(&mut ip);
    ip.fill_checksum();
    let mut bytes = ip.as_bytes().to_vec();
    bytes.extend_from_slice(Udp::new(4096, 8192, total.saturating_sub(28)).as_bytes());
    bytes.resize(total.into(), 0x5a);
    bytes
}

pub fn ping(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut ip = Ipv4::new(from, to, ipv4::ICMP, 28);
    ip.fill_checksum();
    let mut bytes = ip.as_bytes().to_vec();
    bytes.extend_from_slice(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    bytes
}

pub fn plain(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Ethernet::new(to, from, ethertype).as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

pub fn tagged(to: Mac, from: Mac, id: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = TaggedEthernet::new(to, from, vlan(id), ethertype).as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// From instance A (vif 1) to its gateway.
pub fn from_a(payload: &[u8]) -> Vec<u8> {
    tagged(Mac::GATEWAY, A_MAC, 107, eth::IPV4, payload)
}

/// An outer IPv4 packet to us.
pub fn outer(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
    change: impl FnOnce(&mut Ipv4),
) -> Vec<u8> {
    let mut ip = Ipv4::new(from, to, protocol, (20 + payload.len()) as u16);
    change(&mut ip);
    ip.fill_checksum();
    let mut bytes = ip.as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    plain(FABRIC_MAC, Mac([2, 0, 0, 0, 0, 9]), eth::IPV4, &bytes)
}

pub fn labelled(label: u32, ttl: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = Mpls::bottom(Label::new(label).unwrap(), ttl).as_bytes().to_vec();
    bytes.extend_from_slice(inner);
    bytes
}

pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Udp::new(50_000, port, payload.len() as u16).as_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// MPLSoUDP from the PE, with this label and inner packet.
pub fn from_pe(label: u32, inner: &[u8]) -> Vec<u8> {
    outer(PE, US, ipv4::UDP, &udp(6635, &labelled(label, 60, inner)), |_| {})
}

/// An IPv6 UDP packet with `payload` bytes behind its UDP header; `change` at last.
pub fn packet6(from: &str, to: &str, payload: u16, change: impl FnOnce(&mut Ipv6)) -> Vec<u8> {
    let mut ip =
        Ipv6::new(from.parse().unwrap(), to.parse().unwrap(), ipv4::UDP, Udp::LEN as u16 + payload);
    change(&mut ip);
    let mut bytes = ip.as_bytes().to_vec();
    bytes.extend_from_slice(Udp::new(4096, 8192, payload).as_bytes());
    bytes.resize(bytes.len() + usize::from(payload), 0x5a);
    bytes
}

/// A neighbour solicitation of instance A for its gateway.
pub fn solicitation(to: Mac, target: &str) -> Vec<u8> {
    let mut ip = Ipv6::new(A6.parse().unwrap(), target.parse().unwrap(), ipv6::ICMP, 24);
    ip.set_hop_limit(255);
    let mut bytes = ip.as_bytes().to_vec();
    bytes.extend_from_slice(&[135, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&GATEWAY6.parse::<std::net::Ipv6Addr>().unwrap().octets());
    tagged(to, A_MAC, 107, eth::IPV6, &bytes)
}

/// From instance A (vif 1) to its gateway.
pub fn from_a6(payload: &[u8]) -> Vec<u8> {
    tagged(Mac::GATEWAY, A_MAC, 107, eth::IPV6, payload)
}
