//! Two sessions and the way between them in virtual time; then any packets at any time.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn config(discriminator: u32, tx_ms: u32, rx_ms: u32, multiplier: u8) -> Config {
    Config {
        discriminator: NonZeroU32::new(discriminator).unwrap(),
        desired_min_tx: NonZeroU32::new(tx_ms * 1000).unwrap(),
        required_min_rx: rx_ms * 1000,
        multiplier: NonZeroU8::new(multiplier).unwrap(),
        passive: false,
    }
}

/// Two ends; a packet takes a millisecond, if it arrives.
struct Pair {
    ends: [Session; 2],
    now: Duration,
    on_way: Vec<(Duration, usize, Bfd)>,
    changes: Vec<(Duration, usize, Change)>,
    sent: Vec<(Duration, usize, Bfd)>,
}

impl Pair {
    fn new(a: Config, b: Config) -> Pair {
        let ends = [Session::new(a, Duration::ZERO), Session::new(b, Duration::ZERO)];
        Pair { ends, now: Duration::ZERO, on_way: vec![], changes: vec![], sent: vec![] }
    }

    fn take(&mut self, end: usize, outcome: Outcome, lost: &mut impl FnMut() -> bool) {
        if let Some(change) = outcome.change {
            self.changes.push((self.now, end, change));
        }
        if let Some(packet) = outcome.packet {
            self.sent.push((self.now, end, packet));
            if !lost() {
                self.on_way.push((self.now + MS, 1 - end, packet));
            }
        }
    }

    /// Until `end`; `lost` is asked about each packet.
    fn run(&mut self, end: Duration, mut lost: impl FnMut() -> bool) {
        loop {
            let arrival = self.on_way.iter().map(|(at, ..)| *at).min();
            let due = self.ends.iter().filter_map(Session::next).min();
            let Some(next) = arrival.into_iter().chain(due).min().filter(|at| *at <= end) else {
                break;
            };
            assert!(next >= self.now, "time never goes back");
            self.now = next;
            if let Some(at) = self.on_way.iter().position(|(at, ..)| *at == next) {
                let (_, to, packet) = self.on_way.remove(at);
                let outcome = self.ends[to].receive(&packet, next);
                self.take(to, outcome, &mut lost);
                continue;
            }
            for end in 0..2 {
                let outcome = self.ends[end].on_time(next);
                assert!(
                    self.ends[end].next().is_none_or(|at| at > next),
                    "nothing is left for now"
                );
                self.take(end, outcome, &mut lost);
            }
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }

    /// Times between the packets of an end since `from`.
    fn gaps(&self, end: usize, from: Duration) -> Vec<Duration> {
        let times: Vec<_> = self
            .sent
            .iter()
            .filter(|(at, who, _)| *who == end && *at >= from)
            .map(|s| s.0)
            .collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

const UP: [State; 2] = [State::Up, State::Up];

#[test]
fn both_go_up_and_then_send_as_fast_as_the_slower_asks() {
    let mut pair = Pair::new(config(1, 50, 50, 3), config(2, 20, 100, 5));
    pair.run(100 * MS, || false);
    assert_eq!(pair.states(), UP, "a change is told at once, not a second later");
    pair.run(5000 * MS, || false);
    let (a, b) = (pair.gaps(0, 1000 * MS), pair.gaps(1, 1000 * MS));
    // RFC 5880 6.8.2: a sends every 100 ms at most, as b asks; b every 50, as a asks.
    assert!(a.iter().all(|gap| (75 * MS..=100 * MS).contains(gap)), "{a:?}");
    assert!(b.iter().all(|gap| (37 * MS..=50 * MS).contains(gap)), "{b:?}");
    assert!(a.iter().max() > a.iter().min(), "jitter");
    assert_eq!(pair.ends[0].detection_time(), Some(250 * MS));
    assert_eq!(pair.ends[1].detection_time(), Some(300 * MS));
    assert_eq!(pair.changes.len(), 4, "{:?}", pair.changes);
    assert!(pair.sent.iter().all(|(.., packet)| packet.is_independent()));
    let polls = pair.sent.iter().filter(|(at, _, p)| *at > 1000 * MS && p.is_poll()).count();
    assert_eq!(polls, 0, "every poll was answered");
}

#[test]
fn silence_is_noticed_after_the_detection_time() {
    let mut pair = Pair::new(config(1, 50, 50, 3), config(2, 50, 50, 3));
    pair.run(3000 * MS, || false);
    assert_eq!(pair.states(), UP);
    pair.run(3200 * MS, || true);
    assert_eq!(pair.states(), [State::Down; 2]);
    for (at, _, change) in pair.changes.iter().filter(|(at, ..)| *at > 3000 * MS) {
        assert_eq!((change.to, change.diagnostic), (State::Down, Diagnostic::EXPIRED));
        // The last packet came up to 50 ms and its way before.
        assert!((3100 * MS..=3151 * MS).contains(at), "{at:?}");
    }
    assert_eq!(pair.ends[0].remote().discriminator, 0, "RFC 5880 6.8.1");
    let before = pair.sent.len();
    pair.run(6200 * MS, || true);
    assert!(pair.sent.len() - before <= 10, "a session that is down sends once a second");
    pair.run(8000 * MS, || false);
    assert_eq!(pair.states(), UP);
}

#[test]
fn a_session_that_is_taken_down_says_so_and_comes_back() {
    let mut pair = Pair::new(config(1, 50, 50, 3), config(2, 50, 50, 3));
    pair.run(1000 * MS, || false);
    let now = pair.now;
    let outcome = pair.ends[0].disable(now);
    assert_eq!(outcome.change.unwrap().to, State::AdminDown);
    pair.run(1010 * MS, || false);
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    assert_eq!(pair.ends[1].diagnostic(), Diagnostic::NEIGHBOR_DOWN);
    assert_eq!(pair.ends[1].remote().diagnostic, Diagnostic::ADMIN_DOWN);
    pair.run(9000 * MS, || false);
    assert_eq!(pair.states(), [State::AdminDown, State::Down], "and stays so");
    let now = pair.now;
    assert_eq!(pair.ends[1].enable(now), Outcome::default(), "it is not disabled");
    pair.ends[0].enable(now);
    pair.run(9100 * MS, || false);
    assert_eq!(pair.states(), UP);
}

#[test]
fn less_safe_timing_waits_for_the_other_side() {
    let mut pair = Pair::new(config(1, 50, 50, 3), config(2, 50, 50, 3));
    pair.run(1000 * MS, || false);
    let (tx, three) = (NonZeroU32::new(400_000).unwrap(), NonZeroU8::new(3).unwrap());
    let now = pair.now;
    pair.ends[0].set_timing(tx, 10_000, three, now);
    // Nobody answers the poll: still every 50 ms, and the neighbour is still missed after 150 ms, not 30.
    pair.run(1090 * MS, || true);
    assert!(pair.gaps(0, 1001 * MS).iter().all(|gap| *gap <= 50 * MS));
    assert_eq!(pair.ends[0].detection_time(), Some(150 * MS));
    assert_eq!(pair.states(), UP);
    pair.run(3000 * MS, || false);
    assert_eq!(pair.states(), UP, "nobody was missed");
    assert!(pair.gaps(0, 1500 * MS).iter().all(|gap| (300 * MS..=400 * MS).contains(gap)));
    assert_eq!(pair.ends[1].detection_time(), Some(1200 * MS));
    assert_eq!(pair.changes.len(), 4);
}

#[test]
fn a_passive_end_speaks_when_spoken_to() {
    let passive = |number| Config { passive: true, ..config(number, 50, 50, 3) };
    let mut silent = Pair::new(passive(1), passive(2));
    silent.run(5000 * MS, || false);
    assert!(silent.sent.is_empty());
    let mut pair = Pair::new(passive(1), config(2, 50, 50, 3));
    pair.run(100 * MS, || false);
    assert_eq!(pair.states(), UP);
}

/// What comes of a packet: its state, required interval in ms, and whether it answers a poll.
fn hear(session: &mut Session, (state, rx_ms, last): (State, u32, bool), at: Duration) -> Outcome {
    let mut packet = Bfd::new(2, state, Diagnostic::NONE);
    packet.set_your_discriminator(1);
    packet.set_timing(50_000, rx_ms * 1000, 3);
    packet.set_final(last);
    session.receive(&packet, at)
}

#[test]
fn a_poll_ends_with_its_answer_and_with_nothing_else() {
    let mut session = Session::new(config(1, 50, 50, 3), Duration::ZERO);
    hear(&mut session, (State::Init, 50, false), MS);
    hear(&mut session, (State::Up, 50, true), 2 * MS);
    let (tx, three) = (NonZeroU32::new(400_000).unwrap(), NonZeroU8::new(3).unwrap());
    session.set_timing(tx, 50_000, three, 3 * MS);
    hear(&mut session, (State::Up, 50, false), 4 * MS);
    assert!(session.on_time(5 * MS).packet.unwrap().is_poll());
    assert!(session.next().unwrap() <= 55 * MS, "still as fast as before");
    hear(&mut session, (State::Up, 50, true), 6 * MS);
    let packet = session.on_time(56 * MS).packet.unwrap();
    assert!(!packet.is_poll() && packet.desired_min_tx() == 400_000);
    hear(&mut session, (State::Up, 50, false), 57 * MS);
    assert_eq!(session.on_time(200 * MS).packet, None, "slower now");
}

#[test]
fn who_can_take_more_gets_it_without_delay() {
    let mut session = Session::new(config(1, 50, 50, 3), Duration::ZERO);
    hear(&mut session, (State::Init, 9000, false), MS);
    session.on_time(2 * MS);
    assert_eq!(session.on_time(100 * MS).packet, None, "as the other side asked");
    hear(&mut session, (State::Up, 60, false), 120 * MS);
    assert!(session.on_time(180 * MS).packet.is_some());
}

#[test]
fn a_neighbour_that_wants_nothing_gets_answers_alone() {
    let mut session = Session::new(config(1, 50, 50, 3), Duration::ZERO);
    session.on_time(Duration::ZERO);
    hear(&mut session, (State::Init, 0, false), MS);
    assert_eq!(session.state(), State::Up);
    assert_eq!(session.on_time(100 * MS).packet, None, "its required interval is 0");
    let mut poll = Bfd::new(2, State::Up, Diagnostic::NONE);
    poll.set_your_discriminator(1);
    poll.set_poll(true);
    let answer = session.receive(&poll, 120 * MS).packet.unwrap();
    assert!(answer.is_final() && !answer.is_poll());
}

#[test]
fn packets_for_others_change_nothing() {
    let mut session = Session::new(config(1, 50, 50, 3), Duration::ZERO);
    let mut packet = Bfd::new(2, State::Init, Diagnostic::NONE);
    packet.set_your_discriminator(77);
    assert_eq!(session.receive(&packet, MS), Outcome::default());
    assert_eq!((session.state(), session.remote().discriminator), (State::Down, 0));
}

fn any_packet() -> impl Strategy<Value = [u8; 24]> {
    (any::<[u8; 24]>(), 0u8..4, any::<bool>(), any::<bool>(), 0u32..3).prop_map(
        |(mut bytes, state, poll, last, yours)| {
            bytes[0] = 0x20 | bytes[0] & 0x1f;
            bytes[1] = state << 6 | u8::from(poll) << 5 | u8::from(last) << 4 | bytes[1] & 0x0a;
            (bytes[2], bytes[3]) = (bytes[2].max(1), 24);
            bytes[8..12].copy_from_slice(&yours.to_be_bytes());
            bytes
        },
    )
}

#[derive(Clone, Debug)]
enum Event {
    Packet([u8; 24]),
    Wait(u32),
    Disable,
    Enable,
    Timing(u32, u32, u8),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any_packet().prop_map(Event::Packet),
        4 => (0u32..3_000_000).prop_map(Event::Wait),
        1 => Just(Event::Disable),
        1 => Just(Event::Enable),
        1 => (1u32.., any::<u32>(), 1u8..).prop_map(|(tx, rx, many)| Event::Timing(tx, rx, many)),
    ]
}

proptest! {
    /// Whatever comes: no panic, no busy loop, no state that nobody asked for, and no packet that breaks the rules of reception.
    #[test]
    fn any_sequence_of_events_is_survived(events in prop::collection::vec(any_event(), 0..100)) {
        let mut session = Session::new(config(1, 50, 50, 3), Duration::ZERO);
        let mut now = Duration::ZERO;
        for event in events {
            let before = session.state();
            let outcome = match event {
                Event::Packet(bytes) => match Bfd::checked(&bytes) {
                    Ok(packet) => session.receive(packet, now),
                    Err(_) => Outcome::default(),
                },
                Event::Wait(time) => {
                    now += Duration::from_micros(time.into());
                    let outcome = session.on_time(now);
                    prop_assert!(session.next().is_none_or(|at| at > now));
                    outcome
                }
                Event::Disable => session.disable(now),
                Event::Enable => session.enable(now),
                Event::Timing(tx, rx, many) => {
                    let (tx, many) = (NonZeroU32::new(tx).unwrap(), NonZeroU8::new(many).unwrap());
                    session.set_timing(tx, rx, many, now);
                    Outcome::default()
                }
            };
            prop_assert_eq!(outcome.change.is_some(), before != session.state());
            if session.state() == State::Up {
                prop_assert_ne!(session.remote().discriminator, 0);
                prop_assert!(session.missed_at.is_some(), "somebody will be missed");
            }
            if let Some(packet) = outcome.packet {
                prop_assert!(Bfd::checked(zerocopy::IntoBytes::as_bytes(&packet)).is_ok());
                prop_assert!(!(packet.is_poll() && packet.is_final()));
                prop_assert!(packet.state() == State::Up || packet.desired_min_tx() >= SLOW);
            }
        }
    }

    /// Lost packets delay, and part no two that stay in touch for long; the dead are missed in time.
    #[test]
    fn two_ends_find_each_other_through_losses(
        seed in 1u32.., tx in 10u32..300, rx in 10u32..300, multiplier in 2u8..6, loss in 0u32..60,
    ) {
        let mut pair = Pair::new(config(seed, tx, rx, multiplier), config(seed ^ 1 | 2, rx, tx, 3));
        let mut random = seed;
        pair.run(20_000 * MS, || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16 & 0xff < loss
        });
        pair.run(24_000 * MS, || false);
        prop_assert_eq!(pair.states(), UP);
        let longest = pair.ends.iter().filter_map(Session::detection_time).max().unwrap();
        pair.run(24_000 * MS + longest + 2 * MS, || true);
        prop_assert!(pair.states().iter().all(|state| *state != State::Up));
    }
}
