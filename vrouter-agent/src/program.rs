//! The producer's side of the seam: generations, acknowledgements and back-pressure.
//!
//! Ops wait here in order while the ring is full; nothing is lost and nothing overtakes. The core asks [`Program::room`] before it
//! compiles more, so a slow data plane slows the reading of BGP instead of filling memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use engine::seam::{Gen, Op, OpSender};

/// Generations that may wait for their acknowledgement at once; more are coalesced.
const IN_FLIGHT: usize = 8;

/// Ops on their way and generations not yet acknowledged.
#[derive(Debug)]
pub struct Program {
    waiting: VecDeque<Op>,
    last: Gen,
    acked: Gen,
    in_flight: VecDeque<(Gen, Instant)>,
}

impl Program {
    /// Goes on after generation `last` (0: none yet).
    pub fn new(last: Gen) -> Self {
        Program { waiting: VecDeque::new(), last, acked: Gen(0), in_flight: VecDeque::new() }
    }

    /// The generation that the next [`Program::submit`] makes.
    pub fn next(&self) -> Gen {
        Gen(self.last.0 + 1)
    }

    /// The last generation submitted.
    pub fn last(&self) -> Gen {
        self.last
    }

    /// The last generation that every worker has passed.
    pub fn acked(&self) -> Gen {
        self.acked
    }

    /// Whether everything submitted was acknowledged.
    pub fn settled(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Whether another generation may be made now.
    pub fn room(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.len() < IN_FLIGHT
    }

    /// Since when the oldest generation waits for its acknowledgement.
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        self.in_flight.front().map(|(_, since)| now.saturating_duration_since(*since))
    }

    /// Queues the ops as one generation.
    pub fn submit(&mut self, ops: impl IntoIterator<Item = Op>, now: Instant) -> Gen {
        self.last = self.next();
        self.waiting.extend(ops);
        self.waiting.push_back(Op::Commit { generation: self.last });
        self.in_flight.push_back((self.last, now));
        self.last
    }

    /// Queues an op that belongs to no generation, or to the one that the next [`Program::submit`] makes.
    pub fn ask(&mut self, op: Op) {
        self.waiting.push_back(op);
    }

    /// Moves to the ring what fits; true if everything is out.
    pub fn pump(&mut self, ring: &mut OpSender) -> bool {
        let room = ring.slots().min(self.waiting.len());
        if let Ok(chunk) = ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(self.waiting.drain(..room));
        }
        self.waiting.is_empty()
    }

    /// Gives up room that is not needed now.
    pub fn rest(&mut self) {
        self.waiting.shrink_to(IN_FLIGHT);
    }

    /// An acknowledgement came. Those of an earlier agent are older than anything in flight and change nothing here.
    pub fn ack(&mut self, generation: Gen) {
        while self.in_flight.front().is_some_and(|(first, _)| *first <= generation) {
            self.in_flight.pop_front();
        }
        self.acked = self.acked.max(generation);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_full_ring_holds_back_and_loses_nothing() {
        let (mut producer, mut consumer) = rtrb::RingBuffer::new(4);
        let now = Instant::now();
        let mut program = Program::new(Gen(0));
        let ops: Vec<Op> = (0..20u8)
            .map(|n| Op::TunnelAddressSet { address: Ipv4Addr::new(192, 0, 2, n) })
            .collect();
        assert_eq!(program.submit(ops.clone(), now), Gen(1));
        let mut seen = Vec::new();
        while !program.pump(&mut producer) {
            assert!(!program.room());
            seen.extend(std::iter::from_fn(|| consumer.pop().ok()));
        }
        seen.extend(std::iter::from_fn(|| consumer.pop().ok()));
        assert_eq!(seen.pop(), Some(Op::Commit { generation: Gen(1) }));
        assert_eq!(seen, ops);
        assert!(program.room() && !program.settled());
        program.ack(Gen(1));
        assert!(program.settled());
    }

    #[test]
    fn generations_in_flight_are_bounded_and_acked_in_order() {
        let now = Instant::now();
        let (mut producer, _consumer) = rtrb::RingBuffer::new(64);
        let mut program = Program::new(Gen(41));
        for _ in 0..IN_FLIGHT {
            assert!(program.room());
            program.submit([], now);
            program.pump(&mut producer);
        }
        assert!(!program.room());
        program.ack(Gen(40));
        assert!(!program.room(), "an acknowledgement from before the restart");
        program.ack(Gen(43));
        assert!(program.room());
        assert_eq!((program.acked(), program.last()), (Gen(43), Gen(49)));
        assert_eq!(program.oldest(now + Duration::from_secs(1)), Some(Duration::from_secs(1)));
    }
}
