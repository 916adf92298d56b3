//! The examples load, and mean what they say.
#![allow(clippy::expect_used, clippy::panic)] // helpers of tests

use config::{Encapsulation, PortRole, load};

const FIRST_LIGHT: &str = include_str!("../examples/first-light.toml");
const STATIC: &str = include_str!("../examples/static.toml");

fn loaded(text: &str, file: &str) -> config::Config {
    load(text, file).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n"))
    })
}

#[test]
fn first_light() {
    let config = loaded(FIRST_LIGHT, "first-light.toml");
    assert_eq!(config.router.name, "gw1");
    assert_eq!(config.router.tunnel_address, config.router.router_id);
    assert_eq!(config.router.encapsulations, Encapsulation::ALL);
    assert_eq!(config.router.label_quarantine, 300);
    assert_eq!(config.router.state_file.to_str(), Some("/var/lib/vrouter/gw1.json"));
    assert_eq!(config.api.socket.to_str(), Some("/run/vrouter/api.sock"));
    assert_eq!(config.dataplane, config::Dataplane::default());
    let roles: Vec<PortRole> = config.ports.iter().map(|p| p.role).collect();
    assert_eq!(roles, [PortRole::Fabric, PortRole::Gateway]);
    assert_eq!((config.ports[0].mtu, config.ports[0].vlan_strip), (1500, false));
    let vrf = &config.vrfs[0];
    assert_eq!(vrf.import_targets(), vrf.export_targets());
    assert_eq!(
        vrf.import_targets().first().map(|t| t.to_string()).as_deref(),
        Some("target:64514:1")
    );
    assert_eq!(config.instances[0].vlan.value(), 107);
    let bgp = config.bgp.expect("[[bgp.peer]] makes a [bgp]");
    assert_eq!(bgp.listen, Some(([0, 0, 0, 0], 179).into()));
    let peer = &bgp.peers[0];
    assert_eq!((peer.port, peer.hold_time, peer.passive, peer.multihop), (179, 90, false, false));
    assert_eq!(peer.families, [bgp::types::Family::Vpnv4]);
}

#[test]
fn without_bgp() {
    let config = loaded(STATIC, "static.toml");
    assert!(config.bgp.is_none());
    let route = config.vrfs[0].static_routes[0];
    assert_eq!((route.label.value(), route.encapsulation), (300, Encapsulation::MplsOverUdp));
    assert_eq!(config.static_routes[0].via.to_string(), "192.0.2.254");
}

#[test]
fn what_is_written_reads_back() {
    for text in [FIRST_LIGHT, STATIC] {
        let config = loaded(text, "example");
        let written = config.to_toml().expect("paths are UTF-8");
        assert_eq!(loaded(&written, "written"), config, "{written}");
        // The serde way in agrees with the reader for a complete file.
        assert_eq!(toml::from_str::<config::Config>(&written).expect("complete"), config);
    }
}
