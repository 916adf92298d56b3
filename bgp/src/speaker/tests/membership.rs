//! Route target membership: who asks for what, in which order, and what is told.

use super::*;
use crate::types::Membership;

const RTC: Family = Family::Rtc;

fn target(text: &str) -> RouteTarget {
    text.parse().unwrap()
}

fn with_target(prefix: &str, rt: &str) -> OriginatedRoute {
    OriginatedRoute { route_targets: vec![target(rt)], ..route(prefix, 100) }
}

/// The peer wants, or no longer wants, routes with these route targets.
fn asks(wanted: &[&str], unwanted: &[&str]) -> Vec<u8> {
    let route = |rt: &&str| Route::Rtc(Membership::of(Asn(64512), target(rt)));
    let mut bytes = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    let wanted: Vec<Nlri> = wanted.iter().map(route).map(Nlri::plain).collect();
    encode_reach(RTC, &path(2, &[]), &wanted, wide, &mut bytes).unwrap();
    encode_unreach(RTC, &unwanted.iter().map(route).collect::<Vec<_>>(), &mut bytes);
    bytes
}

fn end_of(family: Family) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_end_of_rib(family, &mut bytes);
    bytes
}

/// What was told: `+` and `-` with the route, or the family that is complete.
fn told(rig: &mut Puppets, connection: ConnectionId) -> Vec<String> {
    let mut told = Vec::new();
    for message in rig.take(connection) {
        let Message::Update(update) = message else { continue };
        let gone = update.unreach.iter().flat_map(|unreach| &unreach.routes);
        told.extend(gone.map(|route| format!("-{}", route.destination())));
        let new = update.reach.iter().flat_map(|reach| &reach.routes);
        told.extend(new.map(|nlri| format!("+{}", nlri.route.destination())));
        told.extend(update.end_of_rib.map(|family| family.to_string()));
    }
    told
}

/// A session with every family just Established, and what it was told.
fn constrained(rig: &mut Puppets) -> (ConnectionId, Vec<String>) {
    let connection = rig.connect(2);
    let mut bytes = Puppets::open(2, 64512);
    encode_keepalive(&mut bytes);
    rig.give(connection, &bytes);
    let told = told(rig, connection);
    (connection, told)
}

fn rig() -> Puppets {
    let mut rig = Puppets::with(&[(2, 64512)], &Family::ALL);
    rig.speaker.set_imports(["1:1", "1:2"].map(target).into());
    rig.speaker.originate(with_target("10.1.0.0/16", "1:1")).unwrap();
    rig.speaker.originate(with_target("10.2.0.0/16", "1:2")).unwrap();
    rig.speaker.originate(with_target("2001:db8:1::/48", "1:1")).unwrap();
    rig
}

#[test]
fn memberships_go_first_and_vpn_routes_wait_for_the_peers() {
    let mut rig = rig();
    let (connection, first) = constrained(&mut rig);
    let ours = ["+64512:target:1:1", "+64512:target:1:2", "rtc", "ipv4", "ipv6"];
    assert_eq!(first, ours, "ours, their end, and what is not asked for");
    rig.give(connection, &asks(&["1:1"], &[]));
    assert_eq!(told(&mut rig, connection), [""; 0], "more may come");
    assert_eq!(rig.speaker.summary(rig.now)[0].advertised, 2);
    rig.give(connection, &end_of(RTC));
    let asked = ["+10.1.0.0/16", "vpnv4", "+2001:db8:1::/48", "vpnv6", "evpn"];
    assert_eq!(told(&mut rig, connection), asked);
    assert_eq!(rig.speaker.summary(rig.now)[0].advertised, 4);
    let query = RouteQuery { family: Family::Vpnv4, which: Which::Advertised, peer: None };
    let shown: Vec<_> =
        rig.speaker.routes(&query).iter().map(|view| view.route.destination()).collect();
    assert_eq!(shown, ["10.1.0.0/16"]);
    let query = RouteQuery { family: RTC, which: Which::Advertised, peer: None };
    assert_eq!(rig.speaker.routes(&query)[0].next_hop, address(OWN), "ourselves, on this session");
}

#[test]
fn a_peer_that_never_ends_its_memberships_is_waited_for_half_a_minute() {
    let mut rig = rig();
    let (connection, _) = constrained(&mut rig);
    rig.give(connection, &asks(&["1:2"], &[]));
    rig.now += Duration::from_secs(29);
    rig.speaker.tick(rig.now);
    assert_eq!(told(&mut rig, connection), [""; 0]);
    assert!(rig.speaker.next_timeout().unwrap() <= rig.now + Duration::from_secs(1));
    rig.now += Duration::from_secs(1);
    rig.speaker.tick(rig.now);
    assert_eq!(told(&mut rig, connection), ["+10.2.0.0/16", "vpnv4", "vpnv6", "evpn"]);
}

/// Without the capability of RFC 4724 there is no End-of-RIB to wait for: gobgpd sends none.
#[test]
fn a_peer_that_marks_no_end_is_told_as_it_asks() {
    let mut rig = rig();
    let connection = rig.connect(2);
    let bytes = Puppets::open(2, 64512);
    let Ok(Message::Open(mut open)) = Message::decode(&bytes, &DecodeContext::default()) else {
        panic!("an OPEN")
    };
    open.capabilities.retain(|c| !matches!(c, wire::Capability::Other { code: 64, .. }));
    let mut bytes = Vec::new();
    open.encode(&mut bytes);
    encode_keepalive(&mut bytes);
    rig.give(connection, &bytes);
    let first = told(&mut rig, connection);
    assert_eq!(first[2..], ["rtc", "ipv4", "ipv6", "vpnv4", "vpnv6", "evpn"]);
    rig.give(connection, &asks(&["1:2"], &[]));
    assert_eq!(told(&mut rig, connection), ["+10.2.0.0/16"]);
}

#[test]
fn other_memberships_bring_and_take_just_the_difference() {
    let mut rig = rig();
    let (connection, _) = constrained(&mut rig);
    rig.give(connection, &[asks(&["1:1"], &[]), end_of(RTC)].concat());
    told(&mut rig, connection);
    rig.give(connection, &asks(&["1:2", "1:3"], &[]));
    assert_eq!(told(&mut rig, connection), ["+10.2.0.0/16"]);
    // The same again, and one that no route has, are no change.
    rig.give(connection, &asks(&["1:2"], &["1:3"]));
    assert_eq!(told(&mut rig, connection), [""; 0]);
    rig.give(connection, &asks(&[], &["1:1"]));
    assert_eq!(told(&mut rig, connection), ["-10.1.0.0/16", "-2001:db8:1::/48"]);
    // A route that changes its route target comes and goes by it.
    rig.speaker.originate(with_target("10.1.0.0/16", "1:2")).unwrap();
    rig.speaker.originate(with_target("10.2.0.0/16", "1:9")).unwrap();
    assert_eq!(told(&mut rig, connection), ["-10.2.0.0/16", "+10.1.0.0/16"]);
    let mut refresh = Vec::new();
    RouteRefresh::request(Family::Vpnv4).encode(&mut refresh);
    rig.give(connection, &refresh);
    assert_eq!(told(&mut rig, connection), ["+10.1.0.0/16"]);
    // A membership with a loop asks for nothing.
    rig.give(connection, &asks(&[], &["1:2"]));
    assert_eq!(told(&mut rig, connection), ["-10.1.0.0/16"]);
    let looped = PathAttributes { originator_id: Some(Ipv4Addr::new(10, 0, 0, 1)), ..path(2, &[]) };
    let nlri = Nlri::plain(Route::Rtc(Membership::of(Asn(64512), target("1:2"))));
    let mut bytes = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    encode_reach(RTC, &looped, &[nlri], wide, &mut bytes).unwrap();
    rig.give(connection, &bytes);
    assert_eq!(told(&mut rig, connection), [""; 0]);
}

#[test]
fn without_its_memberships_a_peer_is_told_everything() {
    let mut rig = rig();
    let (connection, _) = constrained(&mut rig);
    rig.give(connection, &[asks(&["1:1"], &[]), end_of(RTC)].concat());
    told(&mut rig, connection);
    // A membership of 31 bits: the family goes, the session stays.
    let mut bad = asks(&[], &["1:1"]);
    let length = bad.len() - 13;
    assert_eq!(bad[length], 96);
    bad[length] = 31;
    rig.give(connection, &bad);
    let all = ["+10.1.0.0/16", "+10.2.0.0/16", "+2001:db8:1::/48"];
    assert_eq!(told(&mut rig, connection), all);
    let summary = rig.speaker.summary(rig.now).remove(0);
    assert!(!summary.families.contains(&RTC) && summary.state == SessionState::Established);
    let why = "rtc is ignored until the session ends: membership of impossible length";
    assert_eq!(summary.last_error.as_deref(), Some(why));
}

#[test]
fn other_imports_change_memberships_and_nothing_else() {
    let mut rig = rig();
    let (connection, _) = constrained(&mut rig);
    rig.speaker.set_imports(["1:2", "1:3"].map(target).into());
    assert_eq!(told(&mut rig, connection), ["-64512:target:1:1", "+64512:target:1:3"]);
    rig.speaker.set_imports(["1:2", "1:3"].map(target).into());
    assert_eq!(told(&mut rig, connection), [""; 0]);
    assert!(rig.closed.is_empty());
    assert!(!rig.updates().iter().any(|update| matches!(update, Update::SessionDown { .. })));
    let own = Nlri::plain(Route::Rtc(Membership::DEFAULT));
    let refused = rig.speaker.originate(OriginatedRoute::new(own, address(1)));
    assert_eq!(refused, Err(OriginateError::Membership));
}

#[test]
fn two_speakers_send_each_other_what_their_vrfs_import() {
    for asns in [[64512, 64512], [64513, 64512]] {
        let mut world = World::with(asns, &Family::ALL);
        world.ends[0].set_imports(["1:1"].map(target).into());
        for end in 0..2 {
            world.ends[end].originate(with_target(&format!("10.{end}.1.0/24"), "1:1")).unwrap();
            world.ends[end].originate(with_target(&format!("10.{end}.2.0/24"), "1:2")).unwrap();
        }
        world.run();
        let best = |world: &World, end: usize| -> Vec<String> {
            world.best(end).iter().map(|view| view.route.destination()).collect()
        };
        assert_eq!((best(&world, 0), best(&world, 1)), (vec!["10.1.1.0/24".to_owned()], vec![]));
        world.ends[1].set_imports(["1:1", "1:2"].map(target).into());
        world.run();
        assert_eq!(best(&world, 1), ["10.0.1.0/24", "10.0.2.0/24"]);
        world.ends[1].set_imports(["1:2"].map(target).into());
        world.run();
        assert_eq!(best(&world, 1), ["10.0.2.0/24"]);
        assert!(!world.news.iter().flatten().any(|u| matches!(u, Update::SessionDown { .. })));
    }
}
