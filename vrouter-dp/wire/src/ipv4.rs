//! The IPv4 header (RFC 791), checked as RFC 1812 5.2.2 demands.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, checksum, fixed_header};

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of GRE.
pub const GRE: u8 = 47;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// The fixed part of the IPv4 header: 20 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    total_length: U16,
    id: U16,
    flags_offset: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

fixed_header!(Ipv4, 20);

/// The fields by which a router decides, as numbers in host order: they stay in registers where a copy of the header would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Bytes of the packet, header included.
    pub total_len: u16,
    flags_offset: u16,
    /// What follows the header.
    pub protocol: u8,
    /// Bytes of the header with options.
    pub header_len: u8,
}

impl Fields {
    /// As [`Ipv4::is_fragment`].
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.flags_offset & (MORE_FRAGMENTS | OFFSET) != 0
    }
}

impl Ipv4 {
    /// The header at the front of `packet` if it passes RFC 1812 5.2.2; `packet` may have padding behind its end.
    #[inline]
    pub fn checked(packet: &[u8]) -> Result<&Ipv4, Malformed> {
        // RFC 1812 5.2.2 (1): the link layer holds at least a minimum header.
        let (ip, _) = Ipv4::parse(packet)?;
        // Nearly all: version 4, no options.
        if let (0x45, Some(header)) = (ip.version_ihl, packet.first_chunk()) {
            let total = usize::from(ip.total_len());
            if total < Ipv4::LEN || total > packet.len() {
                return Err(Malformed::Length);
            }
            return if checksum::verifies_20(header) { Ok(ip) } else { Err(Malformed::Checksum) };
        }
        Ipv4::checked_with_options(packet)
    }

    #[cold]
    fn checked_with_options(packet: &[u8]) -> Result<&Ipv4, Malformed> {
        let (ip, _) = Ipv4::parse(packet)?;
        // (3): version 4.
        if ip.version_ihl >> 4 != 4 {
            return Err(Malformed::Version);
        }
        // (4): header length at least 20. (5): total length covers the header, and the link layer covers it.
        let header = ip.header_len();
        let total = usize::from(ip.total_len());
        if header < Ipv4::LEN || total < header || total > packet.len() {
            return Err(Malformed::Length);
        }
        // (2): checksum.
        if checksum::verifies(&packet[..header]) { Ok(ip) } else { Err(Malformed::Checksum) }
    }

    /// A header without options, DF clear, TTL 64, checksum not yet filled in. `total_length` in bytes.
    pub const fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        total_length: u16,
    ) -> Ipv4 {
        Ipv4 {
            version_ihl: 0x45,
            tos: 0,
            total_length: U16::new(total_length),
            id: U16::new(0),
            flags_offset: U16::new(0),
            ttl: 64,
            protocol,
            checksum: U16::new(0),
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// Bytes of the header with options: 0, 4, ... 60.
    #[inline]
    pub const fn header_len(&self) -> usize {
        (self.version_ihl & 0x0f) as usize * 4
    }

    /// Bytes of the packet, header included.
    #[inline]
    pub const fn total_len(&self) -> u16 {
        self.total_length.get()
    }

    /// Type of service: DSCP and ECN.
    #[inline]
    pub const fn tos(&self) -> u8 {
        self.tos
    }

    /// Identification.
    #[inline]
    pub const fn id(&self) -> u16 {
        self.id.get()
    }

    /// Whether routers may not fragment it.
    #[inline]
    pub const fn dont_fragment(&self) -> bool {
        self.flags_offset.get() & DONT_FRAGMENT != 0
    }

    /// Whether it is a part of a packet: more fragments follow, or it does not start at 0.
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.flags_offset.get() & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Whether it is a part other than the first, so that no transport header follows.
    #[inline]
    pub const fn is_later_fragment(&self) -> bool {
        self.flags_offset.get() & OFFSET != 0
    }

    /// Time to live.
    #[inline]
    pub const fn ttl(&self) -> u8 {
        self.ttl
    }

    /// What follows the header.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Header checksum as it stands.
    #[inline]
    pub const fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Source address.
    #[inline]
    pub const fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(self.source)
    }

    /// Its fields in host order.
    #[inline]
    pub const fn fields(&self) -> Fields {
        Fields {
            source: u32::from_be_bytes(self.source),
            destination: u32::from_be_bytes(self.destination),
            total_len: self.total_length.get(),
            flags_offset: self.flags_offset.get(),
            protocol: self.protocol,
            header_len: self.header_len() as u8,
        }
    }

    /// Destination address.
    #[inline]
    pub const fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(self.destination)
    }

    /// Sets the length of the packet in bytes.
    #[inline]
    pub const fn set_total_len(&mut self, length: u16) {
        self.total_length = U16::new(length);
    }

    /// Sets the type of service without touching the checksum.
    pub const fn set_tos(&mut self, tos: u8) {
        self.tos = tos;
    }

    /// Sets the identification.
    #[inline]
    pub const fn set_id(&mut self, id: u16) {
        self.id = U16::new(id);
    }

    /// Sets the time to live without touching the checksum.
    #[inline]
    pub const fn set_ttl(&mut self, ttl: u8) {
        self.ttl = ttl;
    }

    /// Sets or clears "don't fragment".
    pub const fn set_dont_fragment(&mut self, set: bool) {
        let others = self.flags_offset.get() & !DONT_FRAGMENT;
        self.flags_offset = U16::new(if set { others | DONT_FRAGMENT } else { others });
    }

    /// Sets the checksum as it stands.
    #[inline]
    pub const fn set_checksum(&mut self, checksum: u16) {
        self.checksum = U16::new(checksum);
    }

    /// Computes the checksum of a header without options.
    pub fn fill_checksum(&mut self) {
        self.checksum = U16::new(0);
        self.checksum = U16::new(checksum::of(self.as_bytes()));
    }

    /// Takes one from the TTL, which must not be 0, and updates the checksum (RFC 1624).
    #[inline]
    pub const fn decrement_ttl(&mut self) {
        self.ttl = self.ttl.wrapping_sub(1);
        // A word that is 0x0100 less: the carry goes round, and 0xffff becomes 0x0000. In the byte order of the machine: the sum
        // is the same in either (RFC 1071 2 (B)).
        let [high, low] = self.checksum.to_bytes();
        let sum = u16::from_ne_bytes([high, low]) as u32 + 0x0100u16.to_be() as u32;
        self.checksum = U16::from_bytes(((sum + (sum >= 0xffff) as u32) as u16).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire as oracle;

    /// An echo request of 64 data bytes as Linux sends it.
    const PING: [u8; 20] = [
        0x45, 0x00, 0x00, 0x54, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x01, 0x09, 0x5c, 10, 1, 0, 7, 10, 2,
        0, 9,
    ];

    fn packet() -> Vec<u8> {
        let mut packet = PING.to_vec();
        packet[10..12].fill(0);
        let sum = checksum::of(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.resize(84, 0xa5);
        packet
    }

    #[test]
    fn fields_of_real_bytes() {
        let packet = packet();
        let ip = Ipv4::checked(&packet).unwrap();
        assert_eq!((ip.header_len(), ip.total_len(), ip.id()), (20, 84, 0x1c46));
        assert!(ip.dont_fragment() && !ip.is_fragment() && !ip.is_later_fragment());
        assert_eq!((ip.ttl(), ip.protocol()), (64, ICMP));
        assert_eq!(ip.source(), Ipv4Addr::new(10, 1, 0, 7));
        assert_eq!(ip.destination(), Ipv4Addr::new(10, 2, 0, 9));
    }

    #[test]
    fn each_check_of_rfc_1812_refuses() {
        let good = packet();
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Ipv4::checked(&bytes).unwrap_err()
        };
        assert_eq!(Ipv4::checked(&good[..19]).unwrap_err(), Malformed::Truncated);
        assert_eq!(broken(0, 0x65), Malformed::Version);
        assert_eq!(broken(0, 0x44), Malformed::Length);
        assert_eq!(broken(3, 0x55), Malformed::Length); // one more than there is
        assert_eq!(broken(3, 0x13), Malformed::Length); // less than the header
        assert_eq!(broken(8, 63), Malformed::Checksum);
    }

    proptest! {
        #[test]
        fn agrees_with_smoltcp(bytes in prop::collection::vec(any::<u8>(), 0..80), plausible: bool) {
            let mut bytes = bytes;
            if plausible && bytes.len() >= 20 {
                bytes[0] = 0x45;
                let length = (bytes.len() as u16).to_be_bytes();
                bytes[2..4].copy_from_slice(&length);
                bytes[10..12].fill(0);
                let sum = checksum::of(&bytes[..20]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            let theirs = oracle::Ipv4Packet::new_checked(&bytes[..])
                .ok()
                .filter(|p| p.version() == 4 && p.header_len() >= 20 && p.verify_checksum());
            let ours = Ipv4::checked(&bytes);
            prop_assert_eq!(ours.is_ok(), theirs.is_some());
            if let (Ok(ours), Some(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours.source(), theirs.src_addr());
                prop_assert_eq!(ours.destination(), theirs.dst_addr());
                prop_assert_eq!(ours.id(), theirs.ident());
                prop_assert_eq!(ours.dont_fragment(), theirs.dont_frag());
                prop_assert_eq!(ours.is_fragment(), theirs.more_frags() || theirs.frag_offset() != 0);
                prop_assert_eq!(ours.ttl(), theirs.hop_limit());
                prop_assert_eq!(ours.protocol(), u8::from(theirs.next_header()));
            }
        }

        #[test]
        fn ttl_of_a_right_header_stays_right(id: u16, ttl in 1u8.., protocol: u8, source: u32, destination: u32) {
            let mut ip = Ipv4::new(source.into(), destination.into(), protocol, 20);
            ip.set_id(id);
            ip.set_ttl(ttl);
            ip.fill_checksum();
            ip.decrement_ttl();
            prop_assert_eq!(ip.ttl(), ttl - 1);
            prop_assert!(checksum::verifies(ip.as_bytes()));
        }
    }
}
