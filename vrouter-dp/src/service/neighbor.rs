//! Neighbours: who answers at an address, kept fresh by ARP. A machine without I/O: time comes in, probes and changes come out.
//!
//! Underlay neighbours (next hops of tunnels) are resolved: without an answer their tunnels do not forward. Instances have a
//! configured MAC: probing them tells whether they are there, and does not change where their packets go. A static neighbour of the
//! underlay is neither asked nor believed: its MAC is configured, and stands whenever its link does.
//! The states are those of RFC 4861 7.3.2 as far as IPv4 has use for them.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use engine::seam::{NeighborState, PortId, VifId};
use wire::Mac;

/// An answer is trusted this long before it is asked for again.
pub const REACHABLE: Duration = Duration::from_secs(30);
/// Time between two questions.
pub const RETRANSMIT: Duration = Duration::from_secs(1);
/// Questions without an answer before a neighbour counts as failed.
pub const ATTEMPTS: u8 = 3;
/// Time between two questions to an instance that has failed.
pub const SLOW: Duration = Duration::from_secs(5);

/// Whom we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A host on the link of a fabric port.
    Underlay(PortId, Ipv4Addr),
    /// An address of an instance.
    Instance(VifId, Ipv4Addr),
}

/// What is known about a neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Neighbor {
    /// Its MAC, once answered (underlay), or as configured (instance, static).
    pub mac: Option<Mac>,
    /// How far it can be trusted.
    pub state: NeighborState,
    /// When it last answered.
    pub confirmed: Option<Instant>,
    attempts: u8,
    /// Somebody wants it resolved; only a static one is kept without.
    tracked: bool,
    /// The link of a static one.
    link: bool,
    /// When there is something to do for it.
    due: Instant,
    /// The one timer that counts: not later than `due`.
    timer: Option<Instant>,
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an ARP request, to this MAC if there is one, else to all.
    Probe(Key, Option<Mac>),
    /// The MAC of an underlay neighbour appeared, changed or went.
    Resolved(Key, Option<Mac>),
}

/// All neighbours of the node.
#[derive(Default)]
pub struct Neighbors {
    entries: HashMap<Key, Neighbor>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Neighbors {
    /// Starts to keep `key` resolved. `mac` is the configured one of an instance. What is known goes on as it is.
    pub fn track(&mut self, key: Key, mac: Option<Mac>, now: Instant) {
        if let Some(known) = self.entries.get_mut(&key) {
            known.tracked = true;
            return;
        }
        self.entries.insert(key, Neighbor::unknown(mac, now));
        self.arm(key, now);
    }

    /// As [`Neighbors::track`], but what was known about `key` counts no more: it is somebody else now.
    pub fn restart(&mut self, key: Key, mac: Option<Mac>, now: Instant) {
        self.untrack(key);
        self.track(key, mac, now);
    }

    /// Nobody wants `key` resolved any more: it is forgotten, unless it is static.
    pub fn untrack(&mut self, key: Key) {
        if let Entry::Occupied(mut entry) = self.entries.entry(key) {
            match entry.get().state {
                NeighborState::Static => entry.get_mut().tracked = false,
                _ => drop(entry.remove()),
            }
        }
    }

    /// Makes `key` static: whatever it was, it has this MAC while its link is up.
    pub fn fix(&mut self, key: Key, mac: Mac, link: bool, now: Instant, out: &mut Vec<Action>) {
        let fresh = Neighbor { tracked: false, ..Neighbor::unknown(None, now) };
        let entry = self.entries.entry(key).or_insert(fresh);
        let before = entry.reached();
        entry.mac = Some(mac);
        entry.state = NeighborState::Static;
        entry.confirmed = None;
        entry.link = link;
        entry.timer = None;
        if entry.reached() != before {
            out.push(Action::Resolved(key, entry.reached()));
        }
    }

    /// `key` is static no more: it is asked for, if somebody wants it resolved. False if it was not static.
    pub fn loosen(&mut self, key: Key, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(entry) = self.entries.get(&key) else { return false };
        if entry.state != NeighborState::Static {
            return false;
        }
        let (tracked, reached) = (entry.tracked, entry.reached().is_some());
        self.entries.remove(&key);
        if tracked {
            self.track(key, None, now);
        }
        if reached {
            out.push(Action::Resolved(key, None));
        }
        true
    }

    /// What is known about `key`.
    pub fn find(&self, key: Key) -> Option<&Neighbor> {
        self.entries.get(&key)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Neighbor)> {
        self.entries.iter()
    }

    /// `key` said that its MAC is `mac` (a reply, or its own request).
    pub fn heard(&mut self, key: Key, mac: Mac, now: Instant, out: &mut Vec<Action>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let configured = matches!(key, Key::Instance(..)) && entry.mac != Some(mac);
        if configured || entry.state == NeighborState::Static {
            return;
        }
        let changed = entry.mac != Some(mac) || entry.state == NeighborState::Failed;
        entry.mac = Some(mac);
        entry.state = NeighborState::Reachable;
        entry.confirmed = Some(now);
        entry.attempts = 0;
        if changed && matches!(key, Key::Underlay(..)) {
            out.push(Action::Resolved(key, Some(mac)));
        }
        self.arm(key, now + REACHABLE);
    }

    /// The link of those behind `down` went down: nobody is known there any more. What is configured stays, but a static
    /// neighbour is not reached until its link is back.
    pub fn link_down(&mut self, down: impl Fn(Key) -> bool, out: &mut Vec<Action>) {
        for (key, entry) in self.entries.iter_mut().filter(|(key, _)| down(**key)) {
            if entry.state == NeighborState::Static {
                if std::mem::take(&mut entry.link) {
                    out.push(Action::Resolved(*key, None));
                }
                continue;
            }
            if matches!(key, Key::Underlay(..)) && entry.mac.take().is_some() {
                out.push(Action::Resolved(*key, None));
            }
            entry.state = NeighborState::Incomplete;
            entry.attempts = 0;
        }
    }

    /// The link of those behind `up` came up: asks again at once. Static ones are reached again.
    pub fn link_up(&mut self, up: impl Fn(Key) -> bool, now: Instant, out: &mut Vec<Action>) {
        let mut ask = Vec::new();
        for (key, entry) in self.entries.iter_mut().filter(|(key, _)| up(**key)) {
            if entry.state != NeighborState::Static {
                ask.push(*key);
            } else if !std::mem::replace(&mut entry.link, true) {
                out.push(Action::Resolved(*key, entry.mac));
            }
        }
        for key in ask {
            self.arm(key, now);
        }
    }

    /// Asks at most `budget` of those that are due, so that thousands of instances are asked at a steady pace.
    pub fn tick(&mut self, now: Instant, budget: usize, out: &mut Vec<Action>) {
        let mut asked = 0;
        while asked < budget
            && let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= now
            && let Some(Reverse((at, key))) = self.timers.pop()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if entry.timer != Some(at) {
                continue;
            }
            entry.timer = None;
            let mut next = entry.due;
            if next <= now {
                next = now + entry.ask(key, out);
                asked += 1;
            }
            self.arm(key, next);
        }
    }

    /// Sets when there is something to do. One timer per neighbour, however often it is heard: a later time is found when the
    /// timer runs out.
    fn arm(&mut self, key: Key, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.due = at;
            if entry.timer.is_none_or(|timer| at < timer) {
                entry.timer = Some(at);
                self.timers.push(Reverse((at, key)));
            }
        }
    }
}

impl Neighbor {
    fn unknown(mac: Option<Mac>, due: Instant) -> Neighbor {
        Neighbor {
            mac,
            state: NeighborState::Incomplete,
            confirmed: None,
            attempts: 0,
            tracked: true,
            link: true,
            due,
            timer: None,
        }
    }

    /// Where packets to it go now; `None`: nowhere.
    pub fn reached(&self) -> Option<Mac> {
        self.mac.filter(|_| self.link)
    }

    /// Asks, or gives up. Returns the wait until the next time.
    fn ask(&mut self, key: Key, out: &mut Vec<Action>) -> Duration {
        if self.state == NeighborState::Reachable {
            self.state = NeighborState::Stale;
            self.attempts = 0;
        }
        if self.attempts >= ATTEMPTS && self.state != NeighborState::Failed {
            self.state = NeighborState::Failed;
            if matches!(key, Key::Underlay(..)) && self.mac.take().is_some() {
                out.push(Action::Resolved(key, None));
            }
        }
        self.attempts = self.attempts.saturating_add(1);
        out.push(Action::Probe(key, self.mac));
        match (self.state, key) {
            (NeighborState::Failed, Key::Instance(..)) => SLOW,
            _ => RETRANSMIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn run(n: &mut Neighbors, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        n.tick(now, usize::MAX, &mut out);
        out
    }

    #[test]
    fn an_underlay_neighbour_lives_and_dies() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        let key = Key::Underlay(PortId(0), Ipv4Addr::new(192, 0, 2, 9));
        n.track(key, None, t0);
        assert_eq!(run(&mut n, t0), [Action::Probe(key, None)]);
        assert_eq!(run(&mut n, t0), []);
        let t1 = t0 + RETRANSMIT;
        assert_eq!(run(&mut n, t1), [Action::Probe(key, None)]);
        let mut out = Vec::new();
        n.heard(key, MAC, t1, &mut out);
        assert_eq!(out, [Action::Resolved(key, Some(MAC))]);
        // Fresh until the reachable time is over, then asked at its own MAC.
        assert_eq!(run(&mut n, t1 + REACHABLE - Duration::from_millis(1)), []);
        let mut now = t1 + REACHABLE;
        for _ in 0..ATTEMPTS {
            assert_eq!(run(&mut n, now), [Action::Probe(key, Some(MAC))]);
            assert_eq!(n.find(key).unwrap().state, NeighborState::Stale);
            now += RETRANSMIT;
        }
        assert_eq!(run(&mut n, now), [Action::Resolved(key, None), Action::Probe(key, None)]);
        assert_eq!(n.find(key).unwrap().state, NeighborState::Failed);
        // It comes back.
        out.clear();
        n.heard(key, MAC, now, &mut out);
        assert_eq!(out, [Action::Resolved(key, Some(MAC))]);
        // Loss of the link forgets it at once, its return asks at once.
        out.clear();
        n.link_down(|_| true, &mut out);
        assert_eq!(out, [Action::Resolved(key, None)]);
        n.link_up(|_| true, now, &mut out);
        assert_eq!(run(&mut n, now), [Action::Probe(key, None)]);
        n.untrack(key);
        assert_eq!(run(&mut n, now + REACHABLE), []);
    }

    #[test]
    fn an_instance_is_believed_only_with_its_own_mac() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        let key = Key::Instance(VifId(3), Ipv4Addr::new(10, 1, 0, 7));
        n.track(key, Some(MAC), t0);
        assert_eq!(run(&mut n, t0), [Action::Probe(key, Some(MAC))]);
        let mut out = Vec::new();
        n.heard(key, Mac([2, 0, 0, 0, 0, 1]), t0, &mut out);
        assert_eq!(n.find(key).unwrap().state, NeighborState::Incomplete);
        n.heard(key, MAC, t0, &mut out);
        assert_eq!(n.find(key).unwrap().state, NeighborState::Reachable);
        assert!(out.is_empty());
        // Its port loses the link: where its packets go does not change, whether it is there is not known.
        n.link_down(|other| other == key, &mut out);
        assert!(out.is_empty());
        let known = *n.find(key).unwrap();
        assert_eq!((known.mac, known.state), (Some(MAC), NeighborState::Incomplete));
        n.link_up(|_| false, t0, &mut out);
        assert_eq!(run(&mut n, t0), []);
        n.link_up(|other| other == key, t0, &mut out);
        assert_eq!(run(&mut n, t0), [Action::Probe(key, Some(MAC))]);
    }

    #[test]
    fn a_budget_paces_the_questions() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        for i in 0..100u8 {
            n.track(Key::Instance(VifId(i.into()), Ipv4Addr::new(10, 0, 0, i)), Some(MAC), t0);
        }
        let mut out = Vec::new();
        n.tick(t0, 16, &mut out);
        assert_eq!(out.len(), 16);
    }

    #[test]
    fn a_flood_of_arp_costs_no_memory_and_delays_nothing() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        let key = Key::Underlay(PortId(0), Ipv4Addr::new(192, 0, 2, 9));
        n.track(key, None, t0);
        let mut out = Vec::new();
        for millisecond in 0..10_000 {
            let now = t0 + Duration::from_millis(millisecond);
            n.heard(key, MAC, now, &mut out);
            n.tick(now, 1, &mut out);
        }
        assert_eq!(out, [Action::Resolved(key, Some(MAC))]);
        assert_eq!(n.timers.len(), 1);
        // The last word counts.
        let last = t0 + Duration::from_millis(9_999);
        assert_eq!(run(&mut n, last + REACHABLE - Duration::from_millis(1)), []);
        assert_eq!(run(&mut n, last + REACHABLE), [Action::Probe(key, Some(MAC))]);
        assert_eq!(n.timers.len(), 1);
        // Strangers leave no trace.
        n.heard(Key::Underlay(PortId(0), Ipv4Addr::new(192, 0, 2, 10)), MAC, last, &mut out);
        assert_eq!(n.iter().count(), 1);
    }

    #[test]
    fn an_instance_that_became_another_is_asked_at_once() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        let key = Key::Instance(VifId(3), Ipv4Addr::new(10, 1, 0, 7));
        n.track(key, Some(MAC), t0);
        run(&mut n, t0);
        n.heard(key, MAC, t0, &mut Vec::new());
        n.track(key, Some(MAC), t0);
        assert_eq!(n.find(key).unwrap().state, NeighborState::Reachable, "the same again");
        let (other, now) = (Mac([2, 0, 0, 0, 0, 1]), t0 + Duration::from_millis(1));
        n.restart(key, Some(other), now);
        let known = *n.find(key).unwrap();
        assert_eq!((known.mac, known.confirmed), (Some(other), None));
        assert_eq!(known.state, NeighborState::Incomplete);
        assert_eq!(run(&mut n, now), [Action::Probe(key, Some(other))]);
        assert_eq!(run(&mut n, now + RETRANSMIT), [Action::Probe(key, Some(other))]);
        assert_eq!(run(&mut n, now + RETRANSMIT), []);
    }

    #[test]
    fn a_static_neighbour_is_never_asked_and_never_learnt() {
        let (mut n, t0) = (Neighbors::default(), Instant::now());
        let key = Key::Underlay(PortId(0), Ipv4Addr::new(192, 0, 2, 9));
        let other = Mac([2, 0, 0, 0, 0, 1]);
        let mut out = Vec::new();
        n.track(key, None, t0);
        n.heard(key, other, t0, &mut out);
        out.clear();
        n.fix(key, MAC, true, t0, &mut out);
        assert_eq!(out, [Action::Resolved(key, Some(MAC))], "it wins over what was learnt");
        n.fix(key, MAC, true, t0, &mut out);
        n.heard(key, other, t0, &mut out);
        n.untrack(key);
        n.track(key, None, t0);
        assert_eq!(run(&mut n, t0 + 100 * REACHABLE), []);
        assert_eq!(out.len(), 1, "the same again, and what it says of itself, change nothing");
        let known = *n.find(key).unwrap();
        assert_eq!((known.reached(), known.state), (Some(MAC), NeighborState::Static));
        // Its link takes it away and brings it back, without a question.
        out.clear();
        n.link_down(|_| true, &mut out);
        n.link_down(|_| true, &mut out);
        assert_eq!(n.find(key).unwrap().reached(), None);
        n.link_up(|_| true, t0, &mut out);
        n.link_up(|_| true, t0, &mut out);
        assert_eq!(out, [Action::Resolved(key, None), Action::Resolved(key, Some(MAC))]);
        assert_eq!(run(&mut n, t0 + REACHABLE), []);
        // Taken away: asked for as any other, or forgotten if nobody wants it.
        out.clear();
        assert!(n.loosen(key, t0, &mut out) && !n.loosen(key, t0, &mut out));
        assert_eq!(out, [Action::Resolved(key, None)]);
        assert_eq!(run(&mut n, t0), [Action::Probe(key, None)]);
        n.untrack(key);
        n.fix(key, MAC, false, t0, &mut out);
        assert_eq!((n.iter().count(), out.len()), (1, 1), "kept, but its link is down");
        assert!(n.loosen(key, t0, &mut out));
        assert_eq!((n.iter().count(), out.len()), (0, 1));
    }
}
