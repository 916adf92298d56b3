//! rewrite: TTL, and whether the packet fits the path that it takes.
//!
//! Exits: drop `ttl-exceeded too-big` (the sender is told), `needs-fragmentation`.

use wire::ipv4::Ipv4;

use super::lookup::Hop;
use super::{Context, Inner, Step};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};

/// A packet of somebody else: one hop more.
#[inline]
pub(crate) fn forward<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    hop: &Hop<'_>,
) -> Step<()> {
    // RFC 1812 5.3.1: what would leave with TTL 0 is dropped, and the sender is told.
    if inner.ip.ttl() <= 1 {
        return Err(context.refuse(Drop::TtlExceeded, Punt::TtlExceeded, 0, packet, inner));
    }
    fits(context, packet, inner, hop)?;
    let (ip, _) = Ipv4::parse_mut(packet.data_mut()).map_err(|_| Drop::Malformed)?;
    ip.decrement_ttl();
    Ok(())
}

/// A packet of our own starts here.
pub(crate) fn originate<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner<'_>,
    hop: &Hop<'_>,
) -> Step<()> {
    fits(context, packet, inner, hop)
}

#[inline]
fn fits<B: Buf>(
    context: &mut Context<'_>,
    packet: &B,
    inner: &Inner<'_>,
    hop: &Hop<'_>,
) -> Step<()> {
    let mtu = hop.mtu();
    if inner.ip.total_len() <= mtu {
        return Ok(());
    }
    if !inner.ip.dont_fragment() {
        return Err(Drop::NeedsFragmentation.into());
    }
    // RFC 1191 4: with the MTU of the path really taken, its overhead taken off.
    Err(context.refuse(Drop::TooBig, Punt::TooBig, mtu, packet, inner))
}
