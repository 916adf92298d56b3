//! A receive queue that several workers serve, with the order of its packets kept.
//!
//! Whoever has time takes the next burst, with a ticket; bursts leave in the order of their tickets. So packets stay in the
//! core that received them, one heavy flow is spread as well as many light ones, and no packet overtakes another of its queue.
//! Written by more than one worker are two words per burst: who receives, and whose turn it is to send.
//!
//! A worker has one burst at a time, and a ticket waits only for earlier ones: nobody waits in a circle.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crossbeam_utils::CachePadded;
use dpdk::{Batch, RxQueue};

use crate::frame::Frame;

/// Bursts of at least so many packets mean that more wait behind them.
const FULL: usize = 32;
/// Full bursts in a row, less twice the others, after which others help.
const HOT: u32 = 64;

/// The queue, and the order of what came out of it.
pub struct Lane {
    receiving: CachePadded<Mutex<Receiving>>,
    /// Ticket whose packets leave now.
    leaving: CachePadded<AtomicU64>,
    /// Its owner has more than it can do.
    hot: CachePadded<AtomicBool>,
    always: bool,
    /// A worker is gone, perhaps with a ticket: nobody waits for its turn any more.
    abandoned: AtomicBool,
}

/// A worker's hold on a lane. A panic of the worker abandons the lane, so that others do not wait for ever.
pub struct Hold(Arc<Lane>);

impl Hold {
    /// For one worker.
    pub fn new(lane: &Arc<Lane>) -> Hold {
        Hold(Arc::clone(lane))
    }

    /// The lane.
    pub fn lane(&self) -> Arc<Lane> {
        Arc::clone(&self.0)
    }
}

impl Deref for Hold {
    type Target = Lane;

    fn deref(&self) -> &Lane {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

struct Receiving {
    queue: RxQueue,
    ticket: u64,
    pressure: u32,
}

impl Lane {
    /// `always`: others help whatever the load.
    pub fn new(queue: RxQueue, always: bool) -> Lane {
        Lane {
            receiving: CachePadded::new(Mutex::new(Receiving { queue, ticket: 0, pressure: 0 })),
            leaving: CachePadded::default(),
            hot: CachePadded::new(AtomicBool::new(always)),
            always,
            abandoned: AtomicBool::new(false),
        }
    }

    /// Whether workers other than the owner should look here.
    #[inline]
    pub fn wants_help(&self) -> bool {
        self.hot.load(Ordering::Relaxed)
    }

    /// Takes at most `max` packets; `None` if there are none or another worker is just taking some.
    #[inline]
    pub fn take(&self, batch: &mut Batch<Frame>, max: usize) -> Option<u64> {
        // Poisoned or taken: another worker's. One that panicked ends the process.
        let mut receiving = self.receiving.try_lock().ok()?;
        let count = receiving.queue.burst_up_to(batch, max);
        self.judge(&mut receiving.pressure, count >= max.min(FULL));
        if count == 0 {
            return None;
        }
        let ticket = receiving.ticket;
        receiving.ticket = ticket.wrapping_add(1);
        Some(ticket)
    }

    #[inline]
    fn judge(&self, pressure: &mut u32, full: bool) {
        if full && *pressure < HOT {
            *pressure += 1;
            if *pressure == HOT {
                self.hot.store(true, Ordering::Relaxed);
            }
        } else if !full && *pressure > 0 {
            *pressure = pressure.saturating_sub(2);
            if *pressure == 0 && !self.always {
                self.hot.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Whether it is this ticket's turn to send.
    #[inline]
    pub fn may_leave(&self, ticket: u64) -> bool {
        self.leaving.load(Ordering::Acquire) == ticket
    }

    /// Whether a ticket may never get its turn, as a worker panicked: the process ends then, and order does not matter.
    #[cold]
    pub fn abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// All packets of the ticket have left.
    #[inline]
    pub fn left(&self, ticket: u64) {
        self.leaving.store(ticket.wrapping_add(1), Ordering::Release);
    }

    /// The queue, for the port to be closed.
    pub fn into_queue(self) -> RxQueue {
        let receiving = self.receiving.into_inner().into_inner();
        receiving.unwrap_or_else(|poisoned| poisoned.into_inner()).queue
    }
}
