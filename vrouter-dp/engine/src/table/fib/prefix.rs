//! Where a prefix stands in a trie: both families as the upper bits of 128, in strides of five bits of which the first has four.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::STRIDE;

/// An address family, as an index. Of IPv6, the global unicast addresses have tries of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Global6,
}

/// Bits of the prefix of the global unicast addresses, 2000::/3 (RFC 4291 2.4), and its value.
pub const GLOBAL: (u8, u128) = (3, 0b001);

impl Family {
    pub const ALL: [Family; 3] = [Family::V4, Family::V6, Family::Global6];

    /// The last stride with which a root may begin: a reader has this much room for the bits before it.
    pub const fn last_start(self) -> usize {
        match self {
            Family::V4 => 4,
            Family::V6 | Family::Global6 => 11,
        }
    }

    /// The last stride that may follow a root: at least three bits stay below it, in the first 64 of the address.
    pub const fn last_end(self) -> usize {
        self.last_start() + if matches!(self, Family::V4) { 2 } else { 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub family: Family,
    /// The network, left-aligned.
    pub key: u128,
    pub length: u8,
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Prefix {
        let length = net.prefix_len();
        match net {
            IpNet::V4(net) => {
                let key = u128::from(net.network().to_bits()) << 96;
                Prefix { family: Family::V4, key, length }
            }
            IpNet::V6(net) => {
                let key = net.network().to_bits();
                let global = length >= GLOBAL.0 && key >> (128 - GLOBAL.0) == GLOBAL.1;
                let family = if global { Family::Global6 } else { Family::V6 };
                Prefix { family, key, length }
            }
        }
    }
}

impl Prefix {
    /// The prefix that a bit of a node at `level` on the way to `key` stands for.
    pub fn at(family: Family, key: u128, level: usize, bit: u32) -> Prefix {
        let length = bit.ilog2();
        let slot = bit << (STRIDE - length) & 31;
        Prefix {
            family,
            key: with_slot(key, level, slot),
            length: (start(level) + length - u32::from(level == 0)) as u8,
        }
    }

    /// The stride that it ends in. Not for length 0, which ends before the first.
    pub const fn level(self) -> usize {
        self.length as usize / STRIDE as usize
    }

    /// Its bit in the node that it ends in.
    pub fn bit(self) -> u32 {
        let length = u32::from(self.length) % STRIDE + 1;
        1 << length | slot(self.key, self.level()) >> (STRIDE - length)
    }

    /// The same prefix of the global addresses, if it has addresses of both kinds: then it is in both tries.
    pub fn twin(self) -> Option<Prefix> {
        let both = self.family == Family::V6 && self.length < GLOBAL.0 && self.key == 0;
        both.then_some(Prefix { family: Family::Global6, ..self })
    }

    /// Whether it is the twin of one.
    pub fn is_twin(self) -> bool {
        self.family == Family::Global6 && self.length < GLOBAL.0
    }

    pub fn net(self) -> IpNet {
        match self.family {
            Family::V4 => IpNet::V4(Ipv4Net::new_assert(
                ((self.key >> 96) as u32).into(),
                self.length.min(32),
            )),
            Family::V6 | Family::Global6 => {
                IpNet::V6(Ipv6Net::new_assert(self.key.into(), self.length.min(128)))
            }
        }
    }
}

/// Bits of the address before a stride.
pub const fn start(level: usize) -> u32 {
    (level as u32 * STRIDE).saturating_sub(1)
}

/// The slot of an address in a stride. The first stride has four bits, its slots are the lower sixteen; the last one of IPv6 lacks
/// its lowest bit.
pub const fn slot(key: u128, level: usize) -> u32 {
    match 124 - (level as i32 * STRIDE as i32) {
        right if right >= 0 => (key >> right) as u32 & 31,
        _ => (key << 1) as u32 & 31,
    }
}

/// An address with a slot put in where it has zeros.
pub const fn with_slot(key: u128, level: usize, slot: u32) -> u128 {
    match 124 - (level as i32 * STRIDE as i32) {
        left if left >= 0 => key | (slot as u128) << left,
        _ => key | slot as u128 >> 1,
    }
}

/// An address with nothing from a stride on.
pub const fn cut(key: u128, level: usize) -> u128 {
    match start(level) {
        0 => 0,
        bits => key & u128::MAX << (128 - bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_found_again_from_its_place() {
        for text in ["0.0.0.0/1", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "240.0.0.0/4"] {
            let net: IpNet = text.parse().unwrap();
            let prefix = Prefix::from(net);
            let key = cut(prefix.key, prefix.level());
            assert_eq!(Prefix::at(Family::V4, key, prefix.level(), prefix.bit()).net(), net);
        }
        for length in 1..=128 {
            let address: std::net::Ipv6Addr =
                "fd5a:a5c3:1234:9876:f0f0:1111:7777:ffff".parse().unwrap();
            let net = IpNet::V6(Ipv6Net::new(address, length).unwrap().trunc());
            let prefix = Prefix::from(net);
            let key = cut(prefix.key, prefix.level());
            assert_eq!(Prefix::at(Family::V6, key, prefix.level(), prefix.bit()).net(), net);
        }
    }
}
