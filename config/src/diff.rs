//! What one configuration changes against another, what that interrupts, and what cannot be changed in a running process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::api::ConfigReply;
use crate::model::*;

/// The difference between two configurations. Objects are the same if they have the same name (peers: address, static
/// routes: prefix, static neighbours: port and address); the order of the file is no difference, except that of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// `[router]`, old and new, if anything in it changed.
    pub router: Option<(Router, Router)>,
    /// `[[port]]`.
    pub ports: Changes<Port>,
    /// `[[static-route]]`.
    pub static_routes: Changes<StaticRoute>,
    /// `[[static-neighbor]]`.
    pub static_neighbors: Changes<StaticNeighbor>,
    /// `[[bfd]]`.
    pub bfd: Changes<Bfd>,
    /// `[[vrf]]`, each in one form: what is imported and exported in `route-targets`, the lists sorted.
    pub vrfs: Changes<Vrf>,
    /// `[[instance]]`.
    pub instances: Changes<Instance>,
    /// `[[bgp.peer]]`.
    pub peers: Changes<BgpPeer>,
    /// Every change as a line: `instance db7: vlan 107 -> 108`. Empty: the two configurations mean the same.
    pub lines: Vec<String>,
    /// What is interrupted: `BGP session to 192.0.2.10`, `traffic of instance db7`.
    pub disturbs: Vec<String>,
    /// The lines of `lines` that only a restart of the process can bring about.
    pub needs_restart: Vec<String>,
}

/// Objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes<T> {
    /// Only in the new configuration, in its order.
    pub added: Vec<T>,
    /// Only in the old configuration, in its order.
    pub removed: Vec<T>,
    /// In both, old and new, in the order of the new configuration.
    pub changed: Vec<(T, T)>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Changes { added: Vec::new(), removed: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Changes<T> {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn between<K: Ord>(old: &[T], new: &[T], key: impl Fn(&T) -> K) -> Changes<T>
    where
        T: Clone + PartialEq,
    {
        let before: BTreeMap<K, &T> = old.iter().map(|o| (key(o), o)).collect();
        let after: BTreeSet<K> = new.iter().map(&key).collect();
        let mut changes = Changes::default();
        changes.removed.extend(old.iter().filter(|o| !after.contains(&key(o))).cloned());
        for object in new {
            match before.get(&key(object)) {
                None => changes.added.push(object.clone()),
                Some(&earlier) if earlier != object => {
                    changes.changed.push((earlier.clone(), object.clone()));
                }
                Some(_) => {}
            }
        }
        changes
    }
}

impl Diff {
    /// The two configurations mean the same.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What the operator is told after it was applied.
    pub fn reply(&self) -> ConfigReply {
        ConfigReply { changes: self.lines.clone(), disturbs: self.disturbs.clone() }
    }

    /// A change that can be made at once.
    fn live(&mut self, line: String) {
        self.lines.push(line);
    }

    /// A change that only a restart brings about.
    fn restart(&mut self, line: String) {
        self.needs_restart.push(line.clone());
        self.lines.push(line);
    }

    fn disturb(&mut self, what: String) {
        if !self.disturbs.contains(&what) {
            self.disturbs.push(what);
        }
    }
}

/// What `new` changes against `old`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let none: &[BgpPeer] = &[];
    let peers = |c: &'_ Config| c.bgp.as_ref().map_or(none.to_vec(), |b| b.peers.clone());
    let mut diff = Diff {
        router: (old.router != new.router).then(|| (old.router.clone(), new.router.clone())),
        ports: Changes::between(&old.ports, &new.ports, |p| p.name.clone()),
        static_routes: Changes::between(&old.static_routes, &new.static_routes, |r| r.prefix),
        static_neighbors: Changes::between(&old.static_neighbors, &new.static_neighbors, |n| {
            (n.port.clone(), n.address)
        }),
        bfd: Changes::between(&old.bfd, &new.bfd, |b| b.address),
        vrfs: Changes::between(&sorted_vrfs(old), &sorted_vrfs(new), |v| v.name.clone()),
        instances: Changes::between(&old.instances, &new.instances, |i| i.name.clone()),
        peers: Changes::between(&peers(old), &peers(new), |p| p.address),
        ..Diff::default()
    };
    router(&mut diff, &old.router, &new.router);
    process(&mut diff, old, new);
    ports(&mut diff, old, new);
    static_routes(&mut diff);
    static_neighbors(&mut diff);
    bfd(&mut diff);
    vrfs(&mut diff);
    instances(&mut diff);
    bgp(&mut diff, old, new);
    diff
}

/// A VRF's lists are sets: their order means nothing.
fn sorted_vrfs(config: &Config) -> Vec<Vrf> {
    let mut vrfs = config.vrfs.clone();
    for vrf in &mut vrfs {
        let (import, export) = (vrf.import_targets(), vrf.export_targets());
        vrf.route_targets = import.intersection(&export).copied().collect();
        vrf.import = import.difference(&export).copied().collect();
        vrf.export = export.difference(&import).copied().collect();
        vrf.subnets.sort();
        vrf.static_routes.sort();
    }
    vrfs
}

/// `what: key old -> new` if the two differ.
fn moved<T: PartialEq + Display>(what: &str, key: &str, old: &T, new: &T) -> Option<String> {
    (old != new).then(|| format!("{what}: {key} {old} -> {new}"))
}

/// `what: key -gone +come` if the sets differ.
fn set_moved<T: Ord + Display>(
    what: &str,
    key: &str,
    old: impl IntoIterator<Item = T>,
    new: impl IntoIterator<Item = T>,
) -> Option<String> {
    let (old, new): (BTreeSet<T>, BTreeSet<T>) =
        (old.into_iter().collect(), new.into_iter().collect());
    let gone = old.difference(&new).map(|v| format!(" -{v}"));
    let come = new.difference(&old).map(|v| format!(" +{v}"));
    let moves: String = gone.chain(come).collect();
    (!moves.is_empty()).then(|| format!("{what}: {key}{moves}"))
}

/// A list whose order counts, as text.
fn in_order<T: Display>(list: &[T]) -> String {
    let items: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn or_default<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// `what: key old -> new` without what they are.
fn secret_moved<T: PartialEq>(
    what: &str,
    key: &str,
    old: Option<&T>,
    new: Option<&T>,
) -> Option<String> {
    let shown = |value: Option<&T>| if value.is_some() { "set" } else { "not set" };
    match (old, new) {
        (Some(o), Some(n)) if o != n => Some(format!("{what}: {key} changed")),
        _ => moved(what, key, &shown(old), &shown(new)),
    }
}

fn or_off<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "off".to_owned(), ToString::to_string)
}

fn router(diff: &mut Diff, old: &Router, new: &Router) {
    let fixed = [
        moved("router", "name", &old.name, &new.name),
        moved("router", "router-id", &old.router_id, &new.router_id),
        moved("router", "asn", &old.asn, &new.asn),
        moved("router", "tunnel-address", &old.tunnel_address, &new.tunnel_address),
        moved(
            "router",
            "state-file",
            &old.state_file.display().to_string(),
            &new.state_file.display().to_string(),
        ),
    ];
    fixed.into_iter().flatten().for_each(|line| diff.restart(line));
    let encapsulations = moved(
        "router",
        "encapsulations",
        &in_order(&old.encapsulations),
        &in_order(&new.encapsulations),
    );
    if let Some(line) = encapsulations {
        diff.live(line);
        diff.disturb("routes of all VRFs are advertised and resolved again".to_owned());
    }
    let sources =
        set_moved("router", "tunnel-sources", old.tunnel_sources.iter(), new.tunnel_sources.iter());
    let quarantine =
        moved("router", "label-quarantine", &old.label_quarantine, &new.label_quarantine);
    sources.into_iter().chain(quarantine).for_each(|line| diff.live(line));
}

/// What the process was started with.
fn process(diff: &mut Diff, old: &Config, new: &Config) {
    let (o, n) = (&old.dataplane, &new.dataplane);
    let lines = [
        moved(
            "api",
            "socket",
            &old.api.socket.display().to_string(),
            &new.api.socket.display().to_string(),
        ),
        moved("dataplane", "workers", &in_order(&o.workers), &in_order(&n.workers)),
        moved("dataplane", "eal", &in_order(&o.eal), &in_order(&n.eal)),
        moved(
            "dataplane",
            "idle-sleep-microseconds",
            &o.idle_sleep_microseconds,
            &n.idle_sleep_microseconds,
        ),
        moved(
            "dataplane",
            "idle-after-microseconds",
            &o.idle_after_microseconds,
            &n.idle_after_microseconds,
        ),
        moved("dataplane", "burst", &o.burst, &n.burst),
        moved("dataplane", "descriptors", &o.descriptors, &n.descriptors),
        moved("dataplane", "spread", &o.spread, &n.spread),
        moved("dataplane", "sample-bursts", &o.sample_bursts, &n.sample_bursts),
        moved("dataplane", "mbufs", &or_default(o.mbufs.as_ref()), &or_default(n.mbufs.as_ref())),
    ];
    lines.into_iter().flatten().for_each(|line| diff.restart(line));
}

fn ports(diff: &mut Diff, old: &Config, new: &Config) {
    let Changes { added, removed, changed } = diff.ports.clone();
    removed.iter().for_each(|p| diff.restart(format!("port {}: removed", p.name)));
    added.iter().for_each(|p| diff.restart(format!("port {}: added", p.name)));
    for (o, n) in &changed {
        let what = format!("port {}", n.name);
        let lines = [
            moved(&what, "role", &o.role, &n.role),
            moved(&what, "device", &o.device, &n.device),
            set_moved(&what, "addresses", &o.addresses, &n.addresses).or_else(|| {
                moved(&what, "addresses", &in_order(&o.addresses), &in_order(&n.addresses))
            }),
            moved(&what, "mtu", &o.mtu, &n.mtu),
            moved(&what, "vlan-strip", &o.vlan_strip, &n.vlan_strip),
        ];
        lines.into_iter().flatten().for_each(|line| diff.restart(line));
    }
    let names = |c: &Config| c.ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    // The order numbers them.
    if added.is_empty() && removed.is_empty() && names(old) != names(new) {
        diff.restart(format!(
            "ports: order {} -> {}",
            in_order(&names(old)),
            in_order(&names(new))
        ));
    }
}

fn static_routes(diff: &mut Diff) {
    let Changes { added, removed, changed } = diff.static_routes.clone();
    for route in &removed {
        diff.live(format!("static route {}: removed", route.prefix));
        diff.disturb(format!("tunnels through {}", route.prefix));
    }
    added.iter().for_each(|r| diff.live(format!("static route {}: added via {}", r.prefix, r.via)));
    for (o, n) in &changed {
        diff.live(format!("static route {}: via {} -> {}", n.prefix, o.via, n.via));
        diff.disturb(format!("tunnels through {}", n.prefix));
    }
}

fn static_neighbors(diff: &mut Diff) {
    let Changes { added, removed, changed } = diff.static_neighbors.clone();
    let what = |n: &StaticNeighbor| format!("static neighbor {} on {}", n.address, n.port);
    for n in &removed {
        diff.live(format!("{}: removed", what(n)));
        diff.disturb(format!("tunnels through {}, until it answers", n.address));
    }
    added.iter().for_each(|n| diff.live(format!("{}: added with MAC {}", what(n), n.mac)));
    changed.iter().for_each(|(o, n)| diff.live(format!("{}: MAC {} -> {}", what(n), o.mac, n.mac)));
}

fn bfd(diff: &mut Diff) {
    let Changes { added, removed, changed } = diff.bfd.clone();
    let what = |b: &Bfd| format!("bfd {}", b.address);
    for b in &removed {
        diff.live(format!("{}: removed", what(b)));
        diff.disturb(format!("BFD session with {}", b.address));
    }
    for b in &added {
        let hops = if b.multihop { ", multihop" } else { "" };
        let (interval, many) = (b.interval_milliseconds, b.multiplier);
        diff.live(format!("{}: added, {many} x {interval} ms{hops}", what(b)));
    }
    for (o, n) in &changed {
        let intervals = (&o.interval_milliseconds, &n.interval_milliseconds);
        let lines = [
            moved(&what(n), "interval-milliseconds", intervals.0, intervals.1),
            moved(&what(n), "multiplier", &o.multiplier, &n.multiplier),
            moved(&what(n), "multihop", &o.multihop, &n.multihop),
        ];
        lines.into_iter().flatten().for_each(|line| diff.live(line));
        if o.multihop != n.multihop {
            diff.disturb(format!("BFD session with {}", n.address));
        }
    }
}

fn vrfs(diff: &mut Diff) {
    let Changes { added, removed, changed } = diff.vrfs.clone();
    for vrf in &removed {
        diff.live(format!("vrf {}: removed", vrf.name));
        diff.disturb(format!("traffic of vrf {}", vrf.name));
    }
    added.iter().for_each(|v| diff.live(format!("vrf {}: added", v.name)));
    for (o, n) in &changed {
        let what = format!("vrf {}", n.name);
        let subnets = |v: &Vrf| -> BTreeMap<_, _> {
            v.subnets.iter().map(|s| (s.prefix, s.gateway)).collect()
        };
        let lost = |old: BTreeSet<_>, new: BTreeSet<_>| old.difference(&new).next().is_some();
        if lost(o.import_targets(), n.import_targets()) {
            diff.disturb(format!(
                "routes of vrf {} that came by the removed import targets",
                n.name
            ));
        }
        if lost(o.export_targets(), n.export_targets()) {
            diff.disturb(format!(
                "routes of vrf {} at peers that import by the removed export targets",
                n.name
            ));
        }
        let lines = [
            set_moved(&what, "import targets", o.import_targets(), n.import_targets()),
            set_moved(&what, "export targets", o.export_targets(), n.export_targets()),
            set_moved(&what, "subnets", subnets(o).into_keys(), subnets(n).into_keys()),
        ];
        lines.into_iter().flatten().for_each(|line| diff.live(line));
        let (before, after) = (subnets(o), subnets(n));
        for (prefix, gateway) in &after {
            if let Some(line) = before
                .get(prefix)
                .and_then(|b| moved(&what, &format!("gateway of {prefix}"), b, gateway))
            {
                diff.live(line);
                diff.disturb(format!(
                    "instances of vrf {} that use the old gateway of {prefix}",
                    n.name
                ));
            }
        }
        if before.keys().any(|prefix| !after.contains_key(prefix)) {
            diff.disturb(format!("traffic of the removed subnets of vrf {}", n.name));
        }
        vrf_static_routes(diff, &what, o, n);
    }
}

fn vrf_static_routes(diff: &mut Diff, what: &str, old: &Vrf, new: &Vrf) {
    let routes = Changes::between(&old.static_routes, &new.static_routes, |r| r.prefix);
    let way = |r: &VrfStaticRoute| format!("{} label {} {}", r.tunnel, r.label, r.encapsulation);
    for route in &routes.removed {
        diff.live(format!("{what}: static route {} removed", route.prefix));
        diff.disturb(format!("traffic of {what} to {}", route.prefix));
    }
    for route in &routes.added {
        diff.live(format!("{what}: static route {} added through {}", route.prefix, way(route)));
    }
    for (o, n) in &routes.changed {
        diff.live(format!("{what}: static route {} {} -> {}", n.prefix, way(o), way(n)));
    }
}

fn instances(diff: &mut Diff) {
    let Changes { added, removed, changed } = diff.instances.clone();
    for instance in &removed {
        diff.live(format!("instance {}: removed", instance.name));
        diff.disturb(format!("traffic of instance {}", instance.name));
    }
    added.iter().for_each(|i| diff.live(format!("instance {}: added", i.name)));
    for (o, n) in &changed {
        let what = format!("instance {}", n.name);
        let moves = [
            moved(&what, "vrf", &o.vrf, &n.vrf),
            moved(&what, "port", &o.port, &n.port),
            moved(&what, "vlan", &o.vlan, &n.vlan),
            moved(&what, "mac", &o.mac, &n.mac),
        ];
        let addresses = set_moved(&what, "addresses", &o.addresses, &n.addresses).or_else(|| {
            moved(&what, "addresses", &in_order(&o.addresses), &in_order(&n.addresses))
        });
        let kept = o.addresses.iter().all(|a| n.addresses.contains(a));
        if !kept || moves.iter().any(Option::is_some) {
            diff.disturb(format!("traffic of {what}"));
        }
        moves.into_iter().chain([addresses]).flatten().for_each(|line| diff.live(line));
    }
}

fn bgp(diff: &mut Diff, old: &Config, new: &Config) {
    let listen = |b: &Bgp| b.listen.map_or_else(|| "none".to_owned(), |l| l.to_string());
    match (&old.bgp, &new.bgp) {
        (Some(o), Some(n)) => {
            let line = moved("bgp", "listen", &listen(o), &listen(n));
            line.into_iter().for_each(|line| diff.restart(line));
        }
        (None, Some(_)) => diff.live("bgp: added".to_owned()),
        (Some(_), None) => diff.live("bgp: removed".to_owned()),
        (None, None) => {}
    }
    let Changes { added, removed, changed } = diff.peers.clone();
    for peer in &removed {
        diff.live(format!("peer {}: removed", peer.address));
        diff.disturb(format!("BGP session to {}", peer.address));
    }
    added.iter().for_each(|p| diff.live(format!("peer {}: added", p.address)));
    for (o, n) in &changed {
        let what = format!("peer {}", n.address);
        let automatic =
            |p: &BgpPeer| p.local_address.map_or_else(|| "automatic".to_owned(), |a| a.to_string());
        let lines = [
            moved(&what, "asn", &o.asn, &n.asn),
            moved(&what, "families", &in_order(&o.families), &in_order(&n.families)),
            moved(&what, "passive", &o.passive, &n.passive),
            moved(&what, "port", &o.port, &n.port),
            moved(&what, "local-address", &automatic(o), &automatic(n)),
            moved(&what, "multihop", &o.multihop, &n.multihop),
            moved(
                &what,
                "ttl-security",
                &or_off(o.ttl_security.as_ref()),
                &or_off(n.ttl_security.as_ref()),
            ),
            secret_moved(&what, "password", o.password.as_ref(), n.password.as_ref()),
            moved(&what, "hold-time", &o.hold_time, &n.hold_time),
            moved(
                &what,
                "send-hold-time",
                &or_default(o.send_hold_time.as_ref()),
                &or_default(n.send_hold_time.as_ref()),
            ),
        ];
        lines.into_iter().flatten().for_each(|line| diff.live(format!("{line} (session resets)")));
        diff.disturb(format!("BGP session to {}", n.address));
    }
}
