//! The loops over a burst: what is done for each packet stands in `pipeline.rs`.

use super::{from_instance, from_underlay, send};
use crate::buffer::Buf;
use crate::fault;
use crate::stage::classify;
use crate::stage::{Arrived, Burst, Context, End};
use crate::table::PortRole;
use crate::verdict::{Exit, Exits, Verdict};

/// What arrived, whose it is, and whether it may be sent. One loop for each kind of port: what the port decides is decided once.
#[inline(always)]
pub(super) fn arrive<B: Buf>(
    context: &mut Context<'_>,
    burst: &mut Burst,
    packets: &mut [B],
    verdicts: &mut [Verdict],
) {
    burst.begin(packets.len());
    match classify::role(context) {
        Some(PortRole::Gateway) => {
            if burst.scattered {
                classify::ahead(context, packets);
            }
            each::<B, true>(context, burst, packets, verdicts);
        }
        Some(PortRole::Fabric) => each::<B, false>(context, burst, packets, verdicts),
        None => {
            for (place, (packet, verdict)) in packets.iter_mut().zip(verdicts).enumerate() {
                *verdict = ended(context, burst, packet, place, classify::CLOSED);
            }
        }
    }
    burst.arrived();
}

#[inline(always)]
fn each<B: Buf, const GATEWAY: bool>(
    context: &mut Context<'_>,
    burst: &mut Burst,
    packets: &mut [B],
    verdicts: &mut [Verdict],
) {
    for (place, (packet, verdict)) in packets.iter_mut().zip(verdicts).enumerate() {
        fault::dawdle();
        let tag = classify::tag(packet);
        let arrived = Arrived { place, frame: packet.data(), stripped: tag };
        let step = if GATEWAY {
            from_instance(context, burst, arrived)
        } else {
            from_underlay(context, burst, arrived)
        };
        if let Err(end) = step {
            *verdict = ended(context, burst, packet, place, end);
        }
    }
}

/// The exit of a packet that arrived and goes no further.
#[cold]
#[inline(never)]
fn ended<B: Buf>(
    context: &mut Context<'_>,
    burst: &mut Burst,
    packet: &mut B,
    place: usize,
    end: End,
) -> Verdict {
    burst.ended |= 1 << place;
    context.end(end, packet)
}

/// The frames that leave.
#[inline(always)]
pub(super) fn depart<B: Buf>(
    context: &mut Context<'_>,
    burst: &Burst,
    packets: &mut [B],
    verdicts: &mut [Verdict],
    exits: &mut Exits,
) {
    let (mut all, over) = (*exits, burst.ended);
    let found = burst.inners.iter().zip(&burst.found).enumerate();
    for ((packet, verdict), (place, (inner, found))) in packets.iter_mut().zip(verdicts).zip(found)
    {
        if over >> place & 1 == 1 {
            all.add(verdict);
            continue;
        }
        let found = context.tables.nexthops.word(*found);
        let exit = Exit { verdict, all: &mut all };
        if let Err(end) = send::<B, false>(context, packet, inner, found, exit) {
            let end = context.at(inner.vif(), end);
            *verdict = context.end(end, packet);
            all.add(verdict);
        }
    }
    *exits = all;
}
