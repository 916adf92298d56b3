//! The choice among the paths of one route (RFC 4271 9.1.2.2, RFC 4456 9).
//!
//! Steps eliminate candidates from the whole set, as the RFC words it, so the outcome depends on
//! the paths alone and not on the order in which they came (deterministic MED).

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::PathAttributes;

/// LOCAL_PREF of a path that carries none.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// Which step decided: the one that removed the last other candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no other usable path.
    OnlyPath,
    /// Highest LOCAL_PREF (9.1.1).
    LocalPref,
    /// Moved most often (RFC 7432 7.7); control nodes say so of VPN routes too.
    MacMobility,
    /// Shortest AS path (a).
    AsPathLength,
    /// Lowest origin (b).
    Origin,
    /// Lowest MED among paths from the same neighbouring AS (c).
    Med,
    /// From an external peer (d).
    External,
    /// Lowest BGP identifier, or ORIGINATOR_ID (f, RFC 4456).
    RouterId,
    /// Shortest CLUSTER_LIST (RFC 4456).
    ClusterListLength,
    /// Lowest peer address (g).
    PeerAddress,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::OnlyPath => "only path",
            Reason::LocalPref => "highest local preference",
            Reason::MacMobility => "highest MAC mobility sequence",
            Reason::AsPathLength => "shortest AS path",
            Reason::Origin => "lowest origin",
            Reason::Med => "lowest MED",
            Reason::External => "external over internal",
            Reason::RouterId => "lowest router id",
            Reason::ClusterListLength => "shortest cluster list",
            Reason::PeerAddress => "lowest peer address",
        })
    }
}

/// What the decision sees of a path.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The attributes.
    pub attributes: &'a PathAttributes,
    /// Learnt from another AS.
    pub external: bool,
    /// BGP identifier of the peer.
    pub router_id: Ipv4Addr,
    /// Address of the peer.
    pub peer: IpAddr,
}

impl Candidate<'_> {
    fn local_pref(&self) -> u32 {
        self.attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
    }

    /// RFC 4271 9.1.2.2 c: no MED counts as the lowest value.
    fn med(&self) -> u32 {
        self.attributes.med.unwrap_or(0)
    }

    fn originator(&self) -> Ipv4Addr {
        self.attributes.originator_id.unwrap_or(self.router_id)
    }
}

/// Position of the best of `candidates` and why; `None` when there is none. For equal peer
/// addresses, which the speaker never has, the first one wins.
pub fn best(candidates: &[Candidate<'_>]) -> Option<(usize, Reason)> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    if let [only] = left.as_slice() {
        return Some((*only, Reason::OnlyPath));
    }
    type Step = fn(&[Candidate<'_>], &mut Vec<usize>);
    let steps: [(Reason, Step); 9] = [
        (Reason::LocalPref, |all, left| lowest(all, left, |c| u32::MAX - c.local_pref())),
        (Reason::MacMobility, |all, left| {
            lowest(all, left, |c| Reverse(c.attributes.mobility()));
        }),
        (Reason::AsPathLength, |all, left| lowest(all, left, |c| c.attributes.as_path.hops())),
        (Reason::Origin, |all, left| lowest(all, left, |c| c.attributes.origin)),
        (Reason::Med, lowest_med),
        (Reason::External, |all, left| lowest(all, left, |c| !c.external)),
        // (e), the interior cost, is known only above: VPN next hops are resolved there.
        (Reason::RouterId, |all, left| lowest(all, left, |c| c.originator())),
        (Reason::ClusterListLength, |all, left| {
            lowest(all, left, |c| c.attributes.cluster_list.len());
        }),
        (Reason::PeerAddress, |all, left| lowest(all, left, |c| c.peer)),
    ];
    for (reason, step) in steps {
        step(candidates, &mut left);
        if let [winner] = left.as_slice() {
            return Some((*winner, reason));
        }
    }
    left.first().map(|&winner| (winner, Reason::PeerAddress))
}

fn lowest<K: Ord>(all: &[Candidate<'_>], left: &mut Vec<usize>, key: impl Fn(&Candidate<'_>) -> K) {
    let Some(bar) = left.iter().filter_map(|&i| all.get(i)).map(&key).min() else { return };
    left.retain(|&i| all.get(i).is_some_and(|c| key(c) <= bar));
}

/// Within each neighbouring AS, those with its lowest MED stay.
fn lowest_med(all: &[Candidate<'_>], left: &mut Vec<usize>) {
    let group = |c: &Candidate<'_>| (c.attributes.as_path.neighbor(), c.med());
    let mut bars: Vec<_> = left.iter().filter_map(|&i| all.get(i)).map(group).collect();
    bars.sort_unstable();
    bars.dedup_by_key(|(neighbor, _)| *neighbor); // keeps the first, which is the lowest
    left.retain(|&i| {
        all.get(i).map(group).is_some_and(|(neighbor, med)| {
            bars.binary_search_by_key(&neighbor, |bar| bar.0)
                .ok()
                .and_then(|at| bars.get(at))
                .is_none_or(|bar| med <= bar.1)
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Asn, ExtCommunity};
    use crate::wire::{AsPath, Origin};

    fn attributes(path: &[u32]) -> PathAttributes {
        let asns: Vec<Asn> = path.iter().copied().map(Asn).collect();
        PathAttributes {
            as_path: AsPath::sequence(&asns),
            ..PathAttributes::new(IpAddr::from([192, 0, 2, 1]))
        }
    }

    fn candidate(attributes: &PathAttributes, id: u8) -> Candidate<'_> {
        let address = Ipv4Addr::new(10, 0, 0, id);
        Candidate { attributes, external: false, router_id: address, peer: address.into() }
    }

    #[test]
    fn each_step_decides_when_all_before_it_tie() {
        let base = attributes(&[1]);
        let pref = PathAttributes { local_pref: Some(101), ..base.clone() };
        let long = attributes(&[1, 2]);
        let egp = PathAttributes { origin: Origin::Egp, ..base.clone() };
        let med = PathAttributes { med: Some(5), ..base.clone() };
        let originator =
            PathAttributes { originator_id: Some(Ipv4Addr::new(9, 0, 0, 0)), ..base.clone() };
        let moved = |sequence: u8, sticky: bool| PathAttributes {
            ext_communities: vec![ExtCommunity([6, 0, sticky.into(), 0, 0, 0, 0, sequence])],
            ..long.clone()
        };
        let cases = [
            (&base, &pref, Reason::LocalPref),
            (&moved(3, false), &moved(4, false), Reason::MacMobility),
            (&moved(4, false), &moved(3, true), Reason::MacMobility),
            (&base, &moved(1, false), Reason::MacMobility),
            (&long, &base, Reason::AsPathLength),
            (&egp, &base, Reason::Origin),
            (&med, &base, Reason::Med),
            (&base, &originator, Reason::RouterId),
        ];
        for (loser, winner, reason) in cases {
            let pair = [candidate(loser, 1), candidate(winner, 2)];
            assert_eq!(best(&pair), Some((1, reason)));
        }
        let external = Candidate { external: true, ..candidate(&base, 2) };
        assert_eq!(best(&[candidate(&base, 1), external]), Some((1, Reason::External)));
        let clusters = PathAttributes { cluster_list: vec![Ipv4Addr::LOCALHOST], ..base.clone() };
        let same_id = |attributes, peer: u8| Candidate {
            router_id: Ipv4Addr::LOCALHOST,
            ..candidate(attributes, peer)
        };
        let pair = [same_id(&clusters, 1), same_id(&base, 2)];
        assert_eq!(best(&pair), Some((1, Reason::ClusterListLength)));
        assert_eq!(best(&[same_id(&base, 2), same_id(&base, 1)]), Some((1, Reason::PeerAddress)));
        assert_eq!(best(&[candidate(&base, 1)]), Some((0, Reason::OnlyPath)));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn med_counts_within_a_neighbouring_as_and_order_never_does() {
        // The classic triple in which pairwise comparison runs in circles.
        let a = PathAttributes { med: Some(10), ..attributes(&[1]) };
        let b = PathAttributes { med: Some(0), ..attributes(&[1]) };
        let c = PathAttributes { med: Some(5), ..attributes(&[2]) };
        let all = [candidate(&a, 1), candidate(&b, 3), candidate(&c, 2)];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for order in orders {
            let shuffled = order.map(|i: usize| all[i]);
            let (winner, reason) = best(&shuffled).unwrap();
            assert_eq!(shuffled[winner].peer, all[2].peer);
            assert_eq!(reason, Reason::RouterId);
        }
    }
}
