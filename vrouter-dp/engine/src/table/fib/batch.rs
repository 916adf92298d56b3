//! Lookup of many addresses at once: what one would wait for is asked for while the others go on.

use super::{CHILD, Fib, INDEX, Root, Words, load};
use crate::seam::{NexthopId, VrfId};

/// Addresses that go together.
const BURST: usize = 64;

/// A lookup that is not at its end.
#[derive(Clone, Copy)]
struct Walk<A> {
    root: Root,
    /// Its last word, or at first the place of it.
    word: u32,
    key: u32,
    rest: A,
}

impl<A: Default> Default for Walk<A> {
    fn default() -> Self {
        Walk { root: Root(0), word: 0, key: 0, rest: A::default() }
    }
}

impl Fib {
    /// [`Fib::lookup`] for each address, in host order, in its VRF. Answers beyond the keys stay as they are, keys beyond the answers
    /// are not looked up.
    pub fn lookup_batch(&self, keys: &[(VrfId, u32)], answers: &mut [NexthopId]) {
        let words = self.words();
        let mut walks = [Walk::default(); BURST];
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let places = walks.iter_mut().zip(keys.iter().zip(0..answers.len() as u32));
            let mut count = 0;
            for (walk, ((vrf, address), key)) in places {
                let root = load(&self.roots4, (*vrf).into());
                let (word, rest) = root.enter4(*address);
                words.prefetch(word);
                *walk = Walk { root, word, key, rest };
                count += 1;
            }
            finish(words, &mut walks[..count], answers, |word, rest| {
                let (word, bits) = words.step(word, rest);
                (word, rest.wrapping_shl(bits))
            });
        }
    }

    /// The same for IPv6.
    pub fn lookup6_batch(&self, keys: &[(VrfId, u128)], answers: &mut [NexthopId]) {
        let words = self.words();
        let mut walks = [Walk::default(); BURST];
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let places = walks.iter_mut().zip(keys.iter().zip(0..answers.len() as u32));
            let mut count = 0;
            for (walk, ((vrf, address), key)) in places {
                let root = load(&self.roots6, (*vrf).into());
                let (word, rest) = root.enter6(words, *address);
                words.prefetch(word);
                *walk = Walk { root, word, key, rest };
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
                if let Some(answer) = answers.get_mut(walk.key as usize) {
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
