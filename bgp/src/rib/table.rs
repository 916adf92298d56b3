//! The routes of one family with the paths that peers sent.
//!
//! Keys are as small as the family allows, and the one path that nearly every route has stands
//! in the table itself: a full table is mostly this.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::{Ipv4Net, Ipv6Net};

use super::decision::{self, Candidate};
use super::{Common, Counts, PathAttributes, PeerIndex, PeerRow, Reason, Refusal};
use crate::speaker::BestPath;
use crate::types::{EvpnRoute, Family, Membership, Route, RouteDistinguisher};
use crate::wire::{Binding, Nlri};

/// Below this many routes a table keeps the memory that it has.
const SMALL: usize = 1024;

/// What names a route within its table.
pub(super) trait Key: Copy + Eq + Hash {
    const FAMILY: Family;
    /// What of a path's NLRI is not in the key.
    type Binding: PartialEq;

    /// `None` for a route of another family.
    fn of(route: &Route) -> Option<Self>;
    fn route(self) -> Route;
    /// `None` for a binding that the family does not have.
    fn bind(binding: &Binding) -> Option<Self::Binding>;
    fn binding(binding: &Self::Binding) -> Binding;
}

/// Adj-RIBs-In and Loc-RIB of a family.
#[derive(Debug)]
pub(super) struct Table<K: Key> {
    routes: HashMap<K, Entry<K::Binding>>,
    /// Routes to be told of, in the order of [`Common::news`].
    queue: VecDeque<K>,
}

#[derive(Debug)]
struct Entry<B> {
    paths: Paths<B>,
    /// Position in `paths`, and why.
    best: Option<(u16, Reason)>,
    queued: bool,
    /// Whether the consumer was last told of a path.
    told: bool,
}

/// One path of a route.
#[derive(Debug)]
struct Path<B> {
    peer: PeerIndex,
    binding: B,
    refused: Option<Refusal>,
    attributes: Arc<PathAttributes>,
}

/// One of each peer at most, in the order in which they came.
#[derive(Debug)]
enum Paths<B> {
    None,
    One(Path<B>),
    Many(Box<[Path<B>]>),
}

/// A path as views see it.
pub(crate) struct Seen<'a> {
    pub route: Route,
    pub peer: PeerIndex,
    pub binding: Binding,
    pub refused: Option<Refusal>,
    pub attributes: &'a PathAttributes,
    /// Whether it is the best path of its route.
    pub best: bool,
    /// What chose the best path of the route, if it has one.
    pub reason: Option<Reason>,
}

impl<K: Key> Table<K> {
    pub(super) fn new() -> Table<K> {
        Table { routes: HashMap::new(), queue: VecDeque::new() }
    }

    /// Paths from `peer` in place of any that it sent before.
    pub(super) fn announce(
        &mut self,
        common: &mut Common,
        peer: PeerIndex,
        refused: Option<Refusal>,
        attributes: &Arc<PathAttributes>,
        routes: &[Nlri],
    ) {
        let mut counts = common.counts(peer);
        for nlri in routes {
            let Some((key, binding)) = K::of(&nlri.route).zip(K::bind(&nlri.binding)) else {
                continue;
            };
            let entry = self.routes.entry(key).or_insert_with(Entry::new);
            let path = Path { peer, binding, refused, attributes: Arc::clone(attributes) };
            counts.add(refused);
            if let Some(at) = entry.paths.position(peer) {
                let Some(place) = entry.paths.slice_mut().get_mut(at) else { continue };
                let old = std::mem::replace(place, path);
                counts.remove(old.refused);
                if Arc::ptr_eq(&old.attributes, attributes) && old.binding == place.binding {
                    continue;
                }
            } else {
                entry.paths.push(path);
            }
            if entry.settle(peer, common) {
                self.queue.push_back(key);
                common.queued(K::FAMILY);
            }
        }
        common.count(peer, counts);
    }

    /// The peer's paths are gone; one that was not there is no error.
    pub(super) fn withdraw(&mut self, common: &mut Common, peer: PeerIndex, routes: &[Route]) {
        let mut counts = common.counts(peer);
        for key in routes.iter().filter_map(K::of) {
            let Some(entry) = self.routes.get_mut(&key) else { continue };
            if entry.lose(peer, &mut counts, common) {
                self.queue.push_back(key);
                common.queued(K::FAMILY);
            }
        }
        common.count(peer, counts);
    }

    /// Every path of the peer is gone.
    pub(super) fn clear(&mut self, common: &mut Common, peer: PeerIndex) {
        let mut counts = common.counts(peer);
        for (key, entry) in &mut self.routes {
            if entry.lose(peer, &mut counts, common) {
                self.queue.push_back(*key);
                common.queued(K::FAMILY);
            }
        }
        common.count(peer, counts);
    }

    /// What to tell of the route that was queued first; `None` when it is nothing.
    pub(super) fn next(&mut self, common: &Common) -> Option<(Route, Option<BestPath>)> {
        let key = self.queue.pop_front()?;
        if self.queue.is_empty() && self.queue.capacity() > SMALL {
            self.queue = VecDeque::new();
        }
        let entry = self.routes.get_mut(&key)?;
        entry.queued = false;
        let path = entry.best_path::<K>(common);
        let told = std::mem::replace(&mut entry.told, path.is_some());
        if matches!(entry.paths, Paths::None) {
            self.routes.remove(&key);
            // Memory goes back when most of a large table has; each time for a constant share.
            if self.routes.len() < self.routes.capacity() / 8 && self.routes.capacity() > SMALL {
                self.routes.shrink_to(self.routes.len() * 2);
            }
        }
        (told || path.is_some()).then(|| (key.route(), path))
    }

    /// Shows every path, in no order.
    pub(super) fn visit(&self, see: &mut dyn FnMut(Seen<'_>)) {
        for (key, entry) in &self.routes {
            for (at, path) in entry.paths.slice().iter().enumerate() {
                see(Seen {
                    route: key.route(),
                    peer: path.peer,
                    binding: K::binding(&path.binding),
                    refused: path.refused,
                    attributes: &path.attributes,
                    best: entry.best.is_some_and(|(best, _)| usize::from(best) == at),
                    reason: entry.best.map(|(_, reason)| reason),
                });
            }
        }
    }
}

impl<B> Entry<B> {
    fn new() -> Entry<B> {
        Entry { paths: Paths::None, best: None, queued: false, told: false }
    }

    /// Chooses again after the path of `changed` was added or replaced. True when the route is to
    /// be queued: the best path is another one.
    fn settle(&mut self, changed: PeerIndex, common: &Common) -> bool {
        let before = self.best.map(|(at, _)| at);
        let path = before.and_then(|at| self.paths.slice().get(usize::from(at)));
        let touched = path.is_some_and(|path| path.peer == changed);
        self.best = choose(self.paths.slice(), common);
        let changed = touched || before != self.best.map(|(at, _)| at);
        changed && !std::mem::replace(&mut self.queued, true)
    }

    /// Takes the peer's path away, if there is one. True when the route is to be queued.
    fn lose(&mut self, peer: PeerIndex, counts: &mut Counts, common: &Common) -> bool {
        let Some(at) = self.paths.position(peer) else { return false };
        let Some(old) = self.paths.remove(at) else { return false };
        counts.remove(old.refused);
        // Where the best path stands now, if it was another one.
        let best = self.best.map(|(best, _)| usize::from(best));
        let left = best.filter(|best| *best != at).map(|best| best - usize::from(best > at));
        self.best = choose(self.paths.slice(), common);
        let same = best.is_some() == left.is_some()
            && left == self.best.map(|(best, _)| usize::from(best));
        // An empty entry is queued to be removed.
        let news = !same || matches!(self.paths, Paths::None);
        news && !std::mem::replace(&mut self.queued, true)
    }

    fn best_path<K: Key<Binding = B>>(&self, common: &Common) -> Option<BestPath> {
        let (at, reason) = self.best?;
        let path = self.paths.slice().get(usize::from(at))?;
        Some(BestPath {
            peer: common.peers.get(&path.peer)?.source.address,
            binding: K::binding(&path.binding),
            attributes: Arc::clone(&path.attributes),
            reason,
        })
    }
}

impl<B> Paths<B> {
    fn slice(&self) -> &[Path<B>] {
        match self {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    fn slice_mut(&mut self) -> &mut [Path<B>] {
        match self {
            Paths::None => &mut [],
            Paths::One(path) => std::slice::from_mut(path),
            Paths::Many(paths) => paths,
        }
    }

    fn position(&self, peer: PeerIndex) -> Option<usize> {
        self.slice().iter().position(|path| path.peer == peer)
    }

    fn push(&mut self, path: Path<B>) {
        *self = match std::mem::replace(self, Paths::None) {
            Paths::None => Paths::One(path),
            Paths::One(first) => Paths::Many(Box::new([first, path])),
            Paths::Many(paths) => Paths::Many(paths.into_iter().chain([path]).collect()),
        };
    }

    /// Takes one out; the others keep their order.
    fn remove(&mut self, at: usize) -> Option<Path<B>> {
        match std::mem::replace(self, Paths::None) {
            Paths::None => None,
            Paths::One(path) => Some(path),
            Paths::Many(paths) => {
                let mut paths = paths.into_vec();
                let gone = (at < paths.len()).then(|| paths.remove(at));
                *self = match paths.pop() {
                    Some(only) if paths.is_empty() => Paths::One(only),
                    last => Paths::Many(paths.into_iter().chain(last).collect()),
                };
                gone
            }
        }
    }
}

/// Position of the best path and why. There are never more paths than peers, far fewer than 65536.
fn choose<B>(paths: &[Path<B>], common: &Common) -> Option<(u16, Reason)> {
    // Nearly every route has one path, which needs no candidate list.
    if let [path] = paths {
        return path.refused.is_none().then_some((0, Reason::OnlyPath));
    }
    let mut positions = Vec::with_capacity(paths.len());
    let mut candidates = Vec::with_capacity(paths.len());
    for (at, path) in paths.iter().enumerate().filter(|(_, path)| path.refused.is_none()) {
        let Some(PeerRow { source, .. }) = common.peers.get(&path.peer) else { continue };
        positions.push(at);
        candidates.push(Candidate {
            attributes: &path.attributes,
            external: source.external,
            router_id: source.router_id,
            peer: source.address,
        });
    }
    let (winner, reason) = decision::best(&candidates)?;
    Some((u16::try_from(*positions.get(winner)?).ok()?, reason))
}

macro_rules! plain {
    ($($key:ty, $family:ident, $route:ident;)*) => {$(
        impl Key for $key {
            const FAMILY: Family = Family::$family;
            type Binding = ();

            fn of(route: &Route) -> Option<$key> {
                match route {
                    Route::$route(key) => Some(*key),
                    _ => None,
                }
            }

            fn route(self) -> Route {
                Route::$route(self)
            }

            fn bind(_: &Binding) -> Option<()> {
                Some(())
            }

            fn binding(_: &()) -> Binding {
                Binding::None
            }
        }
    )*};
}
plain! {
    Ipv4Net, Ipv4Unicast, Ipv4;
    Ipv6Net, Ipv6Unicast, Ipv6;
    Membership, Rtc, Rtc;
}

macro_rules! vpn {
    ($($prefix:ty, $family:ident;)*) => {$(
        impl Key for (RouteDistinguisher, $prefix) {
            const FAMILY: Family = Family::$family;
            /// The label.
            type Binding = u32;

            fn of(route: &Route) -> Option<Self> {
                match route {
                    Route::$family(rd, prefix) => Some((*rd, *prefix)),
                    _ => None,
                }
            }

            fn route(self) -> Route {
                Route::$family(self.0, self.1)
            }

            fn bind(binding: &Binding) -> Option<u32> {
                binding.label()
            }

            fn binding(label: &u32) -> Binding {
                Binding::Label(*label)
            }
        }
    )*};
}
vpn! {
    Ipv4Net, Vpnv4;
    Ipv6Net, Vpnv6;
}

impl Key for (RouteDistinguisher, EvpnRoute) {
    const FAMILY: Family = Family::Evpn;
    type Binding = Binding;

    fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Evpn(rd, route) => Some((*rd, *route)),
            _ => None,
        }
    }

    fn route(self) -> Route {
        Route::Evpn(self.0, self.1)
    }

    fn bind(binding: &Binding) -> Option<Binding> {
        Some(binding.clone())
    }

    fn binding(binding: &Binding) -> Binding {
        binding.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million of them stand in memory at once.
    #[test]
    fn a_row_is_small() {
        type Row<K> = (K, Entry<<K as Key>::Binding>);
        assert!(size_of::<Row<(RouteDistinguisher, Ipv4Net)>>() <= 48);
        assert!(size_of::<Row<(RouteDistinguisher, Ipv6Net)>>() <= 64);
    }
}
