//! Any bytes as BFD packets, at any time. Whatever comes, the session says when it wants to be called next, and that is later.

#![no_main]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use liveness::bfd::{Config, Session};
use wire::bfd::{Bfd, State};

fuzz_target!(|data: &[u8]| {
    let config = Config {
        discriminator: NonZeroU32::MIN,
        desired_min_tx: NonZeroU32::MIN.saturating_add(49_999),
        required_min_rx: 50_000,
        multiplier: NonZeroU8::MIN.saturating_add(2),
        passive: data.first().is_some_and(|first| first & 1 == 1),
    };
    let mut now = Duration::ZERO;
    let mut session = Session::new(config, now);
    for step in data.chunks(2 + Bfd::LEN) {
        let [high, low, packet @ ..] = step else { return };
        now += Duration::from_millis(u16::from_be_bytes([*high, *low]).into());
        if let Ok(packet) = Bfd::checked(packet) {
            session.receive(packet, now);
        }
        session.on_time(now);
        assert!(session.next().is_none_or(|at| at > now));
        assert!(session.state() != State::Up || session.remote().discriminator != 0);
    }
});
