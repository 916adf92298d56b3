//! Applying configurations one after the other leaves the data plane as a fresh start with the last one would, and a restart of
//! the agent changes nothing in it. The core runs here without threads against a data plane that checks the rules of the seam.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::rib::{PathAttributes, Reason};
use bgp::speaker::{BestPath, Update};
use bgp::types::{Asn, ExtCommunity, Family, Route, RouteDistinguisher, RouteTarget};
use common::{Model, Plane, Scratch, plane};
use config::*;
use engine::seam::{Gen, LabelTarget, Nexthop, NexthopId, Op, VifId, VrfId};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use vrouter_agent::api::{Answer, Failure, Query};
use vrouter_agent::carried::Carried;
use vrouter_agent::core::{Core, RESTORE_LIMIT};
use vrouter_agent::labels::Unix;
use vrouter_agent::peering::Action;
use wire::{Label, Mac, VlanId};

/// Small, so that it is full all the time.
const RING: usize = 16;

fn base(state_file: std::path::PathBuf) -> Config {
    let port = |name: &str, role, device: &str, addresses: &[&str]| Port {
        name: name.into(),
        role,
        device: device.into(),
        addresses: addresses.iter().map(|a| a.parse::<IpNet>().unwrap()).collect(),
        mtu: 1500,
        vlan_strip: false,
    };
    Config {
        router: Router {
            name: "gw1".into(),
            router_id: Ipv4Addr::new(192, 0, 2, 1),
            asn: Asn(64512),
            tunnel_address: Ipv4Addr::new(192, 0, 2, 1),
            encapsulations: Encapsulation::ALL.to_vec(),
            tunnel_sources: vec![],
            label_quarantine: 300,
            state_file,
        },
        api: Api::default(),
        dataplane: Dataplane::default(),
        ports: vec![
            port("fabric0", PortRole::Fabric, "vdev:net_af_packet0,iface=eth0", &["192.0.2.1/24"]),
            port("gw0", PortRole::Gateway, "vdev:net_af_packet1,iface=eth1", &[]),
            port("gw1", PortRole::Gateway, "vdev:net_af_packet2,iface=eth2", &[]),
        ],
        static_routes: vec![],
        static_neighbors: vec![],
        bfd: vec![],
        vrfs: vec![],
        instances: vec![],
        bgp: None,
    }
}

fn target(number: u8) -> RouteTarget {
    format!("64514:{number}").parse().unwrap()
}

fn vrf(name: &str, targets: &[u8]) -> Vrf {
    Vrf {
        name: name.into(),
        route_targets: targets.iter().map(|n| target(*n)).collect(),
        import: vec![],
        export: vec![],
        subnets: vec![Subnet {
            prefix: "10.1.0.0/24".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 1, 0, 1),
        }],
        static_routes: vec![],
    }
}

fn instance(name: &str, vrf: &str, port: &str, vlan: u16, address: u8) -> Instance {
    Instance {
        name: name.into(),
        vrf: vrf.into(),
        port: port.into(),
        vlan: VlanId::new(vlan).unwrap(),
        mac: Mac([0x52, 0x54, 0, 0, 1, address]),
        addresses: vec![IpAddr::from([10, 1, 0, address])],
    }
}

fn best(rd: u16, prefix: &str, targets: &[u8], types: &[u16]) -> Update {
    let mut attributes = PathAttributes::new(IpAddr::from([192, 0, 2, 9]));
    attributes.ext_communities = targets.iter().map(|n| ExtCommunity::from(target(*n))).collect();
    attributes.ext_communities.extend(types.iter().map(|t| ExtCommunity::encapsulation(*t)));
    let path = BestPath {
        peer: IpAddr::from([192, 0, 2, 10]),
        binding: bgp::wire::Binding::Label(1000 + u32::from(rd)),
        attributes: Arc::new(attributes),
        reason: Reason::OnlyPath,
    };
    gone_or(rd, prefix, Some(path))
}

fn gone_or(rd: u16, prefix: &str, path: Option<BestPath>) -> Update {
    let rd = Some(RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 9), rd));
    Update::Best { route: Route::to(rd, prefix.parse().unwrap()), path }
}

/// The state of the agent between two runs, and its data plane.
struct Node {
    carried: Carried,
    plane: Plane,
}

impl Node {
    fn new(config: &Config) -> Node {
        let (ops, events, plane) = plane(3, RING);
        Node { carried: Carried::new(config.clone(), ops, events, Instant::now()), plane }
    }

    fn run(&mut self) -> Run<'_> {
        let mut core = Core::new(&mut self.carried, Instant::now(), Unix(1000));
        let mut actions = Vec::new();
        settle(&mut core, &mut self.plane, &mut actions);
        Run { core, plane: &mut self.plane, actions }
    }
}

struct Run<'a> {
    core: Core<'a>,
    plane: &'a mut Plane,
    actions: Vec<Action>,
}

fn settle(core: &mut Core<'_>, plane: &mut Plane, actions: &mut Vec<Action>) {
    for _ in 0..100_000 {
        core.poll(Instant::now());
        actions.extend(core.actions());
        if !plane.step() && !core.busy() {
            return;
        }
    }
    panic!("does not settle");
}

impl Run<'_> {
    fn settle(&mut self) {
        settle(&mut self.core, self.plane, &mut self.actions);
    }

    fn ask(&mut self, query: Query) -> Result<Answer, Failure> {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        self.core.ask(query, reply, Instant::now(), Unix(1000));
        self.settle();
        answer.try_recv().expect("an answer")
    }

    fn apply(&mut self, config: &Config) {
        let text = toml::to_string(config).unwrap();
        let answer = self.ask(Query::Apply { text: text.clone(), file: "test.toml".into() });
        assert!(matches!(answer, Ok(Answer::Config(_))), "{answer:?}\n{text}");
    }

    fn learn(&mut self, updates: &[Update]) {
        for update in updates {
            self.core.on_update(update.clone());
        }
        self.settle();
    }

    fn state(&mut self) -> Named {
        assert_eq!(self.plane.breaches, Vec::<String>::new());
        let Ok(Answer::Vrfs(vrfs)) = self.ask(Query::Vrfs) else { panic!("no VRFs") };
        let names = vrfs.into_iter().map(|row| (VrfId(row.id as u16), row.name)).collect();
        Named::of(&self.plane.model, &names)
    }
}

/// Where a route or label leads, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Tunnel(Ipv4Addr, engine::seam::Encapsulation, Label),
    Vif(u8, VlanId),
    Vrf(String),
    Receive,
    Discard,
}

/// The model without numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    tunnel_address: Option<Ipv4Addr>,
    port_addresses: Vec<(u8, Ipv4Net)>,
    neighbors: BTreeMap<(engine::seam::PortId, Ipv4Addr), Mac>,
    underlay: BTreeMap<Ipv4Net, Ipv4Addr>,
    tunnel_sources: Vec<Ipv4Net>,
    vrfs: BTreeSet<String>,
    subnets: BTreeSet<(String, Ipv4Net, Ipv4Addr)>,
    vifs: BTreeMap<(u8, VlanId), (String, Mac, BTreeSet<Ipv4Addr>)>,
    routes: BTreeMap<(String, Ipv4Net), To>,
    labels: BTreeMap<Label, To>,
}

impl Named {
    fn of(m: &Model, names: &BTreeMap<VrfId, String>) -> Named {
        let vrf = |id: &VrfId| names.get(id).expect("a VRF of the configuration").clone();
        let vif =
            |id: &VifId| m.vifs.get(id).map(|(port, vlan, ..)| (port.0, *vlan)).expect("a vif");
        let to_vif = |id: &VifId| To::Vif(vif(id).0, vif(id).1);
        let hop = |id: &NexthopId| match m.nexthops[id] {
            Nexthop::Tunnel { tunnel, label } => {
                To::Tunnel(m.tunnels[&tunnel].0, m.tunnels[&tunnel].1, label)
            }
            Nexthop::Vif(id) => to_vif(&id),
            Nexthop::Receive => To::Receive,
            Nexthop::Discard | Nexthop::Group(_) => To::Discard,
        };
        let used: BTreeSet<&NexthopId> = m.routes.values().collect();
        assert_eq!(used.len(), m.nexthops.len(), "a next hop without a route");
        let tunnels: BTreeSet<_> = m
            .nexthops
            .values()
            .filter_map(
                |n| if let Nexthop::Tunnel { tunnel, .. } = n { Some(*tunnel) } else { None },
            )
            .collect();
        assert_eq!(tunnels.len(), m.tunnels.len(), "a tunnel without a next hop");
        let addresses =
            |id: &VifId| m.vif_addresses.keys().filter(|(v, _)| v == id).map(|(_, a)| *a).collect();
        Named {
            tunnel_address: m.tunnel_address,
            port_addresses: m.port_addresses.keys().map(|(port, net)| (port.0, *net)).collect(),
            neighbors: m.neighbors.clone(),
            underlay: m.underlay.clone(),
            tunnel_sources: m.tunnel_sources.keys().copied().collect(),
            vrfs: m.vrfs.keys().map(vrf).collect(),
            subnets: m
                .subnets
                .iter()
                .map(|((v, prefix), gateway)| (vrf(v), *prefix, *gateway))
                .collect(),
            vifs: m
                .vifs
                .iter()
                .map(|(id, (.., v, mac))| (vif(id), (vrf(v), *mac, addresses(id))))
                .collect(),
            routes: m.routes.iter().map(|((v, prefix), id)| ((vrf(v), *prefix), hop(id))).collect(),
            labels: m
                .labels
                .iter()
                .map(|(label, target)| match target {
                    LabelTarget::Vrf(v) => (*label, To::Vrf(vrf(v))),
                    LabelTarget::Vif(v) => (*label, to_vif(v)),
                })
                .collect(),
        }
    }
}

/// What varies between two configurations.
#[derive(Clone, Debug)]
struct Recipe {
    gre_first: bool,
    vrfs: Vec<(bool, u8, u8, bool)>,
    instances: Vec<(u8, u8, bool, u8, u8)>,
    underlay: u8,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    (
        any::<bool>(),
        proptest::collection::vec((any::<bool>(), 0u8..8, 0u8..8, any::<bool>()), 3),
        proptest::collection::vec((0u8..4, 1u8..6, any::<bool>(), 2u8..8, 0u8..2), 6),
        0u8..32,
    )
        .prop_map(|(gre_first, vrfs, instances, underlay)| Recipe {
            gre_first,
            vrfs,
            instances,
            underlay,
        })
}

const VRFS: [&str; 3] = ["Red", "Green", "Blue"];

impl Recipe {
    fn config(&self, state_file: &std::path::Path) -> Config {
        let mut config = base(state_file.to_owned());
        config.bgp = Some(one_peer());
        if self.gre_first {
            config.router.encapsulations.reverse();
        }
        if self.underlay & 1 != 0 {
            config.router.tunnel_sources = vec!["198.51.100.0/24".parse().unwrap()];
        }
        if self.underlay & 24 != 0 {
            config.static_neighbors = vec![StaticNeighbor {
                port: "fabric0".into(),
                address: Ipv4Addr::new(192, 0, 2, 250),
                mac: Mac([2, 0, 0, 0, 0, self.underlay >> 3]),
            }];
        }
        if self.underlay & 6 != 0 {
            let via = Ipv4Addr::new(192, 0, 2, 250 + (self.underlay >> 1 & 3));
            config.static_routes =
                vec![StaticRoute { prefix: "198.51.100.0/24".parse().unwrap(), via }];
        }
        for (name, (there, import, export, fixed)) in VRFS.iter().zip(&self.vrfs) {
            if !there {
                continue;
            }
            let list = |bits: &u8| {
                (0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| target(bit + 1)).collect()
            };
            let mut new = Vrf { import: list(import), export: list(export), ..vrf(name, &[]) };
            if *fixed {
                let prefix = "10.9.0.0/16".parse().unwrap();
                new.static_routes.push(VrfStaticRoute {
                    prefix,
                    tunnel: Ipv4Addr::new(192, 0, 2, 9),
                    label: Label::new(300 + u32::from(*import)).unwrap(),
                    encapsulation: Encapsulation::MplsOverUdp,
                });
            }
            config.vrfs.push(new);
        }
        let mut names = BTreeSet::new();
        let mut vlans = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (index, (choice, vlan, other, address, more)) in self.instances.iter().enumerate() {
            let Some(vrf) = VRFS
                .get(usize::from(*choice))
                .filter(|v| config.vrfs.iter().any(|c| c.name == **v))
            else {
                continue;
            };
            let port = if *other { "gw1" } else { "gw0" };
            let mut new = instance(&format!("i{index}"), vrf, port, u16::from(*vlan), *address);
            if *more == 1 {
                new.addresses.push(IpAddr::from([10, 1, 0, address + 100]));
            }
            let free = new.addresses.iter().all(|a| !addresses.contains(&(*vrf, *a)));
            if free && vlans.insert((port, *vlan)) && names.insert(new.name.clone()) {
                addresses.extend(new.addresses.iter().map(|a| (*vrf, *a)));
                config.instances.push(new);
            }
        }
        config
    }
}

fn learnt() -> Vec<Update> {
    vec![
        best(1, "10.2.0.0/24", &[1], &[2, 13]),
        best(2, "10.2.0.0/24", &[1, 2], &[13]),
        best(3, "10.2.1.0/24", &[2], &[]),
        best(4, "10.1.0.3/32", &[3], &[13]),
        best(5, "10.9.0.0/16", &[1, 3], &[2]),
        best(6, "10.3.0.0/16", &[2], &[8]),
        Update::EndOfRib { peer: IpAddr::from([192, 0, 2, 10]), family: Family::Vpnv4 },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn applied_one_after_the_other_equals_a_fresh_start(
        recipes in proptest::collection::vec(recipe(), 1..6),
        learn_after in 0usize..6,
        restart in any::<bool>(),
    ) {
        let scratch = Scratch::new("apply");
        let file = scratch.0.join("state.json");
        let configs: Vec<Config> = recipes.iter().map(|recipe| recipe.config(&file)).collect();
        let last = configs.last().unwrap();
        let mut node = Node::new(&configs[0]);
        {
            let mut run = node.run();
            for (index, config) in configs.iter().enumerate() {
                run.apply(config);
                if index == learn_after {
                    run.learn(&learnt());
                }
            }
            run.learn(&learnt());
        }
        if restart {
            let before = node.plane.model.clone();
            let mut run = node.run();
            run.learn(&learnt());
            prop_assert_eq!(&before, &run.plane.model);
        }
        let churned = node.run_state(&learnt());

        let mut fresh = Node::new(last);
        prop_assert_eq!(churned, fresh.run_state(&learnt()));
    }
}

impl Node {
    /// A run that is told `updates`, and how it leaves the data plane.
    fn run_state(&mut self, updates: &[Update]) -> Named {
        let mut run = self.run();
        run.learn(updates);
        run.state()
    }
}

fn one_peer() -> Bgp {
    toml::from_str("listen = \"none\"\n[[peer]]\naddress = \"192.0.2.10\"\nasn = 64512").unwrap()
}

fn two_vrfs(scratch: &Scratch) -> Config {
    let mut config = base(scratch.0.join("state.json"));
    config.vrfs = vec![vrf("Red", &[1]), vrf("Blue", &[2])];
    config.instances = vec![instance("a", "Red", "gw0", 10, 7), instance("b", "Red", "gw0", 20, 8)];
    config
}

#[test]
fn a_restart_keeps_every_number_and_deletes_nothing_that_lives() {
    let scratch = Scratch::new("restart");
    let mut config = two_vrfs(&scratch);
    config.bgp = Some(one_peer());
    let mut node = Node::new(&config);
    let routes = [best(1, "10.2.0.0/24", &[1], &[13]), best(2, "10.3.0.0/24", &[1], &[13])];
    node.run().learn(&routes);
    let before = node.plane.model.clone();
    assert_eq!(before.routes.len(), 6);
    let seen = node.plane.log.len();

    let mut run = node.run();
    assert_eq!(run.plane.model, before, "learnt routes stay until the peer has sent its own again");
    run.learn(&routes[..1]);
    run.core
        .on_update(Update::EndOfRib { peer: IpAddr::from([192, 0, 2, 10]), family: Family::Vpnv4 });
    run.settle();
    assert_eq!(run.plane.breaches, Vec::<String>::new());
    let deletions = |op: &&Op| format!("{op:?}").contains("Del");
    assert_eq!(run.plane.log[seen..].iter().filter(deletions).count(), 0);
    let log = &run.plane.log[seen..];
    assert!(log.first() == Some(&Op::Resync) && log.contains(&Op::Sweep));
    let mut after = before.clone();
    let gone: Ipv4Net = "10.3.0.0/24".parse().unwrap();
    let red =
        *before.routes.keys().find(|(_, prefix)| *prefix == gone).map(|(vrf, _)| vrf).unwrap();
    let nexthop = after.routes.remove(&(red, gone)).unwrap();
    after.nexthops.remove(&nexthop);
    assert_eq!(run.plane.model, after, "what the peer did not send again went with the sweep");
}

#[test]
fn a_silent_peer_cannot_hold_the_sweep_off_for_ever() {
    let scratch = Scratch::new("silent");
    let mut config = two_vrfs(&scratch);
    config.bgp = Some(one_peer());
    let mut node = Node::new(&config);
    node.run().learn(&[best(1, "10.2.0.0/24", &[1], &[13])]);
    let mut run = node.run();
    let learnt = |plane: &Plane| plane.model.tunnels.len();
    assert_eq!(learnt(run.plane), 1);
    run.core.poll(Instant::now() + RESTORE_LIMIT + Duration::from_secs(1));
    run.settle();
    assert_eq!(learnt(run.plane), 0);
    assert_eq!(run.plane.breaches, Vec::<String>::new());
}

#[test]
fn two_instances_swap_vlans_and_vrfs_in_one_commit() {
    let scratch = Scratch::new("swap");
    let config = two_vrfs(&scratch);
    let mut node = Node::new(&config);
    let mut run = node.run();
    let mut swapped = config.clone();
    swapped.instances[0].vlan = config.instances[1].vlan;
    swapped.instances[1].vlan = config.instances[0].vlan;
    swapped.instances[1].vrf = "Blue".into();
    run.apply(&swapped);
    let state = run.state();
    let vif = |vlan: u16| state.vifs[&(1, VlanId::new(vlan).unwrap())].clone();
    assert_eq!((vif(20).0, vif(20).1), ("Red".into(), config.instances[0].mac));
    assert_eq!((vif(10).0, vif(10).1), ("Blue".into(), config.instances[1].mac));
}

#[test]
fn routes_are_advertised_after_their_labels_and_withdrawn_before() {
    let scratch = Scratch::new("advertise");
    let mut config = two_vrfs(&scratch);
    config.bgp = Some(one_peer());
    let (ops, events, mut plane) = plane(3, 4096);
    let mut carried = Carried::new(config.clone(), ops, events, Instant::now());
    let mut core = Core::new(&mut carried, Instant::now(), Unix(1000));
    core.poll(Instant::now());
    assert_eq!(core.actions(), [], "nothing is advertised before the data plane has it");
    plane.step();
    core.poll(Instant::now());
    let actions = core.actions();
    assert!(
        matches!(actions.first(), Some(Action::Start(..)))
            && matches!(actions.last(), Some(Action::Peers(_)))
    );
    assert!(actions.contains(&Action::Imports([target(1), target(2)].into())), "{actions:?}");
    let routes: Vec<_> = actions
        .iter()
        .filter_map(|a| if let Action::Originate(route) = a { Some(route) } else { None })
        .collect();
    assert_eq!(routes.len(), 2);
    for route in routes {
        assert_eq!(route.next_hop, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(route.route_targets, [target(1)]);
        assert_eq!(route.ext_communities, [2, 13].map(ExtCommunity::encapsulation));
        let label = Label::new(route.nlri.binding.label().unwrap()).unwrap();
        assert!(matches!(plane.model.labels[&label], LabelTarget::Vif(_)));
        assert!(route.nlri.route.rd().unwrap().to_string().starts_with("192.0.2.1:"));
    }

    let (reply, _answer) = tokio::sync::oneshot::channel();
    config.instances.truncate(1);
    let text = toml::to_string(&config).unwrap();
    core.ask(Query::Apply { text, file: "test.toml".into() }, reply, Instant::now(), Unix(1000));
    let actions = core.actions();
    assert!(
        matches!(actions.as_slice(), [Action::Withdraw((_, prefix))] if prefix.addr() == Ipv4Addr::new(10, 1, 0, 8))
    );
    let (reply, _answer) = tokio::sync::oneshot::channel();
    config.vrfs.truncate(1);
    let text = toml::to_string(&config).unwrap();
    core.ask(Query::Apply { text, file: "test.toml".into() }, reply, Instant::now(), Unix(1000));
    assert_eq!(
        core.actions(),
        [Action::Imports([target(1)].into())],
        "at once, and no session is touched"
    );
}

#[test]
fn a_refused_interface_is_down_with_the_reason_and_not_advertised() {
    let scratch = Scratch::new("refused");
    let mut config = two_vrfs(&scratch);
    config.bgp = Some(toml::from_str("listen = \"none\"").unwrap());
    let mut node = Node::new(&config);
    node.plane.refuse_vlans.insert(20);
    let mut run = node.run();
    let originated = |a: &&Action| matches!(a, Action::Originate(_));
    assert_eq!(run.actions.iter().filter(originated).count(), 1);
    let Ok(Answer::Interfaces(rows)) = run.ask(Query::Interfaces) else { panic!("no rows") };
    assert_eq!(
        (rows[0].state.as_str(), rows[1].state.as_str()),
        ("up", "down: the port cannot carry it")
    );
    let Ok(Answer::Status(status)) = run.ask(Query::Status) else { panic!("no status") };
    assert!(status.warnings.iter().any(|w| w.contains("refused")), "{:?}", status.warnings);

    run.plane.refuse_vlans.clear();
    config.instances[1].mac = Mac([2, 0, 0, 0, 0, 9]);
    run.apply(&config);
    let Ok(Answer::Interfaces(rows)) = run.ask(Query::Interfaces) else { panic!("no rows") };
    assert_eq!(rows[1].state, "up");
    assert_eq!(run.state().vifs.len(), 2);
    assert_eq!(run.actions.iter().filter(originated).count(), 2);
}

#[test]
fn what_needs_a_restart_or_is_wrong_changes_nothing() {
    let scratch = Scratch::new("wrong");
    let config = two_vrfs(&scratch);
    let mut node = Node::new(&config);
    let mut run = node.run();
    let before = (run.plane.model.clone(), run.core.config().clone());
    let mut other = config.clone();
    other.ports[1].mtu = 9000;
    for (text, complaint) in [
        (toml::to_string(&other).unwrap(), "restart"),
        (
            toml::to_string(&config).unwrap().replace("Red", "Read").replacen("Read", "Red", 1),
            "Read",
        ),
    ] {
        let Err(Failure::Refused(errors)) =
            run.ask(Query::Apply { text, file: "test.toml".into() })
        else {
            panic!("taken")
        };
        assert!(errors.iter().any(|e| e.contains(complaint)), "{errors:?}");
    }
    assert_eq!(before, (run.plane.model.clone(), run.core.config().clone()));
}

#[test]
fn local_routes_leak_by_route_target_and_sources_have_their_rank() {
    let scratch = Scratch::new("leak");
    let mut config = two_vrfs(&scratch);
    config.vrfs[1].import = vec![target(1)];
    config.vrfs[1].static_routes.push(VrfStaticRoute {
        prefix: "10.1.0.8/32".parse().unwrap(),
        tunnel: Ipv4Addr::new(192, 0, 2, 9),
        label: Label::new(300).unwrap(),
        encapsulation: Encapsulation::MplsOverGre,
    });
    let mut node = Node::new(&config);
    let mut run = node.run();
    run.learn(&[best(1, "10.1.0.7/32", &[1], &[13]), best(2, "10.1.0.9/32", &[1], &[13])]);
    let Ok(Answer::Routes(rows)) = run.ask(Query::Routes { vrf: Some("Blue".into()) }) else {
        panic!("no rows")
    };
    let sources: Vec<(String, &str)> =
        rows.iter().map(|r| (r.prefix.to_string(), r.source.as_str())).collect();
    let expected = [
        ("10.1.0.1/32", "subnet"),
        ("10.1.0.7/32", "vrf Red"),
        ("10.1.0.8/32", "static"),
        ("10.1.0.9/32", "bgp 192.0.2.10"),
    ];
    assert_eq!(sources, expected.map(|(prefix, source)| (prefix.to_owned(), source)));
    assert_eq!(
        run.ask(Query::Routes { vrf: Some("Pink".into()) }).unwrap_err(),
        Failure::Unknown("there is no VRF Pink".into())
    );
}

#[test]
fn a_mute_data_plane_is_an_error_not_a_hang() {
    let scratch = Scratch::new("mute");
    let mut node = Node::new(&two_vrfs(&scratch));
    node.plane.mute = true;
    let mut core = Core::new(&mut node.carried, Instant::now(), Unix(1000));
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    core.ask(Query::Ports, reply, Instant::now(), Unix(1000));
    core.poll(Instant::now());
    node.plane.step();
    core.poll(Instant::now());
    assert!(answer.try_recv().is_err());
    core.poll(Instant::now() + Duration::from_secs(3));
    assert!(matches!(answer.try_recv(), Ok(Err(Failure::Unavailable(_)))));
    assert_eq!(node.carried.generation, Gen(1));
}
