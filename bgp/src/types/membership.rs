//! Route target membership: which VPN routes a speaker wants (RFC 4684).

use std::fmt;

use super::{Asn, RouteTarget, hex};

/// A route of the family `rtc`: its sender wants VPN routes with these route targets. As with any
/// prefix, only the leading bits count.
///
/// Text: `64512:target:64514:1`, the AS of the origin first; `default` for all routes; a part of
/// a route target as `64512:0x0002fc0200000000/32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Membership {
    /// Origin AS and route target; bits beyond the length are 0.
    octets: [u8; 12],
    bits: u8,
}

impl Membership {
    /// Every route.
    pub const DEFAULT: Membership = Membership { octets: [0; 12], bits: 0 };
    /// Bits of an origin AS, which stands alone or with a route target behind it.
    const AS_BITS: u8 = 32;
    /// Bits of a whole one.
    const ALL_BITS: u8 = 96;

    /// Routes with this route target, wanted by a router of this AS.
    pub fn of(asn: Asn, target: RouteTarget) -> Membership {
        let mut octets = [0; 12];
        let (origin, value) = octets.split_at_mut(4);
        origin.copy_from_slice(&asn.0.to_be_bytes());
        value.copy_from_slice(&target.octets());
        Membership { octets, bits: Membership::ALL_BITS }
    }

    /// From a prefix of up to 96 bits; `None` for lengths of 1-31, which name no whole AS
    /// (RFC 4684 4), and above 96.
    pub fn from_prefix(mut octets: [u8; 12], bits: u8) -> Option<Membership> {
        if !matches!(bits, 0 | Membership::AS_BITS..=Membership::ALL_BITS) {
            return None;
        }
        for (at, octet) in octets.iter_mut().enumerate() {
            *octet &= mask(bits, at);
        }
        Some(Membership { octets, bits })
    }

    /// The twelve octets, zero beyond the length.
    pub const fn octets(self) -> [u8; 12] {
        self.octets
    }

    /// Its length in bits: 0, or 32-96.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether it asks for routes with this route target.
    pub fn admits(self, target: RouteTarget) -> bool {
        let wanted = self.octets.iter().enumerate().skip(4);
        wanted
            .zip(target.octets())
            .all(|((at, wanted), octet)| octet & mask(self.bits, at) == *wanted)
    }

    /// The one route target that it asks for, if it is whole.
    pub fn target(self) -> Option<RouteTarget> {
        let target = super::ExtCommunity(self.value()).as_route_target();
        target.filter(|_| self.bits == Membership::ALL_BITS)
    }

    /// What stands behind the AS.
    fn value(self) -> [u8; 8] {
        let [_, _, _, _, value @ ..] = self.octets;
        value
    }
}

/// What of an octet belongs to a prefix of `bits`.
fn mask(bits: u8, at: usize) -> u8 {
    let left = usize::from(bits).saturating_sub(at * 8).min(8);
    (0xff00_u16 >> left) as u8
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == 0 {
            return f.write_str("default");
        }
        let [a, b, c, d, ..] = self.octets;
        write!(f, "{}:", u32::from_be_bytes([a, b, c, d]))?;
        if let Some(target) = self.target() {
            return target.fmt(f);
        }
        hex(f, self.value())?;
        write!(f, "/{}", self.bits - Membership::AS_BITS)
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> RouteTarget {
        text.parse().unwrap()
    }

    #[test]
    fn a_membership_admits_what_begins_like_it() {
        let whole = Membership::of(Asn(64512), target("64512:100"));
        assert_eq!(whole.octets(), [0, 0, 0xfc, 0, 0, 2, 0xfc, 0, 0, 0, 0, 100]);
        assert_eq!((whole.bits(), whole.target()), (96, Some(target("64512:100"))));
        assert!(whole.admits(target("64512:100")) && !whole.admits(target("64512:101")));
        // Bits: 32 for the AS, 32 more for type and AS of the route target.
        let cases = [(64, true, true), (95, true, false), (94, true, false), (93, true, false)];
        for (bits, near, far) in cases {
            let part = Membership::from_prefix(whole.octets(), bits).unwrap();
            assert_eq!(part.admits(target("64512:101")), near, "{bits}");
            assert_eq!(part.admits(target("64512:4000")), far, "{bits}");
            assert!(!part.admits(target("64513:100")) && part.target().is_none(), "{bits}");
        }
        for wide in [Membership::DEFAULT, Membership::from_prefix([1; 12], 32).unwrap()] {
            assert!(wide.admits(target("192.0.2.1:7")));
        }
        for bits in [1, 31, 97, 255] {
            assert_eq!(Membership::from_prefix([0; 12], bits), None, "{bits}");
        }
    }

    #[test]
    fn bits_beyond_the_length_name_nothing() {
        let long = Membership::from_prefix([0xff; 12], 41).unwrap();
        assert_eq!(long.octets(), [255, 255, 255, 255, 255, 0x80, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Membership::from_prefix([7; 12], 0), Some(Membership::DEFAULT));
    }

    #[test]
    fn memberships_have_one_text_each() {
        let whole = Membership::of(Asn(64512), target("64514:1"));
        assert_eq!(whole.to_string(), "64512:target:64514:1");
        assert_eq!(Membership::DEFAULT.to_string(), "default");
        let part = Membership::from_prefix(whole.octets(), 64).unwrap();
        assert_eq!(part.to_string(), "64512:0x0002fc0200000000/32");
        let odd = Membership::from_prefix([1; 12], 96).unwrap();
        assert_eq!(odd.to_string(), "16843009:0x0101010101010101/64");
    }
}
