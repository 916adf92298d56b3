//! Learnt VPN routes, and which of them each VRF takes in.
//!
//! A route comes in where it carries a route target that the VRF imports, if it can be forwarded: it has a label, its next hop is
//! another PE, and it offers an encapsulation that the router wants. Every refusal has its reason. Several route
//! distinguishers may bring one prefix; the best by the rules of RFC 4271 9.1 wins.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp::types::{RouteDistinguisher, RouteTarget};
use engine::seam::{Encapsulation, VrfId};
use hashbrown::{HashMap, HashSet};
use ipnet::Ipv4Net;
use wire::Label;

use crate::compile::{Hop, Tunnel};
use crate::rows::{Ascending, Dirty};

/// A learnt VPN route, as far as import and forwarding care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Who sent it.
    pub peer: IpAddr,
    /// BGP next hop: the far PE.
    pub next_hop: IpAddr,
    /// Top of the label stack.
    pub label: Option<u32>,
    /// How good it is.
    pub rank: Rank,
    /// What the far PE can receive.
    pub offer: Offer,
    /// Its route targets, shared among routes.
    pub targets: Arc<[RouteTarget]>,
}

/// What decides among routes to one prefix, before the address of the next hop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// LOCAL_PREF, 100 if absent. More is better.
    pub local_pref: u32,
    /// Length of the AS path. Less is better.
    pub as_hops: u32,
    /// 0 IGP, 1 EGP, 2 incomplete. Less is better.
    pub origin: u8,
    /// MED, 0 if absent. Less is better.
    pub med: u32,
}

/// Encapsulations that a route offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    gre: bool,
    udp: bool,
}

impl Offer {
    /// From the tunnel types of a route (RFC 9012, IANA), by communities or attribute. None at all means GRE, as compute
    /// nodes read it; values that mean nothing here are skipped. 37001 is MPLS in UDP of the first Contrail releases.
    pub fn from_types(types: impl Iterator<Item = u16>) -> Self {
        let mut types = types.peekable();
        if types.peek().is_none() {
            return Offer { gre: true, udp: false };
        }
        types.fold(Offer::default(), |offer, tunnel_type| match tunnel_type {
            2 | 11 => Offer { gre: true, ..offer },
            13 | 37001 => Offer { udp: true, ..offer },
            _ => offer,
        })
    }

    fn has(self, encapsulation: Encapsulation) -> bool {
        match encapsulation {
            Encapsulation::MplsOverGre => self.gre,
            Encapsulation::MplsOverUdp => self.udp,
        }
    }
}

/// What of the router's configuration import depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Own tunnel address.
    pub own: Option<Ipv4Addr>,
    /// In order of preference.
    pub encapsulations: Vec<Encapsulation>,
}

/// Why a route with a matching route target is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Our own route came back.
    #[error("the next hop is our own tunnel address")]
    Loop,
    /// Nothing to tunnel to.
    #[error("the next hop is not a unicast IPv4 address")]
    NextHop,
    /// No label, or a reserved one (RFC 3032 2.1).
    #[error("the route has no label that a PE can deliver by")]
    Label,
    /// Nothing in common.
    #[error("the route offers no encapsulation that [router] encapsulations allows")]
    Encapsulation,
}

impl Learnt {
    /// Where packets to this route go.
    pub fn hop(&self, policy: &Policy) -> Result<Hop, Refusal> {
        let IpAddr::V4(remote) = self.next_hop else { return Err(Refusal::NextHop) };
        if policy.own == Some(remote) {
            return Err(Refusal::Loop);
        }
        if remote.is_unspecified()
            || remote.is_multicast()
            || remote.is_broadcast()
            || remote.is_loopback()
        {
            return Err(Refusal::NextHop);
        }
        let label = self.label.and_then(Label::new).ok_or(Refusal::Label)?;
        let wanted = policy.encapsulations.iter().copied().find(|e| self.offer.has(*e));
        let encapsulation = wanted.ok_or(Refusal::Encapsulation)?;
        Ok(Hop::Tunnel(Tunnel { remote, encapsulation }, label))
    }

    /// Orders routes to one prefix, the best last.
    fn order(&self, other: &Learnt) -> std::cmp::Ordering {
        let (a, b) = (self.rank, other.rank);
        (a.local_pref.cmp(&b.local_pref))
            .then(b.as_hops.cmp(&a.as_hops))
            .then(b.origin.cmp(&a.origin))
            .then(b.med.cmp(&a.med))
            .then(other.next_hop.cmp(&self.next_hop))
    }
}

/// A row of a VRF's table: VRF and prefix.
pub type RouteKey = (VrfId, Ipv4Net);

/// A route that a VRF could have and does not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// VRF that imports it.
    pub vrf: VrfId,
    /// Its distinguisher.
    pub rd: RouteDistinguisher,
    /// Its prefix.
    pub prefix: Ipv4Net,
    /// Who sent it.
    pub peer: IpAddr,
    /// Why not.
    pub reason: Refusal,
}

/// All learnt VPN routes, sorted into the VRFs that import them.
#[derive(Debug, Default)]
pub struct Import {
    routes: Learnts,
    tables: BTreeMap<VrfId, Table>,
    by_target: HashMap<RouteTarget, Vec<VrfId>>,
    policy: Policy,
    interned: HashSet<Arc<[RouteTarget]>>,
    prune_at: usize,
    peers: Peers,
}

/// Peers by number, as a row names them.
#[derive(Debug, Default)]
struct Peers {
    numbers: HashMap<IpAddr, u32>,
    all: Vec<IpAddr>,
}

impl Peers {
    fn number(&mut self, peer: IpAddr) -> u32 {
        *self.numbers.entry(peer).or_insert_with(|| {
            self.all.push(peer);
            self.all.len() as u32 - 1
        })
    }
}

type Learnts = HashMap<(RouteDistinguisher, Ipv4Net), Learnt>;

#[derive(Debug, Default)]
struct Table {
    targets: BTreeSet<RouteTarget>,
    candidates: BTreeMap<Ipv4Net, Candidates>,
}

/// The routes to a prefix that a VRF takes in. The best of them is worked out when one changes, not when it is asked for: a full
/// table is asked for in the order of the tables, not in that in which it was learnt. Small, as it is read a million times then.
#[derive(Debug)]
struct Candidates {
    rds: Distinguishers,
    /// The number of its peer, and where it leads.
    best: Option<(u32, Hop)>,
}

/// The distinguishers under which a prefix is known: mostly one.
#[derive(Debug)]
enum Distinguishers {
    One(RouteDistinguisher),
    More(Box<[RouteDistinguisher]>),
}

impl Distinguishers {
    fn all(&self) -> &[RouteDistinguisher] {
        match self {
            Distinguishers::One(rd) => std::slice::from_ref(rd),
            Distinguishers::More(rds) => rds,
        }
    }

    fn add(&mut self, rd: RouteDistinguisher) {
        *self = Distinguishers::More(self.all().iter().copied().chain([rd]).collect());
    }

    /// Those that are left without `rd`, if any is.
    fn without(&self, rd: RouteDistinguisher) -> Option<Distinguishers> {
        let left: Vec<_> = self.all().iter().copied().filter(|other| *other != rd).collect();
        match left[..] {
            [] => None,
            [one] => Some(Distinguishers::One(one)),
            _ => Some(Distinguishers::More(left.into())),
        }
    }
}

impl Import {
    /// One list of route targets for all routes that have the same.
    pub fn intern(&mut self, targets: &[RouteTarget]) -> Arc<[RouteTarget]> {
        if let Some(known) = self.interned.get(targets) {
            return known.clone();
        }
        if self.interned.len() >= self.prune_at {
            self.interned.retain(|targets| Arc::strong_count(targets) > 1);
            self.prune_at = 1024 + 2 * self.interned.len();
        }
        let new: Arc<[RouteTarget]> = targets.into();
        self.interned.insert(new.clone());
        new
    }

    /// Takes over which VRF imports what. Rows that may now lead elsewhere go to `dirty`; those of a VRF that went do not.
    pub fn configure(
        &mut self,
        vrfs: &BTreeMap<VrfId, BTreeSet<RouteTarget>>,
        policy: &Policy,
        dirty: &mut Dirty,
    ) {
        let all_change = self.policy != *policy;
        self.policy = policy.clone();
        self.tables.retain(|vrf, _| vrfs.contains_key(vrf));
        let mut rebuilt = BTreeSet::new();
        for (vrf, targets) in vrfs {
            let table = self.tables.entry(*vrf).or_default();
            if table.targets != *targets {
                dirty.extend(table.candidates.keys().map(|prefix| (*vrf, *prefix)));
                *table = Table { targets: targets.clone(), ..Table::default() };
                rebuilt.insert(*vrf);
            } else if all_change {
                for (prefix, candidates) in &mut table.candidates {
                    candidates.choose(*prefix, &self.routes, &self.policy, &mut self.peers);
                    dirty.insert((*vrf, *prefix));
                }
            }
        }
        self.by_target.clear();
        for (vrf, targets) in vrfs {
            for target in targets {
                self.by_target.entry(*target).or_default().push(*vrf);
            }
        }
        if !rebuilt.is_empty() {
            self.fill(&rebuilt, dirty);
        }
    }

    fn fill(&mut self, rebuilt: &BTreeSet<VrfId>, dirty: &mut Dirty) {
        for ((rd, prefix), route) in &self.routes {
            for vrf in importers(&self.by_target, &route.targets).intersection(rebuilt) {
                if let Some(table) = self.tables.get_mut(vrf) {
                    let candidates = table.take_in(*prefix, *rd);
                    candidates.choose(*prefix, &self.routes, &self.policy, &mut self.peers);
                    dirty.insert((*vrf, *prefix));
                }
            }
        }
    }

    /// A route came, changed or went (`None`).
    pub fn learn(
        &mut self,
        rd: RouteDistinguisher,
        prefix: Ipv4Net,
        route: Option<Learnt>,
        dirty: &mut Dirty,
    ) {
        let after = route
            .as_ref()
            .map(|route| importers(&self.by_target, &route.targets))
            .unwrap_or_default();
        let old = match route {
            Some(route) => self.routes.insert((rd, prefix), route),
            None => self.routes.remove(&(rd, prefix)),
        };
        let before =
            old.map(|route| importers(&self.by_target, &route.targets)).unwrap_or_default();
        for vrf in before.difference(&after) {
            let Some(table) = self.tables.get_mut(vrf) else { continue };
            if let Entry::Occupied(mut place) = table.candidates.entry(prefix) {
                let candidates = place.get_mut();
                if let Some(left) = candidates.rds.without(rd) {
                    candidates.rds = left;
                    candidates.choose(prefix, &self.routes, &self.policy, &mut self.peers);
                } else {
                    place.remove();
                }
            }
        }
        for vrf in &after {
            if let Some(table) = self.tables.get_mut(vrf) {
                let candidates = table.take_in(prefix, rd);
                candidates.choose(prefix, &self.routes, &self.policy, &mut self.peers);
            }
        }
        if self.routes.len() < self.routes.capacity() / 8 {
            self.routes.shrink_to_fit();
        }
        dirty.extend(before.union(&after).map(|vrf| (*vrf, prefix)));
    }

    /// Gives up room that is not needed now.
    pub fn rest(&mut self) {
        if self.routes.len() < self.routes.capacity() / 4 {
            self.routes.shrink_to_fit();
        }
    }

    /// Forgets everything learnt.
    pub fn clear(&mut self, dirty: &mut Dirty) {
        for (vrf, table) in &mut self.tables {
            dirty.extend(table.candidates.keys().map(|prefix| (*vrf, *prefix)));
            table.candidates.clear();
        }
        self.routes = HashMap::new();
        self.peers = Peers::default();
    }

    /// Who brings the best usable route to `prefix` in `vrf`, and where it leads.
    pub fn best(&self, (vrf, prefix): RouteKey) -> Option<(IpAddr, Hop)> {
        self.told(self.tables.get(&vrf)?.candidates.get(&prefix)?)
    }

    fn told(&self, candidates: &Candidates) -> Option<(IpAddr, Hop)> {
        let (peer, hop) = candidates.best?;
        Some((*self.peers.all.get(peer as usize)?, hop))
    }

    /// [`Import::best`] for many rows, quick if they ascend.
    pub fn bests(&self) -> Bests<'_> {
        Bests { import: self, vrf: None, rows: None }
    }

    /// All routes that a VRF imports but cannot use.
    pub fn refused(&self) -> impl Iterator<Item = Refused> {
        self.tables.iter().flat_map(move |(vrf, table)| {
            table.candidates.iter().flat_map(move |(prefix, candidates)| {
                candidates.rds.all().iter().filter_map(move |rd| {
                    let route = self.routes.get(&(*rd, *prefix))?;
                    let reason = route.hop(&self.policy).err()?;
                    Some(Refused { vrf: *vrf, rd: *rd, prefix: *prefix, peer: route.peer, reason })
                })
            })
        })
    }

    /// Learnt routes, imported or not.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Nothing learnt.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// See [`Import::bests`].
#[derive(Debug)]
pub struct Bests<'a> {
    import: &'a Import,
    vrf: Option<VrfId>,
    rows: Option<Ascending<'a, Ipv4Net, Candidates>>,
}

impl Bests<'_> {
    /// As [`Import::best`].
    pub fn best(&mut self, (vrf, prefix): RouteKey) -> Option<(IpAddr, Hop)> {
        if self.vrf != Some(vrf) {
            self.vrf = Some(vrf);
            let table = self.import.tables.get(&vrf);
            self.rows = table.map(|table| Ascending::new(&table.candidates));
        }
        self.import.told(self.rows.as_mut()?.get(prefix)?)
    }
}

impl Table {
    /// The row of a prefix, with this distinguisher in it.
    fn take_in(&mut self, prefix: Ipv4Net, rd: RouteDistinguisher) -> &mut Candidates {
        let fresh = || Candidates { rds: Distinguishers::One(rd), best: None };
        let candidates = self.candidates.entry(prefix).or_insert_with(fresh);
        if !candidates.rds.all().contains(&rd) {
            candidates.rds.add(rd);
        }
        candidates
    }
}

// A row and its key fit into 40 bytes: with twice that a full table takes a third longer to the packets.
const _: () = assert!(size_of::<Candidates>() <= 32);

impl Candidates {
    fn choose(&mut self, prefix: Ipv4Net, routes: &Learnts, policy: &Policy, peers: &mut Peers) {
        let usable = self.rds.all().iter().filter_map(|rd| {
            let route = routes.get(&(*rd, prefix))?;
            Some((route, *rd, route.hop(policy).ok()?))
        });
        let best = usable.max_by(|(a, rd_a, _), (b, rd_b, _)| a.order(b).then(rd_b.cmp(rd_a)));
        self.best = best.map(|(route, _, hop)| (peers.number(route.peer), hop));
    }
}

fn importers(
    by_target: &HashMap<RouteTarget, Vec<VrfId>>,
    targets: &[RouteTarget],
) -> BTreeSet<VrfId> {
    targets.iter().filter_map(|target| by_target.get(target)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Packed;

    const UDP: Encapsulation = Encapsulation::MplsOverUdp;
    const GRE: Encapsulation = Encapsulation::MplsOverGre;

    fn target(text: &str) -> RouteTarget {
        text.parse().unwrap()
    }

    fn rd(number: u16) -> RouteDistinguisher {
        RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 9), number)
    }

    fn prefix() -> Ipv4Net {
        "10.2.0.0/24".parse().unwrap()
    }

    fn learnt(next_hop: [u8; 4], types: &[u16]) -> Learnt {
        Learnt {
            peer: IpAddr::from([192, 0, 2, 10]),
            next_hop: next_hop.into(),
            label: Some(300),
            rank: Rank { local_pref: 100, as_hops: 0, origin: 0, med: 0 },
            offer: Offer::from_types(types.iter().copied()),
            targets: [target("64514:1")].into(),
        }
    }

    fn policy(encapsulations: &[Encapsulation]) -> Policy {
        Policy { own: Some(Ipv4Addr::new(192, 0, 2, 1)), encapsulations: encapsulations.to_vec() }
    }

    fn import(vrfs: &[(u16, &[&str])]) -> (Import, Dirty) {
        let (mut import, mut dirty) = (Import::default(), Dirty::default());
        import.configure(&targets(vrfs), &policy(&[UDP, GRE]), &mut dirty);
        (import, dirty)
    }

    fn targets(vrfs: &[(u16, &[&str])]) -> BTreeMap<VrfId, BTreeSet<RouteTarget>> {
        vrfs.iter()
            .map(|(id, list)| (VrfId(*id), list.iter().map(|t| target(t)).collect()))
            .collect()
    }

    /// The VRFs in which the prefix changed.
    fn rows(dirty: &mut Dirty) -> Vec<u16> {
        let keys = dirty.take().map(Packed::key);
        keys.inspect(|(_, changed)| assert_eq!(*changed, prefix())).map(|(vrf, _)| vrf.0).collect()
    }

    #[test]
    fn the_router_chooses_among_what_the_route_offers() {
        let chosen = |types: &[u16], wanted: &[Encapsulation]| match learnt([192, 0, 2, 9], types)
            .hop(&policy(wanted))
        {
            Ok(Hop::Tunnel(tunnel, _)) => Ok(tunnel.encapsulation),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        };
        assert_eq!(chosen(&[2, 13], &[UDP, GRE]), Ok(UDP));
        assert_eq!(chosen(&[2, 13], &[GRE, UDP]), Ok(GRE));
        assert_eq!(chosen(&[11], &[UDP, GRE]), Ok(GRE));
        assert_eq!(chosen(&[37001], &[GRE, UDP]), Ok(UDP));
        assert_eq!(chosen(&[], &[UDP, GRE]), Ok(GRE));
        assert_eq!(chosen(&[8, 999], &[UDP, GRE]), Err(Refusal::Encapsulation));
        assert_eq!(chosen(&[8, 13], &[GRE]), Err(Refusal::Encapsulation));
    }

    #[test]
    fn what_cannot_be_forwarded_is_refused_with_a_reason() {
        let wanted = policy(&[UDP, GRE]);
        assert_eq!(learnt([192, 0, 2, 1], &[]).hop(&wanted), Err(Refusal::Loop));
        assert_eq!(learnt([0, 0, 0, 0], &[]).hop(&wanted), Err(Refusal::NextHop));
        let v6 =
            Learnt { next_hop: IpAddr::from([0u16, 1, 2, 3, 4, 5, 6, 7]), ..learnt([1; 4], &[]) };
        assert_eq!(v6.hop(&wanted), Err(Refusal::NextHop));
        for label in [None, Some(3), Some(1 << 20)] {
            let route = Learnt { label, ..learnt([192, 0, 2, 9], &[]) };
            assert_eq!(route.hop(&wanted), Err(Refusal::Label));
        }
    }

    #[test]
    fn route_targets_decide_which_vrfs_take_a_route_in() {
        let (mut import, mut dirty) =
            import(&[(1, &["64514:1"]), (2, &["64514:2"]), (3, &["64514:1"])]);
        import.learn(rd(1), prefix(), Some(learnt([192, 0, 2, 9], &[13])), &mut dirty);
        assert_eq!(rows(&mut dirty), [1, 3]);
        assert!(
            import.best((VrfId(1), prefix())).is_some()
                && import.best((VrfId(2), prefix())).is_none()
        );

        let moved = Learnt { targets: [target("64514:2")].into(), ..learnt([192, 0, 2, 9], &[13]) };
        import.learn(rd(1), prefix(), Some(moved), &mut dirty);
        assert_eq!(rows(&mut dirty), [1, 2, 3]);
        assert!(
            import.best((VrfId(1), prefix())).is_none()
                && import.best((VrfId(2), prefix())).is_some()
        );

        let now = targets(&[(1, &["64514:2"]), (2, &[])]);
        import.configure(&now, &policy(&[UDP, GRE]), &mut dirty);
        assert_eq!(rows(&mut dirty), [1, 2]);
        assert!(
            import.best((VrfId(1), prefix())).is_some()
                && import.best((VrfId(2), prefix())).is_none()
        );

        import.learn(rd(1), prefix(), None, &mut dirty);
        assert!(import.best((VrfId(1), prefix())).is_none() && import.is_empty());
    }

    #[test]
    fn the_best_of_several_distinguishers_wins_and_the_next_takes_over() {
        let (mut import, mut dirty) = import(&[(1, &["64514:1"])]);
        let base = learnt([192, 0, 2, 20], &[13]);
        let with = |rank: Rank, last: u8| Learnt {
            rank,
            next_hop: IpAddr::from([192, 0, 2, last]),
            ..base.clone()
        };
        let rank = base.rank;
        let ordered = [
            with(rank, 19),
            with(rank, 18),
            with(Rank { med: 0, origin: 0, as_hops: 0, local_pref: 200 }, 17),
        ];
        let worse = [
            with(Rank { as_hops: 1, ..rank }, 2),
            with(Rank { origin: 2, ..rank }, 3),
            with(Rank { med: 5, ..rank }, 4),
        ];
        for (number, route) in (1..).zip(worse.into_iter().chain(ordered)) {
            import.learn(rd(number), prefix(), Some(route), &mut dirty);
        }
        let best = |import: &Import| match import.best((VrfId(1), prefix())) {
            Some((_, Hop::Tunnel(tunnel, _))) => tunnel.remote.octets()[3],
            other => panic!("{other:?}"),
        };
        for (number, last) in [(6, 17), (5, 18), (4, 19), (3, 4), (2, 3), (1, 2)] {
            assert_eq!(best(&import), last);
            import.learn(rd(number), prefix(), None, &mut dirty);
        }
    }

    #[test]
    fn refused_routes_are_listed_and_yield_to_usable_ones() {
        let (mut import, mut dirty) = import(&[(1, &["64514:1"])]);
        let good = Learnt {
            rank: Rank { local_pref: 1, ..learnt([1; 4], &[]).rank },
            ..learnt([192, 0, 2, 9], &[13])
        };
        import.learn(rd(1), prefix(), Some(learnt([192, 0, 2, 1], &[13])), &mut dirty);
        import.learn(rd(2), prefix(), Some(good), &mut dirty);
        assert!(import.best((VrfId(1), prefix())).is_some());
        let refused: Vec<_> = import.refused().map(|r| (r.rd, r.reason)).collect();
        assert_eq!(refused, [(rd(1), Refusal::Loop)]);
    }
}
