//! lookup: where a packet goes, by longest prefix match in its VRF or straight by its label.
//!
//! Exits: drop `no-route discard-route unresolved-nexthop tunnel-to-tunnel unsupported-protocol`, punt `local` for ICMP to an
//! address that we hold in the VRF.

use wire::{Label, ipv4};

use super::{Context, Inner, Origin, Step};
use crate::drops::{Drop, Punt};
use crate::seam::{GroupId, Nexthop, VifId};
use crate::table::nexthop::Word;
use crate::table::{Adjacency, Tunnel, Vif};

/// Where a packet goes.
pub(crate) enum Hop<'a> {
    Vif(VifId, &'a Vif),
    Tunnel(Way<'a>),
}

/// A tunnel, how to get to its end, and the label for there.
pub(crate) struct Way<'a> {
    pub tunnel: &'a Tunnel,
    pub adjacency: &'a Adjacency,
    pub label: Label,
}

impl Way<'_> {
    /// Largest IPv4 packet, in bytes, that it carries.
    #[inline(always)]
    pub fn mtu(&self) -> u16 {
        self.adjacency.mtu.saturating_sub(self.tunnel.overhead)
    }
}

/// The next hop of the best route, if there is one.
#[inline(always)]
pub(crate) fn find(context: &Context<'_>, inner: &Inner<'_>) -> Word {
    if let Some(vif) = inner.deliver {
        return Word::vif(vif);
    }
    let id = context.tables.fib.lookup(inner.vrf, inner.ip.destination.into());
    context.tables.nexthops.word(id)
}

/// What the next hop stands for at this moment, or the exit that it is.
#[inline(always)]
pub(crate) fn hop<'a>(context: &mut Context<'a>, inner: &Inner<'_>, found: Word) -> Step<Hop<'a>> {
    let nexthop = match found.nexthop().ok_or(Drop::NoRoute)? {
        Nexthop::Group(group) => path(context, inner, group)?,
        nexthop => nexthop,
    };
    match nexthop {
        Nexthop::Vif(id) => {
            context.vif = context.vif.or(Some(id));
            Ok(Hop::Vif(id, context.tables.vifs.load(id.index()).ok_or(Drop::NoRoute)?))
        }
        Nexthop::Tunnel { tunnel, label } => {
            // Split horizon: otherwise two PEs whose routes point at each other would play ping-pong.
            if matches!(inner.origin, Origin::Tunnel) {
                return Err(Drop::TunnelToTunnel.into());
            }
            let tables = &context.tables;
            let tunnel = tables.tunnels.load(tunnel.index()).ok_or(Drop::NoRoute)?;
            let adjacency = tunnel.adjacency.and_then(|id| tables.adjacencies.load(id.index()));
            let adjacency = adjacency.ok_or(Drop::UnresolvedNexthop)?;
            Ok(Hop::Tunnel(Way { tunnel, adjacency, label }))
        }
        Nexthop::Discard | Nexthop::Group(_) => Err(Drop::DiscardRoute.into()),
        // What we send to ourselves would come back for ever.
        Nexthop::Receive => match inner.place() {
            None => Err(Drop::NoRoute.into()),
            Some(place) if inner.ip.protocol == ipv4::ICMP => Err(context.punt(Punt::Local, place)),
            Some(_) => Err(Drop::UnsupportedProtocol.into()),
        },
    }
}

/// The path of the group that the flow takes: one that can carry it, if there is one.
#[inline(never)]
fn path(context: &Context<'_>, inner: &Inner<'_>, group: GroupId) -> Step<Nexthop> {
    let tables = &context.tables;
    let group = tables.groups.load(group.index()).ok_or(Drop::NoRoute)?;
    let flow = u64::from(inner.ip.source) << 32 | u64::from(inner.ip.destination);
    let hash = flow.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut paths = group.paths(hash).filter_map(|id| tables.nexthops.nexthop(id));
    let first = paths.next().ok_or(Drop::NoRoute)?;
    Ok(std::iter::once(first).chain(paths).find(|path| carries(context, *path)).unwrap_or(first))
}

fn carries(context: &Context<'_>, path: Nexthop) -> bool {
    let tables = &context.tables;
    match path {
        Nexthop::Tunnel { tunnel, .. } => tables
            .tunnels
            .load(tunnel.index())
            .and_then(|tunnel| tunnel.adjacency)
            .is_some_and(|id| tables.adjacencies.load(id.index()).is_some()),
        Nexthop::Vif(vif) => tables.vifs.load(vif.index()).is_some_and(|vif| vif.up),
        _ => false,
    }
}
