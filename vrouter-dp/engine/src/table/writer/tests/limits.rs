//! Every size that a node must carry, at once: filled while a worker reads, looked up against a naive model, taken away again.
//!
//! `LIMITS=full` is the real sizes, as `make million` runs it; without, a sixty-fourth of them.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ipnet::Ipv6Net;

use super::super::*;
use crate::publish::Reader;
use crate::seam::Encapsulation;

const FABRIC: PortId = PortId(0);
/// VLANs of a port.
const VLANS: u32 = 4094;
/// What the roots of the 64 VRFs whose routes stay may take more once they began at other bits, bytes.
const ROOTS: usize = 64 * 64;
/// A span of blocks of each size, bytes.
const SPANS: usize = 27 * 65_536;
/// The first label that is not reserved.
const FIRST_LABEL: u32 = 16;

/// How many of each.
struct Sizes {
    vrfs: u32,
    instances: u32,
    routes4: u32,
    routes6: u32,
    nexthops: u32,
    tunnels: u32,
    labels: u32,
    /// Addresses looked up per family.
    samples: u32,
}

impl Sizes {
    fn wanted() -> Sizes {
        let part = if std::env::var("LIMITS").is_ok_and(|value| value == "full") { 1 } else { 64 };
        Sizes {
            vrfs: 4096 / part,
            instances: 16_384 / part,
            routes4: 2_000_000 / part,
            routes6: 500_000 / part,
            nexthops: (1 << 20) / part,
            tunnels: 65_536 / part,
            labels: (1 << 20) / part,
            samples: 200_000 / part.min(8),
        }
    }

    /// VRFs are numbered from 1.
    fn vrf(&self, number: u32) -> VrfId {
        VrfId(1 + (number % self.vrfs) as u16)
    }

    /// A route: every fourth one lies within a shorter one of its VRF. Distinct numbers are distinct routes.
    fn route4(&self, number: u32) -> (VrfId, IpNet, NexthopId) {
        let (vrf, index) = (self.vrf(number), number / self.vrfs);
        let spread = index.wrapping_mul(0x9e37_79b1) % (1 << 22);
        let net = match index % 4 {
            0 => Ipv4Net::new_assert((0x0a00_0000 + ((index / 4) << 14)).into(), 18),
            1 => Ipv4Net::new_assert(
                (0x0a00_0000 + ((index / 4) << 14) + (spread & 0x3fff)).into(),
                32,
            ),
            _ => Ipv4Net::new_assert((0x4000_0000 + (spread << 8)).into(), 24),
        };
        (vrf, net.into(), self.nexthop(number))
    }

    fn route6(&self, number: u32) -> (VrfId, IpNet, NexthopId) {
        let (vrf, index) = (self.vrf(number), u128::from(number / self.vrfs));
        let base = 0x2a00_u128 << 112;
        let net = match index % 3 {
            0 => Ipv6Net::new_assert((base + ((index / 3) << 84)).into(), 44),
            1 => Ipv6Net::new_assert((base + ((index / 3) << 84) + (7 << 64)).into(), 64),
            _ => Ipv6Net::new_assert(((0x3000_u128 << 112) + (index << 80)).into(), 48),
        };
        (vrf, net.into(), self.nexthop(number))
    }

    /// Those of routes: the first ones are of the routes that stay.
    fn nexthop(&self, number: u32) -> NexthopId {
        NexthopId(1 + number.wrapping_mul(2_654_435_761) % self.nexthops)
    }

    fn meaning(&self, id: NexthopId) -> Nexthop {
        let (number, tunnel) = (id.0 - 1, (id.0 - 1) % self.tunnels);
        let label = label(FIRST_LABEL + number % ((1 << 20) - FIRST_LABEL));
        Nexthop::Tunnel { tunnel: TunnelId(tunnel), label }
    }

    /// Where an interface is.
    fn place(&self, instance: u32) -> (PortId, VlanId) {
        let port = PortId(1 + (instance / VLANS) as u8);
        (port, VlanId::new(1 + (instance % VLANS) as u16).unwrap())
    }

    /// What a label of ours leads to.
    fn target(&self, label: u32) -> LabelTarget {
        match label % 2 {
            0 => LabelTarget::Vrf(self.vrf(label)),
            _ => LabelTarget::Vif(VifId((label / 2 % self.instances) as u16)),
        }
    }

    fn labels(&self) -> impl Iterator<Item = u32> {
        FIRST_LABEL..FIRST_LABEL.max(self.labels)
    }
}

fn label(value: u32) -> Label {
    Label::new(value).unwrap()
}

fn remote(tunnel: u32) -> Ipv4Addr {
    (0xc612_0000 + tunnel).into()
}

/// Runs a step and says what it cost.
fn step(what: &str, count: u32, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    let took = started.elapsed();
    println!("{what}: {count} in {took:.2?}, resident {} MiB", resident_mib());
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn lookup(tables: &Tables, vrf: VrfId, address: IpAddr) -> NexthopId {
    match address {
        IpAddr::V4(address) => tables.fib.lookup(vrf, address),
        IpAddr::V6(address) => tables.fib.lookup6(vrf, address),
    }
}

/// Longest prefix match by trying every length.
fn naive(
    model: &HashMap<(VrfId, IpNet), NexthopId>,
    vrf: VrfId,
    address: IpAddr,
) -> Option<NexthopId> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().find_map(|length| {
        let net = IpNet::new(address, length).unwrap().trunc();
        model.get(&(vrf, net)).copied()
    })
}

/// An address within a prefix or beside it.
fn near(prefix: IpNet, draw: u128) -> IpAddr {
    match prefix {
        IpNet::V4(net) => {
            let host = u32::MAX.checked_shr(u32::from(net.prefix_len())).unwrap_or(0) << 1 | 1;
            Ipv4Addr::from_bits(net.network().to_bits() ^ (draw as u32 & host)).into()
        }
        IpNet::V6(net) => {
            let host = (u128::MAX >> net.prefix_len()) << 1 | 1;
            Ipv6Addr::from_bits(net.network().to_bits() ^ (draw & host)).into()
        }
    }
}

/// Ends the worker, also after a failed assertion.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What stays while everything else comes and goes, as a worker sees it all the time.
fn worker(tables: &Tables, sizes: &Sizes, stop: &AtomicBool) -> u64 {
    let mut reader = Reader::new(&tables.domain).unwrap();
    let mut looked = 0;
    while !stop.load(Ordering::Relaxed) {
        for number in 0..sizes.vrfs.min(64) {
            for (vrf, prefix, nexthop) in [sizes.route4(number), sizes.route6(number)] {
                let found = lookup(tables, vrf, prefix.addr());
                assert_eq!(found, nexthop, "{vrf:?} {prefix}");
                assert_eq!(tables.nexthops.nexthop(found), Some(sizes.meaning(nexthop)));
                looked += 1;
            }
        }
        reader.quiesce();
    }
    looked
}

#[test]
fn every_size_holds_at_once_while_a_worker_reads() {
    let sizes = Sizes::wanted();
    let (tables, mut writer) = Tables::new(1);
    for port in 0..=sizes.instances.div_ceil(VLANS) {
        let role = if port == 0 { PortRole::Fabric } else { PortRole::Gateway };
        let mac = Mac([2, 0, 0, 0, 1, port as u8]);
        writer.port_set(PortId(port as u8), Port { role, mac, mtu: 1500 }).unwrap();
    }
    let stays = |number: u32| number < sizes.vrfs.min(64);
    step("VRFs", sizes.vrfs, || {
        (0..sizes.vrfs).for_each(|number| writer.vrf_set(sizes.vrf(number)).unwrap());
    });
    step("tunnels", sizes.tunnels, || {
        for tunnel in 0..sizes.tunnels {
            let udp = Encapsulation::MplsOverUdp;
            writer.tunnel_set(TunnelId(tunnel), remote(tunnel), udp).unwrap();
        }
    });
    step("next hops", sizes.nexthops, || {
        for id in (1..=sizes.nexthops).map(NexthopId) {
            writer.nexthop_set(id, sizes.meaning(id)).unwrap();
        }
    });
    // Twice over: what was taken away once leaves nothing behind for the second time.
    for round in 0..2 {
        for number in (0..sizes.vrfs).filter(|number| stays(*number)) {
            for (vrf, prefix, nexthop) in [sizes.route4(number), sizes.route6(number)] {
                writer.route_set(vrf, prefix, nexthop).unwrap();
            }
        }
        while writer.reclaim() > 0 {}
        let before = (writer.fib.bytes(), writer.route_bytes());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| worker(&tables, &sizes, &stop));
            let end = End(&stop);
            fill(&sizes, &tables, &mut writer);
            let full = writer.route_bytes();
            let routes = sizes.routes4 + sizes.routes6;
            println!("routes take {} bytes each with all between", full / routes as usize);
            sampled(&sizes, &tables);
            take_away(&sizes, &tables, &mut writer, stays);
            drop(end);
            println!("round {round}: the worker looked {} times", reader.join().unwrap());
        });
        while writer.reclaim() > 0 {}
        let after = (writer.fib.bytes(), writer.route_bytes());
        println!(
            "route tables: {before:?} bytes before, {after:?} after, the second with all between"
        );
        assert!(after.0 <= before.0 + before.0 / 10 + ROOTS, "{before:?}, then {after:?}");
        assert!(after.1 <= before.1 + before.1 / 10 + SPANS, "{before:?}, then {after:?}");
    }
    for number in (0..sizes.vrfs).filter(|number| stays(*number)) {
        for (vrf, prefix, _) in [sizes.route4(number), sizes.route6(number)] {
            writer.route_del(vrf, prefix).unwrap();
        }
    }
    step("next hops gone", sizes.nexthops, || {
        (1..=sizes.nexthops).for_each(|id| writer.nexthop_del(NexthopId(id)).unwrap());
    });
    (0..sizes.tunnels).for_each(|tunnel| writer.tunnel_del(TunnelId(tunnel)).unwrap());
    (0..sizes.vrfs).for_each(|number| writer.vrf_del(sizes.vrf(number)).unwrap());
    while writer.reclaim() > 0 {}
    assert_eq!(writer.route_bytes(), 0);
}

fn fill(sizes: &Sizes, tables: &Tables, writer: &mut TablesWriter) {
    step("instances", sizes.instances, || {
        for instance in 0..sizes.instances {
            let (port, vlan) = sizes.place(instance);
            let mac = Mac([2, 0, 1, 0, (instance >> 8) as u8, instance as u8]);
            let vif = VifId(instance as u16);
            writer.vif_set(vif, port, vlan, sizes.vrf(instance), mac).unwrap();
            writer.vif_address_set(vif, Ipv4Addr::from_bits(0x0a00_0000 + instance)).unwrap();
        }
    });
    step("labels", sizes.labels, || {
        for value in sizes.labels() {
            writer.label_set(label(value), sizes.target(value)).unwrap();
        }
    });
    step("IPv4 routes", sizes.routes4, || {
        for (vrf, prefix, nexthop) in (0..sizes.routes4).map(|number| sizes.route4(number)) {
            writer.route_set(vrf, prefix, nexthop).unwrap();
        }
    });
    step("IPv6 routes", sizes.routes6, || {
        for (vrf, prefix, nexthop) in (0..sizes.routes6).map(|number| sizes.route6(number)) {
            writer.route_set(vrf, prefix, nexthop).unwrap();
        }
    });
    assert_eq!(tables.fib.lookup(VrfId::MASTER, Ipv4Addr::new(10, 0, 0, 1)), NexthopId(0));
}

/// Everything is found where it was put, and routes as a naive model finds them.
fn sampled(sizes: &Sizes, tables: &Tables) {
    let reader = Reader::new(&tables.domain).unwrap();
    for instance in 0..sizes.instances {
        let (port, vlan) = sizes.place(instance);
        assert_eq!(tables.ports.vif(port, vlan), Some(VifId(instance as u16)));
        let vif = tables.vif(VifId(instance as u16), &reader).unwrap();
        assert!(vif.vrf == sizes.vrf(instance) && vif.owns(0x0a00_0000 + instance));
    }
    assert_eq!(tables.ports.vif(FABRIC, VlanId::new(1).unwrap()), None);
    for value in sizes.labels() {
        assert_eq!(tables.labels.target(value), Some(sizes.target(value)));
    }
    let all4 = (0..sizes.routes4).map(|number| sizes.route4(number));
    let all6 = (0..sizes.routes6).map(|number| sizes.route6(number));
    let model: HashMap<_, _> =
        all4.chain(all6).map(|(vrf, prefix, nexthop)| ((vrf, prefix), nexthop)).collect();
    assert_eq!(model.len() as u32, sizes.routes4 + sizes.routes6, "routes are distinct");
    let (mut seed, mut missed) = (1u128, 0);
    for sample in 0..sizes.samples {
        seed = seed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(9);
        let number = (seed >> 64) as u32;
        let routes = [sizes.route4(number % sizes.routes4), sizes.route6(number % sizes.routes6)];
        for (vrf, prefix, _) in routes {
            let address = near(prefix, seed >> (sample % 64));
            let right = naive(&model, vrf, address).unwrap_or(NexthopId(0));
            assert_eq!(lookup(tables, vrf, address), right, "{vrf:?} {address}");
            missed += u32::from(right.0 == 0);
        }
    }
    assert!(
        missed > sizes.samples / 20 && missed < sizes.samples,
        "beside and within prefixes: {missed}"
    );
}

fn take_away(
    sizes: &Sizes,
    tables: &Tables,
    writer: &mut TablesWriter,
    stays: impl Fn(u32) -> bool,
) {
    step("routes gone", sizes.routes4 + sizes.routes6, || {
        for number in (0..sizes.routes4).filter(|number| !stays(*number)) {
            let (vrf, prefix, _) = sizes.route4(number);
            writer.route_del(vrf, prefix).unwrap();
        }
        for number in (0..sizes.routes6).filter(|number| !stays(*number)) {
            let (vrf, prefix, _) = sizes.route6(number);
            writer.route_del(vrf, prefix).unwrap();
        }
    });
    for number in (0..sizes.routes4).filter(|number| !stays(*number)).step_by(97) {
        let (vrf, prefix, _) = sizes.route4(number);
        let left = lookup(tables, vrf, prefix.addr());
        let kept = (0..sizes.vrfs).filter(|kept| stays(*kept) && sizes.vrf(*kept) == vrf);
        let kept = kept.map(|kept| sizes.route4(kept)).find(|(_, net, _)| net.contains(&prefix));
        assert_eq!(left, kept.map_or(NexthopId(0), |(_, _, nexthop)| nexthop));
    }
    step("labels gone", sizes.labels, || {
        sizes.labels().for_each(|value| writer.label_del(label(value)).unwrap());
    });
    step("instances gone", sizes.instances, || {
        (0..sizes.instances).for_each(|instance| writer.vif_del(VifId(instance as u16)).unwrap());
    });
    assert!(sizes.labels().all(|value| tables.labels.target(value).is_none()));
}
