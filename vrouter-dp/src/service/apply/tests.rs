use std::net::Ipv4Addr;
use std::time::Duration;

use engine::seam::{
    BfdTiming, Encapsulation, EventReceiver, Gen, NexthopId, OpSender, PortId, VrfId,
};
use engine::table::{Port, PortRole, Tables};
use wire::Mac;
use wire::bfd::{Diagnostic, State};

use super::*;
use crate::service::Parts;
use crate::service::bfd::Said;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// A service without devices: its tables know one fabric port.
pub(super) struct Bench {
    pub(super) service: Service,
    ops: OpSender,
    events: EventReceiver,
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let (_, mut writer) = Tables::new(1);
        let port = Port { role: PortRole::Fabric, mac: MAC, mtu: 1500 };
        writer.port_set(PortId(0), port).unwrap();
        let (ops, receiver) = rtrb::RingBuffer::new(1 << 16);
        let (sender, events) = rtrb::RingBuffer::new(1 << 16);
        let parts = Parts {
            writer,
            ops: receiver,
            events: sender,
            ports: vec![],
            carrier: dpdk::Carrier::open().unwrap(),
            workers: vec![],
            hz: 1_000_000_000,
        };
        Bench { service: Service::new(parts), ops, events, now: Instant::now() }
    }

    /// Turns until nothing is left to do; what the agent was told.
    pub(super) fn run(&mut self, ops: impl IntoIterator<Item = Op>) -> Vec<Event> {
        let mut ops = ops.into_iter().peekable();
        let mut told = Vec::new();
        loop {
            while ops.peek().is_some() && !self.ops.is_full() {
                self.ops.push(ops.next().unwrap()).unwrap();
            }
            let mut busy = self.service.apply_ops(self.now);
            busy |= self.service.acknowledge();
            busy |= self.service.outbox.flush();
            told.extend(std::iter::from_fn(|| self.events.pop().ok()));
            if !busy {
                return told;
            }
        }
    }

    pub(super) fn heard(&mut self, key: Key) {
        self.service.neighbors.heard(key, MAC, self.now, &mut self.service.actions);
        self.service.act();
    }

    fn link_down(&mut self) {
        self.service.neighbors.link_down(|_| true, &mut self.service.actions);
        self.service.act();
    }
}

pub(super) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(super) fn tunnel(id: u32, remote: Ipv4Addr) -> Op {
    Op::TunnelSet { tunnel: TunnelId(id), remote, encapsulation: Encapsulation::MplsOverUdp }
}

pub(super) fn address() -> Op {
    Op::PortAddressSet { port: PortId(0), address: "10.0.0.1/8".parse().unwrap() }
}

pub(super) fn commit(generation: u64) -> Op {
    Op::Commit { generation: Gen(generation) }
}

pub(super) fn ack(generation: u64) -> Event {
    Event::Ack { generation: Gen(generation) }
}

pub(super) fn up(id: u32, up: bool) -> Event {
    Event::TunnelUp { tunnel: TunnelId(id), up }
}

#[test]
fn the_agent_hears_when_a_tunnel_comes_and_goes() {
    let mut bench = Bench::new();
    let (pe, router) = (ip("10.0.0.9"), ip("10.0.0.254"));
    let at = |address| Key::Underlay(PortId(0), address);
    let far = ip("192.0.2.9");
    let route = "192.0.2.0/24".parse().unwrap();
    let told = bench.run([address(), tunnel(1, pe), tunnel(2, far), commit(1)]);
    assert_eq!(told, [ack(1), up(1, false), up(2, false)]);
    bench.heard(at(pe));
    assert_eq!(bench.run([]), [up(1, true)]);
    assert_eq!(bench.run([tunnel(1, pe), commit(2)]), [ack(2)], "the same again changes nothing");

    // A way appears for the other one; its neighbour has to answer first.
    let via = Op::UnderlayRouteSet { prefix: route, via: router };
    assert_eq!(bench.run([via, commit(3)]), [ack(3)]);
    bench.heard(at(router));
    assert_eq!(bench.run([]), [up(2, true)]);
    // To a known neighbour it is up at once; to nowhere it is down at once.
    assert_eq!(bench.run([tunnel(1, far), commit(4)]), [ack(4)]);
    assert!(bench.service.neighbors.find(at(pe)).is_none(), "nobody goes through it any more");
    assert_eq!(bench.run([tunnel(1, ip("198.51.100.1")), commit(5)]), [ack(5), up(1, false)]);

    bench.link_down();
    assert_eq!(bench.run([]), [up(2, false)]);
    bench.heard(at(router));
    let delete = Op::TunnelDel { tunnel: TunnelId(2) };
    assert_eq!(bench.run([delete, commit(6)]), [ack(6)], "nothing about a tunnel that has gone");
    assert_eq!(bench.service.neighbors.iter().count(), 0);
    assert_eq!(bench.run([Op::Resync]), [up(1, false)], "a new agent is told all states");
}

#[test]
fn a_tunnel_to_a_static_neighbour_is_up_without_a_question() {
    let mut bench = Bench::new();
    let pe = ip("10.0.0.9");
    let key = Key::Underlay(PortId(0), pe);
    let fix = |bench: &mut Bench, mac| {
        bench.service.neighbors.fix(key, mac, true, bench.now, &mut bench.service.actions);
        bench.service.act();
    };
    fix(&mut bench, MAC);
    assert_eq!(bench.run([address(), tunnel(1, pe), commit(1)]), [ack(1), up(1, true)]);
    bench.link_down();
    assert_eq!(bench.run([]), [up(1, false)]);
    bench.service.neighbors.link_up(|_| true, bench.now, &mut bench.service.actions);
    bench.service.act();
    assert_eq!(bench.run([]), [up(1, true)]);
    // It stays without a tunnel, and goes when it is taken away; a tunnel behind it has to wait for an answer then.
    let delete = Op::TunnelDel { tunnel: TunnelId(1) };
    assert_eq!(bench.run([delete]), []);
    assert!(bench.service.neighbors.find(key).is_some());
    assert_eq!(bench.run([tunnel(1, pe)]), [up(1, true)]);
    let del = Op::NeighborDel { port: PortId(0), address: pe };
    assert_eq!(bench.run([del]), [up(1, false)]);
    bench.heard(key);
    assert_eq!(bench.run([]), [up(1, true)]);
    let refused = |op| Event::Refused { op, refusal: Refusal::Unknown };
    assert_eq!(bench.run([del]), [refused(del)]);
    let nowhere = Op::NeighborSet { port: PortId(9), address: pe, mac: MAC };
    assert_eq!(bench.run([nowhere]), [refused(nowhere)]);
}

#[test]
fn a_sweep_is_over_before_its_commit_and_keeps_to_the_budget() {
    let mut bench = Bench::new();
    let vrf = VrfId(1);
    let id = NexthopId(1);
    let prefix = |n: u32| ipnet::IpNet::new(Ipv4Addr::from_bits(n << 8).into(), 24).unwrap();
    let count = 3 * OPS_PER_TURN as u32;
    let setup =
        [Op::VrfSet { vrf }, Op::NexthopSet { id, nexthop: engine::seam::Nexthop::Discard }];
    let routes = (0..count).map(|n| Op::RouteSet { vrf, prefix: prefix(n), nexthop: id });
    assert_eq!(bench.run(setup.into_iter().chain(routes).chain([commit(1)])), [ack(1)]);
    let keep = Op::RouteSet { vrf, prefix: prefix(7), nexthop: id };
    assert_eq!(bench.run(setup.into_iter().rev().chain([Op::Resync, keep])), []);
    bench.run(setup);

    bench.ops.push(Op::Sweep).unwrap();
    bench.ops.push(commit(2)).unwrap();
    assert!(bench.service.apply_ops(bench.now));
    assert!(!bench.service.stale.is_empty(), "other work gets its turn");
    assert!(bench.service.acks.is_empty());
    assert_eq!(bench.run([]), [ack(2)]);
    let found = |n: u32| bench.service.writer.lookup(vrf, Ipv4Addr::from_bits(n << 8));
    assert!(found(7).is_some());
    assert!((0..count).filter(|n| *n != 7).all(|n| found(n).is_none()));
}

#[test]
fn a_refused_op_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let prefix = "10.1.0.0/24".parse().unwrap();
    let vrf = VrfId(1);
    let refused = |op, refusal| Event::Refused { op, refusal };
    for op in [
        Op::UnderlayRouteDel { prefix },
        Op::SubnetDel { vrf, prefix },
        Op::TunnelDel { tunnel: TunnelId(1) },
        Op::PortAddressSet { port: PortId(9), address: prefix },
        Op::SubnetSet { vrf, prefix, gateway: ip("10.1.0.1") },
    ] {
        assert_eq!(bench.run([op]), [refused(op, Refusal::Unknown)]);
    }
    let beyond = tunnel(u32::MAX, ip("10.0.0.9"));
    assert_eq!(bench.run([address(), beyond]), [refused(beyond, Refusal::Full)]);
    assert_eq!(bench.service.underlay.tunnels().count(), 0);
    assert_eq!(bench.service.neighbors.iter().count(), 0);
    // What went with its VRF is no longer there to be swept, and is asked for once only.
    let subnet = Op::SubnetSet { vrf, prefix, gateway: ip("10.1.0.1") };
    assert_eq!(bench.run([Op::VrfSet { vrf }, subnet, Op::VrfDel { vrf }, Op::Resync]), []);
    let gone = refused(Op::SubnetDel { vrf, prefix }, Refusal::Unknown);
    assert_eq!(bench.run([address(), Op::Sweep]), [gone]);
    assert_eq!(bench.run([Op::Resync, address(), Op::Sweep]), []);
}

#[test]
fn thousands_of_tunnels_are_set_lost_and_found_in_no_time() {
    let mut bench = Bench::new();
    let count = 8000;
    let remote = |n: u32| Ipv4Addr::from_bits(ip("10.1.0.0").to_bits() + n);
    let started = Instant::now();
    bench.run([address()].into_iter().chain((0..count).map(|n| tunnel(n, remote(n)))));
    for n in 0..count {
        bench.heard(Key::Underlay(PortId(0), remote(n)));
    }
    assert_eq!(bench.run([]).len(), count as usize);
    bench.link_down();
    assert_eq!(bench.run([]).len(), count as usize);
    let delete = |n| Op::TunnelDel { tunnel: TunnelId(n) };
    assert_eq!(bench.run((0..count).map(delete).chain([commit(1)])), [ack(1)]);
    // Looking at every tunnel for each of them would take minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(bench.service.neighbors.iter().count(), 0);
}

#[test]
fn adjacency_ids_rest_and_end() {
    let (tables, writer) = Tables::new(1);
    let mut ids = AdjacencyIds::default();
    let state = engine::WorkerState::new(&tables, engine::seam::WorkerId(0)).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| ids.take(tables.domain())).collect();
    assert_eq!(all.len(), ADJACENCIES);
    assert!(!ids.any(tables.domain()));
    ids.free(writer.publish(), all[5]);
    assert_eq!(ids.take(tables.domain()), None, "a worker may still know it");
    drop(state);
    assert!(ids.any(tables.domain()));
    assert_eq!(ids.take(tables.domain()), Some(all[5]));
}

/// A packet of `remote` as BFD's, in this state.
fn bfd_packet(b: &mut Bench, remote: Ipv4Addr, state: State) {
    let mut packet = wire::bfd::Bfd::new(7, state, Diagnostic::NONE);
    let ours = b.service.bfd.discriminator(remote);
    packet.set_your_discriminator(ours);
    packet.set_timing(50_000, 50_000, 3);
    let said =
        Said { remote: ip("10.0.0.1"), multihop: false, number: 1, packet: None, change: None };
    let bytes = crate::service::bfd::datagram(&said, &packet, remote);
    let said = b.service.bfd.heard(&bytes, b.now).unwrap();
    b.service.bfd_said(&said, b.now);
}

#[test]
fn tunnels_stop_while_bfd_misses_their_end_and_only_then() {
    let mut b = Bench::new();
    let (one, other) = (ip("10.0.0.9"), ip("10.0.0.8"));
    let timing = BfdTiming { multihop: false, min_tx: 50_000, min_rx: 50_000, multiplier: 3 };
    b.run([
        address(),
        tunnel(1, one),
        tunnel(2, other),
        Op::BfdSet { remote: one, timing },
        commit(1),
    ]);
    for remote in [one, other] {
        b.heard(Key::Underlay(PortId(0), remote));
    }
    let told = b.run([]);
    assert!(
        told.contains(&up(1, true)) && told.contains(&up(2, true)),
        "it never was up: {told:?}"
    );
    bfd_packet(&mut b, one, State::Init);
    assert!(!b.run([]).contains(&up(1, false)));
    b.now += Duration::from_secs(1);
    let now = b.now;
    for said in b.service.bfd.tick(now) {
        b.service.bfd_said(&said, now);
    }
    let told = b.run([]);
    assert!(told.contains(&up(1, false)) && !told.contains(&up(2, false)), "{told:?}");
    // A change of routes does not bring it back; the session does.
    assert!(!b.run([tunnel(1, one), commit(2)]).contains(&up(1, true)));
    bfd_packet(&mut b, one, State::Init);
    assert!(b.run([]).contains(&up(1, true)));
    // Taken down by its operator, and taken out of our configuration: no word about the way.
    bfd_packet(&mut b, one, State::AdminDown);
    assert!(!b.run([]).contains(&up(1, false)));
    bfd_packet(&mut b, one, State::Init);
    bfd_packet(&mut b, one, State::Down);
    assert!(b.run([]).contains(&up(1, false)));
    assert!(b.run([Op::BfdDel { remote: one }, commit(3)]).contains(&up(1, true)));
}

#[test]
fn a_bfd_session_lives_through_a_new_agent_and_goes_with_the_sweep() {
    let mut b = Bench::new();
    let (remote, key) = (ip("10.0.0.9"), Key::Underlay(PortId(0), ip("10.0.0.9")));
    let timing = BfdTiming { multihop: false, min_tx: 50_000, min_rx: 50_000, multiplier: 3 };
    let set = Op::BfdSet { remote, timing };
    let (state, diagnostic) = (State::Down, Diagnostic::NONE);
    let down = Event::Bfd { remote, state, diagnostic };
    let told = b.run([address(), set, commit(1)]);
    assert!(told.contains(&down), "{told:?}");
    // Its neighbour is asked for, as soon as there is something to send.
    assert!(b.service.neighbors.find(key).is_none());
    let later = b.now + Duration::from_secs(2);
    for said in b.service.bfd.tick(later) {
        b.service.bfd_said(&said, later);
    }
    assert!(b.service.neighbors.find(key).is_some());
    // A tunnel that comes and goes leaves it to the session.
    b.run([tunnel(1, remote), commit(2), Op::TunnelDel { tunnel: TunnelId(1) }, commit(3)]);
    assert!(b.service.neighbors.find(key).is_some());

    let told = b.run([Op::Resync, address(), set, Op::Sweep, commit(4)]);
    assert!(told.contains(&down), "a new agent is told");
    assert_eq!(b.service.bfd.remotes().count(), 1);
    b.run([Op::Resync, address(), Op::Sweep, commit(5)]);
    assert_eq!(b.service.bfd.remotes().count(), 0);
    assert!(b.service.neighbors.find(key).is_none());
    let gone = Op::BfdDel { remote };
    let refused = Event::Refused { op: gone, refusal: Refusal::Unknown };
    assert_eq!(b.run([gone]), [refused]);
}
