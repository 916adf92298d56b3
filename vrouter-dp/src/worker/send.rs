//! How packets leave a worker: in bursts, counted once the port took them. What a port does not take is dropped here and now:
//! a queue in front of a full queue only adds delay.

use std::hint;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use dpdk::{BATCH, Batch, TxQueue};
use engine::Verdict;
use engine::counters::WorkerCounters;
use engine::drops::Drop as Reason;
use engine::prefetch::prefetch;
use engine::seam::{PortId, VifId};

use crate::frame::Frame;

/// A packet on its way to the worker that owns the transmit queue.
pub struct Handed {
    pub frame: Frame,
    pub port: PortId,
    pub vif: Option<VifId>,
}

/// How a worker sends on a port.
pub enum Way {
    /// It owns a queue.
    Own(TxQueue),
    /// A queue that several workers send on, one burst after the other.
    Shared(Arc<Mutex<TxQueue>>),
    /// Another worker does; index into the hand-over rings.
    Through(usize),
}

/// Frames to one port, gathered from a burst that goes to several.
struct Stage {
    batch: Batch<Frame>,
    vifs: [Option<VifId>; BATCH],
}

/// All ways out of a worker.
pub struct Outlets {
    /// By the owner of the receive queue that the packets came from, then by port: packets of one receive queue leave by the same
    /// transmit queue whoever forwards them.
    ways: Vec<Vec<Way>>,
    hand_out: Vec<rtrb::Producer<Handed>>,
    stages: Vec<Stage>,
    runs: Runs,
}

impl Outlets {
    /// `ways` by owner and port; `hand_out` as [`Way::Through`] numbers them.
    pub fn new(ways: Vec<Vec<Way>>, hand_out: Vec<rtrb::Producer<Handed>>) -> Outlets {
        let ports = ways.iter().map(Vec::len).max().unwrap_or(0);
        let stage = || Stage { batch: Batch::empty(), vifs: [None; BATCH] };
        Outlets { ways, hand_out, stages: (0..ports).map(|_| stage()).collect(), runs: Runs::new() }
    }

    /// Sends a whole burst to no instance by one port.
    #[inline]
    pub fn send_plain(
        &mut self,
        home: usize,
        port: PortId,
        batch: &mut Batch<Frame>,
        counters: &WorkerCounters,
    ) {
        self.runs.plain(batch.len());
        let way = self.ways.get_mut(home).and_then(|ways| ways.get_mut(port.index()));
        transmit(way, &mut self.hand_out, port, batch, &mut self.runs, counters);
    }

    /// Sends a whole burst as it is; false, and nothing done, if not all of it goes out by one port.
    #[inline]
    pub fn send_all(
        &mut self,
        home: usize,
        batch: &mut Batch<Frame>,
        verdicts: &[Verdict],
        counters: &WorkerCounters,
    ) -> bool {
        let Some(Verdict::Tx { port, .. }) = verdicts.first() else { return false };
        let port = *port;
        let runs = &mut self.runs;
        let mut open = runs.start();
        for (frame, verdict) in batch.iter().zip(verdicts) {
            match verdict {
                Verdict::Tx { port: other, vif } if *other == port => {
                    runs.add(&mut open, frame, *vif, counters);
                }
                _ => return false,
            }
        }
        runs.close(&open);
        let way = self.ways.get_mut(home).and_then(|ways| ways.get_mut(port.index()));
        transmit(way, &mut self.hand_out, port, batch, runs, counters);
        true
    }

    /// Adds a packet to what [`Outlets::flush`] sends; a full batch goes at once.
    #[inline]
    pub fn push(
        &mut self,
        home: usize,
        port: PortId,
        frame: Frame,
        vif: Option<VifId>,
        counters: &WorkerCounters,
    ) {
        let Some(stage) = self.stages.get_mut(port.index()) else {
            return counters.drop(Reason::TxFull, vif);
        };
        if let Some(slot) = stage.vifs.get_mut(stage.batch.len()) {
            *slot = vif;
        }
        let room = stage.batch.push(frame).is_ok();
        debug_assert!(room);
        if stage.batch.is_full() {
            self.flush_port(home, port, counters);
        }
    }

    /// Sends all that was added.
    #[inline]
    pub fn flush(&mut self, home: usize, counters: &WorkerCounters) {
        for port in 0..self.stages.len() {
            if !self.stages[port].batch.is_empty() {
                self.flush_port(home, PortId(port as u8), counters);
            }
        }
    }

    fn flush_port(&mut self, home: usize, port: PortId, counters: &WorkerCounters) {
        let Stage { batch, vifs } = &mut self.stages[port.index()];
        let runs = &mut self.runs;
        let mut open = runs.start();
        for (frame, vif) in batch.iter().zip(&*vifs) {
            runs.add(&mut open, frame, *vif, counters);
        }
        runs.close(&open);
        let way = self.ways.get_mut(home).and_then(|ways| ways.get_mut(port.index()));
        transmit(way, &mut self.hand_out, port, batch, runs, counters);
    }

    /// The queues, for the ports to be closed: those of its own, and its shares of others.
    pub fn into_queues(self) -> (Vec<TxQueue>, Vec<Arc<Mutex<TxQueue>>>) {
        let (mut own, mut shared) = (vec![], vec![]);
        for way in self.ways.into_iter().flatten() {
            match way {
                Way::Own(queue) => own.push(queue),
                Way::Shared(queue) => shared.push(queue),
                Way::Through(_) => {}
            }
        }
        (own, shared)
    }
}

/// The frames of a batch in runs to one interface: counted once the port took them.
struct Runs {
    runs: Box<[Run; BATCH]>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Run {
    /// `None`: not to an instance.
    vif: Option<VifId>,
    packets: u32,
    bytes: u32,
}

impl Runs {
    fn new() -> Runs {
        Runs { runs: Box::new([Run { vif: None, packets: 0, bytes: 0 }; BATCH]), len: 0 }
    }

    /// Begins anew; the run that frames are added to, which is kept in registers until it ends.
    #[inline]
    fn start(&mut self) -> Run {
        self.len = 0;
        Run { vif: None, packets: 0, bytes: 0 }
    }

    /// All frames in one run to no instance; their bytes are counted nowhere.
    #[inline]
    fn plain(&mut self, packets: usize) {
        let open = Run { packets: packets as u32, ..self.start() };
        self.close(&open);
    }

    /// Adds the next frame.
    #[inline]
    fn add(
        &mut self,
        open: &mut Run,
        frame: &Frame,
        vif: Option<VifId>,
        counters: &WorkerCounters,
    ) {
        let length = frame.0.len() as u32;
        if vif == open.vif {
            open.packets += 1;
            open.bytes += length;
            return;
        }
        self.close(open);
        if let Some(row) = vif.and_then(|vif| counters.vif(vif)) {
            // Read when the port has taken the frames.
            prefetch(row);
        }
        *open = Run { vif, packets: 1, bytes: length };
    }

    /// Ends a run.
    #[inline]
    fn close(&mut self, open: &Run) {
        if open.packets > 0
            && let Some(run) = self.runs.get_mut(self.len)
        {
            *run = *open;
            self.len += 1;
        }
    }

    /// The interface of each frame.
    fn vifs(&self) -> impl Iterator<Item = Option<VifId>> {
        self.runs[..self.len].iter().flat_map(|run| iter::repeat_n(run.vif, run.packets as usize))
    }

    /// Takes back the last frame; the interface that it was for.
    fn take_back(&mut self, frame: &Frame) -> Option<VifId> {
        let run = self.runs.get_mut(self.len.checked_sub(1)?)?;
        let vif = run.vif;
        run.packets -= 1;
        run.bytes = run.bytes.saturating_sub(frame.0.len() as u32);
        if run.packets == 0 {
            self.len -= 1;
        }
        vif
    }

    /// The port took all of them.
    #[inline]
    fn count(&self, counters: &WorkerCounters) {
        for run in &self.runs[..self.len] {
            if let Some(row) = run.vif.and_then(|vif| counters.vif(vif)) {
                row.sent(u64::from(run.packets), u64::from(run.bytes));
            }
        }
    }

    /// The frames left in the batch, the last ones that were added, are dropped.
    #[cold]
    fn lose(&mut self, reason: Reason, batch: &mut Batch<Frame>, counters: &WorkerCounters) {
        while let Some(frame) = batch.pop() {
            counters.drop(reason, self.take_back(&frame));
        }
    }
}

#[inline]
fn transmit(
    way: Option<&mut Way>,
    hand_out: &mut [rtrb::Producer<Handed>],
    port: PortId,
    batch: &mut Batch<Frame>,
    runs: &mut Runs,
    counters: &WorkerCounters,
) {
    let taken = match way {
        Some(Way::Own(queue)) => queue.burst(batch),
        Some(Way::Shared(queue)) => lock(queue).burst(batch),
        Some(Way::Through(ring)) => {
            return hand_over(hand_out.get_mut(*ring), port, batch, runs, counters);
        }
        None => 0,
    };
    counters.tx.add(taken as u64);
    if !batch.is_empty() {
        runs.lose(Reason::TxFull, batch, counters);
    }
    runs.count(counters);
}

/// Waits for the worker that is sending a burst on this queue.
#[inline]
fn lock(queue: &Mutex<TxQueue>) -> MutexGuard<'_, TxQueue> {
    loop {
        match queue.try_lock() {
            Ok(queue) => return queue,
            Err(TryLockError::Poisoned(queue)) => return queue.into_inner(),
            Err(TryLockError::WouldBlock) => hint::spin_loop(),
        }
    }
}

/// To the worker that owns the queue, as many as its ring takes.
fn hand_over(
    ring: Option<&mut rtrb::Producer<Handed>>,
    port: PortId,
    batch: &mut Batch<Frame>,
    runs: &Runs,
    counters: &WorkerCounters,
) {
    let count = batch.len();
    let mut taken = 0;
    if let Some(ring) = ring
        && let Ok(chunk) = ring.write_chunk_uninit(ring.slots().min(count))
    {
        let room = chunk.len();
        let handed = batch.drain().zip(runs.vifs()).map(|(frame, vif)| Handed { frame, port, vif });
        taken = chunk.fill_from_iter(handed.take(room));
    }
    counters.handed_out.add(taken as u64);
    // What the ring had no room for was freed with the rest of the batch.
    batch.clear();
    runs.vifs().skip(taken).for_each(|vif| counters.drop(Reason::HandoffFull, vif));
}
