//! What goes into the speaker and what comes out of it, as plain data.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::Serialize;

use crate::rib::{PathAttributes, Reason};
use crate::types::{Asn, ExtCommunity, Family, Password, Route, RouteTarget};
use crate::wire::{Binding, EvpnBinding, Nlri, PmsiTunnel};

/// The speaker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakerConfig {
    /// Own AS.
    pub asn: Asn,
    /// BGP identifier, not 0.0.0.0.
    pub router_id: Ipv4Addr,
}

/// One neighbour. The address names it: two peers never share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its address.
    pub address: IpAddr,
    /// The port to dial.
    pub port: u16,
    /// Own address of the session; `None` lets the kernel choose and takes any on arrival.
    pub local_address: Option<IpAddr>,
    /// Its AS; the same as ours makes the session internal.
    pub asn: Asn,
    /// Families to offer.
    pub families: Vec<Family>,
    /// Wait for the peer to connect, never dial.
    pub passive: bool,
    /// Hold time to offer in seconds: 0 (no keepalives) or 3-65535.
    pub hold_time: u16,
    /// Seconds that the peer may take nothing of what is sent to it, 0 for ever (RFC 9687); `None`
    /// is 8 minutes or twice the negotiated hold time, whichever is more.
    pub send_hold_time: Option<u32>,
    /// An eBGP peer that is more than one hop away: no TTL of 1 on what is sent to it.
    pub multihop: bool,
    /// Hops that the peer may be away at most, 1-254 (RFC 5082): packets from farther are not heard,
    /// and ours are sent with TTL 255. It overrides `multihop`.
    pub ttl_security: Option<u8>,
    /// Signs every segment both ways (TCP-MD5, RFC 2385); `None` leaves them unsigned.
    pub password: Option<Password>,
}

impl PeerConfig {
    /// A peer with every other value at its default: port 179, VPNv4, hold time 90 s, dialled.
    pub fn new(address: IpAddr, asn: Asn) -> PeerConfig {
        PeerConfig {
            address,
            port: 179,
            local_address: None,
            asn,
            families: vec![Family::Vpnv4],
            passive: false,
            hold_time: 90,
            send_hold_time: None,
            multihop: false,
            ttl_security: None,
            password: None,
        }
    }
}

impl PeerConfig {
    /// The least TTL that is heard (RFC 5082 3).
    pub(super) fn min_ttl(&self) -> Option<u8> {
        self.ttl_security.map(|hops| (u8::MAX - hops).saturating_add(1))
    }
}

/// A route of our own, advertised to every peer that has negotiated its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginatedRoute {
    /// The route, host bits cleared; a label of 20 bits beside a VPN route, what EVPN types 1, 2
    /// and 5 have beside them, and nothing beside others.
    pub nlri: Nlri,
    /// Sent as it is to every peer, external ones too.
    pub next_hop: IpAddr,
    /// Route targets to attach.
    pub route_targets: Vec<RouteTarget>,
    /// Further extended communities, such as encapsulations.
    pub ext_communities: Vec<ExtCommunity>,
    /// LOCAL_PREF towards internal peers; `None` is 100.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC; `None` sends none.
    pub med: Option<u32>,
    /// PMSI TUNNEL, of EVPN multicast routes.
    pub pmsi: Option<PmsiTunnel>,
}

impl OriginatedRoute {
    /// A route without communities, with every other value at its default.
    pub fn new(nlri: Nlri, next_hop: IpAddr) -> OriginatedRoute {
        OriginatedRoute {
            nlri,
            next_hop,
            route_targets: Vec::new(),
            ext_communities: Vec::new(),
            local_pref: None,
            med: None,
            pmsi: None,
        }
    }
}

/// Why a route cannot be originated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginateError {
    /// A VPN or EVPN route without its labels, or labels beside another route.
    #[error(
        "a VPN route, and EVPN routes of types 1, 2 and 5, need a label, and other routes have none"
    )]
    Binding,
    /// Memberships follow [`Speaker::set_imports`](super::Speaker::set_imports).
    #[error("route target memberships come from the route targets that VRFs import")]
    Membership,
    /// More than 20 bits.
    #[error("label above 1048575")]
    Label,
    /// A next hop that no host can have, or an IPv6 one for IPv4 routes: RFC 8950 is not
    /// negotiated.
    #[error("the next hop of a route must be a unicast address, for IPv4 routes an IPv4 one")]
    NextHop,
    /// The attributes would not fit a message of 4096 octets.
    #[error("too many communities for one UPDATE message (at most 400)")]
    TooLong,
}

/// News for whoever uses the routes. Per route only the latest state is kept until it is taken, so
/// a slow consumer loses steps in between but never the last one.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The best path of a route is another one, or gone.
    Best {
        /// The route.
        route: Route,
        /// The new best path; `None` when no usable path is left.
        path: Option<BestPath>,
    },
    /// The peer has sent all it has of a family (RFC 4724 2); comes after those routes.
    EndOfRib {
        /// The peer.
        peer: IpAddr,
        /// The family.
        family: Family,
    },
    /// Routes of a family could not be told apart: it is ignored until the session ends, and the
    /// loss of its routes comes before this. There will be no End-of-RIB of it.
    FamilyDisabled {
        /// The peer.
        peer: IpAddr,
        /// The family.
        family: Family,
        /// Why, for a person to read.
        reason: &'static str,
    },
    /// A session reached Established.
    SessionUp {
        /// The peer.
        peer: IpAddr,
    },
    /// A session left Established; the loss of its routes follows.
    SessionDown {
        /// The peer.
        peer: IpAddr,
        /// Why, for a person to read.
        reason: String,
    },
}

/// The winner among the paths of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct BestPath {
    /// Who sent it.
    pub peer: IpAddr,
    /// The label of a VPN route, or what stands beside an EVPN route.
    pub binding: Binding,
    /// Everything else about it, shared with other routes.
    pub attributes: Arc<PathAttributes>,
    /// What decided.
    pub reason: Reason,
}

/// State of a session as RFC 4271 8.2.2 names it; of two connections, the one that is further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SessionState {
    /// Between two attempts.
    Idle,
    /// Waiting for the peer to connect.
    Active,
    /// Dialling.
    Connect,
    /// OPEN sent, none received.
    OpenSent,
    /// OPEN received, waiting for the first KEEPALIVE.
    OpenConfirm,
    /// Routes flow.
    Established,
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SessionState::Idle => "Idle",
            SessionState::Active => "Active",
            SessionState::Connect => "Connect",
            SessionState::OpenSent => "OpenSent",
            SessionState::OpenConfirm => "OpenConfirm",
            SessionState::Established => "Established",
        })
    }
}

/// One line of `vrctl bgp summary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerSummary {
    /// The peer's address.
    pub peer: IpAddr,
    /// Its AS as configured.
    pub asn: Asn,
    /// State of the session.
    pub state: SessionState,
    /// Families negotiated, less any that is ignored after an error; empty while the session is
    /// down.
    pub families: Vec<Family>,
    /// Routes that the peer has sent and not withdrawn.
    pub received: u64,
    /// Those of them that may be used (no loop, a usable next hop).
    pub accepted: u64,
    /// Own routes that it has been sent.
    pub advertised: u64,
    /// Seconds in Established; 0 while the session is down.
    pub uptime_seconds: u64,
    /// Why a family is ignored, else what ended the last session or attempt.
    pub last_error: Option<String>,
    /// Sessions that ended because the peer took nothing for the send hold time.
    pub send_hold_expired: u64,
    /// What else may keep the session from coming up; `None` while it is established.
    pub hint: Option<String>,
}

/// Which routes a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// Every path as received, best or not, usable or not.
    Received,
    /// The best path of each route.
    Best,
    /// Own routes as sent to peers.
    Advertised,
}

/// Selects the routes of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// The family.
    pub family: Family,
    /// Which of its routes.
    pub which: Which,
    /// Only those from (or to) this peer.
    pub peer: Option<IpAddr>,
}

/// One line of `vrctl bgp route list`. Texts are those of [`crate::types`].
#[derive(Clone, Debug, PartialEq)]
pub struct RouteView {
    /// The route.
    pub route: Route,
    /// Who sent it, or to whom it was sent.
    pub peer: IpAddr,
    /// Next hop.
    pub next_hop: IpAddr,
    /// Label stack; empty in families without labels. Of EVPN routes those beside them, or VNIs
    /// where the encapsulation is VXLAN.
    pub labels: Vec<u32>,
    /// What stands beside EVPN routes of types 1, 2 and 5.
    pub evpn: Option<EvpnBinding>,
    /// PMSI TUNNEL: what kind, where to, and its label or VNI.
    pub pmsi: Option<String>,
    /// Route targets.
    pub route_targets: Vec<RouteTarget>,
    /// Tunnel types of encapsulation communities.
    pub encapsulations: Vec<u16>,
    /// LOCAL_PREF, as on the wire.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// AS path: numbers with spaces, sets in braces.
    pub as_path: String,
    /// Standard communities.
    pub communities: Vec<String>,
    /// Large communities.
    pub large_communities: Vec<String>,
    /// Extended communities, route targets and encapsulations among them.
    pub ext_communities: Vec<String>,
    /// `AS address` of an AGGREGATOR.
    pub aggregator: Option<String>,
    /// Whether this is the best path of its route.
    pub best: bool,
    /// Why it is best, or why it is not.
    pub reason: String,
    /// Kept from a lost session; never so without graceful restart.
    pub stale: bool,
}
