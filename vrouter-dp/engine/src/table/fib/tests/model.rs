use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn longest_prefix_wins_and_covered_routes_come_back() {
    let mut bench = Bench::new();
    let prefixes =
        ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/18", "10.1.0.0/24", "10.1.0.7/32"];
    for (prefix, value) in prefixes.into_iter().zip(1..) {
        bench.add(net(prefix), value);
    }
    let find = |bench: &Bench, address: u32| bench.lookup(Kind::Four, u128::from(address) << 96);
    let address = u32::from_be_bytes([10, 1, 0, 7]);
    assert_eq!(find(&bench, address), 6);
    assert_eq!(find(&bench, address + 1), 5);
    assert_eq!(find(&bench, address + 0x100), 4);
    assert_eq!(find(&bench, 0), 1);
    for (prefix, then) in [("10.1.0.0/24", 6), ("10.1.0.7/32", 4), ("10.1.0.0/18", 3)] {
        bench.delete(net(prefix));
        assert_eq!(find(&bench, address), then);
    }
    bench.delete(net("10.0.0.0/8"));
    assert_eq!((find(&bench, address), find(&bench, address + (1 << 20))), (3, 1));
    bench.delete(net("10.1.0.0/16"));
    assert_eq!(find(&bench, address), 1);
    bench.delete(net("0.0.0.0/0"));
    assert_eq!(find(&bench, address), 0);
    bench.settle();
    assert_eq!((bench.writer.bytes(), bench.writer.own_bytes()), (0, 0));
}

/// Prefixes that hold global and other IPv6 addresses are one route each, to whoever asks.
#[test]
fn a_short_ipv6_prefix_answers_on_both_sides_of_the_global_addresses() {
    let mut bench = Bench::new();
    let prefixes = ["::/0", "::/1", "::/2", "2000::/3", "2001:db8::/32", "::/3", "fd00::/8"];
    for (number, prefix) in prefixes.into_iter().enumerate() {
        bench.add(net(prefix), 1 + number as u32);
        assert_eq!(bench.writer.len(VRF.into()), number + 1);
        assert_eq!(bench.writer.stale(1).len(), number + 1, "each is listed once");
    }
    let find = |bench: &Bench| {
        [0x2001_0db8, 0x2000_0000, 0x3fff_0000, 0x1000_0000, 0x4000_0000, 0xfd00_0000]
            .map(|upper: u128| bench.lookup(Kind::Six, upper << 96))
    };
    assert_eq!(find(&bench), [5, 4, 4, 6, 2, 7]);
    let steps = [
        ("2000::/3", [5, 3, 3, 6, 2, 7]),
        ("::/2", [5, 2, 2, 6, 2, 7]),
        ("::/3", [5, 2, 2, 2, 2, 7]),
        ("::/1", [5, 1, 1, 1, 1, 7]),
        ("fd00::/8", [5, 1, 1, 1, 1, 1]),
        ("::/0", [5, 0, 0, 0, 0, 0]),
        ("2001:db8::/32", [0; 6]),
    ];
    for (number, (prefix, then)) in steps.into_iter().enumerate() {
        bench.delete(net(prefix));
        assert_eq!(find(&bench), then, "without {prefix}");
        assert_eq!(bench.writer.len(VRF.into()), steps.len() - 1 - number);
    }
    bench.settle();
    assert_eq!((bench.writer.bytes(), bench.writer.own_bytes()), (0, 0));
}

#[test]
fn what_does_not_exist() {
    let mut bench = Bench::new();
    let (ten, other) = (net("10.0.0.0/8"), VrfId(9));
    assert_eq!(bench.fib.lookup(other, [10, 0, 0, 1].into()), NexthopId(0));
    assert_eq!(bench.fib.lookup6(other, 1.into()), NexthopId(0));
    assert_eq!(bench.writer.set(other.into(), ten, NexthopId(1), 0), Err(Refusal::Unknown));
    assert_eq!(bench.writer.remove(VRF.into(), ten), Err(Refusal::Unknown));
    bench.add(net("10.0.0.0/9"), 1);
    for absent in ["10.0.0.0/8", "10.0.0.0/10", "0.0.0.0/0", "10.0.0.0/32", "::/0", "a00::/9"] {
        assert_eq!(bench.writer.remove(VRF.into(), net(absent)), Err(Refusal::Unknown), "{absent}");
        assert_eq!(bench.writer.exact(VRF.into(), net(absent)), None);
    }
    assert_eq!(bench.writer.exact(VRF.into(), net("10.0.0.0/9")), Some(NexthopId(1)));
    bench.writer.destroy(other.into());
    assert_eq!(bench.writer.len(other.into()), 0);
}

#[test]
fn a_block_is_not_used_again_while_a_reader_may_be_in_it() {
    let mut bench = Bench::new();
    bench.add(net("10.1.0.0/16"), 1);
    bench.delete(net("10.1.0.0/16"));
    let used = bench.writer.bytes();
    assert!(used > 0 && bench.writer.reclaim() > 0);
    bench.add(net("10.1.0.0/16"), 1);
    assert_eq!(bench.writer.bytes(), 2 * used, "a fresh one");
    bench.settle();
    assert_eq!(bench.writer.bytes(), used);
}

/// Clusters of prefixes: dense corners where they nest, and anything.
fn draw(rng: &mut TestRng, kind: Kind, spread: u128) -> (u128, u32) {
    let wide = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let (base, spread) = match kind {
        Kind::Four => (0x0a01_0000 << 96, spread << 96),
        Kind::Six => (0x2001_0db8 << 96, spread << 96 | spread << 56 | spread),
    };
    let key = (base ^ wide & spread) & mask(kind.bits());
    (key, rng.next_u32() % (kind.bits() + 1))
}

/// One long history: the model and the tries together, asked at the edges of prefixes.
fn history(kind: Kind, seed: u8, spread: u128, steps: usize, most: usize) {
    let mut rng = random(seed);
    let mut bench = Bench::new();
    let mut model = Model::default();
    let mut known: Vec<(u128, u32)> = Vec::new();
    let mut growing = true;
    for _ in 0..steps {
        let choice = rng.next_u32();
        if known.len() >= most {
            growing = false;
        } else if known.len() <= most / 50 {
            growing = true;
        }
        let (key, length) = draw(&mut rng, kind, spread);
        let key = key & mask(length);
        if known.is_empty() || choice % 16 < if growing { 12 } else { 4 } {
            let value = 1 + choice / 16 % 5;
            let new = model.routes.insert((length, key), value).is_none();
            bench.add(kind.net(key, length as u8), value);
            if new {
                known.push((key, length));
            }
        } else {
            let (key, length) = known.swap_remove(choice as usize / 16 % known.len());
            let value = model.routes.remove(&(length, key)).unwrap();
            assert_eq!(bench.delete(kind.net(key, length as u8)), value);
        }
        let other = known.get(choice as usize % known.len().max(1)).copied().unwrap_or_default();
        for (key, length) in [(key, length), other] {
            let one = 1 << (128 - kind.bits());
            let last = key | !mask(length);
            for probe in [key, key.wrapping_sub(one), last, last.wrapping_add(one)] {
                let probe = probe & mask(kind.bits());
                assert_eq!(bench.lookup(kind, probe), model.lookup(probe), "{probe:x}");
            }
        }
        let anywhere = draw(&mut rng, kind, spread).0;
        assert_eq!(bench.lookup(kind, anywhere), model.lookup(anywhere), "{anywhere:x}");
        if choice.is_multiple_of(64) {
            bench.settle();
        }
    }
    // What is there now, by the writer's own list.
    let listed: BTreeMap<IpNet, ()> =
        bench.writer.stale(1).into_iter().map(|(_, prefix)| (prefix, ())).collect();
    assert_eq!(listed.len(), known.len());
    for (key, length) in known {
        let prefix = kind.net(key, length as u8);
        assert!(listed.contains_key(&prefix));
        bench.delete(prefix);
    }
    bench.settle();
    assert_eq!((bench.writer.bytes(), bench.writer.own_bytes()), (0, 0), "all was given back");
    assert_eq!((bench.writer.held_bytes(), bench.writer.blocks()), (0, 0));
}

const SPREADS: [u128; 4] = [0x0000_0fff, 0x00ff_ffff, 0xffff_ffff, 0x0003_0303];

#[test]
fn ipv4_equals_the_naive_model() {
    for (seed, spread) in (1..).zip(SPREADS) {
        history(Kind::Four, seed, spread, 12_000, 2_000);
    }
}

#[test]
fn ipv6_equals_the_naive_model() {
    for (seed, spread) in (1..).zip(SPREADS) {
        history(Kind::Six, seed, spread, 8_000, 2_000);
    }
}

#[test]
fn small_tables_whose_roots_come_and_go_equal_the_naive_model() {
    for kind in Kind::ALL {
        for seed in 1..20 {
            history(
                kind,
                seed,
                SPREADS[usize::from(seed % 4)],
                1_500,
                [3, 10, 60, 120][usize::from(seed) / 5],
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, u8, u32),
    Delete(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<u32>(), 0u8..=32, 1u32..4).prop_map(|(address, length, value)| {
            // Few distinct octets: prefixes nest.
            Step::Add(address & 0x0101_0307, length, value)
        }),
        2 => any::<prop::sample::Index>().prop_map(Step::Delete),
    ]
}

/// Short histories, which shrink to a readable one when they fail.
#[test]
fn any_short_history_equals_the_naive_model() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let histories = prop::collection::vec(step(), 1..40);
    let run = |history: Vec<Step>| {
        let mut bench = Bench::new();
        let mut model = Model::default();
        for step in history {
            match step {
                Step::Add(address, length, value) => {
                    let key = u128::from(address) << 96 & mask(length.into());
                    bench.add(Kind::Four.net(key, length), value);
                    model.routes.insert((length.into(), key), value);
                }
                Step::Delete(index) if !model.routes.is_empty() => {
                    let at = index.index(model.routes.len());
                    let (length, key) = *model.routes.keys().nth(at).unwrap();
                    bench.delete(Kind::Four.net(key, length as u8));
                    model.routes.remove(&(length, key));
                }
                Step::Delete(_) => {}
            }
            for a in 0..4u32 {
                for b in 0..16u32 {
                    let address = (a & 1) << 24 | (a >> 1) << 16 | (b & 3) << 8 | (b >> 2);
                    let key = u128::from(address) << 96;
                    prop_assert_eq!(bench.lookup(Kind::Four, key), model.lookup(key));
                }
            }
        }
        Ok(())
    };
    TestRunner::new(config).run(&histories, run).unwrap();
}

/// Where an array is too small: every change is done or refused as a whole.
#[test]
fn a_full_array_refuses_and_changes_nothing() {
    for kind in Kind::ALL {
        let mut rng = random(9);
        let mut bench = Bench::with_words(9 << 16);
        let mut model = Model::default();
        let mut refused = 0;
        for step in 0..20_000u32 {
            let key = (u128::from(rng.next_u64()) << 64) & mask(kind.bits());
            let length = if step % 50 == 0 { 6 + rng.next_u32() % 12 } else { kind.bits().min(48) };
            let key = key & mask(length);
            let set =
                bench.writer.set(VRF.into(), kind.net(key, length as u8), NexthopId(1 + step), 0);
            match set {
                Ok(_) => {
                    model.routes.insert((length, key), 1 + step);
                }
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Full);
                    refused += 1;
                }
            }
            assert_eq!(bench.lookup(kind, key), model.lookup(key));
            if step % 97 == 0 {
                bench.settle();
            }
        }
        assert!(refused > 100, "{refused}");
        // A short prefix may be above more nodes than have room twice, the long ones below it never are.
        let routes = std::mem::take(&mut model.routes).into_iter().rev();
        for (number, ((length, key), value)) in routes.enumerate() {
            assert_eq!(bench.delete(kind.net(key, length as u8)), value);
            if number % 64 == 0 {
                bench.settle();
            }
        }
        bench.settle();
        assert_eq!(bench.writer.held_bytes(), 0);
    }
}
