//! What changes cost with thousands of tunnels, and that packets never see anything but before or after.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::buffer::{Buf, HeapBuf};
use engine::seam::{Nexthop, NexthopId, PortId, VrfId, WorkerId};
use engine::table::{Port, PortRole};
use engine::{Verdict, WorkerState, pipeline};
use ipnet::{IpNet, Ipv4Net};
use wire::{Label, Mac, VlanId};

use super::tests::{Bench, address, commit, ip, tunnel};
use super::*;

const FABRIC: PortId = PortId(0);
const GATEWAY: PortId = PortId(1);

fn label(value: u32) -> Label {
    Label::new(value).unwrap()
}

fn nexthop(id: u32, tunnel: u32, value: u32) -> Op {
    let nexthop = Nexthop::Tunnel { tunnel: TunnelId(tunnel), label: label(value) };
    Op::NexthopSet { id: NexthopId(id), nexthop }
}

fn net(address: u32, length: u8) -> IpNet {
    Ipv4Net::new_assert(address.into(), length).into()
}

/// Records that wait for a reader: those that were written since it last passed a quiescent point.
fn written(bench: &mut Bench) -> usize {
    bench.service.writer.reclaim()
}

#[test]
fn a_lost_tunnel_end_is_one_record_whatever_stands_behind() {
    let mut bench = Bench::new();
    let (near, far) = (ip("10.0.0.253"), ip("10.0.0.254"));
    let (tunnels, routes) = (10_000u32, 30_000u32);
    let remote = |n: u32| Ipv4Addr::from_bits(ip("192.168.0.0").to_bits() + n);
    let vrf = VrfId(1);
    let host = |n| Ipv4Net::from(remote(n));
    let via = |n| Op::UnderlayRouteSet { prefix: host(n), via: near };
    let default = Op::UnderlayRouteSet { prefix: "0.0.0.0/0".parse().unwrap(), via: far };
    let route = |n: u32| Op::RouteSet {
        vrf,
        prefix: net(0x1400_0000 + (n << 8), 24),
        nexthop: NexthopId(1 + n % tunnels),
    };
    let set = [address(), default, Op::VrfSet { vrf }].into_iter();
    let set = set.chain((0..tunnels).map(via));
    let set = set.chain((0..tunnels).map(|n| tunnel(n, remote(n))));
    let set = set.chain((0..tunnels).map(|n| nexthop(1 + n, n, 16)));
    bench.run(set.chain((0..routes).map(route)).chain([commit(1)]));
    let key = |address| Key::Underlay(FABRIC, address);
    for address in [near, far] {
        bench.service.neighbors.track(key(address), None, bench.now);
        bench.heard(key(address));
    }
    let mut reader = WorkerState::new(bench.service.writer.tables(), WorkerId(0)).unwrap();
    bench.run([]);
    let mut written_by = |bench: &mut Bench, work: &dyn Fn(&mut Bench)| {
        written(bench);
        reader.quiesce();
        assert_eq!(written(bench), 0);
        let started = Instant::now();
        work(bench);
        (written(bench), started.elapsed())
    };

    // The underlay's route to one of them goes: it takes the other way, by one record, and at once.
    let mut best = Duration::MAX;
    for n in 0..20 {
        let (count, took) = written_by(&mut bench, &|bench| {
            bench.run([Op::UnderlayRouteDel { prefix: host(n) }, commit(2 + u64::from(n))]);
        });
        assert_eq!(count, 1);
        best = best.min(took);
        let way = bench.service.underlay.tunnel(TunnelId(n)).unwrap().via;
        assert_eq!(way, Some(key(far)));
    }
    println!("visible after {best:?}");
    assert!(best < Duration::from_millis(1), "{best:?}");
    // A neighbour fails under nearly all of them, or comes back: one adjacency.
    let (count, _) = written_by(&mut bench, &|bench| {
        bench.service.neighbors.link_down(|other| other == key(near), &mut bench.service.actions);
        bench.service.act();
    });
    assert_eq!(count, 1);
    assert!(!bench.service.tunnels_up[&TunnelId(100)] && bench.service.tunnels_up[&TunnelId(0)]);
    let (count, _) = written_by(&mut bench, &|bench| bench.heard(key(near)));
    assert_eq!(count, 0, "its place was empty: no reader holds what was there");
    assert!(bench.service.tunnels_up[&TunnelId(100)]);
}

/// Instances of VRFs, each with a route that stays and routes that come, go and change under the eyes of a worker.
struct Churn {
    vrfs: u32,
    prefixes: u32,
}

impl Churn {
    /// What stays, /8.
    const KEPT: u32 = 0x1400_0000;
    const TUNNEL: TunnelId = TunnelId(1);

    /// Labels say which route a packet took: the one that stays, or one of two at a prefix that changes.
    fn label(&self, vrf: u32, way: u32) -> u32 {
        16 + vrf * 3 + way
    }

    fn nexthop(&self, vrf: u32, way: u32) -> NexthopId {
        NexthopId(1 + vrf * 3 + way)
    }

    fn prefix(&self, n: u32) -> IpNet {
        // Of three lengths, some inside others.
        let length = [24, 26, 28][(n % 3) as usize];
        net(Churn::KEPT + ((n / 3) << 8), length)
    }

    fn furnish(&self, bench: &mut Bench) {
        let writer = &mut bench.service.writer;
        let gateway = Port { role: PortRole::Gateway, mac: Mac([2, 0, 0, 0, 0, 2]), mtu: 1500 };
        writer.port_set(GATEWAY, gateway).unwrap();
        let pe = ip("10.0.0.9");
        let mut ops = vec![address(), Op::TunnelAddressSet { address: ip("10.0.0.1") }];
        ops.push(tunnel(Churn::TUNNEL.0, pe));
        for vrf in 0..self.vrfs {
            ops.push(Op::VrfSet { vrf: VrfId(vrf as u16 + 1) });
            let id = |way| self.nexthop(vrf, way).0;
            ops.extend((0..3).map(|way| nexthop(id(way), Churn::TUNNEL.0, self.label(vrf, way))));
            let (vrf, nexthop) = (VrfId(vrf as u16 + 1), self.nexthop(vrf, 0));
            ops.push(Op::RouteSet { vrf, prefix: net(Churn::KEPT, 8), nexthop });
        }
        bench.run(ops.into_iter().chain([commit(1)]));
        bench.heard(Key::Underlay(FABRIC, pe));
        for vrf in 0..self.vrfs as u16 {
            let (vif, vlan) = (VifId(vrf), VlanId::new(vrf + 1).unwrap());
            let writer = &mut bench.service.writer;
            writer.vif_set(vif, GATEWAY, vlan, VrfId(vrf + 1), instance_mac(vrf)).unwrap();
            writer.vif_address_set(vif, ip("10.1.0.7")).unwrap();
        }
    }

    /// Sends packets to everywhere until the end; every one must leave by a route that may be there. Returns how many did.
    fn watch(&self, worker: &mut WorkerState, end: &AtomicBool) -> u64 {
        let mut random = Random(7);
        let (mut seen, mut verdicts) = (0, Vec::new());
        while !end.load(Ordering::Relaxed) {
            let asked: Vec<(u32, u32)> = (0..32)
                .map(|_| {
                    let n = random.next() % (self.prefixes / 3);
                    let low = random.next() & 0xff;
                    // Every fourth is far from all that changes.
                    let far = if random.next().is_multiple_of(4) { 0x80_0000 } else { 0 };
                    (random.next() % self.vrfs, Churn::KEPT + far + (n << 8) + low)
                })
                .collect();
            let mut packets: Vec<HeapBuf> =
                asked.iter().map(|(vrf, to)| HeapBuf::new(&frame(*vrf as u16, *to))).collect();
            pipeline::process(worker, GATEWAY, &mut packets, &mut verdicts);
            worker.quiesce();
            for (((vrf, to), packet), verdict) in asked.into_iter().zip(&packets).zip(&verdicts) {
                assert!(matches!(verdict, Verdict::Tx { port: FABRIC, .. }), "{verdict:?}");
                let bytes = packet.data();
                let entry = u32::from_be_bytes([bytes[42], bytes[43], bytes[44], bytes[45]]);
                let way = (entry >> 12).wrapping_sub(self.label(vrf, 0));
                let possible = if to & 0x80_0000 == 0 { 0..3 } else { 0..1 };
                assert!(possible.contains(&way), "VRF {vrf} to {to:x}: label {}", entry >> 12);
                seen += 1;
            }
        }
        seen
    }
}

/// Xorshift: the same every time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

fn instance_mac(vrf: u16) -> Mac {
    let [high, low] = vrf.to_be_bytes();
    Mac([2, 0, 0, 1, high, low])
}

fn frame(vrf: u16, destination: u32) -> Vec<u8> {
    let mut frame = Vec::with_capacity(64);
    frame.extend(Mac::GATEWAY.0);
    frame.extend(instance_mac(vrf).0);
    frame.extend([0x81, 0]);
    frame.extend((vrf + 1).to_be_bytes());
    frame.extend([8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 7]);
    frame.extend(destination.to_be_bytes());
    let sum = wire::checksum::of(&frame[18..38]);
    frame[28..30].copy_from_slice(&sum.to_be_bytes());
    frame.resize(64, 0);
    frame
}

/// `STRESS_SECONDS` in the environment makes it longer.
#[test]
fn packets_see_every_change_as_before_or_after() {
    let seconds = std::env::var("STRESS_SECONDS").map_or(2, |text| text.parse().unwrap());
    let churn = Churn { vrfs: 20, prefixes: 600 };
    let mut bench = Bench::new();
    churn.furnish(&mut bench);
    let mut worker = WorkerState::new(bench.service.writer.tables(), WorkerId(0)).unwrap();
    let end = AtomicBool::new(false);
    let mut random = Random(1);
    let mut model: HashMap<(u32, u32), u32> = HashMap::new();
    let (mut changes, mut generation, mut refused) = (0, 1, Vec::new());
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| churn.watch(&mut worker, &end));
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until && !watcher.is_finished() {
            let mut ops = Vec::new();
            for _ in 0..500 {
                let key = (random.next() % churn.vrfs, random.next() % churn.prefixes);
                let (vrf, prefix) = (VrfId(key.0 as u16 + 1), churn.prefix(key.1));
                let way = random.next() % 3;
                ops.push(if way == 0 && model.remove(&key).is_some() {
                    Op::RouteDel { vrf, prefix }
                } else {
                    let way = way.max(1);
                    model.insert(key, way);
                    Op::RouteSet { vrf, prefix, nexthop: churn.nexthop(key.0, way) }
                });
            }
            changes += ops.len();
            generation += 1;
            let told = bench.run(ops.into_iter().chain([commit(generation)]));
            refused.extend(told.into_iter().filter(|event| matches!(event, Event::Refused { .. })));
        }
        end.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    println!("{changes} changes, {seen} packets");
    assert_eq!(refused, []);
    assert!(changes as u64 > 20_000 * seconds && seen > 10_000, "{changes} {seen}");
    // In the end all is as the model has it.
    drop(worker);
    for vrf in 0..churn.vrfs {
        for n in 0..churn.prefixes {
            let prefix = churn.prefix(n);
            let IpAddr::V4(first) = prefix.network() else { continue };
            // All lengths begin at one address: the longest that is there has it.
            let group = n / 3 * 3;
            let way = (group..group + 3).rev().find_map(|n| model.get(&(vrf, n)));
            let expected = churn.label(vrf, way.copied().unwrap_or(0));
            let found = bench.service.writer.lookup(VrfId(vrf as u16 + 1), first);
            let Some(Nexthop::Tunnel { label, .. }) = found else { panic!("{found:?}") };
            assert_eq!(label.value(), expected, "VRF {vrf} {prefix}");
        }
    }
}
