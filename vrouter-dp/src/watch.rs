//! What workers publish about themselves, and a handle that reads it from any thread at any time, without the rings.
//!
//! Every word has one writer, the worker, which uses plain loads and stores; readers look between two turns.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use crossbeam_utils::CachePadded;
use engine::counters::{Counter, WorkerCounters};
use engine::drops::Drop as Reason;
use engine::pipeline::Pass;
use engine::seam::WorkerId;
use engine::table::Tables;

/// Spans of a timed burst: receiving, each pass of the pipeline, leaving (sending, punting, freeing).
pub const SPANS: usize = Pass::COUNT + 2;
pub(crate) const RECEIVE: usize = 0;
pub(crate) const LEAVE: usize = SPANS - 1;

/// Name of a span, below [`SPANS`].
pub fn span_name(span: usize) -> &'static str {
    match span.checked_sub(1) {
        None => "rx",
        Some(pass) => Pass::ALL.get(pass).map_or("tx", |pass| pass.name()),
    }
}

/// What a worker publishes about itself beside its counters.
#[derive(Debug, Default)]
pub struct WorkerShared {
    /// CPU that it is pinned to.
    pub cpu: u16,
    /// Odd while a turn with packets is under way: counters read meanwhile do not add up.
    turn: CachePadded<AtomicU64>,
    /// Cycles of turns that had packets.
    pub useful_cycles: Counter,
    /// Bursts that had a packet.
    pub bursts: Counter,
    /// Of these, from queues of other workers.
    pub helped: Counter,
    /// Cycles spent waiting until packets of earlier bursts of a shared queue had left.
    pub waited_cycles: Counter,
    /// Sleeps, their cycles in all, and of the longest.
    pub sleeps: Counter,
    pub slept_cycles: Counter,
    pub longest_sleep: Counter,
    /// Timed bursts.
    pub samples: Samples,
    /// The end of the loop.
    pub stop: AtomicBool,
}

/// Timed bursts: see `sample_bursts`.
#[derive(Debug)]
pub struct Samples {
    buckets: [Counter; BUCKETS],
    gaps: [Counter; BUCKETS],
    packets: Counter,
    spans: [Counter; SPANS],
}

impl Default for Samples {
    fn default() -> Self {
        Samples {
            buckets: array::from_fn(|_| Counter::default()),
            gaps: array::from_fn(|_| Counter::default()),
            packets: Counter::default(),
            spans: array::from_fn(|_| Counter::default()),
        }
    }
}

impl Samples {
    /// Service times so far, cycles.
    pub fn histogram(&self) -> Histogram {
        Histogram { counts: array::from_fn(|bucket| self.buckets[bucket].value()) }
    }

    /// Times between turns so far, cycles.
    pub fn gaps(&self) -> Histogram {
        Histogram { counts: array::from_fn(|bucket| self.gaps[bucket].value()) }
    }

    /// Adds the time from the end of a turn with packets to the end of the next one.
    pub fn gap(&self, cycles: u64) {
        self.gaps[Histogram::bucket(cycles)].add(1);
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets.value()
    }

    /// Cycles so far by span.
    pub fn spans(&self) -> [u64; SPANS] {
        array::from_fn(|span| self.spans[span].value())
    }

    /// Adds a burst of `packets` packets and the cycles of its spans.
    pub fn add(&self, packets: usize, spans: &[u64; SPANS]) {
        self.buckets[Histogram::bucket(spans.iter().sum())].add(1);
        self.packets.add(packets as u64);
        for (sum, cycles) in self.spans.iter().zip(spans) {
            sum.add(*cycles);
        }
    }
}

impl WorkerShared {
    /// Of a worker on this CPU.
    pub fn new(cpu: u16) -> WorkerShared {
        WorkerShared { cpu, ..WorkerShared::default() }
    }

    /// Reads counters between two turns, so that they add up. After many tries, as a saturated worker hardly pauses, whatever they
    /// are then, and false: packets are inside.
    pub fn consistent<R>(&self, mut read: impl FnMut() -> R) -> (R, bool) {
        let mut last = None;
        for _ in 0..10_000 {
            let before = self.turn.load(Ordering::Acquire);
            if before & 1 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let value = read();
            fence(Ordering::Acquire);
            if self.turn.load(Ordering::Relaxed) == before {
                return (value, true);
            }
            last = Some(value);
        }
        (last.unwrap_or_else(read), false)
    }

    /// A sleep has ended.
    pub fn slept(&self, cycles: u64) {
        self.sleeps.add(1);
        self.slept_cycles.add(cycles);
        let longer = cycles.saturating_sub(self.longest_sleep.value());
        self.longest_sleep.add(longer);
    }

    /// A turn with packets begins.
    pub fn begin(&self) {
        self.turn.store(self.turn.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// It has ended.
    pub fn end(&self) {
        self.turn.store(self.turn.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// Reads the figures of all workers. Cheap to clone; works from any thread, also after the workers have ended.
#[derive(Clone, Debug)]
pub struct Watch {
    tables: Arc<Tables>,
    workers: Vec<Arc<WorkerShared>>,
    hz: u64,
}

impl Watch {
    pub(crate) fn new(tables: &Arc<Tables>, workers: &[Arc<WorkerShared>], hz: u64) -> Watch {
        Watch { tables: Arc::clone(tables), workers: workers.to_vec(), hz }
    }

    /// Cycles per second: the unit of all cycles here.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// The figures of every worker, each taken between two of its turns.
    pub fn workers(&self) -> Vec<WorkerFigures> {
        let figures = |(index, shared): (usize, &Arc<WorkerShared>)| {
            let counters = self.tables.counters(WorkerId(index as u8))?;
            Some(WorkerFigures::of(shared, counters))
        };
        self.workers.iter().enumerate().filter_map(figures).collect()
    }
}

/// The figures of one worker, all counted from its start.
/// `rx + handed_in + injected + copies_made = tx + punted + dropped + handed_out + queued`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFigures {
    /// CPU that it is pinned to.
    pub cpu: u16,
    /// Packets received from ports.
    pub rx: u64,
    /// Packets from other workers.
    pub handed_in: u64,
    /// Packets from the service thread.
    pub injected: u64,
    /// Copies of dropped packets, made to tell the sender.
    pub copies_made: u64,
    /// Packets that a port took.
    pub tx: u64,
    /// Packets that the service thread took.
    pub punted: u64,
    /// Packets dropped, by [`engine::drops::Drop::index`].
    pub drops: [u64; Reason::COUNT],
    /// Packets to other workers.
    pub handed_out: u64,
    /// Packets inside at the moment of reading: none between two turns, else what has come and not left.
    pub queued: u64,
    /// Receive bursts that had a packet: `rx / bursts` is the mean burst.
    pub bursts: u64,
    /// Of these, from queues of other workers.
    pub helped: u64,
    /// Cycles of turns that had packets, without those spent waiting.
    pub useful_cycles: u64,
    /// Cycles spent waiting until packets of earlier bursts of a shared queue had left.
    pub waited_cycles: u64,
    /// Sleeps for want of packets.
    pub sleeps: u64,
    /// Their cycles.
    pub slept_cycles: u64,
    /// Cycles of the longest sleep ever: a packet that came just then waited so long.
    pub longest_sleep: u64,
    /// Service times of the timed bursts, cycles: from before receiving to after sending.
    pub burst_cycles: Histogram,
    /// Cycles from the end of a turn with packets to the end of the next, if bursts are timed: while packets keep coming, how long
    /// one may wait for its turn.
    pub gap_cycles: Histogram,
    /// Packets of the timed bursts.
    pub timed_packets: u64,
    /// Cycles of the timed bursts by span; names by [`span_name`].
    pub spans: [u64; SPANS],
}

impl WorkerFigures {
    /// The figures now.
    pub(crate) fn of(shared: &WorkerShared, counters: &WorkerCounters) -> WorkerFigures {
        let (mut figures, settled) = shared.consistent(|| WorkerFigures::read(shared, counters));
        figures.queued = if settled { 0 } else { figures.inside() };
        // They need not add up with the others, and are many: read once, not between two turns.
        figures.burst_cycles = shared.samples.histogram();
        figures.gap_cycles = shared.samples.gaps();
        figures
    }

    fn read(shared: &WorkerShared, counters: &WorkerCounters) -> WorkerFigures {
        let samples = &shared.samples;
        // What left before what came: should packets be under way, more have come than left.
        let tx = counters.tx.value();
        let punted = counters.punted_total();
        let drops = array::from_fn(|reason| counters.dropped[reason].value());
        let handed_out = counters.handed_out.value();
        fence(Ordering::Acquire);
        WorkerFigures {
            cpu: shared.cpu,
            rx: counters.rx.value(),
            handed_in: counters.handed_in.value(),
            injected: counters.injected.value(),
            copies_made: counters.copies_made.value(),
            tx,
            punted,
            drops,
            handed_out,
            queued: 0,
            bursts: shared.bursts.value(),
            helped: shared.helped.value(),
            useful_cycles: shared.useful_cycles.value(),
            waited_cycles: shared.waited_cycles.value(),
            sleeps: shared.sleeps.value(),
            slept_cycles: shared.slept_cycles.value(),
            longest_sleep: shared.longest_sleep.value(),
            burst_cycles: Histogram::default(),
            gap_cycles: Histogram::default(),
            timed_packets: samples.packets(),
            spans: samples.spans(),
        }
    }

    /// What has come and not left.
    fn inside(&self) -> u64 {
        let came = self.rx + self.handed_in + self.injected + self.copies_made;
        came.saturating_sub(self.tx + self.punted + self.dropped() + self.handed_out)
    }

    /// Sum over all drop reasons.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// What came since `earlier`, figures of the same worker.
    pub fn since(&self, earlier: &WorkerFigures) -> WorkerFigures {
        WorkerFigures {
            cpu: self.cpu,
            rx: self.rx - earlier.rx,
            handed_in: self.handed_in - earlier.handed_in,
            injected: self.injected - earlier.injected,
            copies_made: self.copies_made - earlier.copies_made,
            tx: self.tx - earlier.tx,
            punted: self.punted - earlier.punted,
            drops: array::from_fn(|reason| self.drops[reason] - earlier.drops[reason]),
            handed_out: self.handed_out - earlier.handed_out,
            queued: self.queued,
            bursts: self.bursts - earlier.bursts,
            helped: self.helped - earlier.helped,
            useful_cycles: self.useful_cycles - earlier.useful_cycles,
            waited_cycles: self.waited_cycles - earlier.waited_cycles,
            sleeps: self.sleeps - earlier.sleeps,
            slept_cycles: self.slept_cycles - earlier.slept_cycles,
            longest_sleep: self.longest_sleep,
            burst_cycles: self.burst_cycles.since(&earlier.burst_cycles),
            gap_cycles: self.gap_cycles.since(&earlier.gap_cycles),
            timed_packets: self.timed_packets - earlier.timed_packets,
            spans: array::from_fn(|span| self.spans[span] - earlier.spans[span]),
        }
    }
}

/// Buckets of a [`Histogram`] for each power of two.
const FINE: usize = 16;
/// Buckets of a [`Histogram`]: up to 2^40.
pub const BUCKETS: usize = FINE * 37;

/// How often a value fell between two bounds that are at most a sixteenth apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket; the bounds are [`Histogram::largest`].
    pub counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [0; BUCKETS] }
    }
}

impl Histogram {
    /// The bucket of a value; values beyond the last bucket are in it.
    #[inline]
    pub fn bucket(value: u64) -> usize {
        if value < FINE as u64 {
            return value as usize;
        }
        let above = (value.ilog2() - FINE.ilog2()) as usize;
        (above * FINE + (value >> above) as usize).min(BUCKETS - 1)
    }

    /// Largest value of a bucket.
    pub fn largest(bucket: usize) -> u64 {
        let next = bucket + 1;
        if next < FINE {
            return bucket as u64;
        }
        (((FINE + next % FINE) as u64) << (next / FINE - 1)) - 1
    }

    /// Values in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value that `per_million` of a million values do not exceed, to the upper bound of its bucket; 0 without values.
    pub fn quantile(&self, per_million: u32) -> u64 {
        let wanted = u128::from(self.total()) * u128::from(per_million);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count) * 1_000_000;
            if *count > 0 && seen >= wanted {
                return Histogram::largest(bucket);
            }
        }
        0
    }

    /// All of these together.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
        all.into_iter().fold(Histogram::default(), |sum, one| Histogram {
            counts: array::from_fn(|bucket| sum.counts[bucket] + one.counts[bucket]),
        })
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        Histogram { counts: array::from_fn(|bucket| self.counts[bucket] - earlier.counts[bucket]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_bucket_whose_bounds_enclose_it() {
        let values = (0..2000).chain((11..40).flat_map(|e| {
            let base = 1u64 << e;
            [base - 1, base, base + 1, base + base / 4, base + base / 2 - 1, base + base / 2]
        }));
        for value in values {
            let bucket = Histogram::bucket(value);
            assert!(value <= Histogram::largest(bucket), "{value} in {bucket}");
            assert!(bucket == 0 || value > Histogram::largest(bucket - 1), "{value} in {bucket}");
        }
        assert_eq!(Histogram::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500_000), 0);
        (1..=1000u64).for_each(|value| histogram.counts[Histogram::bucket(value)] += 1);
        for (per_million, exact) in [(500_000, 500), (990_000, 990), (999_000, 999)] {
            let bound = histogram.quantile(per_million);
            assert!((exact..=exact * 17 / 16).contains(&bound), "{per_million}: {bound}");
        }
    }

    #[test]
    fn histograms_add_up_and_come_apart() {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.counts[Histogram::bucket(*value)] += 1);
            histogram
        };
        let (one, other) = (of(&[3, 100, 100]), of(&[100, 1 << 30]));
        let sum = Histogram::sum([&one, &other]);
        assert_eq!(sum, of(&[3, 100, 100, 100, 1 << 30]));
        assert_eq!(sum.since(&one), other);
    }

    #[test]
    fn spans_have_the_names_of_the_passes_between_rx_and_tx() {
        assert_eq!(span_name(RECEIVE), "rx");
        assert_eq!(span_name(1), Pass::ALL[0].name());
        assert_eq!(span_name(LEAVE), "tx");
    }
}
