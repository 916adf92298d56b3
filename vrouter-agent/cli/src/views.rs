//! The lists: where each comes from, how its objects are named, and its columns.

use std::net::IpAddr;

use config::api::*;
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

use crate::table::{Table, duration};

/// A list of objects of one kind.
pub struct View {
    /// Where the API has it.
    pub path: &'static str,
    /// What one of it is called in messages.
    pub kind: &'static str,
    /// `show` without a name tells everything about each.
    pub explains: bool,
    /// The objects that a name means.
    pub named: fn(Vec<Value>, &str) -> Vec<Value>,
    /// The list for people.
    pub table: fn(Vec<Value>) -> Result<String, Error>,
}

/// `port`
pub const PORTS: View = View {
    path: path::PORTS,
    kind: "port",
    explains: false,
    named: |r, n| by_field(r, "name", n),
    table: ports,
};
/// `interface`
pub const INTERFACES: View = View {
    path: path::INTERFACES,
    kind: "interface",
    explains: false,
    named: |r, n| by_field(r, "name", n),
    table: interfaces,
};
/// `vrf`
pub const VRFS: View = View {
    path: path::VRFS,
    kind: "VRF",
    explains: false,
    named: |r, n| by_field(r, "name", n),
    table: vrfs,
};
/// `route`
pub const ROUTES: View =
    View { path: path::ROUTES, kind: "route", explains: false, named: route_named, table: routes };
/// `nexthop`
pub const NEXTHOPS: View = View {
    path: path::NEXTHOPS,
    kind: "next hop",
    explains: false,
    named: |r, n| by_field(r, "id", n),
    table: nexthops,
};
/// `label`
pub const LABELS: View = View {
    path: path::LABELS,
    kind: "label",
    explains: false,
    named: |r, n| by_field(r, "label", n),
    table: labels,
};
/// `neighbor`
pub const NEIGHBORS: View = View {
    path: path::NEIGHBORS,
    kind: "neighbour",
    explains: false,
    named: |r, n| by_field(r, "address", n),
    table: neighbors,
};
/// `bfd`
pub const BFD: View = View {
    path: path::BFD,
    kind: "BFD session",
    explains: false,
    named: |r, n| by_field(r, "peer", n),
    table: bfd,
};
/// `drop`
pub const DROPS: View = View {
    path: path::DROPS,
    kind: "drop reason",
    explains: false,
    named: |r, n| by_field(r, "reason", n),
    table: drops,
};
/// `worker`
pub const WORKERS: View = View {
    path: path::WORKERS,
    kind: "worker",
    explains: true,
    named: |r, n| by_field(r, "id", n),
    table: workers,
};
/// `bgp summary`
pub const BGP_SUMMARY: View = View {
    path: path::BGP_SUMMARY,
    kind: "BGP peer",
    explains: false,
    named: |r, n| by_field(r, "peer", n),
    table: bgp_summary,
};
/// `bgp route`
pub const BGP_ROUTES: View = View {
    path: path::BGP_ROUTES,
    kind: "BGP route",
    explains: false,
    named: |r, n| by_field(r, "prefix", n),
    table: bgp_routes,
};

/// The objects of which a field reads as `name`.
pub fn by_field(rows: Vec<Value>, field: &str, name: &str) -> Vec<Value> {
    let reads = |value: &Value| match value {
        Value::String(text) => text == name,
        Value::Number(number) => number.to_string() == name,
        _ => false,
    };
    rows.into_iter().filter(|row| row.get(field).is_some_and(reads)).collect()
}

/// The routes of a prefix; of an address the longest match in each VRF.
fn route_named(rows: Vec<Value>, name: &str) -> Vec<Value> {
    let Ok(address) = name.parse::<IpAddr>() else { return by_field(rows, "prefix", name) };
    let net = |row: &Value| {
        row.get("prefix").and_then(Value::as_str).and_then(|p| p.parse::<IpNet>().ok())
    };
    let vrf = |row: &Value| row.get("vrf").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut longest: Vec<(String, u8, Value)> = Vec::new();
    for row in rows {
        let Some(net) = net(&row).filter(|n| n.contains(&address)) else { continue };
        let vrf = vrf(&row);
        match longest.iter_mut().find(|(v, ..)| *v == vrf) {
            Some(best) if best.1 < net.prefix_len() => *best = (vrf, net.prefix_len(), row),
            Some(_) => {}
            None => longest.push((vrf, net.prefix_len(), row)),
        }
    }
    longest.into_iter().map(|(_, _, row)| row).collect()
}

/// The typed rows of an answer.
pub fn typed<T: DeserializeOwned>(rows: Vec<Value>) -> Result<Vec<T>, Error> {
    rows.into_iter().map(serde_json::from_value).collect()
}

fn filled<T: DeserializeOwned>(
    heads: &[&'static str],
    rows: Vec<Value>,
    cells: fn(T) -> Vec<String>,
) -> Result<String, Error> {
    let mut table = Table::new(heads);
    typed::<T>(rows)?.into_iter().for_each(|row| table.row(cells(row)));
    Ok(table.text())
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn ports(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        "name",
        "role",
        "state",
        "device",
        "mac",
        ">mtu",
        "addresses",
        ">rx-packets",
        ">rx-bytes",
        ">tx-packets",
        ">tx-bytes",
        ">lost",
        ">errors",
    ];
    filled(&heads, rows, |p: PortRow| {
        vec![
            p.name,
            p.role.to_string(),
            p.state,
            p.device,
            p.mac.to_string(),
            p.mtu.to_string(),
            joined(&p.addresses),
            p.rx_packets.to_string(),
            p.rx_bytes.to_string(),
            p.tx_packets.to_string(),
            p.tx_bytes.to_string(),
            p.missed.saturating_add(p.no_mbuf).to_string(),
            p.rx_errors.saturating_add(p.tx_errors).to_string(),
        ]
    })
}

fn interfaces(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        "name",
        "port",
        ">vlan",
        "vrf",
        "mac",
        "addresses",
        "state",
        ">rx-packets",
        ">rx-bytes",
        ">tx-packets",
        ">tx-bytes",
        ">drops",
    ];
    filled(&heads, rows, |i: InterfaceRow| {
        vec![
            i.name,
            i.port,
            i.vlan.to_string(),
            i.vrf,
            i.mac.to_string(),
            joined(&i.addresses),
            i.state,
            i.rx_packets.to_string(),
            i.rx_bytes.to_string(),
            i.tx_packets.to_string(),
            i.tx_bytes.to_string(),
            i.drops.values().fold(0u64, |sum, n| sum.saturating_add(*n)).to_string(),
        ]
    })
}

fn vrfs(rows: Vec<Value>) -> Result<String, Error> {
    let heads = ["name", "rd", "import", "export", "subnets", ">routes", ">interfaces", ">label"];
    filled(&heads, rows, |v: VrfRow| {
        vec![
            v.name,
            v.rd,
            joined(&v.import),
            joined(&v.export),
            joined(&v.subnets),
            v.routes.to_string(),
            v.interfaces.to_string(),
            text(v.label),
        ]
    })
}

fn routes(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        "vrf",
        "prefix",
        "kind",
        "nexthop",
        "encapsulation",
        ">label",
        "interface",
        "source",
        ">generation",
    ];
    filled(&heads, rows, |r: RouteRow| {
        vec![
            r.vrf,
            r.prefix.to_string(),
            r.kind,
            text(r.nexthop),
            text(r.encapsulation),
            text(r.label),
            text(r.interface),
            r.source,
            r.generation.to_string(),
        ]
    })
}

fn nexthops(rows: Vec<Value>) -> Result<String, Error> {
    let heads =
        [">id", "kind", "tunnel", "encapsulation", ">label", "interface", "state", ">references"];
    filled(&heads, rows, |n: NexthopRow| {
        vec![
            n.id.to_string(),
            n.kind,
            text(n.tunnel),
            text(n.encapsulation),
            text(n.label),
            text(n.interface),
            n.state,
            n.references.to_string(),
        ]
    })
}

fn labels(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [">label", "kind", "vrf", "interface", ">quarantine"];
    filled(&heads, rows, |l: LabelRow| {
        let rest = l.quarantine_seconds.map(|s| format!("{s}s"));
        vec![l.label.to_string(), l.kind, text(l.vrf), text(l.interface), text(rest)]
    })
}

fn neighbors(rows: Vec<Value>) -> Result<String, Error> {
    let heads = ["address", "mac", "port", "interface", "state", ">age"];
    filled(&heads, rows, |n: NeighborRow| {
        vec![
            n.address.to_string(),
            text(n.mac),
            n.port,
            text(n.interface),
            n.state,
            format!("{}s", n.age_seconds),
        ]
    })
}

fn bfd(rows: Vec<Value>) -> Result<String, Error> {
    let heads =
        ["peer", "state", "diagnostic", "remote", ">interval", ">detect", ">since", ">flaps"];
    filled(&heads, rows, |b: BfdRow| {
        let detect = b.detection_milliseconds.map(|ms| format!("{ms}ms"));
        vec![
            b.peer.to_string(),
            b.state,
            b.diagnostic,
            b.remote_state,
            format!("{}ms", b.interval_milliseconds),
            text(detect),
            format!("{}s", b.since_seconds),
            b.flaps.to_string(),
        ]
    })
}

fn drops(rows: Vec<Value>) -> Result<String, Error> {
    filled(&["reason", ">count", "hint"], rows, |d: DropRow| {
        vec![d.reason, d.count.to_string(), d.hint]
    })
}

fn workers(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        ">id",
        ">cpu",
        ">busy",
        ">burst",
        ">helped",
        ">rx",
        ">handed-in",
        ">injected",
        ">copies",
        ">tx",
        ">punted",
        ">dropped",
        ">handed-out",
        ">queued",
    ];
    filled(&heads, rows, |w: WorkerRow| {
        vec![
            w.id.to_string(),
            w.cpu.to_string(),
            format!("{:.1}%", w.busy_percent),
            format!("{:.1}", w.packets_per_burst),
            w.helped_bursts.to_string(),
            w.rx.to_string(),
            w.handed_in.to_string(),
            w.injected.to_string(),
            w.copies_made.to_string(),
            w.tx.to_string(),
            w.punted.to_string(),
            w.dropped.to_string(),
            w.handed_out.to_string(),
            w.queued.to_string(),
        ]
    })
}

fn bgp_summary(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        "peer",
        ">asn",
        "state",
        ">uptime",
        "families",
        ">received",
        ">accepted",
        ">advertised",
        "last-error",
    ];
    filled(&heads, rows, |p: BgpSummaryRow| {
        let up = p.state == "Established";
        vec![
            p.peer.to_string(),
            p.asn.to_string(),
            p.state,
            if up { duration(p.uptime_seconds) } else { String::new() },
            joined(&p.families),
            p.received.to_string(),
            p.accepted.to_string(),
            p.advertised.to_string(),
            [p.last_error, p.hint].into_iter().flatten().collect::<Vec<_>>().join("; "),
        ]
    })
}

fn bgp_routes(rows: Vec<Value>) -> Result<String, Error> {
    let heads = [
        "",
        "family",
        "rd",
        "prefix",
        "next-hop",
        "labels",
        "peer",
        ">local-pref",
        ">med",
        "as-path",
        "route-targets",
        "encapsulations",
        "reason",
    ];
    filled(&heads, rows, |r: BgpRouteRow| {
        let mark = match (r.best, r.stale) {
            (true, false) => "*",
            (true, true) => "*S",
            (false, true) => "S",
            (false, false) => " ",
        };
        vec![
            mark.to_owned(),
            r.family,
            text(r.rd),
            r.prefix,
            r.next_hop.to_string(),
            joined(&r.labels),
            r.peer.map_or_else(|| "own".to_owned(), |p| p.to_string()),
            text(r.local_pref),
            text(r.med),
            r.as_path,
            joined(&r.route_targets),
            joined(&r.encapsulations),
            r.reason,
        ]
    })
}
