//! encap: the headers that a packet leaves with.
//!
//! Exits: drop `no-headroom port-blocked vif-down`, else transmitted.
//!
//! To an instance: Ethernet from the gateway MAC with the tag of the interface in the frame. To another PE: Ethernet, IPv4 (TTL
//! 64, DF clear, TOS 0), UDP or GRE, one label with the TTL of the inner packet.

use wire::Label;
use wire::checksum;
use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::gre::Gre;
use wire::ipv4::{self, Fields, Ipv4};
use wire::mpls::Mpls;
use wire::tcp::Ports;
use wire::udp::{self, Udp};
use zerocopy::transmute;

use super::lookup::Way;
use super::{Context, Inner, Sent, Step};
use crate::buffer::Buf;
use crate::drops::Drop;
use crate::fault::{self, Fault};
use crate::seam::{Encapsulation, PortId, VifId};
use crate::table::Vif;

/// To another PE.
#[inline(always)]
pub(crate) fn to_tunnel<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    way: &Way<'_>,
) -> Step<Sent> {
    let port = way.adjacency.port;
    open(context, port)?;
    match way.tunnel.encapsulation {
        Encapsulation::MplsOverUdp => {
            let id = context.ip_ids.next();
            let source = source_port(&inner.ip, inner.start, packet.data());
            // RFC 7510 3.1: the checksum may be zero over IPv4.
            let udp = Udp::new(source, udp::MPLS, inner.ip.total_len + Mpls::LEN as u16);
            over::<B, { Udp::LEN }, OVER_UDP>(packet, inner, way, id, transmute!(udp))?;
        }
        Encapsulation::MplsOverGre => {
            let gre = Gre::new(eth::MPLS);
            over::<B, { Gre::LEN }, OVER_GRE>(packet, inner, way, inner.ip.id, transmute!(gre))?;
        }
    }
    Ok(Sent { port, vif: None })
}

/// To an instance of this node.
#[inline(always)]
pub(crate) fn to_instance<B: Buf>(
    context: &Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    id: VifId,
    vif: &Vif,
) -> Step<Sent> {
    if !vif.up {
        return Err(Drop::VifDown.into());
    }
    open(context, vif.port)?;
    let frame = reframe::<B, { TaggedEthernet::LEN + Ipv4::LEN }>(packet, inner)?;
    let (ethernet, rest) = TaggedEthernet::parse_mut(frame).map_err(|_| Drop::Malformed)?;
    *ethernet = vif.header;
    rewritten(rest, inner)?;
    Ok(Sent { port: vif.port, vif: Some(id) })
}

/// Bytes from the start of a frame to another PE up to and with the fixed header of the packet in it.
const OVER_UDP: usize = OVER_IP + Udp::LEN;
const OVER_GRE: usize = OVER_IP + Gre::LEN;
const OVER_IP: usize = Ethernet::LEN + Ipv4::LEN + Mpls::LEN + Ipv4::LEN;

#[inline(always)]
fn over<B: Buf, const MIDDLE: usize, const HEAD: usize>(
    packet: &mut B,
    inner: &Inner<'_>,
    way: &Way<'_>,
    id: u16,
    middle: [u8; MIDDLE],
) -> Step<()> {
    let Way { tunnel, adjacency, label } = way;
    // All lengths are constants: every check below but the first is decided at compile time.
    let frame = reframe::<B, HEAD>(packet, inner)?;
    let (ethernet, rest) = Ethernet::parse_mut(frame).map_err(|_| Drop::Malformed)?;
    let (ip, rest) = Ipv4::parse_mut(rest).map_err(|_| Drop::Malformed)?;
    let (between, rest) = rest.split_first_chunk_mut().ok_or(Drop::Malformed)?;
    let (entry, rest) = Mpls::parse_mut(rest).map_err(|_| Drop::Malformed)?;
    // The path's MTU was checked: an IPv4 packet and its outer headers fit 16 bits.
    let length = inner.ip.total_len + (HEAD - Ethernet::LEN - Ipv4::LEN) as u16;
    *ethernet = adjacency.header;
    *ip = tunnel.header;
    ip.set_total_len(length);
    ip.set_id(id);
    let wrong = u32::from(fault::is(Fault::WrongChecksum));
    ip.set_checksum(checksum::finish(tunnel.sum + u32::from(length) + u32::from(id) + wrong));
    *between = middle;
    let label = if fault::is(Fault::WrongLabel) { Label::MAX } else { *label };
    *entry = Mpls::bottom(label, inner.ip.ttl);
    rewritten(rest, inner)
}

/// Makes room for the headers of a frame of which the first `HEAD` bytes, the fixed header of the packet the last of them, are
/// returned; all around the packet is gone.
#[inline(always)]
fn reframe<'p, B: Buf, const HEAD: usize>(
    packet: &'p mut B,
    inner: &Inner<'_>,
) -> Step<&'p mut [u8; HEAD]> {
    let length = usize::from(inner.ip.total_len);
    let frame = packet.reframe(inner.start, length, HEAD - Ipv4::LEN).ok_or(Drop::NoHeadroom)?;
    Ok(frame.first_chunk_mut().ok_or(Drop::Malformed)?)
}

/// Writes what rewrite changed.
#[inline(always)]
fn rewritten(header: &mut [u8], inner: &Inner<'_>) -> Step<()> {
    let (ip, _) = Ipv4::parse_mut(header).map_err(|_| Drop::Malformed)?;
    ip.set_ttl(inner.ip.ttl);
    ip.set_checksum(inner.ip.checksum);
    Ok(())
}

#[inline]
fn open(context: &Context<'_>, port: PortId) -> Step<()> {
    if context.tables.ports.forwards(port) { Ok(()) } else { Err(Drop::PortBlocked.into()) }
}

/// Entropy for the underlay (RFC 7510 3): one port of 49152-65535 per inner flow.
#[inline(always)]
fn source_port(ip: &Fields, start: usize, frame: &[u8]) -> u16 {
    0xc000 | (flow_hash(ip, start, frame) >> 50) as u16
}

/// A hash of addresses, protocol and ports, its upper bits the best. All fragments of a packet hash alike: without ports, since
/// only the first has them.
#[inline(always)]
fn flow_hash(ip: &Fields, start: usize, frame: &[u8]) -> u64 {
    let l4 = usize::from(ip.header_len);
    let whole = !ip.is_fragment() && usize::from(ip.total_len) >= l4 + Ports::LEN;
    let ports = if whole && has_ports(ip.protocol) {
        let bytes = frame.get(start + l4..).and_then(|l4| Ports::parse(l4).ok());
        bytes.map_or(0, |(ports, _)| ports.both())
    } else {
        0
    };
    let rest = u64::from(ports) << 8 | u64::from(ip.protocol);
    // Two multiplications by odd constants with a fold between: each input bit reaches the upper half.
    let addresses = u64::from(ip.source) << 32 | u64::from(ip.destination);
    let mixed = (addresses ^ rest.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32) ^ rest).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[inline]
const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::TCP | ipv4::UDP | ipv4::SCTP)
}
