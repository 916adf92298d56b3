//! A full table through the whole route path while a worker forwards: import, compiler, ring, service, tables, packets.
//!
//! Every packet that leaves is judged: its route is the right one at that moment, and only packets to withdrawn prefixes are missing.
//! After the last withdrawal the process has the memory that it had when it was ready. `ROUTES`, `VRFS` and `FLAPS` in the
//! environment give other sizes than the quick ones: see `make million`.
#![cfg(test)]

mod traffic;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
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

use traffic::{Judge, Pipe, Probe};

const NAME: &str = "a_full_table_comes_flaps_and_goes_while_packets_are_forwarded";
const PATIENCE: Duration = Duration::from_secs(120);
/// Mappings of this size, KiB, are the tables'.
const RESERVED: u64 = 1 << 20;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

fn main() {
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let listed = filters.iter().any(|filter| filter == "--list");
    let mut names = filters.iter().filter(|filter| !filter.starts_with('-')).peekable();
    if listed {
        println!("{NAME}: test");
    } else if names.peek().is_none() || names.any(|name| NAME.contains(name.as_str())) {
        a_full_table_comes_flaps_and_goes_while_packets_are_forwarded();
        println!("test {NAME} ... ok");
    }
}

fn size(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn target(vrf: u32) -> RouteTarget {
    format!("64514:{}", vrf + 1).parse().unwrap()
}

/// VRFs with an instance each, at most 4,094; every tunnel leaves through one static neighbour.
fn config(vrfs: u32, dir: &Path) -> config::Config {
    let mut text = format!(
        "[router]\nname = \"gw1\"\nrouter-id = \"192.0.2.1\"\nasn = 64512\nstate-file = \"{0}/state.json\"\n\
         [[port]]\nname = \"fabric0\"\nrole = \"fabric\"\ndevice = \"vdev:net_pcap0,tx_pcap={0}/out.pcap\"\naddresses = [\"192.0.2.1/24\"]\n\
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

/// The `n`th of the routes that come and go: /24s below 30.0.0.0/8, dealt out to the VRFs. Neighbours have different next hops.
fn route(n: u32, vrfs: u32) -> Route {
    let (vrf, index) = (n % vrfs, n / vrfs);
    Route {
        rd: RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 9), vrf as u16),
        prefix: Ipv4Net::new_assert((0x1e00_0000 + (index << 8)).into(), 24),
        target: target(vrf),
        pe: Ipv4Addr::new(198, 18, 0, 1 + (4 * (vrf % 50) + (vrf + index) % 4) as u8),
        label: Label::new(16 + vrf).unwrap(),
    }
}

/// The route of a VRF that stays.
fn kept(vrf: u32, vrfs: u32) -> Route {
    Route {
        prefix: Ipv4Net::new_assert(Ipv4Addr::new(20, 0, 0, 0), 16),
        pe: Ipv4Addr::new(198, 18, 0, 201),
        label: Label::new(16 + vrfs + vrf).unwrap(),
        ..route(vrf, vrfs)
    }
}

/// Of every VRF the two ends of the route that stays, and two of those that come and go.
fn probes(routes: u32, vrfs: u32) -> Vec<Probe> {
    let of = |vrf: u32| {
        let stays = kept(vrf, vrfs);
        let ends = [stays.prefix.network(), stays.prefix.broadcast()];
        let ends = ends.map(|destination| Probe { vrf, destination, route: stays, stays: true });
        let fleeting = [vrf.wrapping_mul(2_654_435_761) >> 8, vrf].map(|draw| {
            let route = route(vrf + draw % (routes / vrfs) * vrfs, vrfs);
            let destination = (route.prefix.network().to_bits() + draw % 256).into();
            Probe { vrf, destination, route, stays: false }
        });
        [&ends[..1], &fleeting[..1], &ends[1..], &fleeting[1..]].concat()
    };
    (0..vrfs).flat_map(of).collect()
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
    /// Of the arrays that the tables reserve whole.
    tables: u64,
    /// Of all else.
    rest: u64,
}

impl Resident {
    /// Allocates next to nothing, as that would count.
    fn now() -> Resident {
        let mut resident = Resident { tables: 0, rest: 0 };
        let (mut size, mut line) = (0, String::with_capacity(1024));
        let mut maps = BufReader::with_capacity(1024, File::open("/proc/self/smaps").unwrap());
        while maps.read_line(&mut line).unwrap() > 0 {
            let mut words = line.split_whitespace();
            let (name, value) = (words.next(), words.next().and_then(|word| word.parse().ok()));
            match (name, value) {
                (Some("Size:"), Some(value)) => size = value,
                (Some("Rss:"), Some(value)) if size >= RESERVED => resident.tables += value,
                (Some("Rss:"), Some(value)) => resident.rest += value,
                _ => {}
            }
            line.clear();
        }
        resident
    }

    /// Not more than a tenth above `start`, both.
    fn is_back_at(self, start: Resident) -> bool {
        self.tables * 10 <= start.tables * 11 && self.rest * 10 <= start.rest * 11
    }

    /// Once the service thread has rested for ten seconds and given back what was freed.
    fn at_rest(start: Resident) -> Resident {
        let patient = Instant::now() + Duration::from_secs(15);
        while !Resident::now().is_back_at(start) && Instant::now() < patient {
            std::thread::sleep(Duration::from_millis(100));
        }
        Resident::now()
    }
}

struct Lab<'a> {
    core: Core<'a>,
    watch: Watch,
    judge: Judge,
    routes: u32,
    vrfs: u32,
}

impl Lab<'_> {
    fn figures(&self) -> WorkerFigures {
        self.watch.workers().remove(0)
    }

    /// How long it took until every packet saw what `work` changed, and what the worker did meanwhile.
    fn during(&mut self, what: &str, work: impl FnOnce(&mut Core<'_>)) -> Moved {
        let before = self.figures();
        work(&mut self.core);
        let cpu = ["agent", "service"].map(cpu_time);
        let took = load::settle(&mut self.core, PATIENCE).unwrap();
        let [agent, service] = cpu;
        let (agent, service) = (cpu_time("agent") - agent, cpu_time("service") - service);
        let moved = Moved::between(&before, &self.figures());
        println!(
            "{what}: {took:?}, on a CPU {agent:?} the agent and {service:?} the service; {moved:?}"
        );
        moved
    }

    /// Some rounds of the file as the tables are now, judged.
    fn rounds(&mut self, what: &str) -> Moved {
        let before = self.figures();
        let frames = 4 * u64::from(self.vrfs);
        self.until(|lab| lab.figures().rx > before.rx + 4 * frames);
        let after = self.figures();
        self.until(|lab| lab.judge.seen() >= after.tx);
        self.judge.content();
        let moved = Moved::between(&before, &after);
        println!("{what}: {moved:?}");
        moved
    }

    fn until(&self, done: impl Fn(&Self) -> bool) {
        let patient = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < patient, "the worker does not forward: {:?}", self.figures());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All routes come; from the acknowledgement on no packet misses its route.
    fn learn(&mut self) {
        self.judge.going(false);
        let (routes, vrfs) = (self.routes, self.vrfs);
        let meanwhile = self.during("learn", |core| {
            load::learn(core, PEER, (0..routes).map(|n| route(n, vrfs)));
        });
        meanwhile.nothing_but_withdrawn();
        let all = self.rounds("all");
        all.nothing_but_withdrawn();
        assert!(all.tx > 0 && all.no_route == 0, "all is visible: {all:?}");
    }

    /// All go; from the acknowledgement on no packet takes one of them.
    fn forget(&mut self) {
        self.judge.going(true);
        let (routes, vrfs) = (self.routes, self.vrfs);
        let meanwhile = self.during("forget", |core| {
            load::forget(core, (0..routes).map(|n| route(n, vrfs)).map(|r| (r.rd, r.prefix)));
        });
        meanwhile.nothing_but_withdrawn();
        self.only_what_stays();
    }

    fn only_what_stays(&mut self) {
        // What left before the acknowledgement is judged in the first rounds.
        self.rounds("the last packets of before").nothing_but_withdrawn();
        let fleeting = self.judge.fleeting();
        let rounds = self.rounds("only what stays");
        rounds.nothing_but_withdrawn();
        assert!(rounds.tx > 0 && rounds.no_route > 0, "{rounds:?}");
        assert_eq!(self.judge.fleeting(), fleeting, "all are gone");
    }
}

/// What a worker did in some time. Every other packet goes to a prefix that stays.
#[derive(Debug)]
struct Moved {
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
            tx: after.tx - before.tx,
            no_route: after.drops[no_route] - before.drops[no_route],
            others,
        }
    }

    /// Which packets had no route is for the [`Judge`].
    fn nothing_but_withdrawn(&self) {
        assert!(self.others.is_empty(), "{self:?}");
    }
}

fn a_full_table_comes_flaps_and_goes_while_packets_are_forwarded() {
    let (routes, vrfs, flaps) = (size("ROUTES", 20_000), size("VRFS", 100), size("FLAPS", 3));
    let dir = std::env::temp_dir().join(format!("vrouter-million-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let probes = probes(routes, vrfs);
    traffic::write(&dir.join("in.pcap"), &probes);
    let pipe = Pipe::new(dir.join("out.pcap"));
    let config = config(vrfs, &dir);
    let plane = vrouter_dp::start(&plane(&config)).unwrap();
    let judge = Judge::of(pipe, probes);
    let watch = plane.watch();
    let (ops, events, running) = plane.split();
    let agent = std::thread::Builder::new().name("agent".into()).spawn(move || {
        let mut carried = Carried::new(config, ops, events, Instant::now());
        let core = Core::new(&mut carried, Instant::now(), Unix::now());
        let mut lab = Lab { core, watch, judge, routes, vrfs };
        lab.flap(flaps);
        (lab.judge, lab.watch)
    });
    let ended = agent.unwrap().join();
    let Ok((judge, watch)) = ended else { std::process::exit(101) };
    running.stop();
    let figures = watch.workers().remove(0);
    // The service's questions to the instances leave by their port.
    assert_eq!(judge.end(), figures.tx - figures.injected, "every packet was judged");
    std::fs::remove_dir_all(&dir).unwrap();
}

impl Lab<'_> {
    fn flap(&mut self, flaps: u32) {
        let vrfs = self.vrfs;
        self.during("structure", |core| {
            load::learn(core, PEER, (0..vrfs).map(|vrf| kept(vrf, vrfs)));
        });
        self.rounds("the first packets");
        self.judge.strict();
        self.only_what_stays();
        let start = Resident::now();
        // The first table, and its flaps.
        for flap in 0..=flaps {
            println!("flap {flap} of {flaps}");
            self.learn();
            self.forget();
        }
        let end = Resident::at_rest(start);
        println!("resident, KiB: {start:?} when it was ready, {end:?} after all");
        self.only_what_stays();
        assert!(end.is_back_at(start), "{start:?}, then {end:?}");
        let missing = self.judge.missing();
        println!("{} packets judged, {missing} of withdrawn prefixes missing", self.judge.seen());
        let figures = self.figures();
        assert!(missing > 0 && missing <= figures.drops[Drop::NoRoute as usize], "{figures:?}");
    }
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
