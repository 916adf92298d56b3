//! The tables that every worker reads and one thread writes: plain data and lookup; no I/O, no clock.
//!
//! [`Tables`] is the readers' side, shared; [`TablesWriter`] is the one writer, with one method for each kind of change.

pub mod fib;
pub mod group;
pub mod label;
pub mod nexthop;
pub mod port;
pub mod tunnel;
pub mod vif;
mod writer;

use std::net::Ipv4Addr;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::counters::WorkerCounters;
use crate::publish::{self, Domain, Reader, Slots};
use crate::seam::{TunnelId, VifId, WorkerId};

pub use fib::{Fib, Key4, Key6};
pub use group::Group;
pub use label::LabelTable;
pub use nexthop::NexthopTable;
pub use port::{Port, PortRole, PortState, PortTable};
pub use tunnel::{Adjacency, AdjacencyId, Tunnel};
pub use vif::Vif;
pub use writer::TablesWriter;

/// Everything that the packet path reads.
#[derive(Debug)]
pub struct Tables {
    pub(crate) domain: Arc<Domain>,
    pub(crate) ports: PortTable,
    pub(crate) fib: Arc<Fib>,
    pub(crate) nexthops: NexthopTable,
    pub(crate) labels: LabelTable,
    vifs: Slots<Vif>,
    groups: Slots<Group>,
    tunnels: Slots<Tunnel>,
    adjacencies: Slots<Adjacency>,
    /// Addresses of the node in the underlay: one record.
    own: Slots<Box<[Ipv4Addr]>>,
    pub(crate) counters: Box<[CachePadded<WorkerCounters>]>,
}

/// What a worker sees of the tables during a burst.
#[derive(Debug)]
pub(crate) struct View<'r> {
    pub ports: &'r PortTable,
    pub fib: &'r Fib,
    pub nexthops: &'r NexthopTable,
    pub labels: &'r LabelTable,
    pub vifs: publish::View<'r, Vif>,
    pub groups: publish::View<'r, Group>,
    pub tunnels: publish::View<'r, Tunnel>,
    pub adjacencies: publish::View<'r, Adjacency>,
    /// Addresses of the node in the underlay. It has few: one per fabric port and the tunnel address.
    pub own: &'r [Ipv4Addr],
}

impl View<'_> {
    /// Whether an address, in host order, is the node's own.
    #[inline]
    pub fn owns(&self, address: u32) -> bool {
        self.own.iter().any(|own| own.to_bits() == address)
    }
}

impl Tables {
    /// Empty tables for `workers` workers, and their writer.
    pub fn new(workers: usize) -> (Arc<Tables>, TablesWriter) {
        let domain = Domain::new();
        let tables = Arc::new(Tables {
            ports: PortTable::new(&domain),
            fib: Arc::default(),
            nexthops: NexthopTable::new(),
            labels: LabelTable::new(),
            vifs: Slots::new(&domain, vif::VIFS),
            groups: Slots::new(&domain, group::GROUPS),
            tunnels: Slots::new(&domain, tunnel::TUNNELS),
            adjacencies: Slots::new(&domain, tunnel::ADJACENCIES),
            own: Slots::new(&domain, 1),
            counters: (0..workers).map(|_| WorkerCounters::padded()).collect(),
            domain,
        });
        let writer = TablesWriter::new(Arc::clone(&tables));
        (tables, writer)
    }

    /// The epoch that readers follow: [`Domain::advance`] and [`Domain::grace_passed`] tell when a generation was seen by all.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// The route tables.
    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    /// Counters of a worker; `None` beyond the number given to [`Tables::new`].
    #[inline]
    pub fn counters(&self, worker: WorkerId) -> Option<&WorkerCounters> {
        self.counters.get(usize::from(worker.0)).map(|padded| &**padded)
    }

    /// Counters of all workers, in order.
    pub fn all_counters(&self) -> impl Iterator<Item = &WorkerCounters> {
        self.counters.iter().map(|padded| &**padded)
    }

    /// The tables for one burst.
    #[inline(always)]
    pub(crate) fn view<'r>(&'r self, reader: &'r Reader) -> View<'r> {
        View {
            ports: &self.ports,
            fib: &self.fib,
            nexthops: &self.nexthops,
            labels: &self.labels,
            vifs: self.vifs.view(reader),
            groups: self.groups.view(reader),
            tunnels: self.tunnels.view(reader),
            adjacencies: self.adjacencies.view(reader),
            own: self.own.load(0, reader).map_or(&[], |own| own),
        }
    }

    /// An interface.
    #[inline]
    pub fn vif<'r>(&'r self, vif: VifId, reader: &'r Reader) -> Option<&'r Vif> {
        self.vifs.load(vif.index(), reader)
    }

    /// A tunnel.
    #[inline]
    pub fn tunnel<'r>(&'r self, tunnel: TunnelId, reader: &'r Reader) -> Option<&'r Tunnel> {
        self.tunnels.load(tunnel.index(), reader)
    }

    /// A neighbour of the underlay; `None` while it is not resolved.
    #[inline]
    pub fn adjacency<'r>(&'r self, id: AdjacencyId, reader: &'r Reader) -> Option<&'r Adjacency> {
        self.adjacencies.load(id.index(), reader)
    }
}

#[cfg(test)]
mod tests;
