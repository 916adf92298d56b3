//! Adj-RIBs-Out: our own routes, and how far each peer has been told of them.
//!
//! Nothing is kept for each peer and route: changes stand in one log in order of time, a route
//! once, at its latest change, and a peer is a position in the log. A slow peer skips the changes
//! in between by itself; a refresh is a step back.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::PathAttributes;
use super::constraint::{Filter, Verdict};
use crate::types::Route;
use crate::wire::{Binding, Nlri};

/// The originated routes of one family.
#[derive(Debug, Default)]
pub(crate) struct Log {
    routes: HashMap<Route, Own>,
    order: BTreeMap<u64, Route>,
    next: u64,
    gone: usize,
}

#[derive(Debug)]
struct Own {
    /// Place of the latest change.
    at: u64,
    /// Place of the change that brought it; peers beyond have been sent it in some form.
    since: u64,
    /// What to send; `None` for a withdrawal that some peer may not have been told yet.
    path: Option<OwnPath>,
}

/// What we say of a route of ours.
#[derive(Clone, Debug)]
pub(crate) struct OwnPath {
    pub binding: Binding,
    pub attributes: Arc<PathAttributes>,
}

/// How far a peer is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// The next place to look at.
    at: u64,
    /// The furthest place ever reached.
    reached: u64,
    /// Withdrawals before this place are none of this session's business.
    gone_from: u64,
    /// Reaching this place completes the initial update.
    end_of_rib: Option<u64>,
}

/// Changes to tell a peer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub unreach: Vec<Route>,
    pub reach: Vec<(Arc<PathAttributes>, Vec<Nlri>)>,
    /// The initial update is complete with this batch.
    pub end_of_rib: bool,
}

impl Log {
    /// Adds or replaces a route. An equal one changes nothing.
    pub(crate) fn set(&mut self, route: Route, path: OwnPath) {
        let at = self.next;
        let since = match self.routes.get(&route) {
            Some(Own { path: Some(old), .. })
                if old.binding == path.binding && old.attributes == path.attributes =>
            {
                return;
            }
            Some(Own { path: Some(_), since, .. }) => *since,
            // Some peer may not have been told of the withdrawal yet: it still has the old one.
            Some(Own { path: None, since, .. }) => {
                self.gone -= 1;
                *since
            }
            None => at,
        };
        self.put(route, Own { at, since, path: Some(path) });
    }

    /// Takes a route back; true when it was there.
    pub(crate) fn remove(&mut self, route: Route) -> bool {
        let Some(Own { path: Some(_), since, .. }) = self.routes.get(&route) else { return false };
        let (at, since) = (self.next, *since);
        self.gone += 1;
        self.put(route, Own { at, since, path: None });
        true
    }

    fn put(&mut self, route: Route, own: Own) {
        self.order.insert(own.at, route);
        self.next = own.at + 1;
        if let Some(old) = self.routes.insert(route, own) {
            self.order.remove(&old.at);
        }
    }

    /// Where a new session starts.
    pub(crate) fn start(&self) -> Cursor {
        Cursor { at: 0, reached: 0, gone_from: self.next, end_of_rib: Some(self.next) }
    }

    /// Whether [`Log::take`] has something for the cursor.
    pub(crate) fn pending(&self, cursor: &Cursor) -> bool {
        cursor.at < self.next || cursor.end_of_rib.is_some()
    }

    /// What `filter` lets through of up to `most` changes behind the cursor, grouped by attributes;
    /// the cursor moves past them.
    pub(crate) fn take(&self, cursor: &mut Cursor, most: usize, filter: Filter<'_>) -> Batch {
        let mut batch = Batch::default();
        let mut groups: HashMap<*const PathAttributes, usize> = HashMap::new();
        let mut entries = self.order.range(cursor.at..);
        for (at, route) in entries.by_ref().take(most) {
            cursor.at = at + 1;
            let Some(own) = self.routes.get(route) else { continue };
            let Some(path) = &own.path else {
                if *at >= cursor.gone_from {
                    batch.unreach.push(*route);
                }
                continue;
            };
            match filter.verdict(*at, own.since < cursor.reached, &path.attributes) {
                Verdict::Skip => {}
                Verdict::Withdraw => batch.unreach.push(*route),
                Verdict::Tell => {
                    let next = batch.reach.len();
                    let group = *groups.entry(Arc::as_ptr(&path.attributes)).or_insert(next);
                    if group == next {
                        batch.reach.push((Arc::clone(&path.attributes), Vec::new()));
                    }
                    if let Some((_, routes)) = batch.reach.get_mut(group) {
                        routes.push(Nlri { route: *route, binding: path.binding.clone() });
                    }
                }
            }
        }
        if entries.next().is_none() {
            cursor.at = self.next;
        }
        cursor.reached = cursor.reached.max(cursor.at);
        if cursor.end_of_rib.is_some_and(|end| cursor.at >= end) {
            cursor.end_of_rib = None;
            batch.end_of_rib = true;
        }
        batch
    }

    /// Forgets withdrawals that everybody knows of; `behind` is the cursor of the slowest peer,
    /// `None` when there is no peer. Costs each withdrawal a constant share.
    pub(crate) fn forget(&mut self, behind: Option<u64>) {
        if self.gone < 64 + (self.routes.len() - self.gone) / 2 {
            return;
        }
        let known = behind.unwrap_or(self.next);
        let (routes, order) = (&mut self.routes, &mut self.order);
        routes.retain(|_, own| {
            let keep = own.path.is_some() || own.at >= known;
            if !keep {
                order.remove(&own.at);
            }
            keep
        });
        self.gone = self.routes.values().filter(|own| own.path.is_none()).count();
    }

    /// Routes that a peer has been sent, with the label and attributes that it is (to be) told.
    pub(crate) fn sent<'a>(
        &'a self,
        cursor: Cursor,
        filter: Filter<'a>,
    ) -> impl Iterator<Item = (&'a Route, &'a OwnPath)> {
        self.routes
            .iter()
            .filter(move |(_, own)| own.since < cursor.reached)
            .filter_map(|(route, own)| own.path.as_ref().map(|path| (route, path)))
            .filter(move |(_, path)| filter.admits(&path.attributes))
    }
}

impl Cursor {
    /// Everything is to be looked at again.
    pub(crate) fn rewind(&mut self) {
        self.gone_from = self.gone_from.max(self.at);
        self.at = 0;
    }

    /// The first place that the peer has not seen.
    pub(crate) fn behind(&self) -> u64 {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn route(n: u8) -> Route {
        Route::Ipv4(format!("10.0.{n}.0/24").parse().unwrap())
    }

    fn path(attributes: &Arc<PathAttributes>, label: u32) -> OwnPath {
        OwnPath { binding: Binding::Label(label), attributes: Arc::clone(attributes) }
    }

    fn attributes(last: u8) -> Arc<PathAttributes> {
        Arc::new(PathAttributes::new(IpAddr::from([192, 0, 2, last])))
    }

    fn labels(batch: &Batch) -> Vec<u32> {
        batch
            .reach
            .iter()
            .flat_map(|(_, routes)| routes)
            .filter_map(|nlri| nlri.binding.label())
            .collect()
    }

    #[test]
    fn a_peer_sees_each_change_once_and_the_latest_only() {
        let (one, two) = (attributes(1), attributes(2));
        let mut log = Log::default();
        log.set(route(1), path(&one, 11));
        log.set(route(2), path(&two, 12));
        log.set(route(3), path(&one, 13));
        let mut cursor = log.start();
        let batch = log.take(&mut cursor, 100, Filter::All);
        assert_eq!(batch.reach.len(), 2, "routes of equal attributes share a group");
        assert!(batch.end_of_rib && !log.pending(&cursor));
        log.set(route(3), path(&one, 13));
        assert!(!log.pending(&cursor), "an equal route is no change");

        log.set(route(1), path(&one, 21));
        log.set(route(1), path(&one, 31));
        log.remove(route(2));
        let batch = log.take(&mut cursor, 100, Filter::All);
        assert_eq!((labels(&batch), batch.unreach), (vec![31], vec![route(2)]));
        assert!(!batch.end_of_rib);
        assert_eq!(log.sent(cursor, Filter::All).count(), 2);
    }

    #[test]
    fn a_new_session_and_a_refresh_hear_no_old_withdrawals() {
        let one = attributes(1);
        let mut log = Log::default();
        log.set(route(1), path(&one, 1));
        log.set(route(2), path(&one, 2));
        log.remove(route(1));
        let mut cursor = log.start();
        let batch = log.take(&mut cursor, 1, Filter::All);
        assert!(!batch.end_of_rib, "one more place to go");
        log.remove(route(2));
        cursor.rewind();
        let batch = log.take(&mut cursor, 100, Filter::All);
        assert_eq!(batch.unreach, [route(2)], "sent in this session, so withdrawn in it");
        assert!(batch.end_of_rib && batch.reach.is_empty());
    }

    #[test]
    fn an_empty_log_still_ends_the_initial_update() {
        let log = Log::default();
        let mut cursor = log.start();
        assert!(log.pending(&cursor));
        assert!(log.take(&mut cursor, 10, Filter::All).end_of_rib);
        assert!(!log.pending(&cursor));
    }

    #[test]
    fn withdrawals_are_forgotten_once_known() {
        let one = attributes(1);
        let mut log = Log::default();
        for n in 0..=255 {
            log.set(route(n), path(&one, 1));
            log.remove(route(n));
        }
        log.forget(Some(0));
        assert_eq!(log.routes.len(), 256);
        log.forget(Some(200));
        assert!(log.routes.len() < 256 && log.order.len() == log.routes.len());
        log.forget(None);
        assert!(log.routes.is_empty() && log.gone == 0);
        // The log still counts on: nobody mistakes a new route for an old one.
        let mut cursor = log.start();
        log.take(&mut cursor, 1, Filter::All);
        log.set(route(1), path(&one, 9));
        assert_eq!(labels(&log.take(&mut cursor, 10, Filter::All)), [9]);
    }
}
