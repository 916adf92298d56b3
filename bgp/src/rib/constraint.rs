//! What a peer that negotiated route target membership is told of: the routes that it asks for.
//!
//! Nothing is kept for each peer and route. When a peer asks for other routes than before, the log
//! is looked at once more, and what it asked for last time tells which routes it has.

use std::sync::Arc;

use super::out::Cursor;
use super::{Interest, PathAttributes};
use crate::types::Family;

/// The state of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraint {
    asked: Arc<Interest>,
    passes: [Option<Pass>; Family::ALL.len()],
}

/// A second look at the log of a family.
#[derive(Clone, Debug)]
struct Pass {
    /// Places before this one were told under `told`.
    before: u64,
    /// `None`: some under one, some under another.
    told: Option<Arc<Interest>>,
    /// What was told is to be told again.
    again: bool,
}

/// Chooses among the routes of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter<'a> {
    /// All of them.
    All,
    /// What the peer asks for, of this family.
    Asked(&'a Constraint, Family),
}

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Tell,
    Withdraw,
    /// The peer knows already what it has to.
    Skip,
}

impl Constraint {
    /// The peer's memberships are others now.
    pub(crate) fn ask(&mut self, interest: Interest, cursors: &mut [Cursor]) {
        if *self.asked == interest {
            return;
        }
        let told = std::mem::replace(&mut self.asked, Arc::new(interest));
        for family in Family::ALL.into_iter().filter(|family| family.is_vpn()) {
            self.look_again(family, &told, false, cursors);
        }
    }

    /// The peer wants to hear everything of a family again.
    pub(crate) fn refresh(&mut self, family: Family, cursors: &mut [Cursor]) {
        let told = Arc::clone(&self.asked);
        self.look_again(family, &told, true, cursors);
    }

    fn look_again(
        &mut self,
        family: Family,
        told: &Arc<Interest>,
        again: bool,
        cursors: &mut [Cursor],
    ) {
        let Some(cursor) = cursors.get_mut(family.index()) else { return };
        let Some(pass) = self.passes.get_mut(family.index()) else { return };
        let unfinished = pass.as_ref().map(|pass| pass.before).filter(|end| cursor.behind() < *end);
        *pass = Some(match unfinished {
            Some(before) => Pass { before, told: None, again },
            None => Pass { before: cursor.behind(), told: Some(Arc::clone(told)), again },
        });
        cursor.rewind();
    }

    /// Whether the peer asks for a route with these attributes.
    pub(crate) fn wants(&self, attributes: &PathAttributes) -> bool {
        self.asked.wants(attributes)
    }
}

impl Filter<'_> {
    /// `at` is the place of the route's latest change; `older` tells that the peer may have been
    /// told of an earlier form.
    pub(super) fn verdict(self, at: u64, older: bool, attributes: &PathAttributes) -> Verdict {
        let Filter::Asked(constraint, family) = self else { return Verdict::Tell };
        let wanted = constraint.wants(attributes);
        let pass = constraint.passes.get(family.index()).and_then(Option::as_ref);
        let told = match pass.filter(|pass| at < pass.before) {
            Some(Pass { told: Some(told), again, .. }) => match (told.wants(attributes), wanted) {
                (true, true) if !again => return Verdict::Skip,
                (told, _) => told,
            },
            _ => older,
        };
        match (wanted, told) {
            (true, _) => Verdict::Tell,
            (false, true) => Verdict::Withdraw,
            (false, false) => Verdict::Skip,
        }
    }

    /// Whether the peer is told of a route with these attributes at all.
    pub(super) fn admits(self, attributes: &PathAttributes) -> bool {
        match self {
            Filter::All => true,
            Filter::Asked(constraint, _) => constraint.wants(attributes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::super::out::{Log, OwnPath};
    use super::*;
    use crate::types::{Asn, ExtCommunity, Membership, Route, RouteTarget};
    use crate::wire::Binding;

    const FAMILY: Family = Family::Vpnv4;

    #[derive(Clone, Debug)]
    enum Step {
        Set { route: u8, target: u8 },
        Remove { route: u8 },
        Ask(BTreeSet<u8>),
        Refresh,
        Take(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..8u8, 0..4u8).prop_map(|(route, target)| Step::Set { route, target }),
            2 => (0..8u8).prop_map(|route| Step::Remove { route }),
            2 => proptest::collection::btree_set(0..4u8, 0..4).prop_map(Step::Ask),
            1 => Just(Step::Refresh),
            4 => (1..6usize).prop_map(Step::Take),
        ]
    }

    fn target(n: u8) -> RouteTarget {
        format!("1:{n}").parse().unwrap()
    }

    fn route(n: u8) -> Route {
        Route::to(Some("1:1".parse().unwrap()), format!("10.0.{n}.0/24").parse().unwrap())
    }

    proptest! {
        /// Whatever changes on either side and however slowly the peer takes it, in the end it has
        /// exactly the routes that it asks for, in their last form.
        #[test]
        fn the_peer_ends_with_what_it_asks_for(
            steps in proptest::collection::vec(any_step(), 0..80),
        ) {
            let mut log = Log::default();
            let mut cursors = [log.start(); Family::ALL.len()];
            let mut constraint = Constraint::default();
            let mut wanted = BTreeSet::new();
            let mut ours: BTreeMap<Route, (u8, u32)> = BTreeMap::new();
            let mut theirs: BTreeMap<Route, u32> = BTreeMap::new();
            for (label, step) in steps.into_iter().chain([Step::Take(1000)]).enumerate() {
                match step {
                    Step::Set { route: n, target: t } => {
                        let mut attributes = PathAttributes::new(IpAddr::from([192, 0, 2, 1]));
                        attributes.ext_communities = vec![ExtCommunity::from(target(t))];
                        let binding = Binding::Label(label as u32);
                        log.set(route(n), OwnPath { binding, attributes: Arc::new(attributes) });
                        ours.insert(route(n), (t, label as u32));
                    }
                    Step::Remove { route: n } => {
                        log.remove(route(n));
                        ours.remove(&route(n));
                    }
                    Step::Ask(targets) => {
                        let mut interest = Interest::default();
                        for t in &targets {
                            interest.add(Membership::of(Asn(1), target(*t)));
                        }
                        wanted = targets;
                        constraint.ask(interest, &mut cursors);
                    }
                    Step::Refresh => constraint.refresh(FAMILY, &mut cursors),
                    Step::Take(most) => {
                        let filter = Filter::Asked(&constraint, FAMILY);
                        let batch = log.take(&mut cursors[FAMILY.index()], most, filter);
                        for route in batch.unreach {
                            theirs.remove(&route);
                        }
                        for nlri in batch.reach.into_iter().flat_map(|(_, routes)| routes) {
                            theirs.insert(nlri.route, nlri.binding.label().unwrap());
                        }
                    }
                }
            }
            let asked: BTreeMap<Route, u32> = ours
                .into_iter()
                .filter(|(_, (target, _))| wanted.contains(target))
                .map(|(route, (_, label))| (route, label))
                .collect();
            prop_assert_eq!(&theirs, &asked);
            let filter = Filter::Asked(&constraint, FAMILY);
            let sent: BTreeSet<Route> =
                log.sent(cursors[FAMILY.index()], filter).map(|(route, _)| *route).collect();
            prop_assert!(sent.iter().eq(asked.keys()));
        }
    }
}
