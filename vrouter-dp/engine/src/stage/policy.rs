//! policy: what may come from an instance. Its source address must be one of its own, or be routed to it.
//!
//! Exits: drop `spoofed-address martian`. Packets out of tunnels are not checked here: their sender's gateway did.

use super::classify::Arrival;
use super::{Context, Source, Step, decap};
use crate::drops::Drop;
use crate::fault::{self, Fault};
use crate::seam::{Nexthop, NexthopId, VifId, VrfId};
use crate::table::Vif;

/// A packet from an instance.
#[inline(always)]
pub(crate) fn check(context: &Context<'_>, arrival: &Arrival<'_>, source: Source) -> Step<()> {
    let Arrival { id, vif, .. } = *arrival;
    match source {
        // Nearly all. 0 stands for none.
        Source::V4(source) if source == vif.address && source != 0 => Ok(()),
        Source::V4(source) => another_v4(context, id, vif, source),
        Source::V6(source) => own(vif.owns6(source) || v6_leads_back(context, id, vif.vrf, source)),
    }
}

fn own(own: bool) -> Step<()> {
    if own || fault::is(Fault::SkippedSourceCheck) {
        Ok(())
    } else {
        Err(Drop::SpoofedAddress.into())
    }
}

/// A source that is not the first address of the instance: another one, or in a prefix behind it, such as the network of a router.
#[inline(never)]
fn another_v4(context: &Context<'_>, id: VifId, vif: &Vif, source: u32) -> Step<()> {
    decap::martian_v4(source)?;
    let leads_back = || leads_to(context, context.tables.fib.lookup(vif.vrf, source.into()), id);
    own(vif.owns(source) || leads_back())
}

#[inline(never)]
fn v6_leads_back(context: &Context<'_>, id: VifId, vrf: VrfId, source: u128) -> bool {
    leads_to(context, context.tables.fib.lookup6(vrf, source.into()), id)
}

fn leads_to(context: &Context<'_>, back: NexthopId, id: VifId) -> bool {
    matches!(context.tables.nexthops.nexthop(back), Some(Nexthop::Vif(owner)) if owner == id)
}
