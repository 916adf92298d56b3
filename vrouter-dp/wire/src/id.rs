//! Identifiers that cannot hold an illegal value. They are checked where text or bytes come in, and trusted after that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why a text or number is not the identifier it claims to be. The message names the legal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not six colon-separated hexadecimal octets.
    #[error("not a MAC address: write six hexadecimal octets such as 52:54:00:00:01:07")]
    Mac,
    /// 0 and 4095 are reserved (IEEE 802.1Q).
    #[error("not a VLAN id: the range is 1-4094 (0 and 4095 are reserved, IEEE 802.1Q)")]
    Vlan,
    /// Labels have 20 bits; 0-15 are reserved (RFC 3032 2.1).
    #[error("not a usable MPLS label: the range is 16-1048575 (0-15 are reserved, RFC 3032)")]
    Label,
    /// VNIs have 24 bits; 0 is not used.
    #[error("not a VNI: the range is 1-16777215")]
    Vni,
}

/// A MAC address, in wire order.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// The MAC that every gateway shows to instances, so that a failover changes nothing on the host.
    pub const GATEWAY: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x00]);

    /// Group bit set: multicast or broadcast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// A source address that a host may use: not a group address, not zero.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut octets = [0u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(IdError::Mac)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(IdError::Mac);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| IdError::Mac)?;
        }
        if parts.next().is_some() { Err(IdError::Mac) } else { Ok(Mac(octets)) }
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $min:literal..=$max:literal, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        #[repr(transparent)]
        pub struct $name($int);

        impl $name {
            /// Smallest legal value.
            pub const MIN: $name = $name($min);
            /// Largest legal value.
            pub const MAX: $name = $name($max);

            /// The id, if `value` is legal.
            #[inline]
            pub const fn new(value: $int) -> Option<$name> {
                if value >= $min && value <= $max { Some($name(value)) } else { None }
            }

            /// The value on the wire.
            #[inline]
            pub const fn value(self) -> $int {
                self.0
            }

            /// The value as an index into a table of `MAX + 1` rows.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl TryFrom<u64> for $name {
            type Error = IdError;

            fn try_from(value: u64) -> Result<Self, IdError> {
                <$int>::try_from(value).ok().and_then($name::new).ok_or(IdError::$error)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                u64::from(id.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

numeric_id! {
    /// An 802.1Q VLAN id, 1-4094.
    VlanId(u16), 1..=4094, Vlan
}
numeric_id! {
    /// An MPLS label that may name something, 16-1048575 (RFC 3032 2.1 reserves 0-15).
    Label(u32), 16..=1_048_575, Label
}
numeric_id! {
    /// A VXLAN network identifier, 1-16777215.
    Vni(u32), 1..=16_777_215, Vni
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text_round_trip_and_refusals() {
        let mac: Mac = "52:54:00:aB:01:07".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:01:07");
        for bad in [
            "",
            "52:54:00:ab:01",
            "52:54:00:ab:01:07:08",
            "5254.00ab.0107",
            "g2:54:00:ab:01:07",
            "+2:54:00:ab:01:07",
        ] {
            assert_eq!(bad.parse::<Mac>(), Err(IdError::Mac), "{bad}");
        }
    }

    #[test]
    fn numeric_ids_end_where_the_standards_say() {
        assert!(VlanId::new(0).is_none() && VlanId::new(4095).is_none());
        assert!(VlanId::new(1).is_some() && VlanId::new(4094).is_some());
        assert!(Label::new(15).is_none() && Label::new(16).is_some());
        assert!(Label::new(1 << 20).is_none() && Label::new((1 << 20) - 1).is_some());
        assert!(Vni::new(0).is_none() && Vni::new(1 << 24).is_none());
        assert_eq!(VlanId::try_from(70_000u64), Err(IdError::Vlan));
    }
}
