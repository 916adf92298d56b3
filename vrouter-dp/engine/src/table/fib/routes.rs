//! The routes as they were asked for, of all tries: what a published trie cannot tell is which prefix was covered by which.
//!
//! A tree of the same strides as the published tries. A node is one block of words: a bit for each of the 62 prefixes that end in
//! its stride (`1 << length | bits`, lengths 1 to 5), a bit for each of 32 children, then the children, their published words and
//! the routes, two words each. A node exists while it has a route or a child.

use super::slabs::Slabs;
use crate::chunks;

/// Words before the first child.
const HEAD: usize = 3;
/// Words of the largest node.
const LARGEST: usize = HEAD + 2 * 32 + 2 * 62;

/// Words that the routes of all tries may take: nothing before they are used.
const WORDS: usize = if cfg!(fuzzing) { 1 << 20 } else { 1 << 29 };

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub value: u32,
    /// The epoch in which it was last set.
    pub mark: u32,
}

/// For each slot, the bits of the prefixes that cover it.
const COVERS: [u64; 32] = {
    let mut table = [0; 32];
    let mut slot = 0;
    while slot < 32 {
        let mut length = 1;
        while length <= 5 {
            table[slot] |= 1 << (1 << length | slot >> (5 - length));
            length += 1;
        }
        slot += 1;
    }
    table
};

/// What the slots of a node answer.
#[derive(Debug)]
pub struct Answers {
    pub words: [u32; 32],
    /// Slots whose answer is a route of the node itself.
    pub covered: u32,
}

/// The nodes. Node 0 is none.
#[derive(Debug)]
pub struct Routes {
    words: Box<[u32]>,
    slabs: Slabs,
}

impl Routes {
    pub fn new() -> Routes {
        let words = chunks::most(WORDS);
        Routes { slabs: Slabs::new(words.len(), LARGEST), words }
    }

    /// Words in use.
    pub fn words(&self) -> usize {
        self.slabs.words()
    }

    /// Memory of no node, for `give` to return to the system.
    pub fn trim(&mut self, mut give: impl FnMut(&mut [u32])) {
        for unused in self.slabs.unused() {
            self.words.get_mut(unused).into_iter().for_each(&mut give);
        }
    }

    /// Whether `nodes` more nodes have room for certain.
    pub fn has_room(&self, nodes: usize) -> bool {
        self.slabs.has_room(nodes, 0)
    }

    /// A bit for each prefix that ends in the node.
    pub fn prefixes(&self, node: u32) -> u64 {
        let node = node as usize;
        u64::from(self.words[node]) | u64::from(self.words[node + 1]) << 32
    }

    /// A bit for each slot with a child.
    pub fn children(&self, node: u32) -> u32 {
        self.words[node as usize + 2]
    }

    /// The child in a slot; 0 if there is none.
    pub fn child(&self, node: u32, slot: u32) -> u32 {
        let children = self.children(node);
        if children >> slot & 1 == 0 {
            return 0;
        }
        self.words[node as usize + HEAD + below32(children, slot)]
    }

    /// The published word of a child that is there.
    pub fn word(&self, node: u32, slot: u32) -> u32 {
        self.words[self.word_at(node, slot)]
    }

    pub fn set_word(&mut self, node: u32, slot: u32, word: u32) {
        let at = self.word_at(node, slot);
        self.words[at] = word;
    }

    /// The route at a prefix of the node.
    pub fn route(&self, node: u32, prefix: u32) -> Option<Route> {
        let at = self.route_at(node, prefix)?;
        Some(Route { value: self.words[at], mark: self.words[at + 1] })
    }

    /// Replaces a route that is there.
    pub fn replace(&mut self, node: u32, prefix: u32, route: Route) {
        if let Some(at) = self.route_at(node, prefix) {
            self.words[at] = route.value;
            self.words[at + 1] = route.mark;
        }
    }

    /// The value of the longest route of the node that covers a slot.
    pub fn cover(&self, node: u32, slot: u32) -> Option<u32> {
        let prefixes = self.prefixes(node);
        let covers = prefixes & COVERS[slot as usize & 31];
        let longest = covers.checked_ilog2()?;
        Some(self.words[self.routes_at(node) + 2 * below64(prefixes, longest)])
    }

    /// What the slots answer when those that no route covers answer `inherited`. Children are not looked at.
    pub fn answers(&self, node: u32, inherited: u32) -> Answers {
        let mut answers = Answers { words: [inherited; 32], covered: 0 };
        let mut at = self.routes_at(node);
        let mut left = self.prefixes(node);
        while left != 0 {
            // Shorter prefixes have lower bits: longer ones are painted over them.
            let (first, count) = span(left.trailing_zeros());
            answers.words[first..first + count].fill(self.words[at]);
            answers.covered |= slots(left.trailing_zeros());
            at += 2;
            left &= left - 1;
        }
        answers
    }

    /// A node with one route.
    pub fn leaf(&mut self, prefix: u32, route: Route) -> Option<u32> {
        let node = self.slabs.take(HEAD + 2)?;
        let prefixes = 1u64 << prefix;
        let words = [prefixes as u32, (prefixes >> 32) as u32, 0, route.value, route.mark];
        self.words[node as usize..node as usize + 5].copy_from_slice(&words);
        Some(node)
    }

    /// A node with one child.
    pub fn branch(&mut self, slot: u32, child: u32) -> Option<u32> {
        let node = self.slabs.take(HEAD + 2)?;
        let words = [0, 0, 1 << slot, child, 0];
        self.words[node as usize..node as usize + 5].copy_from_slice(&words);
        Some(node)
    }

    /// Adds a route that is not there; returns the node, which may have moved.
    pub fn add(&mut self, node: u32, prefix: u32, route: Route) -> Option<u32> {
        let prefixes = self.prefixes(node);
        let at =
            HEAD + 2 * self.children(node).count_ones() as usize + 2 * below64(prefixes, prefix);
        let node = self.stretch(node, &[at], &[[route.value, route.mark].as_slice()])?;
        self.set_prefixes(node, prefixes | 1 << prefix);
        Some(node)
    }

    /// Removes a route that is there; returns the node, which may have moved, or 0 if nothing is left of it.
    pub fn remove(&mut self, node: u32, prefix: u32) -> u32 {
        let prefixes = self.prefixes(node);
        let Some(at) = self.route_at(node, prefix) else { return node };
        let at = at - node as usize;
        let node = self.shrink(node, &[(at, 2)]);
        if node != 0 {
            self.set_prefixes(node, prefixes & !(1 << prefix));
        }
        node
    }

    /// Puts another node in place of a child that is there.
    pub fn move_child(&mut self, node: u32, slot: u32, child: u32) {
        let at = node as usize + HEAD + below32(self.children(node), slot);
        self.words[at] = child;
    }

    /// Adds a child where there is none; returns the node, which may have moved.
    pub fn add_child(&mut self, node: u32, slot: u32, child: u32) -> Option<u32> {
        let children = self.children(node);
        let (below, count) = (below32(children, slot), children.count_ones() as usize);
        let node = self.stretch(node, &[HEAD + below, HEAD + count + below], &[&[child], &[0]])?;
        self.words[node as usize + 2] = children | 1 << slot;
        Some(node)
    }

    /// Removes a child that is there; returns the node, which may have moved, or 0 if nothing is left of it.
    pub fn remove_child(&mut self, node: u32, slot: u32) -> u32 {
        let children = self.children(node);
        let (below, count) = (below32(children, slot), children.count_ones() as usize);
        let (child, word) = (HEAD + below, HEAD + count + below);
        let node = self.shrink(node, &[(child, 1), (word, 1)]);
        if node != 0 {
            self.words[node as usize + 2] = children & !(1 << slot);
        }
        node
    }

    fn size(&self, node: u32) -> usize {
        let children = self.children(node).count_ones() as usize;
        HEAD + 2 * children + 2 * self.prefixes(node).count_ones() as usize
    }

    fn routes_at(&self, node: u32) -> usize {
        node as usize + HEAD + 2 * self.children(node).count_ones() as usize
    }

    fn route_at(&self, node: u32, prefix: u32) -> Option<usize> {
        let prefixes = self.prefixes(node);
        let there = prefixes >> prefix & 1 != 0;
        there.then(|| self.routes_at(node) + 2 * below64(prefixes, prefix))
    }

    fn word_at(&self, node: u32, slot: u32) -> usize {
        let children = self.children(node);
        node as usize + HEAD + children.count_ones() as usize + below32(children, slot)
    }

    fn set_prefixes(&mut self, node: u32, prefixes: u64) {
        self.words[node as usize] = prefixes as u32;
        self.words[node as usize + 1] = (prefixes >> 32) as u32;
    }

    /// The node with `new` words put in before the offsets `at`, which ascend.
    fn stretch(&mut self, node: u32, at: &[usize], new: &[&[u32]]) -> Option<u32> {
        let old = self.size(node);
        let size = old + new.iter().map(|words| words.len()).sum::<usize>();
        let target = if Slabs::same(old, size) { node } else { self.slabs.take(size)? };
        let (from, to) = (node as usize, target as usize);
        // From the end, so that a node that stays is not overwritten before it is read.
        let (mut read, mut write) = (old, size);
        for (at, words) in at.iter().zip(new).rev() {
            self.words.copy_within(from + at..from + read, to + write - (read - at));
            write -= read - at + words.len();
            self.words[to + write..to + write + words.len()].copy_from_slice(words);
            read = *at;
        }
        if target != node {
            self.words.copy_within(from..from + read, to);
            self.slabs.give(node, old);
        }
        Some(target)
    }

    /// The node without some words, given as offset and count, ascending; 0 if nothing but its head is left.
    fn shrink(&mut self, node: u32, gone: &[(usize, usize)]) -> u32 {
        let old = self.size(node);
        let size = old - gone.iter().map(|(_, count)| count).sum::<usize>();
        if size == HEAD {
            self.slabs.give(node, old);
            return 0;
        }
        let from = node as usize;
        let (mut read, mut write) = (0, 0);
        for (at, count) in gone.iter().copied().chain([(old, 0)]) {
            self.words.copy_within(from + read..from + at, from + write);
            write += at - read;
            read = at + count;
        }
        if Slabs::same(old, size) {
            return node;
        }
        // Without room for a smaller block the node stays where it is.
        let Some(target) = self.slabs.take(size) else { return node };
        self.words.copy_within(from..from + size, target as usize);
        self.slabs.give(node, old);
        target
    }
}

/// Set bits below `bit`.
fn below32(bits: u32, bit: u32) -> usize {
    (bits & ((1 << bit) - 1)).count_ones() as usize
}

fn below64(bits: u64, bit: u32) -> usize {
    (bits & ((1 << bit) - 1)).count_ones() as usize
}

/// First slot that a prefix of a node covers, and how many.
fn span(prefix: u32) -> (usize, usize) {
    let free = 5 - prefix.ilog2();
    ((prefix << free) as usize & 31, 1 << free)
}

/// A bit for each slot that a prefix of a node covers.
pub fn slots(prefix: u32) -> u32 {
    let (first, count) = span(prefix);
    (((1u64 << count) - 1) << first) as u32
}
