//! Queues and rings on their way to their owners.

use std::sync::{Arc, Mutex};

use engine::seam::PortId;

use crate::plan::Spread;
use crate::punt::{self, ServiceRings, WorkerRings};
use crate::topology;
use crate::worker::{HANDOFF, Handed, Inlet, Lane, Outlets, Source, Way};

/// What each worker gets.
pub struct Wiring {
    workers: Vec<Wired>,
    spread: Spread,
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
        Wiring { workers: wired, spread }
    }

    /// Gives out the queues of the next port.
    pub fn add(&mut self, port: PortId, queues: dpdk::Queues, owners: &topology::Queues) {
        match self.spread {
            Spread::Off => self.add_owned(port, queues, owners),
            Spread::Auto => self.add_shared(port, queues, owners, false),
            Spread::On => self.add_shared(port, queues, owners, true),
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
                let inlet = Inlet { port, home, source: Source::Lane(Arc::clone(&lane)) };
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
            inlets.extend(wired.helps);
            Share {
                inlets,
                outlets: Outlets::new(wired.ways, wired.hand_out),
                hand_in: wired.hand_in,
                rings: wired.rings,
                service: wired.service,
            }
        })
    }
}
