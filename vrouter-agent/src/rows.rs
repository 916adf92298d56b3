//! Rows of VRFs by the million: as numbers, as the set of those that changed, and looked up in their order.

use std::collections::{BTreeMap, btree_map};
use std::net::Ipv4Addr;
use std::vec;

use engine::seam::VrfId;
use ipnet::Ipv4Net;

use crate::vrf::RouteKey;

/// Rows noted before [`Dirty`] looks for the first time whether it has some twice.
const MANY: usize = 1 << 16;
/// Rows that [`Ascending`] steps over before it goes down from the top again.
const NEAR: usize = 8;

/// A [`RouteKey`] as one number in the same order: a table of a million compares nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed(u64);

impl Packed {
    const VRF: u32 = 40;
    const ADDRESS: u32 = 8;

    /// The number of a row.
    pub fn new((vrf, prefix): RouteKey) -> Packed {
        let address = u64::from(prefix.addr().to_bits());
        let length = u64::from(prefix.prefix_len());
        Packed(u64::from(vrf.0) << Packed::VRF | address << Packed::ADDRESS | length)
    }

    /// The row.
    pub fn key(self) -> RouteKey {
        let address = Ipv4Addr::from_bits((self.0 >> Packed::ADDRESS) as u32);
        let prefix = Ipv4Net::new(address, self.0 as u8).unwrap_or_default();
        (VrfId((self.0 >> Packed::VRF) as u16), prefix)
    }

    /// The numbers from the first row that a VRF can have to before that of the next VRF.
    pub fn of_vrf(vrf: VrfId) -> std::ops::Range<Packed> {
        Packed(u64::from(vrf.0) << Packed::VRF)..Packed((u64::from(vrf.0) + 1) << Packed::VRF)
    }
}

/// Rows that may lead elsewhere now. To note one costs next to nothing; they are sorted when they are asked for.
#[derive(Debug, Default)]
pub struct Dirty {
    rows: Vec<Packed>,
    /// How many were left when some were there twice the last time that it was looked for.
    distinct: usize,
}

impl Dirty {
    /// Notes a row.
    pub fn insert(&mut self, key: RouteKey) {
        self.rows.push(Packed::new(key));
        // The same row again and again takes no more room than it is worth.
        if self.rows.len() >= MANY.max(2 * self.distinct) {
            self.sort();
            self.distinct = self.rows.len();
        }
    }

    /// Rows noted; some may count twice.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No row is noted.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, each once, in the order of the tables; none is noted then.
    pub fn take(&mut self) -> vec::IntoIter<Packed> {
        self.sort();
        std::mem::take(self).rows.into_iter()
    }

    fn sort(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup();
    }
}

impl Extend<RouteKey> for Dirty {
    fn extend<I: IntoIterator<Item = RouteKey>>(&mut self, keys: I) {
        keys.into_iter().for_each(|key| self.insert(key));
    }
}

/// Looks up keys that mostly ascend: goes on from the last one instead of down from the top.
#[derive(Debug)]
pub struct Ascending<'a, K, V> {
    map: &'a BTreeMap<K, V>,
    rest: btree_map::Range<'a, K, V>,
    next: Option<(&'a K, &'a V)>,
    last: Option<K>,
}

impl<'a, K: Ord + Copy, V> Ascending<'a, K, V> {
    /// No key was asked for yet.
    pub fn new(map: &'a BTreeMap<K, V>) -> Self {
        Ascending { map, rest: map.range(..), next: None, last: None }
    }

    /// What the map has for `key`.
    pub fn get(&mut self, key: K) -> Option<&'a V> {
        if self.last.is_none_or(|last| key < last) {
            self.seek(key);
        }
        self.last = Some(key);
        for _ in 0..NEAR {
            match self.next {
                Some((at, _)) if *at < key => self.next = self.rest.next(),
                found => return found.filter(|(at, _)| **at == key).map(|(_, value)| value),
            }
        }
        self.seek(key);
        self.next.filter(|(at, _)| **at == key).map(|(_, value)| value)
    }

    fn seek(&mut self, key: K) {
        self.rest = self.map.range(key..);
        self.next = self.rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_once_and_in_order_however_often_they_were_noted() {
        let key = |n: u32| (VrfId((n % 7) as u16), Ipv4Net::new_assert((n << 8).into(), 24));
        let mut dirty = Dirty::default();
        for round in 0..300 {
            dirty.extend((0..1000).map(|n| key((n * 7919 + round) % 1000)));
            assert!(dirty.len() <= MANY);
        }
        let rows: Vec<RouteKey> = dirty.take().map(Packed::key).collect();
        let mut expected: Vec<RouteKey> = (0..1000).map(key).collect();
        expected.sort_unstable();
        assert_eq!(rows, expected);
        assert!(dirty.is_empty() && dirty.take().len() == 0);
    }

    #[test]
    fn any_order_of_keys_finds_what_the_map_has() {
        let map: BTreeMap<u32, u32> = (0..1000).step_by(3).map(|key| (key, key + 1)).collect();
        let mut rows = Ascending::new(&map);
        let mut key = 0;
        for step in (0..3000).map(|n: u32| n.wrapping_mul(2_654_435_761) >> 16) {
            // Mostly a short way on, now and then far on or back.
            key = if step % 11 == 0 { step % 1100 } else { key + step % 5 };
            assert_eq!(rows.get(key), map.get(&key), "{key}");
        }
        assert_eq!(Ascending::new(&BTreeMap::<u32, ()>::new()).get(1), None);
    }
}
