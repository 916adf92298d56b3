//! policy: what may come from an instance. Its source address must be one of its own, or be routed to it.
//!
//! Exits: drop `spoofed-address`. Packets out of tunnels are not checked here: their sender's gateway did.

use super::{Context, Inner, Origin, Step};
use crate::drops::Drop;
use crate::fault::{self, Fault};
use crate::seam::{Nexthop, VifId, VrfId};

#[inline(always)]
pub(crate) fn check(context: &Context<'_>, inner: &Inner<'_>) -> Step<()> {
    let Origin::Instance(id, vif) = inner.origin else { return Ok(()) };
    if vif.owns(inner.ip.source)
        || fault::is(Fault::SkippedSourceCheck)
        || leads_back(context, inner.vrf, inner.ip.source, id)
    {
        return Ok(());
    }
    Err(Drop::SpoofedAddress.into())
}

/// Whether the source is in a prefix behind the instance, such as the network of a router.
#[inline(never)]
fn leads_back(context: &Context<'_>, vrf: VrfId, source: u32, id: VifId) -> bool {
    let back = context.tables.fib.lookup(vrf, source.into());
    matches!(context.tables.nexthops.nexthop(back), Some(Nexthop::Vif(owner)) if owner == id)
}
