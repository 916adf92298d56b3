//! `vrctl status`: health in ten lines.

use config::api::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Client, Failure};
use crate::table::duration;
use crate::views::typed;

/// The lines for people. What cannot be asked shows as `?`: the status itself counts.
pub fn lines(client: &Client, status: &Status) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        text += &format!("{key:<11}  {value}\n");
    };
    let ports = rows::<PortRow>(client, path::PORTS);
    let interfaces = rows::<InterfaceRow>(client, path::INTERFACES);
    let peers = rows::<BgpSummaryRow>(client, path::BGP_SUMMARY);
    line("router", format!("{} {}", status.name, if status.ready { "ready" } else { "NOT READY" }));
    line("version", format!("{}, up {}", status.version, duration(status.uptime_seconds)));
    line("generation", status.generation.to_string());
    line(
        "ports",
        ports.map_or_else(unknown, |p| up(&p, "up", |p| p.name.clone(), |p| p.state == "up")),
    );
    line(
        "interfaces",
        interfaces.map_or_else(unknown, |i| up(&i, "up", |i| i.name.clone(), |i| i.state == "up")),
    );
    line(
        "bgp",
        peers.map_or_else(unknown, |p| {
            up(&p, "established", |p| p.peer.to_string(), |p| p.state == "Established")
        }),
    );
    line("routes", rows::<VrfRow>(client, path::VRFS).map_or_else(unknown, |v| routes(&v)));
    line("workers", rows::<WorkerRow>(client, path::WORKERS).map_or_else(unknown, |w| workers(&w)));
    line("top drop", rows::<DropRow>(client, path::DROPS).map_or_else(unknown, |d| top_drop(&d)));
    match status.warnings.as_slice() {
        [] => line("warnings", "none".to_owned()),
        warnings => warnings.iter().for_each(|w| line("warning", w.clone())),
    }
    text
}

fn unknown() -> String {
    "?".to_owned()
}

fn rows<T: DeserializeOwned>(client: &Client, target: &str) -> Option<Vec<T>> {
    let rows: Result<Vec<Value>, Failure> = client.rows(target);
    typed(rows.ok()?).ok()
}

/// `3 of 4 up; not: gw0`
fn up<T>(rows: &[T], word: &str, name: impl Fn(&T) -> String, good: impl Fn(&T) -> bool) -> String {
    const NAMED: usize = 4;
    let bad: Vec<String> = rows.iter().filter(|r| !good(r)).map(name).collect();
    let count = format!("{} of {} {word}", rows.len() - bad.len(), rows.len());
    match bad.len() {
        _ if rows.is_empty() => "none".to_owned(),
        0 => count,
        n if n > NAMED => {
            format!("{count}; not: {} and {} more", bad[..NAMED].join(", "), n - NAMED)
        }
        _ => format!("{count}; not: {}", bad.join(", ")),
    }
}

fn routes(vrfs: &[VrfRow]) -> String {
    let sum: u64 = vrfs.iter().map(|v| v.routes).sum();
    format!("{sum} in {} VRF{}", vrfs.len(), if vrfs.len() == 1 { "" } else { "s" })
}

fn workers(workers: &[WorkerRow]) -> String {
    let busiest = workers.iter().max_by(|a, b| a.busy_percent.total_cmp(&b.busy_percent));
    match busiest {
        Some(w) => {
            format!("{}, busiest {} on CPU {}: {:.1} %", workers.len(), w.id, w.cpu, w.busy_percent)
        }
        None => "none".to_owned(),
    }
}

fn top_drop(drops: &[DropRow]) -> String {
    match drops.iter().max_by_key(|d| d.count) {
        Some(d) if d.count > 0 => format!("{} {} ({})", d.reason, d.count, d.hint),
        _ => "none".to_owned(),
    }
}
