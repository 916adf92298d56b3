use proptest::prelude::Rng as _;

use super::*;

/// VRFs without routes, with the default one, with few and with many; 9 is none.
const VRFS: [u16; 5] = [1, 2, 3, 4, 9];

fn tables() -> Bench {
    let mut bench = Bench::new();
    let mut rng = random(11);
    for vrf in 1..=4 {
        bench.writer.create(VrfId(vrf).into());
    }
    for (vrf, routes) in [(3, 40), (4, 9_000)] {
        for value in 2u32..routes {
            for kind in Kind::ALL {
                let length = 6 + rng.next_u32() % (kind.bits() - 5);
                let key = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                // Nested ones too, and some that share their upper bits.
                let key = if value.is_multiple_of(2) { key } else { key >> 12 | 0x2a0 << 116 };
                let prefix = kind.net(key & mask(length), length as u8);
                bench.writer.set(VrfId(vrf).into(), prefix, NexthopId(value), 0).unwrap();
            }
        }
    }
    for (vrf, prefix) in [(2, "0.0.0.0/0"), (2, "::/0"), (4, "0.0.0.0/0"), (4, "::/0")] {
        bench.writer.set(VrfId(vrf).into(), net(prefix), NexthopId(1), 0).unwrap();
    }
    bench
}

/// Addresses, about half of them near a route.
fn addresses(rng: &mut TestRng, count: usize) -> Vec<(VrfId, u128)> {
    let some = |rng: &mut TestRng| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let mut keys: Vec<_> = (0..count)
        .map(|_| {
            let key = some(rng);
            let key = if rng.next_u32().is_multiple_of(2) { key } else { key >> 12 | 0x2a0 << 116 };
            (VrfId(VRFS[rng.next_u32() as usize % VRFS.len()]), key)
        })
        .collect();
    keys.dedup();
    keys
}

/// However many go together, each gets the answer that it gets alone, and nobody else's answer is touched.
#[test]
fn a_batch_of_any_length_answers_as_single_lookups() {
    let bench = tables();
    let fib = &bench.fib;
    let mut rng = random(12);
    let mut different = std::collections::BTreeSet::new();
    for round in 0..2_000 {
        let keys = addresses(&mut rng, round % 150);
        let four: Vec<_> =
            keys.iter().map(|(vrf, key)| Key4::new(*vrf, (key >> 96) as u32)).collect();
        let six: Vec<_> = keys.iter().map(|(vrf, key)| Key6::new(*vrf, *key)).collect();
        let single4: Vec<_> =
            four.iter().map(|key| fib.lookup(key.trie(), key.address().into())).collect();
        let single6: Vec<_> =
            six.iter().map(|key| fib.lookup6(key.trie(), key.address().into())).collect();
        different.extend(single4.iter().chain(&single6).copied());
        // Room for more answers than keys, and for fewer.
        for room in [keys.len() + 3, keys.len(), keys.len() / 2] {
            let untouched = NexthopId(u32::MAX);
            let right = |single: &[NexthopId]| -> Vec<NexthopId> {
                single.iter().copied().chain([untouched; 3]).take(room).collect()
            };
            let run = |lookup: &dyn Fn(&mut [NexthopId])| {
                let mut answers = vec![untouched; room];
                lookup(&mut answers);
                answers
            };
            assert_eq!(run(&|answers| fib.lookup_batch(&four, answers)), right(&single4));
            assert_eq!(run(&|answers| fib.stepwise4(&four, answers)), right(&single4));
            assert_eq!(run(&|answers| fib.lookup6_batch(&six, answers)), right(&single6));
            assert_eq!(run(&|answers| fib.stepwise6(&six, answers)), right(&single6));
        }
    }
    assert!(different.len() > 1_000, "{} answers: many routes were met", different.len());
}
