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
