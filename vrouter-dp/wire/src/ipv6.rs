//! The IPv6 header (RFC 8200). Extension headers are not walked: a router forwards without them.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, fixed_header};

/// Next header of ICMPv6.
pub const ICMP: u8 = 58;

/// The IPv6 header: 40 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6 {
    version_class_flow: U32,
    payload_length: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

fixed_header!(Ipv6, 40);

impl Ipv6 {
    /// The header at the front of `packet`, its version and length checked; `packet` may have padding behind its end.
    #[inline]
    pub fn checked(packet: &[u8]) -> Result<&Ipv6, Malformed> {
        let (ip, rest) = Ipv6::parse(packet)?;
        if ip.version_class_flow.get() >> 28 != 6 {
            return Err(Malformed::Version);
        }
        // RFC 8200 3: the payload length counts extension headers too. Jumbograms (RFC 2675) are not spoken.
        if usize::from(ip.payload_length.get()) > rest.len() {
            return Err(Malformed::Length);
        }
        Ok(ip)
    }

    /// A header with hop limit 64, traffic class and flow label 0. `payload` in bytes.
    pub const fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: u8,
        payload: u16,
    ) -> Ipv6 {
        Ipv6 {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(payload),
            next_header,
            hop_limit: 64,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// Bytes of the packet, header included: 40 to 65,575.
    #[inline]
    pub const fn total_len(&self) -> usize {
        Ipv6::LEN + self.payload_length.get() as usize
    }

    /// The 20 bits by which a source marks a flow (RFC 6437).
    #[inline]
    pub const fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & 0xf_ffff
    }

    /// What follows the header: an extension header or a protocol.
    #[inline]
    pub const fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Hops that the packet may still go.
    #[inline]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Sets the hop limit.
    #[inline]
    pub const fn set_hop_limit(&mut self, hops: u8) {
        self.hop_limit = hops;
    }

    /// Sets the flow label: the lower 20 bits of `label`.
    pub const fn set_flow_label(&mut self, label: u32) {
        self.version_class_flow =
            U32::new(self.version_class_flow.get() & !0xf_ffff | label & 0xf_ffff);
    }

    /// Source address, in host order.
    #[inline]
    pub const fn source(&self) -> u128 {
        u128::from_be_bytes(self.source)
    }

    /// Destination address, in host order.
    #[inline]
    pub const fn destination(&self) -> u128 {
        u128::from_be_bytes(self.destination)
    }
}

/// Whether a router forwards packets from and to an address, in host order: not the unspecified and the loopback address (RFC
/// 4291 2.5.2, 2.5.3), not link-local (2.5.6), not multicast (2.7).
#[inline]
pub const fn forwardable(address: u128) -> bool {
    address > 1 && !is_multicast(address) && address >> 118 != 0xfe80 >> 6
}

/// Whether an address, in host order, is that of a group: ff00::/8.
#[inline]
pub const fn is_multicast(address: u128) -> bool {
    address >> 120 == 0xff
}

/// Whether a packet is neighbour discovery (RFC 4861): ICMPv6 of type 133 to 137 right behind the header.
pub fn is_neighbor_discovery(packet: &[u8]) -> bool {
    let Ok((ip, rest)) = Ipv6::parse(packet) else { return false };
    ip.next_header == ICMP && matches!(rest.first(), Some(133..=137))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire as oracle;

    /// A neighbour solicitation as Linux sends it, without its option.
    const SOLICITATION: [u8; 64] = [
        0x60, 0x01, 0x23, 0x45, 0x00, 0x18, 0x3a, 0xff, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54,
        0, 0xff, 0xfe, 0, 1, 7, 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1, 0x87, 0,
        0x7b, 0xc4, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];

    fn address(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().unwrap().to_bits()
    }

    #[test]
    fn fields_of_real_bytes() {
        let ip = Ipv6::checked(&SOLICITATION).unwrap();
        assert_eq!((ip.total_len(), ip.next_header(), ip.hop_limit()), (64, ICMP, 255));
        assert_eq!(ip.flow_label(), 0x1_2345);
        assert_eq!(ip.source(), address("fe80::5054:ff:fe00:107"));
        assert_eq!(ip.destination(), address("ff02::1:ff00:1"));
        assert!(is_neighbor_discovery(&SOLICITATION));
        assert!(!is_neighbor_discovery(&SOLICITATION[..40]));
        for (at, value) in [(40, 128), (6, 17)] {
            let mut other = SOLICITATION;
            other[at] = value;
            assert!(!is_neighbor_discovery(&other));
        }
        let mut built = *ip;
        built.set_flow_label(0xfff_ffff);
        built.set_hop_limit(3);
        assert_eq!((built.flow_label(), built.hop_limit()), (0xf_ffff, 3));
        assert_eq!(built.as_bytes()[..4], [0x60, 0x0f, 0xff, 0xff]);
    }

    #[test]
    fn what_is_no_packet() {
        assert_eq!(Ipv6::checked(&SOLICITATION[..39]).unwrap_err(), Malformed::Truncated);
        assert_eq!(Ipv6::checked(&SOLICITATION[..63]).unwrap_err(), Malformed::Length);
        let mut four = SOLICITATION;
        four[0] = 0x45;
        assert_eq!(Ipv6::checked(&four).unwrap_err(), Malformed::Version);
    }

    #[test]
    fn what_is_not_forwarded() {
        for text in ["::", "::1", "fe80::1", "febf:ffff::", "ff02::1", "ffff::"] {
            assert!(!forwardable(address(text)), "{text}");
        }
        for text in ["::2", "2001:db8::1", "fe7f::", "fec0::1", "fd00::1", "feff::1"] {
            assert!(forwardable(address(text)), "{text}");
        }
        assert!(is_multicast(address("ff0e::1")) && !is_multicast(address("fe80::1")));
    }

    proptest! {
        #[test]
        fn agrees_with_smoltcp(mut bytes in prop::collection::vec(any::<u8>(), 0..90), plausible: bool) {
            if plausible && bytes.len() >= 40 {
                bytes[0] = 0x60 | bytes[0] & 0x0f;
                bytes[4] = 0;
                bytes[5] %= 60;
            }
            let theirs = oracle::Ipv6Packet::new_checked(&bytes[..]).ok().filter(|p| p.version() == 6);
            let ours = Ipv6::checked(&bytes);
            prop_assert_eq!(ours.is_ok(), theirs.is_some());
            if let (Ok(ours), Some(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours.total_len(), theirs.total_len());
                prop_assert_eq!(ours.flow_label(), theirs.flow_label());
                prop_assert_eq!(ours.next_header(), u8::from(theirs.next_header()));
                prop_assert_eq!(ours.hop_limit(), theirs.hop_limit());
                prop_assert_eq!(ours.source(), theirs.src_addr().to_bits());
                prop_assert_eq!(ours.destination(), theirs.dst_addr().to_bits());
            }
        }
    }
}
