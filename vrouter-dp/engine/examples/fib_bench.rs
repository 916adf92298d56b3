//! What lookups and changes of the route tables cost: `cargo run --release -p engine --example fib_bench [SCENARIO...]`.
//!
//! Prefixes of an Internet-like mix of lengths, addresses drawn evenly from them. Times are those that the thread had a CPU, medians of rounds for lookups; `cycles` are of the
//! time stamp counter, taken for 2.3 GHz unless `TSC_MHZ` says otherwise.

use engine::seam::{Nexthop, NexthopId, VrfId};
use engine::table::{Tables, TablesWriter};
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
}

const fn scenario(name: &'static str, six: bool, vrfs: u16, routes: u32, site: bool) -> Scenario {
    Scenario { name, six, vrfs, routes, site }
}

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
        std::env::var("TSC_MHZ").ok().and_then(|text| text.parse().ok()).unwrap_or(2300.0);
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
    for _ in 0..(1 << 20) {
        let (vrf, prefix, _) = routes[random.below(routes.len() as u32) as usize];
        match prefix {
            IpNet::V4(net) => {
                keys4.push((
                    vrf,
                    net.network().to_bits() | random.next() as u32 & net.hostmask().to_bits(),
                ));
            }
            IpNet::V6(net) => {
                let host = u128::from(random.next()) << 64 | u128::from(random.next());
                keys6.push((vrf, net.network().to_bits() | host & net.hostmask().to_bits()));
            }
        }
    }
    let total = (keys4.len() + keys6.len()) as f64;
    let mut sum = 0u64;
    let single = median(|| {
        for (vrf, address) in &keys4 {
            sum += u64::from(fib.lookup(*vrf, (*address).into()).0);
        }
        for (vrf, address) in &keys6 {
            sum += u64::from(fib.lookup6(*vrf, (*address).into()).0);
        }
    });
    let mut answers = [NexthopId(0); 64];
    let mut batched = 0u64;
    let batch = median(|| {
        for keys in keys4.chunks(64) {
            fib.lookup_batch(keys, &mut answers);
            batched += answers.iter().take(keys.len()).map(|id| u64::from(id.0)).sum::<u64>();
        }
        for keys in keys6.chunks(64) {
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

/// Nanoseconds of the median of seven runs.
fn median(mut run: impl FnMut()) -> f64 {
    let mut times: Vec<u64> = (0..7)
        .map(|_| {
            let start = spent();
            run();
            spent() - start
        })
        .collect();
    times.sort_unstable();
    times[3] as f64
}

/// Nanoseconds that this thread has had a CPU: what others on the machine take does not count.
fn spent() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    line.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}
