//! UPDATE: routes that come and go, and the verdict on what is wrong with them (RFC 7606).

use super::attribute::{self, Block, PathAttributes, usable};
use super::nlri::{self, Nlri};
use super::notification::{self, Notification};
use super::reader::Reader;
use super::{DecodeContext, as_path::Segment};
use crate::types::{Esi, EvpnRoute, Family, FamilySet, LabelField, Route};

/// A decoded UPDATE. Withdrawals are to be applied first (RFC 4271 4.3: a route in both fields is
/// announced).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Routes that go. With a fault of [`Treatment::Withdraw`] the announced ones are here too.
    pub unreach: Vec<Unreach>,
    /// Routes that come.
    pub reach: Vec<Reach>,
    /// The family that this message marks as complete, and then nothing else (RFC 4724 2).
    pub end_of_rib: Option<Family>,
    /// Families that the session goes on without: their routes are withdrawn, later ones ignored.
    pub disabled: FamilySet,
    /// What was wrong and how it was treated; empty for a sound message.
    pub faults: Vec<Fault>,
}

/// Withdrawn routes of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreach {
    /// Family of all of them.
    pub family: Family,
    /// The routes.
    pub routes: Vec<Route>,
}

/// Announced routes that share a family and all attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Family of all of them.
    pub family: Family,
    /// What is common to them.
    pub attributes: PathAttributes,
    /// The routes, with labels in VPN families.
    pub routes: Vec<Nlri>,
}

/// An error that does not end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Type code of the attribute; 0 for the attribute field as a whole.
    pub attribute: u8,
    /// What was done about it.
    pub treatment: Treatment,
    /// What was wrong.
    pub what: &'static str,
}

/// The milder verdicts of RFC 7606 2; session reset is the error of
/// [`Message::decode`](super::Message::decode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// A route that cannot be used is passed over, or withdrawn if it can be named.
    Skip,
    /// The attribute is as if absent.
    Discard,
    /// All routes of the message are withdrawn.
    Withdraw,
    /// The family's routes are withdrawn, and its routes ignored until the session ends.
    Disable,
}

impl Update {
    pub(super) fn decode(body: &[u8], context: &DecodeContext) -> Result<Update, Notification> {
        // RFC 4271 6.3, RFC 7606 4: the two lengths must fit the message.
        let malformed = || Notification::new(notification::UPDATE, 1);
        let mut r = Reader::new(body);
        let length = r.u16().ok_or_else(malformed)?;
        let withdrawn = r.take(usize::from(length)).ok_or_else(malformed)?;
        let length = r.u16().ok_or_else(malformed)?;
        let field = r.take(usize::from(length)).ok_or_else(malformed)?;
        let withdrawn = plain_routes(withdrawn)?;
        let announced = plain_routes(r.rest())?;

        let empty = withdrawn.is_empty() && announced.is_empty();
        let mut block = Block::decode(field, context)?;
        if let Some(family) = end_of_rib(empty, &block, context) {
            return Ok(Update { end_of_rib: Some(family), ..Update::default() });
        }
        let carries_routes = !announced.is_empty() || block.seen(attribute::MP_REACH);
        if carries_routes {
            check_mandatory(!announced.is_empty(), &mut block, context);
        }
        let withdraw = block.faults.iter().any(|fault| fault.treatment == Treatment::Withdraw);
        if withdraw && !carries_routes {
            // RFC 7606 5.2: announced routes may hide in the damage.
            return Err(malformed());
        }
        Ok(assemble(withdrawn, announced, block, withdraw, context))
    }
}

/// The fields outside the attributes.
fn plain_routes(bytes: &[u8]) -> Result<Vec<Nlri>, Notification> {
    // RFC 4271 6.3, RFC 7606 5.3.
    let routes = nlri::decode(Family::Ipv4Unicast, bytes);
    routes.map(|routes| routes.all).map_err(|_| Notification::new(notification::UPDATE, 10))
}

/// RFC 4724 2: an empty UPDATE for IPv4 unicast, else one with an empty MP_UNREACH_NLRI alone.
fn end_of_rib(no_plain: bool, block: &Block, context: &DecodeContext) -> Option<Family> {
    if !no_plain {
        return None;
    }
    match (block.count, &block.unreach) {
        (0, _) if block.faults.is_empty() => {
            Some(Family::Ipv4Unicast).filter(|family| context.families.contains(*family))
        }
        (1, Some(unreach)) if unreach.empty => Some(unreach.family),
        _ => None,
    }
}

/// What an announcement must have (RFC 4271 6.3, RFC 7606 3 d). LOCAL_PREF is not demanded: a
/// missing one has an obvious default.
fn check_mandatory(plain: bool, block: &mut Block, context: &DecodeContext) {
    for (code, needed, what) in [
        (attribute::ORIGIN, true, "ORIGIN is missing"),
        (attribute::AS_PATH, true, "AS_PATH is missing"),
        (attribute::NEXT_HOP, plain, "NEXT_HOP is missing"),
    ] {
        if needed && !block.seen(code) {
            block.fault(code, Treatment::Withdraw, what);
        }
    }
    if plain && block.seen(attribute::NEXT_HOP) && !usable(block.attributes.next_hop) {
        block.fault(attribute::NEXT_HOP, Treatment::Withdraw, "next hop that no host can have");
    }
    // RFC 4271 6.3: the neighbour's own AS leads the path of what it sends.
    let first = block.attributes.as_path.segments.first();
    let leads =
        matches!(first, Some(Segment::Sequence(asns)) if asns.first() == Some(&context.peer_asn));
    if !context.internal && block.seen(attribute::AS_PATH) && !leads {
        block.fault(
            attribute::AS_PATH,
            Treatment::Withdraw,
            "AS path of an external peer does not start with its AS",
        );
    }
}

fn assemble(
    withdrawn: Vec<Nlri>,
    announced: Vec<Nlri>,
    block: Block,
    withdraw: bool,
    context: &DecodeContext,
) -> Update {
    let mut update = Update { faults: block.faults, disabled: block.disabled, ..Update::default() };
    let plain_family = Family::Ipv4Unicast;
    let negotiated = context.families.contains(plain_family);
    let plain = !withdrawn.is_empty() || !announced.is_empty();
    if plain && !negotiated {
        update.faults.push(Fault {
            attribute: 0,
            treatment: Treatment::Discard,
            what: "routes of a family that was not negotiated",
        });
    }
    let keys = |routes: Vec<Nlri>| routes.into_iter().map(|nlri| nlri.route).collect::<Vec<_>>();
    let mut unreach = |family, routes: Vec<Route>| {
        if !routes.is_empty() {
            update.unreach.push(Unreach { family, routes });
        }
    };
    if negotiated {
        unreach(plain_family, keys(withdrawn));
    }
    if let Some(mp) = block.unreach {
        unreach(mp.family, mp.routes.contradictory);
        unreach(mp.family, keys(mp.routes.all));
    }
    let mut attributes = block.attributes;
    let announced = if negotiated { announced } else { Vec::new() };
    if let Some(mut mp) = block.reach {
        unreach(mp.family, mp.routes.contradictory);
        if mp.family == Family::Evpn {
            unreach(mp.family, nowhere(&mut mp.routes.all, &attributes));
        }
        if withdraw {
            unreach(mp.family, keys(mp.routes.all));
        } else if let (Some(next_hop), false) = (mp.next_hop, mp.routes.all.is_empty()) {
            // A copy only where plain routes share the attributes.
            let attributes = if announced.is_empty() {
                PathAttributes { next_hop, ..std::mem::take(&mut attributes) }
            } else {
                PathAttributes { next_hop, ..attributes.clone() }
            };
            update.reach.push(Reach { family: mp.family, attributes, routes: mp.routes.all });
        }
    }
    if !announced.is_empty() {
        if withdraw {
            unreach(plain_family, keys(announced));
        } else {
            update.reach.push(Reach { family: plain_family, attributes, routes: announced });
        }
    }
    update
}

/// Takes out EVPN prefixes that lead nowhere: without segment, gateway, router's MAC and label
/// they are to be withdrawn (RFC 9136 3.2).
fn nowhere(routes: &mut Vec<Nlri>, attributes: &PathAttributes) -> Vec<Route> {
    if attributes.ext_communities.iter().any(|c| c.as_router_mac().is_some()) {
        return Vec::new();
    }
    let nowhere = |nlri: &mut Nlri| {
        let binding = nlri.binding.evpn().is_some_and(|b| {
            b.esi == Esi::ZERO && b.gateway.is_none() && b.label == LabelField::default()
        });
        matches!(nlri.route, Route::Evpn(_, EvpnRoute::Prefix { .. })) && binding
    };
    routes.extract_if(.., nowhere).map(|nlri| nlri.route).collect()
}
