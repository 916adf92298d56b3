//! Labels that we advertised: a direct array over all 2^20, of which only what is used takes memory.

use std::sync::atomic::{AtomicU32, Ordering};

use wire::Label;

use crate::chunks;
use crate::prefetch::prefetch;
use crate::seam::{LabelTarget, VifId, VrfId};

const VRF: u32 = 1 << 30;
const VIF: u32 = 2 << 30;

/// All labels.
#[derive(Debug)]
pub struct LabelTable {
    rows: Box<[AtomicU32]>,
}

impl LabelTable {
    pub(super) fn new() -> LabelTable {
        LabelTable { rows: chunks::zeroed(1 << 20) }
    }

    /// Where a label leads, given as it stands on the wire.
    #[inline]
    pub fn target(&self, label: u32) -> Option<LabelTarget> {
        let word = self.rows.get(label as usize)?.load(Ordering::Acquire);
        match word >> 30 {
            1 => Some(LabelTarget::Vrf(VrfId(word as u16))),
            2 => Some(LabelTarget::Vif(VifId(word as u16))),
            _ => None,
        }
    }

    /// Asks for the word of a label, given as it stands on the wire.
    #[inline(always)]
    pub fn prefetch(&self, label: u32) {
        if let Some(row) = self.rows.get(label as usize) {
            prefetch(row);
        }
    }

    pub(super) fn set(&self, label: Label, target: Option<LabelTarget>) {
        let word = match target {
            None => 0,
            Some(LabelTarget::Vrf(vrf)) => VRF | u32::from(vrf.0),
            Some(LabelTarget::Vif(vif)) => VIF | u32::from(vif.0),
        };
        if let Some(row) = self.rows.get(label.index()) {
            row.store(word, Ordering::Release);
        }
    }
}
