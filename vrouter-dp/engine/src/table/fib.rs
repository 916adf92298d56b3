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
//! Where only one way leads on and everything else answers the same, as above a prefix that stands alone, a **skip** of three words
//! takes up to 27 bits at once: the bits of the way with, in the lower five, how many are not compared; the word inside; the answer
//! outside.
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
#[cfg_attr(not(target_arch = "x86_64"), path = "fib/no_vector.rs")]
mod vector;
mod writer;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::chunks;
use crate::prefetch::prefetch;
use crate::seam::{NexthopId, VrfId};

pub use batch::{Key4, Key6};
use prefix::GLOBAL;
use vector::Vectors;
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
/// A block with this bit in its word is a skip.
const SKIP: u32 = 1 << 30;
/// The index.
const INDEX: u32 = SKIP - 1;

/// Bits of the address that a node takes.
const STRIDE: u32 = 5;

/// Strides of the longest address.
const DEPTH: usize = 26;

/// Words before a root's first slot: a free one, the upper and lower half of where it stands (IPv6), and the default answer.
const ROOT_HEAD: u32 = 4;

// Every next hop fits into an answer.
const _: () = assert!(super::nexthop::NEXTHOPS <= CHILD as usize);
const _: () = assert!(WORDS <= SKIP as usize);

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

    #[inline(always)]
    const fn how(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The place of an IPv4 address in the words, and how many bits of the address that takes; place 0, which has no answer, if the
    /// address is outside of the root.
    #[inline(always)]
    const fn enter4(self, address: u32) -> (u32, u32) {
        let how = self.how();
        let slot = (address ^ how & Root::EXPECTED).wrapping_shr(how);
        let outside = slot.wrapping_shr(how >> 5);
        let place = if outside == 0 { self.base().wrapping_add(slot) } else { 0 };
        (place, how.wrapping_neg() & 31)
    }

    /// The same for IPv6.
    #[inline(always)]
    fn enter6(self, words: Words<'_>, address: u128) -> (u32, u32) {
        let base = self.base();
        let how = self.how();
        let half = |back| u64::from(words.get(base.wrapping_sub(back)));
        let expected = half(3) << 32 | half(2);
        let slot = ((address >> 64) as u64 ^ expected).wrapping_shr(how);
        let outside = slot.wrapping_shr(how >> 6 & 31);
        let place = if outside == 0 { base.wrapping_add(slot as u32) } else { 0 };
        (place, 64 - (how & 63))
    }
}

/// The words of all blocks.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [AtomicU32]);

impl Words<'_> {
    /// A word; 0 for an index that no block has.
    #[inline(always)]
    fn get(self, index: u32) -> u32 {
        self.0.get(index as usize).map_or(0, |word| word.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn prefetch(self, index: u32) {
        if let Some(word) = self.0.get(index as usize) {
            prefetch(word);
        }
    }

    /// The word that a block leads to by the next bits of the address, and how many of them it takes, modulo 32.
    #[inline(always)]
    fn step(self, word: u32, rest: u32) -> (u32, u32) {
        let block = word & INDEX;
        let head = self.get(block);
        if word & SKIP != 0 {
            // A shift takes the lower five bits of its count: those that say how many bits are not compared.
            let outside = u32::from((rest ^ head).wrapping_shr(head) != 0);
            return (self.get(block + 1 + outside), head.wrapping_neg());
        }
        let slot = rest >> (u32::BITS - STRIDE);
        let way = 1 << slot;
        if head & way != 0 {
            let before = (head & (way - 1)).count_ones();
            return (self.get(block + 2 + before), STRIDE);
        }
        // Answers go downwards from the block; the first one begins at the first slot that is no child.
        let begun = (self.get(block + 1) & (way | (way - 1))).count_ones();
        (self.get(block.wrapping_sub(begun)), STRIDE)
    }

    /// What a last word says.
    #[inline(always)]
    fn answer(self, root: Root, word: u32) -> NexthopId {
        NexthopId(if word == 0 { self.get(root.base().wrapping_sub(1)) } else { word })
    }
}

/// All tries, as readers see them.
#[derive(Debug)]
pub struct Fib {
    roots4: Box<[AtomicU64]>,
    /// Of the tries of the global addresses behind those of the others: a private prefix beside them would otherwise have the root begin
    /// at the first bit, where they are all alike.
    roots6: Box<[AtomicU64]>,
    /// Word 0 belongs to no block.
    words: Box<[AtomicU32]>,
    /// What batches are looked up with, if the CPU has it.
    vectors: Option<Vectors>,
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
            roots6: chunks::zeroed(2 * TRIES),
            words: chunks::most(words.min(WORDS)),
            vectors: Vectors::new(),
        }
    }

    /// The next hop of the longest prefix that covers `address`; id 0 if there is none.
    #[inline]
    pub fn lookup(&self, trie: impl Into<Trie>, address: Ipv4Addr) -> NexthopId {
        let (root, words) = (load(&self.roots4, trie.into()), self.words());
        let (place, taken) = root.enter4(address.to_bits());
        let mut rest = address.to_bits().wrapping_shl(taken);
        let mut word = words.get(place);
        while word & CHILD != 0 {
            let (next, bits) = words.step(word, rest);
            word = next;
            rest = rest.wrapping_shl(bits);
        }
        words.answer(root, word)
    }

    /// The same for IPv6.
    #[inline]
    pub fn lookup6(&self, trie: impl Into<Trie>, address: Ipv6Addr) -> NexthopId {
        let (root, words) = (self.root6(trie.into(), address.to_bits()), self.words());
        let (place, taken) = root.enter6(words, address.to_bits());
        let mut rest = address.to_bits() << (taken & 127);
        let mut word = words.get(place);
        while word & CHILD != 0 {
            let (next, bits) = words.step(word, (rest >> 96) as u32);
            word = next;
            rest <<= bits & 31;
        }
        words.answer(root, word)
    }

    /// Whether tunnel packets from `source` are accepted.
    #[inline]
    pub fn is_tunnel_source(&self, source: Ipv4Addr) -> bool {
        self.lookup(Trie::SOURCES, source).0 != 0
    }

    #[inline(always)]
    fn root6(&self, trie: Trie, address: u128) -> Root {
        let global = address >> (u128::BITS - GLOBAL.0 as u32) == GLOBAL.1;
        load(&self.roots6, Trie(trie.0 + if global { TRIES } else { 0 }))
    }

    #[inline(always)]
    fn words(&self) -> Words<'_> {
        Words(&self.words)
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
