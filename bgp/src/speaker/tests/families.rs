//! Routes of every family from one speaker to another, and what becomes of a family that is broken.

use super::*;
use crate::types::{Esi, EvpnRoute, LabelField, MacAddress};
use crate::wire::{EvpnBinding, PmsiTunnel};

fn evpn(route: EvpnRoute) -> Nlri {
    let binding = EvpnBinding { label: LabelField::mpls(19), ..EvpnBinding::default() };
    let binding = match route.has_labels() {
        true => Binding::Evpn(Box::new(binding)),
        false => Binding::None,
    };
    Nlri { route: Route::Evpn("64512:1".parse().unwrap(), route), binding }
}

#[test]
fn an_evpn_route_tells_all_that_stands_with_it() {
    let mut world = World::dialling([64512, 64512]);
    let hop = IpAddr::from([192, 0, 2, 1]);
    let pmsi = PmsiTunnel::ingress_replication(LabelField::mpls(20), hop);
    let multicast = evpn(EvpnRoute::Multicast { tag: 0, originator: hop });
    let multicast = OriginatedRoute { pmsi: Some(pmsi), ..OriginatedRoute::new(multicast, hop) };
    world.ends[0].originate(multicast).unwrap();
    let prefix = evpn(EvpnRoute::Prefix { tag: 0, prefix: "10.2.0.9/16".parse().unwrap() });
    let vxlan = vec![ExtCommunity::encapsulation(8), ExtCommunity::router_mac(MacAddress([2; 6]))];
    let prefix = OriginatedRoute { ext_communities: vxlan, ..OriginatedRoute::new(prefix, hop) };
    world.ends[0].originate(prefix).unwrap();
    world.run();
    let query = RouteQuery { family: Family::Evpn, which: Which::Best, peer: None };
    let views = world.ends[1].routes(&query);
    assert_eq!(views[0].route.destination(), "[3]:[0]:[32]:[192.0.2.1]");
    let pmsi = "ingress-replication 192.0.2.1 20";
    assert_eq!((views[0].pmsi.as_deref(), views[0].evpn), (Some(pmsi), None));
    assert_eq!(views[1].route.destination(), "[5]:[0]:[16]:[10.2.0.0]");
    assert_eq!(views[1].labels, [19 << 4 | 1], "the whole field: a VXLAN network identifier");
    assert_eq!(views[1].evpn.map(|binding| binding.esi), Some(Esi::ZERO));
    assert_eq!(views[1].ext_communities, ["encapsulation:8", "router-mac:02:02:02:02:02:02"]);

    let labelled = Nlri::labelled(views[1].route, 16);
    let bare = Nlri::plain(views[1].route);
    let unwanted = Nlri {
        route: views[0].route,
        binding: evpn(EvpnRoute::MacIp { tag: 0, mac: MacAddress([2; 6]), ip: None }).binding,
    };
    for nlri in [labelled, bare, unwanted] {
        let refused = world.ends[0].originate(OriginatedRoute::new(nlri, hop));
        assert_eq!(refused, Err(OriginateError::Binding));
    }
}

/// RFC 7606: routes that cannot be told apart cost their family, while others are left.
#[test]
fn a_malformed_family_is_ignored_and_the_others_live_on() {
    let mut rig = Puppets::new(&[(2, 64512)]);
    let connection = rig.establish(2, 64512);
    rig.give(connection, &reach(&path(2, &[]), "10.0.0.0/8", 16));
    let hop = address(2);
    let evpn = evpn(EvpnRoute::Multicast { tag: 0, originator: hop });
    let mut good = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    encode_reach(Family::Evpn, &path(2, &[]), &[evpn], wide, &mut good).unwrap();
    rig.give(connection, &good);
    assert_eq!(rig.speaker.summary(rig.now)[0].received, 2);
    rig.updates();
    let mut bad = good.clone();
    let length = bad.windows(2).position(|w| w == [3, 17]).unwrap() + 1;
    bad[length] = 18;
    rig.give(connection, &bad);
    let gone: Vec<_> = rig.updates();
    let what = "EVPN route longer than the attribute";
    let disabled = Update::FamilyDisabled { peer: address(2), family: Family::Evpn, reason: what };
    assert!(
        matches!(&gone[..], [Update::Best { route: Route::Evpn(..), path: None }, last]
            if *last == disabled),
        "{gone:?}"
    );
    // Later ones are ignored, and it is said why; the session and the other families go on.
    rig.give(connection, &good);
    rig.give(connection, &reach(&path(2, &[]), "10.0.0.0/9", 17));
    let summary = rig.speaker.summary(rig.now).remove(0);
    assert_eq!((summary.received, summary.state), (2, SessionState::Established));
    assert!(!summary.families.contains(&Family::Evpn));
    let why = format!("evpn is ignored until the session ends: {what}");
    assert_eq!(summary.last_error, Some(why));
    assert!(!rig.speaker.refresh(address(2), Family::Evpn));
    assert!(rig.closed.is_empty());
    // A new session starts afresh.
    rig.speaker.closed(connection, "reset", rig.now);
    let connection = rig.establish(2, 64512);
    rig.give(connection, &good);
    let summary = rig.speaker.summary(rig.now).remove(0);
    assert!(summary.families.contains(&Family::Evpn) && summary.received == 1);
}

#[test]
fn routes_of_every_family_flow() {
    let mut world = World::dialling([64512, 64512]);
    let rd = Some("64512:1".parse().unwrap());
    let hop = IpAddr::from([192, 0, 2, 1]);
    let routes = [
        (Nlri::plain(Route::to(None, "10.1.0.0/16".parse().unwrap())), hop),
        (Nlri::plain(Route::to(None, "2001:db8:1::/48".parse().unwrap())), address(1)),
        (Nlri::labelled(Route::to(rd, "10.1.0.0/16".parse().unwrap()), 16), hop),
        (Nlri::labelled(Route::to(rd, "2001:db8:1::/48".parse().unwrap()), 17), hop),
        (
            Nlri::labelled(Route::to(rd, "2001:db8:2::/48".parse().unwrap()), 18),
            "2001:db8::9".parse().unwrap(),
        ),
        (evpn(EvpnRoute::MacIp { tag: 0, mac: MacAddress([2; 6]), ip: Some(address(7)) }), hop),
        (evpn(EvpnRoute::Multicast { tag: 0, originator: hop }), hop),
    ];
    for (nlri, hop) in &routes {
        world.ends[0].originate(OriginatedRoute::new(nlri.clone(), *hop)).unwrap();
    }
    world.run();
    assert_eq!((world.state(0).advertised, world.state(1).accepted), (7, 7));
    for family in Family::ALL {
        for which in [Which::Received, Which::Advertised] {
            let end = usize::from(which == Which::Received);
            let query = RouteQuery { family, which, peer: None };
            let seen: Vec<_> = world.ends[end]
                .routes(&query)
                .into_iter()
                .map(|view| (view.route, view.labels, view.next_hop))
                .collect();
            let sent: Vec<_> = routes
                .iter()
                .filter(|(nlri, _)| nlri.route.family() == family)
                .map(|(nlri, hop)| {
                    let evpn = nlri.binding.evpn().map(|binding| binding.label.label());
                    let labels = nlri.binding.label().or(evpn).into_iter().collect();
                    (nlri.route, labels, *hop)
                })
                .collect();
            assert_eq!(seen, sent, "{family} {which:?}");
        }
    }
    for (nlri, _) in &routes {
        world.ends[0].withdraw(nlri.route);
    }
    world.run();
    assert_eq!((world.state(0).advertised, world.state(1).received), (0, 0));
    let gone = |update: &&Update| matches!(update, Update::Best { path: None, .. });
    assert_eq!(world.news[1].iter().filter(gone).count(), 7);
}
