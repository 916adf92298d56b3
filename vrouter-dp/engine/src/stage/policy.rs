//! policy: what may come from an instance. Its source address must be one of its own, or be routed to it.
//!
//! Exits: drop `spoofed-address`. Packets out of tunnels are not checked here: their sender's gateway did.

use super::{Context, Inner, Origin, Step};
use crate::drops::Drop;
use crate::seam::Nexthop;

#[inline]
pub(crate) fn check(context: &Context<'_>, inner: &Inner<'_>) -> Step<()> {
    let Origin::Instance(id, vif) = inner.origin else { return Ok(()) };
    let source = inner.ip.source();
    if vif.addresses.contains(&source) {
        return Ok(());
    }
    // A prefix behind the instance, such as the network of a router.
    let back = context.tables.fib.lookup(inner.vrf, source);
    match context.tables.nexthops.nexthop(back) {
        Some(Nexthop::Vif(owner)) if owner == id => Ok(()),
        _ => Err(Drop::SpoofedAddress.into()),
    }
}
