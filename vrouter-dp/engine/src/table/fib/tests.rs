use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::publish::{Domain, Reader};
use crate::seam::Refusal;

const VRF: VrfId = VrfId(7);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// The trie with its shadow, as the table writer drives them.
struct Routes {
    fib: Arc<Fib>,
    domain: Arc<Domain>,
    writer: FibWriter,
    reader: Reader,
    shadow: Shadow<NexthopId>,
}

impl Routes {
    fn new() -> Routes {
        let (fib, domain) = (Arc::new(Fib::new()), Domain::new());
        let reader = Reader::new(&domain).unwrap();
        let mut writer = FibWriter::new(Arc::clone(&fib), Arc::clone(&domain));
        writer.create(VRF.into()).unwrap();
        Routes { fib, domain, writer, reader, shadow: Shadow::default() }
    }

    fn add(&mut self, prefix: Ipv4Net, value: u32) {
        let old = self.shadow.insert(prefix, NexthopId(value));
        self.writer.insert(VRF.into(), prefix, NexthopId(value), old.is_some()).unwrap();
    }

    fn delete(&mut self, prefix: Ipv4Net) {
        if self.shadow.remove(prefix).is_some() {
            let covering = self.shadow.covering(prefix).map(|(length, value)| (length, *value));
            self.writer.remove(VRF.into(), prefix, covering);
        }
    }

    fn lookup(&self, address: u32) -> u32 {
        self.fib.lookup(VRF, address.into()).0
    }

    fn settle(&mut self) {
        self.reader.quiesce();
        self.writer.reclaim();
    }
}

/// The naive model: every prefix, the longest wins.
#[derive(Default)]
struct Model(BTreeMap<(u8, u32), u32>);

impl Model {
    fn lookup(&self, address: u32) -> u32 {
        let covers = |length: u8| match length {
            0 => 0,
            _ => address & u32::MAX << (32 - length),
        };
        (0..=32)
            .rev()
            .find_map(|length| self.0.get(&(length, covers(length))).copied())
            .unwrap_or(0)
    }
}

#[test]
fn longest_prefix_wins_and_covered_routes_come_back() {
    let mut routes = Routes::new();
    for (at, prefix) in
        ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/18", "10.1.0.0/24", "10.1.0.7/32"]
            .into_iter()
            .enumerate()
    {
        routes.add(net(prefix), at as u32 + 1);
    }
    let address = u32::from_be_bytes([10, 1, 0, 7]);
    assert_eq!(routes.lookup(address), 6);
    assert_eq!(routes.lookup(address + 1), 5);
    assert_eq!(routes.lookup(address + 0x100), 4);
    assert_eq!(routes.lookup(0), 1);
    for (prefix, then) in [("10.1.0.0/24", 6), ("10.1.0.7/32", 4), ("10.1.0.0/18", 3)] {
        routes.delete(net(prefix));
        assert_eq!(routes.lookup(address), then);
    }
    routes.delete(net("10.0.0.0/8"));
    assert_eq!((routes.lookup(address), routes.lookup(address + (1 << 20))), (3, 1));
    routes.delete(net("10.1.0.0/16"));
    routes.delete(net("0.0.0.0/0"));
    assert_eq!(routes.lookup(address), 0);
    routes.settle();
    assert_eq!(routes.writer.nodes(), 1, "only the root is left");
}

#[test]
fn an_empty_vrf_costs_less_than_two_kibibytes() {
    let mut routes = Routes::new();
    let before = routes.writer.nodes();
    routes.writer.create(VrfId(8).into()).unwrap();
    assert_eq!(routes.writer.nodes() - before, 1);
    assert!(size_of::<Node>() + size_of::<AtomicU32>() < 2048);
}

#[test]
fn a_trie_that_does_not_exist_has_no_routes() {
    let mut routes = Routes::new();
    assert_eq!(routes.fib.lookup(VrfId(9), [10, 0, 0, 1].into()), NexthopId(0));
    let refused = routes.writer.insert(VrfId(9).into(), net("10.0.0.0/8"), NexthopId(1), false);
    assert_eq!(refused, Err(Refusal::Unknown));
    routes.writer.destroy(VRF.into());
    assert_eq!(routes.lookup(0x0a00_0001), 0);
}

#[test]
fn a_node_is_not_used_again_while_a_reader_may_be_in_it() {
    let mut routes = Routes::new();
    routes.add(net("10.1.0.0/16"), 1);
    routes.delete(net("10.1.0.0/16"));
    let used = routes.writer.nodes();
    routes.add(net("10.2.0.0/16"), 2);
    assert_eq!(routes.writer.nodes(), used + 1, "a fresh one");
    routes.settle();
    routes.add(net("10.2.3.0/24"), 3);
    assert_eq!(routes.writer.nodes(), used + 1, "the one that waited");
}

/// Steps of the long comparison: changes and lookups together, over several kinds of tables.
const STEPS: usize = 3_200_000;

#[test]
fn equals_the_naive_model_over_three_million_steps() {
    let mut steps = 0;
    for (seed, spread) in [(1u8, 0x0000_0fff), (2, 0x00ff_ffff), (3, 0xffff_ffff), (4, 0x0003_0303)]
    {
        let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &[seed; 16]);
        let mut routes = Routes::new();
        let mut model = Model::default();
        let mut known: Vec<(u32, u8)> = Vec::new();
        for _ in 0..STEPS / 4 / 8 {
            let draw = rng.next_u32();
            // Dense corners of the address space, so that prefixes nest and nodes fill and empty.
            let address = 0x0a01_0000 ^ rng.next_u32() & spread;
            let length = (draw >> 8) as u8 % 33;
            let masked = if length == 0 { 0 } else { address & u32::MAX << (32 - length) };
            if draw & 7 < 4 || known.is_empty() {
                let value = 1 + (draw >> 16) % 5000;
                let prefix = Ipv4Net::new(masked.into(), length).unwrap();
                routes.add(prefix, value);
                if model.0.insert((length, masked), value).is_none() {
                    known.push((masked, length));
                }
            } else {
                let (masked, length) = known.swap_remove(draw as usize / 8 % known.len());
                routes.delete(Ipv4Net::new(masked.into(), length).unwrap());
                model.0.remove(&(length, masked));
            }
            // Around the change, around another route, and anywhere.
            let (other, other_length) =
                known.get(draw as usize % known.len().max(1)).copied().unwrap_or((0, 0));
            let last = other | u32::MAX.checked_shr(other_length.into()).unwrap_or(0);
            for probe in [
                masked,
                masked.wrapping_sub(1),
                address,
                other,
                last,
                last.wrapping_add(1),
                rng.next_u32(),
            ] {
                assert_eq!(
                    routes.lookup(probe),
                    model.lookup(probe),
                    "{:?}",
                    std::net::Ipv4Addr::from(probe)
                );
                steps += 1;
            }
            steps += 1;
            if draw.is_multiple_of(64) {
                routes.settle();
            }
        }
        for (masked, length) in known {
            routes.delete(Ipv4Net::new(masked.into(), length).unwrap());
            steps += 1;
        }
        routes.settle();
        assert_eq!(routes.writer.nodes(), 1, "everything was given back");
    }
    assert!(steps >= 3_000_000, "{steps}");
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, u8, u32),
    Delete(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<u32>(), 0u8..=32, 1u32..100).prop_map(|(address, length, value)| {
            // Few distinct octets: prefixes nest.
            Step::Add(address & 0x0101_0307, length, value)
        }),
        2 => any::<prop::sample::Index>().prop_map(Step::Delete),
    ]
}

/// Short histories, which shrink to a readable one when they fail.
#[test]
fn any_short_history_equals_the_naive_model() {
    let mut runner =
        TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..40), |history| {
            let mut routes = Routes::new();
            let mut model = Model::default();
            for step in history {
                match step {
                    Step::Add(address, length, value) => {
                        let prefix = Ipv4Net::new(address.into(), length).unwrap().trunc();
                        routes.add(prefix, value);
                        model.0.insert((length, prefix.network().to_bits()), value);
                    }
                    Step::Delete(index) if !model.0.is_empty() => {
                        let (length, address) =
                            *model.0.keys().nth(index.index(model.0.len())).unwrap();
                        routes.delete(Ipv4Net::new(address.into(), length).unwrap());
                        model.0.remove(&(length, address));
                    }
                    Step::Delete(_) => {}
                }
                for a in 0..4u32 {
                    for b in 0..16u32 {
                        let probe = (a & 1) << 24 | (a >> 1) << 16 | (b & 3) << 8 | (b >> 2);
                        prop_assert_eq!(routes.lookup(probe), model.lookup(probe));
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_reader_sees_a_route_before_or_after_a_change_and_nothing_else() {
    let mut routes = Routes::new();
    routes.add(net("10.0.0.0/8"), 8);
    let (fib, domain) = (Arc::clone(&routes.fib), Arc::clone(&routes.domain));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mut reader = Reader::new(&domain).unwrap();
    let thread = std::thread::spawn(move || {
        let mut looked = 0u64;
        while !stopped.load(Ordering::Relaxed) {
            for host in 0..64u32 {
                let found = fib.lookup(VRF, (0x0a01_0200 + host * 5).into()).0;
                assert!([8, 16, 24, 32].contains(&found), "{found}");
                looked += 1;
            }
            reader.quiesce();
        }
        looked
    });
    let nested =
        [("10.1.0.0/16", 16), ("10.1.2.0/24", 24), ("10.1.2.5/32", 32), ("10.7.7.7/32", 7)];
    for _ in 0..5_000 {
        for (prefix, value) in nested {
            routes.add(net(prefix), value);
        }
        for (prefix, _) in nested {
            routes.delete(net(prefix));
        }
        routes.settle();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(thread.join().unwrap() > 0);
}
