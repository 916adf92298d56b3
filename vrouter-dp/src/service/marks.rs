//! Mark and sweep: what a restarted agent does not set again goes away, everything else never flickers.
//!
//! Each object is remembered as the op that deletes it, with the epoch in which it was last set.

use engine::seam::Op;
use hashbrown::HashMap;

/// Objects by the op that deletes them.
#[derive(Default)]
pub struct Marks {
    epoch: u32,
    objects: HashMap<Op, u32>,
}

impl Marks {
    /// Remembers an op that was applied.
    pub fn applied(&mut self, op: &Op) {
        if let Some(deletion) = deletion(op) {
            self.objects.insert(deletion, self.epoch);
        } else {
            self.objects.remove(op);
        }
    }

    /// What `deletion` would delete does not exist.
    pub fn absent(&mut self, deletion: &Op) {
        self.objects.remove(deletion);
    }

    /// Everything that exists now is stale until it is set again.
    pub fn resync(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// The ops that delete what is still stale, users before what they use.
    pub fn sweep(&self) -> Vec<Op> {
        let mut stale: Vec<Op> = self
            .objects
            .iter()
            .filter(|(_, epoch)| **epoch != self.epoch)
            .map(|(op, _)| *op)
            .collect();
        stale.sort_by_key(rank);
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
        Op::NeighborSet { port, address, .. } => Op::NeighborDel { port, address },
        Op::RouteSet { vrf, prefix, .. } => Op::RouteDel { vrf, prefix },
        Op::LabelSet { label, .. } => Op::LabelDel { label },
        _ => return None,
    })
}

/// Order of deletion: an object goes before what it refers to.
fn rank(op: &Op) -> u8 {
    match op {
        Op::RouteDel { .. } | Op::LabelDel { .. } => 0,
        Op::NexthopDel { .. } | Op::PathDel { .. } => 1,
        Op::VifAddressDel { .. } | Op::SubnetDel { .. } | Op::TunnelDel { .. } => 2,
        Op::VifDel { .. } => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use engine::seam::{Nexthop, NexthopId, VrfId};

    use super::*;

    #[test]
    fn only_what_was_not_set_again_is_swept_in_order_of_use() {
        let (one, two) = (VrfId(1), VrfId(2));
        let prefix = "10.0.0.0/8".parse().unwrap();
        let route = |vrf| Op::RouteSet { vrf, prefix, nexthop: NexthopId(1) };
        let nexthop = Op::NexthopSet { id: NexthopId(1), nexthop: Nexthop::Receive };
        let mut marks = Marks::default();
        for op in
            [Op::VrfSet { vrf: one }, Op::VrfSet { vrf: two }, nexthop, route(one), route(two)]
        {
            marks.applied(&op);
        }
        assert!(marks.sweep().is_empty());
        marks.resync();
        for op in [Op::VrfSet { vrf: one }, nexthop, route(one)] {
            marks.applied(&op);
        }
        let swept = marks.sweep();
        assert_eq!(swept, [Op::RouteDel { vrf: two, prefix }, Op::VrfDel { vrf: two }]);
        for op in &swept {
            marks.applied(op);
        }
        assert!(marks.sweep().is_empty());
        marks.resync();
        // What went with something else is not asked for again at every sweep.
        let gone = marks.sweep().len();
        marks.absent(&Op::RouteDel { vrf: two, prefix });
        assert_eq!(marks.sweep().len(), gone);
        marks.absent(&Op::RouteDel { vrf: one, prefix });
        assert_eq!(marks.sweep().len(), gone - 1);
        marks.applied(&route(one));
        marks.resync();
        let kinds: Vec<u8> = marks.sweep().iter().map(rank).collect();
        assert_eq!(kinds, [0, 1, 4]);
    }
}
