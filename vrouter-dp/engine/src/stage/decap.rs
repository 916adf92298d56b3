//! decap: from what arrived to the packet that is to be routed, and the VRF to route it in.
//!
//! Exits: drop `malformed inner-checksum martian multicast` for a packet from an instance; for one from the fabric also
//! `outer-checksum not-local outer-fragment unsupported-protocol tunnel-source invalid-label-stack invalid-label label-ttl`;
//! punt `local` for ICMP and `bfd` for BFD to the node itself.
//!
//! Tunnels: MPLS in UDP to port 6635 or 51234 (RFC 7510; a UDP checksum that is there must be right), MPLS in GRE (RFC 4023;
//! checksum and key fields accepted). The outer source must be the end of a tunnel or lie in the accepted prefixes. What is behind
//! the label is IPv4 or IPv6 by its first four bits.

use wire::bfd;
use wire::eth;
use wire::gre::Gre;
use wire::ipv4::{self, Fields, Ipv4};
use wire::ipv6;
use wire::mpls::Mpls;
use wire::udp::{self, Udp};
use wire::{Malformed, icmp};

use super::{
    Arrived, Burst, Context, End, Family, Inner, Place, Step, classify, is_multicast, policy,
    unicast_v4,
};
use crate::drops::{Drop, Punt};
use crate::pipeline::BATCH;
use crate::seam::{LabelTarget, VifId, VrfId};
use crate::table::{Key4, Key6, Vif};

/// A packet from an instance, that begins at `start`: there is nothing around it. Policy looks at its source as soon as it is known.
#[inline(always)]
pub(crate) fn bare(
    context: &mut Context<'_>,
    burst: &mut Burst,
    arrived: Arrived<'_>,
    start: usize,
    (family, id, vif): classify::From<'_>,
) -> Step<()> {
    let (place, bytes) = (arrived.place, arrived.frame.get(start..).ok_or(Drop::Malformed)?);
    match family {
        Family::V4 => {
            let inner = Inner::from_instance(id, vif.vrf);
            let check = |source| policy::check_v4(context, id, vif, source);
            v4(burst, place, bytes, start, inner, check).map_err(|end| context.at(Some(id), end))
        }
        Family::V6 => bare_v6(context, burst, place, bytes, start, (id, vif)),
    }
}

#[inline(never)]
fn bare_v6(
    context: &mut Context<'_>,
    burst: &mut Burst,
    place: usize,
    bytes: &[u8],
    start: usize,
    (id, vif): (VifId, &Vif),
) -> Step<()> {
    let inner = Inner::from_instance(id, vif.vrf);
    let check = |source| policy::check_v6(context, id, vif, source);
    v6(burst, place, bytes, start, inner, check).map_err(|end| context.at(Some(id), end))
}

/// A packet that the service thread made: it is trusted to know its addresses.
pub(crate) fn own(packet: &[u8], vrf: VrfId) -> Step<Inner> {
    let length = super::ipv4(packet, Drop::InnerChecksum)?.total_len;
    Ok(Inner::own(vrf).at(0, length, Family::V4))
}

/// A packet from the underlay that begins at `start`: out of its tunnel.
#[inline(always)]
pub(crate) fn tunnel(
    context: &mut Context<'_>,
    burst: &mut Burst,
    arrived: Arrived<'_>,
    start: usize,
) -> Step<()> {
    let (place, packet) = (arrived.place, arrived.frame.get(start..).ok_or(Drop::Malformed)?);
    if is_plain::<OVER_UDP>(packet) {
        return plain::<OVER_UDP>(context, burst, place, packet, start);
    }
    if is_plain::<OVER_GRE>(packet) {
        return plain::<OVER_GRE>(context, burst, place, packet, start);
    }
    general(context, burst, place, packet, start)
}

/// Bytes in front of the label, in nearly every packet: IPv4 without options, and UDP or GRE.
const OVER_UDP: usize = Ipv4::LEN + Udp::LEN;
const OVER_GRE: usize = Ipv4::LEN + Gre::LEN;

/// Whether `STACK` bytes of the most usual form are in front of the label, and room for IPv4 behind it: whole, and over UDP to the
/// assigned port without checksum, or over GRE without options. All of it but the lengths at a glance.
#[inline(always)]
fn is_plain<const STACK: usize>(packet: &[u8]) -> bool {
    // UDP is the longer one.
    let Some(head) = packet.first_chunk::<{ OVER_GRE + Mpls::LEN + Ipv4::LEN }>() else {
        return false;
    };
    let [first, _, _, _, _, _, flags, offset, _, protocol, ..] = *head;
    if first != 0x45 || flags & 0x3f | offset != 0 {
        return false;
    }
    let middle = &head[Ipv4::LEN..];
    match STACK {
        OVER_UDP => {
            protocol == ipv4::UDP
                && middle[2..4] == udp::MPLS.to_be_bytes()
                && middle[6..8] == [0, 0]
                && packet.len() >= OVER_UDP + Mpls::LEN + Ipv4::LEN
                && usize::from(u16::from_be_bytes([middle[4], middle[5]])) + Ipv4::LEN
                    == usize::from(u16::from_be_bytes([head[2], head[3]]))
        }
        _ => protocol == ipv4::GRE && middle[..Gre::LEN] == [0, 0, 0x88, 0x47],
    }
}

#[inline(always)]
fn plain<const STACK: usize>(
    context: &mut Context<'_>,
    burst: &mut Burst,
    place: usize,
    packet: &[u8],
    start: usize,
) -> Step<()> {
    let outer = super::ipv4(packet, Drop::OuterChecksum)?;
    admit(context, &outer)?;
    let stack = packet.get(STACK..usize::from(outer.total_len)).ok_or(Drop::Malformed)?;
    label(context, burst, place, stack, start + STACK)
}

/// Any form: with options, fragments, other protocols and ports, checksums.
#[inline(never)]
fn general(
    context: &mut Context<'_>,
    burst: &mut Burst,
    place: usize,
    packet: &[u8],
    start: usize,
) -> Step<()> {
    let outer = super::ipv4(packet, Drop::OuterChecksum)?;
    local(context, outer.destination)?;
    if outer.is_fragment() {
        return Err(Drop::OuterFragment.into());
    }
    let header = usize::from(outer.header_len);
    let payload = packet.get(header..usize::from(outer.total_len)).ok_or(Drop::Malformed)?;
    let (between, stack) = match outer.protocol {
        ipv4::UDP if is_bfd(payload) => {
            return Err(context.punt(Punt::Bfd, ours(start, &outer)));
        }
        ipv4::UDP => (Udp::LEN, in_udp(&outer, payload)?),
        ipv4::GRE => {
            let stack = in_gre(payload)?;
            (payload.len() - stack.len(), stack)
        }
        ipv4::ICMP => return Err(context.punt(Punt::Local, ours(start, &outer))),
        _ => return Err(Drop::UnsupportedProtocol.into()),
    };
    admit(context, &outer)?;
    label(context, burst, place, stack, start + header + between)
}

/// The place of a packet to the node itself.
fn ours(start: usize, outer: &Fields) -> Place {
    let (start, length, vrf) = (start as u16, outer.total_len, VrfId::MASTER);
    Place { start, length, vrf, vif: None, tunnelled: false }
}

fn is_bfd(datagram: &[u8]) -> bool {
    Udp::parse(datagram)
        .is_ok_and(|(udp, _)| matches!(udp.destination(), bfd::SINGLE_HOP | bfd::MULTIHOP))
}

fn local(context: &Context<'_>, destination: u32) -> Step<()> {
    if context.tables.owns(destination) {
        return Ok(());
    }
    let group = is_multicast(destination);
    Err(if group { Drop::Multicast } else { Drop::NotLocal }.into())
}

/// Lets tunnel packets through that are for us and from somebody who may send them.
#[inline(always)]
fn admit(context: &mut Context<'_>, outer: &Fields) -> Step<()> {
    let ends = u64::from(outer.source) << 32 | u64::from(outer.destination);
    if context.admitted.has(ends) {
        return Ok(());
    }
    admit_others(context, ends)
}

#[inline(never)]
fn admit_others(context: &mut Context<'_>, ends: u64) -> Step<()> {
    let (source, destination) = ((ends >> 32) as u32, ends as u32);
    local(context, destination)?;
    if !context.tables.fib.is_tunnel_source(source.into()) {
        return Err(Drop::TunnelSource.into());
    }
    context.admitted.add(ends);
    Ok(())
}

/// The label stack behind UDP.
#[inline(always)]
fn in_udp<'p>(outer: &Fields, datagram: &'p [u8]) -> Step<&'p [u8]> {
    let (udp, payload) = Udp::checked(datagram).map_err(|_| Drop::Malformed)?;
    if !matches!(udp.destination(), udp::MPLS | udp::MPLS_OLD) {
        return Err(Drop::UnsupportedProtocol.into());
    }
    if !udp.verifies(payload, outer.source.into(), outer.destination.into()) {
        return Err(Drop::OuterChecksum.into());
    }
    Ok(payload)
}

/// The label stack behind GRE.
#[inline(always)]
fn in_gre(payload: &[u8]) -> Step<&[u8]> {
    let (gre, stack) = Gre::checked(payload).map_err(|error| match error {
        Malformed::Checksum => Drop::OuterChecksum,
        Malformed::Flags => Drop::UnsupportedProtocol,
        _ => Drop::Malformed,
    })?;
    if gre.protocol() != eth::MPLS {
        return Err(Drop::UnsupportedProtocol.into());
    }
    Ok(stack)
}

/// The stack begins at `start` of the frame, and ends where what is around it ends.
#[inline(always)]
fn label(
    context: &mut Context<'_>,
    burst: &mut Burst,
    place: usize,
    stack: &[u8],
    start: usize,
) -> Step<()> {
    let (entry, payload) = Mpls::parse(stack).map_err(|_| Drop::Malformed)?;
    if !entry.is_bottom() {
        return Err(Drop::InvalidLabelStack.into());
    }
    let target = context.tables.labels.target(entry.label()).ok_or(Drop::InvalidLabel)?;
    let vrf = match target {
        LabelTarget::Vrf(vrf) => vrf,
        LabelTarget::Vif(vif) => {
            burst.deliver(place, vif);
            context.tables.vifs.load(vif.index()).ok_or(Drop::InvalidLabel)?.vrf
        }
    };
    let start = start + Mpls::LEN;
    // What is behind it says by its first four bits.
    let routable = match payload.first().map(|first| first >> 4) {
        Some(4) => v4(burst, place, payload, start, Inner::from_tunnel(vrf), martian_v4),
        Some(6) => tunnelled_v6(burst, place, payload, start, vrf),
        _ => Err(Drop::Malformed.into()),
    };
    if let Err(end) = routable {
        return Err(behind(context, target, end));
    }
    // RFC 3032 2.4.3: it goes no further. The sender is told as for its own TTL, so that a traceroute has no gap here.
    if entry.ttl() <= 1 {
        let inner = burst.inners[place % BATCH];
        let end = context.refuse(Drop::LabelTtl, Punt::TtlExceeded, 0, &inner);
        return Err(behind(context, target, end));
    }
    Ok(())
}

/// The end of a packet whose label was good: at the interface that it leads to.
#[cold]
fn behind(context: &mut Context<'_>, target: LabelTarget, end: End) -> End {
    match target {
        LabelTarget::Vif(vif) => context.at(Some(vif), end),
        LabelTarget::Vrf(_) => end,
    }
}

/// Checks an IPv4 packet to be routed, and where it goes: a router must forward there. Who sent it, `check` sees to. It then has its
/// place.
#[inline(always)]
fn v4(
    burst: &mut Burst,
    place: usize,
    bytes: &[u8],
    start: usize,
    inner: Inner,
    check: impl FnOnce(u32) -> Step<()>,
) -> Step<()> {
    let Fields { total_len, source, destination, .. } = super::ipv4(bytes, Drop::InnerChecksum)?;
    unicast_v4(destination)?;
    check(source)?;
    burst.inners[place % BATCH] = inner.at(start, total_len, Family::V4);
    burst.v4[place % BATCH] = Key4::new(inner.vrf, destination);
    Ok(())
}

/// RFC 1812 5.3.7: what a router does not forward by its source.
#[inline(always)]
pub(crate) fn martian_v4(source: u32) -> Step<()> {
    if icmp::host_bits(source) { Ok(()) } else { Err(Drop::Martian.into()) }
}

#[inline(never)]
fn tunnelled_v6(
    burst: &mut Burst,
    place: usize,
    payload: &[u8],
    start: usize,
    vrf: VrfId,
) -> Step<()> {
    v6(burst, place, payload, start, Inner::from_tunnel(vrf), |_| Ok(()))
}

/// As [`v4`], of an IPv6 packet; whether a router forwards from its source is checked here.
#[inline(always)]
fn v6(
    burst: &mut Burst,
    place: usize,
    bytes: &[u8],
    start: usize,
    inner: Inner,
    check: impl FnOnce(u128) -> Step<()>,
) -> Step<()> {
    let ip = super::ipv6(bytes)?;
    let (source, destination) = (ip.source(), ip.destination());
    if !ipv6::forwardable(source) || !ipv6::forwardable(destination) {
        let reason = if ipv6::is_neighbor_discovery(bytes) {
            Drop::NeighborDiscovery
        } else if ipv6::is_multicast(destination) {
            Drop::Multicast
        } else {
            Drop::Martian
        };
        return Err(reason.into());
    }
    check(source)?;
    // A frame is never that long.
    let length = u16::try_from(ip.total_len()).map_err(|_| Drop::Malformed)?;
    burst.inners[place % BATCH] = inner.at(start, length, Family::V6);
    burst.v6[place % BATCH] = Key6::new(inner.vrf, destination);
    burst.ipv6 |= 1 << place;
    Ok(())
}
