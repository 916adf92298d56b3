//! Longest prefix match for IPv4 and IPv6, one trie per VRF and family.
//!
//! **The root** is an array over some bits of the address, as wide as the number of routes asks for (4 or 5 bits for a few, 20 for
//! hundreds of thousands), and it begins where the routes first differ: a VRF all within 10.0.0.0/8 spends nothing on its first bits.
//! **Below** it, a node takes 5 bits: one block of words, a bitmap of the slots that lead on, a bitmap of the slots where another
//! answer begins, the children upwards and the answers downwards from there:
//!
//! ```text
//!   answer n .. answer 1 | answer 0 | children | answers | child 0 | child 1 .. child m
//!                                   ^ the block's index
//! ```
//!
//! A node that answers the same everywhere is an answer in its parent. A word 0 stands for "no route but the default one", so that
//! a default route is one word. A block never changes its form once it is published: the writer builds the new one aside and
//! publishes it by one store into its parent; the old one is used again after grace. So a reader sees each address as it was before
//! a change or after it, and nothing between.

mod batch;
mod build;
mod prefix;
mod routes;
mod slabs;
#[cfg(test)]
mod tests;
mod writer;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::chunks;
use crate::prefetch::prefetch;
use crate::seam::{NexthopId, VrfId};

pub use writer::FibWriter;

/// Words of the nodes of all tries: 1 GiB when all are used, nothing before.
/// Fewer under a fuzzer, which takes a large reservation for a leak.
pub const WORDS: usize = if cfg!(fuzzing) { 1 << 20 } else { 1 << 28 };

/// Tries of a family: the tunnel sources and one per VRF.
const TRIES: usize = (1 << 16) + 1;

/// One of the tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trie(usize);

impl Trie {
    /// Addresses from which tunnel packets are accepted.
    pub const SOURCES: Trie = Trie(0);

    /// The VRF that it is of.
    pub fn vrf(self) -> Option<VrfId> {
        self.0.checked_sub(1).map(|vrf| VrfId(vrf as u16))
    }
}

impl From<VrfId> for Trie {
    #[inline]
    fn from(vrf: VrfId) -> Trie {
        Trie(vrf.index() + 1)
    }
}

/// A word with this bit is the index of a block; without it, an answer.
const CHILD: u32 = 1 << 31;

/// Bits of the address that a node takes.
const STRIDE: u32 = 5;

/// Nodes on the longest way below a root, one more than there are.
const DEPTH4: usize = 7;
const DEPTH6: usize = 26;

/// Words before a root's first slot: a free one, the upper and lower half of where it stands (IPv6), and the default answer.
const ROOT_HEAD: u32 = 4;

// Every next hop fits into an answer.
const _: () = assert!(super::nexthop::NEXTHOPS <= CHILD as usize);
const _: () = assert!(WORDS <= CHILD as usize);

/// Where a root is and which addresses it is for, in one word so that it is replaced in one store: the index of its first slot in the
/// lower half; above it the bits of an address below its slots and its width. An IPv4 root has the address where it begins there
/// too; an IPv6 one, before its slots. 0 is no root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Root(u64);

impl Root {
    /// Of the upper half of an IPv4 root, the bits of the address.
    const EXPECTED: u32 = !0x3ff;

    #[inline(always)]
    const fn base(self) -> u32 {
        self.0 as u32
    }

    /// The slot of an IPv4 address, and the address from the bits on that are below; `None` outside of the root.
    #[inline(always)]
    const fn enter4(self, address: u32) -> (Option<u32>, u32) {
        let how = (self.0 >> 32) as u32;
        let below = how & 31;
        let slot = (address ^ how & Root::EXPECTED) >> below;
        let inside = slot >> (how >> 5 & 31) == 0;
        (if inside { Some(slot) } else { None }, address.unbounded_shl(32 - below))
    }

    /// The same for the upper half of an IPv6 address.
    #[inline(always)]
    const fn enter6(self, address: u64, expected: u64) -> (Option<u32>, u32) {
        let how = (self.0 >> 32) as u32;
        let below = how & 63;
        let slot = (address ^ expected) >> below;
        let inside = slot >> (how >> 6 & 31) == 0;
        (if inside { Some(slot as u32) } else { None }, below)
    }
}

/// All tries, as readers see them.
#[derive(Debug)]
pub struct Fib {
    roots4: Box<[AtomicU64]>,
    roots6: Box<[AtomicU64]>,
    /// Word 0 belongs to no block.
    words: Box<[AtomicU32]>,
}

impl Fib {
    /// No trie exists.
    pub fn new() -> Fib {
        Fib::with_words(WORDS)
    }

    /// The same, with room for `words` words.
    pub fn with_words(words: usize) -> Fib {
        Fib {
            roots4: chunks::zeroed(TRIES),
            roots6: chunks::zeroed(TRIES),
            words: chunks::most(words.min(WORDS)),
        }
    }

    /// The next hop of the longest prefix that covers `address`; id 0 if there is none.
    #[inline]
    pub fn lookup(&self, trie: impl Into<Trie>, address: Ipv4Addr) -> NexthopId {
        let root = load(&self.roots4, trie.into());
        let (slot, mut rest) = root.enter4(address.to_bits());
        let mut word = slot.map_or(0, |slot| self.word(root.base().wrapping_add(slot)));
        for _ in 0..DEPTH4 {
            if word & CHILD == 0 {
                break;
            }
            word = self.step(word & !CHILD, rest >> (u32::BITS - STRIDE));
            rest <<= STRIDE;
        }
        self.answer(root, word)
    }

    /// The same for IPv6.
    #[inline]
    pub fn lookup6(&self, trie: impl Into<Trie>, address: Ipv6Addr) -> NexthopId {
        let root = load(&self.roots6, trie.into());
        let address = address.to_bits();
        let (slot, below) = root.enter6((address >> 64) as u64, self.expected(root));
        let mut word = slot.map_or(0, |slot| self.word(root.base().wrapping_add(slot)));
        let mut rest = address << (64 - below);
        for _ in 0..DEPTH6 {
            if word & CHILD == 0 {
                break;
            }
            word = self.step(word & !CHILD, (rest >> (u128::BITS - STRIDE)) as u32);
            rest <<= STRIDE;
        }
        self.answer(root, word)
    }

    /// Asks for the slot of an IPv4 address, in host order, in the root of its trie.
    #[inline(always)]
    pub fn prefetch_root(&self, trie: impl Into<Trie>, address: u32) {
        let root = load(&self.roots4, trie.into());
        if let (Some(slot), _) = root.enter4(address) {
            self.prefetch(root.base().wrapping_add(slot));
        }
    }

    /// The same for IPv6.
    #[inline(always)]
    pub fn prefetch_root6(&self, trie: impl Into<Trie>, address: u128) {
        let root = load(&self.roots6, trie.into());
        if let (Some(slot), _) = root.enter6((address >> 64) as u64, self.expected(root)) {
            self.prefetch(root.base().wrapping_add(slot));
        }
    }

    /// Whether tunnel packets from `source` are accepted.
    #[inline]
    pub fn is_tunnel_source(&self, source: Ipv4Addr) -> bool {
        self.lookup(Trie::SOURCES, source).0 != 0
    }

    /// The word that a slot of a block leads to.
    #[inline(always)]
    fn step(&self, block: u32, slot: u32) -> u32 {
        let children = self.word(block);
        if children >> slot & 1 != 0 {
            let before = (children & ((1 << slot) - 1)).count_ones();
            return self.word(block + 2 + before);
        }
        // Answers go downwards from the block; the first one begins at the first slot that is no child.
        let begun = (self.word(block + 1) & (u32::MAX >> (31 - slot))).count_ones();
        self.word(block.wrapping_sub(begun))
    }

    /// What a last word says.
    #[inline(always)]
    fn answer(&self, root: Root, word: u32) -> NexthopId {
        match word {
            0 => self.default(root),
            CHILD.. => NexthopId(0),
            answer => NexthopId(answer),
        }
    }

    fn default(&self, root: Root) -> NexthopId {
        NexthopId(self.word(root.base().wrapping_sub(1)))
    }

    /// Where an IPv6 root begins.
    #[inline(always)]
    fn expected(&self, root: Root) -> u64 {
        let at = root.base();
        u64::from(self.word(at.wrapping_sub(3))) << 32 | u64::from(self.word(at.wrapping_sub(2)))
    }

    /// A word; 0 for an index that no block has.
    #[inline(always)]
    fn word(&self, index: u32) -> u32 {
        self.words.get(index as usize).map_or(0, |word| word.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn prefetch(&self, index: u32) {
        if let Some(word) = self.words.get(index as usize) {
            prefetch(word);
        }
    }
}

#[inline(always)]
fn load(roots: &[AtomicU64], trie: Trie) -> Root {
    Root(roots.get(trie.0).map_or(0, |root| root.load(Ordering::Acquire)))
}

impl Default for Fib {
    fn default() -> Self {
        Fib::new()
    }
}
