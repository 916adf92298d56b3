//! The writer's methods for the underlay: own addresses, neighbours, tunnels and the sources that tunnels are accepted from.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use wire::Mac;
use wire::eth::{self, Ethernet};

use super::TablesWriter;
use crate::seam::{Encapsulation, NexthopId, PortId, Refusal, TunnelId};
use crate::table::fib::Trie;
use crate::table::{Adjacency, AdjacencyId, PortRole, Tunnel, tunnel};

#[derive(Clone, Copy, Debug)]
pub(super) struct TunnelRow {
    pub remote: Ipv4Addr,
    pub encapsulation: Encapsulation,
    pub via: Option<AdjacencyId>,
    /// Next hops that name it.
    pub references: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AdjacencyRow {
    port: PortId,
    mac: Option<Mac>,
    /// Tunnels that go through it.
    references: u32,
}

/// Why packets from a prefix are accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SourceRow {
    /// Tunnels that end there.
    tunnels: u32,
    /// Set by configuration.
    configured: bool,
}

/// What stands in a leaf of the source trie: present.
const PRESENT: NexthopId = NexthopId(1);

impl TablesWriter {
    /// Sets the address that tunnels start and end at, and rewrites them.
    pub fn tunnel_address_set(&mut self, address: Ipv4Addr) {
        if self.tunnel_address != address {
            self.tunnel_address = address;
            self.publish_own();
            let tunnels: Vec<TunnelId> = self.tunnels.keys().copied().collect();
            tunnels.into_iter().for_each(|id| self.publish_tunnel(id));
        }
    }

    /// The address that tunnels start and end at; 0.0.0.0 before it is set.
    pub fn tunnel_address(&self) -> Ipv4Addr {
        self.tunnel_address
    }

    /// Adds an address of a fabric port.
    pub fn port_address_set(&mut self, port: PortId, address: Ipv4Net) -> Result<(), Refusal> {
        self.ports.get(&port).ok_or(Refusal::Unknown)?;
        if self.port_addresses.insert((port, address)) {
            self.publish_own();
        }
        Ok(())
    }

    /// Removes an address of a port.
    pub fn port_address_del(&mut self, port: PortId, address: Ipv4Net) -> Result<(), Refusal> {
        if !self.port_addresses.remove(&(port, address)) {
            return Err(Refusal::Unknown);
        }
        self.publish_own();
        Ok(())
    }

    fn publish_own(&mut self) {
        let ports = self.port_addresses.iter().map(|(_, address)| address.addr());
        let tunnel = Some(self.tunnel_address).filter(|address| !address.is_unspecified());
        self.tables.own.set(0, Some(tunnel.into_iter().chain(ports).collect()));
    }

    // ---- neighbours --------------------------------------------------------------------------------------------------

    /// Adds a neighbour on a fabric port, or changes it; without a MAC, what goes through it drops as `unresolved-nexthop`.
    pub fn adjacency_set(
        &mut self,
        id: AdjacencyId,
        port: PortId,
        mac: Option<Mac>,
    ) -> Result<(), Refusal> {
        let row = self.ports.get(&port).ok_or(Refusal::Unknown)?;
        if row.role != PortRole::Fabric {
            return Err(Refusal::Port);
        }
        if id.index() >= tunnel::ADJACENCIES {
            return Err(Refusal::Full);
        }
        let references = self.adjacencies.get(&id).map_or(0, |old| old.references);
        self.adjacencies.insert(id, AdjacencyRow { port, mac, references });
        self.publish_adjacency(id);
        Ok(())
    }

    /// Removes a neighbour. `InUse` while a tunnel goes through it. Use the id again only after grace: a worker may still go by
    /// the tunnel as it was.
    pub fn adjacency_del(&mut self, id: AdjacencyId) -> Result<(), Refusal> {
        let row = self.adjacencies.get(&id).ok_or(Refusal::Unknown)?;
        if row.references > 0 {
            return Err(Refusal::InUse);
        }
        self.adjacencies.remove(&id);
        self.tables.adjacencies.set(id.index(), None);
        Ok(())
    }

    pub(super) fn refresh_adjacencies(&mut self, port: PortId) {
        let behind = self.adjacencies.iter().filter(|(_, row)| row.port == port);
        let behind: Vec<AdjacencyId> = behind.map(|(id, _)| *id).collect();
        behind.into_iter().for_each(|id| self.publish_adjacency(id));
    }

    fn publish_adjacency(&mut self, id: AdjacencyId) {
        let record = self.adjacencies.get(&id).and_then(|row| {
            let port = self.ports.get(&row.port)?;
            let header = Ethernet::new(row.mac?, port.mac, eth::IPV4);
            Some(Adjacency::new(row.port, port.mtu, header))
        });
        self.tables.adjacencies.set(id.index(), record);
    }

    fn adjacency_references(&mut self, id: Option<AdjacencyId>, change: i32) {
        if let Some(row) = id.and_then(|id| self.adjacencies.get_mut(&id)) {
            row.references = row.references.saturating_add_signed(change);
        }
    }

    // ---- tunnels -----------------------------------------------------------------------------------------------------

    /// Adds a tunnel, or changes it and keeps its neighbour if the remote end stays. Packets from `remote` are accepted.
    pub fn tunnel_set(
        &mut self,
        id: TunnelId,
        remote: Ipv4Addr,
        encapsulation: Encapsulation,
    ) -> Result<(), Refusal> {
        if id.index() >= tunnel::TUNNELS {
            return Err(Refusal::Full);
        }
        let old = self.tunnels.get(&id).copied();
        if old.is_none_or(|old| old.remote != remote) {
            self.change_source(Ipv4Net::from(remote), |row| row.tunnels += 1)?;
        }
        let mut row = TunnelRow { remote, encapsulation, via: None, references: 0 };
        if let Some(old) = old {
            row.references = old.references;
            if old.remote == remote {
                row.via = old.via;
            } else {
                self.adjacency_references(old.via, -1);
                self.change_source(Ipv4Net::from(old.remote), |row| row.tunnels -= 1)?;
            }
        }
        self.tunnels.insert(id, row);
        self.publish_tunnel(id);
        Ok(())
    }

    /// Sets the neighbour that a tunnel goes through; `None` while there is no way to its remote end.
    pub fn tunnel_via(&mut self, id: TunnelId, via: Option<AdjacencyId>) -> Result<(), Refusal> {
        if via.is_some_and(|via| !self.adjacencies.contains_key(&via)) {
            return Err(Refusal::Unknown);
        }
        let row = self.tunnels.get_mut(&id).ok_or(Refusal::Unknown)?;
        let old = std::mem::replace(&mut row.via, via);
        if old != via {
            self.adjacency_references(via, 1);
            self.adjacency_references(old, -1);
            self.publish_tunnel(id);
        }
        Ok(())
    }

    /// Removes a tunnel. `InUse` while a next hop names it.
    pub fn tunnel_del(&mut self, id: TunnelId) -> Result<(), Refusal> {
        let row = *self.tunnels.get(&id).ok_or(Refusal::Unknown)?;
        if row.references > 0 {
            return Err(Refusal::InUse);
        }
        self.tunnels.remove(&id);
        self.publish_tunnel(id);
        self.adjacency_references(row.via, -1);
        self.change_source(Ipv4Net::from(row.remote), |row| row.tunnels -= 1)
    }

    fn publish_tunnel(&mut self, id: TunnelId) {
        let local = self.tunnel_address;
        let record = self
            .tunnels
            .get(&id)
            .map(|row| Tunnel::new(local, row.remote, row.encapsulation, row.via));
        self.tables.tunnels.set(id.index(), record);
    }

    pub(super) fn tunnel_references(&mut self, id: TunnelId, change: i32) {
        if let Some(row) = self.tunnels.get_mut(&id) {
            row.references = row.references.saturating_add_signed(change);
        }
    }

    // ---- accepted sources --------------------------------------------------------------------------------------------

    /// Accepts tunnel packets from a prefix.
    pub fn tunnel_source_set(&mut self, prefix: Ipv4Net) -> Result<(), Refusal> {
        self.change_source(prefix, |row| row.configured = true)
    }

    /// No longer accepts tunnel packets from a prefix, but still from tunnels that end in it.
    pub fn tunnel_source_del(&mut self, prefix: Ipv4Net) -> Result<(), Refusal> {
        let known = self.sources.get(&prefix).is_some_and(|row| row.configured);
        if !known {
            return Err(Refusal::Unknown);
        }
        self.change_source(prefix, |row| row.configured = false)
    }

    fn change_source(
        &mut self,
        prefix: Ipv4Net,
        change: impl FnOnce(&mut SourceRow),
    ) -> Result<(), Refusal> {
        let old = self.sources.get(&prefix).copied();
        let mut row = old.unwrap_or_default();
        change(&mut row);
        if row.tunnels > 0 || row.configured {
            if old.is_none() {
                self.fib.create(Trie::SOURCES);
                self.fib.set(Trie::SOURCES, prefix.into(), PRESENT, 0)?;
            }
            self.sources.insert(prefix, row);
        } else if old.is_some() {
            self.fib.remove(Trie::SOURCES, prefix.into())?;
            self.sources.remove(&prefix);
        }
        Ok(())
    }
}
