//! classify: which interface or tunnel end a frame is for, by port and VLAN.
//!
//! Exits: drop `port-blocked malformed untagged unknown-vlan vif-down unknown-source-mac wrong-destination-mac multicast
//! unsupported-ethertype`, punt `arp`. On the way out the Ethernet header is gone.
//!
//! A tag is in the frame or in the metadata. Which, the STRIPPED flag alone decides: some drivers fill in the metadata and
//! leave the tag in the frame.

use wire::Mac;
use wire::eth::{self, Ethernet, Tag};

use super::{Context, Step};
use crate::buffer::Buf;
use crate::drops::{Drop, Punt};
use crate::seam::{VifId, VrfId};
use crate::table::{PortRole, Vif};

/// An IPv4 packet without its Ethernet header.
pub(crate) enum Arrival<'a> {
    /// From an instance.
    Instance(VifId, &'a Vif),
    /// From the underlay.
    Fabric,
}

#[inline]
pub(crate) fn arrival<'a, B: Buf>(context: &mut Context<'a>, packet: &mut B) -> Step<Arrival<'a>> {
    let tables = context.tables;
    let port = tables.ports.port(context.port, context.reader).ok_or(Drop::PortBlocked)?;
    if !tables.ports.forwards(context.port) {
        return Err(Drop::PortBlocked.into());
    }
    let frame = Frame::read(packet).ok_or(Drop::Malformed)?;
    context.source_mac = frame.source;
    match port.role {
        PortRole::Gateway => {
            let tci = frame.tci.filter(|tci| tci & 0x0fff != 0).ok_or(Drop::Untagged)?;
            let vlan = eth::vlan_of(tci).ok_or(Drop::UnknownVlan)?;
            let id = tables.ports.vif(context.port, vlan).ok_or(Drop::UnknownVlan)?;
            let vif = tables.vif(id, context.reader).ok_or(Drop::UnknownVlan)?;
            received(context, id, packet);
            if !vif.up {
                return Err(Drop::VifDown.into());
            }
            if frame.source != vif.mac {
                return Err(Drop::UnknownSourceMac.into());
            }
            let ours = frame.destination == Mac::GATEWAY || frame.destination == port.mac;
            addressed(context, packet, &frame, ours, Some(id), vif.vrf)?;
            Ok(Arrival::Instance(id, vif))
        }
        PortRole::Fabric => {
            // The underlay is untagged: a priority tag is none, a VLAN is not ours.
            if frame.tci.is_some_and(|tci| tci & 0x0fff != 0) {
                return Err(Drop::UnknownVlan.into());
            }
            let ours = frame.destination == port.mac;
            addressed(context, packet, &frame, ours, None, VrfId::MASTER)?;
            Ok(Arrival::Fabric)
        }
    }
}

/// What the Ethernet header says, wherever the tag was.
struct Frame {
    destination: Mac,
    source: Mac,
    tci: Option<u16>,
    ethertype: u16,
    /// Bytes up to the payload.
    header: usize,
}

impl Frame {
    #[inline]
    fn read<B: Buf>(packet: &B) -> Option<Frame> {
        let (eth, rest) = Ethernet::parse(packet.data()).ok()?;
        let untagged = Frame {
            destination: eth.destination,
            source: eth.source,
            tci: packet.stripped_tci(),
            ethertype: eth.ethertype(),
            header: Ethernet::LEN,
        };
        if untagged.tci.is_some() || untagged.ethertype != eth::VLAN {
            return Some(untagged);
        }
        let (tag, _) = Tag::parse(rest).ok()?;
        Some(Frame {
            tci: Some(tag.tci()),
            ethertype: tag.ethertype(),
            header: Ethernet::LEN + Tag::LEN,
            ..untagged
        })
    }
}

/// Lets IPv4 frames to us through, without their Ethernet header; ARP goes to the service thread.
#[inline]
fn addressed<B: Buf>(
    context: &mut Context<'_>,
    packet: &mut B,
    frame: &Frame,
    ours: bool,
    vif: Option<VifId>,
    vrf: VrfId,
) -> Step<()> {
    if frame.ethertype == eth::ARP && (ours || frame.destination == Mac::BROADCAST) {
        packet.trim_front(frame.header);
        packet.clear_stripped();
        return Err(context.punt(Punt::Arp, vif, vrf));
    }
    if !ours {
        let group = frame.destination.is_multicast();
        return Err(if group { Drop::Multicast } else { Drop::WrongDestinationMac }.into());
    }
    if frame.ethertype != eth::IPV4 {
        return Err(Drop::UnsupportedEthertype.into());
    }
    packet.trim_front(frame.header);
    packet.clear_stripped();
    Ok(())
}

#[inline]
fn received<B: Buf>(context: &mut Context<'_>, id: VifId, packet: &B) {
    context.vif = Some(id);
    if let Some(row) = context.counters.vif(id) {
        // The same number, wherever the tag was.
        let tag = if packet.stripped_tci().is_some() { Tag::LEN } else { 0 };
        row.rx_packets.add(1);
        row.rx_bytes.add((packet.data().len() + tag) as u64);
    }
}
