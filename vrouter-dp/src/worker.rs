//! A worker: one pinned lcore that polls its queues, sends every packet to its one exit, and counts it there.
//!
//! A turn of the loop: the bursts of its receive queues, what other workers handed over, what the service thread wants sent,
//! then a quiescent point. A packet never waits in a worker from one turn to the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use dpdk::{BATCH, Batch, Mbuf, Pool, RxQueue, TxQueue};
use engine::counters::WorkerCounters;
use engine::drops::Drop as Reason;
use engine::pipeline::{self, Pass, Probe};
use engine::seam::{PortId, VifId};
use engine::{PuntMeta, Verdict, WorkerState};

use crate::frame::Frame;
use crate::punt::{self, Target, WorkerRings};
use crate::watch::{LEAVE, RECEIVE, SPANS, WorkerShared};

/// Turns without a packet before a worker sleeps.
const IDLE_TURNS: u32 = 512;
/// Injected packets per turn.
const INJECTIONS: usize = 32;
/// Packets that may wait from one worker to another.
pub const HANDOFF: usize = 1024;
/// Turns between two looks at the clock: the rate limits of punts are refilled by it.
const CLOCK_TURNS: u32 = 64;

/// A packet on its way to the worker that owns the transmit queue.
pub struct Handed {
    frame: Mbuf,
    port: PortId,
    vif: Option<VifId>,
}

/// How a worker sends on a port.
pub enum Sender {
    /// It owns a queue.
    Own(Box<Transmit>),
    /// Another worker does; index into its hand-over rings.
    Through(usize),
}

/// A transmit queue and what waits for it within a turn.
pub struct Transmit {
    queue: TxQueue,
    batch: Batch,
    /// Interface and length of each frame in the batch: counted once the port took it.
    notes: Vec<(Option<VifId>, u32)>,
}

impl Transmit {
    /// For a queue that this worker owns.
    pub fn new(queue: TxQueue) -> Box<Transmit> {
        Box::new(Transmit { queue, batch: Batch::new(), notes: Vec::with_capacity(BATCH) })
    }

    fn flush(&mut self, counters: &WorkerCounters) {
        if self.batch.is_empty() {
            return;
        }
        let taken = self.queue.burst(&mut self.batch);
        counters.tx.add(taken as u64);
        for (vif, length) in &self.notes[..taken] {
            if let Some(row) = vif.and_then(|vif| counters.vif(vif)) {
                row.sent(1, u64::from(*length));
            }
        }
        // What the port does not take is dropped here and now: a queue in front of a full queue only adds delay.
        for (vif, _) in &self.notes[taken..] {
            counters.drop(Reason::TxFull, *vif);
        }
        self.notes.clear();
        self.batch.clear();
    }
}

/// Everything that a worker owns.
pub struct Worker {
    /// The engine's part: tables, the right to read them, counters, limits.
    pub state: WorkerState,
    /// What it publishes.
    pub shared: Arc<WorkerShared>,
    /// Buffers for injected packets and copies.
    pub pool: Pool,
    /// Its receive queues.
    pub receive: Vec<(PortId, RxQueue)>,
    /// How it sends, by port.
    pub send: Vec<Sender>,
    /// Rings to other workers.
    pub hand_out: Vec<rtrb::Producer<Handed>>,
    /// Rings from other workers.
    pub hand_in: Vec<rtrb::Consumer<Handed>>,
    /// Rings to and from the service thread.
    pub rings: WorkerRings,
    /// What the configuration says.
    pub limits: Limits,
}

/// What the configuration says about the loop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sleep when there is nothing to do; zero polls for ever.
    pub idle_sleep: Duration,
    /// Packets taken from a queue at once, 1 to [`BATCH`].
    pub burst: usize,
    /// Every how many-th burst is timed; 0: none.
    pub sample_bursts: u32,
}

/// What the loop keeps beside the worker: scratch space, made once.
struct Turn {
    batch: Batch,
    frames: Vec<Frame>,
    verdicts: Vec<Verdict>,
    bytes: Vec<u8>,
    /// Bursts until one is timed; 0: none is.
    until_sample: u32,
}

impl Worker {
    /// The queues, for the port to be closed.
    pub fn into_queues(self) -> (Vec<RxQueue>, Vec<TxQueue>) {
        let own = |sender| match sender {
            Sender::Own(transmit) => Some(transmit.queue),
            Sender::Through(_) => None,
        };
        let receive = self.receive.into_iter().map(|(_, queue)| queue);
        (receive.collect(), self.send.into_iter().filter_map(own).collect())
    }

    /// Polls until told to stop; gives the queues back.
    pub fn run(mut self, cycles_per_second: u64) -> Worker {
        let mut turn = Turn {
            batch: Batch::new(),
            frames: Vec::with_capacity(BATCH),
            verdicts: Vec::with_capacity(BATCH),
            bytes: Vec::with_capacity(crate::ring::MAX_FRAME),
            until_sample: self.limits.sample_bursts,
        };
        let mut clock = Clock::new(cycles_per_second);
        let mut idle = 0u32;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if clock.due() {
                self.state.refill(clock.elapsed());
            }
            if self.turn(&mut turn) {
                idle = 0;
            } else {
                // A worker that never sleeps counts for ever.
                idle = idle.saturating_add(1);
            }
            if idle >= IDLE_TURNS && !self.limits.idle_sleep.is_zero() {
                let nap = self.limits.idle_sleep;
                self.state.offline(|| thread::sleep(nap));
                clock.force();
            }
            self.state.quiesce();
        }
        self
    }

    /// One turn; true if there was a packet.
    fn turn(&mut self, turn: &mut Turn) -> bool {
        let start = dpdk::cycles();
        let mut worked = false;
        for queue in 0..self.receive.len() {
            if turn.until_sample == 1 {
                self.timed_burst(queue, turn, &mut worked);
                continue;
            }
            let (port, queue) = &mut self.receive[queue];
            let port = *port;
            if queue.burst_up_to(&mut turn.batch, self.limits.burst) == 0 {
                continue;
            }
            turn.until_sample = turn.until_sample.saturating_sub(1);
            self.begin(&mut worked);
            self.received(port, turn, &mut ());
        }
        for ring in 0..self.hand_in.len() {
            if !self.hand_in[ring].is_empty() {
                self.begin(&mut worked);
                self.handed_in(ring);
            }
        }
        if !self.rings.injections.is_empty() {
            self.begin(&mut worked);
            self.injected(turn);
        }
        if worked {
            self.flush();
            self.shared.end();
            let useful = dpdk::cycles().wrapping_sub(start);
            self.shared.useful_cycles.add(useful);
        }
        worked
    }

    fn begin(&self, worked: &mut bool) {
        if !*worked {
            *worked = true;
            self.shared.begin();
        }
    }

    /// As any other burst, with a look at the clock after each pass.
    #[cold]
    #[inline(never)]
    fn timed_burst(&mut self, queue: usize, turn: &mut Turn, worked: &mut bool) {
        let mut spans = Spans::start();
        let (port, queue) = &mut self.receive[queue];
        let port = *port;
        let packets = queue.burst_up_to(&mut turn.batch, self.limits.burst);
        if packets == 0 {
            return;
        }
        spans.lap(RECEIVE);
        self.begin(worked);
        self.received(port, turn, &mut spans);
        spans.lap(LEAVE);
        self.shared.samples.add(packets, &spans.cycles);
        turn.until_sample = self.limits.sample_bursts;
    }

    /// The path of received packets: through the pipeline, each to its exit.
    fn received(&mut self, port: PortId, turn: &mut Turn, probe: &mut impl Probe) {
        turn.frames.extend(turn.batch.drain().map(Frame));
        self.counters().rx.add(turn.frames.len() as u64);
        self.shared.bursts.add(1);
        let Turn { frames, verdicts, .. } = turn;
        pipeline::process_probed(&mut self.state, port, frames, verdicts, probe);
        for (frame, verdict) in turn.frames.drain(..).zip(turn.verdicts.drain(..)) {
            self.leave(frame, verdict);
        }
        self.flush();
    }

    /// The one exit of a packet.
    fn leave(&mut self, frame: Frame, verdict: Verdict) {
        match verdict {
            Verdict::Tx { port, vif } => self.transmit(frame.0, port, vif),
            Verdict::Punt(meta) => self.punt(&meta, frame.0.data()),
            Verdict::Drop { notify: None, .. } => {}
            Verdict::Drop { notify: Some(meta), .. } => {
                self.counters().copies_made.add(1);
                self.punt(&meta, frame.0.data());
            }
        }
    }

    fn punt(&mut self, meta: &PuntMeta, bytes: &[u8]) {
        let taken = self.rings.punt(meta, bytes);
        let counters = self.counters();
        if taken {
            counters.punted[meta.class.index()].add(1);
        } else {
            counters.drop(Reason::PuntFull, meta.vif);
        }
    }

    fn transmit(&mut self, frame: Mbuf, port: PortId, vif: Option<VifId>) {
        let lost = match self.send.get_mut(port.index()) {
            None => Some(Reason::TxFull),
            Some(Sender::Through(ring)) => {
                let pushed = self
                    .hand_out
                    .get_mut(*ring)
                    .is_some_and(|ring| ring.push(Handed { frame, port, vif }).is_ok());
                if pushed {
                    self.counters().handed_out.add(1);
                }
                (!pushed).then_some(Reason::HandoffFull)
            }
            Some(Sender::Own(transmit)) => {
                transmit.notes.push((vif, frame.len() as u32));
                let room = transmit.batch.push(frame).is_ok();
                debug_assert!(room);
                if transmit.batch.is_full() {
                    transmit.flush(self.state.counters());
                }
                None
            }
        };
        if let Some(reason) = lost {
            self.counters().drop(reason, vif);
        }
    }

    fn flush(&mut self) {
        let counters = self.state.counters();
        for sender in &mut self.send {
            if let Sender::Own(transmit) = sender {
                transmit.flush(counters);
            }
        }
    }

    fn handed_in(&mut self, ring: usize) {
        for _ in 0..BATCH {
            let Ok(Handed { frame, port, vif }) = self.hand_in[ring].pop() else { return };
            self.counters().handed_in.add(1);
            self.transmit(frame, port, vif);
        }
    }

    fn injected(&mut self, turn: &mut Turn) {
        for _ in 0..INJECTIONS {
            let Some(meta) = self.rings.injections.pop(&mut turn.bytes) else { return };
            self.counters().injected.add(1);
            let Some(frame) = self.pool.alloc_from(&turn.bytes) else {
                self.counters().drop(Reason::NoBuffer, None);
                continue;
            };
            match punt::target(&meta) {
                Target::Port(port) => self.transmit(frame, port, None),
                Target::Vrf(vrf) => {
                    let mut frame = Frame(frame);
                    let verdict = pipeline::inject_routed(&mut self.state, vrf, &mut frame);
                    self.leave(frame, verdict);
                }
            }
        }
    }

    fn counters(&self) -> &WorkerCounters {
        self.state.counters()
    }
}

/// Cycles of one burst by span.
struct Spans {
    last: u64,
    cycles: [u64; SPANS],
}

impl Spans {
    fn start() -> Spans {
        Spans { last: dpdk::cycles(), cycles: [0; SPANS] }
    }

    fn lap(&mut self, span: usize) {
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

/// Time in steps, so that the packet path reads no clock.
struct Clock {
    per_microsecond: u64,
    last: u64,
    turns: u32,
}

impl Clock {
    fn new(cycles_per_second: u64) -> Clock {
        Clock {
            per_microsecond: (cycles_per_second / 1_000_000).max(1),
            last: dpdk::cycles(),
            turns: 0,
        }
    }

    fn due(&mut self) -> bool {
        self.turns += 1;
        self.turns >= CLOCK_TURNS
    }

    fn force(&mut self) {
        self.turns = CLOCK_TURNS;
    }

    fn elapsed(&mut self) -> Duration {
        self.turns = 0;
        let now = dpdk::cycles();
        let passed = now.wrapping_sub(self.last) / self.per_microsecond;
        self.last = self.last.wrapping_add(passed * self.per_microsecond);
        Duration::from_micros(passed)
    }
}
