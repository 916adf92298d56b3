//! Counters and states for the agent: rows of events, closed by an end row.

use std::time::Instant;

use engine::drops::{Drop, Punt};
use engine::seam::{Event, PortId, VifId, WorkerId};

use super::neighbor::Key;
use super::{Service, ServiceWorker};
use crate::watch::{WorkerFigures, WorkerShared};

/// Rows of interfaces or neighbours that one turn of the service adds: other work goes on between them.
const ROWS_PER_TURN: usize = 256;

/// A snapshot whose long lists are not complete yet.
pub struct Pending {
    token: u64,
    vifs: Vec<VifId>,
    neighbors: Vec<Key>,
}

impl Service {
    /// Begins a snapshot, in place of one that is under way: the agent asks for one at a time.
    pub(super) fn snapshot(&mut self, token: u64) {
        self.port_rows(token);
        self.worker_rows(token);
        self.counter_rows(token);
        self.snapshot = Some(Pending {
            token,
            vifs: self.local.vifs.keys().copied().collect(),
            neighbors: self.neighbors.iter().map(|(key, _)| *key).collect(),
        });
    }

    /// Puts the next rows into the outbox; true if there was something to do.
    pub(super) fn go_on_with_snapshot(&mut self, now: Instant) -> bool {
        if self.outbox.is_full() {
            return false;
        }
        let Some(mut pending) = self.snapshot.take() else { return false };
        let token = pending.token;
        let rest = pending.vifs.len().saturating_sub(ROWS_PER_TURN);
        for vif in pending.vifs.drain(rest..) {
            self.vif_row(token, vif);
        }
        if rest == 0 {
            let rest = pending.neighbors.len().saturating_sub(ROWS_PER_TURN);
            for key in pending.neighbors.drain(rest..) {
                self.neighbor_row(token, key, now);
            }
        }
        if pending.vifs.is_empty() && pending.neighbors.is_empty() {
            self.tunnel_rows(token);
            for row in self.bfd.rows(token, now) {
                self.outbox.push(row);
            }
            self.outbox.push(Event::SnapshotEnd { token, generation: self.acked });
        } else {
            self.snapshot = Some(pending);
        }
        true
    }

    fn neighbor_row(&mut self, token: u64, key: Key, now: Instant) {
        let Some(neighbor) = self.neighbors.find(key) else { return };
        let (port, vif, address) = match key {
            Key::Underlay(port, address) => (port, None, address),
            Key::Instance(vif, address) => match self.local.vifs.get(&vif) {
                Some(known) => (known.port, Some(vif), address),
                None => return,
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

    fn tunnel_rows(&mut self, token: u64) {
        for (id, tunnel) in self.underlay.tunnels() {
            let via = tunnel.via.and_then(|key| match key {
                Key::Underlay(_, address) => Some(address),
                Key::Instance(..) => None,
            });
            let up = self.tunnels_up.get(id).copied().unwrap_or(false);
            self.outbox.push(Event::Tunnel { token, tunnel: *id, via, up });
        }
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
            let figures = WorkerFigures::of(&worker.shared, counters);
            let row = Event::Worker {
                token,
                worker: WorkerId(index as u8),
                cpu: figures.cpu,
                rx: figures.rx,
                handed_in: figures.handed_in,
                // What was lost on the way to it stands on both sides.
                injected: figures.injected + worker.lost,
                copies_made: figures.copies_made,
                tx: figures.tx,
                punted: figures.punted,
                dropped: figures.dropped() + worker.lost,
                handed_out: figures.handed_out,
                queued: figures.queued,
                busy_permille: busy(&worker.shared, &mut worker.last_busy),
            };
            self.outbox.push(row);
            let id = WorkerId(index as u8);
            self.outbox.push(load_row(token, id, worker, self.hz));
            time_rows(token, id, &worker.shared, self.hz, |row| self.outbox.push(row));
        }
    }

    fn counter_rows(&mut self, token: u64) {
        let workers: Vec<_> = (0..self.workers.len())
            .filter_map(|index| self.tables.counters(WorkerId(index as u8)))
            .collect();
        for reason in Drop::ALL {
            let mut count =
                workers.iter().map(|counters| counters.dropped[reason.index()].value()).sum();
            if *reason == Drop::InjectFull {
                count += self.workers.iter().map(|worker| worker.lost).sum::<u64>();
            }
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

    fn vif_row(&mut self, token: u64, vif: VifId) {
        if !self.local.vifs.contains_key(&vif) {
            return;
        }
        let rows: Vec<_> = (0..self.workers.len())
            .filter_map(|index| {
                self.tables.counters(WorkerId(index as u8)).and_then(|counters| counters.vif(vif))
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
                let reason = reason.index() as u16;
                self.outbox.push(Event::VifDrop { token, vif, reason, count });
            }
        }
    }
}

fn load_row(token: u64, id: WorkerId, worker: &ServiceWorker, hz: u64) -> Event {
    let shared = &worker.shared;
    let longest = shared.longest_sleep.value() / (hz / 1_000_000).max(1);
    Event::WorkerLoad {
        token,
        worker: id,
        bursts: shared.bursts.value(),
        helped: shared.helped.value(),
        hot: worker.lanes.iter().any(|lane| lane.wants_help()),
        sleeps: shared.sleeps.value(),
        longest_sleep_microseconds: u32::try_from(longest).unwrap_or(u32::MAX),
    }
}

/// Rows of the timed bursts, if there were any.
fn time_rows(
    token: u64,
    worker: WorkerId,
    shared: &WorkerShared,
    hz: u64,
    mut push: impl FnMut(Event),
) {
    let times = shared.samples.histogram();
    let bursts = times.total();
    if bursts == 0 {
        return;
    }
    let nanoseconds = |per_million| {
        let cycles = u128::from(times.quantile(per_million));
        u32::try_from(cycles * 1_000_000_000 / u128::from(hz.max(1))).unwrap_or(u32::MAX)
    };
    push(Event::WorkerTimes {
        token,
        worker,
        bursts,
        packets: shared.samples.packets(),
        median: nanoseconds(500_000),
        p99: nanoseconds(990_000),
        p999: nanoseconds(999_000),
    });
    for (span, cycles) in shared.samples.spans().into_iter().enumerate() {
        push(Event::WorkerSpan { token, worker, span: span as u8, cycles });
    }
}

/// Share of useful cycles since the last look, in tenths of a percent.
fn busy(shared: &WorkerShared, last: &mut (u64, u64)) -> u16 {
    let now = (shared.useful_cycles.value(), dpdk::cycles());
    let (useful, passed) = (now.0.wrapping_sub(last.0), now.1.wrapping_sub(last.1));
    *last = now;
    (useful.saturating_mul(1000) / passed.max(1)).min(1000) as u16
}
