//! Events on their way to the agent. An agent that fetches none holds up its own ops and costs bounded memory: rows,
//! acknowledgements and refusals wait in order, and are bounded because ops wait for them; of a state only the latest waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use engine::seam::{Event, EventSender, Link, PortId, TunnelId};
use wire::bfd::{Diagnostic, State};

/// Events that may wait for room in the ring before ops have to wait too.
const ROOM: usize = 65_536;

/// The ring to the agent, and what waits for room in it.
pub struct Outbox {
    ring: EventSender,
    waiting: VecDeque<Event>,
    links: BTreeMap<PortId, Link>,
    tunnels: BTreeMap<TunnelId, bool>,
    sessions: BTreeMap<Ipv4Addr, (State, Diagnostic)>,
}

impl Outbox {
    /// Nothing waits.
    pub fn new(ring: EventSender) -> Outbox {
        Outbox {
            ring,
            waiting: VecDeque::new(),
            links: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Queues an event that must not be lost.
    pub fn push(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    /// Tells the carrier of a port; what was not yet told of it is out of date.
    pub fn link(&mut self, port: PortId, link: Link) {
        self.links.insert(port, link);
    }

    /// Tells whether a tunnel is usable; what was not yet told of it is out of date.
    pub fn tunnel(&mut self, tunnel: TunnelId, up: bool) {
        self.tunnels.insert(tunnel, up);
    }

    /// Tells the state of a BFD session; what was not yet told of it is out of date.
    pub fn bfd(&mut self, remote: Ipv4Addr, state: State, diagnostic: Diagnostic) {
        self.sessions.insert(remote, (state, diagnostic));
    }

    /// A BFD session has gone: nothing is told of it any more.
    pub fn forget_bfd(&mut self, remote: Ipv4Addr) {
        self.sessions.remove(&remote);
    }

    /// A tunnel has gone: nothing is told of it any more.
    pub fn forget_tunnel(&mut self, tunnel: TunnelId) {
        self.tunnels.remove(&tunnel);
    }

    /// Ops must wait.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= ROOM
    }

    /// Hands over what the ring takes; true if there was anything.
    pub fn flush(&mut self) -> bool {
        let mut any = false;
        while self.ring.slots() > 0 {
            let Some(event) = self.next() else { break };
            any |= self.ring.push(event).is_ok();
        }
        any
    }

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        if let Some((port, link)) = self.links.pop_first() {
            return Some(Event::PortLink { port, link });
        }
        if let Some((remote, (state, diagnostic))) = self.sessions.pop_first() {
            return Some(Event::Bfd { remote, state, diagnostic });
        }
        self.tunnels.pop_first().map(|(tunnel, up)| Event::TunnelUp { tunnel, up })
    }
}

#[cfg(test)]
mod tests {
    use engine::seam::Gen;

    use super::*;

    #[test]
    fn a_silent_agent_costs_bounded_memory_and_misses_no_acknowledgement() {
        let (ring, mut agent) = rtrb::RingBuffer::new(4);
        let mut outbox = Outbox::new(ring);
        let acks: Vec<Event> = (1..=6).map(|n| Event::Ack { generation: Gen(n) }).collect();
        acks.iter().for_each(|ack| outbox.push(*ack));
        for flap in 0..100_000u32 {
            let up = flap % 2 == 1;
            outbox.link(PortId(0), if up { Link::Up } else { Link::Down });
            outbox.tunnel(TunnelId(flap % 8), up);
            outbox.flush();
        }
        assert!(!outbox.is_full());
        outbox.forget_tunnel(TunnelId(5));
        let mut seen = Vec::new();
        loop {
            seen.extend(std::iter::from_fn(|| agent.pop().ok()));
            if !outbox.flush() {
                break;
            }
        }
        assert_eq!(seen[..6], acks);
        assert_eq!(seen[6], Event::PortLink { port: PortId(0), link: Link::Up });
        let told: Vec<Event> = [0, 1, 2, 3, 4, 6, 7]
            .map(|id| Event::TunnelUp { tunnel: TunnelId(id), up: id % 2 == 1 })
            .to_vec();
        assert_eq!(seen[7..], told);
    }

    #[test]
    fn ops_wait_for_events_that_nobody_fetches() {
        let (ring, _agent) = rtrb::RingBuffer::new(1);
        let mut outbox = Outbox::new(ring);
        while !outbox.is_full() {
            outbox.push(Event::Ack { generation: Gen(1) });
        }
        assert_eq!(outbox.waiting.len(), ROOM);
    }
}
