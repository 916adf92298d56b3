//! policy: what may come from an instance. Its source address must be one of its own, or be routed to it.
//!
//! Exits: drop `spoofed-address martian`. Packets out of tunnels are not checked here: their sender's gateway did.

use super::{Context, Step, decap};
use crate::drops::Drop;
use crate::fault::{self, Fault};
use crate::seam::{Nexthop, NexthopId, VifId};
use crate::table::Vif;

/// An IPv4 packet from an instance.
#[inline(always)]
pub(crate) fn check_v4(context: &Context<'_>, id: VifId, vif: &Vif, source: u32) -> Step<()> {
    // Nearly all. 0 stands for none.
    if source == vif.address && source != 0 {
        return Ok(());
    }
    another_v4(context, id, vif, source)
}

/// A source that is not the first address of the instance: another one, or in a prefix behind it, such as the network of a router.
#[inline(never)]
fn another_v4(context: &Context<'_>, id: VifId, vif: &Vif, source: u32) -> Step<()> {
    decap::martian_v4(source)?;
    let leads_back = || leads_to(context, context.tables.fib.lookup(vif.vrf, source.into()), id);
    verdict(vif.owns(source) || leads_back())
}

/// As [`check_v4`], of an IPv6 packet.
#[inline(always)]
pub(crate) fn check_v6(context: &Context<'_>, id: VifId, vif: &Vif, source: u128) -> Step<()> {
    let leads_back = || leads_to(context, context.tables.fib.lookup6(vif.vrf, source.into()), id);
    verdict(vif.owns6(source) || leads_back())
}

fn verdict(own: bool) -> Step<()> {
    if own || fault::is(Fault::SkippedSourceCheck) {
        Ok(())
    } else {
        Err(Drop::SpoofedAddress.into())
    }
}

fn leads_to(context: &Context<'_>, back: NexthopId, id: VifId) -> bool {
    matches!(context.tables.nexthops.nexthop(back), Some(Nexthop::Vif(owner)) if owner == id)
}
