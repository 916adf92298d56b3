//! What belongs to one worker: its right to read the tables, its rate limits and its packet ids.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::WorkerCounters;
use crate::drops::Punt;
use crate::publish::Reader;
use crate::seam::WorkerId;
use crate::stage::Burst;
use crate::table::Tables;

/// The engine's part of a worker.
///
/// The poll loop calls [`crate::pipeline::process`] for each burst, [`WorkerState::quiesce`] once per turn, and
/// [`WorkerState::refill`] every few milliseconds.
#[derive(Debug)]
pub struct WorkerState {
    pub(crate) id: WorkerId,
    pub(crate) tables: Arc<Tables>,
    pub(crate) reader: Reader,
    pub(crate) limits: Limits,
    pub(crate) ip_ids: IpIds,
    pub(crate) admitted: Admitted,
    /// The burst under way: kept, so that it is not made anew each time.
    pub(crate) burst: Box<Burst>,
}

impl WorkerState {
    /// The state of worker `id`; `None` if the tables were made for fewer workers.
    pub fn new(tables: &Arc<Tables>, id: WorkerId) -> Option<WorkerState> {
        tables.counters(id)?;
        Some(WorkerState {
            id,
            reader: Reader::new(tables.domain())?,
            tables: Arc::clone(tables),
            limits: Limits::default(),
            ip_ids: IpIds(u16::from(id.0) << 10),
            admitted: Admitted::default(),
            burst: Box::default(),
        })
    }

    /// A quiescent point: once per turn of the poll loop, also when it received nothing.
    #[inline]
    pub fn quiesce(&mut self) {
        self.reader.quiesce();
    }

    /// Runs `work`, such as a sleep, while nobody waits for this worker to pass a quiescent point.
    pub fn offline<R>(&mut self, work: impl FnOnce() -> R) -> R {
        self.reader.offline(work)
    }

    /// Gives every punt class what its rate grants for `elapsed`, the time since the last call.
    pub fn refill(&mut self, elapsed: Duration) {
        self.limits.refill(elapsed);
    }

    /// The counters of this worker.
    #[inline]
    pub fn counters(&self) -> &WorkerCounters {
        &self.tables.counters[usize::from(self.id.0)]
    }

    /// The shared tables.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Who this is.
    pub fn id(&self) -> WorkerId {
        self.id
    }
}

/// Identifications of outer IPv4 headers, one after the other. Workers start apart from each other.
#[derive(Debug)]
pub(crate) struct IpIds(u16);

impl IpIds {
    #[inline]
    pub(crate) fn next(&mut self) -> u16 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

/// Tunnel ends from which packets were admitted since something was last published: the answer of the table, for as long as it
/// cannot have changed.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// (source, destination) at the place that the source hashes to; 0 is none.
    ends: Box<[u64; PLACES]>,
    epoch: u64,
}

const PLACES: usize = 512;

impl Default for Admitted {
    fn default() -> Self {
        Admitted { ends: Box::new([0; PLACES]), epoch: 0 }
    }
}

impl Admitted {
    /// Begins a burst in this epoch.
    #[inline]
    pub(crate) fn begin(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.ends.fill(0);
        }
    }

    /// Whether packets from `ends` (source in the upper half, destination in the lower) were admitted.
    #[inline(always)]
    pub(crate) fn has(&self, ends: u64) -> bool {
        self.ends[place(ends)] == ends && ends != 0
    }

    /// They were.
    pub(crate) fn add(&mut self, ends: u64) {
        self.ends[place(ends)] = ends;
    }
}

#[inline(always)]
const fn place(ends: u64) -> usize {
    ((ends >> 32) as u32).wrapping_mul(0x9e37_79b1) as usize >> 16 & (PLACES - 1)
}

/// A token bucket per punt class. One token is a million units, so that a microsecond grants `rate` units.
#[derive(Debug)]
pub(crate) struct Limits([u64; Punt::COUNT]);

const TOKEN: u64 = 1_000_000;

impl Default for Limits {
    fn default() -> Self {
        Limits(std::array::from_fn(|class| depth(Punt::ALL[class])))
    }
}

impl Limits {
    /// Takes one token; `false` if there is none.
    #[inline]
    pub(crate) fn take(&mut self, class: Punt) -> bool {
        let bucket = &mut self.0[class.index()];
        let rest = bucket.checked_sub(TOKEN);
        *bucket = rest.unwrap_or(*bucket);
        rest.is_some()
    }

    fn refill(&mut self, elapsed: Duration) {
        let microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        for (bucket, class) in self.0.iter_mut().zip(Punt::ALL) {
            let grant = microseconds.saturating_mul(u64::from(class.rate()));
            *bucket = bucket.saturating_add(grant).min(depth(*class));
        }
    }
}

/// A second's worth may come at once.
fn depth(class: Punt) -> u64 {
    u64::from(class.rate()) * TOKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_grants_its_rate() {
        let mut limits = Limits::default();
        let class = Punt::TtlExceeded;
        let drain = |limits: &mut Limits| (0..).take_while(|_| limits.take(class)).count();
        assert_eq!(drain(&mut limits), class.rate() as usize);
        limits.refill(Duration::from_millis(250));
        assert_eq!(drain(&mut limits), class.rate() as usize / 4);
        (0..10).for_each(|_| limits.refill(Duration::from_millis(1)));
        assert_eq!(drain(&mut limits), 1, "small grants add up");
        limits.refill(Duration::from_secs(1 << 40));
        assert_eq!(drain(&mut limits), class.rate() as usize);
    }

    #[test]
    fn what_was_admitted_holds_until_something_is_published() {
        let mut admitted = Admitted::default();
        let ends = |source: u64| source << 32 | 0xc000_0201;
        admitted.begin(1);
        assert!(!admitted.has(0) && !admitted.has(ends(7)));
        (0..100).for_each(|source| admitted.add(ends(source)));
        assert!(admitted.has(ends(99)) && !admitted.has(ends(99) + 1));
        admitted.begin(1);
        assert!(admitted.has(ends(99)));
        admitted.begin(2);
        assert!((0..100).all(|source| !admitted.has(ends(source))));
    }
}
