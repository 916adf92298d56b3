//! lookup: where a packet goes, by longest prefix match in its VRF or straight by its label.
//!
//! Exits: drop `no-route discard-route unresolved-nexthop tunnel-to-tunnel unsupported-protocol`, punt `local` for ICMP to an
//! address that we hold in the VRF.

use wire::{Label, ipv4};

use super::{Context, Inner, Origin, Step};
use crate::drops::{Drop, Punt};
use crate::seam::{Nexthop, VifId};
use crate::table::{Adjacency, Tunnel, Vif};
use crate::verdict::Verdict;

/// Where a packet goes.
pub(crate) enum Hop<'a> {
    Vif(VifId, &'a Vif),
    Tunnel { tunnel: &'a Tunnel, adjacency: &'a Adjacency, label: Label },
}

impl Hop<'_> {
    /// Largest IPv4 packet, in bytes, that it carries.
    #[inline]
    pub fn mtu(&self) -> u16 {
        match self {
            Hop::Vif(_, vif) => vif.mtu,
            Hop::Tunnel { tunnel, adjacency, .. } => {
                adjacency.mtu.saturating_sub(tunnel.encapsulation.overhead())
            }
        }
    }
}

/// The next hop of the best route, if there is one.
#[inline]
pub(crate) fn find(context: &Context<'_>, inner: &Inner<'_>) -> Option<Nexthop> {
    if let Some(vif) = inner.deliver {
        return Some(Nexthop::Vif(vif));
    }
    let id = context.tables.fib.lookup(inner.vrf, inner.ip.destination());
    context.tables.nexthops.nexthop(id)
}

/// What the next hop stands for now; or the exit that it is.
#[inline]
pub(crate) fn hop<'a>(
    context: &mut Context<'a>,
    inner: &Inner<'_>,
    found: Option<Nexthop>,
) -> Step<Hop<'a>> {
    let (tables, reader) = (context.tables, context.reader);
    match found.ok_or(Drop::NoRoute)? {
        Nexthop::Vif(id) => {
            context.vif = context.vif.or(Some(id));
            Ok(Hop::Vif(id, tables.vif(id, reader).ok_or(Drop::NoRoute)?))
        }
        Nexthop::Tunnel { tunnel, label } => {
            // Split horizon: otherwise two PEs whose routes point at each other would play ping-pong.
            if matches!(inner.origin, Origin::Tunnel) {
                return Err(Drop::TunnelToTunnel.into());
            }
            let tunnel = tables.tunnel(tunnel, reader).ok_or(Drop::NoRoute)?;
            let adjacency = tunnel.adjacency.and_then(|id| tables.adjacency(id, reader));
            let adjacency = adjacency.ok_or(Drop::UnresolvedNexthop)?;
            Ok(Hop::Tunnel { tunnel, adjacency, label })
        }
        Nexthop::Discard => Err(Drop::DiscardRoute.into()),
        Nexthop::Receive => Err(receive(context, inner)),
    }
}

fn receive(context: &mut Context<'_>, inner: &Inner<'_>) -> Verdict {
    let vif = match inner.origin {
        Origin::Instance(vif, _) => Some(vif),
        Origin::Tunnel => None,
        // What we send to ourselves would come back for ever.
        Origin::Own => return Drop::NoRoute.into(),
    };
    match inner.ip.protocol() {
        ipv4::ICMP => context.punt(Punt::Local, vif, inner.vrf),
        _ => Drop::UnsupportedProtocol.into(),
    }
}
