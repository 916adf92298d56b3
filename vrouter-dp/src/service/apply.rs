//! Ops of the agent: each changes the tables and the service's own view together, or is refused and changes nothing.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use engine::publish::{Domain, Token};
use engine::seam::{Event, Link, Op, Refusal, TunnelId, VifId};
use engine::table::AdjacencyId;
use engine::table::tunnel::ADJACENCIES;

use super::answer::Vif;
use super::neighbor::{Key, Neighbor};
use super::{OPS_PER_TURN, Service};
use crate::plan::PortRole;

impl Service {
    /// Applies what waits, within the budget of a turn. True if there was anything.
    pub(super) fn apply_ops(&mut self, now: Instant) -> bool {
        for done in 0..OPS_PER_TURN {
            // Events that the agent does not fetch push back on its ops.
            if self.outbox.is_full() {
                return done > 0;
            }
            // A sweep is over before the op behind it: its commit speaks for all of it.
            let next = self.stale.pop_front().or_else(|| self.ops.pop().ok());
            let Some(op) = next else { return done > 0 };
            match self.apply(op, now) {
                Ok(()) => self.marks.applied(&op),
                Err(refusal) => {
                    if refusal == Refusal::Unknown {
                        self.marks.absent(&op);
                    }
                    self.outbox.push(Event::Refused { op, refusal });
                }
            }
        }
        true
    }

    fn apply(&mut self, op: Op, now: Instant) -> Result<(), Refusal> {
        match op {
            Op::Resync => {
                self.writer.set_epoch(self.marks.resync());
                self.tell_states();
            }
            Op::Sweep => {
                let routes = self.writer.stale_routes(self.marks.epoch());
                self.stale = self.marks.sweep(routes).into();
            }
            Op::Commit { generation } => {
                self.reroute(now);
                self.acks.push_back((self.writer.publish(), generation));
            }
            Op::Snapshot { token } => self.snapshot(token),

            Op::TunnelAddressSet { address } => {
                self.writer.tunnel_address_set(address);
                self.underlay.tunnel_address = Some(address);
            }
            // What changes the way of many tunnels waits for the commit, where they are all looked at once.
            Op::PortAddressSet { port, address } => {
                let row = self.ports.get(port.index());
                if row.is_some_and(|row| row.plan.role != PortRole::Fabric) {
                    return Err(Refusal::Port);
                }
                self.writer.port_address_set(port, address)?;
                self.underlay.add_address(port, address);
            }
            Op::PortAddressDel { port, address } => {
                self.writer.port_address_del(port, address)?;
                self.underlay.remove_address(port, address);
            }
            Op::NeighborSet { port, address, mac } => {
                let row = self.ports.get(port.index()).ok_or(Refusal::Unknown)?;
                if row.plan.role != PortRole::Fabric {
                    return Err(Refusal::Port);
                }
                let (key, link) = (Key::Underlay(port, address), row.link == Link::Up);
                self.neighbors.fix(key, mac, link, now, &mut self.actions);
                self.act();
            }
            Op::NeighborDel { port, address } => {
                let key = Key::Underlay(port, address);
                if !self.neighbors.loosen(key, now, &mut self.actions) {
                    return Err(Refusal::Unknown);
                }
                self.act();
            }
            Op::BfdSet { remote, timing } => {
                self.bfd.set(remote, timing, now)?;
                let told = self.bfd.states().find(|(other, ..)| *other == remote);
                if let Some((_, state, diagnostic)) = told {
                    self.outbox.bfd(remote, state, diagnostic);
                }
            }
            Op::BfdDel { remote } => {
                let said = self.bfd.remove(remote, now).ok_or(Refusal::Unknown)?;
                self.bfd_said(&said, now);
                self.outbox.forget_bfd(remote);
                self.follow_all(remote, now);
                self.leave_neighbor(remote);
            }
            Op::UnderlayRouteSet { prefix, via } => self.underlay.add_route(prefix, via),
            Op::UnderlayRouteDel { prefix } => {
                if !self.underlay.remove_route(prefix) {
                    return Err(Refusal::Unknown);
                }
            }
            Op::TunnelSourceSet { prefix } => self.writer.tunnel_source_set(prefix)?,
            Op::TunnelSourceDel { prefix } => self.writer.tunnel_source_del(prefix)?,
            Op::TunnelSet { tunnel, remote, encapsulation } => {
                let way = self.underlay.way(remote);
                if way.is_some_and(|key| !self.has_adjacency(key)) {
                    return Err(Refusal::Full);
                }
                self.writer.tunnel_set(tunnel, remote, encapsulation)?;
                self.underlay.add_tunnel(tunnel, remote);
                self.follow(tunnel, now);
                self.drop_unused_neighbors();
            }
            Op::TunnelDel { tunnel } => {
                self.writer.tunnel_del(tunnel)?;
                self.underlay.remove_tunnel(tunnel);
                self.tunnels_up.remove(&tunnel);
                self.outbox.forget_tunnel(tunnel);
                self.drop_unused_neighbors();
            }

            Op::VrfSet { vrf } => self.writer.vrf_set(vrf)?,
            Op::VrfDel { vrf } => {
                self.writer.vrf_del(vrf)?;
                self.local.subnets.remove(&vrf);
            }
            Op::SubnetSet { vrf, prefix, gateway } => {
                if !self.writer.has_vrf(vrf) {
                    return Err(Refusal::Unknown);
                }
                let subnets = self.local.subnets.entry(vrf).or_default();
                subnets.retain(|(known, _)| *known != prefix);
                subnets.push((prefix, gateway));
                subnets.sort_unstable();
            }
            Op::SubnetDel { vrf, prefix } => {
                let subnets = self.local.subnets.get_mut(&vrf).ok_or(Refusal::Unknown)?;
                let before = subnets.len();
                subnets.retain(|(known, _)| *known != prefix);
                if subnets.len() == before {
                    return Err(Refusal::Unknown);
                }
            }
            Op::VifSet { vif, port, vlan, vrf, mac } => {
                let fresh = Vif { port, vlan, vrf, mac, addresses: Vec::new() };
                self.set_vif(vif, fresh, now)?;
            }
            Op::VifDel { vif } => self.delete_vif(vif)?,
            Op::VifAddressSet { vif, address } => {
                let known = self.local.vifs.get_mut(&vif).ok_or(Refusal::Unknown)?;
                self.writer.vif_address_set(vif, address)?;
                // ARP is of IPv4.
                let IpAddr::V4(address) = address else { return Ok(()) };
                if !known.addresses.contains(&address) {
                    known.addresses.push(address);
                }
                self.neighbors.track(Key::Instance(vif, address), Some(known.mac), now);
            }
            Op::VifAddressDel { vif, address } => {
                let known = self.local.vifs.get_mut(&vif).ok_or(Refusal::Unknown)?;
                self.writer.vif_address_del(vif, address)?;
                let IpAddr::V4(address) = address else { return Ok(()) };
                known.addresses.retain(|other| *other != address);
                self.neighbors.untrack(Key::Instance(vif, address));
            }

            Op::NexthopSet { id, nexthop } => self.writer.nexthop_set(id, nexthop)?,
            Op::NexthopDel { id } => self.writer.nexthop_del(id)?,
            Op::PathSet { group, place, nexthop } => {
                self.writer.path_set(group, place, nexthop)?;
            }
            Op::PathDel { group, place } => self.writer.path_del(group, place)?,
            Op::RouteSet { vrf, prefix, nexthop } => self.writer.route_set(vrf, prefix, nexthop)?,
            Op::RouteDel { vrf, prefix } => {
                self.writer.route_del(vrf, prefix)?;
                self.routes_gone += 1;
            }
            Op::LabelSet { label, target } => self.writer.label_set(label, target)?,
            Op::LabelDel { label } => self.writer.label_del(label)?,
        }
        Ok(())
    }

    // Interfaces.

    fn set_vif(&mut self, vif: VifId, fresh: Vif, now: Instant) -> Result<(), Refusal> {
        let port = self.ports.get_mut(fresh.port.index()).ok_or(Refusal::Unknown)?;
        if port.plan.role != PortRole::Gateway {
            return Err(Refusal::Port);
        }
        let before = self.local.vifs.get(&vif).cloned();
        let moved =
            before.as_ref().is_none_or(|old| (old.port, old.vlan) != (fresh.port, fresh.vlan));
        // A VF's filter is often 64 entries: the 65th VLAN would be silence.
        if moved && port.port.vlan_filter(fresh.vlan.value(), true).is_err() {
            return Err(Refusal::Port);
        }
        if let Err(refusal) = self.writer.vif_set(vif, fresh.port, fresh.vlan, fresh.vrf, fresh.mac)
        {
            if moved {
                self.release_vlan(&fresh);
            }
            return Err(refusal);
        }
        let addresses = before.as_ref().map(|old| old.addresses.clone()).unwrap_or_default();
        let same = before.as_ref().is_some_and(|old| !moved && old.mac == fresh.mac);
        if !same {
            for address in &addresses {
                self.neighbors.restart(Key::Instance(vif, *address), Some(fresh.mac), now);
            }
        }
        self.local.vifs.insert(vif, Vif { addresses, ..fresh });
        if let Some(old) = before.filter(|_| moved) {
            self.release_vlan(&old);
        }
        Ok(())
    }

    fn delete_vif(&mut self, vif: VifId) -> Result<(), Refusal> {
        self.writer.vif_del(vif)?;
        if let Some(old) = self.local.vifs.remove(&vif) {
            for address in &old.addresses {
                self.neighbors.untrack(Key::Instance(vif, *address));
            }
            self.release_vlan(&old);
        }
        Ok(())
    }

    /// Takes the VLAN out of the filter of the port, unless an interface has it: the one that a refused twin collided with.
    fn release_vlan(&mut self, vif: &Vif) {
        let (port, vlan) = (vif.port, vif.vlan);
        if self.local.vifs.values().any(|other| (other.port, other.vlan) == (port, vlan)) {
            return;
        }
        if let Some(port) = self.ports.get_mut(port.index()) {
            let _ = port.port.vlan_filter(vlan.value(), false);
        }
    }

    // Underlay.

    /// Finds the way of every tunnel again, if that may have changed, and follows it.
    fn reroute(&mut self, now: Instant) {
        for tunnel in self.underlay.resolve() {
            self.follow(tunnel, now);
        }
        self.drop_unused_neighbors();
    }

    /// Points the tunnels to a far end at the adjacency of its neighbour.
    pub(super) fn follow_all(&mut self, remote: Ipv4Addr, now: Instant) {
        let tunnels: Vec<TunnelId> = self.underlay.tunnels_to(remote).collect();
        tunnels.into_iter().for_each(|tunnel| self.follow(tunnel, now));
    }

    /// Points a tunnel at the adjacency of its neighbour: at none while BFD says that nobody is at its end.
    fn follow(&mut self, tunnel: TunnelId, now: Instant) {
        let known = self.underlay.tunnel(tunnel).filter(|known| !self.bfd.is_lost(known.remote));
        let via = known.and_then(|tunnel| tunnel.via);
        let adjacency = via.and_then(|key| self.adjacency(key, now));
        let _ = self.writer.tunnel_via(tunnel, adjacency);
        let up = adjacency
            .and(via)
            .and_then(|key| self.neighbors.find(key))
            .is_some_and(|neighbor| neighbor.reached().is_some());
        self.tell_tunnel(tunnel, up);
    }

    /// The adjacency of a neighbour; a new one is unresolved until it answers, unless it is static. `None` without a free one.
    fn adjacency(&mut self, key: Key, now: Instant) -> Option<AdjacencyId> {
        if let Some(id) = self.adjacencies.get(&key) {
            return Some(*id);
        }
        let Key::Underlay(port, _) = key else { return None };
        let id = self.adjacency_ids.take(self.tables.domain())?;
        let mac = self.neighbors.find(key).and_then(Neighbor::reached);
        if self.writer.adjacency_set(id, port, mac).is_err() {
            self.adjacency_ids.free(self.writer.publish(), id);
            return None;
        }
        self.adjacencies.insert(key, id);
        self.neighbors.track(key, None, now);
        Some(id)
    }

    /// Whether [`Service::adjacency`] would have one for `key`.
    fn has_adjacency(&self, key: Key) -> bool {
        self.adjacencies.contains_key(&key) || self.adjacency_ids.any(self.tables.domain())
    }

    /// A BFD session has ended: its neighbour is kept resolved only if a tunnel or another session needs it.
    fn leave_neighbor(&mut self, remote: Ipv4Addr) {
        if let Some(key) = self.underlay.way(remote)
            && !self.adjacencies.contains_key(&key)
            && !self.bfd_needs(key)
        {
            self.neighbors.untrack(key);
        }
    }

    fn bfd_needs(&self, key: Key) -> bool {
        self.bfd.remotes().any(|remote| self.underlay.way(remote) == Some(key))
    }

    fn drop_unused_neighbors(&mut self) {
        for key in self.underlay.take_left() {
            if !self.bfd_needs(key) {
                self.neighbors.untrack(key);
            }
            if let Some(id) = self.adjacencies.remove(&key) {
                let _ = self.writer.adjacency_del(id);
                self.adjacency_ids.free(self.writer.publish(), id);
            }
        }
    }
}

/// Numbers of adjacencies.
#[derive(Default)]
pub struct AdjacencyIds {
    /// Freed ones, the oldest first.
    resting: VecDeque<(Token, AdjacencyId)>,
    /// How many were ever in use.
    used: usize,
}

impl AdjacencyIds {
    /// One that no worker knows any more: a worker in mid-burst may still hold a tunnel that names a freed one.
    fn take(&mut self, domain: &Domain) -> Option<AdjacencyId> {
        if self.rested(domain) {
            return self.resting.pop_front().map(|(_, id)| id);
        }
        let id = AdjacencyId(u32::try_from(self.used).ok().filter(|_| self.used < ADJACENCIES)?);
        self.used += 1;
        Some(id)
    }

    fn any(&self, domain: &Domain) -> bool {
        self.used < ADJACENCIES || self.rested(domain)
    }

    fn rested(&self, domain: &Domain) -> bool {
        self.resting.front().is_some_and(|(token, _)| domain.grace_passed(*token))
    }

    /// `id` was unpublished before `token`.
    fn free(&mut self, token: Token, id: AdjacencyId) {
        self.resting.push_back((token, id));
    }
}

#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;
