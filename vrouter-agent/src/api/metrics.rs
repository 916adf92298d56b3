//! `/metrics`: Prometheus text made from the rows of the API, so that both always agree.

use config::api::{
    BfdRow, BgpSummaryRow, DropRow, InterfaceRow, PortRow, Status, VrfRow, WorkerRow,
};
use engine::seam::Event;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

/// What the core knows that is a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// `vrctl status`.
    pub status: Status,
    /// `vrctl port list`.
    pub ports: Vec<PortRow>,
    /// `vrctl interface list`.
    pub interfaces: Vec<InterfaceRow>,
    /// `vrctl vrf list`.
    pub vrfs: Vec<VrfRow>,
    /// `vrctl drop list`.
    pub drops: Vec<DropRow>,
    /// `vrctl worker list`.
    pub workers: Vec<WorkerRow>,
    /// `vrctl bfd list`.
    pub bfd: Vec<BfdRow>,
    /// Punt class, count, and how many the rate limit dropped.
    pub punts: Vec<(String, u64, u64)>,
    /// Learnt VPN routes.
    pub learnt: u64,
    /// Restarts of the agent.
    pub restarts: u64,
}

/// Rows of punt classes.
pub fn punts(rows: &[Event]) -> Vec<(String, u64, u64)> {
    let row = |event: &Event| match *event {
        Event::PuntCount { class, count, limited, .. } => {
            let class = engine::drops::Punt::ALL.get(usize::from(class))?;
            Some((class.slug().to_owned(), count, limited))
        }
        _ => None,
    };
    rows.iter().filter_map(row).collect()
}

type Labels = Vec<(&'static str, String)>;

/// One metric with all its rows.
type Rows = Vec<(Labels, u64)>;

/// The text. Label values are names from the configuration or slugs: their number is bounded.
pub fn text(figures: &Figures, peers: &[BgpSummaryRow]) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("vrouter");
    node(&mut registry, figures);
    ports(&mut registry, &figures.ports);
    interfaces(&mut registry, &figures.interfaces);
    data_plane(&mut registry, figures);
    bfd(&mut registry, &figures.bfd);
    bgp(&mut registry, peers);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn counter(registry: &mut Registry, name: &str, help: &str, rows: Rows) {
    if let [(labels, value)] = rows.as_slice()
        && labels.is_empty()
    {
        let one = Counter::<u64>::default();
        one.inc_by(*value);
        return registry.register(name, help, one);
    }
    let family = Family::<Labels, Counter>::default();
    for (labels, value) in rows {
        family.get_or_create(&labels).inc_by(value);
    }
    registry.register(name, help, family);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, rows: Rows) {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    if let [(labels, value)] = rows.as_slice()
        && labels.is_empty()
    {
        let one = Gauge::<i64>::default();
        one.set(signed(*value));
        return registry.register(name, help, one);
    }
    let family = Family::<Labels, Gauge>::default();
    for (labels, value) in rows {
        family.get_or_create(&labels).set(signed(value));
    }
    registry.register(name, help, family);
}

fn node(registry: &mut Registry, figures: &Figures) {
    let status = &figures.status;
    let one = |value| vec![(Labels::new(), value)];
    gauge(
        registry,
        "ready",
        "1 if the node forwards with all ports up",
        one(u64::from(status.ready)),
    );
    gauge(
        registry,
        "generation",
        "Last generation that every worker has seen",
        one(status.generation),
    );
    gauge(registry, "uptime_seconds", "Since the process started", one(status.uptime_seconds));
    counter(
        registry,
        "agent_restarts",
        "Restarts of the agent after a panic",
        one(figures.restarts),
    );
    gauge(registry, "learnt_routes", "VPN routes learnt by BGP", one(figures.learnt));
    let vrf = |row: &VrfRow| vec![("vrf", row.name.clone())];
    let routes = figures.vrfs.iter().map(|row| (vrf(row), row.routes)).collect();
    gauge(registry, "vrf_routes", "Routes in the table of a VRF", routes);
}

fn bfd(registry: &mut Registry, rows: &[BfdRow]) {
    let all = |value: fn(&BfdRow) -> u64| -> Rows {
        rows.iter().map(|row| (vec![("peer", row.peer.to_string())], value(row))).collect()
    };
    let up = all(|row| u64::from(row.state == "up"));
    gauge(registry, "bfd_up", "1 if the BFD session is up", up);
    let flaps = all(|row| row.flaps.into());
    counter(registry, "bfd_flaps", "Times that the BFD session was up and then no more", flaps);
}

fn ports(registry: &mut Registry, rows: &[PortRow]) {
    let all = |value: fn(&PortRow) -> u64| -> Rows {
        rows.iter().map(|row| (vec![("port", row.name.clone())], value(row))).collect()
    };
    gauge(
        registry,
        "port_up",
        "1 if the port has carrier",
        all(|row| u64::from(row.state == "up")),
    );
    counter(registry, "port_rx_packets", "Frames received", all(|row| row.rx_packets));
    counter(registry, "port_rx_bytes", "Bytes received", all(|row| row.rx_bytes));
    counter(registry, "port_tx_packets", "Frames sent", all(|row| row.tx_packets));
    counter(registry, "port_tx_bytes", "Bytes sent", all(|row| row.tx_bytes));
    counter(
        registry,
        "port_missed",
        "Lost by the device: receive queue full",
        all(|row| row.missed),
    );
    counter(registry, "port_no_mbuf", "Lost by the device: no buffer", all(|row| row.no_mbuf));
    counter(registry, "port_rx_errors", "Damaged on arrival", all(|row| row.rx_errors));
    counter(registry, "port_tx_errors", "Not sent by the device", all(|row| row.tx_errors));
}

fn interfaces(registry: &mut Registry, rows: &[InterfaceRow]) {
    let labels =
        |row: &InterfaceRow| vec![("interface", row.name.clone()), ("vrf", row.vrf.clone())];
    let all = |value: fn(&InterfaceRow) -> u64| -> Rows {
        rows.iter().map(|row| (labels(row), value(row))).collect()
    };
    gauge(
        registry,
        "interface_up",
        "1 if the interface is up",
        all(|row| u64::from(row.state == "up")),
    );
    counter(
        registry,
        "interface_rx_packets",
        "Frames from the instance",
        all(|row| row.rx_packets),
    );
    counter(registry, "interface_rx_bytes", "Bytes from the instance", all(|row| row.rx_bytes));
    counter(registry, "interface_tx_packets", "Frames to the instance", all(|row| row.tx_packets));
    counter(registry, "interface_tx_bytes", "Bytes to the instance", all(|row| row.tx_bytes));
    let drops = rows.iter().flat_map(|row| {
        row.drops.iter().map(move |(reason, count)| {
            let mut labels = labels(row);
            labels.push(("reason", reason.clone()));
            (labels, *count)
        })
    });
    counter(registry, "interface_drops", "Drops at an interface by reason", drops.collect());
}

fn data_plane(registry: &mut Registry, figures: &Figures) {
    let drops = figures.drops.iter().map(|row| (vec![("reason", row.reason.clone())], row.count));
    counter(registry, "drops", "Dropped packets by reason", drops.collect());
    let class = |slug: &String| vec![("class", slug.clone())];
    let punts = figures.punts.iter().map(|(slug, count, _)| (class(slug), *count));
    counter(registry, "punts", "Packets given to the service thread by class", punts.collect());
    let limited = figures.punts.iter().map(|(slug, _, limited)| (class(slug), *limited));
    counter(
        registry,
        "punts_limited",
        "Punts over the rate limit of their class",
        limited.collect(),
    );
    let all = |value: fn(&WorkerRow) -> u64| -> Rows {
        figures
            .workers
            .iter()
            .map(|row| (vec![("worker", row.id.to_string())], value(row)))
            .collect()
    };
    counter(registry, "worker_rx", "Packets received from ports", all(|row| row.rx));
    counter(
        registry,
        "worker_handed_in",
        "Packets received from other workers",
        all(|row| row.handed_in),
    );
    counter(
        registry,
        "worker_injected",
        "Packets received from the service thread",
        all(|row| row.injected),
    );
    counter(registry, "worker_copies_made", "Copies made", all(|row| row.copies_made));
    counter(registry, "worker_tx", "Packets sent to ports", all(|row| row.tx));
    counter(
        registry,
        "worker_punted",
        "Packets given to the service thread",
        all(|row| row.punted),
    );
    counter(registry, "worker_dropped", "Packets dropped", all(|row| row.dropped));
    counter(
        registry,
        "worker_handed_out",
        "Packets given to other workers",
        all(|row| row.handed_out),
    );
    gauge(registry, "worker_queued", "Packets inside a worker", all(|row| row.queued));
}

fn bgp(registry: &mut Registry, peers: &[BgpSummaryRow]) {
    let all = |value: fn(&BgpSummaryRow) -> u64| -> Rows {
        peers.iter().map(|row| (vec![("peer", row.peer.to_string())], value(row))).collect()
    };
    let up = |row: &BgpSummaryRow| u64::from(row.state == "Established");
    gauge(registry, "bgp_peer_up", "1 if the session is established", all(up));
    gauge(registry, "bgp_peer_received", "Routes received", all(|row| row.received));
    gauge(
        registry,
        "bgp_peer_accepted",
        "Routes received and fit to be used",
        all(|row| row.accepted),
    );
    gauge(registry, "bgp_peer_advertised", "Routes sent", all(|row| row.advertised));
    gauge(registry, "bgp_peer_uptime_seconds", "Age of the session", all(|row| row.uptime_seconds));
    counter(
        registry,
        "bgp_peer_send_hold_expired",
        "Sessions closed because the peer took nothing of what was sent to it",
        all(|row| row.send_hold_expired),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_prometheus_text() {
        let figures = Figures {
            status: Status { ready: true, ..Status::default() },
            drops: vec![DropRow { reason: "no-route".into(), count: 7, hint: String::new() }],
            workers: vec![WorkerRow { rx: 12, ..WorkerRow::default() }],
            ..Figures::default()
        };
        let text = text(&figures, &[]).unwrap();
        for line in [
            "vrouter_ready 1",
            "vrouter_drops_total{reason=\"no-route\"} 7",
            "vrouter_worker_rx_total{worker=\"0\"} 12",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }
}
