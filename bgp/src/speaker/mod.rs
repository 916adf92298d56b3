//! The whole speaker without sockets or clocks: bytes, connections and time in; bytes, connections
//! and news of routes out.
//!
//! Whoever drives it feeds inputs (each with the time), then takes [`Action`]s and [`Update`]s
//! until there are none, and calls [`Speaker::tick`] when [`Speaker::next_timeout`] has passed.
//! UPDATEs are formed only while [`Action`]s are taken and the connection has room, so many
//! changes at once share messages, and a peer that reads slowly costs no memory.

mod model;
mod session;
mod views;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

pub use model::*;

use crate::fsm::{self, Direction, Event, Fsm};
use crate::rib::out::{Cursor, Log, OwnPath};
use crate::rib::{Constraint, Interner, PathAttributes, PeerIndex, Rib};
use crate::types::{Asn, ExtCommunity, Family, Membership, Password, Route, RouteTarget};
use crate::wire::attribute::usable;
use crate::wire::notification::{self, Notification};
use crate::wire::{Binding, DecodeContext, Local, Negotiated, Nlri};

/// Octets handed to a connection and not yet taken by it, above which no UPDATEs are formed.
pub const SEND_WINDOW: usize = 128 * 1024;
/// How long VPN routes wait for the peer to say which ones it wants (RFC 4684 6), at most. Peers
/// that do not mark the end of their routes are not waited for.
pub const MEMBERSHIP_TIME: Duration = Duration::from_secs(30);
/// Communities of a route of our own that always fit an UPDATE.
const MOST_COMMUNITIES: usize = 400;

/// Names a connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection; answer with [`Speaker::connected`] or [`Speaker::closed`].
    Dial {
        /// Its name from now on.
        connection: ConnectionId,
        /// The peer.
        remote: SocketAddr,
        /// Address to bind to.
        local: Option<IpAddr>,
        /// What its packets need.
        protection: Protection,
    },
    /// Send these octets behind all earlier ones; report with [`Speaker::sent`].
    Send {
        /// Where.
        connection: ConnectionId,
        /// Whole messages.
        bytes: Vec<u8>,
    },
    /// Close once everything is sent, or stop dialling. The name is void from now on.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// What the packets of a connection need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// TTL (hop limit) to send with; `None` leaves the system's.
    pub ttl: Option<u8>,
    /// Least TTL to take notice of, from the first packet on (RFC 5082).
    pub min_ttl: Option<u8>,
    /// What signs them both ways (RFC 2385).
    pub password: Option<Password>,
}

/// The speaker. See the module for how to drive it.
#[derive(Debug)]
pub struct Speaker {
    config: SpeakerConfig,
    peers: Vec<Option<Peer>>,
    by_address: HashMap<IpAddr, PeerIndex>,
    connections: HashMap<ConnectionId, (PeerIndex, Direction)>,
    last_connection: u64,
    interner: Interner,
    rib: Rib,
    own: [Log; Family::ALL.len()],
    /// What VRFs import: the route targets of our memberships.
    imports: BTreeSet<RouteTarget>,
    actions: VecDeque<Action>,
    /// Some peer may have UPDATEs to be formed.
    unsent: bool,
}

#[derive(Debug)]
struct Peer {
    config: PeerConfig,
    fsm: Fsm,
    links: [Option<Link>; 2],
    /// Valid while the session is Established.
    session: Option<Session>,
    /// With route target membership negotiated, while the session is Established.
    constrained: Option<Constrained>,
    /// Which family is ignored and why, after an error that could not be confined to less.
    disabled: Option<String>,
}

/// A session whose VPN routes are those that the peer asks for.
#[derive(Debug)]
struct Constrained {
    constraint: Constraint,
    /// Memberships have come or gone since the constraint was worked out.
    stale: bool,
    /// VPN routes wait for the end of the peer's memberships, but not for ever.
    held_until: Option<Instant>,
}

/// A connection as this side sees it.
#[derive(Debug)]
struct Link {
    id: ConnectionId,
    /// Own address, once known.
    local: Option<IpAddr>,
    /// Octets of an incomplete message.
    received: Vec<u8>,
    /// Octets handed out and not reported as sent.
    in_flight: usize,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    way: Direction,
    agreed: Negotiated,
    decode: DecodeContext,
    cursors: [Cursor; Family::ALL.len()],
}

impl Speaker {
    /// A speaker without peers or routes.
    pub fn new(config: SpeakerConfig) -> Speaker {
        let rib = Rib::new(config.asn, config.router_id);
        Speaker {
            config,
            peers: Vec::new(),
            by_address: HashMap::new(),
            connections: HashMap::new(),
            last_connection: 0,
            interner: Interner::default(),
            rib,
            own: std::array::from_fn(|_| Log::default()),
            imports: BTreeSet::new(),
            actions: VecDeque::new(),
            unsent: false,
        }
    }

    /// The whole set of wanted peers; unchanged ones are not touched. Of several with one address
    /// the last counts.
    pub fn set_peers(&mut self, wanted: Vec<PeerConfig>, now: Instant) {
        let mut new: HashMap<IpAddr, PeerConfig> =
            wanted.into_iter().map(|config| (config.address, config)).collect();
        for index in 0..self.peers.len() {
            let Some(Some(peer)) = self.peers.get(index) else { continue };
            let why = match new.get(&peer.config.address) {
                Some(same) if *same == peer.config => {
                    let address = peer.config.address;
                    new.remove(&address);
                    continue;
                }
                Some(_) => notification::OTHER_CONFIGURATION_CHANGE,
                None => notification::PEER_DECONFIGURED,
            };
            self.remove_peer(index as PeerIndex, Notification::new(notification::CEASE, why), now);
        }
        let mut new: Vec<PeerConfig> = new.into_values().collect();
        new.sort_unstable_by_key(|config| config.address);
        for config in new {
            self.add_peer(config, now);
        }
    }

    /// Closes every session with Cease and forgets all peers.
    pub fn shutdown(&mut self, now: Instant) {
        for index in 0..self.peers.len() {
            let why = Notification::new(notification::CEASE, notification::ADMIN_SHUTDOWN);
            self.remove_peer(index as PeerIndex, why, now);
        }
    }

    /// Advertises a route of our own, in place of one with the same key.
    ///
    /// # Errors
    /// See [`OriginateError`]; nothing changes then.
    pub fn originate(&mut self, route: OriginatedRoute) -> Result<(), OriginateError> {
        let (route, path) = self.own_path(route)?;
        self.own[route.family().index()].set(route, path);
        self.unsent = true;
        Ok(())
    }

    /// Takes a route of our own back.
    pub fn withdraw(&mut self, route: Route) {
        let route = route.trunc();
        if self.own[route.family().index()].remove(route) {
            self.unsent = true;
            self.forget();
        }
    }

    /// The whole set of route targets that VRFs import: peers with route target membership are
    /// asked for these VPN routes and no others (RFC 4684). Changes reach them as routes do.
    pub fn set_imports(&mut self, targets: BTreeSet<RouteTarget>) {
        let membership = |target| Route::Rtc(Membership::of(self.config.asn, target));
        let gone: Vec<_> = self.imports.difference(&targets).copied().map(membership).collect();
        let new: Vec<_> = targets.difference(&self.imports).copied().map(membership).collect();
        // Each session puts its own address in place of the next hop.
        let next_hop = self.config.router_id.into();
        let attributes = self.interner.intern(PathAttributes::new(next_hop));
        let log = &mut self.own[Family::Rtc.index()];
        for route in gone {
            log.remove(route);
        }
        for route in new {
            let attributes = Arc::clone(&attributes);
            log.set(route, OwnPath { binding: Binding::None, attributes });
        }
        self.imports = targets;
        self.unsent = true;
        self.forget();
    }

    /// Asks a peer for all its routes of a family (RFC 2918). False when its session is down or
    /// has no such family or no route refresh.
    pub fn refresh(&mut self, address: IpAddr, family: Family) -> bool {
        let Some(index) = self.by_address.get(&address).copied() else { return false };
        let Some(session) = self.peer(index).and_then(|peer| peer.session) else { return false };
        let able = session.agreed.refresh && session.decode.families.contains(family);
        if able {
            let mut bytes = Vec::new();
            crate::wire::RouteRefresh::request(family).encode(&mut bytes);
            self.send(index, session.way, bytes);
        }
        able
    }

    /// Whether a peer of this address is configured.
    pub fn has_peer(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// The connection of a peer that is furthest, if there is one.
    pub fn connection_of(&self, address: IpAddr) -> Option<ConnectionId> {
        let peer = self.peer(*self.by_address.get(&address)?)?;
        let session = peer.session.and_then(|session| peer.links[session.way as usize].as_ref());
        session.or(peer.links.iter().flatten().next()).map(|link| link.id)
    }

    /// What a connection that somebody has opened to us needs before it may be [`accepted`].
    /// `None`: close it at once, it is not welcome.
    ///
    /// [`accepted`]: Speaker::accepted
    pub fn welcome(&self, local: SocketAddr, remote: SocketAddr) -> Option<Protection> {
        let peer = self.peer(self.expected(local, remote)?)?;
        Some(self.protection(&peer.config))
    }

    /// Somebody has connected to us, and the connection has the protection that it needs: its name
    /// from now on. `None`: close it at once, it is not welcome.
    pub fn accepted(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<ConnectionId> {
        let index = self.expected(local, remote)?;
        let connection = self.link(index, Direction::In, Some(local.ip().to_canonical()))?;
        self.event(index, Event::Opened(Direction::In), now);
        Some(connection)
    }

    /// A connection was closed because it lacks the protection that it needs. `why` is for a person
    /// to read.
    pub fn refused(&mut self, remote: SocketAddr, why: &str, now: Instant) {
        if let Some(index) = self.by_address.get(&remote.ip().to_canonical()).copied() {
            self.event(index, Event::Refused(why), now);
        }
    }

    /// A dialled connection stands; `local` is its own address.
    pub fn connected(&mut self, connection: ConnectionId, local: IpAddr, now: Instant) {
        let Some((index, way)) = self.connections.get(&connection).copied() else { return };
        if let Some(link) = self.link_mut(index, way) {
            link.local = Some(local.to_canonical());
            self.event(index, Event::Opened(way), now);
        }
    }

    /// A connection ended, or could not be dialled. `why` is for a person to read.
    pub fn closed(&mut self, connection: ConnectionId, why: &str, now: Instant) {
        let Some((index, way)) = self.connections.remove(&connection) else { return };
        self.unlink(index, way);
        self.event(index, Event::Closed(way, why), now);
    }

    /// The connection has taken `count` octets.
    pub fn sent(&mut self, connection: ConnectionId, count: usize, now: Instant) {
        let Some((index, way)) = self.connections.get(&connection).copied() else { return };
        if let Some(link) = self.link_mut(index, way) {
            link.in_flight = link.in_flight.saturating_sub(count);
            let more = link.in_flight > 0;
            self.unsent = true;
            self.event(index, Event::Taken(way, more), now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        for index in 0..self.peers.len() as PeerIndex {
            let Some(peer) = self.peer(index) else { continue };
            if peer.next_timeout().is_none_or(|at| at > now) {
                continue;
            }
            if let Some(constrained) = self.peer_mut(index).and_then(|p| p.constrained.as_mut())
                && constrained.held_until.is_some_and(|until| until <= now)
            {
                constrained.held_until = None;
                self.unsent = true;
            }
            self.event(index, Event::Tick, now);
        }
    }

    /// When [`Speaker::tick`] is due; `None` when nothing waits for time.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.peers.iter().flatten().filter_map(Peer::next_timeout).min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() && self.unsent {
            self.form_updates();
        }
        let action = self.actions.pop_front()?;
        if let Action::Send { connection, .. } = &action
            && let Some((index, way)) = self.connections.get(connection).copied()
        {
            self.event(index, Event::Handed(way), now);
        }
        Some(action)
    }

    /// The next news.
    pub fn poll_update(&mut self) -> Option<Update> {
        self.rib.next_update()
    }

    fn add_peer(&mut self, config: PeerConfig, now: Instant) {
        let local = Local {
            asn: self.config.asn,
            router_id: self.config.router_id,
            peer_asn: config.asn,
            hold_time: config.hold_time,
            families: config.families.iter().copied().collect(),
        };
        let index = match self.peers.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.peers.push(None);
                self.peers.len() - 1
            }
        } as PeerIndex;
        let seed = seed(self.config.router_id.to_bits(), config.address);
        let settings =
            fsm::Settings { local, passive: config.passive, send_hold_time: config.send_hold_time };
        let fsm = Fsm::new(settings, seed);
        self.by_address.insert(config.address, index);
        let peer = Peer {
            config,
            fsm,
            links: [None, None],
            session: None,
            constrained: None,
            disabled: None,
        };
        if let Some(place) = self.peers.get_mut(index as usize) {
            *place = Some(peer);
        }
        self.event(index, Event::Start, now);
    }

    fn remove_peer(&mut self, index: PeerIndex, why: Notification, now: Instant) {
        self.event(index, Event::Stop(why), now);
        if let Some(peer) = self.peers.get_mut(index as usize).and_then(Option::take) {
            self.by_address.remove(&peer.config.address);
            for link in peer.links.into_iter().flatten() {
                self.connections.remove(&link.id);
            }
        }
    }

    fn own_path(&mut self, route: OriginatedRoute) -> Result<(Route, OwnPath), OriginateError> {
        let Nlri { route: key, binding } = route.nlri;
        fits(&key, &binding)?;
        // RFC 8950 is not offered, so IPv4 routes cannot have IPv6 next hops.
        let ipv4_only = matches!(key, Route::Ipv4(_) | Route::Vpnv4(..));
        if !usable(route.next_hop) || (ipv4_only && route.next_hop.is_ipv6()) {
            return Err(OriginateError::NextHop);
        }
        let targets = route.route_targets.into_iter().map(ExtCommunity::from);
        let mut ext_communities: Vec<_> = targets.chain(route.ext_communities).collect();
        ext_communities.sort_unstable();
        ext_communities.dedup();
        if ext_communities.len() > MOST_COMMUNITIES {
            return Err(OriginateError::TooLong);
        }
        let attributes = self.interner.intern(PathAttributes {
            med: route.med,
            local_pref: route.local_pref,
            pmsi: route.pmsi.map(Box::new),
            ext_communities,
            ..PathAttributes::new(route.next_hop)
        });
        Ok((key.trunc(), OwnPath { binding, attributes }))
    }

    /// Drops withdrawals of our own routes that every session has been told.
    fn forget(&mut self) {
        for family in Family::ALL {
            let sessions = self.peers.iter().flatten().filter_map(|peer| peer.session);
            let behind = sessions
                .filter(|session| session.agreed.families.contains(family))
                .map(|session| session.cursors[family.index()].behind())
                .min();
            self.own[family.index()].forget(behind);
        }
    }

    fn external(&self, peer: Asn) -> bool {
        peer != self.config.asn
    }

    fn protection(&self, config: &PeerConfig) -> Protection {
        // RFC 4271 leaves it open; single-hop external sessions conventionally use 1.
        let near = (self.external(config.asn) && !config.multihop).then_some(1);
        let (ttl, min_ttl) = match config.min_ttl() {
            // RFC 5082 3: a router takes one from the TTL, and none can add to it.
            Some(least) => (Some(u8::MAX), Some(least)),
            None => (near, None),
        };
        Protection { ttl, min_ttl, password: config.password.clone() }
    }

    /// The peer that may connect to us now in this way.
    fn expected(&self, local: SocketAddr, remote: SocketAddr) -> Option<PeerIndex> {
        let index = *self.by_address.get(&remote.ip().to_canonical())?;
        let peer = self.peer(index)?;
        let local = local.ip().to_canonical();
        let wanted = peer.config.local_address.is_none_or(|wanted| wanted == local);
        (wanted && peer.fsm.accepts()).then_some(index)
    }

    fn peer(&self, index: PeerIndex) -> Option<&Peer> {
        self.peers.get(index as usize)?.as_ref()
    }

    fn peer_mut(&mut self, index: PeerIndex) -> Option<&mut Peer> {
        self.peers.get_mut(index as usize)?.as_mut()
    }

    fn link_mut(&mut self, index: PeerIndex, way: Direction) -> Option<&mut Link> {
        self.peer_mut(index)?.links[way as usize].as_mut()
    }

    /// Gives a connection of a peer its name.
    fn link(
        &mut self,
        index: PeerIndex,
        way: Direction,
        local: Option<IpAddr>,
    ) -> Option<ConnectionId> {
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        let link = Link { id, local, received: Vec::new(), in_flight: 0 };
        self.peer_mut(index)?.links[way as usize] = Some(link);
        self.connections.insert(id, (index, way));
        Some(id)
    }

    fn unlink(&mut self, index: PeerIndex, way: Direction) -> Option<Link> {
        let link = self.peer_mut(index)?.links[way as usize].take()?;
        self.connections.remove(&link.id);
        Some(link)
    }
}

/// Whether a route of our own has beside it what its family wants there.
fn fits(route: &Route, binding: &Binding) -> Result<(), OriginateError> {
    match (route, binding) {
        (Route::Rtc(_), _) => Err(OriginateError::Membership),
        (Route::Vpnv4(..) | Route::Vpnv6(..), Binding::Label(label)) if *label > 0xf_ffff => {
            Err(OriginateError::Label)
        }
        (Route::Vpnv4(..) | Route::Vpnv6(..), Binding::Label(_))
        | (Route::Ipv4(_) | Route::Ipv6(_), Binding::None) => Ok(()),
        (Route::Evpn(_, route), binding) if route.has_labels() == binding.evpn().is_some() => {
            Ok(())
        }
        _ => Err(OriginateError::Binding),
    }
}

impl Peer {
    fn next_timeout(&self) -> Option<Instant> {
        let held = self.constrained.as_ref().and_then(|constrained| constrained.held_until);
        self.fsm.next_timeout().into_iter().chain(held).min()
    }
}

/// Differs from peer to peer and from router to router, so that their timers do.
fn seed(router_id: u32, peer: IpAddr) -> u64 {
    let peer = match peer {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    };
    let mixed = (peer as u64 ^ (peer >> 64) as u64) << 32 | u64::from(router_id);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
