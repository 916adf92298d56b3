//! What lookups and changes of the route tables cost: `cargo run --release -p engine --example fib_bench [SCENARIO...]`.
//!
//! Prefixes of an Internet-like mix of lengths, addresses drawn evenly from them. Changes in nanoseconds that the thread had a CPU; lookups in `cycles` of the fastest of many rounds; `cycles` are of the
//! time stamp counter, taken for 2.6 GHz unless `TSC_MHZ` says otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use engine::seam::{Nexthop, NexthopId, VrfId};
use engine::table::{Key4, Key6, Tables, TablesWriter};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Lengths of prefixes out of 1000.
const LENGTHS4: &[(u8, u32)] = &[
    (16, 14),
    (17, 8),
    (18, 14),
    (19, 26),
    (20, 45),
    (21, 50),
    (22, 110),
    (23, 98),
    (24, 600),
    (26, 5),
    (28, 10),
    (32, 20),
];
const LENGTHS6: &[(u8, u32)] =
    &[(32, 150), (36, 40), (40, 100), (44, 120), (48, 500), (56, 40), (64, 50)];

struct Scenario {
    name: &'static str,
    six: bool,
    vrfs: u16,
    routes: u32,
    /// All within 10.0.0.0/8, as sites have it.
    site: bool,
    /// Addresses that are looked up, again and again in the same order; each VRF has one of an instance of its own besides.
    flows: u32,
}

const fn scenario(name: &'static str, six: bool, vrfs: u16, routes: u32, site: bool) -> Scenario {
    Scenario { name, six, vrfs, routes, site, flows: LOOKUPS }
}

/// As a profile of the packet path has it.
const fn profile(name: &'static str, six: bool, vrfs: u16, routes: u32, flows: u32) -> Scenario {
    Scenario { name, six, vrfs, routes, site: false, flows }
}

/// Lookups of a round, and how many go together.
const LOOKUPS: u32 = 1 << 20;
const BURST: usize = 32;

const SCENARIOS: &[Scenario] = &[
    scenario("16", false, 1, 16, false),
    scenario("1k", false, 1, 1_000, false),
    scenario("100k", false, 1, 100_000, false),
    scenario("1M", false, 1, 1_000_000, false),
    scenario("256x1k", false, 256, 256_000, false),
    scenario("256x390", false, 256, 100_000, false),
    scenario("1000x1k", false, 1_000, 1_000_000, false),
    scenario("4094x244", false, 4_094, 1_000_000, false),
    scenario("4094x244-site", false, 4_094, 1_000_000, true),
    scenario("v6-1k", true, 1, 1_000, false),
    scenario("v6-100k", true, 1, 100_000, false),
    scenario("v6-500k", true, 1, 500_000, false),
    profile("hot", false, 1, 1_000, 1_000),
    profile("mid", false, 256, 100_000, 100_000),
    profile("v6", true, 1, 100_000, 100_000),
];

/// Nothing that needs a library: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    fn length(&mut self, mix: &[(u8, u32)]) -> u8 {
        let mut at = self.below(mix.iter().map(|(_, share)| share).sum());
        for (length, share) in mix {
            if at < *share {
                return *length;
            }
            at -= share;
        }
        24
    }

    fn prefix(&mut self, scenario: &Scenario) -> IpNet {
        if scenario.six {
            let bits = u128::from(self.next()) << 64 | u128::from(self.next());
            let length = self.length(LENGTHS6);
            return Ipv6Net::new_assert((0x2a0 << 116 | bits >> 12).into(), length).trunc().into();
        }
        let length = self.length(LENGTHS4);
        let first = if scenario.site { 10 } else { 11 + self.below(180) };
        let bits = first << 24 | self.next() as u32 >> 8;
        Ipv4Net::new_assert(bits.into(), length).trunc().into()
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mhz: f64 =
        std::env::var("TSC_MHZ").ok().and_then(|text| text.parse().ok()).unwrap_or(2600.0);
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "scenario", "insert ns", "sorted ns", "again ns", "delete ns", "B/route", "single", "batch"
    );
    for scenario in SCENARIOS {
        if wanted.is_empty() || wanted.iter().any(|name| name == scenario.name) {
            run(scenario, mhz);
        }
    }
}

fn run(scenario: &Scenario, mhz: f64) {
    let (tables, mut writer) = Tables::new(1);
    for id in 1..=1000 {
        writer.nexthop_set(NexthopId(id), Nexthop::Discard).ok();
    }
    for vrf in 1..=scenario.vrfs {
        writer.vrf_set(VrfId(vrf)).ok();
    }
    for vrf in (1..=scenario.vrfs).filter(|_| scenario.flows < LOOKUPS) {
        let instance: IpNet = match scenario.six {
            true => Ipv6Net::from(Ipv6Addr::from(0xfd00 << 112 | u128::from(vrf) << 64 | 7)).into(),
            false => Ipv4Net::from(Ipv4Addr::from(0x0a01_0000 | u32::from(vrf) << 4 | 7)).into(),
        };
        writer.route_set(VrfId(vrf), instance, NexthopId(1000)).ok();
    }
    let mut random = Random(1);
    let mut routes: Vec<(VrfId, IpNet, NexthopId)> = (0..scenario.routes)
        .map(|number| {
            let vrf = VrfId(1 + (number % u32::from(scenario.vrfs)) as u16);
            (vrf, random.prefix(scenario), NexthopId(1 + random.below(1000)))
        })
        .collect();
    let count = routes.len() as f64;
    let insert = set(&mut writer, &routes) / count;
    // As the same table stands after its next hops have all changed three times, in another order.
    let mut again = 0.0;
    for _ in 0..3 {
        for at in (1..routes.len()).rev() {
            routes.swap(at, random.below(at as u32 + 1) as usize);
        }
        routes.iter_mut().for_each(|route| route.2 = NexthopId(1 + random.below(1000)));
        again = set(&mut writer, &routes) / count;
    }
    writer.reclaim();
    writer.reclaim();
    let bytes = writer.route_bytes() as f64 / count;

    let fib = tables.fib();
    let mut keys4 = Vec::new();
    let mut keys6 = Vec::new();
    for _ in 0..scenario.flows {
        let (vrf, prefix, _) = routes[random.below(routes.len() as u32) as usize];
        match prefix {
            IpNet::V4(net) => {
                keys4.push(Key4::new(
                    vrf,
                    net.network().to_bits() | random.next() as u32 & net.hostmask().to_bits(),
                ));
            }
            IpNet::V6(net) => {
                let host = u128::from(random.next()) << 64 | u128::from(random.next());
                keys6.push(Key6::new(
                    vrf,
                    net.network().to_bits() | host & net.hostmask().to_bits(),
                ));
            }
        }
    }
    keys4 =
        keys4.iter().copied().cycle().take(LOOKUPS as usize * usize::from(!scenario.six)).collect();
    keys6 =
        keys6.iter().copied().cycle().take(LOOKUPS as usize * usize::from(scenario.six)).collect();
    let total = (keys4.len() + keys6.len()) as f64;
    let mut sum = 0u64;
    let single = fastest(|| {
        for key in &keys4 {
            sum += u64::from(fib.lookup(key.trie(), key.address().into()).0);
        }
        for key in &keys6 {
            sum += u64::from(fib.lookup6(key.trie(), key.address().into()).0);
        }
    });
    let mut answers = [NexthopId(0); BURST];
    let mut batched = 0u64;
    let batch = fastest(|| {
        for keys in keys4.chunks(BURST) {
            fib.lookup_batch(keys, &mut answers);
            batched += answers.iter().take(keys.len()).map(|id| u64::from(id.0)).sum::<u64>();
        }
        for keys in keys6.chunks(BURST) {
            fib.lookup6_batch(keys, &mut answers);
            batched += answers.iter().take(keys.len()).map(|id| u64::from(id.0)).sum::<u64>();
        }
    });
    assert_eq!(sum, batched, "both lookups agree");

    let start = spent();
    let mut deleted = 0;
    for (vrf, prefix, _) in &routes {
        deleted += u32::from(writer.route_del(*vrf, *prefix).is_ok());
    }
    let delete = (spent() - start) as f64 / f64::from(deleted.max(1));
    routes.sort_by_key(|(vrf, prefix, _)| (*vrf, *prefix));
    let sorted = set(&mut writer, &routes) / count;
    println!(
        "{:<14} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.1} {:>8.1} {:>8.1}",
        scenario.name,
        insert,
        sorted,
        again,
        delete,
        bytes,
        single / total * mhz / 1000.0,
        batch / total * mhz / 1000.0,
    );
}

/// Sets the routes; nanoseconds.
fn set(writer: &mut TablesWriter, routes: &[(VrfId, IpNet, NexthopId)]) -> f64 {
    let start = spent();
    for (vrf, prefix, nexthop) in routes {
        writer.route_set(*vrf, *prefix, *nexthop).ok();
    }
    (spent() - start) as f64
}

/// Nanoseconds of the fastest of 21 runs: where others take the CPU or the caches meanwhile, a run is slower, never faster.
fn fastest(mut run: impl FnMut()) -> f64 {
    let times = (0..21).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default().as_nanos() as f64
}

/// Nanoseconds that this thread has had a CPU: what others on the machine take does not count.
fn spent() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    line.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}
