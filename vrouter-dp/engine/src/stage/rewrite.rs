//! rewrite: TTL, and whether the packet fits the path that it takes.
//!
//! Exits: drop `ttl-exceeded too-big` (the sender is told), `needs-fragmentation`.

use super::{Context, Inner, Step};
use crate::drops::{Drop, Punt};

/// A packet of somebody else: one hop more. `mtu` is that of the way it takes, in bytes.
#[inline(always)]
pub(crate) fn forward(context: &mut Context<'_>, inner: &mut Inner<'_>, mtu: u16) -> Step<()> {
    // RFC 1812 5.3.1: what would leave with TTL 0 is dropped, and the sender is told.
    if inner.ip.ttl <= 1 {
        return Err(context.refuse(Drop::TtlExceeded, Punt::TtlExceeded, 0, inner.place()));
    }
    fits(context, inner, mtu)?;
    inner.ip.decrement_ttl();
    Ok(())
}

/// A packet of our own starts here.
pub(crate) fn originate(context: &mut Context<'_>, inner: &Inner<'_>, mtu: u16) -> Step<()> {
    fits(context, inner, mtu)
}

#[inline(always)]
fn fits(context: &mut Context<'_>, inner: &Inner<'_>, mtu: u16) -> Step<()> {
    if inner.ip.total_len <= mtu {
        return Ok(());
    }
    if !inner.ip.dont_fragment() {
        return Err(Drop::NeedsFragmentation.into());
    }
    // RFC 1191 4: with the MTU of the path really taken, its overhead taken off.
    Err(context.refuse(Drop::TooBig, Punt::TooBig, mtu, inner.place()))
}
