//! Next hops, as a leaf of a FIB names them: one word each, replaced in place.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Label;

use crate::chunks;
use crate::prefetch::prefetch;
use crate::seam::{GroupId, Nexthop, NexthopId, TunnelId, VifId};

/// Next hops that a node can have.
pub const NEXTHOPS: usize = 1 << 21;

const KIND: u64 = 0b111 << 61;
const TUNNEL: u64 = 1 << 61;
const VIF: u64 = 2 << 61;
const RECEIVE: u64 = 3 << 61;
const DISCARD: u64 = 4 << 61;
const GROUP: u64 = 5 << 61;

/// A next hop in a word; 0 is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(u64);

impl Word {
    #[inline]
    pub const fn vif(vif: VifId) -> Word {
        Word(VIF | vif.0 as u64)
    }

    /// What it stands for. The two that packets are sent by come first, as plain comparisons.
    #[inline(always)]
    pub fn nexthop(self) -> Option<Nexthop> {
        let Word(word) = self;
        // Tunnel: label in the 20 bits above the id, which has the lower 32.
        if word >> 61 == TUNNEL >> 61 {
            let label = Label::new((word >> 32) as u32 & 0xf_ffff)?;
            return Some(Nexthop::Tunnel { tunnel: TunnelId(word as u32), label });
        }
        if word >> 61 == VIF >> 61 {
            return Some(Nexthop::Vif(VifId(word as u16)));
        }
        self.no_way()
    }

    #[cold]
    #[inline(never)]
    fn no_way(self) -> Option<Nexthop> {
        match self.0 & KIND {
            RECEIVE => Some(Nexthop::Receive),
            DISCARD => Some(Nexthop::Discard),
            GROUP => Some(Nexthop::Group(GroupId(self.0 as u32))),
            _ => None,
        }
    }
}

impl From<Nexthop> for Word {
    fn from(nexthop: Nexthop) -> Word {
        match nexthop {
            Nexthop::Tunnel { tunnel, label } => {
                Word(TUNNEL | u64::from(label.value()) << 32 | u64::from(tunnel.0))
            }
            Nexthop::Vif(vif) => Word::vif(vif),
            Nexthop::Receive => Word(RECEIVE),
            Nexthop::Discard => Word(DISCARD),
            Nexthop::Group(group) => Word(GROUP | u64::from(group.0)),
        }
    }
}

/// All next hops.
#[derive(Debug)]
pub struct NexthopTable {
    rows: Box<[AtomicU64]>,
}

impl NexthopTable {
    pub(super) fn new() -> NexthopTable {
        NexthopTable { rows: chunks::zeroed(NEXTHOPS) }
    }

    /// What the id leads to; `None` if it does not exist.
    #[inline]
    pub fn nexthop(&self, id: NexthopId) -> Option<Nexthop> {
        self.word(id).nexthop()
    }

    /// The same, as it stands in the table.
    #[inline]
    pub(crate) fn word(&self, id: NexthopId) -> Word {
        Word(self.rows.get(id.index()).map_or(0, |row| row.load(Ordering::Acquire)))
    }

    /// Asks for the word of `id`.
    #[inline(always)]
    pub fn prefetch(&self, id: NexthopId) {
        if let Some(row) = self.rows.get(id.index()) {
            prefetch(row);
        }
    }

    /// `false` beyond the capacity.
    pub(super) fn set(&self, id: NexthopId, nexthop: Option<Nexthop>) -> bool {
        let word = nexthop.map_or(0, |nexthop| Word::from(nexthop).0);
        let row = self.rows.get(id.index());
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
            Nexthop::Group(GroupId(u32::MAX)),
        ] {
            assert!(table.set(id, Some(nexthop)));
            assert_eq!(table.nexthop(id), Some(nexthop));
        }
        assert!(table.set(id, None));
        assert_eq!(table.nexthop(id), None);
        assert!(!table.set(NexthopId(NEXTHOPS as u32), Some(Nexthop::Receive)));
    }
}
