//! A data plane without packets: it applies ops to plain maps by the rules of the seam, and complains about every breach.
#![allow(dead_code)] // Each test program uses a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use engine::seam::*;
use ipnet::{IpNet, Ipv4Net};
use wire::{Label, Mac, VlanId};

/// The tables, with the epoch in which each row was last set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub tunnel_address: Option<Ipv4Addr>,
    pub port_addresses: BTreeMap<(PortId, Ipv4Net), ()>,
    pub neighbors: BTreeMap<(PortId, Ipv4Addr), Mac>,
    pub underlay: BTreeMap<Ipv4Net, Ipv4Addr>,
    pub tunnel_sources: BTreeMap<Ipv4Net, ()>,
    pub vrfs: BTreeMap<VrfId, ()>,
    pub subnets: BTreeMap<(VrfId, Ipv4Net), Ipv4Addr>,
    pub vifs: BTreeMap<VifId, (PortId, VlanId, VrfId, Mac)>,
    pub vif_addresses: BTreeMap<(VifId, Ipv4Addr), ()>,
    pub tunnels: BTreeMap<TunnelId, (Ipv4Addr, Encapsulation)>,
    pub nexthops: BTreeMap<NexthopId, Nexthop>,
    pub routes: BTreeMap<(VrfId, Ipv4Net), NexthopId>,
    pub labels: BTreeMap<Label, LabelTarget>,
}

pub struct Plane {
    ops: OpReceiver,
    events: EventSender,
    pub model: Model,
    /// Every op since the start.
    pub log: Vec<Op>,
    /// Set since the last resync; `None` before the first.
    fresh: Option<Vec<Op>>,
    pub breaches: Vec<String>,
    /// VLANs whose filter the port refuses.
    pub refuse_vlans: BTreeSet<u16>,
    /// Answers no snapshot.
    pub mute: bool,
    pub ports: u8,
    started: bool,
}

/// The two ends of the rings for a `Carried`, and the plane.
pub fn plane(ports: u8, slots: usize) -> (OpSender, EventReceiver, Plane) {
    let (ops, receiver) = rtrb::RingBuffer::new(slots);
    let (sender, events) = rtrb::RingBuffer::new(EVENT_RING);
    let plane = Plane {
        ops: receiver,
        events: sender,
        model: Model::default(),
        log: Vec::new(),
        fresh: None,
        breaches: Vec::new(),
        refuse_vlans: BTreeSet::new(),
        mute: false,
        ports,
        started: false,
    };
    (ops, events, plane)
}

impl Plane {
    /// Applies everything in the ring; true if there was something.
    pub fn step(&mut self) -> bool {
        if !self.started {
            self.started = true;
            self.links();
        }
        let mut any = false;
        while let Ok(op) = self.ops.pop() {
            any = true;
            self.log.push(op);
            if let Err(refusal) = self.apply(op) {
                if refusal != Refusal::Port {
                    self.breaches.push(format!("{op:?}: {refusal}"));
                }
                self.event(Event::Refused { op, refusal });
            } else if let Some(fresh) = &mut self.fresh {
                fresh.push(op);
            }
        }
        any
    }

    fn event(&mut self, event: Event) {
        self.events.push(event).expect("room in the event ring");
    }

    fn links(&mut self) {
        for port in 0..self.ports {
            self.event(Event::PortLink { port: PortId(port), link: Link::Up });
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), Refusal> {
        // What hangs on a refused interface is no breach of the rules.
        let lost = if self.refuse_vlans.is_empty() { Refusal::Unknown } else { Refusal::Port };
        let m = &mut self.model;
        let known = |yes: bool| if yes { Ok(()) } else { Err(Refusal::Unknown) };
        let unused = |no: bool| if no { Err(Refusal::InUse) } else { Ok(()) };
        match op {
            Op::Resync => {
                self.fresh = Some(Vec::new());
                self.links();
            }
            Op::Sweep => self.sweep(),
            Op::TunnelAddressSet { address } => m.tunnel_address = Some(address),
            Op::PortAddressSet { port, address } => {
                m.port_addresses.insert((port, address), ());
            }
            Op::PortAddressDel { port, address } => {
                known(m.port_addresses.remove(&(port, address)).is_some())?
            }
            Op::NeighborSet { port, address, mac } => {
                m.neighbors.insert((port, address), mac);
            }
            Op::NeighborDel { port, address } => {
                known(m.neighbors.remove(&(port, address)).is_some())?
            }
            Op::UnderlayRouteSet { prefix, via } => {
                m.underlay.insert(prefix, via);
            }
            Op::UnderlayRouteDel { prefix } => known(m.underlay.remove(&prefix).is_some())?,
            Op::TunnelSourceSet { prefix } => {
                m.tunnel_sources.insert(prefix, ());
            }
            Op::TunnelSourceDel { prefix } => known(m.tunnel_sources.remove(&prefix).is_some())?,
            Op::VrfSet { vrf } => {
                m.vrfs.insert(vrf, ());
            }
            Op::VrfDel { vrf } => {
                unused(m.subnets.keys().any(|(v, _)| *v == vrf))?;
                unused(m.routes.keys().any(|(v, _)| *v == vrf))?;
                unused(m.vifs.values().any(|v| v.2 == vrf))?;
                unused(m.labels.values().any(|t| *t == LabelTarget::Vrf(vrf)))?;
                known(m.vrfs.remove(&vrf).is_some())?;
            }
            Op::SubnetSet { vrf, prefix, gateway } => {
                known(m.vrfs.contains_key(&vrf))?;
                m.subnets.insert((vrf, prefix), gateway);
            }
            Op::SubnetDel { vrf, prefix } => known(m.subnets.remove(&(vrf, prefix)).is_some())?,
            Op::VifSet { vif, port, vlan, vrf, mac } => {
                known(m.vrfs.contains_key(&vrf) && port.0 < self.ports)?;
                if m.vifs.iter().any(|(id, v)| *id != vif && (v.0, v.1) == (port, vlan)) {
                    return Err(Refusal::Duplicate);
                }
                if self.refuse_vlans.contains(&vlan.value()) {
                    return Err(Refusal::Port);
                }
                if m.vifs.get(&vif).is_some_and(|old| old.2 != vrf) {
                    unused(m.vif_addresses.keys().any(|(v, _)| *v == vif))?;
                }
                m.vifs.insert(vif, (port, vlan, vrf, mac));
            }
            Op::VifDel { vif } => {
                unused(m.vif_addresses.keys().any(|(v, _)| *v == vif))?;
                unused(m.nexthops.values().any(|n| *n == Nexthop::Vif(vif)))?;
                unused(m.labels.values().any(|t| *t == LabelTarget::Vif(vif)))?;
                known(m.vifs.remove(&vif).is_some())?;
            }
            Op::VifAddressSet { vif, address: IpAddr::V4(address) } => {
                let vrf = m.vifs.get(&vif).ok_or(lost)?.2;
                let taken = |(v, a): &(VifId, Ipv4Addr)| {
                    *v != vif && *a == address && m.vifs.get(v).is_some_and(|other| other.2 == vrf)
                };
                if self.fresh.is_none() && m.vif_addresses.keys().any(taken) {
                    return Err(Refusal::Duplicate);
                }
                m.vif_addresses.insert((vif, address), ());
            }
            Op::VifAddressDel { vif, address: IpAddr::V4(address) } => {
                known(m.vif_addresses.remove(&(vif, address)).is_some())?
            }
            Op::TunnelSet { tunnel, remote, encapsulation } => {
                m.tunnels.insert(tunnel, (remote, encapsulation));
            }
            Op::TunnelDel { tunnel } => {
                let user =
                    |n: &Nexthop| matches!(n, Nexthop::Tunnel { tunnel: t, .. } if *t == tunnel);
                unused(m.nexthops.values().any(user))?;
                known(m.tunnels.remove(&tunnel).is_some())?;
            }
            Op::NexthopSet { id, nexthop } => {
                known(id.0 != 0)?;
                match nexthop {
                    Nexthop::Tunnel { tunnel, .. } => known(m.tunnels.contains_key(&tunnel))?,
                    Nexthop::Vif(vif) if !m.vifs.contains_key(&vif) => return Err(lost),
                    _ => {}
                }
                if m.nexthops.get(&id).is_some_and(|old| *old != nexthop) {
                    return Err(Refusal::InUse);
                }
                m.nexthops.insert(id, nexthop);
            }
            Op::NexthopDel { id } => {
                unused(m.routes.values().any(|n| *n == id))?;
                known(m.nexthops.remove(&id).is_some())?;
            }
            Op::RouteSet { vrf, prefix: IpNet::V4(prefix), nexthop } => {
                known(m.vrfs.contains_key(&vrf))?;
                if !m.nexthops.contains_key(&nexthop) {
                    return Err(lost);
                }
                m.routes.insert((vrf, prefix), nexthop);
            }
            Op::RouteDel { vrf, prefix: IpNet::V4(prefix) } => {
                known(m.routes.remove(&(vrf, prefix)).is_some())?
            }
            Op::LabelSet { label, target } => {
                match target {
                    LabelTarget::Vrf(vrf) => known(m.vrfs.contains_key(&vrf))?,
                    LabelTarget::Vif(vif) if !m.vifs.contains_key(&vif) => return Err(lost),
                    LabelTarget::Vif(_) => {}
                }
                m.labels.insert(label, target);
            }
            Op::LabelDel { label } => known(m.labels.remove(&label).is_some())?,
            Op::Commit { generation } => self.event(Event::Ack { generation }),
            Op::Snapshot { token } => self.snapshot(token),
            other => return Err(self.unexpected(other)),
        }
        Ok(())
    }

    /// An op that the agent has no use for.
    fn unexpected(&mut self, op: Op) -> Refusal {
        self.breaches.push(format!("unexpected {op:?}"));
        Refusal::Unknown
    }

    /// What the new run set, by its own ops alone, must be all that is left, and must stand already.
    fn sweep(&mut self) {
        let before = std::mem::take(&mut self.model);
        for op in self.fresh.take().expect("a resync before the sweep") {
            let about_tables = !matches!(op, Op::Commit { .. } | Op::Snapshot { .. });
            if about_tables && let Err(refusal) = self.apply(op) {
                self.breaches.push(format!("after the sweep: {op:?}: {refusal}"));
            }
        }
        for (key, nexthop) in &self.model.routes {
            if before.routes.get(key) != Some(nexthop) {
                self.breaches.push(format!("the sweep changed {key:?}"));
            }
        }
    }

    fn snapshot(&mut self, token: u64) {
        if self.mute {
            return;
        }
        for port in 0..self.ports {
            self.event(Event::Port {
                token,
                port: PortId(port),
                mac: Mac([2, 0, 0, 0, 0, port]),
                link: Link::Up,
                mtu: 1500,
                rx_packets: 10,
                rx_bytes: 640,
                tx_packets: 9,
                tx_bytes: 540,
                missed: 0,
                rx_errors: 0,
                no_mbuf: 0,
                tx_errors: 0,
            });
        }
        self.event(Event::Worker {
            token,
            worker: WorkerId(0),
            cpu: 1,
            rx: 10,
            handed_in: 0,
            injected: 1,
            copies_made: 0,
            tx: 9,
            punted: 1,
            dropped: 1,
            handed_out: 0,
            queued: 0,
            busy_permille: 125,
        });
        self.event(Event::WorkerLoad {
            token,
            worker: WorkerId(0),
            bursts: 4,
            helped: 1,
            hot: true,
            sleeps: 7,
            longest_sleep_microseconds: 520,
        });
        self.event(Event::WorkerTimes {
            token,
            worker: WorkerId(0),
            bursts: 2,
            packets: 8,
            median: 900,
            p99: 1000,
            p999: 1100,
        });
        for (span, cycles) in [(0, 160), (1, 84)] {
            self.event(Event::WorkerSpan { token, worker: WorkerId(0), span, cycles });
        }
        self.event(Event::DropCount { token, reason: 0, count: 1 });
        self.event(Event::PuntCount { token, class: 0, count: 1, limited: 0 });
        for vif in self.model.vifs.keys().copied().collect::<Vec<_>>() {
            self.event(Event::Vif {
                token,
                vif,
                rx_packets: 5,
                rx_bytes: 300,
                tx_packets: 4,
                tx_bytes: 240,
            });
            self.event(Event::VifDrop { token, vif, reason: 0, count: 1 });
            self.event(Event::Neighbor {
                token,
                address: Ipv4Addr::new(10, 1, 0, 7),
                mac: Some(Mac([2; 6])),
                port: PortId(1),
                vif: Some(vif),
                state: NeighborState::Reachable,
                age_seconds: 3,
            });
        }
        for tunnel in self.model.tunnels.keys().copied().collect::<Vec<_>>() {
            self.event(Event::Tunnel {
                token,
                tunnel,
                via: Some(Ipv4Addr::new(192, 0, 2, 254)),
                up: true,
            });
        }
        self.event(Event::SnapshotEnd { token, generation: Gen(1) });
    }
}

/// A plane on its own thread.
pub struct Running {
    plane: Arc<Mutex<Plane>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub fn start(plane: Plane) -> Running {
        let plane = Arc::new(Mutex::new(plane));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (plane.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                shared.lock().unwrap().step();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Running { plane, stop, thread: Some(thread) }
    }

    pub fn lock(&self) -> MutexGuard<'_, Plane> {
        self.plane.lock().unwrap()
    }

    /// Waits until the plane is as wanted.
    pub fn wait(&self, what: &str, mut wanted: impl FnMut(&Plane) -> bool) {
        until(what, || wanted(&self.lock()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits up to 15 s.
pub fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !wanted() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of its own for each test, removed at the end.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("vrouter-agent-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
