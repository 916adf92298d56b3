use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Announce { peer: u32, route: u8, form: Form },
    Withdraw { peer: u32, route: u8 },
    Down { peer: u32 },
    Look(u8),
}

/// What decides about a path: LOCAL_PREF, neighbouring AS, MED; and whether it is a loop.
type Form = (u8, u8, u8, bool);

/// Few values, so that MED decides often: what it removes depends on who else is there.
fn any_form() -> impl Strategy<Value = Form> {
    (0..2u8, 1..3u8, 0..3u8, proptest::bool::weighted(0.2))
}

fn attributes((local_pref, neighbor, med, looped): Form) -> PathAttributes {
    let mut a = PathAttributes::new(IpAddr::from([203, 0, 113, 1]));
    a.local_pref = Some(u32::from(local_pref));
    a.as_path = crate::wire::AsPath::sequence(&[Asn(neighbor.into())]);
    a.med = Some(med.into());
    a.originator_id = looped.then_some(ME);
    a
}

fn any_step() -> impl Strategy<Value = Step> {
    let (peer, route) = (0..4u32, 0..ROUTES);
    prop_oneof![
        6 => (peer.clone(), route.clone(), any_form()).prop_map(
            |(peer, route, form)| Step::Announce { peer, route, form }),
        3 => (peer.clone(), route).prop_map(|(peer, route)| Step::Withdraw { peer, route }),
        1 => peer.prop_map(|peer| Step::Down { peer }),
        3 => (0..4u8).prop_map(Step::Look),
    ]
}

const ROUTES: u8 = 3;
const ME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn key(route: u8) -> Route {
    let rd = RouteDistinguisher::ip(Ipv4Addr::LOCALHOST, 1);
    Route::Vpnv4(rd, Ipv4Net::from(Ipv4Addr::new(10, 0, 0, route)))
}

fn source(peer: u32) -> Source {
    let router_id = Ipv4Addr::new(192, 0, 2, peer as u8);
    Source { address: router_id.into(), router_id, external: false, local: None }
}

/// Who has the best path by the decision over all usable ones.
fn expected(model: &BTreeMap<(u32, u8), Form>, route: u8) -> Option<IpAddr> {
    let usable: Vec<(u32, PathAttributes)> = (0..4)
        .filter_map(|peer| model.get(&(peer, route)).map(|form| (peer, *form)))
        .filter(|(_, (.., looped))| !looped)
        .map(|(peer, form)| (peer, attributes(form)))
        .collect();
    let candidate = |(peer, attributes)| {
        let Source { address, router_id, external, .. } = source(peer);
        decision::Candidate { attributes, external, router_id, peer: address }
    };
    let candidates: Vec<_> = usable.iter().map(|(p, a)| candidate((*p, a))).collect();
    decision::best(&candidates).map(|(best, _)| candidates[best].peer)
}

proptest! {
    /// Whatever happens and whenever the consumer looks, in the end it has been told of exactly
    /// the best path of each route, and the counts are those of what the peers hold.
    #[test]
    fn the_consumer_ends_with_the_best_of_what_is_there(
        steps in proptest::collection::vec(any_step(), 0..200),
    ) {
        let mut rib = Rib::new(Asn(64512), ME);
        let mut interner = Interner::default();
        let mut model: BTreeMap<(u32, u8), Form> = BTreeMap::new();
        let mut told: BTreeMap<Route, IpAddr> = BTreeMap::new();
        let hear = |told: &mut BTreeMap<Route, IpAddr>, update| {
            if let Update::Best { route: key, path } = update {
                let had = match path {
                    Some(path) => told.insert(key, path.peer),
                    None => told.remove(&key),
                };
                // A loss is told only of what was told before.
                assert!(had.is_some() || told.contains_key(&key));
            }
        };
        for peer in 0..4 {
            rib.peer_up(peer, source(peer));
        }
        for step in steps {
            match step {
                Step::Announce { peer, route, form } => {
                    let nlri = Nlri::labelled(key(route), 16);
                    let attributes = interner.intern(attributes(form));
                    rib.announce(peer, Family::Vpnv4, &attributes, &[nlri]);
                    model.insert((peer, route), form);
                }
                Step::Withdraw { peer, route } => {
                    rib.withdraw(peer, Family::Vpnv4, &[key(route)]);
                    model.remove(&(peer, route));
                }
                Step::Down { peer } => {
                    rib.peer_down(peer, "down".to_owned());
                    model.retain(|(from, _), _| *from != peer);
                    rib.peer_up(peer, source(peer));
                }
                Step::Look(0) => {
                    while let Some(update) = rib.next_update() {
                        hear(&mut told, update);
                    }
                    for route in 0..ROUTES {
                        let best = told.get(&key(route)).copied();
                        prop_assert_eq!(best, expected(&model, route));
                    }
                }
                Step::Look(count) => {
                    for _ in 0..count {
                        if let Some(update) = rib.next_update() {
                            hear(&mut told, update);
                        }
                    }
                }
            }
        }
        while let Some(update) = rib.next_update() {
            hear(&mut told, update);
        }
        for route in 0..ROUTES {
            prop_assert_eq!(told.get(&key(route)).copied(), expected(&model, route));
        }
        for peer in 0..4 {
            let held = || model.iter().filter(move |((from, _), _)| *from == peer);
            let received = held().count() as u64;
            let accepted = held().filter(|(_, (.., looped))| !looped).count() as u64;
            prop_assert_eq!(rib.counts(peer), Counts { received, accepted });
        }
        let live: std::collections::BTreeSet<u8> = model.keys().map(|(_, route)| *route).collect();
        let mut kept = std::collections::BTreeSet::new();
        rib.visit(Family::Vpnv4, |seen| {
            kept.insert(seen.route);
        });
        prop_assert_eq!(kept.len(), live.len());
    }
}

#[test]
fn equal_attribute_sets_are_kept_once_and_not_for_ever() {
    let mut interner = Interner::default();
    let set = |med| PathAttributes { med: Some(med), ..PathAttributes::new(IpAddr::from([1; 4])) };
    let kept = interner.intern(set(7));
    assert!(Arc::ptr_eq(&kept, &interner.intern(set(7))));
    for med in 0..100_000 {
        interner.intern(set(med));
    }
    assert!(Arc::strong_count(&kept) == 2, "in use, so it stayed");
    assert!(interner.len() <= 1025, "{} sets that nobody uses", interner.len());
}
