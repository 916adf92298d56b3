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
    let Some(header) = packet.first_chunk::<{ Ipv4::LEN }>() else { return 0 };
    let protocol = header[9];
    // Neither "more fragments" nor an offset.
    let whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
    let ports = match header[0] {
        _ if !whole || !has_ports(protocol) => 0,
        // Nearly all: no options.
        0x45 => packet.get(Ipv4::LEN..).map_or(0, ports),
        first => packet.get(usize::from(first & 0x0f) * 4..).map_or(0, ports),
    };
    let [.., a, b, c, d, e, f, g, h] = *header;
    let addresses = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    mix(addresses, ports | u64::from(protocol) << 32)
}

/// Addresses, next header and ports; behind extension headers, a fragment header too, the flow label instead of ports.
#[inline(always)]
pub(crate) fn v6(packet: &[u8]) -> u64 {
    let Ok((ip, rest)) = Ipv6::parse(packet) else { return 0 };
    let protocol = ip.next_header();
    // RFC 6438 3: the flow label stands for what cannot be reached.
    let rest = if has_ports(protocol) { ports(rest) } else { u64::from(ip.flow_label()) };
    let both = ip.source() ^ ip.destination().rotate_left(7);
    let addresses = (both >> 64) as u64 ^ (both as u64).rotate_left(23);
    mix(addresses, rest | u64::from(protocol) << 32)
}

/// Two multiplications by odd constants with a fold between: each input bit reaches the upper half.
#[inline(always)]
fn mix(addresses: u64, rest: u64) -> u64 {
    let mixed = (addresses ^ rest.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32) ^ rest).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[inline(always)]
fn ports(transport: &[u8]) -> u64 {
    // In any byte order: it is only a hash.
    transport.first_chunk().map_or(0, |ports| u32::from_ne_bytes(*ports).into())
}

#[inline(always)]
const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::TCP | ipv4::UDP | ipv4::SCTP)
}
