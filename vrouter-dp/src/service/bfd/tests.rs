use super::*;

const MS: Duration = Duration::from_millis(1);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 4);

fn timing(multihop: bool) -> BfdTiming {
    BfdTiming { multihop, min_tx: 50_000, min_rx: 50_000, multiplier: 3 }
}

/// Sessions with one peer, and the peer's own machine.
struct Pair {
    ours: Sessions,
    peer: Session,
    now: Instant,
    start: Instant,
    changes: Vec<Change>,
}

impl Pair {
    fn new(multihop: bool) -> Pair {
        let start = Instant::now();
        let mut ours = Sessions::new(start);
        ours.set(PEER, timing(multihop), start).unwrap();
        let config = Config {
            discriminator: NonZeroU32::MAX,
            desired_min_tx: NonZeroU32::new(50_000).unwrap(),
            required_min_rx: 50_000,
            multiplier: NonZeroU8::new(3).unwrap(),
            passive: false,
        };
        let peer = Session::new(config, Duration::ZERO);
        Pair { ours, peer, now: start, start, changes: vec![] }
    }

    /// What `from` sends to `to`, as it arrives.
    fn packet(from: Ipv4Addr, to: Ipv4Addr, multihop: bool, packet: &Bfd) -> Vec<u8> {
        let said = Said { remote: to, multihop, number: 5, packet: None, change: None };
        datagram(&said, packet, from)
    }

    /// For a while; packets of the peer go through `change` first.
    fn run(&mut self, time: Duration, change: impl Fn(&mut Vec<u8>) -> bool) {
        let multihop = self.ours.all[&PEER].timing.multihop;
        let end = self.now + time;
        while self.now < end {
            self.now += MS;
            let mut said = self.ours.tick(self.now);
            let at = self.now - self.start;
            let mut back: Vec<Bfd> = self.peer.on_time(at).packet.into_iter().collect();
            for said in &said {
                back.extend(said.packet.and_then(|packet| self.peer.receive(&packet, at).packet));
            }
            for packet in back {
                let mut bytes = Pair::packet(PEER, OURS, multihop, &packet);
                if change(&mut bytes) {
                    said.extend(self.ours.heard(&bytes, self.now));
                }
            }
            for said in said {
                self.changes.extend(said.change);
                if let Some(packet) = said.packet {
                    self.peer.receive(&packet, at);
                }
            }
        }
    }

    fn state(&self) -> State {
        self.ours.states().next().unwrap().1
    }
}

#[test]
fn a_session_comes_up_and_goes_with_a_word() {
    for multihop in [false, true] {
        let mut pair = Pair::new(multihop);
        pair.run(500 * MS, |_| true);
        assert_eq!((pair.state(), pair.peer.state()), (State::Up, State::Up), "{multihop}");
        let Some(Event::BfdSession { received, sent, flaps: 0, detection_time, .. }) =
            pair.ours.rows(1, pair.now).next()
        else {
            panic!("no row")
        };
        assert!(received > 5 && sent > 5 && detection_time == 150_000);
        // The same again, or another timing: the session stays.
        let number = pair.ours.all[&PEER].session.config().discriminator;
        pair.ours.set(PEER, BfdTiming { multiplier: 5, ..timing(multihop) }, pair.now).unwrap();
        pair.run(500 * MS, |_| true);
        assert_eq!(pair.state(), State::Up);
        assert_eq!(pair.ours.all[&PEER].session.config().discriminator, number);
        let last = pair.ours.remove(PEER, pair.now).unwrap();
        assert_eq!(last.packet.unwrap().state(), State::AdminDown);
        assert!(pair.ours.remove(PEER, pair.now).is_none());
        assert_eq!(pair.ours.due, None);
    }
}

#[test]
fn silence_takes_it_down() {
    let mut pair = Pair::new(false);
    pair.run(500 * MS, |_| true);
    pair.changes.clear();
    pair.run(152 * MS, |_| false);
    let [change] = pair.changes[..] else { panic!("{:?}", pair.changes) };
    assert_eq!((change.to, change.diagnostic), (State::Down, bfd::Diagnostic::EXPIRED));
}

#[test]
fn packets_that_break_a_rule_count_for_nothing() {
    /// What is done to a packet, or that it is not sent.
    type Change = fn(&mut Vec<u8>) -> bool;
    let sum = |bytes: &mut Vec<u8>| {
        let (ip, _) = Ipv4::parse_mut(bytes).unwrap();
        ip.fill_checksum();
    };
    let broken: [(&str, Change); 5] = [
        ("one hop further", |b| {
            b[8] = 254;
            true
        }),
        ("another port", |b| {
            b[22..24].copy_from_slice(&bfd::MULTIHOP.to_be_bytes());
            b[26..28].fill(0);
            true
        }),
        ("a damaged datagram", |b| {
            b[40] ^= 1;
            true
        }),
        ("a stranger", |b| {
            b[15] ^= 1;
            b[26..28].fill(0);
            true
        }),
        ("cut short", |b| {
            b.truncate(45);
            true
        }),
    ];
    for (what, change) in broken {
        let mut pair = Pair::new(false);
        pair.run(500 * MS, |bytes| {
            let sent = change(bytes);
            sum(bytes);
            sent
        });
        assert_eq!((pair.state(), pair.ours.all[&PEER].received), (State::Down, 0), "{what}");
    }
    // The TTL says nothing over several hops.
    let mut pair = Pair::new(true);
    pair.run(500 * MS, |bytes| {
        bytes[8] = 17;
        sum(bytes);
        true
    });
    assert_eq!(pair.state(), State::Up);
}

#[test]
fn sessions_have_numbers_of_their_own_and_a_bound() {
    let start = Instant::now();
    let mut sessions = Sessions::new(start);
    sessions.next = u32::MAX - 2;
    for n in 0..SESSIONS as u32 {
        sessions.set((0x0a00_0000 + n).into(), timing(true), start).unwrap();
    }
    let numbers: std::collections::HashSet<u32> =
        sessions.all.values().map(|entry| entry.session.config().discriminator.get()).collect();
    assert_eq!(numbers.len(), SESSIONS);
    assert_eq!(sessions.set(PEER, timing(true), start), Err(Refusal::Full));
    assert_eq!(sessions.set([10, 0, 0, 1].into(), timing(false), start), Ok(()), "in its place");
    let wrong = BfdTiming { multiplier: 0, ..timing(true) };
    assert_eq!(sessions.set([10, 0, 0, 1].into(), wrong, start), Err(Refusal::Port));
}
