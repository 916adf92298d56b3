//! encap: the headers that a packet leaves with.
//!
//! Exits: drop `no-headroom`, else transmitted.
//!
//! To an instance: Ethernet from the gateway MAC with the tag of the interface in the frame. To another PE: Ethernet, IPv4 (TTL
//! 64, DF clear, TOS 0), UDP or GRE, one label with the TTL of the inner packet.

use wire::checksum;
use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::gre::Gre;
use wire::ipv4::Ipv4;
use wire::mpls::Mpls;
use wire::udp::Udp;

use super::lookup::Way;
use super::{Context, End, Family, Inner, Step};
use crate::buffer::Buf;
use crate::drops::Drop;
use crate::fault::{self, Fault};
use crate::seam::{PortId, VifId};
use crate::table::Vif;
use crate::verdict::Verdict;

/// Bytes of all headers in front of a packet.
pub(crate) const TO_INSTANCE: usize = TaggedEthernet::LEN;
pub(crate) const OVER_UDP: usize = Ethernet::LEN + Ipv4::LEN + Udp::LEN + Mpls::LEN;
pub(crate) const OVER_GRE: usize = Ethernet::LEN + Ipv4::LEN + Gre::LEN + Mpls::LEN;

/// Makes the packet a frame: the room for `HEAD` bytes of headers, and the packet behind it; all around it is gone.
#[inline(always)]
pub(crate) fn frame<'p, B: Buf, const HEAD: usize>(
    packet: &'p mut B,
    inner: &Inner,
) -> Step<(&'p mut [u8; HEAD], &'p mut [u8])> {
    let frame = packet.reframe(inner.start.into(), inner.length.into(), HEAD);
    Ok(frame.and_then(<[u8]>::split_first_chunk_mut).ok_or(Drop::NoHeadroom)?)
}

/// Makes a frame of which nothing but the room is written what it was, to the end of the packet.
#[cold]
#[inline(never)]
pub(crate) fn back<B: Buf>(packet: &mut B, inner: &Inner, head: usize, end: End) -> End {
    packet.trim_front(head);
    packet.prepend(inner.start.into());
    end
}

/// To another PE, by MPLS in UDP. `ttl` is what the packet itself leaves with, `flow` the hash of its flow.
#[inline(always)]
pub(crate) fn over_udp(
    context: &mut Context<'_>,
    head: &mut [u8; OVER_UDP],
    inner: &Inner,
    way: &Way<'_>,
    ttl: u8,
    flow: u64,
) -> Step<Verdict> {
    over(context, head, inner, way, ttl, |middle| {
        let (udp, _) = Udp::parse_mut(middle).map_err(|_| Drop::Malformed)?;
        // RFC 7510 3: one port of 49152-65535 per inner flow. 3.1: the checksum may be zero over IPv4.
        udp.set_source(0xc000 | (flow >> 50) as u16);
        udp.set_length(inner.length + (Udp::LEN + Mpls::LEN) as u16);
        Ok(())
    })
}

/// To another PE, by MPLS in GRE.
#[inline(always)]
pub(crate) fn over_gre(
    context: &mut Context<'_>,
    head: &mut [u8; OVER_GRE],
    inner: &Inner,
    way: &Way<'_>,
    ttl: u8,
) -> Step<Verdict> {
    over(context, head, inner, way, ttl, |_| Ok(()))
}

/// To an instance of this node.
#[inline(always)]
pub(crate) fn to_instance(
    context: &Context<'_>,
    head: &mut [u8; TO_INSTANCE],
    inner: &Inner,
    id: VifId,
    vif: &Vif,
) -> Step<Verdict> {
    if !vif.up {
        return Err(Drop::VifDown.into());
    }
    open(context, vif.port)?;
    let (header, _) = TaggedEthernet::parse_mut(head).map_err(|_| Drop::Malformed)?;
    *header = vif.header;
    if inner.family() == Family::V6 {
        header.set_ethertype(eth::IPV6);
    }
    Ok(Verdict::Tx { port: vif.port, vif: Some(id) })
}

/// `finish` writes what is between the IPv4 header and the label.
#[inline(always)]
fn over<const HEAD: usize>(
    context: &mut Context<'_>,
    head: &mut [u8; HEAD],
    inner: &Inner,
    way: &Way<'_>,
    ttl: u8,
    finish: impl FnOnce(&mut [u8]) -> Step<()>,
) -> Step<Verdict> {
    let Way { tunnel, adjacency, label } = way;
    open(context, adjacency.port)?;
    // All lengths are constants: every check below is decided at compile time.
    let (outer, entry) = head.split_at_mut(HEAD - Mpls::LEN);
    outer[..adjacency.header.len()].copy_from_slice(&adjacency.header);
    let outer = &mut outer[Ethernet::LEN..];
    outer.copy_from_slice(&tunnel.head[..HEAD - Ethernet::LEN - Mpls::LEN]);
    let (ip, middle) = Ipv4::parse_mut(outer).map_err(|_| Drop::Malformed)?;
    // The path's MTU was checked: a packet and its outer headers fit 16 bits.
    let length = inner.length + (HEAD - Ethernet::LEN) as u16;
    let id = context.ip_ids.next();
    let wrong = u32::from(fault::is(Fault::WrongChecksum));
    ip.set_total_len(length);
    ip.set_id(id);
    ip.set_checksum(checksum::finish(tunnel.sum + u32::from(length) + u32::from(id) + wrong));
    finish(middle)?;
    let label = if fault::is(Fault::WrongLabel) { !0xfff } else { *label };
    let (entry, _) = Mpls::parse_mut(entry).map_err(|_| Drop::Malformed)?;
    *entry = Mpls::from_bits(label | 1 << 8 | u32::from(ttl));
    Ok(Verdict::Tx { port: adjacency.port, vif: None })
}

#[inline]
fn open(context: &Context<'_>, port: PortId) -> Step<()> {
    if context.tables.ports.forwards(port) { Ok(()) } else { Err(Drop::PortBlocked.into()) }
}
