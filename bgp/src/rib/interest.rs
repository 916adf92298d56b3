//! What a peer asks for with its route target memberships (RFC 4684 6).

use hashbrown::HashSet;

use super::PathAttributes;
use crate::types::{Membership, RouteTarget};

/// The route targets of all its memberships. Without any it asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    whole: HashSet<RouteTarget>,
    /// Those that are a prefix of route targets; in practice the default, or none.
    wide: Vec<Membership>,
}

impl Interest {
    pub(crate) fn add(&mut self, membership: Membership) {
        match membership.target() {
            Some(target) => {
                self.whole.insert(target);
            }
            None => {
                let at = self.wide.partition_point(|other| *other < membership);
                self.wide.insert(at, membership);
            }
        }
    }

    /// Whether it asks for a route with these attributes. One without route targets is wanted
    /// only by who wants everything.
    pub(crate) fn wants(&self, attributes: &PathAttributes) -> bool {
        let wants = |target| {
            self.whole.contains(&target) || self.wide.iter().any(|wide| wide.admits(target))
        };
        self.wide.contains(&Membership::DEFAULT) || attributes.route_targets().any(wants)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::types::{Asn, ExtCommunity};

    fn with(targets: &[&str]) -> PathAttributes {
        let targets = targets.iter().map(|text| text.parse::<RouteTarget>().unwrap());
        let mut attributes = PathAttributes::new(IpAddr::from([192, 0, 2, 1]));
        attributes.ext_communities = targets.map(ExtCommunity::from).collect();
        attributes
    }

    #[test]
    fn one_route_target_in_common_is_enough() {
        let mut interest = Interest::default();
        assert!(!interest.wants(&with(&["1:1"])), "no membership asks for nothing");
        // Whoever asks, and however many do.
        for asn in [64512, 64513] {
            interest.add(Membership::of(Asn(asn), "1:1".parse().unwrap()));
        }
        interest.add(Membership::from_prefix([0, 0, 0, 1, 0, 2, 0, 9, 0, 0, 0, 0], 64).unwrap());
        assert!(interest.wants(&with(&["1:1"])) && interest.wants(&with(&["7:7", "1:1"])));
        assert!(interest.wants(&with(&["9:4711"])), "a part of a route target");
        assert!(!interest.wants(&with(&["1:2"])) && !interest.wants(&with(&[])));
        interest.add(Membership::DEFAULT);
        assert!(interest.wants(&with(&[])) && interest.wants(&with(&["1:2"])));
    }
}
