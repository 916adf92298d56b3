//! A small world around the pipeline for tests, fuzzers and benchmarks: tables with one of everything, heap buffers, and a worker
//! that does with each verdict what a real one does, short of a NIC.
//!
//! ```text
//! port 0 fabric   02:00:00:00:00:01  192.0.2.1/24 (tunnel address), MTU 1500
//!   192.0.2.9  (02:..:09) MPLSoUDP tunnel     192.0.2.10 (02:..:0a) MPLSoGRE tunnel
//!   192.0.2.99 tunnel without a neighbour     tunnels also accepted from 198.51.100.0/24
//! port 1 gateway  02:00:00:00:00:02  MTU 1500
//! VRF 1: vif 1 VLAN 107 52:54:00:00:01:07 10.1.0.7   vif 2 VLAN 108 52:54:00:00:01:08 10.1.0.8
//!   10.1.0.1 ours   10.9/16 UDP label 300   10.10/16 GRE label 301   10.66/16 discard   10.99/16 unresolved
//!   10.20/16 by flow: UDP label 300, GRE label 301, or the tunnel without a neighbour
//! VRF 2: vif 3 VLAN 109 52:54:00:00:01:09 10.2.0.9, and 172.16.0.0/24 behind it   10.9/16 GRE label 302
//! IPv6: 10.V.0.N is 2001:db8:V::N, 10.P/16 is 2001:db8:P::/48 (P in hexadecimal digits), 172.16.0.0/24 is 2001:db8:172::/48
//! labels: 1001 VRF 1   1002 VRF 2   1107 vif 1
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use wire::{Label, Mac, VlanId};

use crate::buffer::{Buf, HeapBuf};
use crate::counters::WorkerCounters;
use crate::pipeline;
use crate::seam::{
    Encapsulation, GroupId, LabelTarget, Nexthop, NexthopId, PortId, Refusal, TunnelId, VifId,
    VrfId, WorkerId,
};
use crate::table::{AdjacencyId, Port, PortRole, Tables, TablesWriter};
use crate::verdict::Verdict;
use crate::worker::WorkerState;

/// The fabric port.
pub const FABRIC: PortId = PortId(0);
/// The gateway port.
pub const GATEWAY: PortId = PortId(1);
/// MAC of the fabric port.
pub const FABRIC_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// MAC of the gateway port.
pub const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// MTU of both ports, in bytes.
pub const MTU: u16 = 1500;

/// The world.
#[derive(Debug)]
pub struct Lab {
    /// The one writer of its tables.
    pub writer: TablesWriter,
    /// Its one worker.
    pub worker: WorkerState,
    verdicts: Vec<Verdict>,
}

impl Lab {
    /// Builds it. A refusal would be a fault of this file.
    pub fn new() -> Result<Lab, Refusal> {
        let (tables, mut writer) = Tables::new(1);
        furnish(&mut writer)?;
        let worker = WorkerState::new(&tables, WorkerId(0)).ok_or(Refusal::Full)?;
        Ok(Lab { writer, worker, verdicts: Vec::with_capacity(pipeline::BATCH) })
    }

    /// Its tables.
    pub fn tables(&self) -> &Arc<Tables> {
        self.writer.tables()
    }

    /// Counters of its worker.
    pub fn counters(&self) -> &WorkerCounters {
        self.worker.counters()
    }

    /// Sends a burst through the pipeline and does what a worker does: counts, and passes a quiescent point. Every packet keeps
    /// its place; what was transmitted holds the frame.
    pub fn receive(&mut self, port: PortId, packets: &mut [HeapBuf]) -> &[Verdict] {
        self.worker.counters().rx.add(packets.len() as u64);
        pipeline::process(&mut self.worker, port, packets, &mut self.verdicts);
        for (packet, verdict) in packets.iter().zip(&self.verdicts) {
            settle(self.worker.counters(), packet, verdict);
        }
        self.worker.quiesce();
        &self.verdicts
    }

    /// As [`Lab::receive`], for one frame.
    pub fn receive_one(&mut self, port: PortId, mut packet: HeapBuf) -> (HeapBuf, Option<Verdict>) {
        let verdict = self.receive(port, std::slice::from_mut(&mut packet)).first().copied();
        (packet, verdict)
    }

    /// Routes an IPv4 packet of our own.
    pub fn inject(&mut self, vrf: VrfId, packet: &mut HeapBuf) -> Verdict {
        self.worker.counters().injected.add(1);
        let verdict = pipeline::inject_routed(&mut self.worker, vrf, packet);
        settle(self.worker.counters(), packet, &verdict);
        verdict
    }

    /// Both sides of the accounting identity: packets that came in, and packets that left. They are equal, always.
    pub fn balance(&self) -> (u64, u64) {
        let c = self.worker.counters();
        let came = [&c.rx, &c.handed_in, &c.injected, &c.copies_made];
        let came = came.into_iter().map(|counter| counter.value()).sum();
        (came, c.tx.value() + c.punted_total() + c.dropped_total() + c.handed_out.value())
    }
}

fn settle(counters: &WorkerCounters, packet: &HeapBuf, verdict: &Verdict) {
    match verdict {
        Verdict::Tx { vif, .. } => {
            counters.tx.add(1);
            if let Some(row) = vif.and_then(|vif| counters.vif(vif)) {
                row.sent(1, packet.data().len() as u64);
            }
        }
        Verdict::Punt(meta) => counters.punted[meta.class.index()].add(1),
        Verdict::Drop { notify: Some(meta), .. } => {
            counters.copies_made.add(1);
            counters.punted[meta.class.index()].add(1);
        }
        Verdict::Drop { notify: None, .. } => {}
    }
}

/// Fills empty tables with it, for any number of workers.
pub fn furnish(w: &mut TablesWriter) -> Result<(), Refusal> {
    let net = |a, b, c, d, length| {
        Ipv4Net::new(Ipv4Addr::new(a, b, c, d), length).map_err(|_| Refusal::Unknown)
    };
    let label = |value| Label::new(value).ok_or(Refusal::Unknown);
    let fabric = |last| Ipv4Addr::new(192, 0, 2, last);

    w.port_set(FABRIC, Port { role: PortRole::Fabric, mac: FABRIC_MAC, mtu: MTU })?;
    w.port_set(GATEWAY, Port { role: PortRole::Gateway, mac: GATEWAY_MAC, mtu: MTU })?;
    w.tunnel_address_set(fabric(1));
    w.port_address_set(FABRIC, net(192, 0, 2, 1, 24)?)?;
    w.tunnel_source_set(net(198, 51, 100, 0, 24)?)?;

    let tunnels = [
        (1, 9, Encapsulation::MplsOverUdp),
        (2, 10, Encapsulation::MplsOverGre),
        (3, 99, Encapsulation::MplsOverUdp),
    ];
    for (id, last, encapsulation) in tunnels {
        let neighbor = Some(Mac([2, 0, 0, 0, 0, last])).filter(|_| last != 99);
        w.adjacency_set(AdjacencyId(id), FABRIC, neighbor)?;
        w.tunnel_set(TunnelId(id), fabric(last), encapsulation)?;
        w.tunnel_via(TunnelId(id), Some(AdjacencyId(id)))?;
    }

    let instances =
        [(1, 1, 107, [10, 1, 0, 7]), (2, 1, 108, [10, 1, 0, 8]), (3, 2, 109, [10, 2, 0, 9])];
    for (id, vrf, vlan, address) in instances {
        let (vif, vrf, address) = (VifId(id), VrfId(vrf), Ipv4Addr::from(address));
        let mac = Mac([0x52, 0x54, 0, 0, 1, address.octets()[3]]);
        w.vrf_set(vrf)?;
        w.vif_set(vif, GATEWAY, VlanId::new(vlan).ok_or(Refusal::Unknown)?, vrf, mac)?;
        w.vif_address_set(vif, address)?;
        w.nexthop_set(NexthopId(id.into()), Nexthop::Vif(vif))?;
        w.route_set(vrf, Ipv4Net::from(address), NexthopId(id.into()))?;
    }

    let tunnel = |id, value| Ok(Nexthop::Tunnel { tunnel: TunnelId(id), label: label(value)? });
    w.nexthop_set(NexthopId(10), Nexthop::Receive)?;
    w.nexthop_set(NexthopId(11), Nexthop::Discard)?;
    w.nexthop_set(NexthopId(12), tunnel(1, 300)?)?;
    w.nexthop_set(NexthopId(13), tunnel(2, 301)?)?;
    w.nexthop_set(NexthopId(14), tunnel(3, 303)?)?;
    w.nexthop_set(NexthopId(15), tunnel(2, 302)?)?;
    for (place, id) in [(0, 12), (1, 14), (2, 13)] {
        w.path_set(GroupId(1), place, NexthopId(id))?;
    }
    w.nexthop_set(NexthopId(16), Nexthop::Group(GroupId(1)))?;
    w.route_set(VrfId(1), net(10, 20, 0, 0, 16)?, NexthopId(16))?;
    w.route_set(VrfId(1), net(10, 1, 0, 1, 32)?, NexthopId(10))?;
    w.route_set(VrfId(1), net(10, 9, 0, 0, 16)?, NexthopId(12))?;
    w.route_set(VrfId(1), net(10, 10, 0, 0, 16)?, NexthopId(13))?;
    w.route_set(VrfId(1), net(10, 66, 0, 0, 16)?, NexthopId(11))?;
    w.route_set(VrfId(1), net(10, 99, 0, 0, 16)?, NexthopId(14))?;
    w.route_set(VrfId(2), net(172, 16, 0, 0, 24)?, NexthopId(3))?;
    w.route_set(VrfId(2), net(10, 9, 0, 0, 16)?, NexthopId(15))?;

    let six = |second: u16, host: u16| Ipv6Addr::new(0x2001, 0xdb8, second, 0, 0, 0, 0, host);
    let net6 = |second, host, length| {
        Ipv6Net::new(six(second, host), length).map_err(|_| Refusal::Unknown)
    };
    for (id, vrf, second, host) in [(1, 1, 1, 7), (2, 1, 1, 8), (3, 2, 2, 9)] {
        w.vif_address_set(VifId(id), six(second, host))?;
        w.route_set(VrfId(vrf), net6(second, host, 128)?, NexthopId(id.into()))?;
    }
    for (second, id) in [(0x9, 12), (0x10, 13), (0x20, 16), (0x66, 11), (0x99, 14)] {
        w.route_set(VrfId(1), net6(second, 0, 48)?, NexthopId(id))?;
    }
    w.route_set(VrfId(1), net6(1, 1, 128)?, NexthopId(10))?;
    w.route_set(VrfId(2), net6(0x172, 0, 48)?, NexthopId(3))?;
    w.route_set(VrfId(2), net6(0x9, 0, 48)?, NexthopId(15))?;

    w.label_set(label(1001)?, LabelTarget::Vrf(VrfId(1)))?;
    w.label_set(label(1002)?, LabelTarget::Vrf(VrfId(2)))?;
    w.label_set(label(1107)?, LabelTarget::Vif(VifId(1)))
}
