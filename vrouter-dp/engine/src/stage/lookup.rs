//! lookup: where a packet goes, by longest prefix match in its VRF or straight by its label.
//!
//! Exits: drop `no-route discard-route unresolved-nexthop tunnel-to-tunnel unsupported-protocol`, punt `local` for ICMP to an
//! address that we hold in the VRF.

use wire::{Label, ipv4};

use super::{Context, Inner, Origin, Step};
use crate::drops::{Drop, Punt};
use crate::seam::{Nexthop, VifId};
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
    match found.nexthop().ok_or(Drop::NoRoute)? {
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
        Nexthop::Discard => Err(Drop::DiscardRoute.into()),
        // What we send to ourselves would come back for ever.
        Nexthop::Receive => match inner.place() {
            None => Err(Drop::NoRoute.into()),
            Some(place) if inner.ip.protocol == ipv4::ICMP => Err(context.punt(Punt::Local, place)),
            Some(_) => Err(Drop::UnsupportedProtocol.into()),
        },
    }
}
