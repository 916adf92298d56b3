//! What the configuration alone asks of the data plane and of BGP, with numbers and labels given out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use bgp::types::{RouteDistinguisher, RouteTarget};
use config::{Config, Instance};
use engine::seam::{BfdTiming, Encapsulation, LabelTarget, PortId, VifId, VrfId};
use ipnet::{IpNet, Ipv4Net};
use wire::Label;

use crate::compile::{Hop, Tables, Tunnel, Vif};
use crate::ids::Ids;
use crate::labels::{Identities, Owner, Unix};
use crate::vrf::{Policy, RouteKey};

/// Where a route of a VRF comes from; the first of several for one prefix wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An address of an instance of this VRF.
    Instance,
    /// A gateway address of this VRF.
    Subnet,
    /// `static-routes` of this VRF.
    Static,
    /// An instance of another VRF on this node, by route target.
    Leaked(VrfId),
    /// Learnt from this peer.
    Bgp(IpAddr),
}

/// A VRF with its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfPlan {
    /// As configured.
    pub name: String,
    /// In the data plane.
    pub id: VrfId,
    /// Of our own routes; `None`: none was left.
    pub rd: Option<RouteDistinguisher>,
    /// Leads to a lookup in this VRF; `None`: none was left.
    pub label: Option<Label>,
    /// Route targets that come in.
    pub import: BTreeSet<RouteTarget>,
    /// Route targets that our routes carry.
    pub export: BTreeSet<RouteTarget>,
}

/// A route that we advertise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Leads to the instance.
    pub label: Label,
    /// Export targets of its VRF.
    pub targets: BTreeSet<RouteTarget>,
    /// The instance's interface.
    pub vif: VifId,
}

/// Everything that follows from the configuration.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// All tables but routes, next hops and tunnels, which learnt routes share.
    pub tables: Tables,
    /// Routes of VRFs.
    pub routes: BTreeMap<RouteKey, (Source, Hop)>,
    /// By name.
    pub vrfs: Vec<VrfPlan>,
    /// Index into the configuration's instances.
    pub instances: BTreeMap<VifId, usize>,
    /// Import targets of each VRF.
    pub imports: BTreeMap<VrfId, BTreeSet<RouteTarget>>,
    /// How learnt routes are judged.
    pub policy: Policy,
    /// For BGP.
    pub advertised: BTreeMap<(RouteDistinguisher, Ipv4Net), Advertised>,
    /// What could not be had, one sentence each.
    pub warnings: Vec<String>,
}

/// Works out what `config` asks for. `ports` are the ports of the running data plane.
pub fn build(
    config: &Config,
    ports: &BTreeMap<String, PortId>,
    ids: &mut Ids,
    identities: &mut Identities,
    now: Unix,
) -> Local {
    let vrf_owners: Vec<Owner> = config.vrfs.iter().map(|vrf| Owner::vrf(&vrf.name)).collect();
    let instance_owners: Vec<Owner> =
        config.instances.iter().map(|i| Owner::instance(&i.vrf, &i.name)).collect();
    let quarantine = config.router.label_quarantine;
    let mut local = Local {
        warnings: identities.assign(&vrf_owners, &instance_owners, quarantine, now),
        ..Local::default()
    };
    underlay(config, ports, &mut local);
    for vrf in &config.vrfs {
        add_vrf(config, vrf, ids, identities, &mut local);
    }
    local.vrfs.sort_by(|a, b| a.name.cmp(&b.name));
    for (index, instance) in config.instances.iter().enumerate() {
        if let Err(reason) = add_instance(index, instance, ports, ids, identities, &mut local) {
            local.warnings.push(format!("interface {}: {reason}", instance.name));
        }
    }
    leak(&mut local);
    local
}

/// Forgets the numbers of VRFs and interfaces that `local` has no more; they go in `generation`.
pub fn release(local: &Local, ids: &mut Ids, generation: engine::seam::Gen) {
    let vrfs: HashSet<&str> = local.vrfs.iter().map(|vrf| vrf.name.as_str()).collect();
    ids.vrfs.retain(|name| vrfs.contains(name.as_str()), generation);
    let vifs: HashSet<_> = local.tables.vifs.values().map(|vif| (vif.port, vif.vlan)).collect();
    ids.vifs.retain(|key| vifs.contains(key), generation);
}

fn underlay(config: &Config, ports: &BTreeMap<String, PortId>, local: &mut Local) {
    let router = &config.router;
    let tables = &mut local.tables;
    tables.tunnel_address.insert((), router.tunnel_address);
    tables.tunnel_sources.extend(router.tunnel_sources.iter().map(|prefix| (prefix.trunc(), ())));
    tables
        .underlay
        .extend(config.static_routes.iter().map(|route| (route.prefix.trunc(), route.via)));
    for neighbor in &config.static_neighbors {
        if let Some(id) = ports.get(&neighbor.port) {
            tables.neighbors.insert((*id, neighbor.address), neighbor.mac);
        }
    }
    for bfd in &config.bfd {
        let interval = bfd.interval_milliseconds * 1000;
        let (multihop, multiplier) = (bfd.multihop, bfd.multiplier);
        let timing = BfdTiming { multihop, min_tx: interval, min_rx: interval, multiplier };
        tables.bfd.insert(bfd.address, timing);
    }
    for port in &config.ports {
        let Some(id) = ports.get(&port.name) else { continue };
        for address in &port.addresses {
            if let IpNet::V4(address) = address {
                tables.port_addresses.insert((*id, *address), ());
            }
        }
    }
    local.policy = Policy {
        own: Some(router.tunnel_address),
        encapsulations: router.encapsulations.iter().map(|e| seam_encapsulation(*e)).collect(),
    };
}

fn add_vrf(
    config: &Config,
    vrf: &config::Vrf,
    ids: &mut Ids,
    identities: &Identities,
    local: &mut Local,
) {
    let id = ids.vrfs.acquire(&vrf.name).and_then(|id| u16::try_from(id).ok()).map(VrfId);
    let Some(id) = id else {
        local.warnings.push(format!("VRF {}: the data plane has no room for another", vrf.name));
        return;
    };
    let owner = Owner::vrf(&vrf.name);
    let index = identities.rd_indexes.of(&owner).and_then(|index| u16::try_from(index).ok());
    let label = identities.labels.of(&owner).and_then(Label::new);
    local.tables.vrfs.insert(id, ());
    if let Some(label) = label {
        local.tables.labels.insert(label, LabelTarget::Vrf(id));
    }
    for subnet in &vrf.subnets {
        local.tables.subnets.insert((id, subnet.prefix.trunc()), subnet.gateway);
        offer(local, (id, subnet.gateway.into()), Source::Subnet, Hop::Receive);
    }
    for route in &vrf.static_routes {
        let encapsulation = seam_encapsulation(route.encapsulation);
        let hop = Hop::Tunnel(Tunnel { remote: route.tunnel, encapsulation }, route.label);
        offer(local, (id, route.prefix.trunc()), Source::Static, hop);
    }
    local.imports.insert(id, vrf.import_targets());
    local.vrfs.push(VrfPlan {
        name: vrf.name.clone(),
        id,
        rd: index.map(|index| RouteDistinguisher::ip(config.router.router_id, index)),
        label,
        import: vrf.import_targets(),
        export: vrf.export_targets(),
    });
}

fn add_instance(
    index: usize,
    instance: &Instance,
    ports: &BTreeMap<String, PortId>,
    ids: &mut Ids,
    identities: &Identities,
    local: &mut Local,
) -> Result<(), String> {
    let port =
        *ports.get(&instance.port).ok_or_else(|| format!("there is no port {}", instance.port))?;
    let plan = local.vrfs.binary_search_by(|vrf| vrf.name.cmp(&instance.vrf));
    let plan = plan.map_err(|_| format!("there is no VRF {}", instance.vrf))?;
    let VrfPlan { id: vrf, rd, export, .. } = local.vrfs[plan].clone();
    let vif =
        ids.vifs.acquire(&(port, instance.vlan)).and_then(|id| u16::try_from(id).ok()).map(VifId);
    let vif = vif.ok_or("the data plane has no room for another")?;
    let label =
        identities.labels.of(&Owner::instance(&instance.vrf, &instance.name)).and_then(Label::new);
    local.tables.vifs.insert(vif, Vif { port, vlan: instance.vlan, vrf, mac: instance.mac });
    local.instances.insert(vif, index);
    if let Some(label) = label {
        local.tables.labels.insert(label, LabelTarget::Vif(vif));
    }
    for address in instance_addresses(instance) {
        local.tables.vif_addresses.insert((vif, address), ());
        offer(local, (vrf, address.into()), Source::Instance, Hop::Vif(vif));
        if let (Some(rd), Some(label)) = (rd, label) {
            let advertised = Advertised { label, targets: export.clone(), vif };
            local.advertised.insert((rd, address.into()), advertised);
        }
    }
    Ok(())
}

/// The IPv4 addresses of an instance.
pub fn instance_addresses(instance: &Instance) -> impl Iterator<Item = Ipv4Addr> {
    instance.addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })
}

/// Instances are reached from other VRFs on this node as they would be from other nodes: by route target.
fn leak(local: &mut Local) {
    let mut importers: BTreeMap<RouteTarget, Vec<VrfId>> = BTreeMap::new();
    for vrf in &local.vrfs {
        for target in &vrf.import {
            importers.entry(*target).or_default().push(vrf.id);
        }
    }
    let mut leaked = Vec::new();
    for vrf in &local.vrfs {
        let into: BTreeSet<VrfId> = vrf
            .export
            .iter()
            .filter_map(|target| importers.get(target))
            .flatten()
            .copied()
            .collect();
        if into.iter().all(|other| *other == vrf.id) {
            continue;
        }
        let range = (vrf.id, lowest())..;
        let own = local.routes.range(range).take_while(|((id, _), _)| *id == vrf.id);
        for ((_, prefix), (_, hop)) in own.filter(|(_, (source, _))| *source == Source::Instance) {
            let others = into.iter().filter(|other| **other != vrf.id);
            leaked.extend(others.map(|other| ((*other, *prefix), Source::Leaked(vrf.id), *hop)));
        }
    }
    // By name of the VRF they come from: numbers depend on the past. Whatever is there already is better.
    for (key, source, hop) in leaked {
        local.routes.entry(key).or_insert((source, hop));
    }
}

/// The first prefix in the order of the tables.
pub fn lowest() -> Ipv4Net {
    Ipv4Net::default()
}

/// Takes the route unless a better source has the prefix.
fn offer(local: &mut Local, key: RouteKey, source: Source, hop: Hop) {
    let new = (source, hop);
    let row = local.routes.entry(key).or_insert(new);
    *row = (*row).min(new);
}

/// The encapsulation in the words of the seam.
pub fn seam_encapsulation(encapsulation: config::Encapsulation) -> Encapsulation {
    match encapsulation {
        config::Encapsulation::MplsOverUdp => Encapsulation::MplsOverUdp,
        config::Encapsulation::MplsOverGre => Encapsulation::MplsOverGre,
    }
}

/// The encapsulation in the words of configuration and API.
pub fn config_encapsulation(encapsulation: Encapsulation) -> config::Encapsulation {
    match encapsulation {
        Encapsulation::MplsOverUdp => config::Encapsulation::MplsOverUdp,
        Encapsulation::MplsOverGre => config::Encapsulation::MplsOverGre,
    }
}
