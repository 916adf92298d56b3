//! Differences in words: what changes, what it interrupts, what needs a restart.
#![allow(clippy::expect_used, clippy::panic)] // helpers of tests

use config::{Config, Diff, diff, load};
use proptest::prelude::*;

const BASE: &str = include_str!("../examples/first-light.toml");

fn changed(replacements: &[(&str, &str)]) -> Diff {
    let mut text = BASE.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    let read = |text: &str| -> Config { load(text, "t").unwrap_or_else(|e| panic!("{}", e[0])) };
    diff(&read(BASE), &read(&text))
}

#[track_caller]
fn says(replacements: &[(&str, &str)], lines: &[&str], disturbs: &[&str], restart: &[&str]) {
    let diff = changed(replacements);
    assert_eq!(diff.lines, lines);
    assert_eq!(diff.disturbs, disturbs);
    assert_eq!(diff.needs_restart, restart);
    assert_eq!(diff.is_empty(), lines.is_empty());
    assert_eq!(diff.reply().changes, lines);
}

#[test]
fn the_same_is_no_change() {
    says(&[], &[], &[], &[]);
    says(&[("mac = \"52:54:00:00:01:07\"", "mac = \"52:54:00:00:01:07\" # note")], &[], &[], &[]);
    // Both directions in one list or in two is the same.
    says(
        &[(
            "route-targets = [\"target:64514:1\"]",
            "import = [\"64514:1\"]\nexport = [\"64514:1\"]",
        )],
        &[],
        &[],
        &[],
    );
}

#[test]
fn bfd() {
    let row = "[[bfd]]\naddress = \"192.0.2.9\"\n";
    let more = format!("{row}multihop = true\ninterval-milliseconds = 50\n[[vrf]]");
    says(&[("[[vrf]]", &more)], &["bfd 192.0.2.9: added, 3 x 50 ms, multihop"], &[], &[]);
    let read = |rows: &str| -> Config {
        load(&BASE.replacen("[[vrf]]", &format!("{rows}[[vrf]]"), 1), "t").expect("a configuration")
    };
    let gone = diff(&read(row), &read(""));
    assert_eq!(gone.lines, ["bfd 192.0.2.9: removed"]);
    assert_eq!(gone.disturbs, ["BFD session with 192.0.2.9"]);
    let other = diff(&read(row), &read(&format!("{row}multiplier = 5\n")));
    assert_eq!(
        (&other.lines[..], other.disturbs.len()),
        (&["bfd 192.0.2.9: multiplier 3 -> 5".to_owned()][..], 0)
    );
    let far = diff(&read(row), &read(&format!("{row}multihop = true\n")));
    assert_eq!(far.disturbs, ["BFD session with 192.0.2.9"]);
}

#[test]
fn vrfs() {
    says(
        &[("\"target:64514:1\"]", "\"target:64514:1\"]\nimport = [\"target:64514:2\"]")],
        &["vrf Public: import targets +target:64514:2"],
        &[],
        &[],
    );
    says(
        &[("route-targets = [\"target:64514:1\"]", "export = [\"target:64514:1\"]")],
        &["vrf Public: import targets -target:64514:1"],
        &["routes of vrf Public that came by the removed import targets"],
        &[],
    );
    says(
        &[(
            "gateway = \"10.1.0.1\" }]",
            "gateway = \"10.1.0.254\" }, { prefix = \"10.2.0.0/24\", gateway = \"10.2.0.1\" }]",
        )],
        &[
            "vrf Public: subnets +10.2.0.0/24",
            "vrf Public: gateway of 10.1.0.0/24 10.1.0.1 -> 10.1.0.254",
        ],
        &["instances of vrf Public that use the old gateway of 10.1.0.0/24"],
        &[],
    );
    let route = "\nstatic-routes = [{ prefix = \"10.9.0.0/16\", tunnel = \"192.0.2.9\", label = 300 }]\n[[vrf]]\nname = \"B\"";
    says(
        &[("gateway = \"10.1.0.1\" }]", &format!("gateway = \"10.1.0.1\" }}]{route}"))],
        &[
            "vrf B: added",
            "vrf Public: static route 10.9.0.0/16 added through 192.0.2.9 label 300 mplsoudp",
        ],
        &[],
        &[],
    );
}

#[test]
fn instances() {
    says(
        &[("name = \"db7\"", "name = \"db8\"")],
        &["instance db7: removed", "instance db8: added"],
        &["traffic of instance db7"],
        &[],
    );
    says(
        &[("vlan = 107", "vlan = 108"), ("[\"10.1.0.7\"]", "[\"10.1.0.7\", \"10.1.0.8\"]")],
        &["instance db7: vlan 107 -> 108", "instance db7: addresses +10.1.0.8"],
        &["traffic of instance db7"],
        &[],
    );
    says(
        &[("[\"10.1.0.7\"]", "[\"10.1.0.7\", \"10.1.0.8\"]")],
        &["instance db7: addresses +10.1.0.8"],
        &[],
        &[],
    );
}

#[test]
fn peers() {
    says(
        &[(
            "address = \"192.0.2.10\"",
            "address = \"192.0.2.10\"\nhold-time = 30\nsend-hold-time = 60\nttl-security = 1",
        )],
        &[
            "peer 192.0.2.10: ttl-security off -> 1 (session resets)",
            "peer 192.0.2.10: hold-time 90 -> 30 (session resets)",
            "peer 192.0.2.10: send-hold-time default -> 60 (session resets)",
        ],
        &["BGP session to 192.0.2.10"],
        &[],
    );
    says(
        &[("address = \"192.0.2.10\"", "address = \"192.0.2.10\"\npassword = \"hunter2\"")],
        &["peer 192.0.2.10: password not set -> set (session resets)"],
        &["BGP session to 192.0.2.10"],
        &[],
    );
    says(
        &[("address = \"192.0.2.10\"", "address = \"192.0.2.11\"")],
        &["peer 192.0.2.10: removed", "peer 192.0.2.11: added"],
        &["BGP session to 192.0.2.10"],
        &[],
    );
    says(
        &[("[[bgp.peer]] ", "[bgp]\nlisten = \"none\"\n[[bgp.peer]] ")],
        &["bgp: listen 0.0.0.0:179 -> none"],
        &[],
        &["bgp: listen 0.0.0.0:179 -> none"],
    );
}

#[test]
fn what_needs_a_restart() {
    let lines = [
        "router: asn 64512 -> 64513",
        "api: socket /run/vrouter/api.sock -> /run/b.sock",
        "dataplane: workers [] -> [2, 3]",
        "dataplane: burst 64 -> 32",
        "dataplane: spread auto -> off",
        "port gw0: mtu 1500 -> 9000",
    ];
    says(
        &[
            (
                "asn = 64512 }",
                "asn = 64513 }\napi.socket = \"/run/b.sock\"\ndataplane.workers = [2, 3]\ndataplane.burst = 32\ndataplane.spread = \"off\"",
            ),
            ("device = \"0000:3b:00.1\"", "device = \"0000:3b:00.1\"\nmtu = 9000"),
        ],
        &lines,
        &[],
        &lines,
    );
    let line = "ports: order [fabric0, gw0] -> [gw0, fabric0]";
    let fabric = "name = \"fabric0\"\nrole = \"fabric\"\ndevice = \"0000:3b:00.0\"\naddresses = [\"192.0.2.1/24\"]";
    let gateway = "name = \"gw0\"\nrole = \"gateway\"\ndevice = \"0000:3b:00.1\"";
    says(&[(fabric, "@"), (gateway, fabric), ("@", gateway)], &[line], &[], &[line]);
}

#[test]
fn the_router() {
    says(
        &[(
            "asn = 64512 }",
            "asn = 64512, tunnel-sources = [\"198.51.100.0/24\"], encapsulations = [\"mplsogre\"] }",
        )],
        &[
            "router: encapsulations [mplsoudp, mplsogre] -> [mplsogre]",
            "router: tunnel-sources +198.51.100.0/24",
        ],
        &["routes of all VRFs are advertised and resolved again"],
        &[],
    );
}

proptest! {
    /// Whatever changed comes out typed, and there and back are each other's mirror.
    #[test]
    fn sets_of_instances(old in prop::collection::btree_map(0u8..20, 1u16..5, 0..10), new in prop::collection::btree_map(0u8..20, 1u16..5, 0..10)) {
        let with = |set: &std::collections::BTreeMap<u8, u16>| {
            let mut config = load(BASE, "t").expect("the base loads");
            let model = config.instances.remove(0);
            config.instances = set.iter().map(|(i, vlan)| config::Instance {
                name: format!("i{i}"),
                vlan: wire::VlanId::new(*vlan).expect("in range"),
                ..model.clone()
            }).collect();
            config
        };
        let (a, b) = (with(&old), with(&new));
        let (there, back) = (diff(&a, &b), diff(&b, &a));
        prop_assert_eq!(there.is_empty(), a == b);
        prop_assert_eq!(&there.instances.added, &back.instances.removed);
        prop_assert_eq!(there.instances.changed.len(), back.instances.changed.len());
        prop_assert_eq!(there.instances.added.len(), new.keys().filter(|k| !old.contains_key(k)).count());
    }
}
