//! Faults on demand, so that a test or a benchmark can show that it would notice them. Only with the feature `fault-injection`:
//! without it none can be set, and nothing of this is in the packet path.

use std::sync::atomic::{AtomicU8, Ordering};

/// A way in which the pipeline can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Tunnel packets carry another label than that of the route.
    WrongLabel = 1,
    /// The outer IPv4 header checksum is off by one.
    WrongChecksum,
    /// Any source address may come from an instance.
    SkippedSourceCheck,
    /// Every packet costs a tenth more instructions, or more.
    Slow,
}

static PRESENT: AtomicU8 = AtomicU8::new(0);

/// Makes every worker of this process wrong in this way, or right again.
#[cfg(feature = "fault-injection")]
pub fn set(fault: Option<Fault>) {
    PRESENT.store(fault.map_or(0, |fault| fault as u8), Ordering::Relaxed);
}

/// Whether this fault is wanted now.
#[inline(always)]
pub(crate) fn is(fault: Fault) -> bool {
    cfg!(feature = "fault-injection") && PRESENT.load(Ordering::Relaxed) == fault as u8
}

/// Wastes time for one packet if that is wanted.
#[inline(always)]
pub(crate) fn dawdle() {
    if is(Fault::Slow) {
        (0..32u32).for_each(|turn| {
            std::hint::black_box(turn);
        });
    }
}
