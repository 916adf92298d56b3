//! decap: from what arrived to the IPv4 packet that is to be routed, and the VRF to route it in.
//!
//! Exits: drop `malformed inner-checksum martian multicast` for a packet from an instance; for one from the fabric also
//! `outer-checksum not-local outer-fragment unsupported-protocol tunnel-source invalid-label-stack invalid-label label-ttl`;
//! punt `local` for ICMP to the node itself.
//!
//! Tunnels: MPLS in UDP to port 6635 or 51234 (RFC 7510; a UDP checksum that is there must be right), MPLS in GRE (RFC 4023;
//! checksum and key fields accepted). The outer source must be the end of a tunnel or lie in the accepted prefixes.

use wire::Malformed;
use wire::eth;
use wire::gre::Gre;
use wire::ipv4::{self, Fields};
use wire::mpls::Mpls;
use wire::udp::{self, Udp};

use super::classify::Arrival;
use super::{Context, Inner, Origin, Place, Step, is_multicast, routable};
use crate::drops::{Drop, Punt};
use crate::seam::{LabelTarget, VrfId};

/// A packet from an instance: there is nothing around it.
#[inline(always)]
pub(crate) fn bare<'a>(frame: &[u8], arrival: Arrival<'a>) -> Step<Inner<'a>> {
    let Arrival { id, vif, start } = arrival;
    let ip = routable(frame.get(start..).ok_or(Drop::Malformed)?)?;
    Ok(Inner { ip, start, vrf: vif.vrf, origin: Origin::Instance(id, vif), deliver: None })
}

/// A packet that the service thread made: it is trusted to know its addresses.
pub(crate) fn own<'a>(packet: &[u8], vrf: VrfId) -> Step<Inner<'a>> {
    let ip = super::ipv4(packet, Drop::InnerChecksum)?;
    Ok(Inner { ip, start: 0, vrf, origin: Origin::Own, deliver: None })
}

/// A packet from the underlay that begins at `start`: out of its tunnel.
#[inline(always)]
pub(crate) fn tunnel<'a>(context: &mut Context<'a>, frame: &[u8], start: usize) -> Step<Inner<'a>> {
    let packet = frame.get(start..).ok_or(Drop::Malformed)?;
    let outer = super::ipv4(packet, Drop::OuterChecksum)?;
    if !context.tables.owns(outer.destination) {
        let group = is_multicast(outer.destination);
        return Err(if group { Drop::Multicast } else { Drop::NotLocal }.into());
    }
    if outer.is_fragment() {
        return Err(Drop::OuterFragment.into());
    }
    let header = usize::from(outer.header_len);
    let payload = packet.get(header..usize::from(outer.total_len)).ok_or(Drop::Malformed)?;
    let stack = match outer.protocol {
        ipv4::UDP => in_udp(&outer, payload)?,
        ipv4::GRE => in_gre(payload)?,
        ipv4::ICMP => {
            let (start, length, vrf) = (start as u32, outer.total_len, VrfId::MASTER);
            let place = Place { start, length, vrf, vif: None, tunnelled: false };
            return Err(context.punt(Punt::Local, place));
        }
        _ => return Err(Drop::UnsupportedProtocol.into()),
    };
    if outer.source != context.tunnel_source {
        accepted(context, outer.source)?;
    }
    label(context, stack, start + header + (payload.len() - stack.len()))
}

#[inline(never)]
fn accepted(context: &mut Context<'_>, source: u32) -> Step<()> {
    if !context.tables.fib.is_tunnel_source(source.into()) {
        return Err(Drop::TunnelSource.into());
    }
    context.tunnel_source = source;
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
    Ok(datagram.get(Udp::LEN..).ok_or(Drop::Malformed)?)
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

/// The stack begins at `start` of the frame, and ends where the outer packet ends.
#[inline(always)]
fn label<'a>(context: &mut Context<'a>, stack: &[u8], start: usize) -> Step<Inner<'a>> {
    let (entry, payload) = Mpls::parse(stack).map_err(|_| Drop::Malformed)?;
    if !entry.is_bottom() {
        return Err(Drop::InvalidLabelStack.into());
    }
    let target = context.tables.labels.target(entry.label()).ok_or(Drop::InvalidLabel)?;
    let (vrf, deliver) = match target {
        LabelTarget::Vrf(vrf) => (vrf, None),
        LabelTarget::Vif(id) => {
            let vif = context.tables.vifs.load(id.index()).ok_or(Drop::InvalidLabel)?;
            context.vif = Some(id);
            (vif.vrf, Some(id))
        }
    };
    let ip = routable(payload)?;
    let inner = Inner { ip, start: start + Mpls::LEN, vrf, origin: Origin::Tunnel, deliver };
    // RFC 3032 2.4.3: it goes no further. The sender is told as for its own TTL, so that a traceroute has no gap here.
    if entry.ttl() <= 1 {
        return Err(context.refuse(Drop::LabelTtl, Punt::TtlExceeded, 0, inner.place()));
    }
    Ok(inner)
}
