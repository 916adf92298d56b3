use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::types::{Asn, Family};
use crate::wire::{RouteRefresh, Update};

fn local(id: u8) -> Local {
    Local {
        asn: Asn(64512),
        router_id: Ipv4Addr::new(10, 0, 0, id),
        peer_asn: Asn(64512),
        hold_time: 90,
        families: [Family::Vpnv4].into_iter().collect(),
    }
}

struct Rig {
    fsm: Fsm,
    now: Instant,
}

impl Rig {
    fn new(id: u8, passive: bool) -> Rig {
        let settings = Settings { local: local(id), passive, send_hold_time: None };
        Rig { fsm: Fsm::new(settings, 42), now: Instant::now() }
    }

    /// Established with a peer that offered this hold time; it and its send hold time.
    fn established(send_hold_time: Option<u32>, hold_time: u16) -> Rig {
        let local = Local { hold_time: 300, ..local(1) };
        let settings = Settings { local, passive: true, send_hold_time };
        let mut rig = Rig { fsm: Fsm::new(settings, 42), now: Instant::now() };
        rig.on(Event::Start);
        rig.on(Event::Opened(Direction::In));
        let open = Open { hold_time, ..Open::offer(&self::local(2)) };
        rig.get(Direction::In, Message::Open(open));
        rig.get(Direction::In, Message::Keepalive);
        assert_eq!(rig.fsm.state(), SessionState::Established);
        rig
    }

    fn on(&mut self, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.fsm.on(event, self.now, &mut actions);
        actions
    }

    fn get(&mut self, way: Direction, message: Message) -> Vec<Action> {
        self.on(Event::Received(way, &message))
    }

    /// Waits for the next timeout and lets it happen.
    fn wait(&mut self) -> (Duration, Vec<Action>) {
        let before = self.now;
        self.now = self.fsm.next_timeout().expect("something waits for time");
        (self.now - before, self.on(Event::Tick))
    }
}

fn peer_open(id: u8) -> Message {
    Message::Open(Open::offer(&local(id)))
}

fn notified(actions: &[Action]) -> Option<(u8, u8, Vec<u8>)> {
    actions.iter().find_map(|action| match action {
        Action::SendNotification(_, why) => Some((why.code, why.subcode, why.data.clone())),
        _ => None,
    })
}

fn establish(rig: &mut Rig, way: Direction, id: u8) {
    rig.on(Event::Opened(way));
    rig.get(way, peer_open(id));
    let up = rig.get(way, Message::Keepalive);
    assert!(matches!(up.as_slice(), [.., Action::Up(up, _)] if *up == way), "{up:?}");
}

#[test]
fn the_straight_way_up_and_a_hold_timer_that_runs_out() {
    let mut rig = Rig::new(1, false);
    assert_eq!(rig.on(Event::Start), [Action::Dial]);
    assert_eq!(rig.fsm.state(), SessionState::Connect);
    assert_eq!(rig.on(Event::Opened(Direction::Out)), [Action::SendOpen(Direction::Out)]);
    assert_eq!(rig.fsm.state(), SessionState::OpenSent);
    let actions = rig.get(Direction::Out, peer_open(2));
    assert_eq!(actions, [Action::SendKeepalive(Direction::Out)]);
    assert_eq!(rig.fsm.state(), SessionState::OpenConfirm);
    rig.get(Direction::Out, Message::Keepalive);
    assert_eq!(rig.fsm.state(), SessionState::Established);

    // Four keepalives within the hold time, then the end.
    let start = rig.now;
    let mut keepalives = 0;
    let end = loop {
        match rig.wait().1.as_slice() {
            [Action::SendKeepalive(_)] => keepalives += 1,
            other => break other.to_vec(),
        }
    };
    assert!((3..=4).contains(&keepalives), "{keepalives}");
    assert_eq!(rig.now - start, Duration::from_secs(90));
    assert_eq!(notified(&end), Some((4, 0, vec![])));
    assert!(matches!(end.last(), Some(Action::Down(why)) if why.contains("hold timer")));
    assert_eq!(rig.fsm.state(), SessionState::Idle);
}

#[test]
fn pauses_grow_to_half_a_minute_and_never_end() {
    let mut rig = Rig::new(1, false);
    rig.on(Event::Start);
    let mut pauses = Vec::new();
    for _ in 0..20 {
        rig.on(Event::Closed(Direction::Out, "refused"));
        let (pause, actions) = rig.wait();
        assert_eq!(actions, [Action::Dial]);
        pauses.push(pause);
    }
    assert!(pauses[0] <= FIRST_PAUSE && pauses[0] >= FIRST_PAUSE * 3 / 4, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
    assert!(pauses[10..].iter().all(|pause| *pause >= LONGEST_PAUSE * 3 / 4));
    // An answer that never comes is a failure too.
    let (waited, actions) = rig.wait();
    assert_eq!((waited, actions), (DIAL_TIME, vec![Action::Close(Direction::Out)]));

    // A session that lived makes the next pause short again.
    rig.wait();
    establish(&mut rig, Direction::Out, 2);
    rig.now += STABLE;
    rig.on(Event::Closed(Direction::Out, "gone"));
    assert!(rig.fsm.next_timeout().unwrap() - rig.now <= FIRST_PAUSE);
}

#[test]
fn the_connection_dialled_by_the_higher_identifier_survives() {
    for (ours, theirs, kept) in [(1, 2, Direction::In), (2, 1, Direction::Out)] {
        for first in Direction::BOTH {
            let mut rig = Rig::new(ours, false);
            rig.on(Event::Start);
            rig.on(Event::Opened(Direction::Out));
            assert!(rig.fsm.accepts());
            rig.on(Event::Opened(Direction::In));
            rig.get(first, peer_open(theirs));
            let actions = rig.get(first.other(), peer_open(theirs));
            assert_eq!(notified(&actions), Some((6, 7, vec![])));
            assert!(actions.contains(&Action::Close(kept.other())));
            let up = rig.get(kept, Message::Keepalive);
            assert!(matches!(up.as_slice(), [Action::Up(way, _)] if *way == kept));
            assert_eq!(rig.fsm.established().map(|(way, _)| way), Some(kept));
        }
    }
}

#[test]
fn an_established_session_outlives_a_newcomer() {
    let mut rig = Rig::new(1, false);
    rig.on(Event::Start);
    establish(&mut rig, Direction::Out, 2);
    rig.on(Event::Opened(Direction::In));
    let actions = rig.get(Direction::In, peer_open(2));
    assert_eq!(notified(&actions), Some((6, 7, vec![])));
    assert_eq!(rig.fsm.established().map(|(way, _)| way), Some(Direction::Out));
}

#[test]
fn an_accepted_session_stops_the_dialling() {
    let mut rig = Rig::new(1, false);
    rig.on(Event::Start);
    rig.on(Event::Opened(Direction::In));
    rig.get(Direction::In, peer_open(2));
    let actions = rig.get(Direction::In, Message::Keepalive);
    assert_eq!(actions[0], Action::Close(Direction::Out));
    assert!(matches!(actions[1], Action::Up(Direction::In, _)));
}

#[test]
fn messages_out_of_place_name_state_and_type() {
    let refresh = Message::RouteRefresh(RouteRefresh::request(Family::Vpnv4));
    let update = Message::Update(Update::default());
    let cases = [
        (0, Message::Keepalive, 1, 4),
        (0, update.clone(), 1, 2),
        (0, refresh.clone(), 1, 5),
        (1, peer_open(2), 2, 1),
        (1, update, 2, 2),
        (1, refresh, 2, 5),
        (2, peer_open(2), 3, 1),
    ];
    for (steps, message, subcode, kind) in cases {
        let mut rig = Rig::new(1, false);
        rig.on(Event::Start);
        rig.on(Event::Opened(Direction::Out));
        let way = [peer_open(2), Message::Keepalive];
        for step in way.into_iter().take(steps) {
            rig.get(Direction::Out, step);
        }
        let actions = rig.get(Direction::Out, message);
        assert_eq!(notified(&actions), Some((5, subcode, vec![kind])));
        assert!(actions.contains(&Action::Close(Direction::Out)));
    }
}

#[test]
fn a_passive_peer_is_never_dialled_and_a_stopped_one_refused() {
    let mut rig = Rig::new(1, true);
    assert!(!rig.fsm.accepts());
    assert_eq!(rig.on(Event::Start), []);
    assert_eq!((rig.fsm.state(), rig.fsm.next_timeout()), (SessionState::Active, None));
    establish(&mut rig, Direction::In, 2);
    let cease = Notification::new(notification::CEASE, notification::PEER_DECONFIGURED);
    let actions = rig.on(Event::Stop(cease));
    assert_eq!(notified(&actions), Some((6, 3, vec![])));
    assert!(matches!(actions.last(), Some(Action::Down(_))));
    assert!(!rig.fsm.accepts());
    assert_eq!(rig.fsm.next_timeout(), None);
}

#[test]
fn hold_time_zero_means_no_timers_at_all() {
    let mut rig = Rig::new(1, true);
    rig.on(Event::Start);
    rig.on(Event::Opened(Direction::In));
    let open = Open { hold_time: 0, ..Open::offer(&local(2)) };
    rig.get(Direction::In, Message::Open(open));
    rig.get(Direction::In, Message::Keepalive);
    assert_eq!(rig.fsm.state(), SessionState::Established);
    assert_eq!(rig.fsm.next_timeout(), None);
}

#[test]
fn a_peer_that_takes_nothing_is_given_the_time_of_the_rfc() {
    // (configured, hold time, seconds until the end)
    let cases = [
        (None, 3, Some(480)),
        (None, 240, Some(480)),
        (None, 300, Some(600)),
        (Some(7), 3, Some(7)),
        (Some(0), 3, None),
        (None, 0, None),
        (Some(7), 0, None),
    ];
    for (configured, hold_time, end) in cases {
        let mut rig = Rig::established(configured, hold_time);
        rig.on(Event::Handed(Direction::In));
        let mut ended = None;
        for second in 1..=700 {
            rig.now += Duration::from_secs(1);
            // The peer talks on: only the send hold timer can end it.
            rig.get(Direction::In, Message::Keepalive);
            // What is handed on later does not give it more time.
            rig.on(Event::Handed(Direction::In));
            let actions = rig.on(Event::Tick);
            if let Some(code) = notified(&actions) {
                let last = actions.last();
                assert!(matches!(last, Some(Action::Down(why)) if why.contains("send hold timer")));
                ended = Some((second, code));
                break;
            }
        }
        let want = end.map(|second| (second, (8, 0, vec![])));
        assert_eq!(ended, want, "{configured:?} {hold_time}");
        assert_eq!(rig.fsm.send_hold_expired(), u64::from(end.is_some()));
    }
}

#[test]
fn a_connection_not_let_in_is_told_of_but_not_over_a_session() {
    let mut rig = Rig::new(1, true);
    rig.on(Event::Start);
    assert_eq!(rig.on(Event::Refused("too far away")), []);
    assert_eq!(rig.fsm.last_error(), Some("too far away"));
    establish(&mut rig, Direction::In, 2);
    assert_eq!(rig.on(Event::Refused("another")), []);
    assert_eq!(rig.fsm.last_error(), Some("too far away"));
    assert_eq!(rig.fsm.state(), SessionState::Established);
}

#[derive(Clone, Debug)]
enum Step {
    Start,
    Stop,
    Opened(bool),
    Closed(bool),
    Message(bool, u8),
    Fault(bool),
    Handed(bool),
    Taken(bool, bool),
    Refused,
    Wait(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Start),
        1 => Just(Step::Stop),
        4 => any::<bool>().prop_map(Step::Opened),
        2 => any::<bool>().prop_map(Step::Closed),
        12 => (any::<bool>(), 0..8u8).prop_map(|(way, which)| Step::Message(way, which)),
        1 => any::<bool>().prop_map(Step::Fault),
        2 => any::<bool>().prop_map(Step::Handed),
        1 => any::<[bool; 2]>().prop_map(|[way, more]| Step::Taken(way, more)),
        1 => Just(Step::Refused),
        4 => (0..400u16).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Any sequence: no panic, one Established connection at most, Up and Down in turns, and a
    /// started active machine always has a connection or a time to wait for.
    #[test]
    fn any_events_keep_the_promises(
        steps in proptest::collection::vec(any_step(), 0..80),
        passive in any::<bool>(),
        id in 1..4u8,
    ) {
        let mut rig = Rig::new(id, passive);
        let (mut up, mut started) = (false, false);
        for step in steps {
            let way = |inward: bool| if inward { Direction::In } else { Direction::Out };
            let actions = match step {
                Step::Start => { started = true; rig.on(Event::Start) }
                Step::Stop => {
                    started = false;
                    rig.on(Event::Stop(Notification::new(notification::CEASE, 2)))
                }
                Step::Opened(inward) => rig.on(Event::Opened(way(inward))),
                Step::Closed(inward) => rig.on(Event::Closed(way(inward), "closed")),
                Step::Fault(inward) => {
                    rig.on(Event::Fault(way(inward), Notification::new(notification::UPDATE, 1)))
                }
                Step::Refused => rig.on(Event::Refused("refused")),
                Step::Handed(inward) => rig.on(Event::Handed(way(inward))),
                Step::Taken(inward, more) => rig.on(Event::Taken(way(inward), more)),
                Step::Message(inward, which) => rig.get(way(inward), match which {
                    0..=2 => peer_open(2),
                    3..=4 => Message::Keepalive,
                    5 => Message::Update(Update::default()),
                    6 => Message::RouteRefresh(RouteRefresh::request(Family::Vpnv4)),
                    _ => Message::Notification(Notification::new(6, 2)),
                }),
                Step::Wait(seconds) => {
                    rig.now += Duration::from_secs(u64::from(seconds));
                    rig.on(Event::Tick)
                }
            };
            for action in &actions {
                match action {
                    Action::Up(..) => { prop_assert!(!up); up = true; }
                    Action::Down(_) => { prop_assert!(up); up = false; }
                    _ => {}
                }
            }
            prop_assert_eq!(up, rig.fsm.established().is_some());
            prop_assert_eq!(up, rig.fsm.state() == SessionState::Established);
            if started && !passive {
                let alive = rig.fsm.next_timeout().is_some() || up;
                prop_assert!(alive, "neither connection nor timer: {:?}", rig.fsm);
            }
        }
    }

    /// The send hold timer against the words of RFC 9687: time without progress while something
    /// waits, and nothing else, ends a session whose peer talks on.
    #[test]
    fn only_standing_still_ends_the_session(
        steps in proptest::collection::vec((0..3u8, any::<bool>(), 0..4u8), 0..60),
        limit in 4..12u32,
    ) {
        let mut rig = Rig::established(Some(limit), 3);
        let mut since: Option<Instant> = None;
        for (kind, more, seconds) in steps {
            match kind {
                0 => { rig.on(Event::Handed(Direction::In)); since = since.or(Some(rig.now)); }
                1 => { rig.on(Event::Taken(Direction::In, more)); since = more.then_some(rig.now); }
                _ => { rig.get(Direction::In, Message::Keepalive); }
            }
            for _ in 0..seconds {
                rig.now += Duration::from_secs(1);
                rig.get(Direction::In, Message::Keepalive);
                let over = since.is_some_and(|at| {
                    rig.now - at >= Duration::from_secs(u64::from(limit))
                });
                if over {
                    prop_assert!(rig.fsm.next_timeout().is_some_and(|at| at <= rig.now));
                }
                let end = notified(&rig.on(Event::Tick));
                prop_assert_eq!(end, over.then_some((8, 0, vec![])));
                if over {
                    return Ok(());
                }
            }
        }
    }
}
