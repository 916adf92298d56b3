//! The whole path of a packet:
//!
//! `rx -> classify -> decap -> lookup -> policy -> rewrite -> encap -> tx`
//!
//! Each stage is one file in `stage/` with its exits named at the top. A stage either lets the packet go on or ends its way;
//! every packet gets exactly one [`Verdict`], and drops are counted here, at the one exit.
//!
//! The frame stays as it came until encap: the stages before it only say where in it the packet begins.

use crate::buffer::Buf;
use crate::fault;
use crate::seam::{PortId, VrfId};
use crate::stage::lookup::Hop;
use crate::stage::{Context, Inner, Sent, Step, classify, decap, encap, lookup, policy, rewrite};
use crate::table::PortRole;
use crate::verdict::Verdict;
use crate::worker::WorkerState;

mod probe;

pub use probe::{Pass, Probe};

/// Packets that a worker hands in at once.
pub const BATCH: usize = 64;

/// Sends `packets`, received on `port`, through the pipeline.
///
/// `verdicts` is emptied and gets one verdict for each packet, in order; with room for [`BATCH`] it does not allocate. The
/// caller does what each verdict says and counts it; drops are counted already.
#[inline]
pub fn process<B: Buf>(
    worker: &mut WorkerState,
    port: PortId,
    packets: &mut [B],
    verdicts: &mut Vec<Verdict>,
) {
    process_probed(worker, port, packets, verdicts, &mut ());
}

/// As [`process`]; tells `probe` when each pass over the burst ends.
#[inline]
pub fn process_probed<B: Buf>(
    worker: &mut WorkerState,
    port: PortId,
    packets: &mut [B],
    verdicts: &mut Vec<Verdict>,
    probe: &mut impl Probe,
) {
    verdicts.clear();
    verdicts.reserve(packets.len());
    let context = &mut Context::new(worker, port);
    // One loop for each kind of port: what the port decides is decided once.
    match classify::role(context) {
        Some(PortRole::Gateway) => packets.iter_mut().for_each(|packet| {
            let sent = from_instance(context, packet);
            exit(context, packet, sent, verdicts);
        }),
        Some(PortRole::Fabric) => packets.iter_mut().for_each(|packet| {
            let sent = from_underlay(context, packet);
            exit(context, packet, sent, verdicts);
        }),
        None => packets
            .iter_mut()
            .for_each(|packet| exit(context, packet, classify::closed(), verdicts)),
    }
    context.settle();
    probe.pass(Pass::Forward);
}

/// Routes an IPv4 packet of our own (an echo reply, an ICMP error) in `vrf`: no source check, and its TTL stays.
///
/// The verdict is as from [`process`], but never a punt.
pub fn inject_routed<B: Buf>(worker: &mut WorkerState, vrf: VrfId, packet: &mut B) -> Verdict {
    let context = &mut Context::new(worker, PortId(0));
    match originate(context, vrf, packet) {
        Ok(Sent { port, vif }) => Verdict::Tx { port, vif },
        Err(end) => context.end(end, packet),
    }
}

#[inline(always)]
fn from_instance<B: Buf>(context: &mut Context<'_>, packet: &mut B) -> Step<Sent> {
    let tag = classify::tag(packet);
    let frame = packet.data();
    let arrival = classify::from_instance(context, frame, tag)?;
    let inner = decap::bare(frame, arrival)?;
    forward(context, packet, inner)
}

#[inline(always)]
fn from_underlay<B: Buf>(context: &mut Context<'_>, packet: &mut B) -> Step<Sent> {
    let tag = classify::tag(packet);
    let frame = packet.data();
    let start = classify::from_underlay(context, frame, tag)?;
    let inner = decap::tunnel(context, frame, start)?;
    forward(context, packet, inner)
}

#[inline(always)]
fn forward<B: Buf>(context: &mut Context<'_>, packet: &mut B, mut inner: Inner<'_>) -> Step<Sent> {
    fault::dawdle();
    let found = lookup::find(context, &inner);
    policy::check(context, &inner)?;
    match lookup::hop(context, &inner, found)? {
        Hop::Vif(id, vif) => {
            rewrite::forward(context, &mut inner, vif.mtu)?;
            encap::to_instance(context, packet, &inner, id, vif)
        }
        Hop::Tunnel(way) => {
            rewrite::forward(context, &mut inner, way.mtu())?;
            encap::to_tunnel(context, packet, &inner, &way)
        }
    }
}

fn originate<B: Buf>(context: &mut Context<'_>, vrf: VrfId, packet: &mut B) -> Step<Sent> {
    let inner = decap::own(packet.data(), vrf)?;
    let found = lookup::find(context, &inner);
    match lookup::hop(context, &inner, found)? {
        Hop::Vif(id, vif) => {
            rewrite::originate(context, &inner, vif.mtu)?;
            encap::to_instance(context, packet, &inner, id, vif)
        }
        Hop::Tunnel(way) => {
            rewrite::originate(context, &inner, way.mtu())?;
            encap::to_tunnel(context, packet, &inner, &way)
        }
    }
}

/// The one exit.
#[inline(always)]
fn exit<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    sent: Step<Sent>,
    verdicts: &mut Vec<Verdict>,
) {
    match sent {
        Ok(Sent { port, vif }) => verdicts.push(Verdict::Tx { port, vif }),
        Err(end) => verdicts.push(context.end(end, packet)),
    }
}

#[cfg(test)]
mod tests;
