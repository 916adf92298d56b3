//! Numbers of data-plane objects: each belongs to one key for as long as the object lives.
//!
//! A number is free again only after the generation that deleted its object was acknowledged. The pools outlive a restart of
//! the agent, so that setting everything again changes nothing in the data plane: see [`Pool::mark`] and [`Pool::sweep`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use engine::seam::{Gen, PortId};
use hashbrown::{HashMap, HashSet};
use wire::VlanId;

use crate::compile::{Hop, Tunnel};

/// All pools of one node.
#[derive(Debug)]
pub struct Ids {
    /// VRFs by name; 0 is the master instance.
    pub vrfs: Pool<String>,
    /// Instance interfaces by port and VLAN, so that two instances can swap VLANs in one commit.
    pub vifs: Pool<(PortId, VlanId)>,
    /// Tunnels by far end and encapsulation.
    pub tunnels: Pool<Tunnel>,
    /// Next hops by what they do; 0 means "no route".
    pub nexthops: Pool<Hop>,
}

impl Default for Ids {
    fn default() -> Self {
        Ids {
            vrfs: Pool::new(1, u32::from(u16::MAX)),
            vifs: Pool::new(0, u32::from(u16::MAX)),
            tunnels: Pool::new(0, u32::MAX),
            nexthops: Pool::new(1, u32::MAX),
        }
    }
}

impl Ids {
    /// Every worker has passed `generation`: what was deleted up to it is free.
    pub fn acked(&mut self, generation: Gen) {
        self.vrfs.acked(generation);
        self.vifs.acked(generation);
        self.tunnels.acked(generation);
        self.nexthops.acked(generation);
    }

    /// The agent restarted.
    pub fn mark(&mut self) {
        self.vrfs.mark();
        self.vifs.mark();
        self.tunnels.mark();
        self.nexthops.mark();
    }

    /// The sweep goes out in `generation`.
    pub fn sweep(&mut self, generation: Gen) {
        self.vrfs.sweep(generation);
        self.vifs.sweep(generation);
        self.tunnels.sweep(generation);
        self.nexthops.sweep(generation);
    }
}

/// Numbers from a range, one for each key.
#[derive(Debug)]
pub struct Pool<K> {
    by_key: HashMap<K, u32>,
    /// Keys from before the restart that nobody asked for since.
    stale: HashSet<K>,
    /// Numbers whose deletion is under way, by the generation that must be acknowledged first.
    resting: BTreeMap<Gen, Vec<u32>>,
    free: BTreeSet<u32>,
    next: u32,
    end: u32,
}

impl<K: Eq + Hash + Clone> Pool<K> {
    /// A pool of `first..end`.
    pub fn new(first: u32, end: u32) -> Self {
        Pool {
            by_key: HashMap::new(),
            stale: HashSet::new(),
            resting: BTreeMap::new(),
            free: BTreeSet::new(),
            next: first,
            end,
        }
    }

    /// The number of `key`, a new one if it has none; `None` if all are taken.
    pub fn acquire(&mut self, key: &K) -> Option<u32> {
        if !self.stale.is_empty() {
            self.stale.remove(key);
        }
        if let Some(id) = self.by_key.get(key) {
            return Some(*id);
        }
        let id = match self.free.pop_first() {
            Some(id) => id,
            None if self.next < self.end => {
                self.next += 1;
                self.next - 1
            }
            None => return None,
        };
        self.by_key.insert(key.clone(), id);
        Some(id)
    }

    /// The number of `key`, if it has one.
    pub fn find(&self, key: &K) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The object of `key` is deleted in `generation`.
    pub fn release(&mut self, key: &K, generation: Gen) {
        self.stale.remove(key);
        if let Some(id) = self.by_key.remove(key) {
            self.resting.entry(generation).or_default().push(id);
            if self.by_key.len() < self.by_key.capacity() / 8 {
                self.by_key.shrink_to_fit();
            }
        }
    }

    /// Releases every key that is not `wanted`, except what the sweep will delete.
    pub fn retain(&mut self, wanted: impl Fn(&K) -> bool, generation: Gen) {
        let unwanted = |key: &&K| !wanted(key) && !self.stale.contains(*key);
        let gone: Vec<K> = self.by_key.keys().filter(unwanted).cloned().collect();
        for key in gone {
            self.release(&key, generation);
        }
    }

    /// The data plane refused the deletion: the number is never used again before the next [`Pool::mark`] and sweep.
    pub fn withhold(&mut self, id: u32) {
        for ids in self.resting.values_mut() {
            if let Some(at) = ids.iter().position(|other| *other == id) {
                ids.swap_remove(at);
                self.resting.entry(NEVER).or_default().push(id);
                return;
            }
        }
    }

    /// Every worker has passed `generation`.
    pub fn acked(&mut self, generation: Gen) {
        while let Some(entry) =
            self.resting.first_entry().filter(|entry| *entry.key() <= generation)
        {
            self.free.extend(entry.remove());
        }
        // The last ones are as if they had never been: a million numbers that nobody has take no memory.
        while self.free.last().is_some_and(|last| last + 1 == self.next) {
            self.free.pop_last();
            self.next -= 1;
        }
    }

    /// The agent restarted: deletions may have been lost on the way, so nothing is free before the sweep is acknowledged.
    pub fn mark(&mut self) {
        self.stale = self.by_key.keys().cloned().collect();
        let lost: Vec<u32> = std::mem::take(&mut self.resting).into_values().flatten().collect();
        self.resting.insert(NEVER, lost);
    }

    /// The sweep goes out in `generation`: it deletes what was not acquired again.
    pub fn sweep(&mut self, generation: Gen) {
        for key in std::mem::take(&mut self.stale) {
            if let Some(id) = self.by_key.remove(&key) {
                self.resting.entry(generation).or_default().push(id);
            }
        }
        let lost = self.resting.remove(&NEVER).unwrap_or_default();
        self.resting.entry(generation).or_default().extend(lost);
    }
}

/// Never acknowledged.
const NEVER: Gen = Gen(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_reused_only_after_its_deletion_was_acknowledged() {
        let mut pool = Pool::new(1, 3);
        assert_eq!(
            (pool.acquire(&"a"), pool.acquire(&"b"), pool.acquire(&"a")),
            (Some(1), Some(2), Some(1))
        );
        assert_eq!(pool.acquire(&"c"), None);
        pool.release(&"a", Gen(7));
        assert_eq!(pool.acquire(&"c"), None);
        pool.acked(Gen(6));
        assert_eq!(pool.acquire(&"c"), None);
        pool.acked(Gen(7));
        assert_eq!(pool.acquire(&"c"), Some(1));
    }

    #[test]
    fn numbers_that_are_free_again_take_no_memory_behind_the_last_one_in_use() {
        let mut pool = Pool::new(1, 10_000);
        let keys: Vec<u32> = (0..9_000).collect();
        keys.iter().for_each(|key| assert_eq!(pool.acquire(key), Some(key + 1)));
        for key in keys.iter().filter(|key| **key != 7) {
            pool.release(key, Gen(1));
        }
        pool.acked(Gen(1));
        assert_eq!((pool.free.len(), pool.next), (7, 9));
        let again: Vec<u32> = keys[..9].iter().map(|key| pool.acquire(key).unwrap()).collect();
        assert_eq!(again, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn after_a_restart_keys_keep_numbers_and_the_rest_waits_for_the_sweep() {
        let mut pool = Pool::new(1, 100);
        for key in ["a", "b", "c"] {
            pool.acquire(&key);
        }
        pool.release(&"c", Gen(3));
        pool.mark();
        pool.acked(Gen(3));
        assert_eq!(pool.acquire(&"a"), Some(1));
        assert_eq!(pool.acquire(&"d"), Some(4), "3 may still be in the data plane");
        pool.sweep(Gen(9));
        assert_eq!(pool.find(&"b"), None);
        assert_eq!(pool.acquire(&"e"), Some(5));
        pool.acked(Gen(9));
        assert_eq!((pool.acquire(&"f"), pool.acquire(&"g")), (Some(2), Some(3)));
    }

    #[test]
    fn a_number_whose_deletion_was_refused_is_withheld() {
        let mut pool = Pool::new(1, 100);
        pool.acquire(&"a");
        pool.release(&"a", Gen(1));
        pool.withhold(1);
        pool.acked(Gen(1));
        assert_eq!(pool.acquire(&"b"), Some(2));
    }
}
