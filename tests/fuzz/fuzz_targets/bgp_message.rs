//! Any bytes at all from a BGP peer: straight into the codec, and into a speaker with an established session.
//!
//! What must hold: decoding is a function of the bytes; errors are NOTIFICATIONs that exist; all that the speaker sends can be read;
//! and once the session is over, no route of it is left.

#![no_main]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgp::speaker::{Action, OriginatedRoute, PeerConfig, Speaker, SpeakerConfig, Update};
use bgp::types::{Asn, Family, Route, RouteDistinguisher, RouteTarget};
use bgp::wire::{DecodeContext, HEADER, Local, Message, Nlri, Open, encode_keepalive, frame};
use libfuzzer_sys::fuzz_target;

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1));
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 9));

fuzz_target!(|data: &[u8]| {
    let [choice, stream @ ..] = data else { return };
    let context = DecodeContext {
        four_octet_as: choice & 1 != 0,
        internal: choice & 2 != 0,
        peer_asn: Asn(64512),
        families: Family::ALL.into_iter().collect(),
    };
    let mut rest = stream;
    while let Ok(Some(length)) = frame(rest) {
        if length > rest.len() {
            break;
        }
        let (message, after) = rest.split_at(length);
        decode(message, &context);
        rest = after;
    }
    // The same bytes as the body of one message, so that mutation need not guess the header.
    let mut message = Vec::new();
    if stream.len() <= 4096 - HEADER {
        message.extend_from_slice(&[0xff; 16]);
        message.extend_from_slice(&((stream.len() + HEADER) as u16).to_be_bytes());
        message.push(choice >> 2 & 7);
        message.extend_from_slice(stream);
        decode(&message, &context);
    }
    session(*choice, stream, &message);
});

fn decode(message: &[u8], context: &DecodeContext) {
    let first = Message::decode(message, context);
    assert_eq!(first, Message::decode(message, context), "decoding twice differs");
    match first {
        Err(notification) => assert!((1..=7).contains(&notification.code), "{notification:?}"),
        Ok(decoded) => assert_eq!(decoded.kind(), message[HEADER - 1]),
    }
}

/// OPEN and KEEPALIVE of an orderly peer with all families.
fn hello(asn: u16) -> Vec<u8> {
    let local = Local {
        asn: Asn(asn.into()),
        router_id: Ipv4Addr::new(10, 255, 0, 9),
        peer_asn: Asn(64512),
        hold_time: 90,
        families: Family::ALL.into_iter().collect(),
    };
    let mut bytes = Vec::new();
    Open::offer(&local).encode(&mut bytes);
    encode_keepalive(&mut bytes);
    bytes
}

fn session(choice: u8, stream: &[u8], message: &[u8]) {
    let now = Instant::now();
    let asn: u16 = if choice & 2 != 0 { 64512 } else { 64513 };
    let mut speaker =
        Speaker::new(SpeakerConfig { asn: Asn(64512), router_id: Ipv4Addr::new(192, 0, 2, 1) });
    // Whether it is told only what it asks for.
    let asks = choice & 32 != 0;
    speaker.set_imports(["target:64512:100".parse().expect("a route target")].into());
    let peer = PeerConfig {
        passive: true,
        multihop: true,
        families: Family::ALL.into_iter().filter(|f| asks || *f != Family::Rtc).collect(),
        ..PeerConfig::new(THEIRS, Asn(asn.into()))
    };
    speaker.set_peers(vec![peer], now);
    let rd = RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 1), 1);
    for prefix in ["10.1.0.7/32", "2001:db8::7/128"] {
        let route = Route::to(Some(rd), prefix.parse().expect("a prefix"));
        let route = OriginatedRoute {
            route_targets: vec!["target:64512:100".parse::<RouteTarget>().expect("a route target")],
            ..OriginatedRoute::new(Nlri::labelled(route, 1000), OURS)
        };
        speaker.originate(route).expect("a route of our own");
    }
    let connection = speaker
        .accepted(SocketAddr::new(OURS, 179), SocketAddr::new(THEIRS, 40000), now)
        .expect("the peer is configured");

    let mut consumer = Consumer::default();
    for piece in [&hello(asn)[..], stream, message] {
        // In two pieces: the border falls anywhere.
        let (one, two) = piece.split_at(piece.len() / 3);
        speaker.received(connection, one, now);
        speaker.received(connection, two, now);
        consumer.drain(&mut speaker, now);
    }
    speaker.closed(connection, "end", now);
    consumer.drain(&mut speaker, now);
    assert!(consumer.routes.is_empty(), "left after the session: {:?}", consumer.routes);
}

#[derive(Default)]
struct Consumer {
    routes: BTreeSet<Route>,
}

impl Consumer {
    fn drain(&mut self, speaker: &mut Speaker, now: Instant) {
        while let Some(action) = speaker.poll_action(now) {
            if let Action::Send { connection, bytes } = action {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let length = frame(rest).expect("our own header").expect("whole messages");
                    let (message, after) = rest.split_at(length);
                    let context = DecodeContext {
                        four_octet_as: true,
                        internal: true,
                        families: Family::ALL.into_iter().collect(),
                        ..DecodeContext::default()
                    };
                    match Message::decode(message, &context).expect("our own message") {
                        Message::Update(update) => assert_eq!(update.faults, [], "our own message"),
                        _ => {}
                    }
                    rest = after;
                }
                speaker.sent(connection, bytes.len(), now);
            }
        }
        while let Some(update) = speaker.poll_update() {
            if let Update::Best { route, path } = update {
                if path.is_some() {
                    self.routes.insert(route)
                } else {
                    self.routes.remove(&route)
                };
            }
        }
    }
}
