//! Mark and sweep: what a restarted agent does not set again goes away, everything else never flickers.
//!
//! Each object is remembered as the op that deletes it, with the epoch in which it was last set.

use engine::seam::{Nexthop, Op, VrfId};
use hashbrown::HashMap;
use ipnet::IpNet;

/// Objects by the op that deletes them. Routes are too many: the tables themselves remember the epoch of each.
#[derive(Default)]
pub struct Marks {
    epoch: u32,
    objects: HashMap<Op, Mark>,
}

#[derive(Clone, Copy)]
struct Mark {
    epoch: u32,
    /// It is a next hop that names a path group.
    names_group: bool,
}

impl Marks {
    /// Remembers an op that was applied.
    pub fn applied(&mut self, op: &Op) {
        if let Op::RouteSet { .. } | Op::RouteDel { .. } = op {
            return;
        }
        if let Some(deletion) = deletion(op) {
            let names_group = matches!(op, Op::NexthopSet { nexthop: Nexthop::Group(_), .. });
            self.objects.insert(deletion, Mark { epoch: self.epoch, names_group });
        } else {
            self.objects.remove(op);
        }
    }

    /// What `deletion` would delete does not exist.
    pub fn absent(&mut self, deletion: &Op) {
        self.objects.remove(deletion);
    }

    /// Gives up the room of objects that are gone.
    pub fn trim(&mut self) {
        self.objects.shrink_to_fit();
    }

    /// Everything that exists now is stale until it is set again. Returns the epoch that begins.
    pub fn resync(&mut self) -> u32 {
        self.epoch = self.epoch.wrapping_add(1);
        self.epoch
    }

    /// The present epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The ops that delete what is still stale, users before what they use. `routes` are those that the tables call stale.
    pub fn sweep(&self, routes: impl IntoIterator<Item = (VrfId, IpNet)>) -> Vec<Op> {
        let mut stale: Vec<Op> =
            routes.into_iter().map(|(vrf, prefix)| Op::RouteDel { vrf, prefix }).collect();
        let mut others: Vec<(u8, Op)> = self
            .objects
            .iter()
            .filter(|(_, mark)| mark.epoch != self.epoch)
            .map(|(op, mark)| (rank(op, mark.names_group), *op))
            .collect();
        others.sort_by_key(|(rank, _)| *rank);
        stale.extend(others.into_iter().map(|(_, op)| op));
        stale
    }
}

/// The op that undoes a `*Set`.
fn deletion(op: &Op) -> Option<Op> {
    Some(match *op {
        Op::PortAddressSet { port, address } => Op::PortAddressDel { port, address },
        Op::UnderlayRouteSet { prefix, .. } => Op::UnderlayRouteDel { prefix },
        Op::TunnelSourceSet { prefix } => Op::TunnelSourceDel { prefix },
        Op::VrfSet { vrf } => Op::VrfDel { vrf },
        Op::SubnetSet { vrf, prefix, .. } => Op::SubnetDel { vrf, prefix },
        Op::VifSet { vif, .. } => Op::VifDel { vif },
        Op::VifAddressSet { vif, address } => Op::VifAddressDel { vif, address },
        Op::TunnelSet { tunnel, .. } => Op::TunnelDel { tunnel },
        Op::NexthopSet { id, .. } => Op::NexthopDel { id },
        Op::PathSet { group, place, .. } => Op::PathDel { group, place },
        Op::BfdSet { remote, .. } => Op::BfdDel { remote },
        Op::NeighborSet { port, address, .. } => Op::NeighborDel { port, address },
        Op::LabelSet { label, .. } => Op::LabelDel { label },
        _ => return None,
    })
}

/// Order of deletion behind the routes: an object goes before what it refers to. A next hop that names a group goes before the
/// paths of the group, and those before the next hops that they name.
fn rank(op: &Op, names_group: bool) -> u8 {
    match op {
        Op::LabelDel { .. } => 0,
        Op::NexthopDel { .. } if names_group => 1,
        Op::PathDel { .. } => 2,
        Op::NexthopDel { .. } => 3,
        Op::VifAddressDel { .. } | Op::SubnetDel { .. } | Op::TunnelDel { .. } => 4,
        Op::VifDel { .. } => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use engine::seam::{GroupId, NexthopId, TunnelId};

    use super::*;

    #[test]
    fn only_what_was_not_set_again_is_swept_in_order_of_use() {
        let (one, two) = (VrfId(1), VrfId(2));
        let prefix = "10.0.0.0/8".parse().unwrap();
        let nexthop = |id, nexthop| Op::NexthopSet { id: NexthopId(id), nexthop };
        let (tunnel, group) = (TunnelId(1), GroupId(1));
        let encapsulation = engine::seam::Encapsulation::MplsOverGre;
        let label = wire::Label::new(16).unwrap();
        let sets = [
            Op::VrfSet { vrf: one },
            Op::TunnelSet { tunnel, remote: [192, 0, 2, 9].into(), encapsulation },
            nexthop(1, Nexthop::Tunnel { tunnel, label }),
            Op::PathSet { group, place: 0, nexthop: NexthopId(1) },
            nexthop(2, Nexthop::Group(group)),
        ];
        let mut marks = Marks::default();
        sets.iter().for_each(|op| marks.applied(op));
        marks.applied(&Op::VrfSet { vrf: two });
        assert!(marks.sweep([]).is_empty());
        assert_eq!(marks.resync(), 1);
        sets.iter().for_each(|op| marks.applied(op));
        let route = Op::RouteDel { vrf: two, prefix };
        let swept = marks.sweep([(two, prefix)]);
        assert_eq!(swept, [route, Op::VrfDel { vrf: two }]);
        swept.iter().for_each(|op| marks.applied(op));
        assert!(marks.sweep([]).is_empty());
        marks.resync();
        let order = [
            Op::NexthopDel { id: NexthopId(2) },
            Op::PathDel { group, place: 0 },
            Op::NexthopDel { id: NexthopId(1) },
            Op::TunnelDel { tunnel },
            Op::VrfDel { vrf: one },
        ];
        assert_eq!(marks.sweep([]), order);
        // What went with something else is not asked for again at every sweep.
        marks.absent(&Op::TunnelDel { tunnel });
        assert_eq!(marks.sweep([]).len(), order.len() - 1);
    }
}
