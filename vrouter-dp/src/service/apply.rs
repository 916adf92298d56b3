//! Ops of the agent: each changes the tables and the service's own view together, or is refused and changes nothing.

use std::time::Instant;

use engine::seam::{Event, Op, Refusal, TunnelId, VifId};
use engine::table::AdjacencyId;

use super::answer::Vif;
use super::neighbor::Key;
use super::{OPS_PER_TURN, OUTBOX, Service};
use crate::plan::PortRole;

impl Service {
    /// Applies what waits in the ring, within the budget of a turn. True if there was anything.
    pub(super) fn apply_ops(&mut self, now: Instant) -> bool {
        for done in 0..OPS_PER_TURN {
            // Events that the agent does not fetch push back on its ops.
            if self.outbox.len() >= OUTBOX {
                return done > 0;
            }
            let Ok(op) = self.ops.pop() else { return done > 0 };
            match self.apply(op, now) {
                Ok(()) => self.marks.applied(&op),
                Err(refusal) => self.outbox.push_back(Event::Refused { op, refusal }),
            }
        }
        true
    }

    fn apply(&mut self, op: Op, now: Instant) -> Result<(), Refusal> {
        match op {
            Op::Resync => {
                self.marks.resync();
                self.announce_links();
                let tunnels = self.tunnels_up.iter();
                self.outbox.extend(
                    tunnels.map(|(tunnel, up)| Event::TunnelUp { tunnel: *tunnel, up: *up }),
                );
            }
            Op::Sweep => {
                for stale in self.marks.sweep() {
                    match self.apply(stale, now) {
                        Ok(()) => self.marks.applied(&stale),
                        Err(refusal) => {
                            self.outbox.push_back(Event::Refused { op: stale, refusal })
                        }
                    }
                }
            }
            Op::Commit { generation } => self.acks.push_back((self.writer.publish(), generation)),
            Op::Snapshot { token } => self.snapshot(token, now),

            Op::TunnelAddressSet { address } => {
                self.writer.tunnel_address_set(address);
                self.underlay.tunnel_address = Some(address);
            }
            Op::PortAddressSet { port, address } => {
                self.writer.port_address_set(port, address)?;
                self.underlay.add_address(port, address);
                self.reroute(now);
            }
            Op::PortAddressDel { port, address } => {
                self.writer.port_address_del(port, address)?;
                self.underlay.remove_address(port, address);
                self.reroute(now);
            }
            Op::UnderlayRouteSet { prefix, via } => {
                self.underlay.add_route(prefix, via);
                self.reroute(now);
            }
            Op::UnderlayRouteDel { prefix } => {
                self.underlay.remove_route(prefix);
                self.reroute(now);
            }
            Op::TunnelSourceSet { prefix } => self.writer.tunnel_source_set(prefix)?,
            Op::TunnelSourceDel { prefix } => self.writer.tunnel_source_del(prefix)?,
            Op::TunnelSet { tunnel, remote, encapsulation } => {
                self.writer.tunnel_set(tunnel, remote, encapsulation)?;
                self.underlay.add_tunnel(tunnel, remote);
                self.reroute(now);
            }
            Op::TunnelDel { tunnel } => {
                self.writer.tunnel_del(tunnel)?;
                self.underlay.remove_tunnel(tunnel);
                self.tunnels_up.remove(&tunnel);
                self.drop_unused_neighbors();
            }

            Op::VrfSet { vrf } => self.writer.vrf_set(vrf)?,
            Op::VrfDel { vrf } => {
                self.writer.vrf_del(vrf)?;
                self.local.subnets.remove(&vrf);
            }
            Op::SubnetSet { vrf, prefix, gateway } => {
                let subnets = self.local.subnets.entry(vrf).or_default();
                subnets.retain(|(known, _)| *known != prefix);
                subnets.push((prefix, gateway));
                subnets.sort_unstable();
            }
            Op::SubnetDel { vrf, prefix } => {
                if let Some(subnets) = self.local.subnets.get_mut(&vrf) {
                    subnets.retain(|(known, _)| *known != prefix);
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
                if !known.addresses.contains(&address) {
                    known.addresses.push(address);
                }
                self.neighbors.track(Key::Instance(vif, address), Some(known.mac), now);
            }
            Op::VifAddressDel { vif, address } => {
                let known = self.local.vifs.get_mut(&vif).ok_or(Refusal::Unknown)?;
                self.writer.vif_address_del(vif, address)?;
                known.addresses.retain(|other| *other != address);
                self.neighbors.untrack(Key::Instance(vif, address));
            }

            Op::NexthopSet { id, nexthop } => self.writer.nexthop_set(id, nexthop)?,
            Op::NexthopDel { id } => self.writer.nexthop_del(id)?,
            Op::RouteSet { vrf, prefix, nexthop } => self.writer.route_set(vrf, prefix, nexthop)?,
            Op::RouteDel { vrf, prefix } => self.writer.route_del(vrf, prefix)?,
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
                let _ = port.port.vlan_filter(fresh.vlan.value(), false);
            }
            return Err(refusal);
        }
        let addresses = before.as_ref().map(|old| old.addresses.clone()).unwrap_or_default();
        if let Some(old) = before.filter(|_| moved) {
            self.release_vlan(&old);
        }
        for address in &addresses {
            self.neighbors.track(Key::Instance(vif, *address), Some(fresh.mac), now);
        }
        self.local.vifs.insert(vif, Vif { addresses, ..fresh });
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

    fn release_vlan(&mut self, vif: &Vif) {
        if let Some(port) = self.ports.get_mut(vif.port.index()) {
            let _ = port.port.vlan_filter(vif.vlan.value(), false);
        }
    }

    // Underlay.

    /// Finds the way of every tunnel again and follows what changed.
    fn reroute(&mut self, now: Instant) {
        for tunnel in self.underlay.resolve() {
            self.follow(tunnel, now);
        }
        self.drop_unused_neighbors();
    }

    /// Points a tunnel at the adjacency of its neighbour.
    fn follow(&mut self, tunnel: TunnelId, now: Instant) {
        let via = self.underlay.tunnel(tunnel).and_then(|tunnel| tunnel.via);
        let adjacency = via.and_then(|key| self.adjacency(key, now));
        let _ = self.writer.tunnel_via(tunnel, adjacency);
        let up = via
            .and_then(|key| self.neighbors.find(key))
            .is_some_and(|neighbor| neighbor.mac.is_some());
        self.tell_tunnel(tunnel, up);
    }

    /// The adjacency of a neighbour; a new one is unresolved until it answers.
    fn adjacency(&mut self, key: Key, now: Instant) -> Option<AdjacencyId> {
        if let Some(id) = self.adjacencies.get(&key) {
            return Some(*id);
        }
        let Key::Underlay(port, _) = key else { return None };
        let id = self.free_adjacency();
        if self.writer.adjacency_set(id, port, None).is_err() {
            self.resting_adjacencies.push_front((self.writer.publish(), id));
            return None;
        }
        self.adjacencies.insert(key, id);
        self.neighbors.track(key, None, now);
        Some(id)
    }

    fn drop_unused_neighbors(&mut self) {
        let unused: Vec<Key> = self
            .adjacencies
            .keys()
            .filter(|key| !self.underlay.tunnels().any(|(_, tunnel)| tunnel.via == Some(**key)))
            .copied()
            .collect();
        for key in unused {
            self.neighbors.untrack(key);
            if let Some(id) = self.adjacencies.remove(&key) {
                let _ = self.writer.adjacency_del(id);
                self.resting_adjacencies.push_back((self.writer.publish(), id));
            }
        }
    }

    /// An id that no worker knows any more: a worker in mid-burst may still hold a tunnel that names a freed one.
    fn free_adjacency(&mut self) -> AdjacencyId {
        match self.resting_adjacencies.front() {
            Some((token, id)) if self.tables.domain().grace_passed(*token) => {
                let id = *id;
                self.resting_adjacencies.pop_front();
                id
            }
            _ => {
                self.next_adjacency += 1;
                AdjacencyId(self.next_adjacency - 1)
            }
        }
    }
}
