use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use proptest::prelude::Rng as _;

use super::*;
use crate::table::tests::stress;

/// A prefix for each of these, nested in the one before; what a reader finds for an address must be what stood there when it
/// began to look, or what came after.
fn nested(kind: Kind) -> Vec<IpNet> {
    match kind {
        Kind::Four => {
            ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.200/32"]
                .map(net)
                .to_vec()
        }
        Kind::Six => [
            "2001:db8::/32",
            "2001:db8:1::/48",
            "2001:db8:1:2::/64",
            "2001:db8:1:2:8000::/65",
            "2001:db8:1:2:8000::c8/128",
        ]
        .map(net)
        .to_vec(),
    }
}

/// The writer sets the routes of a ladder one after the other, each with a value that says which rung and which round, and removes
/// them from the top. At every moment the reader's answer for the innermost address must lie between the change that was complete
/// when it began to look and the one that was begun when it had its answer. Meanwhile routes around them come and go by the
/// thousand, so that nodes are rebuilt, blocks are used again and roots change their width.
fn ladder(kind: Kind) {
    let mut bench = Bench::new();
    let rungs = nested(kind);
    let probe = match rungs[4] {
        IpNet::V4(net) => u128::from(net.network().to_bits()) << 96,
        IpNet::V6(net) => net.network().to_bits(),
    };
    // The last NUMBERS of the right answers: that of change n is right from the time `begun` is n until `done` is n + 1.
    const NUMBERS: u64 = 1 << 20;
    let begun = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let history: Arc<Vec<AtomicU32>> = Arc::new((0..NUMBERS).map(|_| AtomicU32::new(0)).collect());
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (fib, history) = (Arc::clone(&bench.fib), Arc::clone(&history));
            let (begun, done, stop) = (Arc::clone(&begun), Arc::clone(&done), Arc::clone(&stop));
            let mut reader = Reader::new(&bench.domain).unwrap();
            std::thread::spawn(move || {
                let (mut looked, mut during) = (0u64, 0u64);
                let mut batch = [NexthopId(0); 8];
                while !stop.load(Ordering::Relaxed) {
                    let first = done.load(Ordering::SeqCst);
                    match kind {
                        Kind::Four => {
                            let address = (probe >> 96) as u32;
                            batch[7] = fib.lookup(VRF, address.into());
                            fib.lookup_batch(&[Key4::new(VRF, address); 7], &mut batch);
                        }
                        Kind::Six => {
                            batch[7] = fib.lookup6(VRF, probe.into());
                            fib.lookup6_batch(&[Key6::new(VRF, probe); 7], &mut batch);
                        }
                    }
                    let last = begun.load(Ordering::SeqCst);
                    reader.quiesce();
                    if last - first > NUMBERS / 2 {
                        continue;
                    }
                    during += u64::from(last > first);
                    for found in batch {
                        let right = (first..=last).any(|n| {
                            history[(n % NUMBERS) as usize].load(Ordering::SeqCst) == found.0
                        });
                        assert!(right, "{found:?} between changes {first} and {last}");
                        looked += 1;
                    }
                }
                (looked, during)
            })
        })
        .collect();
    let mut number = 0u64;
    let mut stamp = 0;
    let mut standing: Vec<u32> = Vec::new();
    let mut rng = random(3);
    let mut around: Vec<IpNet> = Vec::new();
    let end = Instant::now() + stress().max(Duration::from_secs(2));
    while Instant::now() < end {
        for up in [true, false] {
            for rung in 0..rungs.len() {
                let rung = if up { rung } else { rungs.len() - 1 - rung };
                if up {
                    // Values never stand for two rounds within a reader's sight.
                    stamp = stamp % 500_000 + 1;
                    standing.push(stamp);
                } else {
                    standing.pop();
                }
                number += 1;
                let right = standing.last().copied().unwrap_or(0);
                history[(number % NUMBERS) as usize].store(right, Ordering::SeqCst);
                begun.store(number, Ordering::SeqCst);
                match up {
                    true => bench.add(rungs[rung], stamp),
                    false => assert!(bench.delete(rungs[rung]) > 0),
                }
                done.store(number, Ordering::SeqCst);
            }
        }
        // Neighbours of the innermost address, never one that covers it.
        for _ in 0..20 {
            let flip = 1u128 << (128 - 9 - rng.next_u32() % (kind.bits() - 9));
            let key = probe ^ flip ^ u128::from(rng.next_u32()) << 64 & (flip - 1);
            let prefix = kind.net(key, kind.bits() as u8);
            if bench.writer.exact(VRF.into(), prefix).is_none() {
                bench.add(prefix, 900_000);
                around.push(prefix);
            }
        }
        if around.len() > 3_000 {
            for prefix in around.drain(..) {
                bench.delete(prefix);
            }
        }
        bench.reader.quiesce();
        bench.writer.reclaim();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let (looked, during) = reader.join().unwrap();
        println!("{number} changes, {looked} answers, {during} times during a change");
        assert!(looked > 1_000 && during > 0, "{looked} looked up, {during} during a change");
    }
    for prefix in around {
        bench.delete(prefix);
    }
    bench.settle();
    assert_eq!((bench.writer.held_bytes(), bench.writer.own_bytes()), (0, 0), "no leak");
}

#[test]
fn an_ipv4_reader_sees_each_address_before_or_after_a_change() {
    ladder(Kind::Four);
}

#[test]
fn an_ipv6_reader_sees_each_address_before_or_after_a_change() {
    ladder(Kind::Six);
}
