//! The clocks of a worker. The packet path reads none: a turn ends with one look at the time stamp counter.

use std::time::Duration;

use engine::pipeline::{Pass, Probe};

use crate::watch::SPANS;

/// Time between two grants of the rate limits.
const STEP_MICROSECONDS: u64 = 1000;

/// Time in steps for the rate limits.
pub struct Clock {
    per_microsecond: u64,
    last: u64,
}

impl Clock {
    /// `now` in cycles.
    pub fn new(cycles_per_second: u64, now: u64) -> Clock {
        Clock { per_microsecond: (cycles_per_second / 1_000_000).max(1), last: now }
    }

    /// The time since the last step, if it is long enough for another one.
    #[inline]
    pub fn step(&mut self, now: u64) -> Option<Duration> {
        let passed = now.wrapping_sub(self.last);
        if passed < STEP_MICROSECONDS * self.per_microsecond {
            return None;
        }
        let passed = passed / self.per_microsecond;
        self.last = self.last.wrapping_add(passed * self.per_microsecond);
        Some(Duration::from_micros(passed))
    }

    /// The time that cycles take.
    pub fn time(&self, cycles: u64) -> Duration {
        Duration::from_micros(cycles / self.per_microsecond)
    }

    /// Cycles of a time.
    pub fn cycles(&self, time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.per_microsecond)
    }
}

/// Cycles of one burst by span.
pub struct Spans {
    last: u64,
    pub cycles: [u64; SPANS],
}

impl Spans {
    /// The first span begins.
    pub fn start() -> Spans {
        Spans { last: dpdk::cycles(), cycles: [0; SPANS] }
    }

    /// A span ends and the next begins.
    pub fn lap(&mut self, span: usize) {
        let now = dpdk::cycles();
        self.cycles[span] += now.wrapping_sub(self.last);
        self.last = now;
    }
}

impl Probe for Spans {
    fn pass(&mut self, pass: Pass) {
        self.lap(1 + pass.index());
    }
}
