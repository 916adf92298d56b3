//! classify: which interface or tunnel end a frame is for, by port and VLAN.
//!
//! Exits: drop `port-blocked malformed untagged unknown-vlan vif-down unknown-source-mac wrong-destination-mac multicast
//! unsupported-ethertype`, punt `arp`. A packet that goes on is IPv4 to us.
//!
//! A tag is in the frame or in the metadata. Which, the STRIPPED flag alone decides: some drivers fill in the metadata and
//! leave the tag in the frame.

use wire::Mac;
use wire::eth::{self, Ethernet, MacPair, Tag};

use super::{Context, Place, Source, Step};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};
use crate::seam::{VifId, VrfId};
use crate::table::{PortRole, Vif};

/// An IPv4 packet from an instance.
pub(crate) struct Arrival<'a> {
    pub id: VifId,
    pub vif: &'a Vif,
    /// Where in the frame it begins.
    pub start: usize,
}

/// What the port of the burst is for; `None` if it does not forward.
#[inline]
pub(crate) fn role(context: &Context<'_>) -> Option<PortRole> {
    context.open.map(|port| port.role)
}

/// The way of every packet on a port that does not forward.
pub(crate) fn closed<T>() -> Step<T> {
    Err(Drop::PortBlocked.into())
}

/// Takes the tag that the NIC took out of the frame out of the metadata too.
#[inline(always)]
pub(crate) fn tag<B: Buf>(packet: &mut B) -> Option<u16> {
    let tag = packet.stripped_tci();
    if tag.is_some() {
        packet.clear_stripped();
    }
    tag
}

#[inline(always)]
pub(crate) fn from_instance<'a>(
    context: &mut Context<'a>,
    bytes: &[u8],
    stripped: Option<u16>,
) -> Step<Arrival<'a>> {
    context.vif = None;
    let frame = Frame::read(bytes, stripped).ok_or(Drop::Malformed)?;
    // The same number, wherever the tag was.
    let length = bytes.len() + (Ethernet::LEN + Tag::LEN - frame.header);
    // A frame without a tag has the VLAN id of a priority tag.
    let vlan = frame.tci & 0x0fff;
    let source = match &mut context.source {
        Some(source) if source.vlan == vlan => source,
        _ => source(context, vlan)?,
    };
    source.packets += 1;
    source.bytes += length as u64;
    let Source { id, vif, .. } = *source;
    context.vif = Some(id);
    if !vif.up {
        return Err(Drop::VifDown.into());
    }
    if frame.macs != vif.macs || frame.ethertype != eth::IPV4 {
        addressed(context, bytes, frame.header, Some(vif))?;
    }
    Ok(Arrival { id, vif, start: frame.header })
}

/// Begins a run of packets with this VLAN id.
#[inline(never)]
fn source<'c, 'a>(context: &'c mut Context<'a>, vlan: u16) -> Step<&'c mut Source<'a>> {
    if vlan == 0 {
        return Err(Drop::Untagged.into());
    }
    let id = eth::vlan_of(vlan).and_then(|vlan| context.tables.ports.vif(context.port, vlan));
    let id = id.ok_or(Drop::UnknownVlan)?;
    let vif = context.tables.vifs.load(id.index()).ok_or(Drop::UnknownVlan)?;
    context.settle();
    Ok(context.source.insert(Source { vlan, id, vif, packets: 0, bytes: 0 }))
}

/// Where in the frame the packet begins.
#[inline(always)]
pub(crate) fn from_underlay(
    context: &mut Context<'_>,
    bytes: &[u8],
    stripped: Option<u16>,
) -> Step<usize> {
    context.vif = None;
    let frame = Frame::read(bytes, stripped).ok_or(Drop::Malformed)?;
    // The underlay is untagged: a priority tag is none, a VLAN is not ours.
    if frame.tci & 0x0fff != 0 {
        return Err(Drop::UnknownVlan.into());
    }
    if context.own_macs != Some(frame.macs) || frame.ethertype != eth::IPV4 {
        addressed(context, bytes, frame.header, None)?;
        // From the same neighbour, the next one passes at a glance.
        context.own_macs = Some(frame.macs);
    }
    Ok(frame.header)
}

/// What the Ethernet header says, wherever the tag was.
#[derive(Clone, Copy)]
struct Frame {
    macs: MacPair,
    /// 0 without a tag.
    tci: u16,
    ethertype: u16,
    /// Bytes up to the payload.
    header: usize,
}

impl Frame {
    #[inline(always)]
    fn read(bytes: &[u8], stripped: Option<u16>) -> Option<Frame> {
        let (eth, rest) = Ethernet::parse(bytes).ok()?;
        let untagged = Frame {
            macs: MacPair::parse(bytes).ok()?,
            tci: stripped.unwrap_or(0),
            ethertype: eth.ethertype(),
            header: Ethernet::LEN,
        };
        if stripped.is_some() || untagged.ethertype != eth::VLAN {
            return Some(untagged);
        }
        let (tag, _) = Tag::parse(rest).ok()?;
        Some(Frame {
            tci: tag.tci(),
            ethertype: tag.ethertype(),
            header: Ethernet::LEN + Tag::LEN,
            ..untagged
        })
    }
}

/// What is not plainly IPv4 to us: lets other IPv4 frames to us through, too; ARP goes to the service thread.
#[cold]
#[inline(never)]
fn addressed(
    context: &mut Context<'_>,
    frame: &[u8],
    header: usize,
    vif: Option<&Vif>,
) -> Step<()> {
    // The two bytes before the payload say what it is.
    let ethertype = frame.get(..header).and_then(|header| header.last_chunk());
    let (Ok((ethernet, _)), Some(ethertype)) = (Ethernet::parse(frame), ethertype) else {
        return Err(Drop::Malformed.into());
    };
    let (destination, ethertype) = (ethernet.destination, u16::from_be_bytes(*ethertype));
    if vif.is_some_and(|vif| vif.mac != ethernet.source) {
        return Err(Drop::UnknownSourceMac.into());
    }
    // Instances know the gateway's MAC, the underlay only the port's.
    let ours = context.open.is_some_and(|port| port.mac == destination)
        || vif.is_some() && destination == Mac::GATEWAY;
    if ethertype == eth::ARP && (ours || destination == Mac::BROADCAST) {
        let vrf = vif.map_or(VrfId::MASTER, |vif| vif.vrf);
        let (start, length, tunnelled) = (header as u32, u16::MAX, false);
        let place = Place { start, length, vrf, vif: context.vif, tunnelled };
        return Err(context.punt(Punt::Arp, place));
    }
    if !ours {
        let group = destination.is_multicast();
        return Err(if group { Drop::Multicast } else { Drop::WrongDestinationMac }.into());
    }
    if ethertype != eth::IPV4 {
        return Err(Drop::UnsupportedEthertype.into());
    }
    Ok(())
}
