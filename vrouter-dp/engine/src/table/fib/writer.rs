//! The writing side of the tries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::Ipv4Net;

use super::{Fib, Node, Trie, Word};
use crate::publish::{Domain, Token};
use crate::seam::{NexthopId, Refusal};

/// Nodes that one route can need: one for each level below the root.
const DEEPEST: usize = 3;

/// Changes the tries. The only writer of its [`Fib`].
#[derive(Debug)]
pub struct FibWriter {
    fib: Arc<Fib>,
    domain: Arc<Domain>,
    /// Nodes that may be used.
    free: Vec<u32>,
    /// Nodes that readers may still see.
    limbo: VecDeque<(Token, u32)>,
    /// Lowest node never used.
    fresh: u32,
    /// Per node: routes that end in it or below it. A node without any answers the same everywhere and can go.
    routes: Vec<u32>,
}

impl FibWriter {
    /// The writer of `fib`, which nobody else may write.
    pub fn new(fib: Arc<Fib>, domain: Arc<Domain>) -> FibWriter {
        FibWriter {
            fib,
            domain,
            free: Vec::new(),
            limbo: VecDeque::new(),
            fresh: 1,
            routes: vec![0],
        }
    }

    /// Makes an empty trie; no change if it exists. `Full` without a node.
    pub fn create(&mut self, trie: Trie) -> Result<(), Refusal> {
        if self.root(trie) == 0 {
            let root = self.allocate(Word::EMPTY)?;
            self.fib.roots[trie.0].store(root, Ordering::Release);
        }
        Ok(())
    }

    /// Removes a trie that holds no route.
    pub fn destroy(&mut self, trie: Trie) {
        let root = self.fib.roots[trie.0].swap(0, Ordering::AcqRel);
        if root != 0 {
            self.retire(root);
        }
    }

    /// Adds the route, or replaces its next hop if `replaces`, which must say whether the trie has it. `Full` without nodes.
    pub fn insert(
        &mut self,
        trie: Trie,
        prefix: Ipv4Net,
        value: NexthopId,
        replaces: bool,
    ) -> Result<(), Refusal> {
        let mut index = self.root(trie);
        if index == 0 {
            return Err(Refusal::Unknown);
        }
        self.reserve(DEEPEST)?;
        let octets = prefix.network().octets();
        let level = level(prefix.prefix_len());
        for octet in &octets[..level] {
            let node = self.node(index);
            let word = node.word(*octet);
            index = match word.child() {
                Some(child) => child,
                None => {
                    // The child answers as its parent did until it is filled.
                    let child = self.allocate(word)?;
                    self.node(index).put(*octet, Word::node(child));
                    child
                }
            };
            if !replaces {
                self.routes[index as usize] += 1;
            }
        }
        let leaf = Word::leaf(value, prefix.prefix_len());
        for slot in slots(octets[level], prefix.prefix_len()) {
            self.cover(index, slot, leaf, |old| old.length() <= leaf.length());
        }
        Ok(())
    }

    /// Removes a route that the trie has; `covering` is the next longest one with its length.
    pub fn remove(&mut self, trie: Trie, prefix: Ipv4Net, covering: Option<(u8, NexthopId)>) {
        let octets = prefix.network().octets();
        let level = level(prefix.prefix_len());
        let mut path = [self.root(trie); DEEPEST + 1];
        for step in 0..level {
            match self.node(path[step]).word(octets[step]).child() {
                Some(child) => path[step + 1] = child,
                None => return,
            }
        }
        let leaf = covering.map_or(Word::EMPTY, |(length, value)| Word::leaf(value, length));
        for slot in slots(octets[level], prefix.prefix_len()) {
            self.cover(path[level], slot, leaf, |old| {
                old.length() == prefix.prefix_len() && old != Word::EMPTY
            });
        }
        for step in (0..level).rev() {
            let child = path[step + 1];
            self.routes[child as usize] -= 1;
            if self.routes[child as usize] == 0 {
                let answer = self.node(child).word(0);
                self.node(path[step]).put(octets[step], answer);
                self.retire(child);
            }
        }
    }

    /// Makes nodes that no reader sees any more usable again; returns how many still wait.
    pub fn reclaim(&mut self) -> usize {
        while let Some((token, node)) = self.limbo.front().copied()
            && self.domain.grace_passed(token)
        {
            self.limbo.pop_front();
            self.free.push(node);
        }
        self.limbo.len()
    }

    /// Nodes in use, the ones that wait for grace included; each is 1 KiB.
    pub fn nodes(&self) -> usize {
        self.fresh as usize - 1 - self.free.len()
    }

    /// Puts `leaf` into a slot and all that is below it, wherever `replaces` says so of the present answer.
    fn cover(&self, index: u32, slot: u8, leaf: Word, replaces: impl Fn(Word) -> bool + Copy) {
        let node = self.node(index);
        let word = node.word(slot);
        match word.child() {
            Some(child) => (0..=255).for_each(|slot| self.cover(child, slot, leaf, replaces)),
            None if replaces(word) => node.put(slot, leaf),
            None => {}
        }
    }

    fn root(&self, trie: Trie) -> u32 {
        self.fib.roots[trie.0].load(Ordering::Relaxed)
    }

    /// A node that was allocated; words name no other.
    fn node(&self, index: u32) -> &Node {
        &self.fib.nodes[index as usize]
    }

    fn room(&self) -> usize {
        self.free.len() + self.fib.nodes.len().saturating_sub(self.fresh as usize)
    }

    fn reserve(&mut self, count: usize) -> Result<(), Refusal> {
        if self.room() < count {
            self.reclaim();
        }
        if self.room() < count { Err(Refusal::Full) } else { Ok(()) }
    }

    fn allocate(&mut self, answer: Word) -> Result<u32, Refusal> {
        self.reserve(1)?;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.fresh += 1;
                self.routes.push(0);
                self.fresh - 1
            }
        };
        self.node(index).fill(answer);
        Ok(index)
    }

    fn retire(&mut self, node: u32) {
        self.routes[node as usize] = 0;
        let token = self.domain.advance();
        self.limbo.push_back((token, node));
    }
}

/// Level of the node that a prefix ends in: 0 for /0 to /8, 1 to /16, 2 to /24, 3 to /32.
const fn level(length: u8) -> usize {
    (length.saturating_sub(1) / 8) as usize
}

/// The slots that a prefix takes in the node that it ends in; `octet` is its part of the address.
fn slots(octet: u8, length: u8) -> std::ops::RangeInclusive<u8> {
    let free_bits = (level(length) as u8 + 1) * 8 - length;
    let size = (1u16 << free_bits) - 1;
    octet..=(u16::from(octet) | size) as u8
}
