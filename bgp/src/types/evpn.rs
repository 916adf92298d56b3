//! The words of Ethernet VPN (RFC 7432, RFC 9136).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An Ethernet segment identifier (RFC 7432 5). All zero: not multihomed.
///
/// Text: ten octets with colons.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Esi(pub [u8; 10]);

/// A MAC address. Text: six octets with colons.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

/// Three octets that hold an MPLS label in their upper 20 bits or, where the encapsulation is
/// VXLAN, a VNI in all 24 (RFC 8365 5.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelField(u32);

/// What names an EVPN route beside its distinguisher. Ethernet tags are 0 in VLAN-based services.
///
/// Text as routers show it: `[2]:[tag]:[48]:[MAC]:[32]:[address]` and so on, the type first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EvpnRoute {
    /// Type 1: a PE reaches a segment, for one Ethernet tag or (tag 4294967295) as a whole.
    AutoDiscovery {
        /// The segment.
        esi: Esi,
        /// Ethernet tag.
        tag: u32,
    },
    /// Type 2: a MAC address, and mostly an IP address of it.
    MacIp {
        /// Ethernet tag.
        tag: u32,
        /// The MAC address.
        mac: MacAddress,
        /// An address of the same host.
        ip: Option<IpAddr>,
    },
    /// Type 3: a PE takes part in a broadcast domain; how to reach it is in the PMSI tunnel
    /// attribute.
    Multicast {
        /// Ethernet tag.
        tag: u32,
        /// The PE.
        originator: IpAddr,
    },
    /// Type 4: a PE is connected to a segment.
    Segment {
        /// The segment.
        esi: Esi,
        /// The PE.
        originator: IpAddr,
    },
    /// Type 5: an IP prefix, host bits zero.
    Prefix {
        /// Ethernet tag.
        tag: u32,
        /// The prefix.
        prefix: IpNet,
    },
}

impl Esi {
    /// The host is connected to one PE only.
    pub const ZERO: Esi = Esi([0; 10]);
}

impl LabelField {
    /// The three octets as they are sent.
    pub const fn from_octets([a, b, c]: [u8; 3]) -> LabelField {
        LabelField(u32::from_be_bytes([0, a, b, c]))
    }

    /// The label above its bottom-of-stack bit; of `label` 20 bits count.
    pub const fn mpls(label: u32) -> LabelField {
        LabelField((label & 0xf_ffff) << 4 | 1)
    }

    /// Of `vni` 24 bits count.
    pub const fn vxlan(vni: u32) -> LabelField {
        LabelField(vni & 0xff_ffff)
    }

    /// As an MPLS label, 20 bits.
    pub const fn label(self) -> u32 {
        self.0 >> 4
    }

    /// As a VXLAN network identifier, 24 bits.
    pub const fn vni(self) -> u32 {
        self.0
    }

    /// As it is sent.
    pub const fn octets(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

impl EvpnRoute {
    /// The route type (RFC 7432 7).
    pub const fn kind(&self) -> u8 {
        match self {
            EvpnRoute::AutoDiscovery { .. } => 1,
            EvpnRoute::MacIp { .. } => 2,
            EvpnRoute::Multicast { .. } => 3,
            EvpnRoute::Segment { .. } => 4,
            EvpnRoute::Prefix { .. } => 5,
        }
    }

    /// Whether labels stand beside it: types 1, 2 and 5.
    pub const fn has_labels(&self) -> bool {
        matches!(self.kind(), 1 | 2 | 5)
    }

    /// The same without host bits.
    #[must_use]
    pub fn trunc(self) -> EvpnRoute {
        match self {
            EvpnRoute::Prefix { tag, prefix } => EvpnRoute::Prefix { tag, prefix: prefix.trunc() },
            other => other,
        }
    }
}

impl fmt::Display for EvpnRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:", self.kind())?;
        match self {
            EvpnRoute::AutoDiscovery { esi, tag } => write!(f, "[{tag}]:[{esi}]"),
            EvpnRoute::MacIp { tag, mac, ip: None } => write!(f, "[{tag}]:[48]:[{mac}]"),
            EvpnRoute::MacIp { tag, mac, ip: Some(ip) } => {
                write!(f, "[{tag}]:[48]:[{mac}]:[{}]:[{ip}]", bits(ip))
            }
            EvpnRoute::Multicast { tag, originator } => {
                write!(f, "[{tag}]:[{}]:[{originator}]", bits(originator))
            }
            EvpnRoute::Segment { esi, originator } => {
                write!(f, "[{esi}]:[{}]:[{originator}]", bits(originator))
            }
            EvpnRoute::Prefix { tag, prefix } => {
                write!(f, "[{tag}]:[{}]:[{}]", prefix.prefix_len(), prefix.addr())
            }
        }
    }
}

/// Bits of an address.
pub(crate) fn bits(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Esi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        colons(f, &self.0)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        colons(f, &self.0)
    }
}

fn colons(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    for (at, octet) in octets.iter().enumerate() {
        write!(f, "{}{octet:02x}", if at == 0 { "" } else { ":" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_fields_are_labels_and_network_identifiers() {
        assert_eq!(LabelField::mpls(2010).octets(), [0x00, 0x7d, 0xa1]);
        assert_eq!(LabelField::from_octets([0x00, 0x7d, 0xa1]).label(), 2010);
        assert_eq!(LabelField::vxlan(5001).octets(), [0x00, 0x13, 0x89]);
        assert_eq!(LabelField::vxlan(5001).vni(), 5001);
    }

    #[test]
    fn routes_have_the_text_that_routers_show() {
        let esi = Esi([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let mac = MacAddress([0x52, 0x54, 0, 0, 1, 7]);
        let ip = IpAddr::from([10, 1, 0, 7]);
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        let cases = [
            (EvpnRoute::AutoDiscovery { esi, tag: 7 }, "[1]:[7]:[00:01:02:03:04:05:06:07:08:09]"),
            (EvpnRoute::MacIp { tag: 0, mac, ip: None }, "[2]:[0]:[48]:[52:54:00:00:01:07]"),
            (
                EvpnRoute::MacIp { tag: 0, mac, ip: Some(ip) },
                "[2]:[0]:[48]:[52:54:00:00:01:07]:[32]:[10.1.0.7]",
            ),
            (EvpnRoute::Multicast { tag: 9, originator: v6 }, "[3]:[9]:[128]:[2001:db8::7]"),
            (
                EvpnRoute::Segment { esi, originator: ip },
                "[4]:[00:01:02:03:04:05:06:07:08:09]:[32]:[10.1.0.7]",
            ),
            (
                EvpnRoute::Prefix { tag: 0, prefix: "10.2.0.0/16".parse().unwrap() },
                "[5]:[0]:[16]:[10.2.0.0]",
            ),
        ];
        for (route, text) in cases {
            assert_eq!(route.to_string(), text);
        }
    }
}
