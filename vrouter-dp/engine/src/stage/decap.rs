//! decap: from what arrived to the IPv4 packet that is to be routed, and the VRF to route it in.
//!
//! Exits: drop `malformed inner-checksum martian multicast` for a packet from an instance; for one from the fabric also
//! `outer-checksum not-local outer-fragment unsupported-protocol tunnel-source invalid-label-stack invalid-label label-ttl`;
//! punt `local` for ICMP to the node itself.
//!
//! Tunnels: MPLS in UDP to port 6635 or 51234 (RFC 7510; a UDP checksum that is there must be right), MPLS in GRE (RFC 4023;
//! checksum and key fields accepted). The outer source must be the end of a tunnel or lie in the accepted prefixes.

use wire::eth;
use wire::gre::Gre;
use wire::ipv4::{self, Ipv4};
use wire::mpls::Mpls;
use wire::udp::{self, Udp};
use wire::{Mac, Malformed};

use super::classify::Arrival;
use super::{Context, Inner, Origin, Step, is_multicast, routable};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};
use crate::seam::{LabelTarget, VrfId};

#[inline]
pub(crate) fn inner<'a, B: Buf>(
    context: &mut Context<'a>,
    packet: &mut B,
    arrival: Arrival<'a>,
) -> Step<Inner<'a>> {
    match arrival {
        Arrival::Instance(id, vif) => {
            let ip = routable(packet)?;
            let origin = Origin::Instance(id, vif);
            Ok(Inner { ip, vrf: vif.vrf, origin, deliver: None })
        }
        Arrival::Fabric => tunnel(context, packet),
    }
}

/// A packet that the service thread made: it is trusted to know its addresses.
pub(crate) fn own<'a, B: Buf>(packet: &mut B, vrf: VrfId) -> Step<Inner<'a>> {
    let ip = super::ipv4(packet, Drop::InnerChecksum)?;
    Ok(Inner { ip, vrf, origin: Origin::Own, deliver: None })
}

#[inline]
fn tunnel<'a, B: Buf>(context: &mut Context<'a>, packet: &mut B) -> Step<Inner<'a>> {
    let outer = super::ipv4(packet, Drop::OuterChecksum)?;
    if !context.tables.is_own(outer.destination(), context.reader) {
        let group = is_multicast(outer.destination());
        return Err(if group { Drop::Multicast } else { Drop::NotLocal }.into());
    }
    if outer.is_fragment() {
        return Err(Drop::OuterFragment.into());
    }
    let start = match outer.protocol() {
        ipv4::UDP => in_udp(&outer, packet.data())?,
        ipv4::GRE => in_gre(&outer, packet.data())?,
        ipv4::ICMP => return Err(context.punt(Punt::Local, None, VrfId::MASTER)),
        _ => return Err(Drop::UnsupportedProtocol.into()),
    };
    if !context.tables.is_tunnel_source(outer.source()) {
        return Err(Drop::TunnelSource.into());
    }
    packet.trim_front(start);
    context.source_mac = Mac::default();
    label(context, packet)
}

/// Where the label begins behind UDP.
#[inline]
fn in_udp(outer: &Ipv4, packet: &[u8]) -> Step<usize> {
    let start = outer.header_len();
    let (udp, payload) = Udp::checked(&packet[start..]).map_err(|_| Drop::Malformed)?;
    if !matches!(udp.destination(), udp::MPLS | udp::MPLS_OLD) {
        return Err(Drop::UnsupportedProtocol.into());
    }
    if !udp.verifies(payload, outer.source(), outer.destination()) {
        return Err(Drop::OuterChecksum.into());
    }
    Ok(start + Udp::LEN)
}

/// Where the label begins behind GRE.
#[inline]
fn in_gre(outer: &Ipv4, packet: &[u8]) -> Step<usize> {
    let (gre, payload) =
        Gre::checked(&packet[outer.header_len()..]).map_err(|error| match error {
            Malformed::Checksum => Drop::OuterChecksum,
            Malformed::Flags => Drop::UnsupportedProtocol,
            _ => Drop::Malformed,
        })?;
    if gre.protocol() != eth::MPLS {
        return Err(Drop::UnsupportedProtocol.into());
    }
    Ok(packet.len() - payload.len())
}

#[inline]
fn label<'a, B: Buf>(context: &mut Context<'a>, packet: &mut B) -> Step<Inner<'a>> {
    let (entry, _) = Mpls::parse(packet.data()).map_err(|_| Drop::Malformed)?;
    let entry = *entry;
    if !entry.is_bottom() {
        return Err(Drop::InvalidLabelStack.into());
    }
    let target = context.tables.labels.target(entry.label()).ok_or(Drop::InvalidLabel)?;
    let (vrf, deliver) = match target {
        LabelTarget::Vrf(vrf) => (vrf, None),
        LabelTarget::Vif(id) => {
            let vif = context.tables.vif(id, context.reader).ok_or(Drop::InvalidLabel)?;
            context.vif = Some(id);
            (vif.vrf, Some(id))
        }
    };
    packet.trim_front(Mpls::LEN);
    let ip = routable(packet)?;
    let inner = Inner { ip, vrf, origin: Origin::Tunnel, deliver };
    // RFC 3032 2.4.3: it goes no further. The sender is told as for its own TTL, so that a traceroute has no gap here.
    if entry.ttl() <= 1 {
        return Err(context.refuse(Drop::LabelTtl, Punt::TtlExceeded, 0, packet, &inner));
    }
    Ok(inner)
}
