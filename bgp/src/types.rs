//! The words of BGP as values: AS numbers, families, route targets and distinguishers, communities.
//!
//! Each has one text form, which configuration, command line, JSON and logs share, and one wire form.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod community;
mod evpn;
mod membership;
mod password;
mod route;

pub use community::{Community, ExtCommunity, LargeCommunity, MacMobility};
pub(crate) use evpn::bits as address_bits;
pub use evpn::{Esi, EvpnRoute, LabelField, MacAddress};
pub use membership::Membership;
pub use password::Password;
pub use route::Route;

/// Why a text is not the value it claims to be. The message shows the legal forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not a number of 32 bits.
    #[error("not an AS number: write 1-4294967295, such as 64512")]
    Asn,
    /// Too long, empty, or what only stands for one.
    #[error("not a password: 1-80 octets, and not `<set>`, which stands for one that is not shown")]
    Password,
    /// Not a family that this speaker implements.
    #[error("unknown address family: write one of `ipv4`, `ipv6`, `vpnv4`, `vpnv6`, `evpn`, `rtc`")]
    Family,
    /// Not `[target:]AS:N` or `[target:]ADDRESS:N` with numbers that fit.
    #[error(
        "not a route target: write target:AS:N or target:ADDRESS:N, such as target:64514:1 \
         (N up to 65535 when AS is above 65535 or an address is given)"
    )]
    RouteTarget,
    /// Not `AS:N` or `ADDRESS:N` with numbers that fit.
    #[error(
        "not a route distinguisher: write AS:N or ADDRESS:N, such as 192.0.2.1:5 \
         (N up to 65535 when AS is above 65535 or an address is given)"
    )]
    RouteDistinguisher,
}

/// An AS number of four octets (RFC 6793). Zero never names an AS (RFC 7607) but can be held, so
/// that a message with it can be judged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Asn(pub u32);

impl Asn {
    /// What stands in a two-octet field for a number that does not fit it (RFC 6793 9).
    pub const TRANS: Asn = Asn(23456);

    /// The number in two octets, or [`Asn::TRANS`].
    pub fn two_octets(self) -> u16 {
        u16::try_from(self.0).unwrap_or(23456)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Asn {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Asn, TypeError> {
        decimal(text).map(Asn).ok_or(TypeError::Asn)
    }
}

/// An address family that the speaker can negotiate (RFC 4760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// AFI 1, SAFI 1. Text form `ipv4`.
    Ipv4Unicast,
    /// AFI 2, SAFI 1 (RFC 2545). Text form `ipv6`.
    Ipv6Unicast,
    /// AFI 1, SAFI 128: VPN-IPv4 with a label (RFC 4364). Text form `vpnv4`.
    Vpnv4,
    /// AFI 2, SAFI 128: VPN-IPv6 with a label (RFC 4659). Text form `vpnv6`.
    Vpnv6,
    /// AFI 25, SAFI 70: Ethernet VPN (RFC 7432, RFC 9136). Text form `evpn`.
    Evpn,
    /// AFI 1, SAFI 132: route target membership (RFC 4684). Text form `rtc`.
    Rtc,
}

impl Family {
    /// Every family, in the order in which they are announced and listed.
    pub const ALL: [Family; 6] = [
        Family::Ipv4Unicast,
        Family::Ipv6Unicast,
        Family::Vpnv4,
        Family::Vpnv6,
        Family::Evpn,
        Family::Rtc,
    ];

    /// AFI and SAFI (IANA).
    pub const fn afi_safi(self) -> (u16, u8) {
        match self {
            Family::Ipv4Unicast => (1, 1),
            Family::Ipv6Unicast => (2, 1),
            Family::Vpnv4 => (1, 128),
            Family::Vpnv6 => (2, 128),
            Family::Evpn => (25, 70),
            Family::Rtc => (1, 132),
        }
    }

    /// The family of an AFI and SAFI, if it is one of ours.
    pub const fn from_afi_safi(afi: u16, safi: u8) -> Option<Family> {
        match (afi, safi) {
            (1, 1) => Some(Family::Ipv4Unicast),
            (2, 1) => Some(Family::Ipv6Unicast),
            (1, 128) => Some(Family::Vpnv4),
            (2, 128) => Some(Family::Vpnv6),
            (25, 70) => Some(Family::Evpn),
            (1, 132) => Some(Family::Rtc),
            _ => None,
        }
    }

    /// Whether routes of the family carry a route distinguisher, labels and route targets.
    pub const fn is_vpn(self) -> bool {
        matches!(self, Family::Vpnv4 | Family::Vpnv6 | Family::Evpn)
    }

    /// Whether a distinguisher, which is 0, stands in front of next hops (RFC 4364 4.3.4,
    /// RFC 4659 3.2.1).
    pub(crate) const fn has_distinguished_next_hop(self) -> bool {
        matches!(self, Family::Vpnv4 | Family::Vpnv6)
    }

    /// The text form.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Ipv4Unicast => "ipv4",
            Family::Ipv6Unicast => "ipv6",
            Family::Vpnv4 => "vpnv4",
            Family::Vpnv6 => "vpnv6",
            Family::Evpn => "evpn",
            Family::Rtc => "rtc",
        }
    }

    /// Position in [`Family::ALL`], for tables with a row for each family.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Family, TypeError> {
        Family::ALL.into_iter().find(|family| family.name() == text).ok_or(TypeError::Family)
    }
}

/// A set of families.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FamilySet(u8);

impl FamilySet {
    /// Whether `family` is in it.
    pub const fn contains(self, family: Family) -> bool {
        self.0 & (1 << family.index()) != 0
    }

    /// Adds `family`.
    pub const fn insert(&mut self, family: Family) {
        self.0 |= 1 << family.index();
    }

    /// Takes `family` out.
    pub const fn remove(&mut self, family: Family) {
        self.0 &= !(1 << family.index());
    }

    /// How many are in it.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: FamilySet) -> FamilySet {
        FamilySet(self.0 & other.0)
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members in the order of [`Family::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> FamilySet {
        let mut set = FamilySet::default();
        families.into_iter().for_each(|family| set.insert(family));
        set
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A route target: an extended community of type 0x00, 0x01 or 0x02, sub-type 0x02 (RFC 4360 4).
///
/// Text: `target:64514:1` (two-octet AS), `target:192.0.2.1:5` (address), `target:4200000000:1`
/// (four-octet AS); a four-octet form with a small number is written with an L, `target:64512L:1`.
/// Parsing takes the same without `target:`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteTarget([u8; 8]);

impl RouteTarget {
    /// The eight octets of the extended community.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("target:")?;
        Administered::from_octets(self.0[0], self.0).fmt(f)
    }
}

impl FromStr for RouteTarget {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<RouteTarget, TypeError> {
        let text = text.strip_prefix("target:").unwrap_or(text);
        let mut octets =
            Administered::parse(text).ok_or(TypeError::RouteTarget).map(Administered::octets)?;
        octets.1[0] = octets.0;
        octets.1[1] = 2;
        Ok(RouteTarget(octets.1))
    }
}

/// A route distinguisher (RFC 4364 4.2). Types 0, 1 and 2 have a text form of their own, as
/// [`RouteTarget`] without the word; any other is written as hexadecimal octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteDistinguisher([u8; 8]);

impl RouteDistinguisher {
    /// Any eight octets; every value is legal on the wire.
    pub const fn from_octets(octets: [u8; 8]) -> RouteDistinguisher {
        RouteDistinguisher(octets)
    }

    /// Type 1: `address:number`, the form for a distinguisher made of a router id.
    pub const fn ip(address: Ipv4Addr, number: u16) -> RouteDistinguisher {
        let [a, b, c, d] = address.octets();
        let [n, m] = number.to_be_bytes();
        RouteDistinguisher([0, 1, a, b, c, d, n, m])
    }

    /// The eight octets, type first.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouteDistinguisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [0, kind @ 0..=2, ..] => Administered::from_octets(kind, self.0).fmt(f),
            other => hex(f, other),
        }
    }
}

impl FromStr for RouteDistinguisher {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<RouteDistinguisher, TypeError> {
        if let Some(octets) = parse_hex(text) {
            return Ok(RouteDistinguisher(octets));
        }
        let (kind, mut octets) =
            Administered::parse(text).ok_or(TypeError::RouteDistinguisher)?.octets();
        octets[1] = kind;
        Ok(RouteDistinguisher(octets))
    }
}

macro_rules! text_is_debug {
    ($($name:ty),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
text_is_debug!(
    RouteTarget,
    RouteDistinguisher,
    ExtCommunity,
    Community,
    LargeCommunity,
    Esi,
    MacAddress,
    EvpnRoute
);

macro_rules! text_is_serde {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_is_serde!(Family, RouteTarget, RouteDistinguisher);

/// The three ways in which a route target, distinguisher or site of origin names its administrator.
#[derive(Clone, Copy)]
enum Administered {
    As2(u16, u32),
    Ip(Ipv4Addr, u16),
    As4(u32, u16),
}

impl Administered {
    /// `kind` is 0, 1 or 2; anything above reads as 2. The value is in the last six octets.
    fn from_octets(kind: u8, [_, _, a, b, c, d, e, g]: [u8; 8]) -> Administered {
        match kind {
            0 => Administered::As2(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g])),
            1 => Administered::Ip(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, g])),
            _ => Administered::As4(u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g])),
        }
    }

    fn parse(text: &str) -> Option<Administered> {
        let (administrator, number) = text.split_once(':')?;
        let number = decimal(number)?;
        let small = u16::try_from(number).ok();
        if administrator.contains('.') {
            return Some(Administered::Ip(administrator.parse().ok()?, small?));
        }
        if let Some(asn) = administrator.strip_suffix('L') {
            return Some(Administered::As4(decimal(asn)?, small?));
        }
        let asn = decimal(administrator)?;
        match u16::try_from(asn) {
            Ok(asn) => Some(Administered::As2(asn, number)),
            Err(_) => Some(Administered::As4(asn, small?)),
        }
    }

    /// The kind and the eight octets, the first two zero.
    fn octets(self) -> (u8, [u8; 8]) {
        let mut octets = [0u8; 8];
        let kind = match self {
            Administered::As2(asn, number) => {
                octets[2..4].copy_from_slice(&asn.to_be_bytes());
                octets[4..].copy_from_slice(&number.to_be_bytes());
                0
            }
            Administered::Ip(address, number) => {
                octets[2..6].copy_from_slice(&address.octets());
                octets[6..].copy_from_slice(&number.to_be_bytes());
                1
            }
            Administered::As4(asn, number) => {
                octets[2..6].copy_from_slice(&asn.to_be_bytes());
                octets[6..].copy_from_slice(&number.to_be_bytes());
                2
            }
        };
        (kind, octets)
    }
}

impl fmt::Display for Administered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Administered::As2(asn, number) => write!(f, "{asn}:{number}"),
            Administered::Ip(address, number) => write!(f, "{address}:{number}"),
            // The L keeps a small number apart from the two-octet form.
            Administered::As4(asn @ 0..=0xffff, number) => write!(f, "{asn}L:{number}"),
            Administered::As4(asn, number) => write!(f, "{asn}:{number}"),
        }
    }
}

/// A decimal number without sign, space or more digits than `u32` needs.
fn decimal(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn hex(f: &mut fmt::Formatter<'_>, octets: [u8; 8]) -> fmt::Result {
    write!(f, "0x{:016x}", u64::from_be_bytes(octets))
}

fn parse_hex(text: &str) -> Option<[u8; 8]> {
    let digits = text.strip_prefix("0x")?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { u64::from_str_radix(digits, 16).ok().map(u64::to_be_bytes) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_targets_have_one_text_each() {
        let cases = [
            ("target:64514:1", [0, 2, 0xfc, 0x02, 0, 0, 0, 1]),
            ("target:192.0.2.1:5", [1, 2, 192, 0, 2, 1, 0, 5]),
            ("target:4200000000:1", [2, 2, 0xfa, 0x56, 0xea, 0x00, 0, 1]),
            ("target:64512L:1", [2, 2, 0, 0, 0xfc, 0x00, 0, 1]),
            ("target:1:4294967295", [0, 2, 0, 1, 255, 255, 255, 255]),
        ];
        for (text, octets) in cases {
            let target: RouteTarget = text.parse().unwrap();
            assert_eq!(target.octets(), octets, "{text}");
            assert_eq!(target.to_string(), text);
            assert_eq!(text.trim_start_matches("target:").parse(), Ok(target));
            assert_eq!(ExtCommunity(octets).as_route_target(), Some(target));
            let json = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<RouteTarget>(&json).unwrap(), target);
        }
        for bad in [
            "",
            "1",
            "target:",
            "1:",
            ":1",
            "70000:70000",
            "1.2.3.4:65536",
            "+1:1",
            "1:1:1",
            "1.2.3:4",
        ] {
            assert_eq!(bad.parse::<RouteTarget>(), Err(TypeError::RouteTarget), "{bad}");
        }
    }

    #[test]
    fn route_distinguishers_have_one_text_each() {
        let rd = RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 1), 5);
        assert_eq!(rd.to_string(), "192.0.2.1:5");
        for text in ["192.0.2.1:5", "64512:2", "4200000000:7", "64512L:2", "0x00ff000000000001"] {
            let rd: RouteDistinguisher = text.parse().unwrap();
            assert_eq!(rd.to_string(), text);
        }
        assert_eq!("64512:2".parse::<RouteDistinguisher>().unwrap().octets()[..2], [0, 0]);
        assert!("target:1:1".parse::<RouteDistinguisher>().is_err());
    }

    #[test]
    fn families_and_as_numbers() {
        for family in Family::ALL {
            assert_eq!(family.name().parse(), Ok(family));
            let (afi, safi) = family.afi_safi();
            assert_eq!(Family::from_afi_safi(afi, safi), Some(family));
            assert_eq!(Family::ALL[family.index()], family);
        }
        assert_eq!(Family::from_afi_safi(2, 128), Some(Family::Vpnv6));
        assert!("vpnv5".parse::<Family>().is_err());
        assert_eq!(Asn(70_000).two_octets(), 23456);
        assert_eq!(Community(64512 << 16 | 7).to_string(), "64512:7");
    }
}
