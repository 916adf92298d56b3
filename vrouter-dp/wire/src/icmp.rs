//! ICMP (RFC 792): the messages that a gateway answers with.
//!
//! The builders write a whole IPv4 packet, so that its reader need only route it.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ipv4::{self, Ipv4};
use crate::{Malformed, checksum, fixed_header};

/// Answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable; code 4 is "fragmentation needed and DF set".
pub const UNREACHABLE: u8 = 3;
/// Echo request.
pub const ECHO: u8 = 8;
/// Time exceeded; code 0 is "in transit".
pub const TIME_EXCEEDED: u8 = 11;

const FRAGMENTATION_NEEDED: u8 = 4;

/// Bytes that an error quotes at most, so that the whole packet has 576 (RFC 1812 4.3.2.3).
pub const QUOTE: usize = 576 - Ipv4::LEN - Icmp::LEN;

/// The ICMP header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Icmp {
    kind: u8,
    code: u8,
    checksum: U16,
    rest: U32,
}

fixed_header!(Icmp, 8);

impl Icmp {
    /// Type of the message.
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Code within the type.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// The four bytes whose meaning depends on the type: identifier and sequence, or next-hop MTU.
    pub const fn rest(&self) -> u32 {
        self.rest.get()
    }
}

/// Whether a router may answer `packet`, a checked IPv4 packet that came in by unicast, with an ICMP error.
///
/// RFC 1812 4.3.2.7: not about ICMP errors (any type that is not a known query), not about a packet to a group, not about
/// a later fragment, and not to a source that is no single host.
pub fn error_allowed(packet: &[u8]) -> bool {
    let Ok((ip, _)) = Ipv4::parse(packet) else { return false };
    if ip.is_later_fragment() || !is_host(ip.source()) || is_group(ip.destination()) {
        return false;
    }
    // Echo, timestamp, information and address mask, each request and reply.
    let query = |kind: &u8| matches!(kind, 0 | 8 | 13..=18);
    ip.protocol() != ipv4::ICMP || packet.get(ip.header_len()).is_some_and(query)
}

/// Whether an address can be that of one host: not 0/8, loopback, multicast, reserved or broadcast (RFC 1812 5.3.7).
pub const fn is_host(address: Ipv4Addr) -> bool {
    host_bits(address.to_bits())
}

/// As [`is_host`], of an address in host order.
#[inline]
pub const fn host_bits(address: u32) -> bool {
    let network = address >> 24;
    // 1 to 223, as one comparison.
    network.wrapping_sub(1) < 223 && network != 127
}

const fn is_group(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 224
}

/// The answer to an echo request, a whole checked IPv4 packet: its addresses swapped, TTL 64, its data unchanged.
///
/// `Version` if it is no echo request, `Length` if it is a fragment, `Checksum` if its ICMP checksum is wrong.
/// Options are not returned.
pub fn echo_reply(request: &[u8]) -> Result<Vec<u8>, Malformed> {
    let ip = Ipv4::checked(request)?;
    if ip.protocol() != ipv4::ICMP {
        return Err(Malformed::Version);
    }
    if ip.is_fragment() {
        return Err(Malformed::Length);
    }
    let message = &request[ip.header_len()..usize::from(ip.total_len())];
    let (icmp, data) = Icmp::parse(message)?;
    if icmp.kind != ECHO || icmp.code != 0 {
        return Err(Malformed::Version);
    }
    if !checksum::verifies(message) {
        return Err(Malformed::Checksum);
    }
    Ok(build(ip.destination(), ip.source(), ip.tos(), ECHO_REPLY, 0, icmp.rest(), data))
}

/// "Time to live exceeded in transit" about `offending`, an IPv4 packet or its beginning, sent by `source`.
pub fn time_exceeded(source: Ipv4Addr, offending: &[u8]) -> Result<Vec<u8>, Malformed> {
    error(source, offending, TIME_EXCEEDED, 0, 0)
}

/// "Fragmentation needed and DF set" (RFC 1191) about `offending`; `mtu` is the largest packet that would have passed, in bytes.
pub fn fragmentation_needed(
    source: Ipv4Addr,
    offending: &[u8],
    mtu: u16,
) -> Result<Vec<u8>, Malformed> {
    error(source, offending, UNREACHABLE, FRAGMENTATION_NEEDED, u32::from(mtu))
}

fn error(
    source: Ipv4Addr,
    offending: &[u8],
    kind: u8,
    code: u8,
    rest: u32,
) -> Result<Vec<u8>, Malformed> {
    let (ip, _) = Ipv4::parse(offending)?;
    let quote = &offending[..offending.len().min(QUOTE).min(usize::from(ip.total_len()))];
    // RFC 1812 4.3.2.5: precedence 6, internetwork control.
    Ok(build(source, ip.source(), 0xc0, kind, code, rest, quote))
}

fn build(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    tos: u8,
    kind: u8,
    code: u8,
    rest: u32,
    data: &[u8],
) -> Vec<u8> {
    let length = Ipv4::LEN + Icmp::LEN + data.len();
    let mut ip = Ipv4::new(source, destination, ipv4::ICMP, length as u16);
    ip.set_tos(tos);
    ip.fill_checksum();
    let mut icmp = Icmp { kind, code, checksum: U16::new(0), rest: U32::new(rest) };
    icmp.checksum =
        U16::new(checksum::finish(checksum::sum(icmp.as_bytes()) + checksum::sum(data)));
    let mut packet = Vec::with_capacity(length);
    packet.extend_from_slice(ip.as_bytes());
    packet.extend_from_slice(icmp.as_bytes());
    packet.extend_from_slice(data);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Ipv4Packet};

    const A: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);
    const B: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

    fn echo() -> Vec<u8> {
        build(A, B, 0, ECHO, 0, 0x1234_0001, b"abcdefg")
    }

    #[test]
    fn echo_reply_as_smoltcp_reads_it() {
        let reply = echo_reply(&echo()).unwrap();
        let ip = Ipv4Packet::new_checked(&reply[..]).unwrap();
        assert!(ip.verify_checksum());
        assert_eq!((ip.src_addr(), ip.dst_addr(), ip.hop_limit()), (B, A, 64));
        let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        assert!(icmp.verify_checksum());
        assert_eq!((icmp.msg_type(), icmp.msg_code()), (Icmpv4Message::EchoReply, 0));
        assert_eq!((icmp.echo_ident(), icmp.echo_seq_no()), (0x1234, 1));
        assert_eq!(icmp.data(), b"abcdefg");
    }

    #[test]
    fn no_reply_to_what_is_no_request() {
        let reply = echo_reply(&echo()).unwrap();
        assert_eq!(echo_reply(&reply), Err(Malformed::Version));
        let mut bad = echo();
        bad[30] ^= 1;
        assert_eq!(echo_reply(&bad), Err(Malformed::Checksum));
    }

    #[test]
    fn errors_as_smoltcp_reads_them() {
        let mut offending = echo();
        offending.resize(900, 7);
        offending[2..4].copy_from_slice(&900u16.to_be_bytes());
        for (error, kind, code, rest) in [
            (time_exceeded(B, &offending), Icmpv4Message::TimeExceeded, 0, 0),
            (fragmentation_needed(B, &offending, 1468), Icmpv4Message::DstUnreachable, 4, 1468),
        ] {
            let error = error.unwrap();
            assert_eq!(error.len(), 576);
            let ip = Ipv4Packet::new_checked(&error[..]).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!((ip.src_addr(), ip.dst_addr(), ip.dscp()), (B, A, 48));
            let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
            assert!(icmp.verify_checksum());
            assert_eq!((icmp.msg_type(), icmp.msg_code()), (kind, code));
            assert_eq!(Icmp::parse(ip.payload()).unwrap().0.rest(), rest);
            assert_eq!(&ip.payload()[8..], &offending[..QUOTE]);
        }
    }

    #[test]
    fn who_gets_no_error() {
        assert!(error_allowed(&echo()));
        let error = time_exceeded(B, &echo()).unwrap();
        assert!(!error_allowed(&error));
        let with = |at: usize, value: u8| {
            let mut packet = echo();
            packet[at] = value;
            error_allowed(&packet)
        };
        assert!(!with(7, 1), "later fragment");
        assert!(with(6, 0x20), "first fragment");
        for octet in [0, 127, 224, 255] {
            assert!(!with(12, octet), "source {octet}");
        }
        assert!(!with(16, 239), "group");
        assert!(!with(20, 42), "unknown ICMP type");
        assert!(with(9, 17), "UDP");
        assert!(!error_allowed(&echo()[..20]));
        assert!(!error_allowed(&[]));
    }
}
