//! The direct tables, labels and VLANs, against a naive model while workers read them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use wire::{Label, VlanId};

use super::*;
use crate::seam::{LabelTarget, PortId, VrfId};

/// Rows that change, and what they held after each change: 0 is nothing.
const ROWS: usize = 64;
const CHANGES: usize = 40_000;

/// How long readers and a writer run against each other at least: `STRESS_SECONDS`.
pub fn stress() -> Duration {
    let seconds = std::env::var("STRESS_SECONDS").map_or(0, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// A reader's answer for a row must be what it held at a moment between the change that was complete before the reader looked and
/// the one that was begun after it had looked. At the end the table equals the model everywhere.
fn readers_against_a_writer(set: impl Fn(usize, u32), get: impl Fn(usize) -> u32 + Send + Sync) {
    let last: Vec<AtomicU32> = (0..ROWS).map(|_| AtomicU32::new(0)).collect();
    let end = Instant::now() + stress();
    let (mut seed, mut changes, mut looked) = (11u64, 0, 0);
    loop {
        let history: Vec<(usize, u32)> = (1..=CHANGES as u32)
            .map(|value| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let value = if seed >> 40 & 3 == 0 { 0 } else { value };
                ((seed >> 33) as usize % ROWS, value)
            })
            .collect();
        looked += round(&history, &last, &set, &get);
        changes += history.len();
        for (row, last) in last.iter().enumerate() {
            assert_eq!(get(row), last.load(Ordering::SeqCst));
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("{changes} changes, {looked} answers");
}

/// Makes these changes to what the rows held `last`; how many answers the readers had meanwhile.
fn round(
    history: &[(usize, u32)],
    last: &[AtomicU32],
    set: &impl Fn(usize, u32),
    get: &(impl Fn(usize) -> u32 + Send + Sync),
) -> u64 {
    let (begun, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let start = Barrier::new(3);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut looked = 0u64;
                    start.wait();
                    while !stop.load(Ordering::Relaxed) {
                        for (row, last) in last.iter().enumerate() {
                            let from = done.load(Ordering::SeqCst) as usize;
                            let held = last.load(Ordering::SeqCst);
                            let found = get(row);
                            let to = begun.load(Ordering::SeqCst) as usize;
                            let changes = &history[from.min(to)..to];
                            let right = found == held
                                || changes.iter().any(|(at, value)| *at == row && *value == found);
                            assert!(
                                right,
                                "row {row}: {found}, before {held}, changes {from}..{to}"
                            );
                            looked += 1;
                        }
                    }
                    looked
                })
            })
            .collect();
        start.wait();
        for (change, (row, value)) in history.iter().enumerate() {
            // Some of the readers' time falls into the changes, however few CPUs there are.
            if change % 1000 == 0 {
                std::thread::yield_now();
            }
            begun.store(change as u64 + 1, Ordering::SeqCst);
            set(*row, *value);
            last[*row].store(*value, Ordering::SeqCst);
            done.store(change as u64 + 1, Ordering::SeqCst);
        }
        stop.store(true, Ordering::Relaxed);
        let looked = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(looked > 0);
        looked
    })
}

#[test]
fn labels_are_as_they_were_set_under_concurrent_readers() {
    let table = Arc::new(LabelTable::new());
    let label = |row: usize| Label::new(16 + row as u32 * 16_000).unwrap();
    readers_against_a_writer(
        |row, value| {
            let target = match value & 0xffff {
                _ if value == 0 => None,
                id if value % 2 == 0 => Some(LabelTarget::Vrf(VrfId(id as u16))),
                id => Some(LabelTarget::Vif(VifId(id as u16))),
            };
            table.set(label(row), target);
        },
        |row| match table.target(label(row).value()) {
            None => 0,
            Some(LabelTarget::Vrf(VrfId(id))) | Some(LabelTarget::Vif(VifId(id))) => id.into(),
        },
    );
    let set = (0..1 << 20).filter(|label| table.target(*label).is_some()).count();
    assert!(set <= ROWS, "{set}: no other label was touched");
}

#[test]
fn vlans_are_as_they_were_set_under_concurrent_readers() {
    let table = Arc::new(PortTable::new(&Domain::new()));
    let place = |row: usize| {
        (PortId((row % 4 * 85) as u8), VlanId::new((1 + row / 4 * 272) as u16).unwrap())
    };
    readers_against_a_writer(
        |row, value| {
            let (port, vlan) = place(row);
            table.set_vif(port, vlan, (value > 0).then_some(VifId(value as u16)));
        },
        |row| {
            let (port, vlan) = place(row);
            table.vif(port, vlan).map_or(0, |vif| vif.0.into())
        },
    );
}
