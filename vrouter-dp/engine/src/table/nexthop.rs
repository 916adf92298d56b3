//! Next hops, as a leaf of a FIB names them: one word each, replaced in place.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Label;

use crate::chunks::Chunks;
use crate::seam::{Nexthop, NexthopId, TunnelId, VifId};

/// Next hops that a node can have.
pub const NEXTHOPS: usize = 1 << 21;

const KIND: u64 = 0b111 << 61;
const TUNNEL: u64 = 1 << 61;
const VIF: u64 = 2 << 61;
const RECEIVE: u64 = 3 << 61;
const DISCARD: u64 = 4 << 61;

/// All next hops.
#[derive(Debug)]
pub struct NexthopTable {
    rows: Chunks<AtomicU64, 4096>,
}

impl NexthopTable {
    pub(super) fn new() -> NexthopTable {
        NexthopTable { rows: Chunks::new(NEXTHOPS) }
    }

    /// What the id leads to; `None` if it does not exist.
    #[inline]
    pub fn nexthop(&self, id: NexthopId) -> Option<Nexthop> {
        let word = self.rows.at(id.index())?.load(Ordering::Acquire);
        // Tunnel: label in the upper 20 of the 52 bits below the kind, id in the lower 32.
        match word & KIND {
            TUNNEL => {
                let label = Label::new((word >> 32) as u32 & 0xf_ffff)?;
                Some(Nexthop::Tunnel { tunnel: TunnelId(word as u32), label })
            }
            VIF => Some(Nexthop::Vif(VifId(word as u16))),
            RECEIVE => Some(Nexthop::Receive),
            DISCARD => Some(Nexthop::Discard),
            _ => None,
        }
    }

    /// `false` beyond the capacity.
    pub(super) fn set(&self, id: NexthopId, nexthop: Option<Nexthop>) -> bool {
        let word = match nexthop {
            None => 0,
            Some(Nexthop::Tunnel { tunnel, label }) => {
                TUNNEL | u64::from(label.value()) << 32 | u64::from(tunnel.0)
            }
            Some(Nexthop::Vif(vif)) => VIF | u64::from(vif.0),
            Some(Nexthop::Receive) => RECEIVE,
            Some(Nexthop::Discard) => DISCARD,
        };
        let row = self.rows.ensure(id.index());
        row.is_some_and(|row| {
            row.store(word, Ordering::Release);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_word() {
        let table = NexthopTable::new();
        let id = NexthopId(NEXTHOPS as u32 - 1);
        for nexthop in [
            Nexthop::Tunnel { tunnel: TunnelId(u32::MAX), label: Label::MAX },
            Nexthop::Tunnel { tunnel: TunnelId(0), label: Label::MIN },
            Nexthop::Vif(VifId(u16::MAX)),
            Nexthop::Vif(VifId(0)),
            Nexthop::Receive,
            Nexthop::Discard,
        ] {
            assert!(table.set(id, Some(nexthop)));
            assert_eq!(table.nexthop(id), Some(nexthop));
        }
        assert!(table.set(id, None));
        assert_eq!(table.nexthop(id), None);
        assert!(!table.set(NexthopId(NEXTHOPS as u32), Some(Nexthop::Receive)));
    }
}
