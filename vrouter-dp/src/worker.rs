//! A worker: one pinned lcore that polls its queues, sends every packet to its one exit, and counts it there.
//!
//! A turn of the loop: a burst from each of its receive queues; if none of them had more than it can do, a burst from queues of
//! others that do ([`Lane`]); what other workers handed over, what the service thread wants sent, then a quiescent point. A packet
//! never waits in a worker from one turn to the next.

mod lane;
mod send;
mod time;

use std::hint;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dpdk::{BATCH, Batch, Pool, RxQueue, TxQueue};
use engine::counters::WorkerCounters;
use engine::drops::Drop as Reason;
use engine::pipeline::{self, Probe};
use engine::seam::PortId;
use engine::{Exits, PuntMeta, Verdict, WorkerState};

pub use lane::{Hold, Lane};
pub use send::{Handed, Outlets, Way};

use crate::frame::Frame;
use crate::punt::{self, Target, WorkerRings};
use crate::watch::{LEAVE, RECEIVE, WorkerShared};
use time::{Clock, Spans};

/// Injected packets per turn.
const INJECTIONS: usize = 32;
/// Below this a sleep costs more than it saves.
const SHORTEST_SLEEP: Duration = Duration::from_micros(20);
/// Packets that may wait from one worker to another.
pub const HANDOFF: usize = 1024;

/// Where packets come from.
pub enum Source {
    /// A queue of its own.
    Own(RxQueue),
    /// A queue that others help with, or another's that it helps with.
    Lane(Hold),
}

/// A receive queue as a worker sees it.
pub struct Inlet {
    /// Port of the queue.
    pub port: PortId,
    /// The worker that the queue belongs to.
    pub home: usize,
    /// The queue.
    pub source: Source,
}

/// What the configuration says about the loop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest sleep when there is nothing to do; zero polls for ever.
    pub idle_sleep: Duration,
    /// Time without a packet before a worker sleeps.
    pub idle_after: Duration,
    /// Packets taken from a queue at once, 1 to [`BATCH`].
    pub burst: usize,
    /// Every how many-th burst is timed; 0: none.
    pub sample_bursts: u32,
}

/// Everything that a worker owns.
pub struct Worker {
    /// Its number.
    pub index: usize,
    /// The engine's part: tables, the right to read them, counters, limits.
    pub state: WorkerState,
    /// What it publishes.
    pub shared: Arc<WorkerShared>,
    /// Buffers for injected packets and copies.
    pub pool: Pool,
    /// Its receive queues, then those of others that it may help with.
    pub inlets: Vec<Inlet>,
    /// How it sends.
    pub outlets: Outlets,
    /// Rings from other workers.
    pub hand_in: Vec<rtrb::Consumer<Handed>>,
    /// Rings to and from the service thread.
    pub rings: WorkerRings,
    /// What the configuration says.
    pub limits: Limits,
}

/// What the loop keeps beside the worker: scratch space, made once.
struct Turn {
    batch: Batch<Frame>,
    verdicts: Vec<Verdict>,
    /// Frames whose way has ended.
    ended: Batch<Frame>,
    bytes: Vec<u8>,
    /// Packets have been seen in this turn.
    worked: bool,
    /// One of its own queues may hold more.
    loaded: bool,
    /// Cycles spent waiting for other workers.
    waited: u64,
    /// Bursts until one is timed; 0: none is.
    until_sample: u32,
}

/// Queues that several workers held.
pub struct SharedQueues {
    lanes: Vec<Arc<Lane>>,
    send: Vec<Arc<Mutex<TxQueue>>>,
}

impl SharedQueues {
    /// The queues nobody else holds any more.
    pub fn into_queues(self) -> (Vec<RxQueue>, Vec<TxQueue>) {
        let send =
            |queue: Mutex<TxQueue>| queue.into_inner().unwrap_or_else(|held| held.into_inner());
        (
            self.lanes.into_iter().filter_map(Arc::into_inner).map(Lane::into_queue).collect(),
            self.send.into_iter().filter_map(Arc::into_inner).map(send).collect(),
        )
    }
}

impl Worker {
    /// The queues, for the ports to be closed.
    pub fn into_queues(self) -> (Vec<RxQueue>, Vec<TxQueue>, SharedQueues) {
        let (mut own, mut lanes) = (vec![], vec![]);
        for inlet in self.inlets {
            match inlet.source {
                Source::Own(queue) => own.push(queue),
                Source::Lane(hold) => lanes.push(hold.lane()),
            }
        }
        let (transmit, send) = self.outlets.into_queues();
        (own, transmit, SharedQueues { lanes, send })
    }

    /// Polls until told to stop; gives the queues back.
    pub fn run(mut self, cycles_per_second: u64) -> Worker {
        let mut turn = Turn {
            batch: Batch::empty(),
            verdicts: Vec::with_capacity(BATCH),
            ended: Batch::empty(),
            bytes: Vec::with_capacity(crate::ring::MAX_FRAME),
            worked: false,
            loaded: false,
            waited: 0,
            until_sample: self.limits.sample_bursts,
        };
        let mut last = dpdk::cycles();
        let mut clock = Clock::new(cycles_per_second, last);
        let patience = clock.cycles(self.limits.idle_after);
        let mut last_work = last;
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.turn(&mut turn);
            let now = dpdk::cycles();
            if turn.worked {
                let useful = now.wrapping_sub(last).saturating_sub(turn.waited);
                self.shared.useful_cycles.add(useful);
                if self.limits.sample_bursts > 0 {
                    self.shared.samples.gap(now.wrapping_sub(last_work));
                }
                last_work = now;
            }
            last = now;
            if let Some(elapsed) = clock.step(now) {
                self.state.refill(elapsed);
            }
            if now.wrapping_sub(last_work) > patience && !self.limits.idle_sleep.is_zero() {
                last = self.nap(now, clock.time(now.wrapping_sub(last_work)));
            }
            self.state.quiesce();
        }
        self
    }

    /// Sleeps once; gives the time. The first packet after a pause waits an eighth of the pause at most: short pauses cost little
    /// delay, long ones little CPU.
    #[cold]
    fn nap(&mut self, now: u64, idle: Duration) -> u64 {
        let nap = (idle / 8).max(SHORTEST_SLEEP).min(self.limits.idle_sleep);
        self.state.offline(|| thread::sleep(nap));
        let awake = dpdk::cycles();
        self.shared.slept(awake.wrapping_sub(now));
        awake
    }

    /// One turn.
    fn turn(&mut self, turn: &mut Turn) {
        turn.worked = false;
        turn.loaded = false;
        turn.waited = 0;
        for inlet in 0..self.inlets.len() {
            if self.inlets[inlet].home != self.index && !self.should_help(inlet, turn) {
                continue;
            }
            if turn.until_sample == 1 {
                self.timed_burst(inlet, turn);
            } else {
                self.burst(inlet, turn, &mut ());
            }
        }
        for ring in 0..self.hand_in.len() {
            if !self.hand_in[ring].is_empty() {
                self.begin(turn);
                self.handed_in(ring);
            }
        }
        if !self.rings.injections.is_empty() {
            self.begin(turn);
            self.injected(turn);
        }
        if turn.worked {
            self.shared.end();
        }
    }

    #[inline]
    fn should_help(&self, inlet: usize, turn: &Turn) -> bool {
        match &self.inlets[inlet].source {
            Source::Lane(lane) => !turn.loaded && lane.wants_help(),
            Source::Own(_) => true,
        }
    }

    #[inline]
    fn begin(&self, turn: &mut Turn) {
        if !turn.worked {
            turn.worked = true;
            self.shared.begin();
        }
    }

    /// As any other burst, with a look at the clock after each pass.
    #[cold]
    #[inline(never)]
    fn timed_burst(&mut self, inlet: usize, turn: &mut Turn) {
        let mut spans = Spans::start();
        let packets = self.burst(inlet, turn, &mut spans);
        if packets > 0 {
            spans.lap(LEAVE);
            self.shared.samples.add(packets, &spans.cycles);
            turn.until_sample = self.limits.sample_bursts;
        }
    }

    /// One burst from a queue through the pipeline, each packet to its exit; how many they were.
    #[inline]
    fn burst(&mut self, inlet: usize, turn: &mut Turn, clock: &mut impl BurstClock) -> usize {
        let Inlet { port, home, source } = &mut self.inlets[inlet];
        let (port, home) = (*port, *home);
        let ticket = match source {
            Source::Own(queue) => {
                if queue.burst_up_to(&mut turn.batch, self.limits.burst) == 0 {
                    return 0;
                }
                None
            }
            Source::Lane(lane) => match lane.take(&mut turn.batch, self.limits.burst) {
                None => return 0,
                ticket => ticket,
            },
        };
        clock.received();
        self.begin(turn);
        let packets = turn.batch.len();
        turn.loaded |= packets == self.limits.burst;
        turn.until_sample =
            turn.until_sample.saturating_sub(1).max(1).min(self.limits.sample_bursts);
        self.counters().rx.add(packets as u64);
        self.shared.bursts.add(1);
        let Turn { batch, verdicts, .. } = turn;
        let frames = batch.as_mut_slice();
        let exits = pipeline::process_probed(&mut self.state, port, frames, verdicts, clock);
        if let Some(ticket) = ticket {
            self.shared.helped.add(u64::from(home != self.index));
            turn.waited += self.wait(inlet, ticket);
        }
        self.leave(home, turn, exits);
        if let (Some(ticket), Source::Lane(lane)) = (ticket, &self.inlets[inlet].source) {
            lane.left(ticket);
        }
        packets
    }

    /// Waits until the packets of earlier tickets have left; cycles that this took.
    #[inline]
    fn wait(&self, inlet: usize, ticket: u64) -> u64 {
        let Source::Lane(lane) = &self.inlets[inlet].source else { return 0 };
        if lane.may_leave(ticket) {
            return 0;
        }
        let start = dpdk::cycles();
        // Also when told to stop: a worker leaves its loop without a ticket, so that every earlier one gets its turn.
        while !lane.may_leave(ticket) && !lane.abandoned() {
            hint::spin_loop();
        }
        let waited = dpdk::cycles().wrapping_sub(start);
        self.shared.waited_cycles.add(waited);
        waited
    }

    /// Every packet of the burst to its exit.
    #[inline]
    fn leave(&mut self, home: usize, turn: &mut Turn, exits: Exits) {
        let Turn { batch, verdicts, .. } = turn;
        if let Some(port) = exits.underlay() {
            return self.outlets.send_plain(home, port, batch, self.state.counters());
        }
        if self.outlets.send_all(home, batch, verdicts, self.state.counters()) {
            return;
        }
        self.part(home, turn);
    }

    /// As [`Worker::leave`], for packets that go different ways.
    fn part(&mut self, home: usize, turn: &mut Turn) {
        for (frame, verdict) in turn.batch.drain().zip(&turn.verdicts) {
            let frame = match *verdict {
                Verdict::Tx { port, vif } => {
                    self.outlets.push(home, port, frame, vif, self.state.counters());
                    continue;
                }
                Verdict::Drop { notify: None, .. } => frame,
                ref other => {
                    self.tell(other, &frame);
                    frame
                }
            };
            let room = turn.ended.push(frame).is_ok();
            debug_assert!(room);
        }
        turn.ended.clear();
        self.outlets.flush(home, self.state.counters());
    }

    /// What the service thread gets of a packet that is not sent.
    #[cold]
    fn tell(&mut self, verdict: &Verdict, frame: &Frame) {
        match verdict {
            Verdict::Punt(meta) => self.punt(meta, frame.0.data()),
            Verdict::Drop { notify: Some(meta), .. } => {
                self.counters().copies_made.add(1);
                self.punt(meta, frame.0.data());
            }
            Verdict::Tx { .. } | Verdict::Drop { notify: None, .. } => {}
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

    /// Sends what another worker handed over, one batch at most.
    fn handed_in(&mut self, ring: usize) {
        let counters = self.state.counters();
        let ring = &mut self.hand_in[ring];
        let Ok(chunk) = ring.read_chunk(ring.slots().min(BATCH)) else { return };
        let (first, second) = chunk.as_slices();
        // They lie in the other core's cache: all loads are under way before the first is waited for.
        first.iter().chain(second).for_each(|handed| handed.frame.0.prefetch_description());
        counters.handed_in.add(chunk.len() as u64);
        for Handed { frame, port, vif } in chunk {
            self.outlets.push(self.index, port, frame, vif, counters);
        }
        self.outlets.flush(self.index, counters);
    }

    fn injected(&mut self, turn: &mut Turn) {
        for _ in 0..INJECTIONS {
            let Some(meta) = self.rings.injections.pop(&mut turn.bytes) else { break };
            self.counters().injected.add(1);
            let Some(frame) = self.pool.alloc_from(&turn.bytes) else {
                self.counters().drop(Reason::NoBuffer, None);
                continue;
            };
            let mut frame = Frame(frame);
            let verdict = match punt::target(&meta) {
                Target::Port(port) => Verdict::Tx { port, vif: None },
                Target::Vrf(vrf) => pipeline::inject_routed(&mut self.state, vrf, &mut frame),
            };
            match verdict {
                Verdict::Tx { port, vif } => {
                    self.outlets.push(self.index, port, frame, vif, self.state.counters());
                }
                other => self.tell(&other, &frame),
            }
        }
        self.outlets.flush(self.index, self.state.counters());
    }

    #[inline]
    fn counters(&self) -> &WorkerCounters {
        self.state.counters()
    }
}

/// Is told about a burst that is timed.
trait BurstClock: Probe {
    /// Packets have been received.
    fn received(&mut self);
}

impl BurstClock for () {
    #[inline(always)]
    fn received(&mut self) {}
}

impl BurstClock for Spans {
    fn received(&mut self) {
        self.lap(RECEIVE);
    }
}

#[cfg(test)]
mod tests;
