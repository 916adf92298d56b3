//! The tables as the data plane has them, and the numbers of tunnels and next hops, which live as long as a route uses them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::seam::{Gen, Nexthop, NexthopId, Op, Refusal, TunnelId, VifId, VrfId};
use ipnet::IpNet;

use crate::compile::{self, Changes, Hop, Routes, Tables};
use crate::desired::Source;
use crate::ids::Ids;
use crate::rows::Packed;
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
    /// The data plane has it.
    told: bool,
}

/// A route as the data plane has it.
#[derive(Clone, Copy, Debug)]
struct Row {
    nexthop: NexthopId,
    note: Note,
}

/// Ops for which there is room between generations.
const ROOM: usize = 16_384;

/// What the data plane was told.
#[derive(Debug, Default)]
pub struct Forwarding {
    tables: Tables,
    routes: BTreeMap<Packed, Row>,
    /// The most routes since they were last laid together.
    most: usize,
    /// By number: numbers are given out from the bottom.
    nexthops: Vec<Option<NexthopUse>>,
    tunnels: BTreeMap<TunnelId, u64>,
    /// Next hops that may have lost their last route.
    loose: BTreeSet<NexthopId>,
    /// Room for the ops of a generation.
    room: Routes,
}

/// A row of a VRF as it should be; `None`: no route.
pub type Wanted = (RouteKey, Option<(Source, Hop)>);

impl Forwarding {
    /// The tables but those of routes.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Next hops in use, in the order of their numbers.
    pub fn nexthops(&self) -> impl Iterator<Item = (NexthopId, &NexthopUse)> {
        (0..).map(NexthopId).zip(&self.nexthops).filter_map(|(id, row)| Some((id, row.as_ref()?)))
    }

    /// A next hop in use.
    pub fn nexthop(&self, id: NexthopId) -> Option<&NexthopUse> {
        self.nexthops.get(id.index())?.as_ref()
    }

    /// Routes of a VRF.
    pub fn routes_of(&self, vrf: VrfId) -> impl Iterator<Item = (RouteKey, NexthopId, Note)> {
        let rows = self.routes.range(Packed::of_vrf(vrf));
        rows.map(|(key, row)| (key.key(), row.nexthop, row.note))
    }

    /// Adds to `ops` those of `generation`: the new `structure` (if it changed) and the wanted rows. The tables are then as if all of
    /// it was applied; [`Forwarding::refused`] corrects that.
    pub fn plan(
        &mut self,
        structure: Option<&Tables>,
        wanted: impl IntoIterator<Item = Wanted>,
        ids: &mut Ids,
        generation: Gen,
        ops: &mut Vec<Op>,
    ) {
        let mut changes =
            structure.map(|desired| self.tables.structure_changes_to(desired)).unwrap_or_default();
        let moved = compile::moved_vifs(&self.tables, &changes);
        let mut routes = std::mem::take(&mut self.room);
        for (key, row) in wanted {
            let new = row.and_then(|(source, hop)| {
                Some(Row {
                    nexthop: self.hold(hop, ids, &mut changes)?,
                    note: Note { source, generation },
                })
            });
            let Some(old) = self.plan_route(key, new, &moved, &mut routes) else { continue };
            self.let_go(old);
        }
        self.reap(ids, generation, &mut changes);
        compile::ops(&self.tables, &changes, &mut routes, ops);
        self.tables.apply(&changes);
        self.room = routes;
        self.keep_room(ROOM);
        self.most = self.most.max(self.routes.len());
    }

    /// Gives up room that is not needed now. What is left of a full table lies in all of its pages: it is laid together.
    pub fn rest(&mut self) {
        self.keep_room(0);
        if self.routes.len() < self.most / 4 {
            self.routes = std::mem::take(&mut self.routes).into_iter().collect();
            self.most = self.routes.len();
        }
    }

    fn keep_room(&mut self, most: usize) {
        for list in [&mut self.room.left, &mut self.room.set, &mut self.room.gone] {
            list.shrink_to(most);
        }
    }

    /// Puts `new` into the place of what is there, with the op for it. Returns the next hop that was there.
    fn plan_route(
        &mut self,
        key: RouteKey,
        new: Option<Row>,
        moved: &BTreeSet<VifId>,
        routes: &mut Routes,
    ) -> Option<NexthopId> {
        let (vrf, prefix) = (key.0, key.1.into());
        match (self.routes.entry(Packed::new(key)), new) {
            (Entry::Vacant(_), None) => None,
            (Entry::Vacant(place), Some(new)) => {
                place.insert(new);
                routes.set.push(Op::RouteSet { vrf, prefix, nexthop: new.nexthop });
                None
            }
            (Entry::Occupied(mut place), Some(new)) => {
                let row = place.get_mut();
                let old = row.nexthop;
                row.note.source = new.note.source;
                if old != new.nexthop {
                    *row = new;
                    routes.set.push(Op::RouteSet { vrf, prefix, nexthop: new.nexthop });
                }
                Some(old)
            }
            (Entry::Occupied(place), None) => {
                let old = place.remove().nexthop;
                let hop = self.nexthop(old).map(|nexthop| nexthop.hop);
                let left = matches!(hop, Some(Hop::Vif(vif)) if moved.contains(&vif));
                let list = if left { &mut routes.left } else { &mut routes.gone };
                list.push(Op::RouteDel { vrf, prefix });
                Some(old)
            }
        }
    }

    /// Counts a route to `hop`, making the next hop and its tunnel if they are new. `None`: no number is left.
    fn hold(&mut self, hop: Hop, ids: &mut Ids, changes: &mut Changes) -> Option<NexthopId> {
        let id = NexthopId(ids.nexthops.acquire(&hop)?);
        if self.nexthops.len() <= id.index() {
            self.nexthops.resize(id.index() + 1, None);
        }
        let place = self.nexthops.get_mut(id.index())?;
        let known = match place {
            Some(known) => known,
            None => {
                let tunnel = match hop {
                    Hop::Tunnel(key, _) => {
                        let tunnel = TunnelId(ids.tunnels.acquire(&key)?);
                        *self.tunnels.entry(tunnel).or_insert(0) += 1;
                        Some(tunnel)
                    }
                    _ => None,
                };
                place.insert(NexthopUse { hop, tunnel, references: 0, told: false })
            }
        };
        known.references += 1;
        // New, or refused before.
        if !std::mem::replace(&mut known.told, true) {
            let nexthop = match (hop, known.tunnel) {
                (Hop::Tunnel(key, label), Some(tunnel)) => {
                    changes.tunnels.insert(tunnel, Some(key));
                    Nexthop::Tunnel { tunnel, label }
                }
                (Hop::Vif(vif), _) => Nexthop::Vif(vif),
                (Hop::Receive, _) => Nexthop::Receive,
                (Hop::Discard | Hop::Tunnel(..), _) => Nexthop::Discard,
            };
            changes.nexthops.insert(id, Some(nexthop));
        }
        Some(id)
    }

    fn let_go(&mut self, id: NexthopId) {
        if let Some(Some(nexthop)) = self.nexthops.get_mut(id.index()) {
            nexthop.references = nexthop.references.saturating_sub(1);
            if nexthop.references == 0 {
                self.loose.insert(id);
            }
        }
    }

    /// Takes away next hops without routes, and tunnels without next hops.
    fn reap(&mut self, ids: &mut Ids, generation: Gen, changes: &mut Changes) {
        for id in std::mem::take(&mut self.loose) {
            let Some(place) = self.nexthops.get_mut(id.index()) else { continue };
            let Some(nexthop) = place.take_if(|nexthop| nexthop.references == 0) else { continue };
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
        while self.nexthops.pop_if(|place| place.is_none()).is_some() {}
        if self.nexthops.len() < self.nexthops.capacity() / 4 {
            self.nexthops.shrink_to_fit();
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
            Op::BfdSet { remote, .. } => {
                tables.bfd.remove(&remote);
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
                if let Some(Some(nexthop)) = self.nexthops.get_mut(id.index()) {
                    nexthop.told = false;
                }
            }
            Op::RouteSet { vrf, prefix: IpNet::V4(prefix), nexthop } => {
                let key = Packed::new((vrf, prefix));
                if self.routes.get(&key).is_some_and(|row| row.nexthop == nexthop) {
                    self.routes.remove(&key);
                    self.let_go(nexthop);
                }
            }
            Op::NexthopDel { id } if refusal == Refusal::InUse => ids.nexthops.withhold(id.0),
            Op::TunnelDel { tunnel } if refusal == Refusal::InUse => ids.tunnels.withhold(tunnel.0),
            Op::VifDel { vif } if refusal == Refusal::InUse => ids.vifs.withhold(u32::from(vif.0)),
            Op::VrfDel { vrf } if refusal == Refusal::InUse => ids.vrfs.withhold(u32::from(vrf.0)),
            _ => {}
        }
    }
}
