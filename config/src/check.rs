//! What single values cannot show: names that nobody has, things that exist twice, addresses outside their network.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};

use bgp::types::Asn;
use ipnet::{IpNet, Ipv4Net};

use crate::defaults;
use crate::diag::{Problems, closest};
use crate::load::{Raw, RawPeer, RawPort, RawVrf};
use crate::model::PortRole;
use crate::parse::device_identity;
use crate::read::{At, List};

/// Reports every fault of the configuration as a whole. What could not be read is not judged again.
pub(crate) fn check(raw: &Raw, problems: &Problems<'_>) {
    let underlay = Underlay::of(raw);
    router(raw, problems);
    ports(raw, problems);
    static_routes(raw, &underlay, problems);
    static_neighbors(raw, &underlay, problems);
    bfd(raw, &underlay, problems);
    let vrfs = vrfs(raw, &underlay, problems);
    instances(raw, &vrfs, problems);
    bgp(raw, &underlay, problems);
    fabric_needed(raw, problems);
}

/// Where each value was seen first.
struct Seen<K>(HashMap<K, usize>);

impl<K: Eq + Hash> Seen<K> {
    fn new() -> Self {
        Seen(HashMap::new())
    }

    /// The line of the earlier one, if there is one.
    fn earlier(&mut self, key: K, at: usize, problems: &Problems<'_>) -> Option<usize> {
        match self.0.get(&key) {
            Some(&first) => Some(problems.line(first)),
            None => {
                self.0.insert(key, at);
                None
            }
        }
    }
}

/// Every entry of a list but once.
fn no_doubles<T: Eq + Hash + Copy + Display>(
    list: Option<&List<T>>,
    key: &str,
    problems: &Problems<'_>,
) {
    let mut seen = Seen::new();
    for item in list.into_iter().flat_map(|l| &l.items) {
        if let Some(line) = seen.earlier(item.value, item.at, problems) {
            let message = format!("`{key}` holds {} twice, first on line {line}", item.value);
            problems.add(item.at, message, "remove one of the two");
        }
    }
}

/// Every object of a kind has a name of its own.
fn unique_names<'r>(
    kind: &str,
    names: impl Iterator<Item = Option<&'r At<String>>>,
    problems: &Problems<'_>,
) {
    let mut seen = Seen::new();
    for name in names.flatten() {
        if let Some(line) = seen.earlier(name.value.as_str(), name.at, problems) {
            let message = format!("{kind} `{}` already exists on line {line}", name.value);
            problems.add(name.at, message, "give each a name of its own");
        }
    }
}

/// An address that a single node can have.
fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0)
}

/// Whether `address` names the whole of `net` (its first or last address) and not a host in it.
fn names_network(net: Ipv4Net, address: Ipv4Addr) -> bool {
    net.prefix_len() < 31 && (address == net.network() || address == net.broadcast())
}

/// What we know of the links to other PEs. `whole` is false if some address could not be read.
struct Underlay {
    links: Vec<Ipv4Net>,
    own: HashSet<IpAddr>,
    whole: bool,
}

impl Underlay {
    fn of(raw: &Raw) -> Underlay {
        let mut underlay = Underlay { links: Vec::new(), own: HashSet::new(), whole: true };
        let router = &raw.router;
        underlay.own.extend(router.router_id.iter().map(|a| IpAddr::V4(a.value)));
        underlay.own.extend(router.tunnel_address.iter().map(|a| IpAddr::V4(a.value)));
        for port in &raw.ports {
            underlay.whole &=
                port.role.is_some() && port.addresses.as_ref().is_none_or(|a| a.whole);
            for address in port.addresses.iter().flat_map(|l| &l.items) {
                underlay.own.insert(address.value.addr());
                if let (IpNet::V4(net), Some(PortRole::Fabric)) =
                    (address.value, port.role.map(|r| r.value))
                {
                    underlay.links.push(net);
                }
            }
        }
        underlay
    }

    fn is_own(&self, address: impl Into<IpAddr>) -> bool {
        self.own.contains(&address.into())
    }
}

fn asn(asn: Option<At<u32>>, problems: &Problems<'_>) {
    if let Some(asn) = asn.filter(|a| a.value == Asn::TRANS.0) {
        let message = "`asn` is 23456, which stands for other AS numbers (RFC 6793)";
        problems.add(asn.at, message, "write the real AS number");
    }
}

fn router(raw: &Raw, problems: &Problems<'_>) {
    let router = &raw.router;
    if let Some(id) = router.router_id.filter(|id| id.value.is_unspecified()) {
        problems.add(id.at, "`router-id` is 0.0.0.0", "write an IPv4 address of this node");
    }
    let tunnel = router.tunnel_address.map(|a| ("tunnel-address", a));
    let from_id =
        router.router_id.filter(|id| !id.value.is_unspecified()).map(|a| ("router-id", a));
    if let Some((key, address)) = tunnel.or(from_id)
        && (!is_host(address.value) || address.value.is_loopback())
    {
        let message = format!("`{key}` is {}, where no tunnel can end", address.value);
        let remedy = match key {
            "router-id" => "add `tunnel-address` with the address that other PEs reach",
            _ => "write the address that other PEs reach",
        };
        problems.add(address.at, message, remedy);
    }
    asn(router.asn, problems);
    no_doubles(router.encapsulations.as_ref(), "encapsulations", problems);
    if let Some(list) = router.encapsulations.as_ref().filter(|l| l.whole && l.items.is_empty()) {
        let remedy = "write for example `encapsulations = [\"mplsoudp\", \"mplsogre\"]`";
        problems.add(list.at, "`encapsulations` is empty", remedy);
    }
    no_doubles(router.tunnel_sources.as_ref(), "tunnel-sources", problems);
    no_doubles(raw.dataplane.workers.as_ref(), "workers", problems);
}

fn ports(raw: &Raw, problems: &Problems<'_>) {
    unique_names("port", raw.ports.iter().map(|p| p.name.as_ref()), problems);
    let mut devices = Seen::new();
    let mut addresses = Seen::new();
    let mut links: Vec<(Ipv4Net, usize)> = Vec::new();
    for port in &raw.ports {
        if let Some(device) = &port.device {
            let identity = device_identity(&device.value);
            let line = (!identity.is_empty())
                .then(|| devices.earlier(identity.clone(), device.at, problems))
                .flatten();
            if let Some(line) = line {
                let message =
                    format!("device `{identity}` is already used by the port on line {line}");
                let remedy = match device.value.strip_prefix("vdev:") {
                    Some(_) => "give each virtual device a number of its own",
                    None => "give each port a device of its own",
                };
                problems.add(device.at, message, remedy);
            }
        }
        for address in port.addresses.iter().flat_map(|l| &l.items) {
            if let Some(line) = addresses.earlier(address.value.addr(), address.at, problems) {
                let message = format!("address {} is already on line {line}", address.value.addr());
                problems.add(address.at, message, "remove one of the two");
            } else if port.role.is_some_and(|r| r.value == PortRole::Fabric) {
                port_address(*address, &mut links, problems);
            }
        }
        port_role(port, problems);
    }
}

/// An address of a fabric port: a host's, and on no link of another address.
fn port_address(address: At<IpNet>, links: &mut Vec<(Ipv4Net, usize)>, problems: &Problems<'_>) {
    let IpNet::V4(net) = address.value else { return };
    if !is_host(net.addr()) || names_network(net, net.addr()) {
        let message = format!("{net} is not the address of a host on its link");
        problems.add(address.at, message, "write the port's own address with its prefix length");
        return;
    }
    let overlap =
        links.iter().find(|(l, _)| l.contains(&net.network()) || net.contains(&l.network()));
    if let Some(&(link, first)) = overlap {
        let message = format!("{net} overlaps with {link} on line {}", problems.line(first));
        problems.add(address.at, message, "give each link a prefix of its own");
    }
    links.push((net, address.at));
}

fn port_role(port: &RawPort, problems: &Problems<'_>) {
    let Some(role) = port.role else { return };
    let addresses = port.addresses.as_ref();
    match role.value {
        PortRole::Fabric => {
            let whole = addresses.is_none_or(|a| a.whole);
            let has_ipv4 =
                addresses.is_some_and(|a| a.items.iter().any(|a| a.value.addr().is_ipv4()));
            if whole && !has_ipv4 {
                let at = addresses.map_or(port.at, |a| a.at);
                let message = "a fabric port without an IPv4 address reaches no other PE";
                problems.add(at, message, "add for example `addresses = [\"192.0.2.1/24\"]`");
            }
        }
        PortRole::Gateway => {
            if let Some(list) = addresses.filter(|a| !a.items.is_empty()) {
                let message =
                    "`addresses` of a gateway port: it carries VLANs and has none of its own";
                let remedy = "move the gateway address to `subnets` of the VRF, or make it role = \"fabric\"";
                problems.add(list.at, message, remedy);
            }
        }
    }
}

fn static_routes(raw: &Raw, underlay: &Underlay, problems: &Problems<'_>) {
    let mut prefixes = Seen::new();
    for route in &raw.static_routes {
        if let Some(prefix) = route.prefix
            && let Some(line) = prefixes.earlier(prefix.value, prefix.at, problems)
        {
            let message = format!("static route {} is already on line {line}", prefix.value);
            problems.add(prefix.at, message, "remove one of the two");
        }
        let Some(via) = route.via else { continue };
        if underlay.is_own(via.value) {
            let message = format!("`via` {} is this node itself", via.value);
            problems.add(via.at, message, "write the address of the next router");
        } else if underlay.whole && !underlay.links.iter().any(|l| l.contains(&via.value)) {
            let message = format!("`via` {} is on the link of no fabric port", via.value);
            let links: Vec<String> = underlay.links.iter().map(|l| l.trunc().to_string()).collect();
            let remedy = match links.as_slice() {
                [] => "add a fabric port with an address on that link".to_owned(),
                links => format!("write an address in {}", links.join(" or ")),
            };
            problems.add(via.at, message, remedy);
        }
    }
}

fn bfd(raw: &Raw, underlay: &Underlay, problems: &Problems<'_>) {
    let mut seen = Seen::new();
    for session in &raw.bfd {
        let Some(address) = session.address else { continue };
        if let Some(line) = seen.earlier(address.value, address.at, problems) {
            let message = format!("BFD with {} is already on line {line}", address.value);
            problems.add(address.at, message, "remove one of the two");
        }
        let multihop = session.multihop.is_some_and(|m| m.value);
        let on_link = underlay.links.iter().any(|l| l.contains(&address.value));
        if underlay.is_own(address.value) {
            let message = format!("`address` {} is this node itself", address.value);
            problems.add(address.at, message, "write the address of the other side");
        } else if !is_host(address.value) {
            let message = format!("`address` {} is no host address", address.value);
            problems.add(address.at, message, "write the address of the other side");
        } else if underlay.whole && !multihop && !on_link {
            let message = format!("`address` {} is on the link of no fabric port", address.value);
            problems.add(address.at, message, "add `multihop = true`, or write an address there");
        }
    }
}

fn static_neighbors(raw: &Raw, underlay: &Underlay, problems: &Problems<'_>) {
    let ports_whole = raw.ports.iter().all(|p| p.name.is_some());
    let mut seen = Seen::new();
    for neighbor in &raw.static_neighbors {
        let Some(port) = &neighbor.port else { continue };
        let named = |p: &&RawPort| p.name.as_ref().is_some_and(|n| n.value == port.value);
        let Some(found) = raw.ports.iter().find(named) else {
            let names = raw.ports.iter().filter_map(|p| p.name.as_ref());
            let names = names.map(|name| name.value.as_str());
            refers_to("port", port, names, ports_whole, problems);
            continue;
        };
        if found.role.is_some_and(|r| r.value != PortRole::Fabric) {
            let message = format!("`port` {:?} is not a fabric port", port.value);
            let remedy =
                "write a port with role = \"fabric\": instances have their MAC in `[[instance]]`";
            problems.add(port.at, message, remedy);
            continue;
        }
        let Some(address) = neighbor.address else { continue };
        let key = (port.value.as_str(), address.value);
        if let Some(line) = seen.earlier(key, address.at, problems) {
            let message = format!("static neighbor {} is already on line {line}", address.value);
            problems.add(address.at, message, "remove one of the two");
        }
        let links = found.addresses.iter().flat_map(|l| &l.items);
        let links: Vec<Ipv4Net> = links
            .filter_map(|a| match a.value {
                IpNet::V4(net) => Some(net),
                IpNet::V6(_) => None,
            })
            .collect();
        let link = links.iter().find(|l| l.contains(&address.value));
        if underlay.is_own(address.value) {
            let message = format!("`address` {} is this node itself", address.value);
            problems.add(address.at, message, "write the address of the neighbor");
        } else if let Some(link) = link {
            if names_network(*link, address.value) || !is_host(address.value) {
                let message = format!("`address` {} is no host address", address.value);
                problems.add(
                    address.at,
                    message,
                    format!("write an address inside {}", link.trunc()),
                );
            }
        } else if underlay.whole {
            let message =
                format!("`address` {} is not on the link of `{}`", address.value, port.value);
            let links: Vec<String> = links.iter().map(|l| l.trunc().to_string()).collect();
            let remedy = match links.as_slice() {
                [] => format!("give port `{}` an address on that link", port.value),
                links => format!("write an address in {}", links.join(" or ")),
            };
            problems.add(address.at, message, remedy);
        }
    }
}

/// What instances need to know of their VRF.
struct VrfNets {
    /// Subnets with their gateways.
    subnets: Vec<(Ipv4Net, Option<Ipv4Addr>)>,
    whole: bool,
}

fn vrfs<'r>(
    raw: &'r Raw,
    underlay: &Underlay,
    problems: &Problems<'_>,
) -> BTreeMap<&'r str, VrfNets> {
    unique_names("VRF", raw.vrfs.iter().map(|v| v.name.as_ref()), problems);
    let mut nets = BTreeMap::new();
    for vrf in &raw.vrfs {
        route_targets(vrf, problems);
        vrf_static_routes(vrf, underlay, problems);
        let known = subnets(vrf, problems);
        if let Some(name) = &vrf.name {
            nets.entry(name.value.as_str()).or_insert(known);
        }
    }
    nets
}

fn route_targets(vrf: &RawVrf, problems: &Problems<'_>) {
    let lists =
        [("route-targets", &vrf.route_targets), ("import", &vrf.import), ("export", &vrf.export)];
    for (key, list) in lists {
        no_doubles(list.as_ref(), key, problems);
    }
    let both: HashMap<_, _> =
        vrf.route_targets.iter().flat_map(|l| &l.items).map(|t| (t.value, t.at)).collect();
    for (key, list) in lists.into_iter().skip(1) {
        for target in list.iter().flat_map(|l| &l.items) {
            if let Some(&first) = both.get(&target.value) {
                let line = problems.line(first);
                let message = format!(
                    "`{key}` holds {}, already in `route-targets` on line {line}",
                    target.value
                );
                problems.add(
                    target.at,
                    message,
                    "remove one of the two: `route-targets` means both directions",
                );
            }
        }
    }
}

fn subnets(vrf: &RawVrf, problems: &Problems<'_>) -> VrfNets {
    let mut nets =
        VrfNets { subnets: Vec::new(), whole: vrf.subnets.as_ref().is_none_or(|l| l.whole) };
    let mut seen: Vec<At<Ipv4Net>> = Vec::new();
    for subnet in vrf.subnets.iter().flat_map(|l| &l.items) {
        let Some(prefix) = subnet.value.prefix else {
            nets.whole = false;
            continue;
        };
        let net = prefix.value;
        let overlap = seen.iter().find(|s| s.value.contains(&net) || net.contains(&s.value));
        if let Some(other) = overlap {
            let message = format!(
                "subnet {net} overlaps with {} on line {}",
                other.value,
                problems.line(other.at)
            );
            problems.add(prefix.at, message, "give each subnet of a VRF a prefix of its own");
        }
        seen.push(prefix);
        nets.subnets.push((net, subnet.value.gateway.map(|g| g.value)));
        let Some(gateway) = subnet.value.gateway else { continue };
        if !net.contains(&gateway.value) {
            let message = format!("`gateway` {} is outside its subnet {net}", gateway.value);
            problems.add(gateway.at, message, format!("write an address in {net}"));
        } else if names_network(net, gateway.value) || !is_host(gateway.value) {
            let message = format!("`gateway` {} is no host address of {net}", gateway.value);
            problems.add(
                gateway.at,
                message,
                format!("write an address inside {net}, such as the first"),
            );
        }
    }
    nets
}

fn vrf_static_routes(vrf: &RawVrf, underlay: &Underlay, problems: &Problems<'_>) {
    let mut prefixes = Seen::new();
    for route in vrf.static_routes.iter().flat_map(|l| &l.items) {
        if let Some(prefix) = route.value.prefix
            && let Some(line) = prefixes.earlier(prefix.value, prefix.at, problems)
        {
            let message =
                format!("static route {} of this VRF is already on line {line}", prefix.value);
            problems.add(prefix.at, message, "remove one of the two");
        }
        let Some(tunnel) = route.value.tunnel else { continue };
        if underlay.is_own(tunnel.value) {
            let message = format!("`tunnel` {} is this node itself", tunnel.value);
            problems.add(tunnel.at, message, "write the tunnel address of the other PE");
        } else if !is_host(tunnel.value) || tunnel.value.is_loopback() {
            let message = format!("`tunnel` {} is not the address of a node", tunnel.value);
            problems.add(tunnel.at, message, "write the tunnel address of the other PE");
        }
    }
}

/// A name that must be among `known`. `whole` is false if some of these could not be read.
fn refers_to<'k>(
    key: &str,
    name: &At<String>,
    known: impl Iterator<Item = &'k str> + Clone,
    whole: bool,
    problems: &Problems<'_>,
) -> bool {
    if known.clone().any(|k| k == name.value) {
        return true;
    }
    if whole {
        let kind = if key == "vrf" { "VRF" } else { key };
        let remedy = match closest(&name.value, known.filter(|_| !problems.many())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a `[[{key}]]` with this name"),
        };
        problems.add(name.at, format!("`{key}` {:?} names no {kind}", name.value), remedy);
    }
    false
}

fn instances(raw: &Raw, vrfs: &BTreeMap<&str, VrfNets>, problems: &Problems<'_>) {
    unique_names("instance", raw.instances.iter().map(|i| i.name.as_ref()), problems);
    let vrfs_whole = raw.vrfs.iter().all(|v| v.name.is_some());
    let ports_whole = raw.ports.iter().all(|p| p.name.is_some());
    let ports: BTreeMap<&str, &RawPort> = raw
        .ports
        .iter()
        .rev()
        .filter_map(|p| p.name.as_ref().map(|n| (n.value.as_str(), p)))
        .collect();
    let gateways = || {
        let is_gateway = |p: &&RawPort| p.role.is_some_and(|r| r.value == PortRole::Gateway);
        ports.iter().filter(move |(_, p)| is_gateway(p)).map(|(&n, _)| n)
    };
    let mut vlans = Seen::new();
    let mut addresses = Seen::new();
    for instance in &raw.instances {
        if let Some(port) = &instance.port {
            match ports.get(port.value.as_str()) {
                Some(found) if found.role.is_some_and(|r| r.value != PortRole::Gateway) => {
                    let message = format!("`port` {:?} is not a gateway port", port.value);
                    let remedy = match gateways().next() {
                        Some(gateway) => {
                            format!("write a port with role = \"gateway\", such as {gateway:?}")
                        }
                        None => "add a `[[port]]` with role = \"gateway\"".to_owned(),
                    };
                    problems.add(port.at, message, remedy);
                }
                Some(_) => {}
                None => {
                    refers_to("port", port, ports.keys().copied(), ports_whole, problems);
                }
            }
            if let Some(vlan) = instance.vlan
                && let Some(line) =
                    vlans.earlier((port.value.as_str(), vlan.value), vlan.at, problems)
            {
                let message = format!(
                    "VLAN {} of port `{}` is already used on line {line}",
                    vlan.value, port.value
                );
                problems.add(vlan.at, message, "give each instance of a port a VLAN of its own");
            }
        }
        if let Some(list) = instance.addresses.as_ref().filter(|l| l.whole && l.items.is_empty()) {
            problems.add(
                list.at,
                "`addresses` is empty",
                "write for example `addresses = [\"10.1.0.7\"]`",
            );
        }
        let Some(vrf) = &instance.vrf else { continue };
        refers_to("vrf", vrf, vrfs.keys().copied(), vrfs_whole, problems);
        for address in instance.addresses.iter().flat_map(|l| &l.items) {
            if let Some(line) =
                addresses.earlier((vrf.value.as_str(), address.value), address.at, problems)
            {
                let message = format!(
                    "address {} of VRF `{}` is already on line {line}",
                    address.value, vrf.value
                );
                problems.add(
                    address.at,
                    message,
                    "give each instance of a VRF addresses of its own",
                );
            } else if let (Some(nets), IpAddr::V4(ipv4)) =
                (vrfs.get(vrf.value.as_str()), address.value)
            {
                instance_address(At { value: ipv4, at: address.at }, &vrf.value, nets, problems);
            }
        }
    }
}

fn instance_address(address: At<Ipv4Addr>, vrf: &str, nets: &VrfNets, problems: &Problems<'_>) {
    let ip = address.value;
    let Some(&(subnet, gateway)) = nets.subnets.iter().find(|(net, _)| net.contains(&ip)) else {
        if nets.whole {
            let message = format!("address {ip} is outside the subnets of VRF `{vrf}`");
            let known: Vec<String> = nets.subnets.iter().map(|(net, _)| net.to_string()).collect();
            let remedy = match known.as_slice() {
                [] => format!("add `subnets` to VRF `{vrf}`"),
                known => format!("write an address in {}, or add a subnet", known.join(" or ")),
            };
            problems.add(address.at, message, remedy);
        }
        return;
    };
    if gateway == Some(ip) {
        let message = format!("address {ip} is the gateway of subnet {subnet}");
        problems.add(address.at, message, "write another address of the subnet");
    } else if names_network(subnet, ip) || !is_host(ip) {
        let message = format!("address {ip} is no host address of subnet {subnet}");
        problems.add(address.at, message, "write another address of the subnet");
    }
}

fn bgp(raw: &Raw, underlay: &Underlay, problems: &Problems<'_>) {
    let Some(bgp) = &raw.bgp else { return };
    let listens = bgp.listen.as_ref().is_none_or(|l| l.value.is_some());
    if let Some(listen) = bgp.listen.filter(|l| l.value.is_some_and(|a| a.port() == 0)) {
        problems.add(listen.at, "`listen` has port 0", "write the port, 179 for BGP");
    }
    let mut addresses = Seen::new();
    for peer in &bgp.peers {
        if let Some(address) = peer.address {
            if let Some(line) = addresses.earlier(address.value, address.at, problems) {
                let message = format!("peer {} already exists on line {line}", address.value);
                problems.add(address.at, message, "remove one of the two");
            }
            peer_address(address, underlay, problems);
        }
        asn(peer.asn, problems);
        session(peer, listens, problems);
    }
}

fn peer_address(address: At<IpAddr>, underlay: &Underlay, problems: &Problems<'_>) {
    let legal = match address.value {
        IpAddr::V4(ip) => is_host(ip),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    if !legal {
        let message = format!("`address` {} is not the address of a node", address.value);
        problems.add(address.at, message, "write the peer's unicast address");
    } else if underlay.is_own(address.value) {
        let message = format!("`address` {} is this node itself", address.value);
        problems.add(address.at, message, "write the peer's address");
    }
}

fn session(peer: &RawPeer, listens: bool, problems: &Problems<'_>) {
    no_doubles(peer.families.as_ref(), "families", problems);
    if let Some(list) = peer.families.as_ref().filter(|l| l.whole && l.items.is_empty()) {
        problems.add(list.at, "`families` is empty", "write for example `families = [\"vpnv4\"]`");
    }
    if let Some(hold) = peer.hold_time.filter(|h| matches!(h.value, 1 | 2)) {
        let message = format!("`hold-time` is {}, which RFC 4271 forbids", hold.value);
        problems.add(hold.at, message, "write 0 (never expires) or at least 3 seconds");
    }
    let hold = peer.hold_time.map_or_else(defaults::hold_time, |h| h.value);
    if let Some(send) = peer.send_hold_time.filter(|s| s.value != 0 && s.value <= hold.into()) {
        let message =
            format!("`send-hold-time` is {}, not more than `hold-time`, {hold}", send.value);
        problems.add(send.at, message, "write 0 (for ever) or more than `hold-time` (RFC 9687)");
    }
    if let (Some(address), Some(local)) = (peer.address, peer.local_address)
        && address.value.is_ipv4() != local.value.is_ipv4()
    {
        let message = format!(
            "`local-address` {} is of another family than the peer's {}",
            local.value, address.value
        );
        problems.add(local.at, message, "write both as IPv4 or both as IPv6");
    }
    if let (Some(security), Some(At { value: true, .. })) = (peer.ttl_security, peer.multihop) {
        let message = "`ttl-security` stands beside `multihop`, which allows any distance";
        let remedy = "remove `multihop`: `ttl-security` alone says how many hops are allowed";
        problems.add(security.at, message, remedy);
    }
    if let Some(passive) = peer.passive.filter(|p| p.value && !listens) {
        let message = "`passive` waits for the peer, but `listen` is \"none\"";
        problems.add(passive.at, message, "give `listen` an address, or remove `passive`");
    }
}

/// Tunnels need a way out.
fn fabric_needed(raw: &Raw, problems: &Problems<'_>) {
    let fabric = raw.ports.iter().any(|p| p.role.is_none_or(|r| r.value == PortRole::Fabric));
    if fabric {
        return;
    }
    let route =
        raw.vrfs.iter().find_map(|v| v.static_routes.as_ref().filter(|l| !l.items.is_empty()));
    if let Some(route) = route {
        let message = "`static-routes` lead through tunnels, but there is no fabric port";
        problems.add(route.at, message, "add a `[[port]]` with role = \"fabric\"");
        return;
    }
    let peers = raw.bgp.iter().flat_map(|b| &b.peers);
    let vpn =
        |p: &&RawPeer| p.families.as_ref().is_none_or(|l| l.items.iter().any(|f| f.value.is_vpn()));
    if let Some(address) = peers.filter(vpn).find_map(|p| p.address) {
        let message =
            format!("peer {} brings VPN routes, but there is no fabric port", address.value);
        problems.add(address.at, message, "add a `[[port]]` with role = \"fabric\"");
    }
}
