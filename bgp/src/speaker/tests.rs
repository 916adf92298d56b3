//! Speakers against each other in memory, and against hand-written octets.

mod families;
mod membership;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::types::RouteTarget;
use crate::wire::{
    self, AsPath, Binding, DecodeContext, EncodeContext, Message, Nlri, Open, RouteRefresh,
    encode_end_of_rib, encode_keepalive, encode_reach, encode_unreach,
};

/// All families in which routes flow without being asked for.
fn unconstrained() -> Vec<Family> {
    Family::ALL.into_iter().filter(|family| *family != Family::Rtc).collect()
}

fn address(id: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, id])
}

fn route(prefix: &str, label: u32) -> OriginatedRoute {
    let rd = "64512:1".parse().unwrap();
    let key = Route::to(Some(rd), prefix.parse().unwrap());
    OriginatedRoute {
        route_targets: vec!["target:64514:1".parse().unwrap()],
        ext_communities: vec![ExtCommunity::encapsulation(13)],
        ..OriginatedRoute::new(Nlri::labelled(key, label), IpAddr::from([192, 0, 2, 1]))
    }
}

fn speaker(id: u8, asn: u32) -> Speaker {
    let IpAddr::V4(router_id) = address(id) else { unreachable!() };
    Speaker::new(SpeakerConfig { asn: Asn(asn), router_id })
}

/// Two speakers, a wire between them, and a clock.
struct World {
    now: Instant,
    ends: [Speaker; 2],
    /// What each connection of an end is called at the other.
    names: [HashMap<ConnectionId, ConnectionId>; 2],
    news: [Vec<Update>; 2],
    /// NOTIFICATIONs sent by each end.
    notified: [Vec<(u8, u8)>; 2],
    /// Octets vanish, connections stand.
    silent: bool,
    /// Nobody can connect.
    cut: bool,
}

impl World {
    fn new(asns: [u32; 2]) -> World {
        World {
            now: Instant::now(),
            ends: [speaker(1, asns[0]), speaker(2, asns[1])],
            names: Default::default(),
            news: Default::default(),
            notified: Default::default(),
            silent: false,
            cut: false,
        }
    }

    fn dialling(asns: [u32; 2]) -> World {
        World::with(asns, &unconstrained())
    }

    /// A world whose speakers both dial.
    fn with(asns: [u32; 2], families: &[Family]) -> World {
        let mut world = World::new(asns);
        for end in 0..2 {
            let peer = PeerConfig {
                families: families.to_vec(),
                ..PeerConfig::new(address(2 - end as u8), Asn(asns[1 - end]))
            };
            world.ends[end].set_peers(vec![peer], world.now);
        }
        world
    }

    fn run(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for end in 0..2 {
                // One action at a time, so that both ends take turns.
                if let Some(action) = self.ends[end].poll_action(self.now) {
                    busy = true;
                    self.act(end, action);
                }
                while let Some(update) = self.ends[end].poll_update() {
                    self.news[end].push(update);
                }
            }
        }
    }

    fn act(&mut self, end: usize, action: Action) {
        let other = 1 - end;
        match action {
            Action::Dial { connection, remote, .. } => {
                assert_eq!(remote, SocketAddr::new(address(other as u8 + 1), 179));
                let from = SocketAddr::new(address(end as u8 + 1), 40000);
                let accepted =
                    if self.cut { None } else { self.ends[other].accepted(remote, from, self.now) };
                match accepted {
                    Some(accepted) => {
                        self.names[end].insert(connection, accepted);
                        self.names[other].insert(accepted, connection);
                        self.ends[end].connected(connection, from.ip(), self.now);
                    }
                    None => self.ends[end].closed(connection, "refused", self.now),
                }
            }
            Action::Send { connection, bytes } => {
                if bytes[18] == wire::NOTIFICATION {
                    self.notified[end].push((bytes[19], bytes[20]));
                }
                self.ends[end].sent(connection, bytes.len(), self.now);
                if let Some(name) = self.names[end].get(&connection).filter(|_| !self.silent) {
                    // In pieces that respect no boundary.
                    for piece in bytes.chunks(7) {
                        self.ends[other].received(*name, piece, self.now);
                    }
                }
            }
            Action::Close { connection } => {
                if let Some(name) = self.names[end].remove(&connection) {
                    if self.silent {
                        return;
                    }
                    self.names[other].remove(&name);
                    self.ends[other].closed(name, "closed by the peer", self.now);
                }
            }
        }
    }

    /// Lets time pass in steps of a second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            for end in &mut self.ends {
                end.tick(self.now);
            }
            self.run();
        }
    }

    fn state(&self, end: usize) -> PeerSummary {
        self.ends[end].summary(self.now).remove(0)
    }

    fn best(&self, end: usize) -> Vec<RouteView> {
        let query = RouteQuery { family: Family::Vpnv4, which: Which::Best, peer: None };
        self.ends[end].routes(&query)
    }
}

#[test]
fn a_session_comes_up_and_routes_flow_both_ways() {
    let mut world = World::dialling([64512, 64512]);
    world.ends[0].originate(route("10.1.0.0/16", 100)).unwrap();
    world.ends[1].originate(route("10.2.0.0/16", 200)).unwrap();
    world.run();
    for end in 0..2 {
        let summary = world.state(end);
        assert_eq!(summary.state, SessionState::Established, "{summary:?}");
        assert_eq!((summary.received, summary.accepted, summary.advertised), (1, 1, 1));
        assert_eq!(summary.families, unconstrained());
        let peer = address(2 - end as u8);
        // Up, the route, and the end of both families, the empty one too.
        assert_eq!(world.news[end][0], Update::SessionUp { peer });
        for family in unconstrained() {
            assert!(world.news[end].contains(&Update::EndOfRib { peer, family }));
        }
    }
    let best = world.best(1);
    assert_eq!((best[0].labels.as_slice(), best[0].reason.as_str()), (&[100][..], "only path"));
    assert_eq!((best[0].local_pref, best[0].as_path.as_str()), (Some(100), ""));
    assert_eq!(best[0].route_targets, ["target:64514:1".parse::<RouteTarget>().unwrap()]);
    assert_eq!(best[0].encapsulations, [13]);

    // Replaced, withdrawn, and withdrawn again.
    world.news[1].clear();
    world.ends[0].originate(route("10.1.0.0/16", 101)).unwrap();
    world.run();
    assert!(matches!(&world.news[1][..], [Update::Best { path: Some(path), .. }]
        if path.binding == Binding::Label(101) && path.peer == address(1)));
    for _ in 0..2 {
        world.ends[0].withdraw(route("10.1.0.0/16", 0).nlri.route);
        world.run();
    }
    assert!(matches!(&world.news[1][1..], [Update::Best { path: None, .. }]));
    assert_eq!((world.state(1).received, world.state(0).advertised), (0, 0));
}

#[test]
fn external_sessions_prepend_and_keep_third_party_next_hops() {
    let mut world = World::dialling([64513, 64512]);
    let third = OriginatedRoute {
        next_hop: IpAddr::from([203, 0, 113, 7]),
        local_pref: Some(500),
        med: Some(9),
        ..route("10.1.0.0/16", 100)
    };
    world.ends[0].originate(third).unwrap();
    world.run();
    let best = world.best(1).remove(0);
    assert_eq!(best.next_hop, IpAddr::from([203, 0, 113, 7]));
    assert_eq!((best.as_path.as_str(), best.local_pref, best.med), ("64513", None, Some(9)));
    let query = RouteQuery { family: Family::Vpnv4, which: Which::Advertised, peer: None };
    assert_eq!(world.ends[0].routes(&query)[0].as_path, "64513");
}

#[test]
fn keepalives_hold_a_session_and_silence_ends_it() {
    let mut world = World::dialling([64512, 64512]);
    world.ends[0].originate(route("10.1.0.0/16", 100)).unwrap();
    world.run();
    world.pass(600);
    assert_eq!(world.state(1).uptime_seconds, 600);
    world.news[1].clear();
    (world.silent, world.cut) = (true, true);
    world.pass(95);
    assert!(world.notified[1].contains(&(4, 0)));
    let [Update::SessionDown { peer, reason }, Update::Best { path: None, .. }] =
        &world.news[1][..]
    else {
        panic!("{:?}", world.news[1])
    };
    assert_eq!(*peer, address(1));
    assert!(reason.contains("hold timer expired"), "{reason}");
    assert!(world.best(1).is_empty() && world.state(1).received == 0);

    // However long the wire is gone, the session returns soon after it does.
    world.pass(3600);
    (world.silent, world.cut) = (false, false);
    world.pass(31);
    assert_eq!(world.state(0).state, SessionState::Established);
    assert_eq!(world.best(1).len(), 1);
}

#[test]
fn a_lost_connection_takes_its_routes_at_once() {
    let mut world = World::dialling([64512, 64512]);
    for n in 0..50 {
        world.ends[0].originate(route(&format!("10.1.{n}.0/24"), 100 + n)).unwrap();
    }
    world.run();
    let connection = world.ends[1].connection_of(address(1)).unwrap();
    let other = world.names[1].remove(&connection).unwrap();
    world.names[0].remove(&other);
    world.news[1].clear();
    world.ends[1].closed(connection, "reset", world.now);
    world.ends[0].closed(other, "reset", world.now);
    assert!(world.best(1).is_empty());
    world.run();
    let gone = |update: &&Update| matches!(update, Update::Best { path: None, .. });
    assert_eq!(world.news[1].iter().filter(gone).count(), 50);
    world.pass(3);
    assert_eq!(world.best(1).len(), 50);
}

#[test]
fn both_ends_keep_the_same_one_of_two_connections() {
    for asns in [[64512, 64512], [64513, 64512]] {
        let mut world = World::dialling(asns);
        // Both dial before either has heard of the other.
        world.run();
        world.pass(5);
        assert_eq!(world.names[0].len(), 1, "one connection is left");
        assert_eq!(world.state(0).state, SessionState::Established);
        assert_eq!(world.state(1).state, SessionState::Established);
        assert!(world.notified.iter().flatten().all(|code| *code == (6, 7)));
        assert!(!world.news.iter().flatten().any(|u| matches!(u, Update::SessionDown { .. })));
    }
}

#[test]
fn a_new_set_of_peers_touches_only_what_changed() {
    let mut world = World::dialling([64512, 64512]);
    world.run();
    let same = PeerConfig { families: unconstrained(), ..PeerConfig::new(address(2), Asn(64512)) };
    let other = PeerConfig { passive: true, ..PeerConfig::new(address(9), Asn(64512)) };
    world.ends[0].set_peers(vec![same.clone(), other], world.now);
    world.run();
    assert!(world.notified[0].iter().all(|code| *code == (6, 7)));
    assert_eq!(world.ends[0].summary(world.now).len(), 2);
    world.notified[0].clear();

    let changed = PeerConfig { hold_time: 30, ..same };
    world.ends[0].set_peers(vec![changed], world.now);
    world.run();
    assert_eq!(world.notified[0][0], (6, 6));
    world.pass(5);
    assert_eq!(world.state(0).state, SessionState::Established);
    world.notified[0].clear();
    world.ends[0].set_peers(Vec::new(), world.now);
    world.run();
    assert_eq!(world.notified[0], [(6, 3)]);
    assert!(!world.ends[0].has_peer(address(2)));
    assert_eq!(world.ends[0].next_timeout(), None);
    let down = Update::SessionDown {
        peer: address(1),
        reason: "peer sent NOTIFICATION: peer de-configured (6/3)".to_owned(),
    };
    assert!(world.news[1].contains(&down));
}

/// The speaker's address on sessions with puppets, which is not its identifier.
const OWN: u8 = 99;

/// A speaker and peers that are nothing but octets.
struct Puppets {
    speaker: Speaker,
    now: Instant,
    /// What the speaker sent to each, not yet read.
    out: HashMap<ConnectionId, Vec<u8>>,
    closed: Vec<ConnectionId>,
}

impl Puppets {
    fn new(peers: &[(u8, u32)]) -> Puppets {
        Puppets::with(peers, &unconstrained())
    }

    /// The puppets offer all families, and the speaker these.
    fn with(peers: &[(u8, u32)], families: &[Family]) -> Puppets {
        let mut speaker = speaker(1, 64512);
        let now = Instant::now();
        let config = |&(id, asn): &(u8, u32)| PeerConfig {
            passive: true,
            families: families.to_vec(),
            ..PeerConfig::new(address(id), Asn(asn))
        };
        speaker.set_peers(peers.iter().map(config).collect(), now);
        Puppets { speaker, now, out: HashMap::new(), closed: Vec::new() }
    }

    fn connect(&mut self, id: u8) -> ConnectionId {
        let (local, remote) =
            (SocketAddr::new(address(OWN), 179), SocketAddr::new(address(id), 3000));
        self.speaker.accepted(local, remote, self.now).expect("a welcome peer")
    }

    fn open(id: u8, asn: u32) -> Vec<u8> {
        let IpAddr::V4(router_id) = address(id) else { unreachable!() };
        let local = Local {
            asn: Asn(asn),
            router_id,
            peer_asn: Asn(64512),
            hold_time: 90,
            families: Family::ALL.into_iter().collect(),
        };
        let mut bytes = Vec::new();
        Open::offer(&local).encode(&mut bytes);
        bytes
    }

    fn establish(&mut self, id: u8, asn: u32) -> ConnectionId {
        let connection = self.connect(id);
        let mut bytes = Puppets::open(id, asn);
        encode_keepalive(&mut bytes);
        self.give(connection, &bytes);
        self.take(connection);
        connection
    }

    fn give(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.speaker.received(connection, bytes, self.now);
    }

    fn pump(&mut self, acknowledge: bool) {
        while let Some(action) = self.speaker.poll_action(self.now) {
            match action {
                Action::Send { connection, bytes } => {
                    if acknowledge {
                        self.speaker.sent(connection, bytes.len(), self.now);
                    }
                    self.out.entry(connection).or_default().extend(bytes);
                }
                Action::Close { connection } => self.closed.push(connection),
                Action::Dial { .. } => panic!("passive peers are not dialled"),
            }
        }
    }

    /// The messages sent to a connection since the last time.
    fn take(&mut self, connection: ConnectionId) -> Vec<Message> {
        self.pump(true);
        let bytes = self.out.remove(&connection).unwrap_or_default();
        let context = DecodeContext {
            four_octet_as: true,
            internal: true,
            peer_asn: Asn(64512),
            families: Family::ALL.into_iter().collect(),
        };
        let (mut rest, mut messages) = (bytes.as_slice(), Vec::new());
        while let Some(length) = wire::frame(rest).unwrap() {
            let (one, more) = rest.split_at(length);
            messages.push(Message::decode(one, &context).unwrap());
            rest = more;
        }
        messages
    }

    fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.speaker.poll_update()).collect()
    }
}

fn reach(attributes: &PathAttributes, prefix: &str, label: u32) -> Vec<u8> {
    let key = Route::to(Some("64512:9".parse().unwrap()), prefix.parse().unwrap());
    let routes = [Nlri::labelled(key, label)];
    let mut bytes = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    encode_reach(Family::Vpnv4, attributes, &routes, wide, &mut bytes).unwrap();
    bytes
}

fn path(next_hop: u8, asns: &[u32]) -> PathAttributes {
    let asns: Vec<Asn> = asns.iter().copied().map(Asn).collect();
    PathAttributes { as_path: AsPath::sequence(&asns), ..PathAttributes::new(address(next_hop)) }
}

#[test]
fn every_malformed_message_gets_its_notification_and_leaves_no_route() {
    let marker = [0xff; 16];
    let message = |tail: &[u8]| [&marker[..], tail].concat();
    let cases: [(&str, Vec<u8>, (u8, u8)); 9] = [
        ("marker", vec![0; 19], (1, 1)),
        ("length", message(&[0, 18, 4]), (1, 2)),
        ("too long", message(&[0x10, 1, 2]), (1, 2)),
        ("type", message(&[0, 19, 9]), (1, 3)),
        ("attribute lengths", message(&[0, 23, 2, 0, 9, 0, 0]), (3, 1)),
        ("unknown well-known", message(&[0, 26, 2, 0, 0, 0, 3, 0x40, 99, 0]), (3, 2)),
        ("short MP_REACH", message(&[0, 28, 2, 0, 0, 0, 5, 0x80, 14, 2, 0, 1]), (3, 9)),
        ("prefix of 33 bits", message(&[0, 24, 2, 0, 1, 33, 0, 0]), (3, 10)),
        ("second OPEN", Puppets::open(2, 64512), (5, 3)),
    ];
    let mut rig = Puppets::new(&[(2, 64512)]);
    for (what, bytes, code) in cases {
        let connection = rig.establish(2, 64512);
        rig.give(connection, &reach(&path(2, &[]), "10.0.0.0/8", 16));
        assert_eq!(rig.speaker.summary(rig.now)[0].received, 1, "{what}");
        rig.updates();
        rig.give(connection, &bytes);
        let messages = rig.take(connection);
        let Some(Message::Notification(why)) = messages.last() else {
            panic!("{what}: {messages:?}")
        };
        assert_eq!((why.code, why.subcode), code, "{what}");
        assert_eq!(rig.closed.last(), Some(&connection), "{what}");
        let summary = rig.speaker.summary(rig.now).remove(0);
        assert_eq!((summary.received, summary.state), (0, SessionState::Active), "{what}");
        assert!(summary.last_error.unwrap().contains("we sent NOTIFICATION"), "{what}");
        let news = rig.updates();
        assert!(matches!(&news[..], [Update::SessionDown { .. }, Update::Best { path: None, .. }]));
    }
    // A malformed attribute costs its routes, not the session.
    let connection = rig.establish(2, 64512);
    let good = reach(&path(2, &[]), "10.0.0.0/8", 16);
    rig.give(connection, &good);
    let mut bad = good.clone();
    let origin = bad.windows(4).position(|w| w == [0x40, 1, 1, 0]).unwrap();
    bad[origin + 3] = 7;
    rig.give(connection, &bad);
    let summary = rig.speaker.summary(rig.now).remove(0);
    assert_eq!((summary.received, summary.state), (0, SessionState::Established));
}

#[test]
fn loops_are_kept_but_not_used() {
    let mut rig = Puppets::new(&[(2, 64512), (3, 64999)]);
    let inside = rig.establish(2, 64512);
    let outside = rig.establish(3, 64999);
    let ours = Some(Ipv4Addr::new(10, 0, 0, 1));
    rig.give(outside, &reach(&path(3, &[64999, 64512]), "10.1.0.0/16", 16));
    rig.give(
        inside,
        &reach(&PathAttributes { originator_id: ours, ..path(2, &[]) }, "10.2.0.0/16", 16),
    );
    let cluster = PathAttributes { cluster_list: ours.into_iter().collect(), ..path(2, &[]) };
    rig.give(inside, &reach(&cluster, "10.3.0.0/16", 16));
    rig.give(inside, &reach(&path(OWN, &[]), "10.4.0.0/16", 16));
    let summary = rig.speaker.summary(rig.now);
    assert_eq!((summary[0].received, summary[0].accepted), (3, 0));
    assert_eq!((summary[1].received, summary[1].accepted), (1, 0));
    let query = RouteQuery { family: Family::Vpnv4, which: Which::Received, peer: None };
    let reasons: Vec<String> =
        rig.speaker.routes(&query).into_iter().map(|view| view.reason).collect();
    assert_eq!(
        reasons,
        [
            "not usable: own AS in the AS path",
            "not usable: own router id as originator",
            "not usable: own router id in the cluster list",
            "not usable: own address as next hop",
        ]
    );
    assert!(!rig.updates().iter().any(|update| matches!(update, Update::Best { .. })));
}

#[test]
fn the_best_of_two_paths_changes_hands_as_they_come_and_go() {
    let mut rig = Puppets::new(&[(2, 64512), (3, 64512)]);
    let (two, three) = (rig.establish(2, 64512), rig.establish(3, 64512));
    rig.updates();
    let best = |rig: &mut Puppets| match rig.updates().pop() {
        Some(Update::Best { path: Some(path), .. }) => Some((path.peer, path.binding.label()?)),
        Some(Update::Best { path: None, .. }) => None,
        other => panic!("{other:?}"),
    };
    let pref = |pref| PathAttributes { local_pref: Some(pref), ..path(7, &[]) };
    rig.give(three, &reach(&pref(100), "10.1.0.0/16", 33));
    assert_eq!(best(&mut rig), Some((address(3), 33)));
    rig.give(two, &reach(&pref(200), "10.1.0.0/16", 22));
    assert_eq!(best(&mut rig), Some((address(2), 22)));
    // A change of the loser is no news, nor is the same again.
    rig.give(three, &reach(&pref(150), "10.1.0.0/16", 34));
    rig.give(two, &reach(&pref(200), "10.1.0.0/16", 22));
    assert_eq!(rig.updates(), []);
    let query =
        RouteQuery { family: Family::Vpnv4, which: Which::Received, peer: Some(address(3)) };
    let view = rig.speaker.routes(&query).remove(0);
    assert_eq!(view.reason, "another path is better: highest local preference");
    // Down and up between two looks: only the last word is heard.
    let mut gone = Vec::new();
    encode_unreach(Family::Vpnv4, &[view.route], &mut gone);
    rig.give(two, &gone);
    rig.give(two, &reach(&pref(120), "10.1.0.0/16", 23));
    let news = rig.updates();
    assert!(
        matches!(&news[..], [Update::Best { path: Some(path), .. }] if path.binding == Binding::Label(34))
    );
    rig.speaker.closed(three, "reset", rig.now);
    assert_eq!(best(&mut rig), Some((address(2), 23)));
    rig.give(two, &gone);
    assert_eq!(best(&mut rig), None);
}

#[test]
fn end_of_rib_follows_the_routes_before_it() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    let connection = rig.establish(2, 64512);
    let mut bytes = reach(&path(2, &[]), "10.1.0.0/16", 16);
    encode_end_of_rib(Family::Vpnv4, &mut bytes);
    bytes.extend(reach(&path(2, &[]), "10.1.0.0/16", 17));
    rig.give(connection, &bytes);
    let news = rig.updates();
    assert!(matches!(&news[1..], [Update::Best { path: Some(path), .. }, Update::EndOfRib { .. }]
        if path.binding == Binding::Label(17)));
}

#[test]
fn a_refresh_sends_everything_again() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    rig.speaker.originate(route("10.1.0.0/16", 100)).unwrap();
    let connection = rig.establish(2, 64512);
    let mut bytes = Vec::new();
    RouteRefresh::request(Family::Vpnv4).encode(&mut bytes);
    // A mark of RFC 7313, which we did not offer, is no request.
    RouteRefresh { subtype: 1, ..RouteRefresh::request(Family::Vpnv4) }.encode(&mut bytes);
    RouteRefresh { afi: 25, subtype: 0, safi: 71 }.encode(&mut bytes);
    rig.give(connection, &bytes);
    let messages = rig.take(connection);
    assert!(matches!(&messages[..], [Message::Update(update)] if update.reach.len() == 1));
    assert!(rig.speaker.refresh(address(2), Family::Vpnv4));
    let asked = rig.take(connection);
    assert_eq!(asked, [Message::RouteRefresh(RouteRefresh::request(Family::Vpnv4))]);
    assert!(!rig.speaker.refresh(address(3), Family::Vpnv4));
}

#[test]
fn a_peer_that_takes_nothing_costs_little_and_is_closed_in_the_end() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    for n in 0..60_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let mut route = route(&format!("10.{a}.{b}.{c}/32"), 16 + n);
        route.med = Some(n % 300);
        rig.speaker.originate(route).unwrap();
    }
    let connection = rig.connect(2);
    let mut hello = Puppets::open(2, 64512);
    encode_keepalive(&mut hello);
    rig.give(connection, &hello);
    rig.pump(false);
    let queued = rig.out[&connection].len();
    assert!((SEND_WINDOW..2 * SEND_WINDOW).contains(&queued), "{queued}");
    // It talks, but does not listen.
    let mut keepalive = Vec::new();
    encode_keepalive(&mut keepalive);
    while rig.closed.is_empty() {
        rig.now += Duration::from_secs(20);
        rig.give(connection, &keepalive);
        rig.speaker.tick(rig.now);
        rig.pump(false);
    }
    let error = rig.speaker.summary(rig.now).remove(0).last_error.unwrap();
    assert!(error.contains("send hold timer expired (8/0)"), "{error}");

    // One that listens gets it all, in few messages.
    let connection = rig.connect(2);
    rig.give(connection, &hello);
    let messages = rig.take(connection);
    let routes = |message: &Message| match message {
        Message::Update(update) => update.reach.iter().map(|reach| reach.routes.len()).sum(),
        _ => 0,
    };
    assert_eq!(messages.iter().map(routes).sum::<usize>(), 60_000);
    assert_eq!(rig.speaker.summary(rig.now)[0].advertised, 60_000);
}

#[test]
fn a_peer_that_stops_reading_loses_its_session_and_is_counted() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    let connection = rig.establish(2, 64512);
    let mut keepalive = Vec::new();
    encode_keepalive(&mut keepalive);
    rig.speaker.originate(route("10.1.0.0/16", 16)).unwrap();
    let end = rig.now + crate::fsm::SEND_HOLD_TIME;
    while rig.now < end {
        assert_eq!(rig.speaker.summary(rig.now)[0].state, SessionState::Established);
        rig.pump(false);
        rig.now = (rig.now + Duration::from_secs(20)).min(end);
        rig.give(connection, &keepalive);
        rig.speaker.tick(rig.now);
    }
    rig.pump(false);
    let mut goodbye = Vec::new();
    Notification::new(notification::SEND_HOLD_TIMER, 0).encode(&mut goodbye);
    assert!(rig.out[&connection].ends_with(&goodbye));
    assert_eq!(rig.closed, [connection]);
    let row = rig.speaker.summary(rig.now).remove(0);
    let why = "we sent NOTIFICATION: send hold timer expired (8/0)";
    assert_eq!((row.last_error.as_deref(), row.send_hold_expired), (Some(why), 1));
}

#[test]
fn only_configured_addresses_are_welcome() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    let bound = PeerConfig {
        passive: true,
        local_address: Some(address(1)),
        ..PeerConfig::new(address(3), Asn(64999))
    };
    rig.speaker.set_peers(vec![bound], rig.now);
    let mut accepted = |local: u8, remote: u8| {
        let (local, remote) =
            (SocketAddr::new(address(local), 179), SocketAddr::new(address(remote), 3000));
        let welcome = rig.speaker.welcome(local, remote);
        let accepted = rig.speaker.accepted(local, remote, rig.now);
        assert_eq!(welcome.is_some(), accepted.is_some());
        welcome
    };
    assert_eq!(accepted(1, 2), None, "no longer configured");
    assert_eq!(accepted(9, 3), None, "another own address");
    let welcome = accepted(1, 3).expect("welcome");
    assert_eq!(welcome.ttl, Some(1), "external and not multihop");
    assert_eq!(accepted(1, 3), None, "one connection of the peer at a time");
}

#[test]
fn ttl_security_holds_for_both_directions_and_says_why_nothing_comes() {
    for (hops, least) in [(1, 255), (2, 254), (254, 2)] {
        let want = Protection { ttl: Some(255), min_ttl: Some(least), password: None };
        let mut speaker = speaker(1, 64512);
        let now = Instant::now();
        // AS 64999: external, which would have TTL 1.
        let peer =
            PeerConfig { ttl_security: Some(hops), ..PeerConfig::new(address(2), Asn(64999)) };
        speaker.set_peers(vec![peer], now);
        let Some(Action::Dial { protection, .. }) = speaker.poll_action(now) else {
            panic!("it dials")
        };
        assert_eq!(protection, want);
        let (local, remote) = (SocketAddr::new(address(1), 179), SocketAddr::new(address(2), 3000));
        assert_eq!(speaker.welcome(local, remote), Some(want));
        let hint = format!("ttl-security = {hops} hears nothing with a TTL below {least}");
        assert_eq!(speaker.summary(now)[0].hint, Some(hint));
        speaker.refused(remote, "too far", now);
        assert_eq!(speaker.summary(now)[0].last_error.as_deref(), Some("too far"));
    }
}

#[test]
fn routes_that_cannot_be_sent_are_refused() {
    let mut speaker = speaker(1, 64512);
    let good = route("10.1.0.0/16", 16);
    let bad = [
        (
            OriginatedRoute { nlri: Nlri::plain(good.nlri.route), ..good.clone() },
            OriginateError::Binding,
        ),
        (
            OriginatedRoute {
                nlri: Nlri::labelled(Route::to(None, "10.1.0.0/16".parse().unwrap()), 16),
                ..good.clone()
            },
            OriginateError::Binding,
        ),
        (
            OriginatedRoute { nlri: Nlri::labelled(good.nlri.route, 1 << 20), ..good.clone() },
            OriginateError::Label,
        ),
        (
            OriginatedRoute { next_hop: "2001:db8::1".parse().unwrap(), ..good.clone() },
            OriginateError::NextHop,
        ),
        (
            OriginatedRoute { next_hop: "0.0.0.0".parse().unwrap(), ..good.clone() },
            OriginateError::NextHop,
        ),
        (
            OriginatedRoute {
                ext_communities: (0..401).map(ExtCommunity::encapsulation).collect(),
                ..good.clone()
            },
            OriginateError::TooLong,
        ),
    ];
    for (route, why) in bad {
        assert_eq!(speaker.originate(route), Err(why));
    }
    assert_eq!(speaker.originate(good), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_octets_leave_an_established_session_sane(
        octets in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        crate::fuzz::session(&octets);
    }

    /// Sound messages with damage here and there reach further than noise.
    #[test]
    fn damaged_messages_leave_an_established_session_sane(
        choice in any::<u8>(),
        prefixes in proptest::collection::vec((any::<u32>(), 0..=32u8, any::<u8>()), 1..20),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
    ) {
        let mut octets = Vec::new();
        for (network, bits, hop) in prefixes {
            let prefix = ipnet::Ipv4Net::new(Ipv4Addr::from(network), bits).unwrap().trunc();
            let mut attributes = path(hop.max(1), &[64513]);
            attributes.med = Some(u32::from(hop));
            octets.extend(reach(&attributes, &prefix.to_string(), 16));
        }
        for (at, octet) in damage {
            let at = usize::from(at) % octets.len();
            octets[at] = octet;
        }
        octets.insert(0, choice);
        crate::fuzz::session(&octets);
        crate::fuzz::message(&octets[1..]);
    }
}
