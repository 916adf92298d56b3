//! Counters and states of the data plane, asked for one snapshot at a time. Questions that come while one is under way get
//! the next, so that nobody reads figures older than the question.

use std::time::{Duration, Instant};

use engine::seam::{Event, Op};

use crate::api::{Query, Reply};
use crate::program::Program;

/// A question, the way back, and the rows; `None`: the data plane did not answer.
pub type Finished = (Query, Reply, Option<Vec<Event>>);

/// Questions and the snapshot under way.
#[derive(Default)]
pub struct Snapshots {
    token: u64,
    open: Option<Open>,
    queued: Vec<(Query, Reply)>,
}

struct Open {
    since: Instant,
    rows: Vec<Event>,
    complete: bool,
    questions: Vec<(Query, Reply)>,
}

impl Snapshots {
    /// Goes on after `token`.
    pub fn new(token: u64) -> Self {
        Snapshots { token, ..Snapshots::default() }
    }

    /// The last token used.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether a snapshot is under way.
    pub fn open(&self) -> bool {
        self.open.is_some()
    }

    /// Queues a question.
    pub fn ask(&mut self, query: Query, reply: Reply) {
        self.queued.push((query, reply));
    }

    /// Asks the data plane, if there are questions and no snapshot is under way.
    pub fn start(&mut self, program: &mut Program, now: Instant) {
        if self.open.is_none() && !self.queued.is_empty() {
            self.token += 1;
            program.ask(Op::Snapshot { token: self.token });
            let questions = std::mem::take(&mut self.queued);
            self.open = Some(Open { since: now, rows: Vec::new(), complete: false, questions });
        }
    }

    /// A row came. Those of a snapshot that was given up are left out.
    pub fn row(&mut self, row: Event) {
        if let Some(open) = self.open.as_mut().filter(|_| token(&row) == Some(self.token)) {
            match row {
                Event::SnapshotEnd { .. } => open.complete = true,
                row => open.rows.push(row),
            }
        }
    }

    /// The questions that can be answered now, or must be given up after `patience`.
    pub fn finished(&mut self, now: Instant, patience: Duration) -> Vec<Finished> {
        let over = |open: &mut Open| {
            open.complete || now.saturating_duration_since(open.since) >= patience
        };
        let Some(open) = self.open.take_if(over) else { return Vec::new() };
        let rows = open.complete.then_some(open.rows);
        open.questions.into_iter().map(|(query, reply)| (query, reply, rows.clone())).collect()
    }
}

fn token(event: &Event) -> Option<u64> {
    match *event {
        Event::Port { token, .. }
        | Event::Worker { token, .. }
        | Event::WorkerLoad { token, .. }
        | Event::WorkerTimes { token, .. }
        | Event::WorkerSpan { token, .. }
        | Event::DropCount { token, .. }
        | Event::PuntCount { token, .. }
        | Event::Vif { token, .. }
        | Event::VifDrop { token, .. }
        | Event::Neighbor { token, .. }
        | Event::Tunnel { token, .. }
        | Event::BfdSession { token, .. }
        | Event::SnapshotEnd { token, .. } => Some(token),
        Event::Ack { .. }
        | Event::Refused { .. }
        | Event::PortLink { .. }
        | Event::Bfd { .. }
        | Event::TunnelUp { .. } => None,
    }
}
