//! How packets leave a worker: in bursts, counted once the port took them. What a port does not take is dropped here and now:
//! a queue in front of a full queue only adds delay.

use std::hint;
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

/// Interface and length of a frame: counted once the port took it.
#[derive(Clone, Copy, Default)]
struct Note {
    vif: Option<VifId>,
    length: u16,
}

/// Frames to one port, gathered from a burst that goes to several.
struct Stage {
    batch: Batch<Frame>,
    notes: [Note; BATCH],
}

/// All ways out of a worker.
pub struct Outlets {
    /// By the owner of the receive queue that the packets came from, then by port: packets of one receive queue leave by the same
    /// transmit queue whoever forwards them.
    ways: Vec<Vec<Way>>,
    hand_out: Vec<rtrb::Producer<Handed>>,
    stages: Vec<Stage>,
    notes: [Note; BATCH],
}

impl Outlets {
    /// `ways` by owner and port; `hand_out` as [`Way::Through`] numbers them.
    pub fn new(ways: Vec<Vec<Way>>, hand_out: Vec<rtrb::Producer<Handed>>) -> Outlets {
        let ports = ways.iter().map(Vec::len).max().unwrap_or(0);
        let stage = || Stage { batch: Batch::empty(), notes: [Note::default(); BATCH] };
        Outlets {
            ways,
            hand_out,
            stages: (0..ports).map(|_| stage()).collect(),
            notes: [Note::default(); BATCH],
        }
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
        let mut last = None;
        for ((frame, verdict), note) in batch.iter().zip(verdicts).zip(&mut self.notes) {
            match verdict {
                Verdict::Tx { port: other, vif } if other == port => {
                    *note = Note { vif: *vif, length: frame.0.len() as u16 };
                    if *vif != last {
                        last = *vif;
                        // Read when the port has taken the frames.
                        if let Some(row) = vif.and_then(|vif| counters.vif(vif)) {
                            prefetch(row);
                        }
                    }
                }
                _ => return false,
            }
        }
        let way = self.ways.get_mut(home).and_then(|ways| ways.get_mut(port.index()));
        transmit(way, &mut self.hand_out, *port, batch, &self.notes, counters);
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
        if let Some(note) = stage.notes.get_mut(stage.batch.len()) {
            *note = Note { vif, length: frame.0.len() as u16 };
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
        let Stage { batch, notes } = &mut self.stages[port.index()];
        let way = self.ways.get_mut(home).and_then(|ways| ways.get_mut(port.index()));
        transmit(way, &mut self.hand_out, port, batch, notes, counters);
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

#[inline]
fn transmit(
    way: Option<&mut Way>,
    hand_out: &mut [rtrb::Producer<Handed>],
    port: PortId,
    batch: &mut Batch<Frame>,
    notes: &[Note; BATCH],
    counters: &WorkerCounters,
) {
    let notes = &notes[..batch.len()];
    let taken = match way {
        Some(Way::Own(queue)) => queue.burst(batch),
        Some(Way::Shared(queue)) => lock(queue).burst(batch),
        Some(Way::Through(ring)) => {
            return hand_over(hand_out.get_mut(*ring), port, batch, notes, counters);
        }
        None => 0,
    };
    counters.tx.add(taken as u64);
    for run in notes[..taken].chunk_by(|one, next| one.vif == next.vif) {
        if let Some(row) = run[0].vif.and_then(|vif| counters.vif(vif)) {
            row.sent(run.len() as u64, run.iter().map(|note| u64::from(note.length)).sum());
        }
    }
    if taken < notes.len() {
        lose(Reason::TxFull, batch, &notes[taken..], counters);
    }
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
    notes: &[Note],
    counters: &WorkerCounters,
) {
    let mut frames = batch.drain();
    let mut taken = 0;
    if let Some(ring) = ring {
        let room = ring.slots().min(notes.len());
        if let Ok(chunk) = ring.write_chunk_uninit(room) {
            let handed = notes.iter().zip(&mut frames).map(|(note, frame)| Handed {
                frame,
                port,
                vif: note.vif,
            });
            taken = chunk.fill_from_iter(handed.take(room));
        }
    }
    drop(frames);
    counters.handed_out.add(taken as u64);
    lose(Reason::HandoffFull, batch, &notes[taken..], counters);
}

#[cold]
fn lose(reason: Reason, batch: &mut Batch<Frame>, notes: &[Note], counters: &WorkerCounters) {
    for note in notes {
        counters.drop(reason, note.vif);
    }
    batch.clear();
}
