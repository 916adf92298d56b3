use proptest::prelude::Rng as _;

use super::*;

#[test]
fn an_almost_empty_vrf_costs_little_and_ipv6_nothing_before_its_first_route() {
    let mut bench = Bench::new();
    for vrf in 1..=100 {
        let trie = VrfId(vrf).into();
        bench.writer.create(trie);
        assert_eq!(bench.writer.bytes(), 0, "no route");
    }
    let mut most = 0;
    for vrf in 1..=100u16 {
        let before = bench.writer.bytes();
        let trie = VrfId(vrf).into();
        bench.writer.set(trie, net("0.0.0.0/0"), NexthopId(1), 0).unwrap();
        for host in 0..16u32 {
            let address = Ipv4Net::new((0x0a00_0000 + u32::from(vrf) * 256 + host * 7).into(), 32);
            bench.writer.set(trie, address.unwrap().into(), NexthopId(2 + host), 0).unwrap();
        }
        bench.settle();
        most = most.max(bench.writer.bytes() - before);
    }
    assert!(most <= 1024, "{most} bytes for a VRF with 17 routes");
}

/// Lengths about as in the Internet's tables.
fn internet(rng: &mut TestRng) -> IpNet {
    let length = match rng.next_u32() % 100 {
        0..=2 => 16 + (rng.next_u32() % 3) as u8,
        3..=10 => 19 + (rng.next_u32() % 2) as u8,
        11..=35 => 21 + (rng.next_u32() % 3) as u8,
        36..=96 => 24,
        97 => 28,
        _ => 32,
    };
    let address = 0x0b00_0000 + rng.next_u32() % 0xb400_0000;
    Ipv4Net::new(address.into(), length).unwrap().trunc().into()
}

/// As many changes as a busy hour brings, each a route that goes and another that comes.
#[test]
fn a_million_routes_in_a_vrf_stay_small_under_churn() {
    let (routes, changes) = (1_000_000, 400_000);
    let mut rng = random(5);
    let mut bench = Bench::new();
    let mut known: Vec<IpNet> = Vec::new();
    while known.len() < routes {
        let prefix = internet(&mut rng);
        let value = NexthopId(1 + rng.next_u32() % 1000);
        if bench.writer.set(VRF.into(), prefix, value, 0).unwrap().is_none() {
            known.push(prefix);
        }
        if known.len().is_multiple_of(1024) {
            bench.reader.quiesce();
        }
    }
    for change in 0..changes {
        let at = rng.next_u32() as usize % known.len();
        bench.delete(known[at]);
        loop {
            known[at] = internet(&mut rng);
            let value = NexthopId(1 + rng.next_u32() % 1000);
            if bench.writer.set(VRF.into(), known[at], value, 0).unwrap().is_none() {
                break;
            }
        }
        if change % 1024 == 0 {
            bench.reader.quiesce();
        }
    }
    bench.settle();
    let (held, own) = (bench.writer.held_bytes(), bench.writer.own_bytes());
    let each = held as f64 / routes as f64;
    eprintln!("{each:.1} bytes a route, {:.1} of the writer's own", own as f64 / routes as f64);
    assert!(each <= 24.0, "{each}");
}
