//! Bidirectional Forwarding Detection, one session in asynchronous mode (RFC 5880), over one hop or several (RFC 5881, 5883).
//!
//! ```text
//!                             +--+
//!                             |  | heard: nothing, admin-down
//!        heard: down  +------------+
//!         +-----------|    Down    |<---------+
//!         |           +------------+          | detection time over,
//!         v                  |                | heard: down, admin-down
//!   +------------+ heard: init, up       +---------+
//!   |    Init    |---------------------->|   Up    |   (Down goes up at once when it hears "init")
//!   +------------+                       +---------+
//! ```
//!
//! Times are counted from any fixed moment. Authentication, demand mode of our own and echo are not spoken; a neighbour in demand
//! mode gets no packets while both are up.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use wire::bfd::{Bfd, Diagnostic, State};

/// A session that is not up sends no faster than this (RFC 5880 6.8.3), microseconds.
const SLOW: u32 = 1_000_000;

/// What a session is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names the session to the other side; no two sessions of a node may have the same.
    pub discriminator: NonZeroU32,
    /// Least interval between packets that we want to send, microseconds.
    pub desired_min_tx: NonZeroU32,
    /// Least interval between packets that we can take, microseconds; 0: the other side may send nothing but answers.
    pub required_min_rx: u32,
    /// Packets of ours that may be lost before the other side misses us.
    pub multiplier: NonZeroU8,
    /// Says nothing before it was spoken to.
    pub passive: bool,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: State,
    pub to: State,
    /// Why, if it is for the worse.
    pub diagnostic: Diagnostic,
}

/// What comes of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Send this now.
    pub packet: Option<Bfd>,
    /// The state changed.
    pub change: Option<Change>,
}

/// What is known of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its session; 0 while it is not heard.
    pub discriminator: u32,
    pub state: State,
    /// Why its session last went down.
    pub diagnostic: Diagnostic,
    /// It wants to send no more often, and to receive no more often; microseconds.
    pub desired_min_tx: u32,
    pub required_min_rx: u32,
    pub multiplier: u8,
    /// It wants no packets while both are up.
    pub demand: bool,
    /// Its session does not share the fate of its control plane.
    pub independent: bool,
}

impl Remote {
    /// Of nobody (RFC 5880 6.8.1: 1 until told otherwise).
    const UNKNOWN: Remote = Remote {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        desired_min_tx: 0,
        required_min_rx: 1,
        multiplier: 0,
        demand: false,
        independent: false,
    };
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    /// Intervals in force, microseconds: what was announced may have to wait for the end of a poll (RFC 5880 6.8.3).
    tx: u32,
    rx: u32,
    /// A poll sequence is under way.
    polling: bool,
    next_packet: Option<Duration>,
    missed_at: Option<Duration>,
    random: u32,
}

impl Session {
    /// A session that is down. It wants to be called at once: [`Session::next`].
    pub fn new(config: Config, now: Duration) -> Session {
        let mut session = Session {
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: Remote::UNKNOWN,
            tx: 0,
            rx: config.required_min_rx,
            polling: false,
            next_packet: None,
            missed_at: None,
            random: config.discriminator.get(),
            config,
        };
        session.tx = session.announced_tx();
        session.hurry(now);
        session
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it is not up, as far as anybody knows.
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// What is known of the other side.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Who it is and what it is asked to do.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How long the other side may be silent; `None` while it was not heard.
    pub fn detection_time(&self) -> Option<Duration> {
        let interval = self.rx.max(self.remote.desired_min_tx);
        let time = Duration::from_micros(interval.into()) * self.remote.multiplier.into();
        (self.remote.multiplier > 0).then_some(time)
    }

    /// When [`Session::on_time`] has something to do next.
    pub fn next(&self) -> Option<Duration> {
        match (self.next_packet, self.missed_at) {
            (Some(packet), Some(missed)) => Some(packet.min(missed)),
            (one, other) => one.or(other),
        }
    }

    /// Other intervals or another multiplier: a session that is up stays up, and both sides agree before anything gets less safe.
    pub fn set_timing(
        &mut self,
        desired_min_tx: NonZeroU32,
        required_min_rx: u32,
        multiplier: NonZeroU8,
        now: Duration,
    ) {
        let old = (self.announced_tx(), self.config.required_min_rx);
        self.config = Config { desired_min_tx, required_min_rx, multiplier, ..self.config };
        if old != (self.announced_tx(), required_min_rx) {
            self.retime();
        }
        self.hurry(now);
    }

    /// Takes the session down until [`Session::enable`], and tells the other side.
    pub fn disable(&mut self, now: Duration) -> Outcome {
        self.missed_at = None;
        self.enter(State::AdminDown, Diagnostic::ADMIN_DOWN, now)
    }

    /// The end of [`Session::disable`].
    pub fn enable(&mut self, now: Duration) -> Outcome {
        if self.state != State::AdminDown {
            return Outcome::default();
        }
        self.remote = Remote::UNKNOWN;
        self.enter(State::Down, Diagnostic::NONE, now)
    }

    /// A packet for this session: by its "your discriminator", or by its source if that is 0. RFC 5880 6.8.6.
    pub fn receive(&mut self, packet: &Bfd, now: Duration) -> Outcome {
        let ours = self.config.discriminator.get();
        if packet.your_discriminator() != 0 && packet.your_discriminator() != ours {
            return Outcome::default();
        }
        self.remote = Remote {
            discriminator: packet.my_discriminator(),
            state: packet.state(),
            diagnostic: packet.diagnostic(),
            desired_min_tx: packet.desired_min_tx(),
            required_min_rx: packet.required_min_rx(),
            multiplier: packet.detect_multiplier(),
            demand: packet.wants_demand(),
            independent: packet.is_independent(),
        };
        if packet.is_final() && self.polling {
            self.polling = false;
            (self.tx, self.rx) = (self.announced_tx(), self.config.required_min_rx);
        }
        if self.state == State::AdminDown {
            return Outcome::default();
        }
        let mut outcome = match (self.state, packet.state()) {
            (State::Down, State::Down) => self.enter(State::Init, Diagnostic::NONE, now),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, Diagnostic::NONE, now)
            }
            (State::Up, State::Down) | (State::Init | State::Up, State::AdminDown) => {
                self.enter(State::Down, Diagnostic::NEIGHBOR_DOWN, now)
            }
            _ => Outcome::default(),
        };
        self.missed_at = self.detection_time().map(|time| now + time);
        // The other side may have become willing to take more.
        match self.interval() {
            None => self.next_packet = None,
            Some(interval) => {
                let latest = now + interval;
                self.next_packet = Some(self.next_packet.map_or(latest, |next| next.min(latest)));
            }
        }
        if packet.is_poll() {
            let mut answer = self.packet();
            answer.set_poll(false);
            answer.set_final(true);
            outcome.packet = Some(answer);
        }
        outcome
    }

    /// It is `now`: the other side may be missed, or the next packet be due.
    pub fn on_time(&mut self, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        if self.missed_at.is_some_and(|at| at <= now) {
            self.missed_at = None;
            self.remote = Remote::UNKNOWN;
            if matches!(self.state, State::Init | State::Up) {
                outcome = self.enter(State::Down, Diagnostic::EXPIRED, now);
            }
        }
        if self.next_packet.is_some_and(|at| at <= now) {
            self.next_packet = self.interval().map(|interval| now + self.jittered(interval));
            outcome.packet = Some(self.packet());
        }
        outcome
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now: Duration) -> Outcome {
        if state == self.state {
            return Outcome::default();
        }
        let change = Change { from: self.state, to: state, diagnostic };
        (self.state, self.diagnostic) = (state, diagnostic);
        self.retime();
        // RFC 5880 6.8.7: a change is told at once.
        self.hurry(now);
        Outcome { packet: None, change: Some(change) }
    }

    /// What is announced changed, or the state did. In a session that is up, a longer interval between our packets and a shorter one
    /// between theirs wait until the other side has confirmed them.
    fn retime(&mut self) {
        let (tx, rx) = (self.announced_tx(), self.config.required_min_rx);
        self.polling = self.state == State::Up;
        if self.polling {
            (self.tx, self.rx) = (self.tx.min(tx), self.rx.max(rx));
        } else {
            (self.tx, self.rx) = (tx, rx);
        }
    }

    fn announced_tx(&self) -> u32 {
        let wanted = self.config.desired_min_tx.get();
        if self.state == State::Up { wanted } else { wanted.max(SLOW) }
    }

    /// Between packets, without jitter; `None` if none are to be sent.
    fn interval(&self) -> Option<Duration> {
        let waits = self.config.passive && self.remote.discriminator == 0;
        let up = self.state == State::Up && self.remote.state == State::Up;
        let silenced = self.remote.demand && up && !self.polling;
        let interval = Duration::from_micros(self.tx.max(self.remote.required_min_rx).into());
        (!waits && !silenced && self.remote.required_min_rx != 0).then_some(interval)
    }

    /// The next packet is due now, if any is.
    fn hurry(&mut self, now: Duration) {
        self.next_packet = self.interval().map(|_| now);
    }

    /// RFC 5880 6.8.7: shorter by up to a quarter; where one packet missed counts, by a tenth at least.
    fn jittered(&mut self, interval: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let most = if self.config.multiplier.get() == 1 { 90 } else { 100 };
        interval * (75 + self.random % (most - 74)) / 100
    }

    fn packet(&self) -> Bfd {
        let mut packet = Bfd::new(self.config.discriminator.get(), self.state, self.diagnostic);
        packet.set_your_discriminator(self.remote.discriminator);
        let (tx, rx) = (self.announced_tx(), self.config.required_min_rx);
        packet.set_timing(tx, rx, self.config.multiplier.get());
        packet.set_poll(self.polling);
        packet.set_independent(true);
        packet
    }
}

#[cfg(test)]
mod tests;
