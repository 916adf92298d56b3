//! Next hops, as a leaf of a FIB names them: one word each, replaced in place.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Label;

use crate::chunks;
use crate::prefetch::prefetch;
use crate::seam::{GroupId, Nexthop, NexthopId, TunnelId, VifId};

/// Next hops that a node can have.
pub const NEXTHOPS: usize = 1 << 21;

/// An id from here on is none: the lower half names an interface that a label led to.
pub(crate) const DELIVER: u32 = 1 << 31;

const KIND: u64 = 0b111 << 61;
const TUNNEL: u64 = 1 << 61;
const VIF: u64 = 2 << 61;
const RECEIVE: u64 = 3 << 61;
const DISCARD: u64 = 4 << 61;
const GROUP: u64 = 5 << 61;

/// A next hop in a word; 0 is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(u64);

/// Where a word leads, as far as the way of a packet that is sent asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// A tunnel, and the label in the upper 20 bits, as in a label stack entry.
    Tunnel(TunnelId, u32),
    Vif(VifId),
    /// [`Word::nexthop`] says what.
    Other,
}

impl Word {
    /// No next hop.
    pub const NONE: Word = Word(0);

    #[inline]
    pub const fn vif(vif: VifId) -> Word {
        Word(VIF | vif.0 as u64)
    }

    /// Where it leads.
    #[inline(always)]
    pub fn to(self) -> To {
        let Word(word) = self;
        // Tunnel: label in the 20 bits above the id, which has the lower 32. The shift pushes the kind out.
        if word >> 61 == TUNNEL >> 61 {
            return To::Tunnel(TunnelId(word as u32), ((word >> 32) as u32) << 12);
        }
        if word >> 61 == VIF >> 61 { To::Vif(VifId(word as u16)) } else { To::Other }
    }

    /// What it stands for.
    pub fn nexthop(self) -> Option<Nexthop> {
        let Word(word) = self;
        match word & KIND {
            TUNNEL => {
                let label = Label::new((word >> 32) as u32 & 0xf_ffff)?;
                Some(Nexthop::Tunnel { tunnel: TunnelId(word as u32), label })
            }
            VIF => Some(Nexthop::Vif(VifId(word as u16))),
            RECEIVE => Some(Nexthop::Receive),
            DISCARD => Some(Nexthop::Discard),
            GROUP => Some(Nexthop::Group(GroupId(word as u32))),
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

    /// The same, as it stands in the table; an id from [`DELIVER`] on is that interface.
    #[inline]
    pub(crate) fn word(&self, id: NexthopId) -> Word {
        match self.rows.get(id.index()) {
            Some(row) => Word(row.load(Ordering::Acquire)),
            None if id.0 >= DELIVER => Word::vif(VifId(id.0 as u16)),
            None => Word::NONE,
        }
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
