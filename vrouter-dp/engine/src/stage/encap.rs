//! encap: the headers that a packet leaves with.
//!
//! Exits: drop `no-headroom port-blocked vif-down`, else transmitted.
//!
//! To an instance: Ethernet from the gateway MAC with the tag of the interface in the frame. To another PE: Ethernet, IPv4 (TTL
//! 64, DF clear, TOS 0), UDP or GRE, one label with the TTL of the inner packet.

use wire::eth::{Ethernet, TaggedEthernet};
use wire::ipv4::{self, Ipv4};
use wire::mpls::Mpls;
use wire::tcp::Ports;
use wire::udp::Udp;
use wire::{Label, checksum};
use zerocopy::IntoBytes;

use super::lookup::Hop;
use super::{Context, Inner, Step};
use crate::buffer::Buf;
use crate::drops::Drop;
use crate::seam::{Encapsulation, PortId, VifId};
use crate::table::{Adjacency, Tunnel, Vif};
use crate::verdict::Verdict;

#[inline]
pub(crate) fn send<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    hop: &Hop<'_>,
) -> Step<Verdict> {
    match hop {
        Hop::Vif(id, vif) => to_instance(context, packet, *id, vif),
        Hop::Tunnel { tunnel, adjacency, label } => {
            to_tunnel(context, packet, inner, tunnel, adjacency, *label)
        }
    }
}

#[inline]
fn to_instance<B: Buf>(
    context: &Context<'_>,
    packet: &mut B,
    id: VifId,
    vif: &Vif,
) -> Step<Verdict> {
    if !vif.up {
        return Err(Drop::VifDown.into());
    }
    open(context, vif.port)?;
    let frame = packet.prepend(TaggedEthernet::LEN).ok_or(Drop::NoHeadroom)?;
    frame[..TaggedEthernet::LEN].copy_from_slice(vif.header.as_bytes());
    Ok(Verdict::Tx { port: vif.port, vif: Some(id) })
}

#[inline]
fn to_tunnel<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    tunnel: &Tunnel,
    adjacency: &Adjacency,
    label: Label,
) -> Step<Verdict> {
    open(context, adjacency.port)?;
    let outer_len = tunnel.outer_len();
    let (id, source) = match tunnel.encapsulation {
        Encapsulation::MplsOverUdp => {
            (context.ip_ids.next(), source_port(&inner.ip, packet.data()))
        }
        Encapsulation::MplsOverGre => (inner.ip.id(), 0),
    };
    let frame = packet.prepend(Ethernet::LEN + outer_len + Mpls::LEN).ok_or(Drop::NoHeadroom)?;
    let ttl = frame[Ethernet::LEN + outer_len + Mpls::LEN + TTL_OFFSET];
    let (ethernet, outer) = frame.split_at_mut(Ethernet::LEN);
    ethernet.copy_from_slice(adjacency.header.as_bytes());
    // The path's MTU was checked: an IPv4 packet and its outer headers fit 16 bits.
    let length = outer.len() as u16;
    outer[..outer_len].copy_from_slice(&tunnel.header[..outer_len]);
    let (ip, rest) = Ipv4::parse_mut(outer).map_err(|_| Drop::Malformed)?;
    ip.set_total_len(length);
    ip.set_id(id);
    ip.set_checksum(checksum::finish(tunnel.sum + u32::from(length) + u32::from(id)));
    if tunnel.encapsulation == Encapsulation::MplsOverUdp {
        // RFC 7510 3.1: the checksum may be zero over IPv4.
        let (udp, _) = Udp::parse_mut(rest).map_err(|_| Drop::Malformed)?;
        udp.set_source(source);
        udp.set_length(length - Ipv4::LEN as u16);
    }
    let entry = Mpls::bottom(label, ttl);
    outer[outer_len..outer_len + Mpls::LEN].copy_from_slice(entry.as_bytes());
    Ok(Verdict::Tx { port: adjacency.port, vif: None })
}

/// Where the TTL stands in an IPv4 header.
const TTL_OFFSET: usize = 8;

#[inline]
fn open(context: &Context<'_>, port: PortId) -> Step<()> {
    if context.tables.ports.forwards(port) { Ok(()) } else { Err(Drop::PortBlocked.into()) }
}

/// Entropy for the underlay (RFC 7510 3): one port of 49152-65535 per inner flow.
#[inline]
fn source_port(ip: &Ipv4, packet: &[u8]) -> u16 {
    0xc000 | (flow_hash(ip, packet) >> 50) as u16
}

/// A hash of addresses, protocol and ports, its upper bits the best. All fragments of a packet hash alike: without ports, since
/// only the first has them.
#[inline]
fn flow_hash(ip: &Ipv4, packet: &[u8]) -> u64 {
    let ports = if ip.is_fragment() || !has_ports(ip.protocol()) {
        0
    } else {
        packet
            .get(ip.header_len()..)
            .and_then(|l4| Ports::parse(l4).ok())
            .map_or(0, |(p, _)| p.both())
    };
    let addresses = u64::from(ip.source().to_bits()) << 32 | u64::from(ip.destination().to_bits());
    let rest = u64::from(ports) << 8 | u64::from(ip.protocol());
    // Two multiplications by odd constants with a fold between: each input bit reaches the upper half.
    let mixed = (addresses ^ rest.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32) ^ rest).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[inline]
const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::TCP | ipv4::UDP | ipv4::SCTP)
}
