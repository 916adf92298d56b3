//! The stages of the pipeline: one responsibility, one file. Stages use tables, tables never use stages.

pub(crate) mod classify;
pub(crate) mod decap;
pub(crate) mod encap;
pub(crate) mod lookup;
pub(crate) mod policy;
pub(crate) mod rewrite;

use std::net::Ipv4Addr;

use wire::icmp;
use wire::ipv4::Ipv4;
use wire::{Mac, Malformed};

use crate::buffer::Buf;
use crate::counters::WorkerCounters;
use crate::drops::{Drop, Punt};
use crate::publish::Reader;
use crate::seam::{PortId, VifId, VrfId};
use crate::table::{Tables, Vif};
use crate::verdict::{PuntMeta, Verdict};
use crate::worker::{IpIds, Limits, WorkerState};

/// Goes on with a value, or ends the way of the packet.
pub(crate) type Step<T> = Result<T, Verdict>;

impl From<Drop> for Verdict {
    #[inline]
    fn from(reason: Drop) -> Verdict {
        Verdict::Drop { reason, notify: None }
    }
}

/// What every stage may use: the tables and the worker's own things.
pub(crate) struct Context<'a> {
    pub tables: &'a Tables,
    pub reader: &'a Reader,
    pub counters: &'a WorkerCounters,
    pub limits: &'a mut Limits,
    pub ip_ids: &'a mut IpIds,
    /// Port that the packet came in on.
    pub port: PortId,
    /// Interface that a drop is counted at: the one it came from, else the one it goes to.
    pub vif: Option<VifId>,
    /// Source MAC of the frame; zero once the packet is out of its tunnel.
    pub source_mac: Mac,
}

/// An IPv4 packet to be routed. The buffer holds it and nothing else.
pub(crate) struct Inner<'a> {
    /// Its header, as it came.
    pub ip: Ipv4,
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

impl<'a> Context<'a> {
    #[inline]
    pub fn new(worker: &'a mut WorkerState, port: PortId) -> Context<'a> {
        Context {
            tables: &worker.tables,
            reader: &worker.reader,
            counters: &worker.tables.counters[usize::from(worker.id.0)],
            limits: &mut worker.limits,
            ip_ids: &mut worker.ip_ids,
            port,
            vif: None,
            source_mac: Mac::default(),
        }
    }

    /// Ends as a punt, if the rate limit of the class allows.
    pub fn punt(&mut self, class: Punt, vif: Option<VifId>, vrf: VrfId) -> Verdict {
        if self.limits.take(class) {
            Verdict::Punt(self.meta(class, vif, vrf, 0))
        } else {
            self.counters.punt_limited[class.index()].add(1);
            Drop::PuntLimited.into()
        }
    }

    /// Ends as a drop that the sender is told about, if the standards and the rate limit allow.
    #[cold]
    pub fn refuse<B: Buf>(
        &mut self,
        reason: Drop,
        class: Punt,
        mtu: u16,
        packet: &B,
        inner: &Inner<'_>,
    ) -> Verdict {
        let vif = match inner.origin {
            Origin::Instance(vif, _) => Some(vif),
            Origin::Tunnel => None,
            Origin::Own => return reason.into(),
        };
        if !icmp::error_allowed(packet.data()) {
            return reason.into();
        }
        if !self.limits.take(class) {
            self.counters.punt_limited[class.index()].add(1);
            return reason.into();
        }
        Verdict::Drop { reason, notify: Some(self.meta(class, vif, inner.vrf, mtu)) }
    }

    fn meta(&self, class: Punt, vif: Option<VifId>, vrf: VrfId, mtu: u16) -> PuntMeta {
        PuntMeta { class, port: self.port, vif, vrf, source_mac: self.source_mac, mtu }
    }
}

/// Checks the IPv4 packet at the front of the buffer and cuts off what follows it, such as the padding of a short frame.
#[inline]
pub(crate) fn ipv4<B: Buf>(packet: &mut B, checksum: Drop) -> Step<Ipv4> {
    let ip = match Ipv4::checked(packet.data()) {
        Ok(ip) => *ip,
        Err(Malformed::Checksum) => return Err(checksum.into()),
        Err(_) => return Err(Drop::Malformed.into()),
    };
    packet.truncate(usize::from(ip.total_len()));
    Ok(ip)
}

/// As [`ipv4`], for a packet to be routed: its addresses must be such that a router forwards.
#[inline]
pub(crate) fn routable<B: Buf>(packet: &mut B) -> Step<Ipv4> {
    let ip = ipv4(packet, Drop::InnerChecksum)?;
    // RFC 1812 5.3.4, 4.2.2.11: broadcast and multicast are not routed here.
    if is_multicast(ip.destination()) {
        return Err(Drop::Multicast.into());
    }
    // RFC 1812 5.3.7: martian addresses.
    if !icmp::is_host(ip.destination()) || !icmp::is_host(ip.source()) {
        return Err(Drop::Martian.into());
    }
    Ok(ip)
}

#[inline]
fn is_multicast(address: Ipv4Addr) -> bool {
    address.is_multicast() || address.is_broadcast()
}
