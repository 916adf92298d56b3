//! The session state machine of one peer (RFC 4271 8): events and time in, actions out.
//!
//! It is total: every event is legal in every state, none panics. A peer may hold two connections
//! at once, the one that we dialled and the one that we accepted; as soon as both have shown an
//! OPEN one is closed (6.8). An Established session outlives any newcomer. Failures lead back to
//! the start, for ever, with growing pauses. Connections are accepted during a pause: only the
//! own dialling is damped.

use std::time::{Duration, Instant};

use crate::speaker::SessionState;
use crate::wire::notification::{self, Notification};
use crate::wire::{Local, Message, Negotiated, Open};

/// How long the peer may take to answer a dialled connection.
pub const DIAL_TIME: Duration = Duration::from_secs(10);
/// How long the peer may take to send its OPEN.
pub const OPEN_TIME: Duration = Duration::from_secs(60);
/// First pause after a failure; it doubles with each further one.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Least time that a peer may take nothing of what waits for it, unless configured (RFC 9687).
pub const SEND_HOLD_TIME: Duration = Duration::from_secs(8 * 60);
/// A session that lived this long makes the next pause a first one.
const STABLE: Duration = Duration::from_secs(60);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We did.
    Out,
    /// The peer did.
    In,
}

impl Direction {
    /// Both.
    pub const BOTH: [Direction; 2] = [Direction::Out, Direction::In];

    /// The other one.
    pub const fn other(self) -> Direction {
        match self {
            Direction::Out => Direction::In,
            Direction::In => Direction::Out,
        }
    }
}

/// What can happen to a session.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The peer is wanted from now on.
    Start,
    /// The peer is not wanted any more; the NOTIFICATION says why.
    Stop(Notification),
    /// A connection stands: the dialled one, or one accepted while [`Fsm::accepts`].
    Opened(Direction),
    /// A connection ended, or could not be dialled.
    Closed(Direction, &'a str),
    /// A whole message, sound in itself.
    Received(Direction, &'a Message),
    /// A connection of the peer was not let in, for what the text says.
    Refused(&'a str),
    /// Octets wait to be taken by the connection.
    Handed(Direction),
    /// The connection has taken octets; whether more of them wait.
    Taken(Direction, bool),
    /// Something that ends the connection: a message with errors.
    Fault(Direction, Notification),
    /// Time has passed; due by [`Fsm::next_timeout`], harmless at any time.
    Tick,
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection to the peer.
    Dial,
    /// Send OPEN as offered.
    SendOpen(Direction),
    /// Send KEEPALIVE.
    SendKeepalive(Direction),
    /// Send NOTIFICATION; [`Action::Close`] follows.
    SendNotification(Direction, Notification),
    /// Close the connection, or stop dialling it, once all is sent.
    Close(Direction),
    /// The session is Established on this connection.
    Up(Direction, Negotiated),
    /// The session is not Established any more.
    Down(String),
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Empty,
    Dialling { until: Instant },
    Open(Connection),
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    phase: Phase,
    /// When the hold timer runs out; `None` when hold time 0 was agreed.
    hold_at: Option<Instant>,
    /// When the next KEEPALIVE is due.
    keepalive_at: Option<Instant>,
    /// When it last took something, while something waits to be taken.
    waiting_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    OpenSent,
    OpenConfirm(Negotiated),
    Established(Negotiated, Instant),
}

/// What a machine is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to offer, and whom to expect.
    pub local: Local,
    /// Never dial.
    pub passive: bool,
    /// Seconds that the peer may take nothing of what waits for it, 0 for ever. `None` is
    /// [`SEND_HOLD_TIME`] or twice the negotiated hold time, whichever is more.
    pub send_hold_time: Option<u32>,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Fsm {
    settings: Settings,
    started: bool,
    slots: [Slot; 2],
    retry_at: Option<Instant>,
    failures: u32,
    jitter: u64,
    last_error: Option<String>,
    send_hold_expired: u64,
}

impl Fsm {
    /// A machine that waits for [`Event::Start`]. `seed` spreads the timers of many peers.
    pub fn new(settings: Settings, seed: u64) -> Fsm {
        Fsm {
            settings,
            started: false,
            slots: [Slot::Empty; 2],
            retry_at: None,
            failures: 0,
            jitter: seed | 1,
            last_error: None,
            send_hold_expired: 0,
        }
    }

    /// The one entry. Appends to `out` what has to be done.
    pub fn on(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Action>) {
        match event {
            Event::Start => {
                self.started = true;
                self.failures = 0;
                self.dial(now, out);
            }
            Event::Stop(why) => self.stop(&why, out),
            Event::Opened(way) => self.opened(way, now, out),
            Event::Closed(way, why) => {
                if !matches!(self.slot(way), Slot::Empty) {
                    self.lost(way, why.to_owned(), now, out);
                }
            }
            Event::Received(way, message) => {
                if let Slot::Open(connection) = self.slot(way) {
                    self.received(way, connection, message, now, out);
                }
            }
            Event::Refused(why) => {
                // It harms no session that stands.
                if self.established().is_none() {
                    self.last_error = Some(why.to_owned());
                }
            }
            Event::Handed(way) => {
                if let Slot::Open(connection) = self.slot(way) {
                    let waiting_since = connection.waiting_since.or(Some(now));
                    self.set(way, Slot::Open(Connection { waiting_since, ..connection }));
                }
            }
            Event::Taken(way, more) => {
                if let Slot::Open(connection) = self.slot(way) {
                    let waiting_since = more.then_some(now);
                    self.set(way, Slot::Open(Connection { waiting_since, ..connection }));
                }
            }
            Event::Fault(way, why) => {
                if matches!(self.slot(way), Slot::Open(_)) {
                    self.fault(way, why, now, out);
                }
            }
            Event::Tick => self.tick(now, out),
        }
    }

    /// When [`Event::Tick`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let slots = self.slots.iter().flat_map(|slot| match slot {
            Slot::Empty => [None; 3],
            Slot::Dialling { until } => [Some(*until), None, None],
            Slot::Open(connection) => {
                [connection.hold_at, connection.keepalive_at, self.send_hold_at(connection)]
            }
        });
        slots.chain([self.retry_at]).flatten().min()
    }

    /// Whether a connection of the peer is welcome now.
    pub fn accepts(&self) -> bool {
        self.started && matches!(self.slot(Direction::In), Slot::Empty)
    }

    /// The state for people: that of the connection that is further.
    pub fn state(&self) -> SessionState {
        let idle = if self.started && self.settings.passive {
            SessionState::Active
        } else {
            SessionState::Idle
        };
        let slots = self.slots.iter().map(|slot| match slot {
            Slot::Empty => idle,
            Slot::Dialling { .. } => SessionState::Connect,
            Slot::Open(connection) => match connection.phase {
                Phase::OpenSent => SessionState::OpenSent,
                Phase::OpenConfirm(_) => SessionState::OpenConfirm,
                Phase::Established(..) => SessionState::Established,
            },
        });
        slots.max().unwrap_or(idle)
    }

    /// The connection of the Established session, and since when it is so.
    pub fn established(&self) -> Option<(Direction, Instant)> {
        Direction::BOTH.into_iter().find_map(|way| match self.slot(way) {
            Slot::Open(Connection { phase: Phase::Established(_, since), .. }) => {
                Some((way, since))
            }
            _ => None,
        })
    }

    /// What ended the last session or attempt.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Sessions that ended because the peer took nothing for the send hold time.
    pub fn send_hold_expired(&self) -> u64 {
        self.send_hold_expired
    }

    /// The OPEN that this side sends.
    pub fn open(&self) -> Open {
        Open::offer(&self.settings.local)
    }

    fn slot(&self, way: Direction) -> Slot {
        let [out, inward] = self.slots;
        match way {
            Direction::Out => out,
            Direction::In => inward,
        }
    }

    fn set(&mut self, way: Direction, slot: Slot) {
        let [out, inward] = &mut self.slots;
        *(match way {
            Direction::Out => out,
            Direction::In => inward,
        }) = slot;
    }

    fn dial(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.retry_at = None;
        let free = self.slots.iter().all(|slot| matches!(slot, Slot::Empty));
        if self.started && !self.settings.passive && free {
            self.set(Direction::Out, Slot::Dialling { until: now + DIAL_TIME });
            out.push(Action::Dial);
        }
    }

    fn stop(&mut self, why: &Notification, out: &mut Vec<Action>) {
        self.started = false;
        self.retry_at = None;
        for way in Direction::BOTH {
            match self.slot(way) {
                Slot::Empty => {}
                Slot::Dialling { .. } => out.push(Action::Close(way)),
                Slot::Open(connection) => {
                    out.push(Action::SendNotification(way, why.clone()));
                    out.push(Action::Close(way));
                    if matches!(connection.phase, Phase::Established(..)) {
                        out.push(Action::Down(format!("closed by us: {why}")));
                    }
                }
            }
            self.set(way, Slot::Empty);
        }
    }

    fn opened(&mut self, way: Direction, now: Instant, out: &mut Vec<Action>) {
        let expected = match (way, self.slot(way)) {
            (Direction::Out, Slot::Dialling { .. }) => true,
            (Direction::In, Slot::Empty) => self.started,
            // One connection in each direction: this one is a mistake of whoever drives us.
            (_, Slot::Open(_)) => return,
            _ => false,
        };
        if !expected {
            out.push(Action::Close(way));
            return;
        }
        let connection = Connection {
            phase: Phase::OpenSent,
            hold_at: Some(now + OPEN_TIME),
            keepalive_at: None,
            waiting_since: None,
        };
        self.set(way, Slot::Open(connection));
        out.push(Action::SendOpen(way));
    }

    fn received(
        &mut self,
        way: Direction,
        connection: Connection,
        message: &Message,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        match (connection.phase, message) {
            (_, Message::Notification(why)) => {
                out.push(Action::Close(way));
                self.lost(way, format!("peer sent NOTIFICATION: {why}"), now, out);
            }
            (Phase::OpenSent, Message::Open(open)) => match open.negotiate(&self.settings.local) {
                Ok(agreed) => self.opens(way, connection, (open, agreed), now, out),
                Err(why) => self.fault(way, why, now, out),
            },
            (Phase::OpenConfirm(agreed), Message::Keepalive) => {
                self.establish(way, connection, agreed, now, out);
            }
            (
                Phase::Established(agreed, _),
                Message::Keepalive | Message::Update(_) | Message::RouteRefresh(_),
            ) => {
                let hold_at = hold(agreed, now);
                self.set(way, Slot::Open(Connection { hold_at, ..connection }));
            }
            (phase, _) => {
                // RFC 6608: the subcode names the state, the data the type of the message.
                let subcode = match phase {
                    Phase::OpenSent => 1,
                    Phase::OpenConfirm(_) => 2,
                    Phase::Established(..) => 3,
                };
                let data = [message.kind()];
                let why = Notification::with_data(notification::FSM, subcode, &data);
                self.fault(way, why, now, out);
            }
        }
    }

    /// A good OPEN has come: settles a collision (RFC 4271 6.8) and goes on to OpenConfirm.
    fn opens(
        &mut self,
        way: Direction,
        connection: Connection,
        (open, agreed): (&Open, Negotiated),
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let rival = way.other();
        if let Slot::Open(Connection { phase: Phase::Established(..), .. }) = self.slot(rival) {
            self.yield_to_rival(way, out);
            return;
        }
        if let Slot::Open(Connection { phase: Phase::OpenConfirm(_), .. }) = self.slot(rival) {
            // The connection that the higher identifier dialled stays; RFC 6286 2.3: between
            // equal identifiers the higher AS decides.
            let ours = (self.settings.local.router_id, self.settings.local.asn);
            let keep =
                if ours > (open.router_id, open.asn()) { Direction::Out } else { Direction::In };
            self.yield_to_rival(keep.other(), out);
            if keep != way {
                return;
            }
        }
        let connection = Connection {
            phase: Phase::OpenConfirm(agreed),
            hold_at: hold(agreed, now),
            keepalive_at: self.keepalive(agreed, now),
            waiting_since: connection.waiting_since,
        };
        self.set(way, Slot::Open(connection));
        out.push(Action::SendKeepalive(way));
    }

    /// Closes one of two connections; the other goes on, so nothing failed.
    fn yield_to_rival(&mut self, way: Direction, out: &mut Vec<Action>) {
        let why = Notification::new(notification::CEASE, notification::CONNECTION_COLLISION);
        out.push(Action::SendNotification(way, why));
        out.push(Action::Close(way));
        self.set(way, Slot::Empty);
    }

    fn establish(
        &mut self,
        way: Direction,
        connection: Connection,
        agreed: Negotiated,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let phase = Phase::Established(agreed, now);
        self.set(way, Slot::Open(Connection { phase, hold_at: hold(agreed, now), ..connection }));
        self.retry_at = None;
        if let Slot::Dialling { .. } = self.slot(way.other()) {
            self.set(way.other(), Slot::Empty);
            out.push(Action::Close(way.other()));
        }
        out.push(Action::Up(way, agreed));
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        for way in Direction::BOTH {
            match self.slot(way) {
                Slot::Dialling { until } if until <= now => {
                    out.push(Action::Close(way));
                    self.lost(way, "no answer to the connection attempt".to_owned(), now, out);
                }
                Slot::Open(connection) if due(connection.hold_at) => {
                    self.fault(way, Notification::new(notification::HOLD_TIMER, 0), now, out);
                }
                Slot::Open(connection) if due(self.send_hold_at(&connection)) => {
                    self.send_hold_expired += 1;
                    let why = Notification::new(notification::SEND_HOLD_TIMER, 0);
                    self.fault(way, why, now, out);
                }
                Slot::Open(connection) if due(connection.keepalive_at) => {
                    out.push(Action::SendKeepalive(way));
                    let keepalive_at = match connection.phase {
                        Phase::OpenSent => None,
                        Phase::OpenConfirm(agreed) | Phase::Established(agreed, _) => {
                            self.keepalive(agreed, now)
                        }
                    };
                    self.set(way, Slot::Open(Connection { keepalive_at, ..connection }));
                }
                _ => {}
            }
        }
        if due(self.retry_at) {
            self.dial(now, out);
        }
    }

    fn fault(&mut self, way: Direction, why: Notification, now: Instant, out: &mut Vec<Action>) {
        let text = format!("we sent NOTIFICATION: {why}");
        out.push(Action::SendNotification(way, why));
        out.push(Action::Close(way));
        self.lost(way, text, now, out);
    }

    fn lost(&mut self, way: Direction, why: String, now: Instant, out: &mut Vec<Action>) {
        if let Slot::Open(Connection { phase: Phase::Established(_, since), .. }) = self.slot(way) {
            out.push(Action::Down(why.clone()));
            if now.saturating_duration_since(since) >= STABLE {
                self.failures = 0;
            }
        }
        self.set(way, Slot::Empty);
        self.last_error = Some(why);
        let alone = matches!(self.slot(way.other()), Slot::Empty);
        if self.started && !self.settings.passive && alone {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(5)).min(LONGEST_PAUSE);
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now + self.jittered(pause));
        }
    }

    /// When the send hold timer runs out: only in Established, while something waits.
    fn send_hold_at(&self, connection: &Connection) -> Option<Instant> {
        let Phase::Established(agreed, _) = connection.phase else { return None };
        let time = match (self.settings.send_hold_time, agreed.hold_time) {
            // RFC 9687 3.1: it runs only where the hold timer does.
            (_, 0) | (Some(0), _) => return None,
            (Some(seconds), _) => Duration::from_secs(u64::from(seconds)),
            (None, hold) => SEND_HOLD_TIME.max(Duration::from_secs(2 * u64::from(hold))),
        };
        connection.waiting_since.map(|since| since + time)
    }

    fn keepalive(&mut self, agreed: Negotiated, now: Instant) -> Option<Instant> {
        let third = Duration::from_secs(u64::from(agreed.hold_time)) / 3;
        (agreed.hold_time != 0).then(|| now + self.jittered(third))
    }

    /// RFC 4271 10: three quarters of the time up to all of it.
    fn jittered(&mut self, time: Duration) -> Duration {
        // xorshift: only has to differ from peer to peer.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        time * 3 / 4 + time / 4 * ((self.jitter >> 32) as u32 % 256) / 256
    }
}

fn hold(agreed: Negotiated, now: Instant) -> Option<Instant> {
    (agreed.hold_time != 0).then(|| now + Duration::from_secs(u64::from(agreed.hold_time)))
}

#[cfg(test)]
mod tests;
