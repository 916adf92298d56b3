//! Counters of one worker: written by it alone with plain stores, read by the service thread at any time.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use zerocopy::FromZeros;

use crate::chunks;
use crate::drops::{Drop, Punt};
use crate::seam::VifId;
use crate::table::vif::VIFS;

/// A counter with one writer.
#[derive(Debug, Default, FromZeros)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning worker calls this: a load and a store need no locked instruction.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// The value now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

/// One counter for each row of a list.
#[derive(Debug, FromZeros)]
pub struct Each<const N: usize>([Counter; N]);

impl<const N: usize> Default for Each<N> {
    fn default() -> Self {
        Each([const { Counter(AtomicU64::new(0)) }; N])
    }
}

impl<const N: usize> Deref for Each<N> {
    type Target = [Counter; N];

    #[inline]
    fn deref(&self) -> &[Counter; N] {
        &self.0
    }
}

/// A worker's side of the accounting identity:
/// `rx + handed_in + injected + copies_made = tx + punted + dropped + handed_out + queued`.
///
/// [`crate::pipeline::process`] counts the drops that it decides; everything else is counted by the worker where it happens.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Packets received from ports.
    pub rx: Counter,
    /// Packets from other workers.
    pub handed_in: Counter,
    /// Packets from the service thread.
    pub injected: Counter,
    /// Copies of dropped packets, made to tell the sender.
    pub copies_made: Counter,
    /// Packets that a port took.
    pub tx: Counter,
    /// Packets that the service thread took, per class.
    pub punted: Each<{ Punt::COUNT }>,
    /// Packets and copies that the rate limit of their class refused.
    pub punt_limited: Each<{ Punt::COUNT }>,
    /// Packets dropped, per reason.
    pub dropped: Each<{ Drop::COUNT }>,
    /// Packets to other workers.
    pub handed_out: Counter,
    vifs: VifCounters,
}

impl WorkerCounters {
    pub(crate) fn padded() -> CachePadded<WorkerCounters> {
        CachePadded::default()
    }

    /// Counts a drop, at the interface too if it has one.
    #[inline]
    pub fn drop(&self, reason: Drop, vif: Option<VifId>) {
        self.dropped[reason.index()].add(1);
        if let Some(row) = vif.and_then(|vif| self.vif(vif)) {
            row.dropped[reason.index()].add(1);
        }
    }

    /// Counters of an interface; all zero if it never existed.
    #[inline(always)]
    pub fn vif(&self, vif: VifId) -> Option<&VifCounter> {
        self.vifs.0.get(vif.index())
    }

    /// Sum over all drop reasons.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(Counter::value).sum()
    }

    /// Sum over all punt classes.
    pub fn punted_total(&self) -> u64 {
        self.punted.iter().map(Counter::value).sum()
    }

    /// Starts an interface at zero. The table writer calls it before the vif can be seen.
    pub(crate) fn start_vif(&self, vif: VifId) {
        if let Some(row) = self.vif(vif) {
            row.clear();
        }
    }
}

/// Counters of one interface at one worker. Those of every packet are in one cache line.
#[derive(Debug, FromZeros)]
#[repr(C, align(64))]
pub struct VifCounter {
    /// Frames from the instance, dropped ones too.
    pub rx_packets: Counter,
    /// Their bytes, Ethernet header and tag included, FCS not.
    pub rx_bytes: Counter,
    /// Frames to the instance that the port took.
    pub tx_packets: Counter,
    /// Their bytes, Ethernet header and tag included, FCS not.
    pub tx_bytes: Counter,
    /// Drops of frames from the instance, or on the way to it, per reason.
    pub dropped: Each<{ Drop::COUNT }>,
}

impl VifCounter {
    /// Counts frames that the port took.
    #[inline]
    pub fn sent(&self, packets: u64, bytes: u64) {
        self.tx_packets.add(packets);
        self.tx_bytes.add(bytes);
    }

    fn clear(&self) {
        for counter in [&self.rx_packets, &self.rx_bytes, &self.tx_packets, &self.tx_bytes] {
            counter.clear();
        }
        self.dropped.iter().for_each(Counter::clear);
    }
}

/// All interfaces: only those that exist take memory.
#[derive(Debug)]
struct VifCounters(Box<[VifCounter]>);

impl Default for VifCounters {
    fn default() -> Self {
        VifCounters(chunks::zeroed(VIFS))
    }
}
