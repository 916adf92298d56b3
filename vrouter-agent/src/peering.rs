//! Between the configuration and the BGP speaker: peers, own routes, and learnt routes in the words of import.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use bgp::speaker::{BestPath, OriginatedRoute, PeerConfig, SpeakerConfig};
use bgp::types::{ExtCommunity, Route, RouteDistinguisher, RouteTarget};
use bgp::wire::Nlri;
use config::Config;
use engine::seam::VifId;
use ipnet::Ipv4Net;

use crate::desired::Local;
use crate::vrf::{Import, Learnt, Offer, Rank};

/// Tunnel types that we always receive, whatever we prefer to send: GRE and MPLS in UDP (IANA BGP tunnel encapsulation).
const RECEIVED: [u16; 2] = [2, 13];

/// What names one of our own routes.
pub type OwnKey = (RouteDistinguisher, Ipv4Net);

/// What we say to peers.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Our own routes.
    pub routes: BTreeMap<OwnKey, OriginatedRoute>,
    /// The route targets that VRFs import.
    pub imports: BTreeSet<RouteTarget>,
}

/// What the speaker should do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a speaker; there is none.
    Start(SpeakerConfig, Option<SocketAddr>),
    /// Close all sessions and stop.
    Stop,
    /// The whole set of peers.
    Peers(Vec<PeerConfig>),
    /// The whole set of route targets to ask for.
    Imports(BTreeSet<RouteTarget>),
    /// Advertise a route, or replace it.
    Originate(OriginatedRoute),
    /// Take a route back.
    Withdraw(OwnKey),
}

/// Keeps the speaker in step with the configuration.
///
/// Promise: a route is advertised only when the data plane has its label, and taken back before the label goes.
#[derive(Debug, Default)]
pub struct Peering {
    speaker: Option<(SpeakerConfig, Option<SocketAddr>)>,
    peers: Vec<PeerConfig>,
    routes: BTreeMap<OwnKey, OriginatedRoute>,
    imports: BTreeSet<RouteTarget>,
}

impl Peering {
    /// Takes back what is not wanted any more: now. True if the speaker itself went, with all that it learnt.
    pub fn shrink(&mut self, config: &Config, wanted: &Wanted, out: &mut Vec<Action>) -> bool {
        if self.speaker.is_some() && self.speaker != speaker(config) {
            out.push(Action::Stop);
            *self = Peering::default();
            return true;
        }
        let gone: Vec<OwnKey> =
            self.routes.keys().filter(|key| !wanted.routes.contains_key(key)).copied().collect();
        for key in gone {
            self.routes.remove(&key);
            out.push(Action::Withdraw(key));
        }
        if !self.imports.is_subset(&wanted.imports) {
            self.imports.retain(|target| wanted.imports.contains(target));
            out.push(Action::Imports(self.imports.clone()));
        }
        false
    }

    /// The data plane has everything: starts the speaker, advertises what is new, and talks to the configured peers, in this
    /// order, so that a new peer is told everything before End-of-RIB.
    pub fn grow(&mut self, config: &Config, wanted: &Wanted, out: &mut Vec<Action>) {
        let Some((parameters, listen)) = speaker(config) else { return };
        if self.speaker.is_none() {
            out.push(Action::Start(parameters.clone(), listen));
            self.speaker = Some((parameters, listen));
        }
        if self.imports != wanted.imports {
            self.imports.clone_from(&wanted.imports);
            out.push(Action::Imports(self.imports.clone()));
        }
        for (key, route) in &wanted.routes {
            if self.routes.get(key) != Some(route) {
                self.routes.insert(*key, route.clone());
                out.push(Action::Originate(route.clone()));
            }
        }
        let peers = peers(config);
        if self.peers != peers {
            self.peers.clone_from(&peers);
            out.push(Action::Peers(peers));
        }
    }
}

fn speaker(config: &Config) -> Option<(SpeakerConfig, Option<SocketAddr>)> {
    let bgp = config.bgp.as_ref()?;
    Some((SpeakerConfig { asn: config.router.asn, router_id: config.router.router_id }, bgp.listen))
}

/// The configured peers in the words of the speaker.
pub fn peers(config: &Config) -> Vec<PeerConfig> {
    let all = config.bgp.iter().flat_map(|bgp| &bgp.peers);
    all.map(|peer| PeerConfig {
        address: peer.address,
        port: peer.port,
        local_address: peer.local_address,
        asn: peer.asn,
        families: peer.families.clone(),
        passive: peer.passive,
        hold_time: peer.hold_time,
        send_hold_time: peer.send_hold_time,
        multihop: peer.multihop,
        ttl_security: peer.ttl_security,
        password: peer.password.clone(),
    })
    .collect()
}

/// What to say to peers, but for routes of interfaces that the data plane refused.
pub fn wanted(config: &Config, local: &Local, refused: impl Fn(VifId) -> bool) -> Wanted {
    if config.bgp.is_none() {
        return Wanted::default();
    }
    let route =
        |(rd, prefix): OwnKey, label: u32, targets: &BTreeSet<RouteTarget>| OriginatedRoute {
            route_targets: targets.iter().copied().collect(),
            ext_communities: RECEIVED.map(ExtCommunity::encapsulation).to_vec(),
            ..OriginatedRoute::new(
                Nlri::labelled(Route::Vpnv4(rd, prefix), label),
                IpAddr::V4(config.router.tunnel_address),
            )
        };
    let all = local.advertised.iter().filter(|(_, own)| !refused(own.vif));
    let routes = all.map(|(key, own)| (*key, route(*key, own.label.value(), &own.targets)));
    Wanted {
        routes: routes.collect(),
        imports: local.imports.values().flatten().copied().collect(),
    }
}

/// A best path as import sees it.
pub fn learnt(import: &mut Import, path: &BestPath) -> Learnt {
    let attributes = &path.attributes;
    let targets: Vec<RouteTarget> =
        attributes.ext_communities.iter().filter_map(|c| c.as_route_target()).collect();
    Learnt {
        peer: path.peer,
        next_hop: attributes.next_hop,
        label: path.binding.label(),
        rank: Rank {
            local_pref: attributes.local_pref.unwrap_or(100),
            as_hops: u32::try_from(attributes.as_path.hops()).unwrap_or(u32::MAX),
            origin: attributes.origin as u8,
            med: attributes.med.unwrap_or(0),
        },
        offer: Offer::from_types(attributes.encapsulations()),
        targets: import.intern(&targets),
    }
}
