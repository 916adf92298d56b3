//! The tables as the data plane has them, and the numbers of tunnels and next hops, which live as long as a route uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::seam::{Gen, Nexthop, NexthopId, Op, Refusal, TunnelId, VrfId};
use ipnet::IpNet;

use crate::compile::{self, Changes, Hop, Tables};
use crate::desired::{Source, lowest};
use crate::ids::Ids;
use crate::vrf::RouteKey;

/// What `route list` shows beside the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where the route comes from.
    pub source: Source,
    /// The generation that put it in.
    pub generation: Gen,
}

/// A next hop in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NexthopUse {
    /// What it does.
    pub hop: Hop,
    /// Its tunnel, if it has one.
    pub tunnel: Option<TunnelId>,
    /// Routes that lead to it.
    pub references: u64,
}

/// What the data plane was told.
#[derive(Debug, Default)]
pub struct Forwarding {
    tables: Tables,
    notes: BTreeMap<RouteKey, Note>,
    nexthops: BTreeMap<NexthopId, NexthopUse>,
    tunnels: BTreeMap<TunnelId, u64>,
    /// Next hops that may have lost their last route.
    loose: BTreeSet<NexthopId>,
}

/// A row of a VRF as it should be; `None`: no route.
pub type Wanted = (RouteKey, Option<(Source, Hop)>);

impl Forwarding {
    /// The tables.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Next hops in use.
    pub fn nexthops(&self) -> &BTreeMap<NexthopId, NexthopUse> {
        &self.nexthops
    }

    /// Routes of a VRF.
    pub fn routes_of(
        &self,
        vrf: VrfId,
    ) -> impl Iterator<Item = (RouteKey, NexthopId, Option<Note>)> {
        self.tables
            .routes
            .range((vrf, lowest())..)
            .take_while(move |((other, _), _)| *other == vrf)
            .map(|(key, id)| (*key, *id, self.notes.get(key).copied()))
    }

    /// The ops of `generation`: the new `structure` (if it changed) and the wanted rows. The tables are then as if all of it
    /// was applied; [`Forwarding::refused`] corrects that.
    pub fn plan(
        &mut self,
        structure: Option<&Tables>,
        wanted: impl IntoIterator<Item = Wanted>,
        ids: &mut Ids,
        generation: Gen,
    ) -> Vec<Op> {
        let mut changes =
            structure.map(|desired| self.tables.structure_changes_to(desired)).unwrap_or_default();
        for (key, row) in wanted {
            self.plan_route(key, row, ids, generation, &mut changes);
        }
        self.reap(ids, generation, &mut changes);
        let ops = compile::ops(&self.tables, &changes);
        self.tables.apply(&changes);
        ops
    }

    fn plan_route(
        &mut self,
        key: RouteKey,
        row: Option<(Source, Hop)>,
        ids: &mut Ids,
        generation: Gen,
        changes: &mut Changes,
    ) {
        let old = changes
            .routes
            .get(&key)
            .copied()
            .unwrap_or_else(|| self.tables.routes.get(&key).copied());
        let new = row.and_then(|(_, hop)| self.hold(hop, ids, changes));
        if let Some(old) = old {
            self.let_go(old);
        }
        match (new, row) {
            (Some(_), Some((source, _))) => {
                let note = self.notes.entry(key).or_insert(Note { source, generation });
                note.source = source;
                if old != new {
                    note.generation = generation;
                }
            }
            _ => {
                self.notes.remove(&key);
            }
        }
        if old != new {
            changes.routes.insert(key, new);
        }
    }

    /// Counts a route to `hop`, making the next hop and its tunnel if they are new. `None`: no number is left.
    fn hold(&mut self, hop: Hop, ids: &mut Ids, changes: &mut Changes) -> Option<NexthopId> {
        let id = NexthopId(ids.nexthops.acquire(&hop)?);
        let tunnel = match (self.nexthops.get_mut(&id), hop) {
            (Some(known), _) => {
                known.references += 1;
                known.tunnel
            }
            (None, Hop::Tunnel(key, _)) => {
                let tunnel = TunnelId(ids.tunnels.acquire(&key)?);
                *self.tunnels.entry(tunnel).or_insert(0) += 1;
                self.nexthops.insert(id, NexthopUse { hop, tunnel: Some(tunnel), references: 1 });
                Some(tunnel)
            }
            (None, _) => {
                self.nexthops.insert(id, NexthopUse { hop, tunnel: None, references: 1 });
                None
            }
        };
        // New, or refused before: what is there already gives no op.
        let nexthop = match (hop, tunnel) {
            (Hop::Tunnel(key, label), Some(tunnel)) => {
                changes.tunnels.insert(tunnel, Some(key));
                Nexthop::Tunnel { tunnel, label }
            }
            (Hop::Vif(vif), _) => Nexthop::Vif(vif),
            (Hop::Receive, _) => Nexthop::Receive,
            (Hop::Discard | Hop::Tunnel(..), _) => Nexthop::Discard,
        };
        changes.nexthops.insert(id, Some(nexthop));
        Some(id)
    }

    fn let_go(&mut self, id: NexthopId) {
        if let Some(nexthop) = self.nexthops.get_mut(&id) {
            nexthop.references = nexthop.references.saturating_sub(1);
            if nexthop.references == 0 {
                self.loose.insert(id);
            }
        }
    }

    /// Takes away next hops without routes, and tunnels without next hops.
    fn reap(&mut self, ids: &mut Ids, generation: Gen, changes: &mut Changes) {
        for id in std::mem::take(&mut self.loose) {
            let Some(nexthop) = self.nexthops.get(&id).copied().filter(|n| n.references == 0)
            else {
                continue;
            };
            self.nexthops.remove(&id);
            changes.nexthops.insert(id, None);
            ids.nexthops.release(&nexthop.hop, generation);
            let (Hop::Tunnel(key, _), Some(tunnel)) = (nexthop.hop, nexthop.tunnel) else {
                continue;
            };
            let users = self.tunnels.entry(tunnel).or_insert(1);
            *users = users.saturating_sub(1);
            if *users == 0 {
                self.tunnels.remove(&tunnel);
                changes.tunnels.insert(tunnel, None);
                ids.tunnels.release(&key, generation);
            }
        }
    }

    /// The data plane refused an op: takes back what [`Forwarding::plan`] took for granted.
    pub fn refused(&mut self, op: &Op, refusal: Refusal, ids: &mut Ids) {
        let tables = &mut self.tables;
        match *op {
            Op::PortAddressSet { port, address } => {
                tables.port_addresses.remove(&(port, address));
            }
            Op::NeighborSet { port, address, .. } => {
                tables.neighbors.remove(&(port, address));
            }
            Op::UnderlayRouteSet { prefix, .. } => {
                tables.underlay.remove(&prefix);
            }
            Op::TunnelSourceSet { prefix } => {
                tables.tunnel_sources.remove(&prefix);
            }
            Op::VrfSet { vrf } => {
                tables.vrfs.remove(&vrf);
            }
            Op::SubnetSet { vrf, prefix, .. } => {
                tables.subnets.remove(&(vrf, prefix));
            }
            Op::VifSet { vif, .. } => {
                tables.vifs.remove(&vif);
            }
            Op::VifAddressSet { vif, address: IpAddr::V4(address) } => {
                tables.vif_addresses.remove(&(vif, address));
            }
            Op::LabelSet { label, .. } => {
                tables.labels.remove(&label);
            }
            Op::TunnelSet { tunnel, .. } => {
                tables.tunnels.remove(&tunnel);
            }
            Op::NexthopSet { id, .. } => {
                tables.nexthops.remove(&id);
            }
            Op::RouteSet { vrf, prefix: IpNet::V4(prefix), nexthop }
                if tables.routes.get(&(vrf, prefix)) == Some(&nexthop) =>
            {
                tables.routes.remove(&(vrf, prefix));
                self.notes.remove(&(vrf, prefix));
                self.let_go(nexthop);
            }
            Op::NexthopDel { id } if refusal == Refusal::InUse => ids.nexthops.withhold(id.0),
            Op::TunnelDel { tunnel } if refusal == Refusal::InUse => ids.tunnels.withhold(tunnel.0),
            Op::VifDel { vif } if refusal == Refusal::InUse => ids.vifs.withhold(u32::from(vif.0)),
            Op::VrfDel { vrf } if refusal == Refusal::InUse => ids.vrfs.withhold(u32::from(vrf.0)),
            _ => {}
        }
    }
}
