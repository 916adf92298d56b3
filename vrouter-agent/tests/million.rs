//! A full table through the whole route path while a worker forwards: import, compiler, ring, service, tables, packets.
//!
//! `ROUTES`, `VRFS` and `FLAPS` in the environment give other sizes than the quick ones: see `make million`.
#![cfg(test)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp::types::{RouteDistinguisher, RouteTarget};
use engine::drops::Drop;
use ipnet::Ipv4Net;
use vrouter_agent::carried::Carried;
use vrouter_agent::core::Core;
use vrouter_agent::labels::Unix;
use vrouter_agent::load::{self, Route};
use vrouter_dp::{PlaneConfig, PortPlan, PortRole, Watch, WorkerFigures};
use wire::Label;

const PATIENCE: Duration = Duration::from_secs(120);
/// What the allocator may hold more after than before, KiB: more than a tenth of a small table.
const NOISE: u64 = 8192;
/// Mappings of this size, KiB, are the tables'.
const RESERVED: u64 = 1 << 20;
/// Bytes for each route of a full table that stay reserved for the next: by the writer of the tables, twice that by readers' blocks.
const KEPT_BYTES: u64 = 64;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

fn size(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn target(vrf: u32) -> RouteTarget {
    format!("64514:{}", vrf + 1).parse().unwrap()
}

/// VRFs with an instance each, at most 4,094; every tunnel leaves through one static neighbour.
fn config(vrfs: u32, dir: &std::path::Path) -> config::Config {
    let mut text = format!(
        "[router]\nname = \"gw1\"\nrouter-id = \"192.0.2.1\"\nasn = 64512\nstate-file = \"{0}/state.json\"\n\
         [[port]]\nname = \"fabric0\"\nrole = \"fabric\"\ndevice = \"vdev:net_null0,no-rx=1\"\naddresses = [\"192.0.2.1/24\"]\n\
         [[port]]\nname = \"gw0\"\nrole = \"gateway\"\ndevice = \"vdev:net_pcap1,rx_pcap={0}/in.pcap,infinite_rx=1\"\n\
         [[static-neighbor]]\nport = \"fabric0\"\naddress = \"192.0.2.254\"\nmac = \"02:00:00:00:00:09\"\n\
         [[static-route]]\nprefix = \"198.18.0.0/15\"\nvia = \"192.0.2.254\"\n",
        dir.display()
    );
    for vrf in 0..vrfs {
        write!(
            text,
            "[[vrf]]\nname = \"v{vrf}\"\nroute-targets = [\"{}\"]\nsubnets = [{{ prefix = \"10.1.0.0/24\", gateway = \"10.1.0.1\" }}]\n\
             [[instance]]\nname = \"i{vrf}\"\nvrf = \"v{vrf}\"\nport = \"gw0\"\nvlan = {}\nmac = \"02:00:00:01:{:02x}:{:02x}\"\naddresses = [\"10.1.0.7\"]\n",
            target(vrf), vrf + 1, vrf >> 8, vrf & 255,
        )
        .unwrap();
    }
    config::load(&text, "million.toml").unwrap_or_else(|errors| panic!("{}", errors[0]))
}

/// The `n`th of the routes that come and go: /24s below 30.0.0.0/8, dealt out to the VRFs.
fn route(n: u32, vrfs: u32) -> Route {
    let (vrf, index) = (n % vrfs, n / vrfs);
    Route {
        rd: RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 9), vrf as u16),
        prefix: Ipv4Net::new_assert((0x1e00_0000 + (index << 8)).into(), 24),
        target: target(vrf),
        pe: Ipv4Addr::new(198, 18, 0, 1 + (n % 200) as u8),
        label: Label::new(16 + vrf).unwrap(),
    }
}

/// The route of a VRF that stays.
fn kept(vrf: u32) -> Route {
    Route { prefix: Ipv4Net::new_assert(Ipv4Addr::new(20, 0, 0, 0), 16), ..route(vrf, vrf + 1) }
}

fn frame(vrf: u32, destination: Ipv4Addr) -> Vec<u8> {
    let mut f = vec![0u8; 64];
    f[..6].copy_from_slice(&wire::Mac::GATEWAY.0);
    f[6..12].copy_from_slice(&[2, 0, 0, 1, (vrf >> 8) as u8, vrf as u8]);
    f[12..14].copy_from_slice(&[0x81, 0]);
    f[14..16].copy_from_slice(&((vrf + 1) as u16).to_be_bytes());
    f[16..18].copy_from_slice(&[8, 0]);
    let ip = &mut f[18..38];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&46u16.to_be_bytes());
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&[10, 1, 0, 7]);
    ip[16..20].copy_from_slice(&destination.octets());
    let sum: u32 = ip.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    f
}

fn write_pcap(path: &std::path::Path, frames: &[Vec<u8>]) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let header: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65535, 1];
    header.iter().for_each(|word| out.write_all(&word.to_le_bytes()).unwrap());
    for frame in frames {
        let record = [0, 0, frame.len() as u32, frame.len() as u32];
        record.iter().for_each(|word| out.write_all(&word.to_le_bytes()).unwrap());
        out.write_all(frame).unwrap();
    }
}

/// Nanoseconds on a CPU of the threads of this name.
fn cpu_time(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let named = tasks.filter(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        comm.trim() == name
    });
    let times = named.map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0)
    });
    Duration::from_nanos(times.sum())
}

/// Resident memory, KiB.
#[derive(Clone, Copy, Debug)]
struct Resident {
    /// Of the arrays that the tables reserve whole. Freed blocks of theirs are used again, their pages stay: as many as were
    /// needed at the worst moment, blocks that waited for a worker included.
    tables: u64,
    /// Of all else.
    rest: u64,
}

impl Resident {
    fn now() -> Resident {
        let mut resident = Resident { tables: 0, rest: 0 };
        let mut size = 0;
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next(), words.next().and_then(|word| word.parse().ok()));
            match (name, value) {
                (Some("Size:"), Some(value)) => size = value,
                (Some("Rss:"), Some(value)) if size >= RESERVED => resident.tables += value,
                (Some("Rss:"), Some(value)) => resident.rest += value,
                _ => {}
            }
        }
        resident
    }

    /// Once the service thread has rested for ten seconds and given back what was freed: not more than `enough` beside the
    /// tables, or the least in a while.
    fn at_rest(enough: u64) -> Resident {
        let patient = Instant::now() + Duration::from_secs(12);
        let mut least = Resident::now();
        while least.rest > enough && Instant::now() < patient {
            std::thread::sleep(Duration::from_millis(100));
            let now = Resident::now();
            least = if now.rest < least.rest { now } else { least };
        }
        least
    }
}

struct Lab<'a> {
    core: Core<'a>,
    watch: Watch,
    routes: u32,
    vrfs: u32,
}

impl Lab<'_> {
    fn figures(&self) -> WorkerFigures {
        self.watch.workers().remove(0)
    }

    /// What the worker did while `work` was done, and how long that took until every packet saw it.
    fn during(&mut self, what: &str, work: impl FnOnce(&mut Core<'_>)) -> (Moved, Duration) {
        work(&mut self.core);
        let (before, cpu) = (self.figures(), ["agent", "service"].map(cpu_time));
        let took = load::settle(&mut self.core, PATIENCE).unwrap();
        let [agent, service] = cpu;
        let (agent, service) = (cpu_time("agent") - agent, cpu_time("service") - service);
        let moved = Moved::between(&before, &self.figures());
        println!(
            "{what}: {took:?}, on a CPU {agent:?} the agent and {service:?} the service; {moved:?}"
        );
        (moved, took)
    }

    fn learn(&mut self) -> (Moved, Duration) {
        let (routes, vrfs) = (self.routes, self.vrfs);
        self.during("learn", |core| {
            load::learn(core, PEER, (0..routes).map(|n| route(n, vrfs)));
        })
    }

    fn forget(&mut self) -> (Moved, Duration) {
        let (routes, vrfs) = (self.routes, self.vrfs);
        self.during("forget", |core| {
            load::forget(core, (0..routes).map(|n| route(n, vrfs)).map(|r| (r.rd, r.prefix)));
        })
    }

    /// A moment in which nothing changes.
    fn rest(&mut self, what: &str) -> Moved {
        self.during(what, |_| ());
        let before = self.figures();
        // Some rounds of the file, however busy the machine is.
        let (enough, patient) = (before.rx + 8 * u64::from(self.vrfs), Instant::now() + PATIENCE);
        while self.figures().rx < enough && Instant::now() < patient {
            std::thread::sleep(Duration::from_millis(10));
        }
        Moved::between(&before, &self.figures())
    }
}

/// What a worker did in some time. Every other packet goes to a prefix that stays.
#[derive(Debug)]
struct Moved {
    rx: u64,
    tx: u64,
    no_route: u64,
    /// Drops for any other reason.
    others: Vec<(&'static str, u64)>,
}

impl Moved {
    fn between(before: &WorkerFigures, after: &WorkerFigures) -> Moved {
        let no_route = Drop::NoRoute as usize;
        let drops = after.drops.iter().zip(&before.drops).map(|(after, before)| after - before);
        let drops = Drop::ALL.iter().map(|reason| reason.slug()).zip(drops);
        let mut others: Vec<_> = drops.filter(|(_, count)| *count > 0).collect();
        others.retain(|(slug, _)| *slug != Drop::NoRoute.slug());
        Moved {
            rx: after.rx - before.rx,
            tx: after.tx - before.tx,
            no_route: after.drops[no_route] - before.drops[no_route],
            others,
        }
    }

    /// Nothing was dropped but what goes to withdrawn prefixes: half of the packets at most, give or take a round of the file.
    fn only_withdrawn(&self, vrfs: u32) {
        assert!(self.others.is_empty(), "{self:?}");
        assert!(self.no_route <= self.rx / 2 + 2 * u64::from(vrfs), "{self:?}");
    }
}

#[test]
fn a_full_table_comes_flaps_and_goes_while_packets_are_forwarded() {
    let (routes, vrfs, flaps) = (size("ROUTES", 20_000), size("VRFS", 100), size("FLAPS", 3));
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::fs::write("/proc/thread-self/comm", "agent").unwrap();
    let dir = std::env::temp_dir().join(format!("vrouter-million-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let destinations = [Ipv4Addr::new(20, 0, 0, 1), Ipv4Addr::new(30, 0, 0, 1)];
    let frames: Vec<_> = (0..vrfs).flat_map(|vrf| destinations.map(|to| frame(vrf, to))).collect();
    write_pcap(&dir.join("in.pcap"), &frames);
    let config = config(vrfs, &dir);
    let plane = vrouter_dp::start(&plane(&config)).unwrap();
    let watch = plane.watch();
    let (ops, events, running) = plane.split();
    let mut carried = Carried::new(config, ops, events, Instant::now());
    let core = Core::new(&mut carried, Instant::now(), Unix::now());
    let mut lab = Lab { core, watch, routes, vrfs };
    lab.during("structure", |core| load::learn(core, PEER, (0..vrfs).map(kept)));
    let start = lab.rest("only what stays");
    start.only_withdrawn(vrfs);
    assert!(start.tx > 0 && start.no_route > 0, "{start:?}");
    let empty = Resident::now();

    let (moved, _) = lab.learn();
    moved.only_withdrawn(vrfs);
    lab.forget();
    let once = Resident::at_rest(0);
    for _ in 0..flaps {
        lab.learn().0.only_withdrawn(vrfs);
        let all = lab.rest("all");
        all.only_withdrawn(vrfs);
        assert_eq!(all.no_route, 0, "all is visible: {all:?}");
        assert!(all.tx > 0);
        lab.forget().0.only_withdrawn(vrfs);
    }
    let end = lab.rest("only what stays");
    end.only_withdrawn(vrfs);
    assert!(end.tx > 0 && end.no_route > 0, "{end:?}");
    let allowed = once.rest + (once.rest / 10).max(NOISE);
    let last = Resident::at_rest(allowed);
    println!(
        "resident, KiB: {empty:?} at first, {once:?} after one full table, {last:?} after all"
    );
    assert!(last.rest <= allowed, "flaps leave memory behind: {once:?}, then {last:?}");
    let kept = NOISE + u64::from(routes) * KEPT_BYTES / 1024;
    assert!(last.rest <= empty.rest + empty.rest / 10 + kept, "{empty:?}, then {last:?}");
    assert!(last.tables <= empty.tables + 2 * kept, "{empty:?}, then {last:?}");
    drop(lab);
    running.stop();
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::write("/proc/thread-self/comm", name).unwrap();
}

fn plane(config: &config::Config) -> PlaneConfig {
    let port = |port: &config::Port| PortPlan {
        name: port.name.clone(),
        role: match port.role {
            config::PortRole::Fabric => PortRole::Fabric,
            config::PortRole::Gateway => PortRole::Gateway,
        },
        device: port.device.clone(),
        mtu: port.mtu,
        vlan_strip: port.vlan_strip,
        queues: None,
    };
    let ports = config.ports.iter().map(port).collect();
    PlaneConfig { ports, mbufs: Some(16_383), ..PlaneConfig::default() }
}
