//! IPv4 longest prefix match, one trie per VRF.
//!
//! Nodes of 256 words, 8 bits of the address each, so at most four loads. Every word of a node is either the answer or a
//! child (answers are pushed down to the leaves), and is replaced in place by one atomic store: a reader sees the route before
//! or after a change, for every address. An empty VRF costs its root, 1 KiB. Nodes that fall empty are used again after grace.

mod shadow;
mod writer;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use zerocopy::FromZeros;

use crate::chunks;
use crate::seam::{NexthopId, VrfId};

pub use shadow::Shadow;
pub use writer::FibWriter;

/// Nodes that all VRFs have together: 2 GiB when all are used, nothing before.
/// Fewer under a fuzzer, which takes a large reservation for a leak.
pub const NODES: usize = if cfg!(fuzzing) { 1 << 12 } else { 1 << 21 };

/// Tries: one per VRF and one for the tunnel sources.
const TRIES: usize = (1 << 16) + 1;

/// One of the tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trie(usize);

impl Trie {
    /// Addresses from which tunnel packets are accepted.
    pub const SOURCES: Trie = Trie(TRIES - 1);
}

impl From<VrfId> for Trie {
    #[inline]
    fn from(vrf: VrfId) -> Trie {
        Trie(vrf.index())
    }
}

/// A word of a node: a child, or an answer together with the length of the prefix that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u32);

impl Word {
    const CHILD: u32 = 1 << 31;
    const LENGTH_SHIFT: u32 = 25;
    const VALUE: u32 = (1 << Word::LENGTH_SHIFT) - 1;

    /// No route.
    const EMPTY: Word = Word(0);

    const fn leaf(value: NexthopId, length: u8) -> Word {
        Word((length as u32) << Word::LENGTH_SHIFT | value.0 & Word::VALUE)
    }

    const fn node(index: u32) -> Word {
        Word(Word::CHILD | index)
    }

    #[inline]
    const fn child(self) -> Option<u32> {
        if self.0 & Word::CHILD != 0 { Some(self.0 & !Word::CHILD) } else { None }
    }

    #[inline]
    const fn value(self) -> NexthopId {
        NexthopId(self.0 & Word::VALUE)
    }

    const fn length(self) -> u8 {
        (self.0 >> Word::LENGTH_SHIFT) as u8 & 0x3f
    }
}

// Every next hop fits into a leaf.
const _: () = assert!(super::nexthop::NEXTHOPS <= Word::VALUE as usize + 1);

#[derive(Debug, FromZeros)]
#[repr(C)]
struct Node([AtomicU32; 256]);

impl Node {
    #[inline]
    fn word(&self, slot: u8) -> Word {
        Word(self.0[usize::from(slot)].load(Ordering::Acquire))
    }

    fn put(&self, slot: u8, word: Word) {
        self.0[usize::from(slot)].store(word.0, Ordering::Release);
    }

    fn fill(&self, word: Word) {
        self.0.iter().for_each(|cell| cell.store(word.0, Ordering::Release));
    }
}

/// All tries, as readers see them.
#[derive(Debug)]
pub struct Fib {
    /// Root node of each trie; node 0 stays empty and is the root of those that do not exist.
    roots: Box<[AtomicU32]>,
    nodes: Box<[Node]>,
}

impl Fib {
    /// No trie exists.
    pub fn new() -> Fib {
        Fib { roots: (0..TRIES).map(|_| AtomicU32::new(0)).collect(), nodes: chunks::most(NODES) }
    }

    /// The next hop of the longest prefix that covers `address`; id 0 if there is none.
    #[inline]
    pub fn lookup(&self, trie: impl Into<Trie>, address: Ipv4Addr) -> NexthopId {
        let Some(root) = self.roots.get(trie.into().0) else { return NexthopId(0) };
        let mut index = root.load(Ordering::Acquire);
        for octet in address.octets() {
            let Some(node) = self.nodes.get(index as usize) else { break };
            let word = node.word(octet);
            match word.child() {
                None => return word.value(),
                Some(child) => index = child,
            }
        }
        NexthopId(0)
    }

    pub fn lookup6(&self, _: impl Into<Trie>, _: std::net::Ipv6Addr) -> NexthopId {
        NexthopId(0)
    }
    /// Whether tunnel packets from `source` are accepted.
    #[inline]
    pub fn is_tunnel_source(&self, source: Ipv4Addr) -> bool {
        self.lookup(Trie::SOURCES, source).0 != 0
    }
}

impl Default for Fib {
    fn default() -> Self {
        Fib::new()
    }
}

#[cfg(test)]
mod tests;
