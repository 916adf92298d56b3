//! Communities: standard, extended, large.

use std::fmt;

use super::{Administered, LabelField, MacAddress, RouteTarget, hex};

/// Any extended community (RFC 4360), known or not. Ordered by its octets, as it is sent.
///
/// Text: `target:...`, `origin:...` (site of origin), `encapsulation:13`, `default-gateway`,
/// `mac-mobility:7` and `mac-mobility:7:sticky`, `router-mac:...`, `es-import:...`,
/// `esi-label:16001` and `esi-label:16001:single-active`, else `0x` and 16 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtCommunity(pub [u8; 8]);

impl ExtCommunity {
    /// The encapsulation community of a tunnel type (RFC 9012 4.1): 2 GRE, 13 MPLS in UDP.
    pub const fn encapsulation(tunnel_type: u16) -> ExtCommunity {
        let [high, low] = tunnel_type.to_be_bytes();
        ExtCommunity([0x03, 0x0c, 0, 0, 0, 0, high, low])
    }

    /// The tunnel type, if this is an encapsulation community.
    pub const fn as_encapsulation(self) -> Option<u16> {
        match self.0 {
            [0x03, 0x0c, _, _, _, _, high, low] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    /// The route target, if this is one.
    pub const fn as_route_target(self) -> Option<RouteTarget> {
        match self.0 {
            [0..=2, 2, ..] => Some(RouteTarget(self.0)),
            _ => None,
        }
    }

    /// The router's MAC of an integrated routing and bridging PE (RFC 9135 8.1).
    pub const fn router_mac(mac: MacAddress) -> ExtCommunity {
        let MacAddress([a, b, c, d, e, f]) = mac;
        ExtCommunity([0x06, 0x03, a, b, c, d, e, f])
    }

    /// The router's MAC, if this is one.
    pub const fn as_router_mac(self) -> Option<MacAddress> {
        match self.0 {
            [0x06, 0x03, a, b, c, d, e, f] => Some(MacAddress([a, b, c, d, e, f])),
            _ => None,
        }
    }

    /// How often a MAC address has moved, if this says so (RFC 7432 7.7).
    pub const fn as_mac_mobility(self) -> Option<MacMobility> {
        match self.0 {
            [0x06, 0x00, flags, _, a, b, c, d] => Some(MacMobility {
                sticky: flags & 1 != 0,
                sequence: u32::from_be_bytes([a, b, c, d]),
            }),
            _ => None,
        }
    }

    /// The segment that an ES-Import route target names (RFC 7432 7.6).
    pub const fn as_es_import(self) -> Option<MacAddress> {
        match self.0 {
            [0x06, 0x02, a, b, c, d, e, f] => Some(MacAddress([a, b, c, d, e, f])),
            _ => None,
        }
    }

    /// The label of an Ethernet segment, and whether it is single-active (RFC 7432 7.5).
    pub const fn as_esi_label(self) -> Option<(LabelField, bool)> {
        match self.0 {
            [0x06, 0x01, flags, _, _, a, b, c] => {
                Some((LabelField::from_octets([a, b, c]), flags & 1 != 0))
            }
            _ => None,
        }
    }

    /// Whether this marks the address of a default gateway (RFC 7432 7.8).
    pub const fn is_default_gateway(self) -> bool {
        matches!(self.0, [0x03, 0x0d, ..])
    }

    /// Whether the community may pass from one AS to another (RFC 4360 2).
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl From<RouteTarget> for ExtCommunity {
    fn from(target: RouteTarget) -> ExtCommunity {
        ExtCommunity(target.0)
    }
}

impl fmt::Display for ExtCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = self.as_route_target() {
            return target.fmt(f);
        }
        match self.0 {
            [kind @ 0..=2, 3, ..] => {
                f.write_str("origin:")?;
                Administered::from_octets(kind, self.0).fmt(f)
            }
            [0x03, 0x0c, _, _, _, _, high, low] => {
                write!(f, "encapsulation:{}", u16::from_be_bytes([high, low]))
            }
            [0x03, 0x0d, 0, 0, 0, 0, 0, 0] => f.write_str("default-gateway"),
            _ => self.fmt_evpn(f),
        }
    }
}

impl ExtCommunity {
    /// The communities of type 6, those without anything in their reserved parts.
    fn fmt_evpn(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [0x06, 0x00, 0 | 1, 0, ..] => match self.as_mac_mobility() {
                Some(MacMobility { sticky: false, sequence }) => {
                    write!(f, "mac-mobility:{sequence}")
                }
                Some(MacMobility { sequence, .. }) => write!(f, "mac-mobility:{sequence}:sticky"),
                None => hex(f, self.0),
            },
            [0x06, 0x01, flags @ (0 | 1), 0, 0, a, b, c] => {
                write!(f, "esi-label:{}", LabelField::from_octets([a, b, c]).label())?;
                // The bits below the label: bottom of stack as everybody writes it, or not.
                if c & 0x0f > 1 {
                    write!(f, ":{}", c & 0x0f)?;
                }
                f.write_str(if flags == 1 { ":single-active" } else { "" })
            }
            [0x06, kind @ (0x02 | 0x03), a, b, c, d, e, g] => {
                let name = if kind == 2 { "es-import" } else { "router-mac" };
                write!(f, "{name}:{}", MacAddress([a, b, c, d, e, g]))
            }
            other => hex(f, other),
        }
    }
}

/// How often a MAC address, or with control nodes any route, has moved; the latest place counts.
/// Ordered as it is preferred: what is sticky never moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacMobility {
    /// It stays where it is.
    pub sticky: bool,
    /// One more with each move.
    pub sequence: u32,
}

/// A standard community (RFC 1997). Text `64512:100`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Community(pub u32);

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// A large community (RFC 8092). Text `64512:1:2`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    /// Global administrator, an AS number.
    pub administrator: u32,
    /// The two parts of local data.
    pub data: [u32; 2],
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.administrator, self.data[0], self.data[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ext_communities_read_as_what_they_are() {
        let udp = ExtCommunity::encapsulation(13);
        assert_eq!(udp.0, [3, 0x0c, 0, 0, 0, 0, 0, 13]);
        assert_eq!(udp.as_encapsulation(), Some(13));
        assert_eq!(udp.to_string(), "encapsulation:13");
        assert_eq!(ExtCommunity([0, 3, 0, 1, 0, 0, 0, 2]).to_string(), "origin:1:2");
        assert_eq!(ExtCommunity([0x80, 0x71, 0, 1, 0, 0, 0, 2]).to_string(), "0x8071000100000002");
        let mac = MacAddress([0x52, 0x54, 0, 0, 1, 7]);
        assert_eq!(ExtCommunity::router_mac(mac).as_router_mac(), Some(mac));
        let cases = [
            ([6, 3, 0x52, 0x54, 0, 0, 1, 7], "router-mac:52:54:00:00:01:07"),
            ([6, 2, 0x52, 0x54, 0, 0, 1, 7], "es-import:52:54:00:00:01:07"),
            ([6, 0, 0, 0, 0, 0, 0, 7], "mac-mobility:7"),
            ([6, 0, 1, 0, 0, 0, 1, 0], "mac-mobility:256:sticky"),
            ([6, 1, 1, 0, 0, 0, 0x10, 1], "esi-label:256:single-active"),
            ([6, 1, 0, 0, 0, 0, 0x10, 0], "esi-label:256"),
            ([3, 0x0d, 0, 0, 0, 0, 0, 0], "default-gateway"),
            // Something in a reserved part: shown as it is.
            ([6, 0, 0, 1, 0, 0, 0, 7], "0x0600000100000007"),
            ([6, 5, 0, 0, 0, 0, 0, 7], "0x0605000000000007"),
        ];
        for (octets, text) in cases {
            assert_eq!(ExtCommunity(octets).to_string(), text);
        }
        let moved = ExtCommunity([6, 0, 1, 0, 0, 0, 1, 0]).as_mac_mobility();
        assert_eq!(moved, Some(MacMobility { sticky: true, sequence: 256 }));
        let (label, single) = ExtCommunity([6, 1, 1, 0, 0, 0, 0x10, 1]).as_esi_label().unwrap();
        assert_eq!((label.label(), single), (256, true));
        assert_eq!(ExtCommunity([6, 2, 0x52, 0x54, 0, 0, 1, 7]).as_es_import(), Some(mac));
        assert!(ExtCommunity([3, 0x0d, 0, 0, 0, 0, 0, 0]).is_default_gateway());
        // Non-transitive types are no route targets.
        assert!(ExtCommunity([0x40, 2, 0, 1, 0, 0, 0, 2]).as_route_target().is_none());
    }
}
