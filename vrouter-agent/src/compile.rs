//! From the desired tables to the shortest list of ops that makes them so. Pure: no I/O, no clock.
//!
//! The list creates before it references and unreferences before it deletes, and it makes before it breaks: a route that
//! replaces another stands before the other goes. One exception: what would deliver a packet of one VRF into another while
//! an instance moves goes first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use engine::seam::{
    BfdTiming, Encapsulation, LabelTarget, Nexthop, NexthopId, Op, PortId, TunnelId, VifId, VrfId,
};
use ipnet::Ipv4Net;
use wire::{Label, Mac, VlanId};

/// A way to another PE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tunnel {
    /// Tunnel address of the far PE.
    pub remote: Ipv4Addr,
    /// How packets travel.
    pub encapsulation: Encapsulation,
}

/// What a route leads to, before next hops and tunnels have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hop {
    /// Push the label, send through the tunnel.
    Tunnel(Tunnel, Label),
    /// A local instance.
    Vif(VifId),
    /// A gateway address of ours.
    Receive,
    /// Drop.
    Discard,
}

/// An instance interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vif {
    /// Gateway port.
    pub port: PortId,
    /// VLAN on that port.
    pub vlan: VlanId,
    /// VRF of the instance.
    pub vrf: VrfId,
    /// MAC of the instance.
    pub mac: Mac,
}

/// A set as a table, so that one rule compares all.
pub type Present = ();

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $value:ty,)*) => {
        /// The tables of the data plane as plain maps.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Tables { $($(#[$doc])* pub $name: BTreeMap<$key, $value>,)* }

        /// New rows, and `None` for rows that go.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Changes { $($(#[$doc])* pub $name: BTreeMap<$key, Option<$value>>,)* }

        impl Tables {
            /// What turns these tables into `desired`.
            pub fn changes_to(&self, desired: &Tables) -> Changes {
                Changes { $($name: between(&self.$name, &desired.$name),)* }
            }

            /// Takes the changes over.
            pub fn apply(&mut self, changes: &Changes) {
                $(for (key, value) in &changes.$name {
                    match value {
                        Some(value) => { self.$name.insert(*key, *value); }
                        None => { self.$name.remove(key); }
                    }
                })*
            }
        }

        impl Changes {
            /// Nothing to do.
            pub fn is_empty(&self) -> bool {
                true $(&& self.$name.is_empty())*
            }
        }
    };
}

tables! {
    /// The own tunnel address; at most one row, never taken away.
    tunnel_address: () => Ipv4Addr,
    /// Addresses of fabric ports.
    port_addresses: (PortId, Ipv4Net) => Present,
    /// Static routes of the underlay: via.
    underlay: Ipv4Net => Ipv4Addr,
    /// Static neighbours on fabric ports.
    neighbors: (PortId, Ipv4Addr) => Mac,
    /// BFD sessions.
    bfd: Ipv4Addr => BfdTiming,
    /// Accepted sources of tunnel packets.
    tunnel_sources: Ipv4Net => Present,
    /// VRFs.
    vrfs: VrfId => Present,
    /// Subnets: gateway.
    subnets: (VrfId, Ipv4Net) => Ipv4Addr,
    /// Instance interfaces.
    vifs: VifId => Vif,
    /// Addresses of instances.
    vif_addresses: (VifId, Ipv4Addr) => Present,
    /// Tunnels.
    tunnels: TunnelId => Tunnel,
    /// Next hops. The row of an id never changes, it only comes and goes.
    nexthops: NexthopId => Nexthop,
    /// Advertised labels.
    labels: Label => LabelTarget,
}

impl Tables {
    /// What turns these tables into `desired`, leaving routes, next hops and tunnels alone.
    pub fn structure_changes_to(&self, desired: &Tables) -> Changes {
        Changes {
            tunnel_address: between(&self.tunnel_address, &desired.tunnel_address),
            port_addresses: between(&self.port_addresses, &desired.port_addresses),
            underlay: between(&self.underlay, &desired.underlay),
            neighbors: between(&self.neighbors, &desired.neighbors),
            bfd: between(&self.bfd, &desired.bfd),
            tunnel_sources: between(&self.tunnel_sources, &desired.tunnel_sources),
            vrfs: between(&self.vrfs, &desired.vrfs),
            subnets: between(&self.subnets, &desired.subnets),
            vifs: between(&self.vifs, &desired.vifs),
            vif_addresses: between(&self.vif_addresses, &desired.vif_addresses),
            labels: between(&self.labels, &desired.labels),
            ..Changes::default()
        }
    }
}

fn between<K: Ord + Copy, V: PartialEq + Copy>(
    current: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = current.keys().filter(|key| !desired.contains_key(key)).map(|key| (*key, None));
    let new = desired.iter().filter(|(key, value)| current.get(key) != Some(value));
    gone.chain(new.map(|(key, value)| (*key, Some(*value)))).collect()
}

/// Changes of routes, which are too many for a table of their own between two others: the ops themselves, each list in the order
/// of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// New and changed ones.
    pub set: Vec<Op>,
    /// Deletions of those that lead to a moved interface: see [`moved_vifs`].
    pub left: Vec<Op>,
    /// The other deletions.
    pub gone: Vec<Op>,
}

/// Adds to `list` the ops that make `changes` to `current`, and these of `routes` among them, which are taken out. Changes that
/// change nothing give no op. Both lists keep their room: a full table fills them more than a hundred times.
pub fn ops(current: &Tables, changes: &Changes, routes: &mut Routes, list: &mut Vec<Op>) {
    let moved = moved_vifs(current, changes);
    list.append(&mut routes.left);
    leave_the_old_vrf(current, changes, &moved, list);
    create(current, changes, &moved, list);
    list.append(&mut routes.set);
    for (&label, &target) in set(&current.labels, &changes.labels) {
        list.push(Op::LabelSet { label, target });
    }
    list.append(&mut routes.gone);
    for &label in gone(&current.labels, &changes.labels) {
        if !label_to_moved(current, label, &moved) {
            list.push(Op::LabelDel { label });
        }
    }
    delete(current, changes, list);
}

/// Interfaces that stay but get another VRF: what leads to them goes first.
pub fn moved_vifs(current: &Tables, changes: &Changes) -> BTreeSet<VifId> {
    let moved =
        |vif: &VifId, new: &Vif| current.vifs.get(vif).is_some_and(|old| old.vrf != new.vrf);
    changes
        .vifs
        .iter()
        .filter_map(|(id, new)| new.filter(|new| moved(id, new)).map(|_| *id))
        .collect()
}

/// Labels that lead to a moved interface and go anyway, and its addresses.
fn leave_the_old_vrf(
    current: &Tables,
    changes: &Changes,
    moved: &BTreeSet<VifId>,
    list: &mut Vec<Op>,
) {
    if moved.is_empty() {
        return;
    }
    for (&label, new) in &changes.labels {
        if new.is_none() && label_to_moved(current, label, moved) {
            list.push(Op::LabelDel { label });
        }
    }
    for &vif in moved {
        for &(vif, address) in addresses_of(current, vif) {
            list.push(Op::VifAddressDel { vif, address: address.into() });
        }
    }
}

fn label_to_moved(current: &Tables, label: Label, moved: &BTreeSet<VifId>) -> bool {
    matches!(current.labels.get(&label), Some(LabelTarget::Vif(vif)) if moved.contains(vif))
}

fn addresses_of(tables: &Tables, vif: VifId) -> impl Iterator<Item = &(VifId, Ipv4Addr)> {
    tables
        .vif_addresses
        .range((vif, Ipv4Addr::UNSPECIFIED)..=(vif, Ipv4Addr::BROADCAST))
        .map(|(key, _)| key)
}

/// Rows of `changes` that are new or different.
fn set<'a, K: Ord, V: PartialEq>(
    current: &'a BTreeMap<K, V>,
    changes: &'a BTreeMap<K, Option<V>>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    changes
        .iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (key, value)))
        .filter(|(key, value)| current.get(key) != Some(value))
}

/// Rows of `changes` that go.
fn gone<'a, K: Ord, V>(
    current: &'a BTreeMap<K, V>,
    changes: &'a BTreeMap<K, Option<V>>,
) -> impl Iterator<Item = &'a K> {
    changes
        .iter()
        .filter(|(key, value)| value.is_none() && current.contains_key(key))
        .map(|(key, _)| key)
}

fn create(current: &Tables, changes: &Changes, moved: &BTreeSet<VifId>, list: &mut Vec<Op>) {
    for (_, &address) in set(&current.tunnel_address, &changes.tunnel_address) {
        list.push(Op::TunnelAddressSet { address });
    }
    for (&(port, address), _) in set(&current.port_addresses, &changes.port_addresses) {
        list.push(Op::PortAddressSet { port, address });
    }
    for (&(port, address), &mac) in set(&current.neighbors, &changes.neighbors) {
        list.push(Op::NeighborSet { port, address, mac });
    }
    for (&prefix, &via) in set(&current.underlay, &changes.underlay) {
        list.push(Op::UnderlayRouteSet { prefix, via });
    }
    for (&remote, &timing) in set(&current.bfd, &changes.bfd) {
        list.push(Op::BfdSet { remote, timing });
    }
    for (&prefix, _) in set(&current.tunnel_sources, &changes.tunnel_sources) {
        list.push(Op::TunnelSourceSet { prefix });
    }
    for (&vrf, _) in set(&current.vrfs, &changes.vrfs) {
        list.push(Op::VrfSet { vrf });
    }
    // Two prefixes may hold one gateway address for a moment: the old one goes first.
    for &(vrf, prefix) in gone(&current.subnets, &changes.subnets) {
        list.push(Op::SubnetDel { vrf, prefix });
    }
    for (&(vrf, prefix), &gateway) in set(&current.subnets, &changes.subnets) {
        list.push(Op::SubnetSet { vrf, prefix, gateway });
    }
    // An address may go from one instance to another.
    for &(vif, address) in gone(&current.vif_addresses, &changes.vif_addresses) {
        if !moved.contains(&vif) {
            list.push(Op::VifAddressDel { vif, address: address.into() });
        }
    }
    for (&vif, &Vif { port, vlan, vrf, mac }) in set(&current.vifs, &changes.vifs) {
        list.push(Op::VifSet { vif, port, vlan, vrf, mac });
    }
    for &vif in moved {
        for &(vif, address) in addresses_of(current, vif) {
            if !matches!(changes.vif_addresses.get(&(vif, address)), Some(None)) {
                list.push(Op::VifAddressSet { vif, address: address.into() });
            }
        }
    }
    for (&(vif, address), _) in set(&current.vif_addresses, &changes.vif_addresses) {
        list.push(Op::VifAddressSet { vif, address: address.into() });
    }
    for (&tunnel, &Tunnel { remote, encapsulation }) in set(&current.tunnels, &changes.tunnels) {
        list.push(Op::TunnelSet { tunnel, remote, encapsulation });
    }
    for (&id, &nexthop) in set(&current.nexthops, &changes.nexthops) {
        list.push(Op::NexthopSet { id, nexthop });
    }
}

fn delete(current: &Tables, changes: &Changes, list: &mut Vec<Op>) {
    for &id in gone(&current.nexthops, &changes.nexthops) {
        list.push(Op::NexthopDel { id });
    }
    for &tunnel in gone(&current.tunnels, &changes.tunnels) {
        list.push(Op::TunnelDel { tunnel });
    }
    for &vif in gone(&current.vifs, &changes.vifs) {
        list.push(Op::VifDel { vif });
    }
    for &vrf in gone(&current.vrfs, &changes.vrfs) {
        list.push(Op::VrfDel { vrf });
    }
    for &remote in gone(&current.bfd, &changes.bfd) {
        list.push(Op::BfdDel { remote });
    }
    for &prefix in gone(&current.underlay, &changes.underlay) {
        list.push(Op::UnderlayRouteDel { prefix });
    }
    for &(port, address) in gone(&current.neighbors, &changes.neighbors) {
        list.push(Op::NeighborDel { port, address });
    }
    for &(port, address) in gone(&current.port_addresses, &changes.port_addresses) {
        list.push(Op::PortAddressDel { port, address });
    }
    for &prefix in gone(&current.tunnel_sources, &changes.tunnel_sources) {
        list.push(Op::TunnelSourceDel { prefix });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    type RouteTable = BTreeMap<(VrfId, Ipv4Net), NexthopId>;

    /// The ops from one state to another.
    fn diff(old: &(Tables, RouteTable), new: &(Tables, RouteTable)) -> Vec<Op> {
        let changes = old.0.changes_to(&new.0);
        let moved = moved_vifs(&old.0, &changes);
        let mut routes = Routes::default();
        for ((vrf, prefix), row) in between(&old.1, &new.1) {
            let prefix = prefix.into();
            let Some(nexthop) = row else {
                let (_, id) = old.1.iter().next().unwrap();
                let left = matches!(old.0.nexthops[id], Nexthop::Vif(vif) if moved.contains(&vif));
                let list = if left { &mut routes.left } else { &mut routes.gone };
                list.push(Op::RouteDel { vrf, prefix });
                continue;
            };
            routes.set.push(Op::RouteSet { vrf, prefix, nexthop });
        }
        let mut list = Vec::new();
        ops(&old.0, &changes, &mut routes, &mut list);
        list
    }

    fn one_instance(vrf: VrfId) -> (Tables, RouteTable) {
        let (vif, nexthop) = (VifId(3), NexthopId(9));
        let label = Label::new(100).unwrap();
        let mut tables = Tables::default();
        tables.vrfs.insert(vrf, ());
        tables.subnets.insert((vrf, net("10.1.0.0/24")), Ipv4Addr::new(10, 1, 0, 1));
        let vlan = VlanId::new(107).unwrap();
        tables.vifs.insert(vif, Vif { port: PortId(1), vlan, vrf, mac: Mac([2; 6]) });
        tables.vif_addresses.insert((vif, Ipv4Addr::new(10, 1, 0, 7)), ());
        tables.nexthops.insert(nexthop, Nexthop::Vif(vif));
        tables.labels.insert(label, LabelTarget::Vif(vif));
        (tables, [((vrf, net("10.1.0.7/32")), nexthop)].into())
    }

    fn kinds(list: &[Op]) -> Vec<String> {
        list.iter()
            .map(|op| format!("{op:?}").split([' ', '{']).next().unwrap().to_string())
            .collect()
    }

    #[test]
    fn users_come_after_and_go_before_what_they_use() {
        let full = one_instance(VrfId(1));
        let empty = Default::default();
        let up = diff(&empty, &full);
        let order = [
            "VrfSet",
            "SubnetSet",
            "VifSet",
            "VifAddressSet",
            "NexthopSet",
            "RouteSet",
            "LabelSet",
        ];
        assert_eq!(kinds(&up), order);
        let down = diff(&full, &empty);
        let order = [
            "SubnetDel",
            "VifAddressDel",
            "RouteDel",
            "LabelDel",
            "NexthopDel",
            "VifDel",
            "VrfDel",
        ];
        assert_eq!(kinds(&down), order);
        assert!(diff(&full, &full).is_empty());
    }

    #[test]
    fn a_moved_instance_leaves_its_old_vrf_before_it_enters_the_new_one() {
        let (old, new) = (one_instance(VrfId(1)), one_instance(VrfId(2)));
        let list = diff(&old, &new);
        let order = [
            "RouteDel",
            "VifAddressDel",
            "VrfSet",
            "SubnetDel",
            "SubnetSet",
            "VifSet",
            "VifAddressSet",
            "RouteSet",
            "VrfDel",
        ];
        assert_eq!(kinds(&list), order);
    }

    #[test]
    fn a_replaced_row_is_one_op() {
        let current = one_instance(VrfId(1));
        let mut desired = current.clone();
        if let Some(vif) = desired.0.vifs.get_mut(&VifId(3)) {
            vif.mac = Mac([4; 6]);
        }
        assert_eq!(kinds(&diff(&current, &desired)), ["VifSet"]);
        desired.0.nexthops.insert(NexthopId(10), Nexthop::Discard);
        desired.1.insert((VrfId(1), net("10.1.0.7/32")), NexthopId(10));
        desired.0.nexthops.remove(&NexthopId(9));
        assert_eq!(
            kinds(&diff(&current, &desired)),
            ["VifSet", "NexthopSet", "RouteSet", "NexthopDel"]
        );
    }
}
