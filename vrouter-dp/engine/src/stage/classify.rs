//! classify: which interface or tunnel end a frame is for, by port and VLAN.
//!
//! Exits: drop `port-blocked malformed untagged unknown-vlan vif-down unknown-source-mac wrong-destination-mac multicast
//! unsupported-ethertype neighbor-discovery`, punt `arp`. A packet that goes on is IPv4 or IPv6 to us.
//!
//! A tag is in the frame or in the metadata. Which, the STRIPPED flag alone decides: some drivers fill in the metadata and
//! leave the tag in the frame.

use wire::Mac;
use wire::eth::{self, Ethernet, LinkKey, Tag};
use wire::ipv6;

use super::{Arrived, Context, End, Family, Place, Step};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};
use crate::seam::{VifId, VrfId};
use crate::table::{PortRole, Vif};

/// Where the tag of a frame is, and its tag control information: 0 without a tag.
#[derive(Clone, Copy)]
pub(crate) enum Link {
    /// In the metadata, or there is none: the packet begins behind [`Link::BARE`] bytes.
    Bare(u16),
    /// In the frame: the packet begins behind [`Link::TAGGED`] bytes.
    Tagged(u16),
}

impl Link {
    pub const BARE: usize = Ethernet::LEN;
    pub const TAGGED: usize = Ethernet::LEN + Tag::LEN;

    #[inline(always)]
    pub fn read(frame: &[u8], stripped: Option<u16>) -> Step<Link> {
        let (ethernet, rest) = Ethernet::parse(frame).map_err(|_| Drop::Malformed)?;
        if let Some(tci) = stripped {
            return Ok(Link::Bare(tci));
        }
        if ethernet.ethertype() != eth::VLAN {
            return Ok(Link::Bare(0));
        }
        let (tag, _) = Tag::parse(rest).map_err(|_| Drop::Malformed)?;
        Ok(Link::Tagged(tag.tci()))
    }
}

/// What a packet from an instance is, and the interface that it comes from.
pub(crate) type From<'a> = (Family, VifId, &'a Vif);

/// What the port of the burst is for; `None` if it does not forward.
#[inline]
pub(crate) fn role(context: &Context<'_>) -> Option<PortRole> {
    context.open.map(|port| port.role)
}

/// The end of every packet on a port that does not forward.
pub(crate) const CLOSED: End = End::Drop(Drop::PortBlocked);

/// Takes the tag that the NIC took out of the frame out of the metadata too.
#[inline(always)]
pub(crate) fn tag<B: Buf>(packet: &mut B) -> Option<u16> {
    let tag = packet.stripped_tci();
    if tag.is_some() {
        packet.clear_stripped();
    }
    tag
}

/// Asks for the interfaces that the frames come from: first where they are, then what they are.
#[inline(never)]
pub(crate) fn ahead<B: Buf>(context: &Context<'_>, packets: &[B]) {
    let vifs = |packet: &B| {
        let link = match packet.stripped_tci() {
            Some(tci) => link::<{ Link::BARE }>(packet.data(), tci)?,
            None => link::<{ Link::TAGGED }>(packet.data(), 0)?,
        };
        context.vifs.vif(link.vlan())
    };
    for vif in packets.iter().filter_map(vifs) {
        context.tables.vifs.prefetch(vif.index());
    }
    for vif in packets.iter().filter_map(vifs) {
        context.ask(vif);
    }
}

/// Bits of a tag control information that are the VLAN id.
const VLAN: u16 = 0x0fff;

/// How a frame of which `HEADER` bytes are in front of the packet begins. Without the tag that it should have, like none.
#[inline(always)]
fn link<const HEADER: usize>(frame: &[u8], stripped: u16) -> Option<LinkKey> {
    match HEADER {
        Link::BARE => frame.first_chunk().map(|header| LinkKey::bare(header, stripped)),
        _ => frame.first_chunk().map(LinkKey::tagged),
    }
}

/// The interface that a frame comes from, of which `HEADER` bytes are in front of the packet, if all of it is as in nearly all
/// frames: an IPv4 or IPv6 packet to us.
#[inline(always)]
pub(crate) fn ordinary<'a, const HEADER: usize>(
    context: &Context<'a>,
    arrived: Arrived<'_>,
) -> Option<From<'a>> {
    let frame = arrived.frame;
    let link = link::<HEADER>(frame, arrived.stripped.unwrap_or(0))?;
    let index = context.vifs.index(link.vlan());
    let vif = context.tables.vifs.load(index).filter(|vif| vif.link == link)?;
    let family = match ethertype::<HEADER>(frame) {
        Ok(eth::IPV4) => Family::V4,
        Ok(eth::IPV6) => Family::V6,
        _ => return None,
    };
    let id = VifId(index as u16);
    count::<HEADER>(context, id, frame);
    Some((family, id, vif))
}

#[inline(always)]
fn count<const HEADER: usize>(context: &Context<'_>, id: VifId, frame: &[u8]) {
    if let Some(row) = context.counters.vif(id) {
        row.rx_packets.add(1);
        // The same number, wherever the tag was.
        row.rx_bytes.add((frame.len() + (Link::TAGGED - HEADER)) as u64);
    }
}

/// The interface that a frame comes from, what is in it and where that begins: if it is not as nearly all are.
pub(crate) fn from_instance<'a>(
    context: &mut Context<'a>,
    arrived: Arrived<'_>,
) -> Step<(usize, From<'a>)> {
    let frame = arrived.frame;
    let (header, tci) = match Link::read(frame, arrived.stripped)? {
        Link::Tagged(tci) => (Link::TAGGED, tci),
        Link::Bare(tci) => (Link::BARE, tci),
    };
    // A frame without a tag has the VLAN id of a priority tag.
    if tci & VLAN == 0 {
        return Err(Drop::Untagged.into());
    }
    let id = context.vifs.vif(tci & VLAN).ok_or(Drop::UnknownVlan)?;
    let vif = context.tables.vifs.load(id.index()).ok_or(Drop::UnknownVlan)?;
    match header {
        Link::TAGGED => count::<{ Link::TAGGED }>(context, id, frame),
        _ => count::<{ Link::BARE }>(context, id, frame),
    }
    Ok((header, (addressed(context, frame, header, Some((id, vif)))?, id, vif)))
}

/// Lets a frame from the underlay through; where in it the packet begins.
#[inline(always)]
pub(crate) fn from_underlay(context: &mut Context<'_>, arrived: Arrived<'_>) -> Step<usize> {
    let frame = arrived.frame;
    // The underlay is untagged: a priority tag is none, a VLAN is not ours.
    let (header, tci) = match Link::read(frame, arrived.stripped)? {
        Link::Tagged(tci) => (Link::TAGGED, tci),
        Link::Bare(tci) => (Link::BARE, tci),
    };
    if tci & VLAN != 0 {
        return Err(Drop::UnknownVlan.into());
    }
    let destination = eth::destination(frame).map_err(|_| Drop::Malformed)?;
    let plain = match header {
        Link::TAGGED => ethertype::<{ Link::TAGGED }>(frame)?,
        _ => ethertype::<{ Link::BARE }>(frame)?,
    } == eth::IPV4;
    if context.own_mac != destination || !plain {
        addressed(context, frame, header, None)?;
    }
    Ok(header)
}

/// The two bytes before the payload: they say what it is.
#[inline(always)]
fn ethertype<const HEADER: usize>(frame: &[u8]) -> Result<u16, Drop> {
    let bytes = frame.get(HEADER - 2..HEADER).and_then(|bytes| bytes.first_chunk());
    Ok(u16::from_be_bytes(*bytes.ok_or(Drop::Malformed)?))
}

/// What is not plainly IPv4 to us: lets other packets to us through, too; ARP goes to the service thread.
#[inline(never)]
fn addressed(
    context: &mut Context<'_>,
    frame: &[u8],
    header: usize,
    from: Option<(VifId, &Vif)>,
) -> Step<Family> {
    let family = to_us(context, frame, header, from);
    match from {
        Some((id, _)) => family.map_err(|end| context.at(Some(id), end)),
        None => family,
    }
}

#[inline(always)]
fn to_us(
    context: &mut Context<'_>,
    frame: &[u8],
    header: usize,
    from: Option<(VifId, &Vif)>,
) -> Step<Family> {
    let (ethernet, _) = Ethernet::parse(frame).map_err(|_| Drop::Malformed)?;
    let (link, packet) = frame.split_at_checked(header).ok_or(Drop::Malformed)?;
    let ethertype = u16::from_be_bytes(*link.last_chunk().ok_or(Drop::Malformed)?);
    if let Some((_, vif)) = from {
        if !vif.up {
            return Err(Drop::VifDown.into());
        }
        if vif.mac() != ethernet.source {
            return Err(Drop::UnknownSourceMac.into());
        }
    }
    // Instances know the gateway's MAC, the underlay only the port's.
    let destination = ethernet.destination;
    let ours = from.is_some() && destination == Mac::GATEWAY
        || context.open.is_some_and(|port| port.mac == destination);
    match ethertype {
        eth::IPV4 if ours => Ok(Family::V4),
        // Only inside tunnels and from instances: the underlay is IPv4.
        eth::IPV6 if ours && from.is_some() => Ok(Family::V6),
        eth::ARP if ours || destination == Mac::BROADCAST => {
            let vrf = from.map_or(VrfId::MASTER, |(_, vif)| vif.vrf);
            let (start, length, vif) = (header as u16, u16::MAX, from.map(|(id, _)| id));
            let place = Place { start, length, vrf, vif, tunnelled: false };
            Err(context.punt(Punt::Arp, place))
        }
        _ if ours => Err(Drop::UnsupportedEthertype.into()),
        eth::IPV6 if ipv6::is_neighbor_discovery(packet) => Err(Drop::NeighborDiscovery.into()),
        _ if destination.is_multicast() => Err(Drop::Multicast.into()),
        _ => Err(Drop::WrongDestinationMac.into()),
    }
}
