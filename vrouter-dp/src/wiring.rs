//! Queues and rings on their way to their owners.

use std::sync::{Arc, Mutex};

use engine::seam::PortId;

use crate::plan::{Plan, Spread, WorkerPlan};
use crate::punt::{self, ServiceRings, WorkerRings};
use crate::topology;
use crate::watch::{SPANS, span_name};
use crate::worker::{HANDOFF, Handed, Hold, Inlet, Lane, Outlets, Source, Way};

/// What each worker gets.
pub struct Wiring {
    workers: Vec<Wired>,
    spread: Spread,
    plan: Plan,
}

struct Wired {
    inlets: Vec<Inlet>,
    helps: Vec<Inlet>,
    ways: Vec<Vec<Way>>,
    hand_out: Vec<rtrb::Producer<Handed>>,
    hand_in: Vec<rtrb::Consumer<Handed>>,
    rings: WorkerRings,
    service: ServiceRings,
}

/// What one worker gets.
pub struct Share {
    /// The shared ones among its receive queues.
    pub lanes: Vec<Arc<Lane>>,
    pub inlets: Vec<Inlet>,
    pub outlets: Outlets,
    pub hand_in: Vec<rtrb::Consumer<Handed>>,
    pub rings: WorkerRings,
    pub service: ServiceRings,
}

impl Wiring {
    /// Rings for so many workers.
    pub fn new(workers: usize, spread: Spread) -> Wiring {
        let spread = if workers > 1 { spread } else { Spread::Off };
        let mut wired: Vec<Wired> = (0..workers)
            .map(|_| {
                let (rings, service) = punt::rings();
                Wired {
                    inlets: vec![],
                    helps: vec![],
                    ways: (0..workers).map(|_| vec![]).collect(),
                    hand_out: vec![],
                    hand_in: vec![],
                    rings,
                    service,
                }
            })
            .collect();
        // A ring from every worker to every other; one to itself stays unused and keeps the indexes plain.
        for from in 0..workers {
            for to in 0..workers {
                let (producer, consumer) =
                    rtrb::RingBuffer::new(if from == to { 1 } else { HANDOFF });
                wired[from].hand_out.push(producer);
                wired[to].hand_in.push(consumer);
            }
        }
        let plan = Plan {
            workers_reason: String::new(),
            spread_reason: reason(workers, spread).into(),
            spans: (0..SPANS).map(span_name).collect(),
            workers: vec![WorkerPlan::default(); workers],
        };
        Wiring { workers: wired, spread, plan }
    }

    /// Who has what, so far.
    pub fn plan(&self) -> Plan {
        self.plan.clone()
    }

    /// Gives out the queues of the next port, which is called `name`.
    pub fn add(
        &mut self,
        port: PortId,
        name: &str,
        queues: dpdk::Queues,
        owners: &topology::Queues,
    ) {
        self.note(name, owners);
        match self.spread {
            Spread::Off => self.add_owned(port, queues, owners),
            Spread::Auto => self.add_shared(port, queues, owners, false),
            Spread::On => self.add_shared(port, queues, owners, true),
        }
    }

    fn note(&mut self, name: &str, owners: &topology::Queues) {
        for (queue, owner) in owners.rx.iter().enumerate() {
            self.plan.workers[*owner].receives.push((name.into(), queue as u16));
        }
        for (worker, owner) in owners.sender.iter().enumerate() {
            let queue = owners.tx.iter().position(|tx| tx == owner).unwrap_or_default();
            let through = (*owner != worker).then_some(*owner);
            self.plan.workers[worker].sends.push((name.into(), queue as u16, through));
        }
    }

    fn add_owned(&mut self, port: PortId, queues: dpdk::Queues, owners: &topology::Queues) {
        for (queue, home) in queues.rx.into_iter().zip(owners.rx.iter().copied()) {
            self.workers[home].inlets.push(Inlet { port, home, source: Source::Own(queue) });
        }
        for (worker, sender) in owners.sender.iter().enumerate() {
            self.workers[worker].ways[worker].push(Way::Through(*sender));
        }
        for (queue, owner) in queues.tx.into_iter().zip(owners.tx.iter().copied()) {
            if let Some(way) = self.workers[owner].ways[owner].last_mut() {
                *way = Way::Own(queue);
            }
        }
    }

    fn add_shared(
        &mut self,
        port: PortId,
        queues: dpdk::Queues,
        owners: &topology::Queues,
        always: bool,
    ) {
        for (queue, home) in queues.rx.into_iter().zip(owners.rx.iter().copied()) {
            let lane = Arc::new(Lane::new(queue, always));
            for (index, worker) in self.workers.iter_mut().enumerate() {
                let inlet = Inlet { port, home, source: Source::Lane(Hold::new(&lane)) };
                if index == home { &mut worker.inlets } else { &mut worker.helps }.push(inlet);
            }
        }
        let transmit: Vec<_> =
            queues.tx.into_iter().map(|queue| Arc::new(Mutex::new(queue))).collect();
        let of = |home: usize| {
            let owner = owners.sender.get(home).copied().unwrap_or_default();
            let queue = owners.tx.iter().position(|tx| *tx == owner).unwrap_or_default();
            transmit.get(queue)
        };
        for worker in &mut self.workers {
            for (home, ways) in worker.ways.iter_mut().enumerate() {
                ways.extend(of(home).map(|queue| Way::Shared(Arc::clone(queue))));
            }
        }
    }

    /// The workers' shares, in their order.
    pub fn shares(self) -> impl Iterator<Item = Share> {
        self.workers.into_iter().map(|wired| {
            let mut inlets = wired.inlets;
            let lane = |inlet: &Inlet| match &inlet.source {
                Source::Lane(hold) => Some(hold.lane()),
                Source::Own(_) => None,
            };
            let lanes = inlets.iter().filter_map(lane).collect();
            inlets.extend(wired.helps);
            Share {
                lanes,
                inlets,
                outlets: Outlets::new(wired.ways, wired.hand_out),
                hand_in: wired.hand_in,
                rings: wired.rings,
                service: wired.service,
            }
        })
    }
}

/// Who serves a queue, in words for the operator.
fn reason(workers: usize, spread: Spread) -> &'static str {
    match spread {
        _ if workers < 2 => "off: there is one worker",
        Spread::Auto => "auto: others help while the bursts of an owner stay full",
        Spread::On => "on: every worker serves every queue",
        Spread::Off => "off: each queue is served by its owner alone",
    }
}
