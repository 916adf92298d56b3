//! The whole path of a packet:
//!
//! `rx -> classify -> decap -> policy -> lookup -> rewrite -> encap -> tx`
//!
//! Each stage is one file in `stage/` with its exits named at the top. A stage either lets the packet go on or ends its way;
//! every packet gets exactly one [`Verdict`], and drops are counted here, at the one exit.
//!
//! A burst goes through in passes ([`Pass`]), so that the lookups of its packets overlap. The frame stays as it came until
//! rewrite: the stages before it only say where in it the packet begins.

mod pass;
mod probe;

pub use probe::{Pass, Probe};

use crate::buffer::Buf;
use crate::drops::Drop;
use crate::seam::{PortId, VifId, VrfId};
use crate::stage::classify::Link;
use crate::stage::encap::{OVER_GRE, OVER_UDP, TO_INSTANCE};
use crate::stage::lookup::Hop;
use crate::stage::{Arrived, Burst, Context, Inner, Step, classify, decap, encap, lookup, rewrite};
use crate::table::Vif;
use crate::table::nexthop::Word;
use crate::verdict::{Exit, Exits, Verdict};
use crate::worker::WorkerState;

/// Packets that go through the passes together; more are taken in pieces.
pub const BATCH: usize = 64;

/// What stands for a packet until its way ends.
const UNDECIDED: Verdict = Verdict::Drop { reason: Drop::Malformed, notify: None };

/// Sends `packets`, received on `port`, through the pipeline.
///
/// `verdicts` gets one verdict for each packet, in order; with room for them it does not allocate. The caller does
/// what each verdict says and counts it; drops are counted already. What they say all together is returned.
#[inline]
pub fn process<B: Buf>(
    worker: &mut WorkerState,
    port: PortId,
    packets: &mut [B],
    verdicts: &mut Vec<Verdict>,
) -> Exits {
    process_probed(worker, port, packets, verdicts, &mut ())
}

/// As [`process`]; tells `probe` when each pass over [`BATCH`] packets ends.
#[inline]
pub fn process_probed<B: Buf>(
    worker: &mut WorkerState,
    port: PortId,
    packets: &mut [B],
    verdicts: &mut Vec<Verdict>,
    probe: &mut impl Probe,
) -> Exits {
    // What is there already is written over: every packet gets its verdict below.
    verdicts.resize(packets.len(), UNDECIDED);
    let (mut context, burst) = Context::new(worker, port);
    let (context, mut exits) = (&mut context, Exits::NONE);
    for (packets, verdicts) in packets.chunks_mut(BATCH).zip(verdicts.chunks_mut(BATCH)) {
        pass::arrive(context, burst, packets, verdicts);
        probe.pass(Pass::Arrive);
        lookup::routes(context, burst);
        probe.pass(Pass::Lookup);
        lookup::ahead(context, burst);
        probe.pass(Pass::Nexthop);
        pass::depart(context, burst, packets, verdicts, &mut exits);
        probe.pass(Pass::Depart);
    }
    exits
}

/// Routes an IPv4 packet of our own (an echo reply, an ICMP error) in `vrf`: no source check, and its TTL stays.
///
/// The verdict is as from [`process`], but never a punt.
pub fn inject_routed<B: Buf>(worker: &mut WorkerState, vrf: VrfId, packet: &mut B) -> Verdict {
    let (mut context, _) = Context::new(worker, PortId(0));
    let (mut verdict, mut all) = (UNDECIDED, Exits::NONE);
    let sent = decap::own(packet.data(), vrf).and_then(|inner| {
        let found = lookup::one(&context, packet, &inner)?;
        let exit = Exit { verdict: &mut verdict, all: &mut all };
        send::<B, true>(&mut context, packet, &inner, found, exit)
    });
    match sent {
        Ok(()) => verdict,
        Err(end) => context.end(end, packet),
    }
}

/// A frame from an instance, its tag in it or taken out by the NIC.
#[inline(always)]
fn from_instance(context: &mut Context<'_>, burst: &mut Burst, arrived: Arrived<'_>) -> Step<()> {
    match arrived.stripped {
        None => behind::<{ Link::TAGGED }>(context, burst, arrived),
        Some(_) => behind::<{ Link::BARE }>(context, burst, arrived),
    }
}

/// With `HEADER` bytes in front of the packet.
#[inline(always)]
fn behind<const HEADER: usize>(
    context: &mut Context<'_>,
    burst: &mut Burst,
    arrived: Arrived<'_>,
) -> Step<()> {
    match classify::ordinary::<HEADER>(context, arrived) {
        Some(from) => decap::bare(context, burst, arrived, HEADER, from),
        None => unusual(context, burst, arrived.place, arrived.frame, arrived.stripped),
    }
}

/// Not as nearly all frames are: most end here. Its arguments go by registers, which a whole [`Arrived`] would not.
#[cold]
#[inline(never)]
fn unusual(
    context: &mut Context<'_>,
    burst: &mut Burst,
    place: usize,
    frame: &[u8],
    stripped: Option<u16>,
) -> Step<()> {
    let arrived = Arrived { place, frame, stripped };
    let (start, from) = classify::from_instance(context, arrived)?;
    decap::bare(context, burst, arrived, start, from)
}

/// A frame from the underlay.
#[inline(always)]
fn from_underlay(context: &mut Context<'_>, burst: &mut Burst, arrived: Arrived<'_>) -> Step<()> {
    let start = classify::from_underlay(context, arrived)?;
    decap::tunnel(context, burst, arrived, start)
}

/// To where the next hop leads, by `exit`; `OWN` for a packet of our own.
#[inline(always)]
fn send<B: Buf, const OWN: bool>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner,
    found: Word,
    exit: Exit<'_>,
) -> Step<()> {
    let take = |sent| exit.take(sent);
    match lookup::hop(context, packet, inner, found)? {
        Hop::Vif(id, vif) => deliver::<B, OWN>(context, packet, inner, id, vif)
            .map(take)
            .map_err(|end| context.at(inner.vif().or(Some(id)), end)),
        Hop::Udp(way) => {
            let (head, bytes) = encap::frame::<B, OVER_UDP>(packet, inner)?;
            match rewrite::hop::<OWN>(context, bytes, inner, way.mtu()) {
                Ok((ttl, flow)) => encap::over_udp(context, head, inner, &way, ttl, flow).map(take),
                Err(end) => Err(encap::back(packet, inner, OVER_UDP, end)),
            }
        }
        Hop::Gre(way) => {
            let (head, bytes) = encap::frame::<B, OVER_GRE>(packet, inner)?;
            match rewrite::hop::<OWN>(context, bytes, inner, way.mtu()) {
                Ok((ttl, _)) => encap::over_gre(context, head, inner, &way, ttl).map(take),
                Err(end) => Err(encap::back(packet, inner, OVER_GRE, end)),
            }
        }
    }
}

/// To an instance of this node.
#[inline(always)]
fn deliver<B: Buf, const OWN: bool>(
    context: &mut Context<'_>,
    packet: &mut B,
    inner: &Inner,
    id: VifId,
    vif: &Vif,
) -> Step<Verdict> {
    let (head, bytes) = encap::frame::<B, TO_INSTANCE>(packet, inner)?;
    match rewrite::hop::<OWN>(context, bytes, inner, vif.mtu.into()) {
        Ok(_) => encap::to_instance(context, head, inner, id, vif),
        Err(end) => Err(encap::back(packet, inner, TO_INSTANCE, end)),
    }
}

#[cfg(test)]
mod tests;
