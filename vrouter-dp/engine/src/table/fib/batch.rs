//! Lookup of many addresses at once: what one would wait for is asked for while the others go on.

use super::{CHILD, DEPTH4, DEPTH6, Fib, Root, STRIDE, load};
use crate::seam::{NexthopId, VrfId};

/// Addresses that go together.
const BURST: usize = 64;

/// A lookup that is not at its end.
#[derive(Clone, Copy)]
struct Walk<A> {
    root: Root,
    /// Word that it waits for.
    word: u32,
    key: u8,
    rest: A,
}

impl Fib {
    /// [`Fib::lookup`] for each address, in host order, in its VRF. Answers beyond the keys stay as they are, keys beyond the answers
    /// are not looked up.
    pub fn lookup_batch(&self, keys: &[(VrfId, u32)], answers: &mut [NexthopId]) {
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let none = Walk { root: Root(0), word: 0, key: 0, rest: 0u32 };
            let mut walks = [none; BURST];
            for ((walk, (vrf, address)), key) in walks.iter_mut().zip(keys).zip(0..) {
                let root = load(&self.roots4, (*vrf).into());
                let (slot, rest) = root.enter4(*address);
                // Word 0 has no answer in it, as an address outside of the root has none.
                let word = slot.map_or(0, |slot| root.base().wrapping_add(slot));
                self.prefetch(word);
                *walk = Walk { root, word, key, rest };
            }
            let count = keys.len().min(answers.len());
            self.walk::<u32, DEPTH4>(&mut walks[..count], answers, |rest| {
                (rest >> (u32::BITS - STRIDE), rest << STRIDE)
            });
        }
    }

    /// The same for IPv6.
    pub fn lookup6_batch(&self, keys: &[(VrfId, u128)], answers: &mut [NexthopId]) {
        for (keys, answers) in keys.chunks(BURST).zip(answers.chunks_mut(BURST)) {
            let none = Walk { root: Root(0), word: 0, key: 0, rest: 0u128 };
            let mut walks = [none; BURST];
            for ((walk, (vrf, address)), key) in walks.iter_mut().zip(keys).zip(0..) {
                let root = load(&self.roots6, (*vrf).into());
                let (slot, below) = root.enter6((address >> 64) as u64, self.expected(root));
                let word = slot.map_or(0, |slot| root.base().wrapping_add(slot));
                self.prefetch(word);
                *walk = Walk { root, word, key, rest: address << (64 - below) };
            }
            let count = keys.len().min(answers.len());
            self.walk::<u128, DEPTH6>(&mut walks[..count], answers, |rest| {
                ((rest >> (u128::BITS - STRIDE)) as u32, rest << STRIDE)
            });
        }
    }

    /// Takes every walk a node further until all are at their end.
    #[inline(always)]
    fn walk<A: Copy, const DEPTH: usize>(
        &self,
        walks: &mut [Walk<A>],
        answers: &mut [NexthopId],
        turn: impl Fn(A) -> (u32, A),
    ) {
        for walk in walks.iter_mut() {
            walk.word = self.word(walk.word);
            if walk.word & CHILD != 0 {
                self.prefetch(walk.word & !CHILD);
            }
        }
        let mut going = walks.len();
        for _ in 0..=DEPTH {
            let mut left = 0;
            for at in 0..going {
                let Some(mut walk) = walks.get(at).copied() else { break };
                if walk.word & CHILD == 0 {
                    if let Some(answer) = answers.get_mut(usize::from(walk.key)) {
                        *answer = self.answer(walk.root, walk.word);
                    }
                    continue;
                }
                let (slot, rest) = turn(walk.rest);
                walk.word = self.step(walk.word & !CHILD, slot);
                walk.rest = rest;
                if walk.word & CHILD != 0 {
                    self.prefetch(walk.word & !CHILD);
                }
                if let Some(place) = walks.get_mut(left) {
                    *place = walk;
                    left += 1;
                }
            }
            going = left;
            if going == 0 {
                return;
            }
        }
    }
}
