//! UPDATE messages from routes: strict, because some peers end the session over a trifle.
//!
//! MP_REACH_NLRI first, then attributes by type code, each once, with the flags of its class;
//! communities sorted; as many routes in a message as fit.

use std::net::{IpAddr, Ipv4Addr};

use super::as_path::AsPath;
use super::attribute::{
    AGGREGATOR, AS_PATH, AS4_AGGREGATOR, AS4_PATH, ATOMIC_AGGREGATE, CLUSTER_LIST, COMMUNITIES,
    EXT_COMMUNITIES, EXTENDED, LARGE_COMMUNITIES, LOCAL_PREF, MED, MP_REACH, MP_UNREACH, NEXT_HOP,
    ORIGIN, ORIGINATOR_ID, PARTIAL, PMSI_TUNNEL, PathAttributes, TUNNEL_ENCAPSULATION, class,
};
use super::nlri::{self, Nlri};
use super::{MAX_MESSAGE, UPDATE};
use crate::types::{Asn, Family, Route};

/// How the peer wants its UPDATEs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeContext {
    /// AS numbers of four octets; without, AS4_PATH tells what does not fit.
    pub four_octet_as: bool,
}

/// The attributes leave no room for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// More than a message holds.
    #[error("the attributes of the route do not fit an UPDATE message")]
    TooLong,
}

/// Appends the UPDATEs that announce `routes`, all with these attributes.
///
/// # Errors
/// See [`EncodeError`]; nothing is appended then.
pub fn encode_reach(
    family: Family,
    attributes: &PathAttributes,
    routes: &[Nlri],
    context: EncodeContext,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut common = Vec::with_capacity(256);
    let mp_head = match (family, attributes.next_hop) {
        (Family::Ipv4Unicast, IpAddr::V4(next_hop)) => {
            put_attributes(attributes, Some(next_hop), context, &mut common);
            Vec::new()
        }
        (_, next_hop) => {
            put_attributes(attributes, None, context, &mut common);
            let mut head = afi_safi(family);
            put_next_hop(family, next_hop, &mut head);
            head.push(0);
            head
        }
    };
    // Header, two length fields, and for MP_REACH_NLRI its own header with a wide length.
    let mp_overhead = if mp_head.is_empty() { 0 } else { 4 + mp_head.len() };
    let fixed = super::HEADER + 4 + mp_overhead + common.len();
    let room = MAX_MESSAGE.checked_sub(fixed).filter(|room| *room >= nlri::LONGEST);
    let room = room.ok_or(EncodeError::TooLong)?;
    for_each_batch(routes, room, |batch| {
        let at = super::begin(UPDATE, out);
        out.extend_from_slice(&[0, 0]);
        let field = out.len();
        out.extend_from_slice(&[0, 0]);
        if mp_head.is_empty() {
            out.extend_from_slice(&common);
            patch_length(field, out);
            out.extend_from_slice(batch);
        } else {
            let length = ((mp_head.len() + batch.len()) as u16).to_be_bytes();
            out.extend_from_slice(&[wide(MP_REACH), MP_REACH, length[0], length[1]]);
            out.extend_from_slice(&mp_head);
            out.extend_from_slice(batch);
            out.extend_from_slice(&common);
            patch_length(field, out);
        }
        super::finish(at, out);
    });
    Ok(())
}

/// Appends the UPDATEs that withdraw `routes`.
pub fn encode_unreach(family: Family, routes: &[Route], out: &mut Vec<u8>) {
    let head = afi_safi(family);
    let plain = family == Family::Ipv4Unicast;
    let room = MAX_MESSAGE - super::HEADER - 4 - if plain { 0 } else { 4 + head.len() };
    let routes: Vec<Nlri> = routes.iter().copied().map(Nlri::plain).collect();
    for_each_batch(&routes, room, |batch| {
        let at = super::begin(UPDATE, out);
        if plain {
            out.extend_from_slice(&(batch.len() as u16).to_be_bytes());
            out.extend_from_slice(batch);
            out.extend_from_slice(&[0, 0]);
        } else {
            out.extend_from_slice(&[0, 0]);
            let field = out.len();
            out.extend_from_slice(&[0, 0]);
            let length = ((head.len() + batch.len()) as u16).to_be_bytes();
            out.extend_from_slice(&[wide(MP_UNREACH), MP_UNREACH, length[0], length[1]]);
            out.extend_from_slice(&head);
            out.extend_from_slice(batch);
            patch_length(field, out);
        }
        super::finish(at, out);
    });
}

/// Appends the End-of-RIB marker of a family (RFC 4724 2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let at = super::begin(UPDATE, out);
    out.extend_from_slice(&[0, 0]);
    if family == Family::Ipv4Unicast {
        out.extend_from_slice(&[0, 0]);
    } else {
        out.extend_from_slice(&[0, 6, class(MP_UNREACH).unwrap_or_default(), MP_UNREACH, 3]);
        out.extend_from_slice(&afi_safi(family));
    }
    super::finish(at, out);
}

/// Encodes routes into pieces of at most `room` octets.
fn for_each_batch(routes: &[Nlri], room: usize, mut emit: impl FnMut(&[u8])) {
    let mut batch = Vec::with_capacity(room);
    for route in routes {
        let before = batch.len();
        nlri::encode(route, &mut batch);
        if batch.len() > room {
            emit(batch.get(..before).unwrap_or_default());
            batch.drain(..before);
        }
    }
    if !batch.is_empty() {
        emit(&batch);
    }
}

/// Everything except the multiprotocol attributes, by type code.
fn put_attributes(
    a: &PathAttributes,
    next_hop: Option<Ipv4Addr>,
    context: EncodeContext,
    out: &mut Vec<u8>,
) {
    let four = context.four_octet_as;
    put(ORIGIN, &[a.origin as u8], out);
    put(AS_PATH, &path(&a.as_path, four), out);
    if let Some(next_hop) = next_hop {
        put(NEXT_HOP, &next_hop.octets(), out);
    }
    if let Some(med) = a.med {
        put(MED, &med.to_be_bytes(), out);
    }
    if let Some(local_pref) = a.local_pref {
        put(LOCAL_PREF, &local_pref.to_be_bytes(), out);
    }
    if a.atomic_aggregate {
        put(ATOMIC_AGGREGATE, &[], out);
    }
    if let Some(aggregator) = a.aggregator {
        let mut value = if four {
            aggregator.asn.0.to_be_bytes().to_vec()
        } else {
            aggregator.asn.two_octets().to_be_bytes().to_vec()
        };
        value.extend_from_slice(&aggregator.router_id.octets());
        put(AGGREGATOR, &value, out);
    }
    put_set(COMMUNITIES, &a.communities, |c| c.0.to_be_bytes(), out);
    if let Some(originator) = a.originator_id {
        put(ORIGINATOR_ID, &originator.octets(), out);
    }
    if !a.cluster_list.is_empty() {
        let ids: Vec<u8> = a.cluster_list.iter().flat_map(|id| id.octets()).collect();
        put(CLUSTER_LIST, &ids, out);
    }
    put_set(EXT_COMMUNITIES, &a.ext_communities, |c| c.0, out);
    // RFC 6793 4.2.2: what two octets could not say.
    if !four && a.as_path.needs_four_octets() {
        put(AS4_PATH, &path(&a.as_path, true), out);
    }
    if let Some(aggregator) = a.aggregator.filter(|g| !four && g.asn.0 > 0xffff) {
        let mut value = aggregator.asn.0.to_be_bytes().to_vec();
        value.extend_from_slice(&aggregator.router_id.octets());
        put(AS4_AGGREGATOR, &value, out);
    }
    let mut unknown = a.unknown.iter().peekable();
    // RFC 4271 5: whoever passes on what it does not know marks it as partial.
    let mut pass_below = |code: u16, out: &mut Vec<u8>| {
        while let Some(u) = unknown.next_if(|u| u16::from(u.code) < code) {
            put_raw(u.flags | PARTIAL, u.code, &u.value, out);
        }
    };
    pass_below(PMSI_TUNNEL.into(), out);
    if let Some(pmsi) = &a.pmsi {
        put(PMSI_TUNNEL, &pmsi.encode(), out);
    }
    if let Some(tunnels) = &a.tunnels {
        put(TUNNEL_ENCAPSULATION, tunnels.octets(), out);
    }
    pass_below(LARGE_COMMUNITIES.into(), out);
    put_set(LARGE_COMMUNITIES, &a.large_communities, large_octets, out);
    pass_below(256, out);
}

/// A set of communities: sorted, without duplicates, absent when empty.
fn put_set<T: Copy + Ord, const N: usize>(
    code: u8,
    set: &[T],
    octets: impl Fn(T) -> [u8; N],
    out: &mut Vec<u8>,
) {
    if set.is_empty() {
        return;
    }
    let mut set = set.to_vec();
    set.sort_unstable();
    set.dedup();
    let value: Vec<u8> = set.into_iter().flat_map(octets).collect();
    put(code, &value, out);
}

fn large_octets(c: crate::types::LargeCommunity) -> [u8; 12] {
    let mut octets = [0; 12];
    for (field, word) in
        octets.as_chunks_mut::<4>().0.iter_mut().zip([c.administrator, c.data[0], c.data[1]])
    {
        *field = word.to_be_bytes();
    }
    octets
}

fn put(code: u8, value: &[u8], out: &mut Vec<u8>) {
    put_raw(class(code).unwrap_or_default(), code, value, out);
}

/// A value above 65535 octets is cut; [`encode_reach`] has refused it long before it is sent.
fn put_raw(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(value.len()) {
        Ok(length) => out.extend_from_slice(&[flags & !EXTENDED, code, length]),
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
            out.extend_from_slice(&[flags | EXTENDED, code, high, low]);
        }
    }
    out.extend_from_slice(value);
}

fn path(path: &AsPath, four_octets: bool) -> Vec<u8> {
    let mut value = Vec::new();
    path.encode(four_octets, &mut value);
    value
}

fn wide(code: u8) -> u8 {
    class(code).unwrap_or_default() | EXTENDED
}

/// Length and next hop of MP_REACH_NLRI.
fn put_next_hop(family: Family, next_hop: IpAddr, out: &mut Vec<u8>) {
    let distinguisher: &[u8] = if family.has_distinguished_next_hop() { &[0; 8] } else { &[] };
    let (v4, v6);
    let address: &[u8] = match (family.afi_safi().0, next_hop) {
        // RFC 4659 3.2.1.2: IPv6 routes through an IPv4 underlay.
        (2, IpAddr::V4(address)) => {
            v6 = address.to_ipv6_mapped().octets();
            &v6
        }
        (_, IpAddr::V4(address)) => {
            v4 = address.octets();
            &v4
        }
        (_, IpAddr::V6(address)) => {
            v6 = address.octets();
            &v6
        }
    };
    out.push((distinguisher.len() + address.len()) as u8);
    out.extend_from_slice(distinguisher);
    out.extend_from_slice(address);
}

fn afi_safi(family: Family) -> Vec<u8> {
    let (afi, safi) = family.afi_safi();
    let [high, low] = afi.to_be_bytes();
    vec![high, low, safi]
}

/// Fills in the length of what follows the two octets at `field`.
fn patch_length(field: usize, out: &mut [u8]) {
    let length = (out.len() - field - 2) as u16;
    if let Some(octets) = out.get_mut(field..field + 2) {
        octets.copy_from_slice(&length.to_be_bytes());
    }
}

/// Prepares a path for an external peer (RFC 4271 5.1.2, 5.1.5): own AS in front, nothing that is
/// of this AS only.
pub fn export_external(attributes: &PathAttributes, own: Asn) -> PathAttributes {
    let mut a = attributes.clone();
    a.as_path.prepend(own);
    a.local_pref = None;
    a.originator_id = None;
    a.cluster_list = Vec::new();
    a.ext_communities.retain(|community| community.is_transitive());
    a
}
