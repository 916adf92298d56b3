//! Any legal configuration survives being written and read; no bytes at all make the reader panic.
#![allow(clippy::expect_used, clippy::panic)] // helpers of tests

use std::net::{IpAddr, Ipv4Addr};

use bgp::types::{Asn, Family, RouteTarget};
use config::*;
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use wire::{Label, Mac, VlanId};

fn asn() -> impl Strategy<Value = Asn> {
    (1u32..).prop_filter("AS_TRANS", |&n| n != Asn::TRANS.0).prop_map(Asn)
}

fn targets() -> impl Strategy<Value = Vec<RouteTarget>> {
    let two = (0u16.., any::<u32>()).prop_map(|(a, n)| format!("target:{a}:{n}"));
    let ip = (any::<Ipv4Addr>(), any::<u16>()).prop_map(|(a, n)| format!("target:{a}:{n}"));
    let four = (any::<u32>(), any::<u16>()).prop_map(|(a, n)| format!("target:{a}L:{n}"));
    let one = prop_oneof![two, ip, four].prop_map(|t| t.parse().expect("legal"));
    prop::collection::btree_set(one, 0..4).prop_map(|set| set.into_iter().collect())
}

fn encapsulations() -> impl Strategy<Value = Vec<Encapsulation>> {
    prop::sample::subsequence(Encapsulation::ALL.to_vec(), 1..=2).prop_shuffle()
}

fn router() -> impl Strategy<Value = Router> {
    let sources = prop::collection::btree_set(
        (any::<Ipv4Addr>(), 0u8..=32).prop_map(|(a, l)| Ipv4Net::new(a, l).expect("legal").trunc()),
        0..3,
    );
    ("[a-z0-9_.:@][a-zA-Z0-9_.:@-]{0,20}", asn(), encapsulations(), sources, 0u32..=86_400)
        .prop_map(|(name, asn, encapsulations, sources, label_quarantine)| Router {
            state_file: format!("/tmp/{name}.state").into(),
            name,
            router_id: Ipv4Addr::new(192, 0, 2, 1),
            asn,
            tunnel_address: Ipv4Addr::new(192, 0, 2, 2),
            encapsulations,
            tunnel_sources: sources.into_iter().collect(),
            label_quarantine,
        })
}

/// VRF number `i`: subnets 10.i.n.0/24 with the gateway at .1.
fn vrf(i: u8) -> impl Strategy<Value = Vrf> {
    let route = (any::<bool>(), 16u32..1 << 20, prop::sample::select(Encapsulation::ALL.to_vec()));
    (targets(), targets(), 1u8..4, prop::collection::vec(route, 0..4)).prop_map(
        move |(both, import, subnets, routes)| Vrf {
            name: format!("vrf{i}"),
            import: import.into_iter().filter(|t| !both.contains(t)).collect(),
            export: Vec::new(),
            route_targets: both,
            subnets: (0..subnets)
                .map(|n| Subnet {
                    prefix: Ipv4Net::new_assert(Ipv4Addr::new(10, i, n, 0), 24),
                    gateway: Ipv4Addr::new(10, i, n, 1),
                })
                .collect(),
            static_routes: routes
                .into_iter()
                .zip(0u8..)
                .map(|((far, label, encapsulation), n)| VrfStaticRoute {
                    prefix: Ipv4Net::new_assert(Ipv4Addr::new(172, 16, n, 0), 24),
                    tunnel: Ipv4Addr::new(198, 51, 100, 1 + u8::from(far)),
                    label: Label::new(label).expect("in range"),
                    encapsulation,
                })
                .collect(),
        },
    )
}

fn peer(i: u8) -> impl Strategy<Value = BgpPeer> {
    let families = prop::sample::subsequence(Family::ALL.to_vec(), 1..=Family::ALL.len());
    let hold_time = prop_oneof![Just(0u16), 3u16..];
    let local = prop::option::of(Just(IpAddr::from([192, 0, 2, 1])));
    let security = prop::option::of(1u8..=254);
    let times = hold_time.prop_flat_map(|hold| {
        let send = prop_oneof![Just(0), u32::from(hold).saturating_add(1)..=131_070];
        (Just(hold), prop::option::of(send))
    });
    (asn(), families, any::<bool>(), 1u16.., local, any::<bool>(), security, times).prop_map(
        move |(asn, families, passive, port, local_address, multihop, security, times)| BgpPeer {
            address: IpAddr::from([203, 0, 113, i]),
            asn,
            families,
            passive,
            port,
            local_address,
            multihop: multihop && security.is_none(),
            ttl_security: security,
            password: None, // what is written does not show it
            hold_time: times.0,
            send_hold_time: times.1,
        },
    )
}

fn legal() -> impl Strategy<Value = Config> {
    let port =
        |name: &'static str, role, address: &'static [&'static str], device: &'static str| {
            (576u16..=9216, any::<bool>()).prop_map(move |(mtu, vlan_strip)| Port {
                name: name.to_owned(),
                role,
                device: device.to_owned(),
                addresses: address.iter().map(|a| a.parse::<IpNet>().expect("legal")).collect(),
                mtu,
                vlan_strip,
            })
        };
    let ports = (
        port("fabric0", PortRole::Fabric, &["192.0.2.1/24", "2001:db8::1/64"], "0000:3b:00.0"),
        port("gw0", PortRole::Gateway, &[], "vdev:net_af_packet0,iface=eth1"),
        port("gw1", PortRole::Gateway, &[], "env:PCIDEVICE_X"),
    );
    let dataplane = (
        prop::collection::btree_set(0u16..1024, 0..4),
        prop::collection::vec("[ -~]{1,12}|[ä\"\\\\\n\t']{1,4}", 0..3),
        0u32..=1_000_000,
        prop::option::of(1024u32..1 << 26),
        (
            0u32..=1_000_000,
            1u16..=64,
            64u16..=32_768,
            prop::sample::select(&Spread::ALL),
            0u32..=1_000_000,
        ),
    );
    let vrfs = (vrf(0), vrf(1), vrf(2));
    let instances =
        prop::collection::btree_map((0u8..2, 1u16..=4094), (0u8..3, any::<[u8; 6]>()), 0..20);
    let bgp = prop::option::of((prop::option::of(1u16..), peer(1), peer(2)));
    (router(), ports, dataplane, vrfs, instances, bgp).prop_map(
        |(router, ports, (workers, eal, idle, mbufs, more), vrfs, instances, bgp)| Config {
            router,
            api: Api { socket: "/run/x y/ä.sock".into() },
            dataplane: Dataplane {
                workers: workers.into_iter().collect(),
                eal,
                idle_sleep_microseconds: idle,
                idle_after_microseconds: more.0,
                burst: more.1,
                descriptors: more.2,
                spread: more.3,
                sample_bursts: more.4,
                mbufs,
            },
            ports: vec![ports.0, ports.1, ports.2],
            static_routes: vec![StaticRoute {
                prefix: Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0),
                via: Ipv4Addr::new(192, 0, 2, 254),
            }],
            static_neighbors: vec![StaticNeighbor {
                port: "fabric0".into(),
                address: Ipv4Addr::new(192, 0, 2, 254),
                mac: Mac([2, 0, 0, 0, 0, 9]),
            }],
            bfd: vec![Bfd {
                address: Ipv4Addr::new(192, 0, 2, 254),
                interval_milliseconds: 10 + u32::from(more.1),
                multiplier: 5,
                multihop: instances.len() % 2 == 0,
            }],
            vrfs: vec![vrfs.0, vrfs.1, vrfs.2],
            instances: instances
                .into_iter()
                .zip(2u8..)
                .map(|(((port, vlan), (vrf, [_, b, c, d, e, f])), n)| Instance {
                    name: format!("instance{n}"),
                    vrf: format!("vrf{vrf}"),
                    port: format!("gw{port}"),
                    vlan: VlanId::new(vlan).expect("in range"),
                    mac: Mac([0x52, b, c, d, e, f]),
                    addresses: vec![IpAddr::from([10, vrf, 0, n])],
                })
                .collect(),
            bgp: bgp.map(|(listen, a, mut b)| {
                b.passive &= listen.is_some();
                let a = BgpPeer { passive: a.passive && listen.is_some(), ..a };
                Bgp { listen: listen.map(|port| ([127, 0, 0, 1], port).into()), peers: vec![a, b] }
            }),
        },
    )
}

proptest! {
    #[test]
    fn written_and_read(config in legal()) {
        let text = config.to_toml().expect("paths are UTF-8");
        match load(&text, "written.toml") {
            Ok(read) => prop_assert_eq!(read, config),
            Err(errors) => prop_assert!(false, "{}\n{}", errors[0], text),
        }
    }

    #[test]
    fn a_damaged_text_is_told_about_within_it(config in legal(), at in any::<prop::sample::Index>(), with in "\\PC{0,3}|[\"\\[\\]{}=,#\n]{1,3}") {
        let mut text = config.to_toml().expect("paths are UTF-8");
        let mut at = at.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, &with);
        if let Err(errors) = load(&text, "fuzz") {
            let lines = text.lines().count() + 1;
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|e| (1..=lines).contains(&e.line) && e.column >= 1));
            prop_assert!(errors.is_sorted_by_key(|e| (e.line, e.column)));
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = load(&String::from_utf8_lossy(&bytes), "fuzz");
    }

    #[test]
    fn any_toml_like_text(text in "([a-z.\\[\\]{}=\"0-9,# -]{0,12}\n|\\[\\[(port|vrf|instance|bgp.peer)\\]\\]\n|(name|vlan|mac|addresses|subnets) = [0-9\\[\\]{}\"a-z:./-]{1,12}\n){0,12}") {
        let _ = load(&text, "fuzz");
    }
}
