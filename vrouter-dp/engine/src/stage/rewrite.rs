//! rewrite: TTL or hop limit, and whether the packet fits the path that it takes.
//!
//! Exits: drop `ttl-exceeded too-big` (the sender is told, if it speaks IPv4), `needs-fragmentation`.

use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;

use super::{Context, Family, Inner, Step, flow};
use crate::drops::{Drop, Punt};

/// One hop more, except for a packet of our own (`OWN`), which starts here. `mtu` is that of the way it takes, in bytes. Returns its
/// hops that are left, and its flow.
#[inline(always)]
pub(crate) fn hop<const OWN: bool>(
    context: &mut Context<'_>,
    bytes: &mut [u8],
    inner: &Inner,
    mtu: i32,
) -> Step<(u8, u64)> {
    match inner.family() {
        Family::V4 => {
            let (ip, _) = Ipv4::parse_mut(bytes).map_err(|_| Drop::Malformed)?;
            // RFC 1812 5.3.1: what would leave with TTL 0 is dropped, and the sender is told.
            if !OWN && ip.ttl() <= 1 {
                return Err(context.refuse(Drop::TtlExceeded, Punt::TtlExceeded, 0, inner));
            }
            if i32::from(inner.length) > mtu {
                return Err(too_long(context, inner, mtu, ip.dont_fragment()));
            }
            if !OWN {
                ip.decrement_ttl();
            }
            Ok((ip.ttl(), flow::v4(bytes)))
        }
        Family::V6 => {
            let (ip, _) = Ipv6::parse_mut(bytes).map_err(|_| Drop::Malformed)?;
            // RFC 8200 3: what would leave with hop limit 0 is dropped.
            if ip.hop_limit() <= 1 {
                return Err(context.refuse(Drop::TtlExceeded, Punt::TtlExceeded, 0, inner));
            }
            if i32::from(inner.length) > mtu {
                // RFC 8200 4.5: routers never fragment.
                return Err(too_long(context, inner, mtu, true));
            }
            ip.set_hop_limit(ip.hop_limit() - 1);
            Ok((ip.hop_limit(), flow::v6(bytes)))
        }
    }
}

#[cold]
#[inline(never)]
fn too_long(context: &mut Context<'_>, inner: &Inner, mtu: i32, whole: bool) -> super::End {
    if !whole {
        return Drop::NeedsFragmentation.into();
    }
    // RFC 1191 4: with the MTU of the path really taken, its overhead taken off.
    context.refuse(Drop::TooBig, Punt::TooBig, mtu.max(0) as u16, inner)
}
