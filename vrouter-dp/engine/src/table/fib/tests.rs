//! The tries against a naive model, and what they cost.

mod batch;
mod model;
mod size;
mod threads;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use crate::publish::{Domain, Reader};
use crate::seam::Refusal;

const VRF: VrfId = VrfId(7);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn random(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::XorShift, &[seed; 16])
}

/// A family of addresses, left-aligned in 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Four,
    Six,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Four, Kind::Six];

    fn bits(self) -> u32 {
        if self == Kind::Four { 32 } else { 128 }
    }

    fn net(self, key: u128, length: u8) -> IpNet {
        match self {
            Kind::Four => Ipv4Net::new(((key >> 96) as u32).into(), length).unwrap().trunc().into(),
            Kind::Six => Ipv6Net::new(key.into(), length).unwrap().trunc().into(),
        }
    }
}

fn mask(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

/// The naive model: every prefix, the longest wins.
#[derive(Default)]
struct Model {
    routes: BTreeMap<(u32, u128), u32>,
}

impl Model {
    fn lookup(&self, key: u128) -> u32 {
        let lengths = (0..=128u32).rev();
        lengths
            .filter_map(|length| self.routes.get(&(length, key & mask(length))))
            .copied()
            .next()
            .unwrap_or(0)
    }
}

/// The tries and a reader.
struct Bench {
    fib: Arc<Fib>,
    domain: Arc<Domain>,
    writer: FibWriter,
    reader: Reader,
}

impl Bench {
    fn new() -> Bench {
        Bench::with_words(WORDS)
    }

    fn with_words(words: usize) -> Bench {
        let (fib, domain) = (Arc::new(Fib::with_words(words)), Domain::new());
        let reader = Reader::new(&domain).unwrap();
        let mut writer = FibWriter::new(Arc::clone(&fib), Arc::clone(&domain));
        writer.create(VRF.into());
        Bench { fib, domain, writer, reader }
    }

    fn add(&mut self, prefix: IpNet, value: u32) {
        self.writer.set(VRF.into(), prefix, NexthopId(value), 0).unwrap();
    }

    fn delete(&mut self, prefix: IpNet) -> u32 {
        self.writer.remove(VRF.into(), prefix).unwrap().0
    }

    /// The answer for an address, by the single lookup and by both of a batch.
    fn lookup(&self, kind: Kind, key: u128) -> u32 {
        let none = NexthopId(u32::MAX);
        let (mut stepwise, mut batch) = ([none], [none; 7]);
        let single = match kind {
            Kind::Four => {
                let address = (key >> 96) as u32;
                let key = Key4::new(VRF, address);
                self.fib.stepwise4(&[key], &mut stepwise);
                self.fib.lookup_batch(&[key; 7], &mut batch);
                self.fib.lookup(VRF, address.into())
            }
            Kind::Six => {
                let address = key;
                let key = Key6::new(VRF, address);
                self.fib.stepwise6(&[key], &mut stepwise);
                self.fib.lookup6_batch(&[key; 7], &mut batch);
                self.fib.lookup6(VRF, address.into())
            }
        };
        assert_eq!((single, [single; 7]), (stepwise[0], batch));
        single.0
    }

    fn settle(&mut self) {
        self.writer.reclaim();
        self.reader.quiesce();
        assert_eq!(self.writer.reclaim(), 0);
    }
}
