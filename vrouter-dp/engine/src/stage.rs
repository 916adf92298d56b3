//! The stages of the pipeline: one responsibility, one file. Stages use tables, tables never use stages.

mod burst;
pub(crate) mod classify;
pub(crate) mod decap;
pub(crate) mod encap;
mod flow;
pub(crate) mod lookup;
pub(crate) mod policy;
pub(crate) mod rewrite;

pub(crate) use burst::{Arrived, Burst};

use std::net::Ipv4Addr;

use wire::eth::{self, Ethernet};
use wire::ipv4::{Fields, Ipv4};
use wire::ipv6::Ipv6;
use wire::{Mac, Malformed, icmp};

use crate::buffer::Buf;
use crate::counters::WorkerCounters;
use crate::drops::{Drop, Punt};
use crate::prefetch::prefetch;
use crate::seam::{PortId, VifId, VrfId};
use crate::table::port::PortVifs;
use crate::table::{Port, View};
use crate::verdict::{PuntMeta, Verdict};
use crate::worker::{Admitted, IpIds, Limits, WorkerState};

/// Goes on with a value, or ends the way of the packet.
pub(crate) type Step<T> = Result<T, End>;

/// How the way of a packet ends when it is not sent. Two bytes, as it passes through every stage; what the service thread needs
/// to know besides waits in [`Context`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Drop(Drop),
    /// Dropped, and the sender is told.
    Told(Drop),
    Punt,
}

impl From<Drop> for End {
    #[inline]
    fn from(reason: Drop) -> End {
        End::Drop(reason)
    }
}

/// What every stage may use: the tables as they are for this burst, and the worker's own things.
pub(crate) struct Context<'a> {
    pub tables: View<'a>,
    pub counters: &'a WorkerCounters,
    pub limits: &'a mut Limits,
    pub ip_ids: &'a mut IpIds,
    /// Port that the burst came in on.
    pub port: PortId,
    /// The same; `None` if there is none or it does not forward.
    pub open: Option<&'a Port>,
    /// Its interfaces.
    pub vifs: PortVifs<'a>,
    /// MAC of the port, as [`eth::destination`] reads it; none is like that of a port that does not forward.
    pub own_mac: u64,
    pub admitted: &'a mut Admitted,
    /// Interface that a drop is counted at; set when a stage ends the way of a packet and knows one.
    vif: Option<VifId>,
    /// What goes with [`End::Told`] and [`End::Punt`]: class, place, and MTU if that is what it is about.
    notice: Option<(Punt, Place, u16)>,
}

/// A packet to be routed. What its own header says is read there again when it is needed: that costs less than to carry it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Inner {
    /// Bytes of it, header included.
    pub length: u16,
    /// Where it is looked up.
    pub vrf: VrfId,
    /// The interface that it came from, if it came from one.
    vif: VifId,
    /// Where in the buffer it begins: behind two IPv4 headers with options at most.
    pub start: u8,
    /// Its family and its origin.
    kind: u8,
}

// A worker keeps a batch of them: their places are found by a shift.
const _: () = assert!(size_of::<Inner>() == 8);

/// Version of the Internet protocol; a bit of [`Inner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    V4 = 0,
    V6 = 1,
}

/// Where a packet to be routed came from; a bit of [`Inner`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Origin {
    Instance = 2,
    Tunnel = 4,
    Own = 8,
}

/// What there is to say about a packet that is punted or that its sender is told about.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Where in the buffer it begins.
    pub start: u16,
    /// Bytes of it.
    pub length: u16,
    pub vrf: VrfId,
    pub vif: Option<VifId>,
    /// Whether it came out of a tunnel.
    pub tunnelled: bool,
}

impl Inner {
    /// From an instance.
    #[inline(always)]
    pub fn from_instance(vif: VifId, vrf: VrfId) -> Inner {
        Inner { vif, kind: Origin::Instance as u8, ..Inner::own(vrf) }
    }

    /// Out of a tunnel.
    #[inline(always)]
    pub fn from_tunnel(vrf: VrfId) -> Inner {
        Inner { kind: Origin::Tunnel as u8, ..Inner::own(vrf) }
    }

    /// Of our own.
    #[inline(always)]
    pub const fn own(vrf: VrfId) -> Inner {
        Inner { length: 0, vrf, vif: VifId(0), start: 0, kind: Origin::Own as u8 }
    }

    /// As it is in its buffer.
    #[inline(always)]
    pub fn at(self, start: usize, length: u16, family: Family) -> Inner {
        Inner { start: start as u8, length, kind: self.kind | family as u8, ..self }
    }

    #[inline(always)]
    pub fn family(&self) -> Family {
        if self.kind & Family::V6 as u8 == 0 { Family::V4 } else { Family::V6 }
    }

    #[inline(always)]
    pub fn is_from(&self, origin: Origin) -> bool {
        self.kind & origin as u8 != 0
    }

    /// The interface that it came from.
    pub fn vif(&self) -> Option<VifId> {
        self.is_from(Origin::Instance).then_some(self.vif)
    }

    /// Whether it is of the same interface, or out of a tunnel for the same VRF.
    #[inline]
    pub fn is_beside(&self, other: &Inner) -> bool {
        (self.vif, self.vrf) == (other.vif, other.vrf)
    }

    /// Its place; `None` for a packet of our own.
    pub fn place(&self) -> Option<Place> {
        let Inner { start, length, vrf, .. } = *self;
        let (start, tunnelled) = (start.into(), self.is_from(Origin::Tunnel));
        let place = Place { start, length, vrf, vif: self.vif(), tunnelled };
        (!self.is_from(Origin::Own)).then_some(place)
    }

    /// Its bytes, and what follows them.
    #[inline(always)]
    pub fn bytes<'p>(&self, frame: &'p [u8]) -> Step<&'p [u8]> {
        Ok(frame.get(usize::from(self.start)..).ok_or(Drop::Malformed)?)
    }
}

impl<'a> Context<'a> {
    /// For a burst from `port`, and the place where its packets wait between two passes.
    #[inline(always)]
    pub fn new(worker: &'a mut WorkerState, port: PortId) -> (Context<'a>, &'a mut Burst) {
        worker.admitted.begin(worker.reader.epoch());
        let tables = worker.tables.view(&worker.reader);
        let open = tables.ports.port(port, &worker.reader).filter(|_| tables.ports.forwards(port));
        let context = Context {
            vifs: tables.ports.vifs(port),
            tables,
            counters: &worker.tables.counters[usize::from(worker.id.0)],
            limits: &mut worker.limits,
            ip_ids: &mut worker.ip_ids,
            port,
            open,
            own_mac: open.map_or(u64::MAX, |port| eth::destination_bits(port.mac)),
            admitted: &mut worker.admitted,
            vif: None,
            notice: None,
        };
        (context, &mut worker.burst)
    }

    /// Asks for the record and the counters of an interface.
    #[inline]
    pub fn ask(&self, vif: VifId) {
        self.tables.vifs.prefetch_record(vif.index());
        if let Some(row) = self.counters.vif(vif) {
            prefetch(row);
        }
    }

    /// Ends at an interface, if at one.
    #[cold]
    #[inline(never)]
    pub fn at(&mut self, vif: Option<VifId>, end: End) -> End {
        self.vif = vif.or(self.vif);
        end
    }

    /// Ends as a punt.
    #[cold]
    #[inline(never)]
    pub fn punt(&mut self, class: Punt, place: Place) -> End {
        self.notice = Some((class, place, 0));
        End::Punt
    }

    /// Ends as a drop that the sender is told about, where we can: nobody is told that we dropped a packet of our own, and
    /// nobody in ICMPv6, which we do not speak.
    #[cold]
    #[inline(never)]
    pub fn refuse(&mut self, reason: Drop, class: Punt, mtu: u16, inner: &Inner) -> End {
        let place = inner.place().filter(|_| inner.family() == Family::V4);
        self.notice = place.map(|place| (class, place, mtu));
        End::Told(reason)
    }

    /// The verdict on a packet that is not sent; counts drops.
    #[cold]
    #[inline(never)]
    pub fn end<B: Buf>(&mut self, end: End, packet: &mut B) -> Verdict {
        let vif = self.vif.take();
        let (reason, notify) = match end {
            End::Drop(reason) => (reason, None),
            End::Told(reason) => (reason, self.tell(packet)),
            End::Punt => match self.grant(packet) {
                Some(meta) => return Verdict::Punt(meta),
                None => (Drop::PuntLimited, None),
            },
        };
        self.counters.drop(reason, vif);
        Verdict::Drop { reason, notify }
    }

    /// What goes to the service thread, if the rate limit of the class allows. The buffer then holds the packet and nothing else.
    fn grant<B: Buf>(&mut self, packet: &mut B) -> Option<PuntMeta> {
        let (class, place, mtu) = self.notice.take()?;
        if !self.limits.take(class) {
            self.counters.punt_limited[class.index()].add(1);
            return None;
        }
        Some(self.cut(class, packet, place, mtu))
    }

    /// As [`Context::grant`], for a packet whose sender the standards allow to be told.
    fn tell<B: Buf>(&mut self, packet: &mut B) -> Option<PuntMeta> {
        let (_, Place { start, length, .. }, _) = self.notice?;
        let from = packet.data().get(usize::from(start)..)?;
        let whole = from.get(..usize::from(length)).unwrap_or(from);
        if !icmp::error_allowed(whole) {
            return None;
        }
        self.grant(packet)
    }

    /// Cuts off what is around the packet.
    fn cut<B: Buf>(&self, class: Punt, packet: &mut B, place: Place, mtu: u16) -> PuntMeta {
        let Place { start, length, vrf, vif, tunnelled } = place;
        let source_mac = if tunnelled { Mac::default() } else { source_mac(packet) };
        packet.trim_front(usize::from(start));
        packet.truncate(usize::from(length));
        PuntMeta { class, port: self.port, vif, vrf, source_mac, mtu }
    }
}

fn source_mac<B: Buf>(packet: &B) -> Mac {
    Ethernet::parse(packet.data()).map_or(Mac::default(), |(ethernet, _)| ethernet.source)
}

/// Checks the IPv4 packet at the front of `bytes`. What follows it, such as the padding of a short frame, is not part of it.
#[inline(always)]
pub(crate) fn ipv4(bytes: &[u8], checksum: Drop) -> Step<Fields> {
    match Ipv4::checked(bytes) {
        Ok(ip) => Ok(ip.fields()),
        Err(Malformed::Checksum) => Err(checksum.into()),
        Err(_) => Err(Drop::Malformed.into()),
    }
}

/// Checks the IPv6 packet at the front of `bytes`, whatever follows it.
#[inline(always)]
pub(crate) fn ipv6(bytes: &[u8]) -> Step<&Ipv6> {
    Ok(Ipv6::checked(bytes).map_err(|_| Drop::Malformed)?)
}

/// RFC 1812 5.3.7: a router forwards neither from nor to such addresses.
#[inline(always)]
pub(crate) fn unicast_v4(address: u32) -> Step<()> {
    if icmp::host_bits(address) { Ok(()) } else { Err(unroutable(address).into()) }
}

#[cold]
fn unroutable(address: u32) -> Drop {
    // RFC 1812 5.3.4, 4.2.2.11: broadcast and multicast are not routed here. RFC 1812 5.3.7: martian addresses.
    if is_multicast(address) { Drop::Multicast } else { Drop::Martian }
}

#[inline]
fn is_multicast(address: u32) -> bool {
    let address = Ipv4Addr::from_bits(address);
    address.is_multicast() || address.is_broadcast()
}
