//! Routing information bases: what peers sent, what is best of it and why, what they are sent.
//!
//! One table for each family maps a route to its paths, one from each peer at most. Labels stand
//! with the path; attribute sets are interned. A change of the best path queues its route once,
//! however often it changes until somebody asks.

pub mod decision;
mod intern;
pub(crate) mod out;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hashbrown::HashMap;

pub use crate::types::VpnRoute;
pub use crate::wire::PathAttributes;
pub use decision::Reason;

use crate::speaker::{BestPath, Update};
use crate::types::{Asn, Family};
use crate::wire::Nlri;
use decision::Candidate;
pub(crate) use intern::Interner;

/// A peer's place in the speaker; its routes are gone before another peer gets the same.
pub(crate) type PeerIndex = u32;

/// Why a received path is kept but never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Own AS in AS_PATH (RFC 4271 9.1.2).
    OwnAs,
    /// Own BGP identifier as ORIGINATOR_ID (RFC 4456 8).
    OwnOriginator,
    /// Own BGP identifier in CLUSTER_LIST (RFC 4456 8).
    OwnCluster,
    /// Own address of the session as next hop (RFC 4271 5.1.3).
    OwnNextHop,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::OwnAs => "own AS in the AS path",
            Refusal::OwnOriginator => "own router id as originator",
            Refusal::OwnCluster => "own router id in the cluster list",
            Refusal::OwnNextHop => "own address as next hop",
        })
    }
}

/// What the table knows of a peer with an Established session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub address: IpAddr,
    pub router_id: Ipv4Addr,
    pub external: bool,
    /// Own address of the session.
    pub local: Option<IpAddr>,
}

/// One path of a route.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub peer: PeerIndex,
    pub label: Option<u32>,
    pub refused: Option<Refusal>,
    pub attributes: Arc<PathAttributes>,
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub paths: Vec<Path>,
    /// Position in `paths`, and why.
    pub best: Option<(usize, Reason)>,
    queued: bool,
    /// Whether the consumer was last told of a path.
    told: bool,
}

/// Routes received and in use, of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub received: u64,
    pub accepted: u64,
}

#[derive(Debug)]
struct PeerRow {
    source: Source,
    counts: Counts,
}

#[derive(Debug)]
enum News {
    Route(Family, VpnRoute),
    Session(Update),
}

/// Adj-RIBs-In and Loc-RIB of all families.
#[derive(Debug)]
pub(crate) struct Rib {
    asn: Asn,
    router_id: Ipv4Addr,
    tables: [HashMap<VpnRoute, Entry>; Family::ALL.len()],
    peers: HashMap<PeerIndex, PeerRow>,
    news: VecDeque<News>,
}

impl Rib {
    pub(crate) fn new(asn: Asn, router_id: Ipv4Addr) -> Rib {
        let tables = std::array::from_fn(|_| HashMap::new());
        Rib { asn, router_id, tables, peers: HashMap::new(), news: VecDeque::new() }
    }

    /// A session is Established: routes from `peer` may come.
    pub(crate) fn peer_up(&mut self, peer: PeerIndex, source: Source) {
        self.peers.insert(peer, PeerRow { source, counts: Counts::default() });
        self.news.push_back(News::Session(Update::SessionUp { peer: source.address }));
    }

    /// The session is gone and every route of it.
    pub(crate) fn peer_down(&mut self, peer: PeerIndex, reason: String) {
        let Some(row) = self.peers.get(&peer) else { return };
        let address = row.source.address;
        self.news.push_back(News::Session(Update::SessionDown { peer: address, reason }));
        if row.counts.received > 0 {
            for family in Family::ALL {
                self.drop_table(peer, family);
            }
        }
        self.peers.remove(&peer);
    }

    /// The peer has sent everything of a family.
    pub(crate) fn end_of_rib(&mut self, peer: PeerIndex, family: Family) {
        if let Some(row) = self.peers.get(&peer) {
            let peer = row.source.address;
            self.news.push_back(News::Session(Update::EndOfRib { peer, family }));
        }
    }

    /// A path from `peer` in place of any that it sent before.
    pub(crate) fn announce(
        &mut self,
        peer: PeerIndex,
        family: Family,
        attributes: &Arc<PathAttributes>,
        routes: &[Nlri],
    ) {
        let Some(row) = self.peers.get(&peer) else { return };
        let refused = self.refusal(&row.source, attributes);
        for nlri in routes {
            let path =
                Path { peer, label: nlri.label, refused, attributes: Arc::clone(attributes) };
            let entry = self.tables[family.index()].entry(nlri.route).or_default();
            let old = match entry.paths.iter_mut().find(|old| old.peer == peer) {
                Some(old) => Some(std::mem::replace(old, path)),
                None => {
                    entry.paths.push(path);
                    None
                }
            };
            let same = old.as_ref().is_some_and(|old| {
                Arc::ptr_eq(&old.attributes, attributes) && old.label == nlri.label
            });
            if let Some(row) = self.peers.get_mut(&peer) {
                if let Some(old) = &old {
                    row.counts.remove(old);
                }
                row.counts.add(refused);
            }
            if !same {
                self.decide(family, nlri.route, peer);
            }
        }
    }

    /// The peer's path is gone; one that was not there is no error.
    pub(crate) fn withdraw(&mut self, peer: PeerIndex, family: Family, route: VpnRoute) {
        let Some(entry) = self.tables[family.index()].get_mut(&route) else { return };
        let Some(at) = entry.paths.iter().position(|path| path.peer == peer) else { return };
        // Order is kept, so that `best` can be moved along with it.
        let old = entry.paths.remove(at);
        let was_best = match entry.best {
            Some((best, reason)) if best > at => {
                entry.best = Some((best - 1, reason));
                false
            }
            Some((best, _)) => best == at,
            None => false,
        };
        if let Some(row) = self.peers.get_mut(&peer) {
            row.counts.remove(&old);
        }
        if was_best {
            entry.best = None;
        }
        self.settle(family, route, was_best);
    }

    /// Takes the oldest news; `None` when everything is told.
    pub(crate) fn next_update(&mut self) -> Option<Update> {
        loop {
            match self.news.pop_front()? {
                News::Session(update) => return Some(update),
                News::Route(family, route) => {
                    let table = &mut self.tables[family.index()];
                    let Some(entry) = table.get_mut(&route) else { continue };
                    entry.queued = false;
                    let path = best_path(entry, &self.peers);
                    let told = std::mem::replace(&mut entry.told, path.is_some());
                    if entry.paths.is_empty() {
                        table.remove(&route);
                    }
                    if told || path.is_some() {
                        let VpnRoute { rd, prefix } = route;
                        return Some(Update::Best { family, rd, prefix, path });
                    }
                }
            }
        }
    }

    pub(crate) fn counts(&self, peer: PeerIndex) -> Counts {
        self.peers.get(&peer).map(|row| row.counts).unwrap_or_default()
    }

    pub(crate) fn source(&self, peer: PeerIndex) -> Option<Source> {
        self.peers.get(&peer).map(|row| row.source)
    }

    /// All routes of a family, in no order.
    pub(crate) fn routes(&self, family: Family) -> impl Iterator<Item = (&VpnRoute, &Entry)> {
        self.tables[family.index()].iter()
    }

    fn drop_table(&mut self, peer: PeerIndex, family: Family) {
        let has = |entry: &Entry| entry.paths.iter().any(|path| path.peer == peer);
        let routes: Vec<VpnRoute> =
            self.routes(family).filter(|(_, entry)| has(entry)).map(|(route, _)| *route).collect();
        for route in routes {
            self.withdraw(peer, family, route);
        }
    }

    fn refusal(&self, source: &Source, a: &PathAttributes) -> Option<Refusal> {
        if a.as_path.contains(self.asn) {
            Some(Refusal::OwnAs)
        } else if a.originator_id == Some(self.router_id) {
            Some(Refusal::OwnOriginator)
        } else if a.cluster_list.contains(&self.router_id) {
            Some(Refusal::OwnCluster)
        } else if source.local == Some(a.next_hop) {
            Some(Refusal::OwnNextHop)
        } else {
            None
        }
    }

    /// Decides again after the path of `changed` was added or replaced.
    fn decide(&mut self, family: Family, route: VpnRoute, changed: PeerIndex) {
        let Some(entry) = self.tables[family.index()].get(&route) else { return };
        let before = entry.best.and_then(|(at, _)| entry.paths.get(at)).map(|path| path.peer);
        let touched = before == Some(changed);
        self.settle(family, route, touched);
    }

    /// Chooses the best path; queues the route when it is another one, or was `touched`.
    fn settle(&mut self, family: Family, route: VpnRoute, touched: bool) {
        let Some(entry) = self.tables[family.index()].get_mut(&route) else { return };
        let before = entry.best.map(|(at, _)| at);
        entry.best = choose(&entry.paths, &self.peers);
        let changed = touched || before != entry.best.map(|(at, _)| at);
        if (changed || entry.paths.is_empty()) && !entry.queued {
            entry.queued = true;
            self.news.push_back(News::Route(family, route));
        }
    }
}

impl Counts {
    fn add(&mut self, refused: Option<Refusal>) {
        self.received += 1;
        self.accepted += u64::from(refused.is_none());
    }

    fn remove(&mut self, path: &Path) {
        self.received = self.received.saturating_sub(1);
        self.accepted = self.accepted.saturating_sub(u64::from(path.refused.is_none()));
    }
}

fn choose(paths: &[Path], peers: &HashMap<PeerIndex, PeerRow>) -> Option<(usize, Reason)> {
    // Nearly every route has one path, which needs no candidate list.
    if let [path] = paths {
        return path.refused.is_none().then_some((0, Reason::OnlyPath));
    }
    let mut positions = Vec::with_capacity(paths.len());
    let mut candidates = Vec::with_capacity(paths.len());
    for (at, path) in paths.iter().enumerate().filter(|(_, path)| path.refused.is_none()) {
        let Some(PeerRow { source, .. }) = peers.get(&path.peer) else { continue };
        positions.push(at);
        candidates.push(Candidate {
            attributes: &path.attributes,
            external: source.external,
            router_id: source.router_id,
            peer: source.address,
        });
    }
    let (winner, reason) = decision::best(&candidates)?;
    Some((*positions.get(winner)?, reason))
}

fn best_path(entry: &Entry, peers: &HashMap<PeerIndex, PeerRow>) -> Option<BestPath> {
    let (at, reason) = entry.best?;
    let path = entry.paths.get(at)?;
    Some(BestPath {
        peer: peers.get(&path.peer)?.source.address,
        labels: path.label.into_iter().collect(),
        attributes: Arc::clone(&path.attributes),
        reason,
    })
}

#[cfg(test)]
mod tests;
