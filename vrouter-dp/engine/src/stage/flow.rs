//! A hash over the flow that a packet belongs to: it chooses the path of a group, and the source port of a tunnel.

use wire::ipv4::{self, Ipv4};
use wire::ipv6::Ipv6;

use super::Family;

/// Of a packet that was checked, with anything behind it. Its upper bits are the best.
pub(crate) fn hash(packet: &[u8], family: Family) -> u64 {
    match family {
        Family::V4 => v4(packet),
        Family::V6 => v6(packet),
    }
}

/// Addresses, protocol and ports. All fragments of a packet hash alike: without ports, since only the first has them.
#[inline(always)]
pub(crate) fn v4(packet: &[u8]) -> u64 {
    let Some(head) = packet.first_chunk::<{ Ipv4::LEN + 4 }>() else { return unusual_v4(packet) };
    let protocol = head[9];
    // Without options, and neither "more fragments" nor an offset: nearly all, seen at a glance.
    const LOOK: u64 = u64::from_ne_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);
    const USUAL: u64 = u64::from_ne_bytes([0x45, 0, 0, 0, 0, 0, 0, 0]);
    if head.first_chunk().map(|look| u64::from_ne_bytes(*look) & LOOK) != Some(USUAL) {
        return unusual_v4(packet);
    }
    let [.., a, b, c, d] = *head;
    let ports = u32::from_ne_bytes([a, b, c, d]) & PORTS[usize::from(protocol)];
    mix(addresses(head), u64::from(ports) | u64::from(protocol) << 32)
}

/// As [`v4`], of a packet with options, a fragment, or one that is too short for ports.
#[cold]
fn unusual_v4(packet: &[u8]) -> u64 {
    let Some(header) = packet.first_chunk::<{ Ipv4::LEN }>() else { return 0 };
    let protocol = header[9];
    let whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
    let ports = if whole && has_ports(protocol) {
        packet.get(usize::from(header[0] & 0x0f) * 4..).map_or(0, ports)
    } else {
        0
    };
    mix(addresses(header), ports | u64::from(protocol) << 32)
}

/// Both addresses of a header.
#[inline(always)]
fn addresses<const LEN: usize>(header: &[u8; LEN]) -> u64 {
    header[12..].first_chunk().map_or(0, |addresses| u64::from_ne_bytes(*addresses))
}

/// Addresses, next header and ports; behind extension headers, a fragment header too, the flow label instead of ports.
#[inline(always)]
pub(crate) fn v6(packet: &[u8]) -> u64 {
    let Ok((ip, rest)) = Ipv6::parse(packet) else { return 0 };
    let protocol = ip.next_header();
    // RFC 6438 3: the flow label stands for what cannot be reached.
    let rest =
        if PORTS[usize::from(protocol)] != 0 { ports(rest) } else { u64::from(ip.flow_label()) };
    let both = ip.source() ^ ip.destination().rotate_left(7);
    let addresses = (both >> 64) as u64 ^ (both as u64).rotate_left(23);
    mix(addresses, rest | u64::from(protocol) << 32)
}

/// Both halves of a product: each input bit reaches all of it.
#[inline(always)]
fn mix(addresses: u64, rest: u64) -> u64 {
    let product =
        u128::from(addresses ^ 0x9e37_79b9_7f4a_7c15) * u128::from(rest ^ 0xd6e8_feb8_6659_fd93);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn ports(transport: &[u8]) -> u64 {
    // In any byte order: it is only a hash.
    transport.first_chunk().map_or(0, |ports| u32::from_ne_bytes(*ports).into())
}

const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::TCP | ipv4::UDP | ipv4::SCTP)
}

/// By protocol: all bits if ports follow, else none.
static PORTS: [u32; 256] = {
    let mut masks = [0; 256];
    let mut protocol = 0;
    while protocol < masks.len() {
        masks[protocol] = if has_ports(protocol as u8) { u32::MAX } else { 0 };
        protocol += 1;
    }
    masks
};
