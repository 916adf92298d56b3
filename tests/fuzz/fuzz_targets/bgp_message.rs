//! Any bytes at all from a BGP peer, in two ways: straight into the codec, and into a speaker with an open session.

#![no_main]

use bgp::types::{Asn, Family};
use bgp::wire::{DecodeContext, HEADER, Message, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, stream @ ..] = data else { return };
    let context = DecodeContext {
        four_octet_as: choice & 1 != 0,
        internal: choice & 2 != 0,
        peer_asn: Asn(64512),
        families: [Family::Vpnv4, Family::Ipv4Unicast].into_iter().collect(),
    };
    // A stream of messages, as a session cuts it.
    let mut rest = stream;
    while let Ok(Some(length)) = frame(rest) {
        if length > rest.len() {
            break;
        }
        let (message, after) = rest.split_at(length);
        check(message, &context);
        rest = after;
    }
    // The same bytes as the body of one message, so that mutation need not guess the header.
    if stream.len() <= 4096 - HEADER {
        let mut message = vec![0xff; 16];
        message.extend_from_slice(&((stream.len() + HEADER) as u16).to_be_bytes());
        message.push(choice >> 2 & 7);
        message.extend_from_slice(stream);
        check(&message, &context);
    }
});

fn check(message: &[u8], context: &DecodeContext) {
    let first = Message::decode(message, context);
    let second = Message::decode(message, context);
    assert_eq!(first, second, "decoding twice differs");
    match first {
        Err(notification) => assert!((1..=6).contains(&notification.code), "{notification:?}"),
        Ok(decoded) => assert_eq!(decoded.kind(), message[HEADER - 1]),
    }
}
