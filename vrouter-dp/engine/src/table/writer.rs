//! The one writer of the tables. Every method is one change of [`crate::seam::Op`], or what the service thread itself decides
//! (port states, adjacencies). A refused change changes nothing.

mod group;
mod underlay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net};
use wire::eth::LinkKey;
use wire::{Label, Mac, VlanId};

use super::fib::FibWriter;
use super::{Port, PortState, Tables, Vif};
use crate::publish::Token;
use crate::seam::{
    GroupId, LabelTarget, Nexthop, NexthopId, PortId, Refusal, TunnelId, VifId, VrfId,
};
use crate::table::PortRole;
use group::{GroupRow, is_path};
use underlay::{AdjacencyRow, SourceRow, TunnelRow};

#[derive(Debug, Default)]
struct VrfRow {
    /// Interfaces and labels that name it.
    references: u32,
}

#[derive(Debug)]
struct VifRow {
    vif: Vif,
    /// Next hops and labels that name it.
    references: u32,
}

#[derive(Clone, Copy, Debug)]
struct NexthopRow {
    nexthop: Nexthop,
    /// Routes and groups that name it.
    references: u32,
}

/// The one writer of [`Tables`].
#[derive(Debug)]
pub struct TablesWriter {
    tables: Arc<Tables>,
    fib: FibWriter,
    ports: BTreeMap<PortId, Port>,
    port_addresses: BTreeSet<(PortId, Ipv4Net)>,
    tunnel_address: Ipv4Addr,
    vrfs: HashMap<VrfId, VrfRow>,
    vifs: BTreeMap<VifId, VifRow>,
    /// By id.
    nexthops: Vec<Option<NexthopRow>>,
    labels: BTreeMap<Label, LabelTarget>,
    groups: HashMap<GroupId, GroupRow>,
    tunnels: HashMap<TunnelId, TunnelRow>,
    adjacencies: HashMap<super::AdjacencyId, AdjacencyRow>,
    sources: BTreeMap<Ipv4Net, SourceRow>,
    /// What routes are stamped with.
    epoch: u32,
}

impl TablesWriter {
    pub(super) fn new(tables: Arc<Tables>) -> TablesWriter {
        let fib = FibWriter::new(Arc::clone(&tables.fib), Arc::clone(&tables.domain));
        TablesWriter {
            tables,
            fib,
            ports: BTreeMap::new(),
            port_addresses: BTreeSet::new(),
            tunnel_address: Ipv4Addr::UNSPECIFIED,
            vrfs: HashMap::new(),
            vifs: BTreeMap::new(),
            nexthops: Vec::new(),
            labels: BTreeMap::new(),
            groups: HashMap::new(),
            tunnels: HashMap::new(),
            adjacencies: HashMap::new(),
            sources: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// The tables that this writes.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Ends an epoch after the changes so far: they were seen by every worker once [`crate::publish::Domain::grace_passed`].
    pub fn publish(&self) -> Token {
        self.tables.domain.advance()
    }

    /// Frees what no worker sees any more; returns how many records and nodes still wait. Call it now and then.
    pub fn reclaim(&mut self) -> usize {
        self.fib.reclaim()
            + self.tables.ports.reclaim()
            + self.tables.vifs.reclaim()
            + self.tables.groups.reclaim()
            + self.tables.tunnels.reclaim()
            + self.tables.adjacencies.reclaim()
            + self.tables.own.reclaim()
    }

    /// Hands out memory that the tables do not need now: see [`FibWriter::trim`]. For a moment of rest after many routes went.
    pub fn trim(&mut self, shared: impl FnMut(&[AtomicU32]), own: impl FnMut(&mut [u32])) {
        self.reclaim();
        self.fib.trim(shared, own);
        while self.nexthops.pop_if(|row| row.is_none()).is_some() {}
        self.nexthops.shrink_to_fit();
        self.tunnels.shrink_to_fit();
        self.groups.shrink_to_fit();
    }

    // ---- ports -------------------------------------------------------------------------------------------------------

    /// Adds a port, or changes its MAC or MTU. `Port` if its role would change under interfaces.
    pub fn port_set(&mut self, id: PortId, port: Port) -> Result<(), Refusal> {
        let used = self.vifs.values().any(|row| row.vif.port == id);
        if used && port.role != PortRole::Gateway {
            return Err(Refusal::Port);
        }
        self.ports.insert(id, port);
        self.tables.ports.set(id, port);
        let behind: Vec<VifId> =
            self.vifs.iter().filter(|(_, row)| row.vif.port == id).map(|(id, _)| *id).collect();
        for vif in behind {
            self.change_vif(vif, |vif| vif.mtu = port.mtu);
        }
        self.refresh_adjacencies(id);
        Ok(())
    }

    /// Blocks or unblocks a port: one byte, read for every packet in and out.
    pub fn port_state(&mut self, id: PortId, state: PortState) -> Result<(), Refusal> {
        if !self.ports.contains_key(&id) {
            return Err(Refusal::Unknown);
        }
        self.tables.ports.set_state(id, state);
        Ok(())
    }

    // ---- VRFs and routes ---------------------------------------------------------------------------------------------

    /// Adds a VRF.
    pub fn vrf_set(&mut self, vrf: VrfId) -> Result<(), Refusal> {
        self.fib.create(vrf.into());
        self.vrfs.entry(vrf).or_default();
        Ok(())
    }

    /// Removes a VRF. `InUse` while it has routes, interfaces or labels.
    pub fn vrf_del(&mut self, vrf: VrfId) -> Result<(), Refusal> {
        let row = self.vrfs.get(&vrf).ok_or(Refusal::Unknown)?;
        if row.references > 0 || self.fib.len(vrf.into()) > 0 {
            return Err(Refusal::InUse);
        }
        self.vrfs.remove(&vrf);
        self.fib.destroy(vrf.into());
        Ok(())
    }

    /// Whether there is such a VRF.
    pub fn has_vrf(&self, vrf: VrfId) -> bool {
        self.vrfs.contains_key(&vrf)
    }

    /// Adds a route, or gives it another next hop, and stamps it with the present epoch.
    ///
    /// `Unknown` VRF or next hop. `Full` without room for what the change needs: nothing is changed then.
    pub fn route_set(
        &mut self,
        vrf: VrfId,
        prefix: impl Into<IpNet>,
        nexthop: NexthopId,
    ) -> Result<(), Refusal> {
        if self.nexthop_row(nexthop).is_none() {
            return Err(Refusal::Unknown);
        }
        let old = self.fib.set(vrf.into(), prefix.into(), nexthop, self.epoch)?;
        if old != Some(nexthop) {
            self.nexthop_references(nexthop, 1);
            if let Some(old) = old {
                self.nexthop_references(old, -1);
            }
        }
        Ok(())
    }

    /// Removes a route. `Unknown` if there is none; `Full` without room for what the change needs, and then nothing is changed.
    pub fn route_del(&mut self, vrf: VrfId, prefix: impl Into<IpNet>) -> Result<(), Refusal> {
        let old = self.fib.remove(vrf.into(), prefix.into())?;
        self.nexthop_references(old, -1);
        Ok(())
    }

    /// The next hop of the route at exactly this prefix.
    pub fn route(&self, vrf: VrfId, prefix: impl Into<IpNet>) -> Option<NexthopId> {
        self.fib.exact(vrf.into(), prefix.into())
    }

    /// Begins an epoch: routes that are set from now on are told apart from those that are not.
    pub fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// The routes that were last set in another epoch than this one, of all VRFs, in no order.
    pub fn stale_routes(&self, epoch: u32) -> impl Iterator<Item = (VrfId, IpNet)> {
        let stale = self.fib.stale(epoch).into_iter();
        stale.filter_map(|(trie, prefix)| Some((trie.vrf()?, prefix)))
    }

    /// What `address` leads to in a VRF, as a worker would find it.
    pub fn lookup(&self, vrf: VrfId, address: impl Into<IpAddr>) -> Option<Nexthop> {
        let fib = &self.tables.fib;
        self.tables.nexthops.nexthop(match address.into() {
            IpAddr::V4(address) => fib.lookup(vrf, address),
            IpAddr::V6(address) => fib.lookup6(vrf, address),
        })
    }

    /// Bytes of the readers' route tables of all VRFs, the space between their blocks included.
    pub fn route_bytes(&self) -> usize {
        self.fib.held_bytes()
    }

    // ---- next hops ---------------------------------------------------------------------------------------------------

    /// Adds a next hop, or replaces it under all its routes at once.
    pub fn nexthop_set(&mut self, id: NexthopId, nexthop: Nexthop) -> Result<(), Refusal> {
        // 0 means "no route" in a leaf.
        if id.0 == 0 || id.index() >= super::nexthop::NEXTHOPS {
            return Err(Refusal::Full);
        }
        let known = match nexthop {
            Nexthop::Tunnel { tunnel, .. } => self.tunnels.contains_key(&tunnel),
            Nexthop::Vif(vif) => self.vifs.contains_key(&vif),
            Nexthop::Group(group) => self.groups.contains_key(&group),
            Nexthop::Receive | Nexthop::Discard => true,
        };
        if !known {
            return Err(Refusal::Unknown);
        }
        // A group has paths, not groups.
        let old = self.nexthop_row(id);
        if !is_path(nexthop) && self.groups.values().any(|group| group.names(id)) {
            return Err(Refusal::InUse);
        }
        let references = old.map_or(0, |old| old.references);
        if self.nexthops.len() <= id.index() {
            self.nexthops.resize(id.index() + 1, None);
        }
        self.nexthops[id.index()] = Some(NexthopRow { nexthop, references });
        self.tables.nexthops.set(id, Some(nexthop));
        self.target_references(nexthop, 1);
        if let Some(old) = old {
            self.target_references(old.nexthop, -1);
        }
        Ok(())
    }

    /// Removes a next hop. `InUse` while a route or a group names it.
    pub fn nexthop_del(&mut self, id: NexthopId) -> Result<(), Refusal> {
        let row = self.nexthop_row(id).ok_or(Refusal::Unknown)?;
        if row.references > 0 {
            return Err(Refusal::InUse);
        }
        let nexthop = row.nexthop;
        self.nexthops[id.index()] = None;
        self.tables.nexthops.set(id, None);
        self.target_references(nexthop, -1);
        Ok(())
    }

    fn nexthop_row(&self, id: NexthopId) -> Option<NexthopRow> {
        self.nexthops.get(id.index()).copied().flatten()
    }

    fn nexthop_references(&mut self, id: NexthopId, change: i32) {
        if let Some(Some(row)) = self.nexthops.get_mut(id.index()) {
            row.references = row.references.saturating_add_signed(change);
        }
    }

    fn target_references(&mut self, nexthop: Nexthop, change: i32) {
        match nexthop {
            Nexthop::Vif(vif) => self.vif_references(vif, change),
            Nexthop::Tunnel { tunnel, .. } => self.tunnel_references(tunnel, change),
            Nexthop::Group(group) => self.group_references(group, change),
            Nexthop::Receive | Nexthop::Discard => {}
        }
    }

    // ---- interfaces --------------------------------------------------------------------------------------------------

    /// Adds an interface, up and without addresses, or changes it and keeps its addresses, state and counters.
    ///
    /// `Unknown` VRF or port, `Port` that is no gateway port, `Duplicate` if another interface has the (port, VLAN).
    pub fn vif_set(
        &mut self,
        id: VifId,
        port: PortId,
        vlan: VlanId,
        vrf: VrfId,
        mac: Mac,
    ) -> Result<(), Refusal> {
        let row = self.ports.get(&port).ok_or(Refusal::Unknown)?;
        if !self.vrfs.contains_key(&vrf) {
            return Err(Refusal::Unknown);
        }
        if row.role != PortRole::Gateway {
            return Err(Refusal::Port);
        }
        if self.tables.ports.vif(port, vlan).is_some_and(|owner| owner != id) {
            return Err(Refusal::Duplicate);
        }
        let mtu = row.mtu;
        let old = self.vifs.remove(&id);
        let mut vif = Vif {
            link: LinkKey::NONE,
            address: 0,
            addresses: Box::default(),
            header: Vif::header(mac, vlan),
            mtu,
            vrf,
            vlan,
            port,
            up: false,
            address6: 0,
            addresses6: Box::default(),
            header6: Vif::header6(mac, vlan),
        };
        vif.set_up(old.as_ref().is_none_or(|old| old.vif.up));
        if let Some(old) = &old {
            vif.set_addresses(old.vif.addresses.clone());
            vif.set_addresses6(old.vif.addresses6.clone());
        }
        self.vrf_references(vrf, 1);
        let references = match old {
            Some(old) => {
                self.vrf_references(old.vif.vrf, -1);
                if (old.vif.port, old.vif.vlan) != (port, vlan) {
                    self.tables.ports.set_vif(old.vif.port, old.vif.vlan, None);
                }
                old.references
            }
            None => {
                self.tables.all_counters().for_each(|counters| counters.start_vif(id));
                0
            }
        };
        self.tables.vifs.set(id.index(), Some(vif.clone()));
        self.tables.ports.set_vif(port, vlan, Some(id));
        self.vifs.insert(id, VifRow { vif, references });
        Ok(())
    }

    /// Removes an interface and its addresses. `InUse` while a next hop or label names it.
    pub fn vif_del(&mut self, id: VifId) -> Result<(), Refusal> {
        let row = self.vifs.get(&id).ok_or(Refusal::Unknown)?;
        if row.references > 0 {
            return Err(Refusal::InUse);
        }
        let (port, vlan, vrf) = (row.vif.port, row.vif.vlan, row.vif.vrf);
        self.tables.ports.set_vif(port, vlan, None);
        self.tables.vifs.set(id.index(), None);
        self.vifs.remove(&id);
        self.vrf_references(vrf, -1);
        Ok(())
    }

    /// Opens or closes an interface: closed, it drops all packets as `vif-down`.
    pub fn vif_up(&mut self, id: VifId, up: bool) -> Result<(), Refusal> {
        self.vifs.get(&id).ok_or(Refusal::Unknown)?;
        self.change_vif(id, |vif| vif.set_up(up));
        Ok(())
    }

    /// Lets the instance use `address` as source.
    pub fn vif_address_set(
        &mut self,
        id: VifId,
        address: impl Into<IpAddr>,
    ) -> Result<(), Refusal> {
        let vif = &self.vifs.get(&id).ok_or(Refusal::Unknown)?.vif;
        match address.into() {
            IpAddr::V4(address) if !vif.addresses.contains(&address) => {
                let all = vif.addresses.iter().copied().chain([address]).collect();
                self.change_vif(id, |vif| vif.set_addresses(all));
            }
            IpAddr::V6(address) if !vif.addresses6.contains(&address) => {
                let all = vif.addresses6.iter().copied().chain([address]).collect();
                self.change_vif(id, |vif| vif.set_addresses6(all));
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes an address from the instance.
    pub fn vif_address_del(
        &mut self,
        id: VifId,
        address: impl Into<IpAddr>,
    ) -> Result<(), Refusal> {
        let vif = &self.vifs.get(&id).ok_or(Refusal::Unknown)?.vif;
        match address.into() {
            IpAddr::V4(address) if vif.addresses.contains(&address) => {
                let left =
                    vif.addresses.iter().copied().filter(|known| *known != address).collect();
                self.change_vif(id, |vif| vif.set_addresses(left));
            }
            IpAddr::V6(address) if vif.addresses6.contains(&address) => {
                let left =
                    vif.addresses6.iter().copied().filter(|known| *known != address).collect();
                self.change_vif(id, |vif| vif.set_addresses6(left));
            }
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    /// An interface as it stands.
    pub fn vif(&self, id: VifId) -> Option<&Vif> {
        self.vifs.get(&id).map(|row| &row.vif)
    }

    /// Every interface.
    pub fn vifs(&self) -> impl Iterator<Item = (VifId, &Vif)> {
        self.vifs.iter().map(|(id, row)| (*id, &row.vif))
    }

    fn change_vif(&mut self, id: VifId, change: impl FnOnce(&mut Vif)) {
        if let Some(row) = self.vifs.get_mut(&id) {
            change(&mut row.vif);
            self.tables.vifs.set(id.index(), Some(row.vif.clone()));
        }
    }

    fn vif_references(&mut self, id: VifId, change: i32) {
        if let Some(row) = self.vifs.get_mut(&id) {
            row.references = row.references.saturating_add_signed(change);
        }
    }

    fn vrf_references(&mut self, id: VrfId, change: i32) {
        if let Some(row) = self.vrfs.get_mut(&id) {
            row.references = row.references.saturating_add_signed(change);
        }
    }

    // ---- labels ------------------------------------------------------------------------------------------------------

    /// Adds a label that we advertise, or changes where it leads.
    pub fn label_set(&mut self, label: Label, target: LabelTarget) -> Result<(), Refusal> {
        let known = match target {
            LabelTarget::Vrf(vrf) => self.vrfs.contains_key(&vrf),
            LabelTarget::Vif(vif) => self.vifs.contains_key(&vif),
        };
        if !known {
            return Err(Refusal::Unknown);
        }
        let old = self.labels.insert(label, target);
        self.tables.labels.set(label, Some(target));
        self.label_references(target, 1);
        if let Some(old) = old {
            self.label_references(old, -1);
        }
        Ok(())
    }

    /// Removes a label.
    pub fn label_del(&mut self, label: Label) -> Result<(), Refusal> {
        let old = self.labels.remove(&label).ok_or(Refusal::Unknown)?;
        self.tables.labels.set(label, None);
        self.label_references(old, -1);
        Ok(())
    }

    fn label_references(&mut self, target: LabelTarget, change: i32) {
        match target {
            LabelTarget::Vrf(vrf) => self.vrf_references(vrf, change),
            LabelTarget::Vif(vif) => self.vif_references(vif, change),
        }
    }
}

#[cfg(test)]
mod tests;
