//! Counters and states for the agent: rows of events, closed by an end row.

use std::time::Instant;

use engine::drops::{Drop, Punt};
use engine::seam::{Event, PortId, WorkerId};

use super::Service;
use super::neighbor::Key;
use crate::watch::WorkerShared;

impl Service {
    /// Puts the rows of a snapshot into the outbox.
    pub(super) fn snapshot(&mut self, token: u64, now: Instant) {
        self.port_rows(token);
        self.worker_rows(token);
        self.counter_rows(token);
        self.vif_rows(token);
        for (key, neighbor) in self.neighbors.iter() {
            let (port, vif, address) = match *key {
                Key::Underlay(port, address) => (port, None, address),
                Key::Instance(vif, address) => match self.local.vifs.get(&vif) {
                    Some(known) => (known.port, Some(vif), address),
                    None => continue,
                },
            };
            let age = neighbor
                .confirmed
                .map_or(0, |confirmed| now.saturating_duration_since(confirmed).as_secs());
            self.outbox.push(Event::Neighbor {
                token,
                address,
                mac: neighbor.mac,
                port,
                vif,
                state: neighbor.state,
                age_seconds: u32::try_from(age).unwrap_or(u32::MAX),
            });
        }
        for (id, tunnel) in self.underlay.tunnels() {
            let via = tunnel.via.and_then(|key| match key {
                Key::Underlay(_, address) => Some(address),
                Key::Instance(..) => None,
            });
            let up = self.tunnels_up.get(id).copied().unwrap_or(false);
            self.outbox.push(Event::Tunnel { token, tunnel: *id, via, up });
        }
        self.outbox.push(Event::SnapshotEnd { token, generation: self.acked });
    }

    fn port_rows(&mut self, token: u64) {
        for (index, port) in self.ports.iter().enumerate() {
            let stats = port.port.stats();
            self.outbox.push(Event::Port {
                token,
                port: PortId(index as u8),
                mac: port.mac,
                link: port.link,
                mtu: port.plan.mtu,
                rx_packets: stats.ipackets,
                rx_bytes: stats.ibytes,
                tx_packets: stats.opackets,
                tx_bytes: stats.obytes,
                missed: stats.imissed,
                rx_errors: stats.ierrors,
                no_mbuf: stats.rx_nombuf,
                tx_errors: stats.oerrors,
            });
        }
    }

    fn worker_rows(&mut self, token: u64) {
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let Some(counters) = self.tables.counters(WorkerId(index as u8)) else { continue };
            let row = worker.shared.consistent(|| Event::Worker {
                token,
                worker: WorkerId(index as u8),
                cpu: worker.shared.cpu,
                rx: counters.rx.value(),
                handed_in: counters.handed_in.value(),
                injected: counters.injected.value(),
                copies_made: counters.copies_made.value(),
                tx: counters.tx.value(),
                punted: counters.punted_total(),
                dropped: counters.dropped_total(),
                handed_out: counters.handed_out.value(),
                // A worker finishes every packet of a burst before it looks for the next.
                queued: 0,
                busy_permille: busy(&worker.shared, &mut worker.last_busy),
            });
            self.outbox.push(row);
        }
    }

    fn counter_rows(&mut self, token: u64) {
        let workers: Vec<_> = (0..self.workers.len())
            .filter_map(|index| self.tables.counters(WorkerId(index as u8)))
            .collect();
        for reason in Drop::ALL {
            let count =
                workers.iter().map(|counters| counters.dropped[reason.index()].value()).sum();
            if count > 0 {
                self.outbox.push(Event::DropCount { token, reason: reason.index() as u16, count });
            }
        }
        for class in Punt::ALL {
            let sum = |of: fn(
                &engine::counters::WorkerCounters,
            ) -> &[engine::counters::Counter; Punt::COUNT]| {
                workers.iter().map(|counters| of(counters)[class.index()].value()).sum()
            };
            self.outbox.push(Event::PuntCount {
                token,
                class: class.index() as u16,
                count: sum(|counters| &counters.punted),
                limited: sum(|counters| &counters.punt_limited),
            });
        }
    }

    fn vif_rows(&mut self, token: u64) {
        for vif in self.local.vifs.keys().copied() {
            let rows: Vec<_> = (0..self.workers.len())
                .filter_map(|index| {
                    self.tables
                        .counters(WorkerId(index as u8))
                        .and_then(|counters| counters.vif(vif))
                })
                .collect();
            let sum = |of: fn(&engine::counters::VifCounter) -> &engine::counters::Counter| {
                rows.iter().map(|row| of(row).value()).sum()
            };
            self.outbox.push(Event::Vif {
                token,
                vif,
                rx_packets: sum(|row| &row.rx_packets),
                rx_bytes: sum(|row| &row.rx_bytes),
                tx_packets: sum(|row| &row.tx_packets),
                tx_bytes: sum(|row| &row.tx_bytes),
            });
            for reason in Drop::ALL {
                let count = rows.iter().map(|row| row.dropped[reason.index()].value()).sum();
                if count > 0 {
                    self.outbox.push(Event::VifDrop {
                        token,
                        vif,
                        reason: reason.index() as u16,
                        count,
                    });
                }
            }
        }
    }
}

/// Share of useful cycles since the last look, in tenths of a percent.
fn busy(shared: &WorkerShared, last: &mut (u64, u64)) -> u16 {
    let now = (shared.useful_cycles.value(), dpdk::cycles());
    let (useful, passed) = (now.0.wrapping_sub(last.0), now.1.wrapping_sub(last.1));
    *last = now;
    (useful.saturating_mul(1000) / passed.max(1)).min(1000) as u16
}
