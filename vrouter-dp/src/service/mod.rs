//! The service thread: the only writer of the tables, and the owner of everything that must go on when the agent stalls.
//!
//! It drains the agent's ring and applies ops, publishes generations and acknowledges them after grace, answers ARP and ICMP,
//! keeps neighbours resolved, watches carriers, and answers the agent's snapshots. It never holds off a worker.

mod answer;
mod apply;
mod bfd;
mod marks;
mod neighbor;
mod outbox;
mod snapshot;
mod underlay;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dpdk::Carrier;
use engine::PuntMeta;
use engine::drops::Punt;
use engine::publish::Token;
use engine::seam::{Event, EventSender, Gen, Link, Op, OpReceiver, PortId, TunnelId, VrfId};
use engine::table::{AdjacencyId, Tables, TablesWriter};
use wire::Mac;
use wire::arp::{self, Arp};
use wire::bfd::Bfd;
use wire::eth::{self, Ethernet};
use zerocopy::IntoBytes;

pub use answer::Injection;
use answer::{Local, arp_frame};
use apply::AdjacencyIds;
use bfd::Said;
use marks::Marks;
use neighbor::{Action, Key, Neighbors};
use outbox::Outbox;
use snapshot::Pending;
use underlay::Underlay;

use crate::plan::PortPlan;
use crate::punt::ServiceRings;
use crate::watch::WorkerShared;
use crate::worker::Lane;

/// Ops applied before other work gets its turn.
const OPS_PER_TURN: usize = 2048;
/// Punts of one class and worker answered before other work gets its turn.
const PUNTS_PER_TURN: usize = 64;
/// Neighbours asked per turn: a turn without other work takes [`REST`], so this is their pace.
const PROBES_PER_TURN: usize = 16;
/// Sleep of a turn that found nothing to do.
const REST: Duration = Duration::from_micros(500);
/// Deleted routes after which the process, agent included, holds much memory that it does not need.
const MANY_ROUTES: u64 = 10_000;
/// Rest after which that memory is given back: not in the middle of a flap, as fresh pages are what a full table waits for longest.
const QUIET: Duration = Duration::from_secs(10);
/// Time between two looks at the links.
const LINK_INTERVAL: Duration = Duration::from_millis(10);

/// A port as the service thread controls it.
pub struct ServicePort {
    /// As configured.
    pub plan: PortPlan,
    /// The device.
    pub port: dpdk::Port,
    /// Its MAC.
    pub mac: Mac,
    /// What the kernel says of the interface that it sits on; `None` if it sits on none.
    pub kernel_link: Option<bool>,
    /// What the agent was told last.
    pub link: Link,
}

/// One worker as the service thread sees it.
pub struct ServiceWorker {
    /// Punts from it, packets to it.
    pub rings: ServiceRings,
    /// What it publishes about itself.
    pub shared: Arc<WorkerShared>,
    /// Its queues that others may help with.
    pub lanes: Vec<Arc<Lane>>,
    /// Useful cycles and time stamp at the last snapshot.
    pub last_busy: (u64, u64),
    /// Packets for it that no queue had room for.
    pub lost: u64,
}

/// All that the service thread owns.
pub struct Service {
    writer: TablesWriter,
    tables: Arc<Tables>,
    ops: OpReceiver,
    outbox: Outbox,
    ports: Vec<ServicePort>,
    carrier: Carrier,
    workers: Vec<ServiceWorker>,
    local: Local,
    underlay: Underlay,
    neighbors: Neighbors,
    bfd: bfd::Sessions,
    adjacencies: HashMap<Key, AdjacencyId>,
    adjacency_ids: AdjacencyIds,
    tunnels_up: HashMap<TunnelId, bool>,
    marks: Marks,
    /// What a sweep has still to delete.
    stale: VecDeque<Op>,
    acks: VecDeque<(Token, Gen)>,
    /// Routes deleted since free memory was given back.
    routes_gone: u64,
    acked: Gen,
    next_link_look: Instant,
    actions: Vec<Action>,
    bytes: Vec<u8>,
    turn: usize,
    /// A snapshot that is under way.
    snapshot: Option<Pending>,
    hz: u64,
}

/// What the service thread is made of.
pub struct Parts {
    /// The writing end of the tables.
    pub writer: TablesWriter,
    /// The agent's ops.
    pub ops: OpReceiver,
    /// Events to the agent.
    pub events: EventSender,
    /// Ports in the order of their ids.
    pub ports: Vec<ServicePort>,
    /// Links of the kernel.
    pub carrier: Carrier,
    /// Workers in the order of their ids.
    pub workers: Vec<ServiceWorker>,
    /// Cycles per second.
    pub hz: u64,
}

impl Service {
    /// A service with empty tables.
    pub fn new(parts: Parts) -> Service {
        let tables = Arc::clone(parts.writer.tables());
        let mut service = Service {
            tables,
            writer: parts.writer,
            ops: parts.ops,
            outbox: Outbox::new(parts.events),
            ports: parts.ports,
            carrier: parts.carrier,
            workers: parts.workers,
            local: Local::default(),
            underlay: Underlay::default(),
            neighbors: Neighbors::default(),
            bfd: bfd::Sessions::new(Instant::now()),
            adjacencies: HashMap::new(),
            adjacency_ids: AdjacencyIds::default(),
            tunnels_up: HashMap::new(),
            marks: Marks::default(),
            stale: VecDeque::new(),
            acks: VecDeque::new(),
            routes_gone: 0,
            acked: Gen(0),
            next_link_look: Instant::now(),
            actions: Vec::new(),
            bytes: Vec::with_capacity(2048),
            turn: 0,
            snapshot: None,
            hz: parts.hz,
        };
        service.ask_kernel();
        for port in &mut service.ports {
            port.link = port.look();
        }
        service.tell_states();
        service
    }

    /// Works until `stop`, then gives the ports back.
    pub fn run(mut self, stop: &AtomicBool) -> Vec<ServicePort> {
        let mut quiet_since = Instant::now();
        while !stop.load(Ordering::Acquire) {
            let now = Instant::now();
            let mut busy = self.apply_ops(now);
            busy |= self.acknowledge();
            busy |= self.answer_punts(now);
            self.watch_links(now);
            self.neighbors.tick(now, PROBES_PER_TURN, &mut self.actions);
            self.act();
            for said in self.bfd.tick(now) {
                self.bfd_said(&said, now);
            }
            busy |= self.go_on_with_snapshot(now);
            busy |= self.outbox.flush();
            self.writer.reclaim();
            if busy {
                quiet_since = now;
            } else {
                if self.routes_gone >= MANY_ROUTES && now >= quiet_since + QUIET {
                    self.routes_gone = 0;
                    self.writer.trim(dpdk::heap::discard_shared, dpdk::heap::discard);
                    self.marks.trim();
                    dpdk::heap::trim();
                }
                thread::sleep(REST);
            }
        }
        self.ports
    }

    /// Acknowledges the generations that every worker has seen.
    fn acknowledge(&mut self) -> bool {
        let mut any = false;
        while let Some((token, generation)) = self.acks.front().copied() {
            if !self.tables.domain().grace_passed(token) {
                break;
            }
            self.acks.pop_front();
            self.acked = generation;
            self.outbox.push(Event::Ack { generation });
            any = true;
        }
        any
    }

    // Punts: ARP, packets to our own addresses, and reports of packets that could not go on.

    fn answer_punts(&mut self, now: Instant) -> bool {
        let mut any = false;
        let mut bytes = std::mem::take(&mut self.bytes);
        for worker in 0..self.workers.len() {
            for class in Punt::ALL {
                for _ in 0..PUNTS_PER_TURN {
                    let Some(meta) = self.workers[worker].rings.take(*class, &mut bytes) else {
                        break;
                    };
                    any = true;
                    if let Some(answer) = self.answer(&meta, &bytes, now) {
                        self.inject(&answer);
                    }
                }
            }
        }
        self.bytes = bytes;
        any
    }

    fn answer(&mut self, meta: &PuntMeta, bytes: &[u8], now: Instant) -> Option<Injection> {
        match meta.class {
            Punt::Arp => self.answer_arp(meta, bytes, now),
            Punt::Bfd => {
                if let Some(said) = self.bfd.heard(bytes, now) {
                    self.bfd_said(&said, now);
                }
                None
            }
            Punt::Local if meta.vrf == VrfId::MASTER => {
                let mac = self.ports.get(meta.port.index())?.mac;
                answer::underlay_echo(meta, mac, bytes)
            }
            Punt::Local => self.local.echo(meta.vrf, bytes),
            Punt::TtlExceeded => self.local.time_exceeded(meta.vrf, bytes),
            Punt::TooBig => self.local.too_big(meta.vrf, bytes, meta.mtu),
        }
    }

    fn answer_arp(&mut self, meta: &PuntMeta, bytes: &[u8], now: Instant) -> Option<Injection> {
        let (packet, _) = Arp::parse(bytes).ok()?;
        packet.check().ok()?;
        if !packet.sender_mac.is_unicast() || packet.sender_mac != meta.source_mac {
            return None;
        }
        let key = match meta.vif {
            Some(vif) => Key::Instance(vif, packet.sender()),
            None => Key::Underlay(meta.port, packet.sender()),
        };
        self.neighbors.heard(key, packet.sender_mac, now, &mut self.actions);
        if let Some(vif) = meta.vif {
            let vrf = self.local.vifs.get(&vif)?.vrf;
            let route = self.writer.lookup(vrf, packet.target());
            return self.local.arp(vif, packet, route);
        }
        let mac = self.ports.get(meta.port.index())?.mac;
        let asked =
            packet.operation() == arp::REQUEST && self.underlay.is_ours(meta.port, packet.target());
        (asked && packet.sender() != packet.target())
            .then(|| arp_frame(meta.port, packet.sender_mac, mac, &packet.reply(mac)))
    }

    /// Does what a BFD session wants done.
    fn bfd_said(&mut self, said: &Said, now: Instant) {
        if let Some(packet) = &said.packet
            && let Some(frame) = self.bfd_frame(said, packet, now)
        {
            self.inject(&frame);
        }
        if let Some(change) = said.change {
            self.outbox.bfd(said.remote, change.to, change.diagnostic);
            self.follow_all(said.remote, now);
        }
    }

    /// `None` while nobody knows the way: the session is down then, or will be.
    fn bfd_frame(&mut self, said: &Said, packet: &Bfd, now: Instant) -> Option<Injection> {
        let key = self.underlay.way(said.remote)?;
        let Key::Underlay(port, via) = key else { return None };
        if !said.multihop && via != said.remote {
            return None;
        }
        // It is kept resolved for the session's sake too.
        self.neighbors.track(key, None, now);
        let to = self.neighbors.find(key)?.reached()?;
        let source = match self.underlay.tunnel_address {
            Some(address) if said.multihop => address,
            _ => self.underlay.source_for(port, via)?,
        };
        let header = Ethernet::new(to, self.ports.get(port.index())?.mac, eth::IPV4);
        let bytes = [header.as_bytes(), &bfd::datagram(said, packet, source)].concat();
        Some(Injection::Frame(port, bytes))
    }

    /// Hands a packet to a worker, each in turn, the next one if its queue is full. When all are, the packet is lost, as on a full
    /// link.
    fn inject(&mut self, injection: &Injection) {
        let count = self.workers.len();
        self.turn = (self.turn + 1) % count.max(1);
        let first = self.turn;
        let order = (first..count).chain(0..first);
        for worker in order {
            if self.workers[worker].rings.inject(injection) {
                return;
            }
        }
        if let Some(worker) = self.workers.get_mut(first) {
            worker.lost += 1;
        }
    }

    // Neighbours and links.

    /// Carries out what the neighbour machine asked for.
    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Probe(key, mac) => {
                    if let Some(probe) = self.probe(key, mac) {
                        self.inject(&probe);
                    }
                }
                Action::Resolved(key, mac) => self.resolved(key, mac),
            }
        }
        self.actions = actions;
    }

    fn probe(&self, key: Key, known: Option<Mac>) -> Option<Injection> {
        match key {
            Key::Instance(vif, address) => self.local.probe(vif, address),
            Key::Underlay(port, address) => {
                let mac = self.ports.get(port.index())?.mac;
                let source = self.underlay.source_for(port, address)?;
                let to = known.unwrap_or(Mac::BROADCAST);
                Some(arp_frame(port, to, mac, &Arp::request(mac, source, address)))
            }
        }
    }

    /// An underlay neighbour got another MAC, or lost it: one adjacency changes, whatever stands behind it.
    fn resolved(&mut self, key: Key, mac: Option<Mac>) {
        let (Key::Underlay(port, _), Some(id)) = (key, self.adjacencies.get(&key).copied()) else {
            return;
        };
        let _ = self.writer.adjacency_set(id, port, mac);
        let behind: Vec<TunnelId> = self.underlay.tunnels_via(key).collect();
        behind.into_iter().for_each(|tunnel| self.tell_tunnel(tunnel, mac.is_some()));
    }

    fn tell_tunnel(&mut self, tunnel: TunnelId, up: bool) {
        if self.tunnels_up.insert(tunnel, up) != Some(up) {
            self.outbox.tunnel(tunnel, up);
        }
    }

    /// Tells the agent every state, changed or not.
    fn tell_states(&mut self) {
        for (index, port) in self.ports.iter().enumerate() {
            self.outbox.link(PortId(index as u8), port.link);
        }
        for (tunnel, up) in &self.tunnels_up {
            self.outbox.tunnel(*tunnel, *up);
        }
    }

    fn watch_links(&mut self, now: Instant) {
        if now < self.next_link_look {
            return;
        }
        self.next_link_look = now + LINK_INTERVAL;
        self.ask_kernel();
        for index in 0..self.ports.len() {
            let link = self.ports[index].look();
            if self.ports[index].link == link {
                continue;
            }
            self.ports[index].link = link;
            let port = PortId(index as u8);
            let vifs = &self.local.vifs;
            let behind = |key| match key {
                Key::Underlay(on, _) => on == port,
                Key::Instance(vif, _) => vifs.get(&vif).is_some_and(|vif| vif.port == port),
            };
            match link {
                Link::Down => self.neighbors.link_down(behind, &mut self.actions),
                Link::Up => self.neighbors.link_up(behind, now, &mut self.actions),
            }
            self.outbox.link(port, link);
        }
    }

    /// Takes the kernel's word for the ports that sit on its interfaces.
    fn ask_kernel(&mut self) {
        for change in self.carrier.poll().unwrap_or_default() {
            for port in &mut self.ports {
                if port.port.interface() == Some(&change.name) {
                    port.kernel_link = Some(change.running && !change.removed);
                }
            }
        }
    }
}

impl ServicePort {
    /// Carrier now: the kernel's word for a port on a kernel interface, the driver's otherwise.
    fn look(&self) -> Link {
        let up = self.kernel_link.unwrap_or_else(|| self.port.link().up);
        if up { Link::Up } else { Link::Down }
    }
}
