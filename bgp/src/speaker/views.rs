//! What operators see: the summary and the route lists.

use std::net::IpAddr;
use std::time::Instant;

use super::{PeerConfig, PeerSummary, RouteQuery, RouteView, Speaker, Which};
use crate::rib::{PathAttributes, Seen};
use crate::types::{Family, LabelField, Route};
use crate::wire::{Binding, PmsiTunnel};

/// Tunnel type (IANA).
const VXLAN: u16 = 8;
/// The same in the first Contrail releases.
const VXLAN_FIRST: u16 = 37002;

impl Speaker {
    /// All peers by address.
    pub fn summary(&self, now: Instant) -> Vec<PeerSummary> {
        let mut peers: Vec<PeerSummary> = self
            .peers
            .iter()
            .enumerate()
            .filter_map(|(index, peer)| Some((index as u32, peer.as_ref()?)))
            .map(|(index, peer)| {
                let counts = self.rib.counts(index);
                let families: Vec<Family> =
                    peer.session.map(|s| s.decode.families.iter().collect()).unwrap_or_default();
                let sent = |family: &Family| {
                    let cursor = peer.session.map(|s| s.cursors[family.index()]);
                    let log = &self.own[family.index()];
                    let count = |cursor| log.sent(cursor, peer.filter(*family)).count() as u64;
                    cursor.map_or(0, count)
                };
                let since = peer.fsm.established().map(|(_, since)| since);
                PeerSummary {
                    peer: peer.config.address,
                    asn: peer.config.asn,
                    state: peer.fsm.state(),
                    received: counts.received,
                    accepted: counts.accepted,
                    advertised: families.iter().map(sent).sum(),
                    families,
                    uptime_seconds: since
                        .map_or(0, |since| now.saturating_duration_since(since).as_secs()),
                    last_error: peer
                        .disabled
                        .as_deref()
                        .filter(|_| peer.session.is_some())
                        .or(peer.fsm.last_error())
                        .map(str::to_owned),
                    send_hold_expired: peer.fsm.send_hold_expired(),
                    hint: since.is_none().then(|| hint(&peer.config)).flatten(),
                }
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.peer);
        peers
    }

    /// Routes by prefix, distinguisher and peer.
    pub fn routes(&self, query: &RouteQuery) -> Vec<RouteView> {
        let mut views = match query.which {
            Which::Advertised => self.advertised(query),
            Which::Best | Which::Received => self.learnt(query),
        };
        views.sort_unstable_by_key(|view| (view.route.prefix(), view.route, view.peer));
        views
    }

    fn learnt(&self, query: &RouteQuery) -> Vec<RouteView> {
        let mut views = Vec::new();
        self.rib.visit(query.family, |seen| {
            let Some(source) = self.rib.source(seen.peer) else { return };
            let shown = seen.best || query.which == Which::Received;
            if shown && query.peer.is_none_or(|peer| peer == source.address) {
                let why = (seen.best, reason(&seen));
                views.push(view(seen.route, source.address, &seen.binding, seen.attributes, why));
            }
        });
        views
    }

    fn advertised(&self, query: &RouteQuery) -> Vec<RouteView> {
        let mut views = Vec::new();
        let log = &self.own[query.family.index()];
        for peer in self.peers.iter().flatten() {
            let address = peer.config.address;
            let Some(session) = peer.session else { continue };
            let wanted = query.peer.is_none_or(|wanted| wanted == address);
            if !wanted || !session.agreed.families.contains(query.family) {
                continue;
            }
            let cursor = session.cursors[query.family.index()];
            for (route, path) in log.sent(cursor, peer.filter(query.family)) {
                let sent = peer.export(self.config.asn, query.family, &path.attributes);
                let why = (true, "originated here".to_owned());
                views.push(view(*route, address, &path.binding, &sent, why));
            }
        }
        views
    }
}

/// What else than an error may keep a session from coming up.
fn hint(config: &PeerConfig) -> Option<String> {
    let mut hints = Vec::new();
    if let (Some(hops), Some(least)) = (config.ttl_security, config.min_ttl()) {
        hints.push(format!("ttl-security = {hops} hears nothing with a TTL below {least}"));
    }
    if config.password.is_some() {
        hints.push("a peer with another password, or with none, does not answer".to_owned());
    }
    (!hints.is_empty()).then(|| hints.join("; "))
}

fn reason(seen: &Seen<'_>) -> String {
    match (seen.refused, seen.reason) {
        (Some(refusal), _) => format!("not usable: {refusal}"),
        (None, Some(reason)) if seen.best => reason.to_string(),
        (None, Some(reason)) => format!("another path is better: {reason}"),
        (None, None) => String::new(),
    }
}

/// A label in the encapsulation that gives it its meaning: a network identifier in VXLAN.
fn number(field: LabelField, attributes: &PathAttributes) -> u32 {
    let vxlan = attributes.encapsulations().any(|kind| matches!(kind, VXLAN | VXLAN_FIRST));
    if vxlan { field.vni() } else { field.label() }
}

fn labels(binding: &Binding, attributes: &PathAttributes) -> Vec<u32> {
    match binding {
        Binding::None => Vec::new(),
        Binding::Label(label) => vec![*label],
        Binding::Evpn(evpn) => {
            let fields = [evpn.label].into_iter().chain(evpn.vrf_label);
            fields.map(|field| number(field, attributes)).collect()
        }
    }
}

fn tunnel(pmsi: &PmsiTunnel, attributes: &PathAttributes) -> String {
    let label = number(pmsi.label, attributes);
    match pmsi.endpoint() {
        Some(endpoint) => format!("ingress-replication {endpoint} {label}"),
        None => format!("type-{} {label}", pmsi.kind),
    }
}

fn view(
    route: Route,
    peer: IpAddr,
    binding: &Binding,
    attributes: &PathAttributes,
    (best, reason): (bool, String),
) -> RouteView {
    let a = attributes;
    RouteView {
        route,
        peer,
        next_hop: a.next_hop,
        labels: labels(binding, a),
        evpn: binding.evpn().copied(),
        pmsi: a.pmsi.as_deref().map(|pmsi| tunnel(pmsi, a)),
        route_targets: a.route_targets().collect(),
        encapsulations: a.encapsulations().collect(),
        local_pref: a.local_pref,
        med: a.med,
        as_path: a.as_path.to_string(),
        communities: a.communities.iter().map(ToString::to_string).collect(),
        large_communities: a.large_communities.iter().map(ToString::to_string).collect(),
        ext_communities: a.ext_communities.iter().map(ToString::to_string).collect(),
        aggregator: a.aggregator.map(|aggregator| aggregator.to_string()),
        best,
        reason,
        stale: false,
    }
}
