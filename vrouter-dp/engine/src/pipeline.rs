//! The whole path of a packet:
//!
//! `rx -> classify -> decap -> lookup -> policy -> rewrite -> encap -> tx`
//!
//! Each stage is one file in `stage/` with its exits named at the top. A stage either lets the packet go on or ends
//! its way with a [`Verdict`]; every packet gets exactly one, and drops are counted here, at the one exit.

use crate::buffer::Buf;
use crate::seam::{PortId, VrfId};
use crate::stage::{Context, Step, classify, decap, encap, lookup, policy, rewrite};
use crate::verdict::Verdict;
use crate::worker::WorkerState;

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
    verdicts.clear();
    let mut context = Context::new(worker, port);
    for packet in packets {
        context.vif = None;
        let verdict = forward(&mut context, packet);
        verdicts.push(exit(&context, verdict));
    }
}

/// Routes an IPv4 packet of our own (an echo reply, an ICMP error) in `vrf`: no source check, and its TTL stays.
///
/// The verdict is as from [`process`], but never a punt.
pub fn inject_routed<B: Buf>(worker: &mut WorkerState, vrf: VrfId, packet: &mut B) -> Verdict {
    let mut context = Context::new(worker, PortId(0));
    let verdict = originate(&mut context, vrf, packet);
    exit(&context, verdict)
}

fn forward<B: Buf>(context: &mut Context<'_>, packet: &mut B) -> Step<Verdict> {
    let arrival = classify::arrival(context, packet)?;
    let inner = decap::inner(context, packet, arrival)?;
    let found = lookup::find(context, &inner);
    policy::check(context, &inner)?;
    let hop = lookup::hop(context, &inner, found)?;
    rewrite::forward(context, packet, &inner, &hop)?;
    encap::send(context, packet, &inner, &hop)
}

fn originate<B: Buf>(context: &mut Context<'_>, vrf: VrfId, packet: &mut B) -> Step<Verdict> {
    let inner = decap::own(packet, vrf)?;
    let found = lookup::find(context, &inner);
    let hop = lookup::hop(context, &inner, found)?;
    rewrite::originate(context, packet, &inner, &hop)?;
    encap::send(context, packet, &inner, &hop)
}

/// The one exit.
#[inline]
fn exit(context: &Context<'_>, verdict: Step<Verdict>) -> Verdict {
    let verdict = verdict.unwrap_or_else(|early| early);
    if let Verdict::Drop { reason, .. } = verdict {
        context.counters.drop(reason, context.vif);
    }
    verdict
}

#[cfg(test)]
mod tests;
