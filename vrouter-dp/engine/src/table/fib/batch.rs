//! Lookup of many addresses at once: what one would wait for is asked for while the others go on. With vectors where the CPU has
//! them (`vector.rs`), else step by step.

use super::{CHILD, Fib, INDEX, Root, Trie, Words, load};
use crate::seam::NexthopId;

/// Addresses that go together.
const BURST: usize = 64;

/// Fewer than these are looked up one after the other: vectors would be nearly empty.
const FEW: usize = 6;

/// What is looked up: an IPv4 address, in host order, in a trie. In this form, so that vectors of keys are read as they are.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct Key4 {
    address: u32,
    trie: u32,
}

impl Key4 {
    #[inline(always)]
    pub fn new(trie: impl Into<Trie>, address: u32) -> Key4 {
        Key4 { address, trie: trie.into().0 as u32 }
    }

    #[inline(always)]
    pub const fn address(self) -> u32 {
        self.address
    }

    #[inline(always)]
    pub const fn trie(self) -> Trie {
        Trie(self.trie as usize)
    }
}

/// The same for IPv6.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Key6 {
    upper: u64,
    lower: u64,
    trie: u32,
}

impl Key6 {
    #[inline(always)]
    pub fn new(trie: impl Into<Trie>, address: u128) -> Key6 {
        let (upper, lower) = ((address >> 64) as u64, address as u64);
        Key6 { upper, lower, trie: trie.into().0 as u32 }
    }

    #[inline(always)]
    pub const fn address(self) -> u128 {
        (self.upper as u128) << 64 | self.lower as u128
    }

    #[inline(always)]
    pub const fn trie(self) -> Trie {
        Trie(self.trie as usize)
    }
}

/// A lookup that is not at its end.
#[derive(Clone, Copy)]
struct Walk<A> {
    root: Root,
    /// Its last word, or at first the place of it.
    word: u32,
    at: u32,
    rest: A,
}

impl<A: Default> Default for Walk<A> {
    fn default() -> Self {
        Walk { root: Root(0), word: 0, at: 0, rest: A::default() }
    }
}

impl Fib {
    /// Whether a batch costs less than its lookups one by one, wherever its keys lie.
    #[inline]
    pub fn prefers_batches(&self) -> bool {
        self.vectors.is_some()
    }

    /// [`Fib::lookup`] for each key. Answers beyond the keys stay as they are, keys beyond the answers are not looked up.
    #[inline]
    pub fn lookup_batch(&self, keys: &[Key4], answers: &mut [NexthopId]) {
        match self.vectors.filter(|_| keys.len() >= FEW) {
            Some(vectors) => vectors.lookup4(self, keys, answers),
            None => self.stepwise4(keys, answers),
        }
    }

    /// The same for IPv6.
    #[inline]
    pub fn lookup6_batch(&self, keys: &[Key6], answers: &mut [NexthopId]) {
        match self.vectors.filter(|_| keys.len() >= FEW) {
            Some(vectors) => vectors.lookup6(self, keys, answers),
            None => self.stepwise6(keys, answers),
        }
    }

    pub(super) fn stepwise4(&self, keys: &[Key4], answers: &mut [NexthopId]) {
        let words = self.words();
        let mut walks = [Walk::default(); BURST];
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let places = walks.iter_mut().zip(keys.iter().zip(0..answers.len() as u32));
            let mut count = 0;
            for (walk, (key, at)) in places {
                let root = load(&self.roots4, key.trie());
                let (word, taken) = root.enter4(key.address);
                let rest = key.address.wrapping_shl(taken);
                words.prefetch(word);
                *walk = Walk { root, word, at, rest };
                count += 1;
            }
            finish(words, &mut walks[..count], answers, |word, rest| {
                let (word, bits) = words.step(word, rest);
                (word, rest.wrapping_shl(bits))
            });
        }
    }

    pub(super) fn stepwise6(&self, keys: &[Key6], answers: &mut [NexthopId]) {
        let words = self.words();
        let mut walks = [Walk::default(); BURST];
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let places = walks.iter_mut().zip(keys.iter().zip(0..answers.len() as u32));
            let mut count = 0;
            for (walk, (key, at)) in places {
                let root = self.root6(key.trie(), key.address());
                let (word, taken) = root.enter6(words, key.address());
                let rest = key.address() << (taken & 127);
                words.prefetch(word);
                *walk = Walk { root, word, at, rest };
                count += 1;
            }
            finish(words, &mut walks[..count], answers, |word, rest: u128| {
                let (word, bits) = words.step(word, (rest >> 96) as u32);
                (word, rest << (bits & 31))
            });
        }
    }
}

/// Takes every walk a block further until all are at their end.
#[inline(always)]
fn finish<A: Copy>(
    words: Words<'_>,
    walks: &mut [Walk<A>],
    answers: &mut [NexthopId],
    step: impl Fn(u32, A) -> (u32, A),
) {
    for walk in walks.iter_mut() {
        walk.word = words.get(walk.word);
        if walk.word & CHILD != 0 {
            words.prefetch(walk.word & INDEX);
        }
    }
    let mut going = walks.len();
    while going > 0 {
        let mut left = 0;
        for at in 0..going {
            let Some(mut walk) = walks.get(at).copied() else { break };
            if walk.word & CHILD == 0 {
                if let Some(answer) = answers.get_mut(walk.at as usize) {
                    *answer = words.answer(walk.root, walk.word);
                }
                continue;
            }
            (walk.word, walk.rest) = step(walk.word, walk.rest);
            if walk.word & CHILD != 0 {
                words.prefetch(walk.word & INDEX);
            }
            if let Some(place) = walks.get_mut(left) {
                *place = walk;
                left += 1;
            }
        }
        going = left;
    }
}
