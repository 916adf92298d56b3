//! The stages of the pipeline: one responsibility, one file. Stages use tables, tables never use stages.

pub(crate) mod classify;
pub(crate) mod decap;
pub(crate) mod encap;
pub(crate) mod lookup;
pub(crate) mod policy;
pub(crate) mod rewrite;

use std::net::Ipv4Addr;

use wire::eth::{Ethernet, MacPair};
use wire::icmp;
use wire::ipv4::{Fields, Ipv4};
use wire::{Mac, Malformed};

use crate::buffer::Buf;
use crate::counters::WorkerCounters;
use crate::drops::{Drop, Punt};
use crate::seam::{PortId, VifId, VrfId};
use crate::table::{Port, View, Vif};
use crate::verdict::{PuntMeta, Verdict};
use crate::worker::{IpIds, Limits, WorkerState};

/// Goes on with a value, or ends the way of the packet.
pub(crate) type Step<T> = Result<T, End>;

/// A packet that goes out: the frame is in the buffer.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub port: PortId,
    pub vif: Option<VifId>,
}

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
    /// Where the last packet from an instance came from: they come in runs.
    pub source: Option<Source<'a>>,
    /// MACs of the last IPv4 frame to us from the underlay.
    pub own_macs: Option<MacPair>,
    /// Tunnel end that the last packet came from: the next one is likely from there too.
    pub tunnel_source: u32,
    /// Interface that a drop is counted at: the one it came from, else the one it goes to.
    pub vif: Option<VifId>,
    /// What goes with [`End::Told`] and [`End::Punt`]: class, place, and MTU if that is what it is about.
    notice: Option<(Punt, Place, u16)>,
}

/// A run of packets from one instance, not yet counted.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub vlan: u16,
    pub id: VifId,
    pub vif: &'a Vif,
    pub packets: u64,
    pub bytes: u64,
}

/// An IPv4 packet to be routed.
pub(crate) struct Inner<'a> {
    /// Its header: what it will leave with.
    pub ip: Fields,
    /// Where in the buffer it begins; it ends by its own length.
    pub start: usize,
    /// Where it is looked up.
    pub vrf: VrfId,
    /// Where it came from.
    pub origin: Origin<'a>,
    /// Label that leads straight to an interface: no lookup.
    pub deliver: Option<VifId>,
}

/// Where a packet to be routed came from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    Instance(VifId, &'a Vif),
    Tunnel,
    Own,
}

/// What there is to say about a packet that is punted or that its sender is told about. So small that it is handed over in
/// registers: a reference to [`Inner`] would keep that in memory on the way of every packet.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Where in the buffer it begins.
    pub start: u32,
    /// Bytes of it.
    pub length: u16,
    pub vrf: VrfId,
    pub vif: Option<VifId>,
    /// Whether it came out of a tunnel.
    pub tunnelled: bool,
}

const _: () = assert!(size_of::<Place>() <= 16);

impl Inner<'_> {
    /// Its place; `None` for a packet of our own.
    #[inline(always)]
    pub fn place(&self) -> Option<Place> {
        let (vif, tunnelled) = match self.origin {
            Origin::Instance(vif, _) => (Some(vif), false),
            Origin::Tunnel => (None, true),
            Origin::Own => return None,
        };
        let (start, length) = (self.start as u32, self.ip.total_len);
        Some(Place { start, length, vrf: self.vrf, vif, tunnelled })
    }
}

impl<'a> Context<'a> {
    #[inline]
    pub fn new(worker: &'a mut WorkerState, port: PortId) -> Context<'a> {
        let tables = worker.tables.view(&worker.reader);
        let open = tables.ports.port(port, &worker.reader).filter(|_| tables.ports.forwards(port));
        Context {
            tables,
            counters: &worker.tables.counters[usize::from(worker.id.0)],
            limits: &mut worker.limits,
            ip_ids: &mut worker.ip_ids,
            port,
            open,
            source: None,
            own_macs: None,
            tunnel_source: 0,
            vif: None,
            notice: None,
        }
    }

    /// Counts the run of packets from one instance that ends here.
    pub fn settle(&mut self) {
        if let Some(run) = self.source.take()
            && let Some(row) = self.counters.vif(run.id)
        {
            row.rx_packets.add(run.packets);
            row.rx_bytes.add(run.bytes);
        }
    }

    /// Ends as a punt.
    #[cold]
    #[inline(never)]
    pub fn punt(&mut self, class: Punt, place: Place) -> End {
        self.notice = Some((class, place, 0));
        End::Punt
    }

    /// Ends as a drop that the sender is told about; nobody is told that we dropped a packet of our own, which has no place.
    #[cold]
    #[inline(never)]
    pub fn refuse(&mut self, reason: Drop, class: Punt, mtu: u16, place: Option<Place>) -> End {
        self.notice = place.map(|place| (class, place, mtu));
        End::Told(reason)
    }

    /// The verdict on a packet that is not sent; counts drops.
    #[cold]
    #[inline(never)]
    pub fn end<B: Buf>(&mut self, end: End, packet: &mut B) -> Verdict {
        let (reason, notify) = match end {
            End::Drop(reason) => (reason, None),
            End::Told(reason) => (reason, self.tell(packet)),
            End::Punt => match self.grant(packet) {
                Some(meta) => return Verdict::Punt(meta),
                None => (Drop::PuntLimited, None),
            },
        };
        self.counters.drop(reason, self.vif);
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
        let from = packet.data().get(start as usize..)?;
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
        packet.trim_front(start as usize);
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

/// As [`ipv4`], for a packet to be routed: its addresses must be such that a router forwards.
#[inline(always)]
pub(crate) fn routable(bytes: &[u8]) -> Step<Fields> {
    let ip = ipv4(bytes, Drop::InnerChecksum)?;
    if !icmp::host_bits(ip.destination) || !icmp::host_bits(ip.source) {
        return Err(unroutable(ip.destination).into());
    }
    Ok(ip)
}

#[cold]
fn unroutable(destination: u32) -> Drop {
    // RFC 1812 5.3.4, 4.2.2.11: broadcast and multicast are not routed here. RFC 1812 5.3.7: martian addresses.
    if is_multicast(destination) { Drop::Multicast } else { Drop::Martian }
}

#[inline]
fn is_multicast(address: u32) -> bool {
    let address = Ipv4Addr::from_bits(address);
    address.is_multicast() || address.is_broadcast()
}
