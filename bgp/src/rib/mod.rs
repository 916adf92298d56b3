//! Routing information bases: what peers sent, what is best of it and why, what they are sent.
//!
//! One table for each family maps a route to its paths, one from each peer at most. Labels stand
//! with the path; attribute sets are interned. A change of the best path queues its route once,
//! however often it changes until somebody asks. News of all families and of sessions keep the
//! order in which they came.

mod constraint;
pub mod decision;
mod interest;
mod intern;
pub(crate) mod out;
mod table;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::{Ipv4Net, Ipv6Net};

pub use crate::wire::PathAttributes;
pub use decision::Reason;

use crate::speaker::Update;
use crate::types::{Asn, EvpnRoute, Family, Membership, Route, RouteDistinguisher};
use crate::wire::Nlri;
pub(crate) use constraint::{Constraint, Filter};
pub(crate) use interest::Interest;
pub(crate) use intern::Interner;
pub(crate) use table::Seen;
use table::Table;

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
    /// So many routes from the queue of a family's table.
    Routes(Family, usize),
    Session(Update),
}

/// What the tables of all families share.
#[derive(Debug, Default)]
struct Common {
    peers: HashMap<PeerIndex, PeerRow>,
    news: VecDeque<News>,
}

/// Adj-RIBs-In and Loc-RIB of all families.
#[derive(Debug)]
pub(crate) struct Rib {
    asn: Asn,
    router_id: Ipv4Addr,
    common: Common,
    ipv4: Table<Ipv4Net>,
    ipv6: Table<Ipv6Net>,
    vpnv4: Table<(RouteDistinguisher, Ipv4Net)>,
    vpnv6: Table<(RouteDistinguisher, Ipv6Net)>,
    evpn: Table<(RouteDistinguisher, EvpnRoute)>,
    rtc: Table<Membership>,
}

/// Does the same with the table of a family, whichever type it has.
macro_rules! with_table {
    ($rib:expr, $family:expr, $table:ident => $body:expr) => {
        match $family {
            Family::Ipv4Unicast => {
                let $table = &mut $rib.ipv4;
                $body
            }
            Family::Ipv6Unicast => {
                let $table = &mut $rib.ipv6;
                $body
            }
            Family::Vpnv4 => {
                let $table = &mut $rib.vpnv4;
                $body
            }
            Family::Vpnv6 => {
                let $table = &mut $rib.vpnv6;
                $body
            }
            Family::Evpn => {
                let $table = &mut $rib.evpn;
                $body
            }
            Family::Rtc => {
                let $table = &mut $rib.rtc;
                $body
            }
        }
    };
}

impl Rib {
    pub(crate) fn new(asn: Asn, router_id: Ipv4Addr) -> Rib {
        Rib {
            asn,
            router_id,
            common: Common::default(),
            ipv4: Table::new(),
            ipv6: Table::new(),
            vpnv4: Table::new(),
            vpnv6: Table::new(),
            evpn: Table::new(),
            rtc: Table::new(),
        }
    }

    /// A session is Established: routes from `peer` may come.
    pub(crate) fn peer_up(&mut self, peer: PeerIndex, source: Source) {
        self.common.peers.insert(peer, PeerRow { source, counts: Counts::default() });
        let up = Update::SessionUp { peer: source.address };
        self.common.news.push_back(News::Session(up));
    }

    /// The session is gone and every route of it.
    pub(crate) fn peer_down(&mut self, peer: PeerIndex, reason: String) {
        let Some(row) = self.common.peers.get(&peer) else { return };
        let address = row.source.address;
        let received = row.counts.received;
        self.common.news.push_back(News::Session(Update::SessionDown { peer: address, reason }));
        if received > 0 {
            for family in Family::ALL {
                self.clear(peer, family);
            }
        }
        self.common.peers.remove(&peer);
    }

    /// The peer has sent everything of a family.
    pub(crate) fn end_of_rib(&mut self, peer: PeerIndex, family: Family) {
        if let Some(source) = self.source(peer) {
            let end = Update::EndOfRib { peer: source.address, family };
            self.common.news.push_back(News::Session(end));
        }
    }

    /// Paths from `peer` in place of any that it sent before.
    pub(crate) fn announce(
        &mut self,
        peer: PeerIndex,
        family: Family,
        attributes: &Arc<PathAttributes>,
        routes: &[Nlri],
    ) {
        let Some(source) = self.source(peer) else { return };
        let refused = self.refusal(&source, attributes);
        with_table!(self, family, table => {
            table.announce(&mut self.common, peer, refused, attributes, routes);
        });
    }

    /// The peer's paths are gone; one that was not there is no error.
    pub(crate) fn withdraw(&mut self, peer: PeerIndex, family: Family, routes: &[Route]) {
        with_table!(self, family, table => table.withdraw(&mut self.common, peer, routes));
    }

    /// A family of the peer is ignored from now on: its paths are gone.
    pub(crate) fn disable(&mut self, peer: PeerIndex, family: Family, reason: &'static str) {
        self.clear(peer, family);
        if let Some(source) = self.source(peer) {
            let disabled = Update::FamilyDisabled { peer: source.address, family, reason };
            self.common.news.push_back(News::Session(disabled));
        }
    }

    fn clear(&mut self, peer: PeerIndex, family: Family) {
        with_table!(self, family, table => table.clear(&mut self.common, peer));
    }

    /// Takes the oldest news; `None` when everything is told.
    pub(crate) fn next_update(&mut self) -> Option<Update> {
        loop {
            let family = match self.common.news.front_mut()? {
                News::Routes(_, 0) => {
                    self.common.news.pop_front();
                    continue;
                }
                News::Routes(family, left) => {
                    *left -= 1;
                    *family
                }
                News::Session(_) => match self.common.news.pop_front()? {
                    News::Session(update) => return Some(update),
                    News::Routes(..) => continue,
                },
            };
            let told = with_table!(self, family, table => table.next(&self.common));
            if let Some((route, path)) = told {
                return Some(Update::Best { route, path });
            }
        }
    }

    pub(crate) fn counts(&self, peer: PeerIndex) -> Counts {
        self.common.counts(peer)
    }

    pub(crate) fn source(&self, peer: PeerIndex) -> Option<Source> {
        self.common.peers.get(&peer).map(|row| row.source)
    }

    /// Shows every path of a family, in no order.
    pub(crate) fn visit(&self, family: Family, mut see: impl FnMut(Seen<'_>)) {
        match family {
            Family::Ipv4Unicast => self.ipv4.visit(&mut see),
            Family::Ipv6Unicast => self.ipv6.visit(&mut see),
            Family::Vpnv4 => self.vpnv4.visit(&mut see),
            Family::Vpnv6 => self.vpnv6.visit(&mut see),
            Family::Evpn => self.evpn.visit(&mut see),
            Family::Rtc => self.rtc.visit(&mut see),
        }
    }

    /// What a peer asks for, as far as its memberships may be used.
    pub(crate) fn interest(&self, peer: PeerIndex) -> Interest {
        let mut interest = Interest::default();
        self.visit(Family::Rtc, |seen| {
            if let (true, None, Route::Rtc(membership)) =
                (seen.peer == peer, seen.refused, seen.route)
            {
                interest.add(membership);
            }
        });
        interest
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
}

impl Common {
    /// A table has queued one more route.
    fn queued(&mut self, family: Family) {
        match self.news.back_mut() {
            Some(News::Routes(last, count)) if *last == family => *count += 1,
            _ => self.news.push_back(News::Routes(family, 1)),
        }
    }

    fn counts(&self, peer: PeerIndex) -> Counts {
        self.peers.get(&peer).map(|row| row.counts).unwrap_or_default()
    }

    fn count(&mut self, peer: PeerIndex, counts: Counts) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.counts = counts;
        }
    }
}

impl Counts {
    fn add(&mut self, refused: Option<Refusal>) {
        self.received += 1;
        self.accepted += u64::from(refused.is_none());
    }

    fn remove(&mut self, refused: Option<Refusal>) {
        self.received = self.received.saturating_sub(1);
        self.accepted = self.accepted.saturating_sub(u64::from(refused.is_none()));
    }
}

#[cfg(test)]
mod tests;
