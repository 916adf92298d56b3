//! The walks of a batch sixteen at a time, for CPUs with AVX-512: no step has a branch that depends on an address, and the loads of
//! many walks are under way at once. `batch.rs` has the same for every CPU, and what is done here is what is done there.
#![allow(unsafe_code, reason = "the instructions that load by index have no safe form; decision 7")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::batch::{Key4, Key6};
use super::prefix::GLOBAL;
use super::{CHILD, Fib, INDEX, ROOT_HEAD, Root, SKIP, STRIDE, TRIES};
use crate::seam::NexthopId;

/// Walks that go together, each in a lane of 32 bits.
const LANES: usize = 16;
/// The most that are under way at once.
const MOST: usize = 4 * LANES;

/// Proof that the CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vectors(());

impl Vectors {
    /// `None` on a CPU without them.
    pub fn new() -> Option<Vectors> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx512vpopcntdq");
        all.then_some(Vectors(()))
    }

    /// [`Fib::lookup_batch`].
    #[inline]
    pub fn lookup4(self, fib: &Fib, keys: &[Key4], answers: &mut [NexthopId]) {
        let count = keys.len().min(answers.len());
        let (keys, answers) = (&keys[..count], &mut answers[..count]);
        for (keys, answers) in keys.chunks(MOST).zip(answers.chunks_mut(MOST)) {
            // SAFETY: `self` exists only where `new` found every feature that the function is compiled for.
            unsafe {
                match keys.len() {
                    0..=16 => walk4::<1>(fib, keys, answers),
                    17..=32 => walk4::<2>(fib, keys, answers),
                    _ => walk4::<4>(fib, keys, answers),
                }
            }
        }
    }

    /// [`Fib::lookup6_batch`].
    #[inline]
    pub fn lookup6(self, fib: &Fib, keys: &[Key6], answers: &mut [NexthopId]) {
        let count = keys.len().min(answers.len());
        let (keys, answers) = (&keys[..count], &mut answers[..count]);
        for (keys, answers) in keys.chunks(MOST).zip(answers.chunks_mut(MOST)) {
            // SAFETY: as above.
            unsafe {
                match keys.len() {
                    0..=16 => walk6::<1>(fib, keys, answers),
                    17..=32 => walk6::<2>(fib, keys, answers),
                    _ => walk6::<4>(fib, keys, answers),
                }
            }
        }
    }
}

/// Walks of sixteen keys: words, the 32 bits of the address behind them, and the first slots of the roots.
#[derive(Clone, Copy)]
struct Walks {
    word: __m512i,
    rest: __m512i,
    base: __m512i,
}

impl Walks {
    /// All at an end without an answer.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn none() -> Walks {
        let zero = _mm512_setzero_si512();
        Walks { word: zero, rest: zero, base: zero }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq")]
fn walk4<const GROUPS: usize>(fib: &Fib, keys: &[Key4], answers: &mut [NexthopId]) {
    let words = &*fib.words;
    let mut walks = [Walks::none(); GROUPS];
    for (group, walks) in walks.iter_mut().enumerate() {
        let there = first(keys.len().saturating_sub(group * LANES));
        let (address, trie) = read(keys, group);
        let (base, how) = roots(&fib.roots4, there, trie);
        // As `Root::enter4`.
        let five = _mm512_set1_epi32(31);
        let expected = _mm512_and_si512(how, _mm512_set1_epi32(Root::EXPECTED as i32));
        let other = _mm512_xor_si512(address, expected);
        let slot = _mm512_srlv_epi32(other, _mm512_and_si512(how, five));
        let width = _mm512_and_si512(_mm512_srli_epi32::<5>(how), five);
        let outside = _mm512_srlv_epi32(slot, width);
        let within = _mm512_testn_epi32_mask(outside, outside) & there;
        let taken = _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), how), five);
        let none = _mm512_setzero_si512();
        let word = gather(words, within, _mm512_add_epi32(base, slot), none);
        *walks = Walks { word, rest: _mm512_sllv_epi32(address, taken), base };
    }
    while any(&walks) {
        for walks in &mut walks {
            let bits = step(words, walks);
            walks.rest = _mm512_sllv_epi32(walks.rest, bits);
        }
    }
    finish(words, &walks, answers);
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq")]
fn walk6<const GROUPS: usize>(fib: &Fib, keys: &[Key6], answers: &mut [NexthopId]) {
    let words = &*fib.words;
    let mut walks = [Walks::none(); GROUPS];
    let mut addresses = [Addresses::none(); GROUPS];
    for group in 0..GROUPS {
        let addresses = &mut addresses[group];
        let there = first(keys.len().saturating_sub(group * LANES));
        let low = read6(keys.get(group * LANES..).unwrap_or_default());
        let high = read6(keys.get(group * LANES + LANES / 2..).unwrap_or_default());
        (addresses.upper, addresses.lower) = ([low.0, high.0], [low.1, high.1]);
        // As `Fib::root6`.
        let mut global = 0;
        for half in 0..2 {
            let kind = _mm512_srli_epi64::<{ 64 - GLOBAL.0 as u32 }>(addresses.upper[half]);
            let same = _mm512_cmpeq_epi64_mask(kind, _mm512_set1_epi64(GLOBAL.1 as i64));
            global |= u16::from(same) << (half * LANES / 2);
        }
        let trie = whole([low.2, high.2]);
        let trie = _mm512_mask_add_epi32(trie, global, trie, _mm512_set1_epi32(TRIES as i32));
        let (base, how) = roots(&fib.roots6, there, trie);
        // As `Root::enter6`: what is expected stands before the slots, the upper half first.
        let expected = pairs(words, there, _mm512_sub_epi32(base, _mm512_set1_epi32(3)));
        let (how, mut within) = (halves(how), 0);
        let mut slot = [_mm256_setzero_si256(); 2];
        for half in 0..2 {
            let how = _mm512_cvtepu32_epi64(how[half]);
            let below = _mm512_and_si512(how, _mm512_set1_epi64(63));
            let expected = _mm512_rol_epi64::<32>(expected[half]);
            let other = _mm512_xor_si512(addresses.upper[half], expected);
            let place = _mm512_srlv_epi64(other, below);
            let width = _mm512_and_si512(_mm512_srli_epi64::<6>(how), _mm512_set1_epi64(31));
            let outside = _mm512_srlv_epi64(place, width);
            let inside = _mm512_testn_epi64_mask(outside, outside);
            within |= u16::from(inside) << (half * LANES / 2);
            slot[half] = _mm512_cvtepi64_epi32(place);
            addresses.shift(half, _mm512_sub_epi64(_mm512_set1_epi64(64), below));
        }
        let place = _mm512_add_epi32(base, whole(slot));
        let word = gather(words, within & there, place, _mm512_setzero_si512());
        walks[group] = Walks { word, rest: addresses.rest(), base };
    }
    while any(&walks) {
        for group in 0..GROUPS {
            let bits = halves(step(words, &mut walks[group]));
            addresses[group].shift(0, _mm512_cvtepu32_epi64(bits[0]));
            addresses[group].shift(1, _mm512_cvtepu32_epi64(bits[1]));
            walks[group].rest = addresses[group].rest();
        }
    }
    finish(words, &walks, answers);
}

/// What is left of sixteen IPv6 addresses, by halves of 64 bits.
#[derive(Clone, Copy)]
struct Addresses {
    upper: [__m512i; 2],
    lower: [__m512i; 2],
}

impl Addresses {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn none() -> Addresses {
        let zero = _mm512_setzero_si512();
        Addresses { upper: [zero; 2], lower: [zero; 2] }
    }

    /// Takes bits, fewer than 64, off eight of them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn shift(&mut self, half: usize, bits: __m512i) {
        self.upper[half] = _mm512_shldv_epi64(self.upper[half], self.lower[half], bits);
        self.lower[half] = _mm512_sllv_epi64(self.lower[half], bits);
    }

    /// The next 32 bits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn rest(&self) -> __m512i {
        let low = _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(self.upper[0]));
        let high = _mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(self.upper[1]));
        whole([low, high])
    }
}

/// Whether any walk goes on.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq")]
fn any<const GROUPS: usize>(walks: &[Walks; GROUPS]) -> bool {
    let mut all = _mm512_setzero_si512();
    for walks in walks {
        all = _mm512_or_si512(all, walks.word);
    }
    _mm512_movepi32_mask(all) != 0
}

/// `Words::step` for the walks that go on; the others keep their words. Returns how many bits of the address it took.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq")]
fn step(words: &[AtomicU32], walks: &mut Walks) -> __m512i {
    let Walks { word, rest, .. } = *walks;
    let going = _mm512_movepi32_mask(word);
    let one = _mm512_set1_epi32(1);
    let block = _mm512_and_si512(word, _mm512_set1_epi32(INDEX as i32));
    let (head, begins) = apart(pairs(words, going, block));
    let after = _mm512_add_epi32(block, one);
    // A node: the slots up to that of the address say how far away the word is.
    let slot = _mm512_srli_epi32::<{ u32::BITS - STRIDE }>(rest);
    let above = _mm512_sllv_epi32(_mm512_set1_epi32(!1), slot);
    let children = _mm512_popcnt_epi32(_mm512_andnot_si512(above, head));
    let answers = _mm512_popcnt_epi32(_mm512_andnot_si512(above, begins));
    let leads = _mm512_test_epi32_mask(head, _mm512_sllv_epi32(one, slot));
    let node = _mm512_sub_epi32(block, answers);
    let node = _mm512_mask_add_epi32(node, leads, after, children);
    // A skip.
    let skip = _mm512_test_epi32_mask(word, _mm512_set1_epi32(SKIP as i32));
    let below = _mm512_and_si512(head, _mm512_set1_epi32(31));
    let other = _mm512_srlv_epi32(_mm512_xor_si512(rest, head), below);
    let outside = _mm512_test_epi32_mask(other, other);
    let next = _mm512_mask_mov_epi32(node, skip, after);
    let next = _mm512_mask_add_epi32(next, skip & outside, after, one);
    let bits = _mm512_set1_epi32(STRIDE as i32);
    let bits = _mm512_mask_sub_epi32(bits, skip, _mm512_set1_epi32(u32::BITS as i32), below);
    let still = _mm512_maskz_mov_epi32(!going, word);
    walks.word = gather(words, going, next, still);
    bits
}

/// Writes the answers: for a word of 0, the default one of the root.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq")]
fn finish<const GROUPS: usize>(
    words: &[AtomicU32],
    walks: &[Walks; GROUPS],
    answers: &mut [NexthopId],
) {
    for (group, walks) in walks.iter().enumerate() {
        let answers = answers.get_mut(group * LANES..).unwrap_or_default();
        let none = _mm512_testn_epi32_mask(walks.word, walks.word) & first(answers.len());
        let mut found = walks.word;
        if none != 0 {
            let place = _mm512_sub_epi32(walks.base, _mm512_set1_epi32(1));
            found = gather(words, none, place, found);
        }
        write(answers, found);
    }
}

/// A bit for each of the first `count` lanes.
#[inline]
const fn first(count: usize) -> u16 {
    if count < LANES { (1 << count) - 1 } else { u16::MAX }
}

/// Eight lanes each.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(lanes: __m512i) -> [__m256i; 2] {
    [_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn whole(halves: [__m256i; 2]) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(halves[0]), halves[1])
}

/// Sixteen pairs of words: the first ones and the second ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn apart([low, high]: [__m512i; 2]) -> (__m512i, __m512i) {
    let first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let second = _mm512_or_si512(first, _mm512_set1_epi32(1));
    (_mm512_permutex2var_epi32(low, first, high), _mm512_permutex2var_epi32(low, second, high))
}

// ---- memory ----------------------------------------------------------------------------------------------------------

/// Addresses and tries of a group of keys; 0 where there is no key.
#[inline]
#[target_feature(enable = "avx512f")]
fn read(keys: &[Key4], group: usize) -> (__m512i, __m512i) {
    const { assert!(size_of::<Key4>() == 8) }
    let mut halves = [_mm512_setzero_si512(); 2];
    for (half, found) in halves.iter_mut().enumerate() {
        let keys = keys.get(group * LANES + half * LANES / 2..).unwrap_or_default();
        // SAFETY: loads eight bytes for each bit that is set, one for each key that is there; a key is eight bytes.
        *found = unsafe { _mm512_maskz_loadu_epi64(first(keys.len()) as u8, keys.as_ptr().cast()) };
    }
    apart(halves)
}

/// The halves of eight IPv6 addresses, and their tries; 0 where there is no key.
#[inline]
#[target_feature(enable = "avx512f")]
fn read6(keys: &[Key6]) -> (__m512i, __m512i, __m256i) {
    const { assert!(size_of::<Key6>() == 32) }
    let mut pairs = [_mm512_setzero_si512(); 4];
    for (at, pair) in pairs.iter_mut().enumerate() {
        let keys = keys.get(2 * at..).unwrap_or_default();
        let there = [0, 0x0f, 0xff][keys.len().min(2)];
        // SAFETY: loads eight bytes for each bit that is set, four for each key that is there; a key is 32 bytes.
        *pair = unsafe { _mm512_maskz_loadu_epi64(there, keys.as_ptr().cast()) };
    }
    let [a, b, c, d] = pairs;
    let parts = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13);
    let (low, high) =
        (_mm512_permutex2var_epi64(a, parts, b), _mm512_permutex2var_epi64(c, parts, d));
    let upper = _mm512_shuffle_i64x2::<0b01_00_01_00>(low, high);
    let lower = _mm512_shuffle_i64x2::<0b11_10_11_10>(low, high);
    let parts = _mm512_setr_epi64(2, 6, 10, 14, 2, 6, 10, 14);
    let (low, high) =
        (_mm512_permutex2var_epi64(a, parts, b), _mm512_permutex2var_epi64(c, parts, d));
    let trie = _mm512_shuffle_i64x2::<0b01_00_01_00>(low, high);
    (upper, lower, _mm512_cvtepi64_epi32(trie))
}

/// Writes the first sixteen answers, or as many as there are.
#[inline]
#[target_feature(enable = "avx512f")]
fn write(answers: &mut [NexthopId], found: __m512i) {
    const { assert!(size_of::<NexthopId>() == 4) }
    let there = first(answers.len());
    // SAFETY: stores four bytes for each bit that is set, one for each answer that is there; an answer is four bytes, any bits.
    unsafe { _mm512_mask_storeu_epi32(answers.as_mut_ptr().cast(), there, found) };
}

/// The words at `places` in the lanes that are asked for, 0 for a place that no block has; of the other lanes, `still`.
#[inline]
#[target_feature(enable = "avx512f")]
fn gather(words: &[AtomicU32], asked: u16, places: __m512i, still: __m512i) -> __m512i {
    let end = _mm512_set1_epi32(words.len().min(INDEX as usize) as i32);
    let asked = _mm512_mask_cmplt_epu32_mask(asked, places, end);
    let mut found = still;
    // WHY: one load a lane costs three times as much. It is assembly, since other threads store to these words: the compiler's own
    // form of the instruction would be a plain load, a data race.
    // SAFETY: loads four bytes at each place whose bit is set: all of them are below the end of the slice, hence in it, and small
    // enough not to be taken for negative. An aligned load of four bytes is atomic, and ordered as every load of this CPU.
    unsafe {
        asm!(
            "vpgatherdd {found}{{{asked}}}, [{words} + 4*{places}]",
            found = inout(zmm_reg) found,
            asked = inout(kreg) asked => _,
            words = in(reg) words.as_ptr(),
            places = in(zmm_reg) places,
            options(nostack, preserves_flags, readonly),
        );
    }
    found
}

/// The words at `places`, each with the one behind it in the upper half; 0 in lanes that are not asked for, and for places that no block has.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(words: &[AtomicU32], asked: u16, places: __m512i) -> [__m512i; 2] {
    let end = _mm512_set1_epi32(words.len().saturating_sub(1).min(INDEX as usize) as i32);
    let asked = _mm512_mask_cmplt_epu32_mask(asked, places, end);
    let mut found = [_mm512_setzero_si512(); 2];
    for (half, places) in halves(places).into_iter().enumerate() {
        let asked = (asked >> (half * LANES / 2)) as u8;
        // WHY: as above.
        // SAFETY: as above, of eight bytes: the word behind each place is in the slice too. The two may be from different moments:
        // the first words of a block never change while a reader may see it.
        unsafe {
            asm!(
                "vpgatherdq {found}{{{asked}}}, [{words} + 4*{places}]",
                found = inout(zmm_reg) found[half],
                asked = inout(kreg) asked => _,
                words = in(reg) words.as_ptr(),
                places = in(ymm_reg) places,
                options(nostack, preserves_flags, readonly),
            );
        }
    }
    found
}

/// The lower and the upper halves of roots; 0 in lanes that are not asked for, and beyond the end.
#[inline]
#[target_feature(enable = "avx512f")]
fn roots(roots: &[AtomicU64], asked: u16, tries: __m512i) -> (__m512i, __m512i) {
    let end = _mm512_set1_epi32(roots.len().min(INDEX as usize) as i32);
    let asked = _mm512_mask_cmplt_epu32_mask(asked, tries, end);
    let mut found = [_mm512_setzero_si512(); 2];
    for (half, tries) in halves(tries).into_iter().enumerate() {
        let asked = (asked >> (half * LANES / 2)) as u8;
        // WHY: as above.
        // SAFETY: as above, of eight aligned bytes.
        unsafe {
            asm!(
                "vpgatherdq {found}{{{asked}}}, [{roots} + 8*{tries}]",
                found = inout(zmm_reg) found[half],
                asked = inout(kreg) asked => _,
                roots = in(reg) roots.as_ptr(),
                tries = in(ymm_reg) tries,
                options(nostack, preserves_flags, readonly),
            );
        }
    }
    apart(found)
}

const _: () = assert!(CHILD == 1 << 31, "the sign of a word says that a walk goes on");
const _: () = assert!(ROOT_HEAD > 0, "the word before a root's first slot is its default answer");
