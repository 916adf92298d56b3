//! BFD sessions with routers of the underlay: which there are, which packet is for which, and what is sent. The machine is
//! `liveness::bfd`; it is run here so that a stalled or restarted agent drops no session.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use engine::seam::{BfdTiming, Event, Refusal};
use liveness::bfd::{Change, Config, Outcome, Session};
use wire::bfd::{self, Bfd, State};
use wire::ipv4::{self, Ipv4};
use wire::udp::Udp;
use zerocopy::IntoBytes;

/// Sessions that a node can have.
pub const SESSIONS: usize = 1024;

/// RFC 5881 5: over one hop, what did not leave with this TTL came from further away.
const TTL: u8 = 255;
/// RFC 5881 4: the first source port.
const SOURCE: u16 = 49_152;

/// What a session wants done.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub remote: Ipv4Addr,
    pub multihop: bool,
    /// The session's number, for the source port.
    pub number: u32,
    pub packet: Option<Bfd>,
    pub change: Option<Change>,
}

struct Entry {
    session: Session,
    timing: BfdTiming,
    since: Instant,
    received: u64,
    sent: u64,
    flaps: u32,
    lost: bool,
}

/// All sessions, by the other side's address.
pub struct Sessions {
    all: BTreeMap<Ipv4Addr, Entry>,
    /// What times are counted from.
    start: Instant,
    /// Number of the next session. The first is not foreseeable: a restarted process is not taken for the one before it.
    next: u32,
    /// When the first of them has something to do.
    due: Option<Duration>,
}

impl Sessions {
    /// None yet.
    pub fn new(start: Instant) -> Sessions {
        let next = RandomState::new().build_hasher().finish() as u32;
        Sessions { all: BTreeMap::new(), start, next, due: None }
    }

    /// Adds a session, or gives it another timing. `Full` beyond [`SESSIONS`], `Port` for an interval or multiplier of 0.
    pub fn set(
        &mut self,
        remote: Ipv4Addr,
        timing: BfdTiming,
        now: Instant,
    ) -> Result<(), Refusal> {
        let tx = NonZeroU32::new(timing.min_tx).ok_or(Refusal::Port)?;
        let multiplier = NonZeroU8::new(timing.multiplier).ok_or(Refusal::Port)?;
        let time = now.saturating_duration_since(self.start);
        let same = |entry: &&mut Entry| entry.timing.multihop == timing.multihop;
        if let Some(entry) = self.all.get_mut(&remote).filter(same) {
            entry.timing = timing;
            entry.session.set_timing(tx, timing.min_rx, multiplier, time);
        } else if self.all.len() >= SESSIONS && !self.all.contains_key(&remote) {
            return Err(Refusal::Full);
        } else {
            let config = Config {
                discriminator: self.number(),
                desired_min_tx: tx,
                required_min_rx: timing.min_rx,
                multiplier,
                passive: false,
            };
            let session = Session::new(config, time);
            let (received, sent, flaps, lost) = (0, 0, 0, false);
            let entry = Entry { session, timing, since: now, received, sent, flaps, lost };
            self.all.insert(remote, entry);
        }
        self.arm();
        Ok(())
    }

    /// Ends a session: a last word to the other side. `None` if there was none.
    pub fn remove(&mut self, remote: Ipv4Addr, now: Instant) -> Option<Said> {
        let mut entry = self.all.remove(&remote)?;
        let time = now.saturating_duration_since(self.start);
        entry.session.disable(time);
        let outcome = Outcome { change: None, ..entry.session.on_time(time) };
        self.arm();
        Some(entry.said(remote, outcome, now))
    }

    /// Whom there are sessions with.
    pub fn remotes(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.all.keys().copied()
    }

    /// Whether the other side was there and is no more: a session that never came up, or that the other side's operator took down, says
    /// nothing about the way to it (RFC 5882 3.2, 4.2).
    pub fn is_lost(&self, remote: Ipv4Addr) -> bool {
        self.all.get(&remote).is_some_and(|entry| entry.lost)
    }

    /// State of every session, as the agent is told it.
    pub fn states(&self) -> impl Iterator<Item = (Ipv4Addr, State, bfd::Diagnostic)> {
        self.all
            .iter()
            .map(|(remote, entry)| (*remote, entry.session.state(), entry.session.diagnostic()))
    }

    /// A packet to us, from its IPv4 header on. `None` if it is no session's: RFC 5880 6.8.6, 5881 5, 5883 4.
    pub fn heard(&mut self, packet: &[u8], now: Instant) -> Option<Said> {
        let ip = Ipv4::checked(packet).ok()?;
        let payload = packet.get(ip.header_len()..usize::from(ip.total_len()))?;
        let (udp, datagram) = Udp::checked(payload).ok()?;
        let bfd = Bfd::checked(datagram).ok()?;
        let entry = self.all.get_mut(&ip.source())?;
        let port = if entry.timing.multihop { bfd::MULTIHOP } else { bfd::SINGLE_HOP };
        let near = entry.timing.multihop || ip.ttl() == TTL;
        if udp.destination() != port
            || !near
            || !udp.verifies(datagram, ip.source(), ip.destination())
        {
            return None;
        }
        entry.received += 1;
        let outcome = entry.session.receive(bfd, now.saturating_duration_since(self.start));
        // Too early a look is cheaper than a look at all of them for every packet.
        self.due = self.due.into_iter().chain(entry.session.next()).min();
        Some(entry.said(ip.source(), outcome, now))
    }

    /// What is due by now.
    pub fn tick(&mut self, now: Instant) -> Vec<Said> {
        let time = now.saturating_duration_since(self.start);
        if self.due.is_none_or(|due| due > time) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for (remote, entry) in &mut self.all {
            if entry.session.next().is_some_and(|at| at <= time) {
                let outcome = entry.session.on_time(time);
                all.push(entry.said(*remote, outcome, now));
            }
        }
        self.arm();
        all
    }

    /// The number of a session; 0 if there is none.
    #[cfg(test)]
    pub fn discriminator(&self, remote: Ipv4Addr) -> u32 {
        self.all.get(&remote).map_or(0, |entry| entry.session.config().discriminator.get())
    }

    /// The rows of a snapshot.
    pub fn rows(&self, token: u64, now: Instant) -> impl Iterator<Item = Event> {
        self.all.iter().map(move |(remote, entry)| {
            let session = &entry.session;
            let time = session.detection_time().map_or(0, |time| time.as_micros());
            let since = now.saturating_duration_since(entry.since).as_secs();
            Event::BfdSession {
                token,
                remote: *remote,
                timing: entry.timing,
                state: session.state(),
                diagnostic: session.diagnostic(),
                remote_state: session.remote().state,
                remote_diagnostic: session.remote().diagnostic,
                detection_time: u32::try_from(time).unwrap_or(u32::MAX),
                since_seconds: u32::try_from(since).unwrap_or(u32::MAX),
                received: entry.received,
                sent: entry.sent,
                flaps: entry.flaps,
            }
        })
    }

    /// A number that no session has.
    fn number(&mut self) -> NonZeroU32 {
        loop {
            self.next = self.next.wrapping_add(1);
            let taken = |entry: &Entry| entry.session.config().discriminator.get() == self.next;
            if let Some(number) = NonZeroU32::new(self.next)
                && !self.all.values().any(taken)
            {
                return number;
            }
        }
    }

    fn arm(&mut self) {
        self.due = self.all.values().filter_map(|entry| entry.session.next()).min();
    }
}

impl Entry {
    fn said(&mut self, remote: Ipv4Addr, outcome: Outcome, now: Instant) -> Said {
        let Outcome { packet, change } = outcome;
        self.sent += u64::from(packet.is_some());
        if let Some(change) = change {
            self.since = now;
            self.flaps += u32::from(change.from == State::Up);
            let told = self.session.remote().state == State::AdminDown;
            let gone = change.from == State::Up && !told;
            self.lost = change.to != State::Up && (gone || self.lost);
        }
        let number = self.session.config().discriminator.get();
        Said { remote, multihop: self.timing.multihop, number, packet, change }
    }
}

/// The IPv4 packet that carries `packet`.
pub fn datagram(said: &Said, packet: &Bfd, source: Ipv4Addr) -> Vec<u8> {
    let port = if said.multihop { bfd::MULTIHOP } else { bfd::SINGLE_HOP };
    let from = SOURCE | (said.number as u16 & !SOURCE);
    let mut udp = Udp::new(from, port, Bfd::LEN as u16);
    udp.fill_checksum(packet.as_bytes(), source, said.remote);
    let length = (Ipv4::LEN + Udp::LEN + Bfd::LEN) as u16;
    let mut ip = Ipv4::new(source, said.remote, ipv4::UDP, length);
    ip.set_ttl(TTL);
    // RFC 5881 4 leaves it open; network control, as routing protocols are marked (RFC 4594 3.1).
    ip.set_tos(0xc0);
    ip.fill_checksum();
    [ip.as_bytes(), udp.as_bytes(), packet.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
