//! lookup: where a packet goes, by longest prefix match in its VRF or straight by its label.
//!
//! Exits: drop `no-route discard-route unresolved-nexthop tunnel-to-tunnel unsupported-protocol neighbor-discovery`, punt `local`
//! for ICMP to an address that we hold in the VRF.
//!
//! All packets of a burst are looked up together: their cache misses overlap.

use wire::ipv4::{self, Ipv4};
use wire::ipv6;

use super::burst::{Burst, places};
use super::{Context, End, Family, Inner, Origin, Step, flow};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};
use crate::pipeline::BATCH;
use crate::seam::{Encapsulation, GroupId, Nexthop, NexthopId, TunnelId, VifId};
use crate::table::nexthop::{To, Word};
use crate::table::{Adjacency, Fib, Tunnel, Vif};

/// Where a packet goes.
pub(crate) enum Hop<'a> {
    Vif(VifId, &'a Vif),
    Udp(Way<'a>),
    Gre(Way<'a>),
}

/// A tunnel, how to get to its end, and the label for there.
pub(crate) struct Way<'a> {
    pub tunnel: &'a Tunnel,
    pub adjacency: &'a Adjacency,
    /// The label in the upper 20 bits, as in a label stack entry.
    pub label: u32,
}

impl Way<'_> {
    /// Largest packet, in bytes, that it carries: none if that is negative.
    #[inline(always)]
    pub fn mtu(&self) -> i32 {
        i32::from(self.adjacency.mtu) - i32::from(self.tunnel.overhead)
    }
}

/// Finds the best route of every packet that needs one, all together where that costs less: always with vectors, else for a
/// scattered burst, whose misses then overlap. Without either, most of what they need is at hand, and one by one is the shortest way.
#[inline(always)]
pub(crate) fn routes(context: &Context<'_>, burst: &mut Burst) {
    let fib = context.tables.fib;
    let together = fib.prefers_batches() || burst.scattered;
    let (v4, v6) = (burst.is_v4() == burst.all(), burst.is_v6() == burst.all());
    let count = burst.count.min(BATCH);
    let Burst { v4: keys4, v6: keys6, found, .. } = burst;
    let (keys4, keys6, found) = (&keys4[..count], &keys6[..count], &mut found[..count]);
    if v4 && together {
        fib.lookup_batch(keys4, found);
    } else if v4 {
        for (key, found) in keys4.iter().zip(found) {
            *found = fib.lookup(key.trie(), key.address().into());
        }
    } else if v6 && together {
        fib.lookup6_batch(keys6, found);
    } else {
        mixed(fib, burst);
    }
}

/// Packets of a family in a mixed burst from which on all are looked up, whoever needs it.
const MANY: u32 = 8;

/// As [`routes`], when some are IPv6 or need no lookup. Their keys of the other family are left from earlier bursts.
#[inline(never)]
fn mixed(fib: &Fib, burst: &mut Burst) {
    let (is_v4, is_v6) = (burst.is_v4(), burst.is_v6());
    let count = burst.count.min(BATCH);
    let Burst { v4, v6, found, .. } = burst;
    let batch = |found: &mut Found| fib.lookup_batch(&v4[..count], &mut found[..count]);
    let one = |place: usize| fib.lookup(v4[place].trie(), v4[place].address().into());
    some(fib, is_v4, found, batch, one);
    let batch = |found: &mut Found| fib.lookup6_batch(&v6[..count], &mut found[..count]);
    let one = |place: usize| fib.lookup6(v6[place].trie(), v6[place].address().into());
    some(fib, is_v6, found, batch, one);
}

/// What was found, by place.
type Found = [NexthopId; BATCH];

/// What is `found` for the packets of `set`, by whichever costs less.
#[inline(always)]
fn some(
    fib: &Fib,
    set: u64,
    found: &mut Found,
    batch: impl FnOnce(&mut Found),
    one: impl Fn(usize) -> NexthopId,
) {
    if !fib.prefers_batches() || set.count_ones() < MANY {
        return places(set).for_each(|place| found[place] = one(place));
    }
    let mut all = [NexthopId(0); BATCH];
    batch(&mut all);
    places(set).for_each(|place| found[place] = all[place]);
}

/// Asks for what the routes lead to, if the burst is so scattered that this is worth it.
#[inline(always)]
pub(crate) fn ahead(context: &Context<'_>, burst: &Burst) {
    if burst.scattered {
        prefetch(context, burst);
    }
}

/// Each step by all packets, so that the misses of one step overlap.
#[inline(never)]
fn prefetch(context: &Context<'_>, burst: &Burst) {
    let tables = &context.tables;
    let found = &burst.found[..burst.count.min(BATCH)];
    for id in found {
        tables.nexthops.prefetch(*id);
    }
    for id in found {
        match tables.nexthops.word(*id).to() {
            To::Tunnel(tunnel, _) => tables.tunnels.prefetch_record(tunnel.index()),
            To::Vif(vif) => context.ask(vif),
            To::Other => {}
        }
    }
}

/// The next hop of a packet of our own.
pub(crate) fn one<B: Buf>(context: &Context<'_>, packet: &B, inner: &Inner) -> Step<Word> {
    let (ip, _) = Ipv4::parse(inner.bytes(packet.data())?).map_err(|_| Drop::Malformed)?;
    let id = context.tables.fib.lookup(inner.vrf, ip.destination());
    Ok(context.tables.nexthops.word(id))
}

/// What the next hop stands for at this moment, or the exit that it is.
#[inline(always)]
pub(crate) fn hop<'a, B: Buf>(
    context: &mut Context<'a>,
    packet: &B,
    inner: &Inner,
    found: Word,
) -> Step<Hop<'a>> {
    let to = match found.to() {
        To::Other => other(context, packet, inner, found)?,
        to => to,
    };
    match to {
        To::Tunnel(tunnel, label) => {
            // Split horizon: otherwise two PEs whose routes point at each other would play ping-pong.
            if inner.is_from(Origin::Tunnel) {
                return Err(Drop::TunnelToTunnel.into());
            }
            let tables = &context.tables;
            let tunnel = tables.tunnels.load(tunnel.index()).ok_or(Drop::NoRoute)?;
            let adjacency = tunnel.adjacency.and_then(|id| tables.adjacencies.load(id.index()));
            let adjacency = adjacency.ok_or(Drop::UnresolvedNexthop)?;
            let way = Way { tunnel, adjacency, label };
            match tunnel.encapsulation {
                Encapsulation::MplsOverUdp => Ok(Hop::Udp(way)),
                Encapsulation::MplsOverGre => Ok(Hop::Gre(way)),
            }
        }
        To::Vif(id) => Ok(Hop::Vif(id, context.tables.vifs.load(id.index()).ok_or(Drop::NoRoute)?)),
        To::Other => Err(Drop::NoRoute.into()),
    }
}

/// A next hop that is neither a tunnel nor an interface: a group leads to one.
#[cold]
#[inline(never)]
fn other<B: Buf>(context: &mut Context<'_>, packet: &B, inner: &Inner, found: Word) -> Step<To> {
    match found.nexthop().ok_or(Drop::NoRoute)? {
        Nexthop::Group(group) => path(context, packet, inner, group),
        Nexthop::Receive => Err(ours(context, packet, inner)),
        Nexthop::Discard => Err(Drop::DiscardRoute.into()),
        Nexthop::Tunnel { .. } | Nexthop::Vif(_) => Ok(found.to()),
    }
}

/// The end of a packet to an address of ours.
fn ours<B: Buf>(context: &mut Context<'_>, packet: &B, inner: &Inner) -> End {
    // What we send to ourselves would come back for ever.
    let (Some(place), Ok(bytes)) = (inner.place(), inner.bytes(packet.data())) else {
        return Drop::NoRoute.into();
    };
    match inner.family() {
        Family::V4 if Ipv4::parse(bytes).is_ok_and(|(ip, _)| ip.protocol() == ipv4::ICMP) => {
            context.punt(Punt::Local, place)
        }
        Family::V6 if ipv6::is_neighbor_discovery(bytes) => Drop::NeighborDiscovery.into(),
        _ => Drop::UnsupportedProtocol.into(),
    }
}

/// The path of the group that the flow takes: one that can carry it, if there is one.
fn path<B: Buf>(context: &Context<'_>, packet: &B, inner: &Inner, group: GroupId) -> Step<To> {
    let tables = &context.tables;
    let group = tables.groups.load(group.index()).ok_or(Drop::NoRoute)?;
    // The upper bits become the source port of the tunnel: these are other ones.
    let hash = flow::hash(inner.bytes(packet.data())?, inner.family()).rotate_left(32);
    let mut paths = group.paths(hash).map(|id| tables.nexthops.word(id).to());
    let first = paths.next().ok_or(Drop::NoRoute)?;
    Ok(std::iter::once(first).chain(paths).find(|path| carries(context, path)).unwrap_or(first))
}

fn carries(context: &Context<'_>, path: &To) -> bool {
    match *path {
        To::Tunnel(tunnel, _) => reachable(context, tunnel),
        To::Vif(vif) => context.tables.vifs.load(vif.index()).is_some_and(|vif| vif.up),
        To::Other => false,
    }
}

fn reachable(context: &Context<'_>, tunnel: TunnelId) -> bool {
    let tables = &context.tables;
    let tunnel = tables.tunnels.load(tunnel.index());
    let adjacency = tunnel.and_then(|tunnel| tunnel.adjacency);
    adjacency.is_some_and(|id| tables.adjacencies.load(id.index()).is_some())
}
