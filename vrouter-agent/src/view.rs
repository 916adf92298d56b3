//! The rows of the API, made from the state of the core and, where counters are asked for, from a snapshot of the data plane.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use config::api::{
    BfdRow, DropRow, InterfaceRow, LabelRow, NeighborRow, NexthopRow, PortRow, RouteRow, Status,
    VrfRow, WorkerPass, WorkerRow, WorkerTimes,
};
use config::{Instance, Port};
use engine::drops::Drop;
use engine::seam::{Event, NeighborState, NexthopId, TunnelId, VifId, VrfId, WorkerId};
use ipnet::IpNet;

use crate::api::metrics::{self, Figures};
use crate::api::{Answer, Failure, Query, RefusedRow};
use crate::compile::Hop;
use crate::core::Core;
use crate::desired::{Source, VrfPlan, config_encapsulation, lowest};
use crate::labels::Unix;

/// Answers what can be answered at once; `rows` is a snapshot, if the question needs one.
pub fn answer(
    core: &Core<'_>,
    query: &Query,
    rows: &[Event],
    now: Instant,
    wall: Unix,
) -> Result<Answer, Failure> {
    Ok(match query {
        Query::Status => Answer::Status(status(core, core.program.settled(), now)),
        Query::Ports => Answer::Ports(ports(core, rows)),
        Query::Interfaces => Answer::Interfaces(interfaces(core, rows)),
        Query::Vrfs => Answer::Vrfs(vrfs(core)),
        Query::Routes { vrf } => Answer::Routes(routes(core, vrf.as_deref())?),
        Query::Refused => Answer::Refused(refused(core)),
        Query::Nexthops => Answer::Nexthops(nexthops(core, rows)),
        Query::Labels => Answer::Labels(labels(core, wall)),
        Query::Neighbors => Answer::Neighbors(neighbors(core, rows)),
        Query::Bfd => Answer::Bfd(bfd(rows)),
        Query::Drops => Answer::Drops(drops(rows)),
        Query::Workers => Answer::Workers(workers(core, rows)),
        Query::Metrics => Answer::Metrics(Box::new(figures(core, rows, now))),
        Query::Config => match toml::to_string(core.config().as_ref()) {
            Ok(text) => Answer::Text(text),
            Err(error) => return Err(Failure::Unavailable(error.to_string())),
        },
        Query::Apply { .. } => return Err(Failure::Unavailable("not a view".into())),
        #[cfg(feature = "fault-injection")]
        Query::Panic => crate::fault::panic_in("agent"),
    })
}

/// `in_force`: everything asked for before is acknowledged.
pub fn status(core: &Core<'_>, in_force: bool, now: Instant) -> Status {
    let config = core.config();
    let down: Vec<&Port> = config.ports.iter().filter(|port| !core.port_up(&port.name)).collect();
    let mut warnings: Vec<String> =
        down.iter().map(|port| format!("port {} is down", port.name)).collect();
    if !core.forwarding() {
        warnings.push("the data plane has not acknowledged the first generation".into());
    } else if !in_force {
        let last = core.program.last().0;
        warnings.push(format!("the data plane has not acknowledged generation {last}"));
    }
    if core.carried.restarts > 0 {
        let (restarts, why) = (core.carried.restarts, &core.carried.last_panic);
        warnings.push(format!("agent restarted {restarts} times; the last time: {why}"));
    }
    if core.restore.is_some() {
        let owed: Vec<String> = core.owed().map(IpAddr::to_string).collect();
        let whom = if owed.is_empty() { "the data plane".to_owned() } else { owed.join(", ") };
        warnings.push(format!("restoring after the restart: waiting for {whom}"));
    }
    if let Some((op, refusal)) = core.refusals.first {
        let count = core.refusals.count;
        warnings
            .push(format!("the data plane refused {count} changes; the first: {op:?}: {refusal}"));
    }
    warnings.extend(core.carried.identities.warning().map(str::to_owned));
    warnings.extend(core.local.warnings.iter().cloned());
    let peers = config.bgp.iter().flat_map(|bgp| &bgp.peers);
    let absent = peers.filter(|peer| core.sessions.get(&peer.address) != Some(&true));
    warnings
        .extend(absent.map(|peer| format!("BGP session with {} is not established", peer.address)));
    Status {
        ready: core.forwarding() && in_force && down.is_empty(),
        generation: core.program.acked().0,
        uptime_seconds: now.saturating_duration_since(core.carried.started).as_secs(),
        version: env!("CARGO_PKG_VERSION").into(),
        warnings,
        name: config.router.name.clone(),
    }
}

fn ports(core: &Core<'_>, rows: &[Event]) -> Vec<PortRow> {
    let row = |port: &Port| {
        let id = *core.carried.ports.get(&port.name)?;
        let mut row = PortRow {
            name: port.name.clone(),
            role: port.role,
            device: port.device.clone(),
            state: if core.port_up(&port.name) { "up" } else { "down" }.into(),
            mac: wire::Mac::default(),
            mtu: port.mtu,
            addresses: port.addresses.clone(),
            rx_packets: 0,
            rx_bytes: 0,
            tx_packets: 0,
            tx_bytes: 0,
            missed: 0,
            rx_errors: 0,
            no_mbuf: 0,
            tx_errors: 0,
        };
        let is_row = |event: &&Event| matches!(event, Event::Port { port, .. } if *port == id);
        if let Some(&Event::Port {
            mac,
            mtu,
            rx_packets,
            rx_bytes,
            tx_packets,
            tx_bytes,
            missed,
            rx_errors,
            no_mbuf,
            tx_errors,
            ..
        }) = rows.iter().find(is_row)
        {
            (row.mac, row.mtu) = (mac, mtu);
            (row.rx_packets, row.rx_bytes) = (rx_packets, rx_bytes);
            (row.tx_packets, row.tx_bytes) = (tx_packets, tx_bytes);
            (row.missed, row.no_mbuf) = (missed, no_mbuf);
            (row.rx_errors, row.tx_errors) = (rx_errors, tx_errors);
        }
        Some(row)
    };
    core.config().ports.iter().filter_map(row).collect()
}

fn interfaces(core: &Core<'_>, rows: &[Event]) -> Vec<InterfaceRow> {
    let vifs: BTreeMap<usize, VifId> =
        core.local.instances.iter().map(|(vif, index)| (*index, *vif)).collect();
    let row = |(index, instance): (usize, &Instance)| InterfaceRow {
        name: instance.name.clone(),
        port: instance.port.clone(),
        vlan: instance.vlan,
        vrf: instance.vrf.clone(),
        mac: instance.mac,
        addresses: instance.addresses.clone(),
        state: interface_state(core, instance, vifs.get(&index).copied()),
        rx_packets: 0,
        rx_bytes: 0,
        tx_packets: 0,
        tx_bytes: 0,
        drops: BTreeMap::new(),
    };
    let mut list: Vec<InterfaceRow> = core.config().instances.iter().enumerate().map(row).collect();
    for event in rows {
        let (Event::Vif { vif, .. } | Event::VifDrop { vif, .. }) = *event else { continue };
        let index = core.local.instances.get(&vif);
        let Some(row) = index.and_then(|index| list.get_mut(*index)) else { continue };
        match *event {
            Event::Vif { rx_packets, rx_bytes, tx_packets, tx_bytes, .. } => {
                (row.rx_packets, row.rx_bytes) = (rx_packets, rx_bytes);
                (row.tx_packets, row.tx_bytes) = (tx_packets, tx_bytes);
            }
            Event::VifDrop { reason, count, .. } => {
                row.drops.extend(drop_slug(reason).map(|slug| (slug, count)));
            }
            _ => {}
        }
    }
    list
}

fn interface_state(core: &Core<'_>, instance: &Instance, vif: Option<VifId>) -> String {
    let Some(vif) = vif else { return "down: the data plane has no room for it".into() };
    if let Some(refusal) = core.refusals.vifs.get(&vif) {
        format!("down: {refusal}")
    } else if core.port_up(&instance.port) {
        "up".into()
    } else {
        format!("down: port {} is down", instance.port)
    }
}

fn vrfs(core: &Core<'_>) -> Vec<VrfRow> {
    let tables = core.forwarding.tables();
    let mut interfaces: BTreeMap<VrfId, u64> = BTreeMap::new();
    for vif in tables.vifs.values() {
        *interfaces.entry(vif.vrf).or_default() += 1;
    }
    let subnets = |vrf: VrfId| {
        let all = tables.subnets.range((vrf, lowest())..);
        all.take_while(move |((other, _), _)| *other == vrf)
            .map(|((_, prefix), _)| IpNet::V4(*prefix))
    };
    let row = |plan: &VrfPlan| VrfRow {
        name: plan.name.clone(),
        id: u32::from(plan.id.0),
        rd: plan.rd.map(|rd| rd.to_string()).unwrap_or_default(),
        import: plan.import.iter().map(ToString::to_string).collect(),
        export: plan.export.iter().map(ToString::to_string).collect(),
        subnets: subnets(plan.id).collect(),
        routes: core.forwarding.routes_of(plan.id).count() as u64,
        interfaces: interfaces.get(&plan.id).copied().unwrap_or(0),
        label: plan.label.map(wire::Label::value),
    };
    core.local.vrfs.iter().map(row).collect()
}

fn routes(core: &Core<'_>, vrf: Option<&str>) -> Result<Vec<RouteRow>, Failure> {
    let chosen = |plan: &&VrfPlan| vrf.is_none_or(|name| name == plan.name);
    let plans: Vec<_> = core.local.vrfs.iter().filter(chosen).collect();
    if let (Some(name), true) = (vrf, plans.is_empty()) {
        return Err(Failure::Unknown(format!("there is no VRF {name}")));
    }
    let mut list = Vec::new();
    for plan in plans {
        for ((_, prefix), id, note) in core.forwarding.routes_of(plan.id) {
            let hop = core.forwarding.nexthop(id).map(|nexthop| nexthop.hop);
            let parts = Parts::of(core, hop);
            list.push(RouteRow {
                prefix: IpNet::V4(prefix),
                vrf: plan.name.clone(),
                kind: parts.kind.into(),
                nexthop: parts.tunnel.map(IpAddr::V4),
                encapsulation: parts.encapsulation,
                label: parts.label,
                interface: parts.interface,
                source: source(core, note.source),
                generation: note.generation.0,
                nexthop_id: Some(id.0),
            });
        }
    }
    Ok(list)
}

fn source(core: &Core<'_>, source: Source) -> String {
    match source {
        Source::Instance => "instance".into(),
        Source::Subnet => "subnet".into(),
        Source::Static => "static".into(),
        Source::Leaked(vrf) => format!("vrf {}", vrf_name(core, vrf).unwrap_or("?")),
        Source::Bgp(peer) => format!("bgp {peer}"),
    }
}

/// What routes and next hops show of where they lead.
#[derive(Default)]
struct Parts {
    kind: &'static str,
    tunnel: Option<std::net::Ipv4Addr>,
    encapsulation: Option<config::Encapsulation>,
    label: Option<u32>,
    interface: Option<String>,
}

impl Parts {
    fn of(core: &Core<'_>, hop: Option<Hop>) -> Parts {
        match hop {
            Some(Hop::Tunnel(tunnel, label)) => Parts {
                kind: "tunnel",
                tunnel: Some(tunnel.remote),
                encapsulation: Some(config_encapsulation(tunnel.encapsulation)),
                label: Some(label.value()),
                interface: None,
            },
            Some(Hop::Vif(vif)) => {
                let interface = instance(core, vif).map(|instance| instance.name.clone());
                Parts { kind: "interface", interface, ..Parts::default() }
            }
            Some(Hop::Receive) => Parts { kind: "receive", ..Parts::default() },
            Some(Hop::Discard) | None => Parts { kind: "discard", ..Parts::default() },
        }
    }
}

fn instance<'a>(core: &'a Core<'_>, vif: VifId) -> Option<&'a Instance> {
    core.local.instances.get(&vif).and_then(|index| core.config().instances.get(*index))
}

fn vrf_name<'a>(core: &'a Core<'_>, vrf: VrfId) -> Option<&'a str> {
    core.local.vrfs.iter().find(|plan| plan.id == vrf).map(|plan| plan.name.as_str())
}

fn refused(core: &Core<'_>) -> Vec<RefusedRow> {
    let names: BTreeMap<VrfId, &str> =
        core.local.vrfs.iter().map(|plan| (plan.id, plan.name.as_str())).collect();
    let row = |route: crate::vrf::Refused| RefusedRow {
        vrf: names.get(&route.vrf).copied().unwrap_or("?").into(),
        rd: route.rd.to_string(),
        prefix: route.prefix.to_string(),
        peer: route.peer,
        reason: route.reason.to_string(),
    };
    core.import.refused().map(row).collect()
}

fn nexthops(core: &Core<'_>, rows: &[Event]) -> Vec<NexthopRow> {
    let tunnels: BTreeMap<TunnelId, &'static str> = rows
        .iter()
        .filter_map(|event| match *event {
            Event::Tunnel { tunnel, up: true, .. } => Some((tunnel, "up")),
            Event::Tunnel { tunnel, via: Some(_), .. } => Some((tunnel, "resolving")),
            Event::Tunnel { tunnel, .. } => Some((tunnel, "down")),
            _ => None,
        })
        .collect();
    let row = |(id, nexthop): (NexthopId, &crate::forwarding::NexthopUse)| {
        let parts = Parts::of(core, Some(nexthop.hop));
        let state = match (nexthop.hop, nexthop.tunnel) {
            (Hop::Tunnel(..), Some(tunnel)) => tunnels.get(&tunnel).copied().unwrap_or("down"),
            (Hop::Vif(vif), _) => match instance(core, vif) {
                Some(instance) if core.port_up(&instance.port) => "up",
                _ => "down",
            },
            _ => "up",
        };
        NexthopRow {
            id: id.0,
            kind: parts.kind.into(),
            tunnel: parts.tunnel,
            encapsulation: parts.encapsulation,
            label: parts.label,
            interface: parts.interface,
            state: state.into(),
            references: nexthop.references,
        }
    };
    core.forwarding.nexthops().map(row).collect()
}

fn labels(core: &Core<'_>, wall: Unix) -> Vec<LabelRow> {
    let numbers = &core.carried.identities.labels;
    let taken = numbers.taken().map(|(label, owner)| LabelRow {
        label,
        kind: if owner.instance.is_some() { "interface" } else { "vrf" }.into(),
        vrf: Some(owner.vrf.clone()),
        interface: owner.instance.clone(),
        quarantine_seconds: None,
    });
    let resting = numbers.resting(wall).map(|(label, owner, left)| LabelRow {
        label,
        kind: "quarantine".into(),
        vrf: Some(owner.vrf.clone()),
        interface: owner.instance.clone(),
        quarantine_seconds: Some(left),
    });
    let mut list: Vec<LabelRow> = taken.chain(resting).collect();
    list.sort_by_key(|row| row.label);
    list
}

fn neighbors(core: &Core<'_>, rows: &[Event]) -> Vec<NeighborRow> {
    let row = |event: &Event| match *event {
        Event::Neighbor { address, mac, port, vif, state, age_seconds, .. } => Some(NeighborRow {
            address: address.into(),
            mac,
            port: core.port_name(port).into(),
            interface: vif
                .and_then(|vif| instance(core, vif))
                .map(|instance| instance.name.clone()),
            state: match state {
                NeighborState::Incomplete => "incomplete",
                NeighborState::Reachable => "reachable",
                NeighborState::Stale => "stale",
                NeighborState::Failed => "failed",
                NeighborState::Static => "static",
            }
            .into(),
            age_seconds: age_seconds.into(),
        }),
        _ => None,
    };
    let mut list: Vec<NeighborRow> = rows.iter().filter_map(row).collect();
    list.sort_by(|a, b| (&a.interface, a.address).cmp(&(&b.interface, b.address)));
    list
}

fn bfd(rows: &[Event]) -> Vec<BfdRow> {
    let row = |event: &Event| match *event {
        Event::BfdSession {
            remote,
            timing,
            state,
            diagnostic,
            remote_state,
            remote_diagnostic,
            detection_time,
            since_seconds,
            received,
            sent,
            flaps,
            ..
        } => Some(BfdRow {
            peer: remote,
            state: state.name().into(),
            diagnostic: diagnostic.name().into(),
            remote_state: remote_state.name().into(),
            remote_diagnostic: remote_diagnostic.name().into(),
            multihop: timing.multihop,
            interval_milliseconds: timing.min_tx / 1000,
            multiplier: timing.multiplier,
            detection_milliseconds: (detection_time > 0).then_some(detection_time / 1000),
            since_seconds: since_seconds.into(),
            received,
            sent,
            flaps,
        }),
        _ => None,
    };
    rows.iter().filter_map(row).collect()
}

fn drop_slug(reason: u16) -> Option<String> {
    Drop::ALL.get(usize::from(reason)).map(|reason| reason.slug().to_owned())
}

/// All reasons, also those that never happened.
fn drops(rows: &[Event]) -> Vec<DropRow> {
    let new = |reason: &Drop| DropRow {
        reason: reason.slug().into(),
        count: 0,
        hint: reason.hint().into(),
    };
    let mut list: Vec<DropRow> = Drop::ALL.iter().map(new).collect();
    for event in rows {
        if let Event::DropCount { reason, count, .. } = *event
            && let Some(row) = list.get_mut(usize::from(reason))
        {
            row.count = count;
        }
    }
    list
}

fn workers(core: &Core<'_>, rows: &[Event]) -> Vec<WorkerRow> {
    let plan = &core.carried.plan;
    let mut list: Vec<WorkerRow> = Vec::new();
    for event in rows {
        match *event {
            Event::Worker {
                worker,
                cpu,
                rx,
                handed_in,
                injected,
                copies_made,
                tx,
                punted,
                dropped,
                handed_out,
                queued,
                busy_permille,
                ..
            } => list.push(WorkerRow {
                id: u32::from(worker.0),
                cpu: u32::from(cpu),
                rx,
                handed_in,
                injected,
                copies_made,
                tx,
                punted,
                dropped,
                handed_out,
                queued,
                busy_percent: f64::from(busy_permille) / 10.0,
                plan: plan.workers.get(worker.index()).cloned().unwrap_or_default(),
                ..WorkerRow::default()
            }),
            Event::WorkerLoad {
                bursts, helped, hot, sleeps, longest_sleep_microseconds, ..
            } => {
                if let Some(row) = list.last_mut() {
                    row.bursts = bursts;
                    row.packets_per_burst = tenths(row.rx as f64 / bursts.max(1) as f64);
                    row.helped_bursts = helped;
                    row.is_helped = hot;
                    row.sleeps = sleeps;
                    row.longest_sleep_microseconds = longest_sleep_microseconds;
                }
            }
            Event::WorkerTimes { worker, bursts, packets, median, p99, p999, .. } => {
                if let Some(row) = list.last_mut() {
                    let cycles = |span| passed(rows, worker, span) as f64 / packets.max(1) as f64;
                    let pass = |(span, name): (usize, &&str)| WorkerPass {
                        name: (*name).into(),
                        cycles: tenths(cycles(span)),
                    };
                    row.timed = Some(WorkerTimes {
                        bursts,
                        median_nanoseconds: median,
                        p99_nanoseconds: p99,
                        p999_nanoseconds: p999,
                        passes: plan.spans.iter().enumerate().map(pass).collect(),
                    });
                }
            }
            _ => {}
        }
    }
    list
}

/// Cycles of a worker's timed bursts in one span.
fn passed(rows: &[Event], of: WorkerId, wanted: usize) -> u64 {
    let cycles = |event: &Event| match *event {
        Event::WorkerSpan { worker, span, cycles, .. } if worker == of => {
            (usize::from(span) == wanted).then_some(cycles)
        }
        _ => None,
    };
    rows.iter().find_map(cycles).unwrap_or(0)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn figures(core: &Core<'_>, rows: &[Event], now: Instant) -> Figures {
    Figures {
        status: status(core, core.program.settled(), now),
        ports: ports(core, rows),
        interfaces: interfaces(core, rows),
        vrfs: vrfs(core),
        drops: drops(rows),
        workers: workers(core, rows),
        bfd: bfd(rows),
        punts: metrics::punts(rows),
        learnt: core.import.len() as u64,
        restarts: core.carried.restarts.into(),
    }
}
