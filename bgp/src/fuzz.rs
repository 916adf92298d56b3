//! Entries for fuzzers: arbitrary octets in, and nothing may panic or grow without bound.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::speaker::{
    Action, OriginatedRoute, PeerConfig, RouteQuery, SEND_WINDOW, Speaker, SpeakerConfig, Which,
};
use crate::types::{Asn, Esi, EvpnRoute, Family, Route, RouteDistinguisher, RouteTarget};
use crate::wire::{
    DecodeContext, EncodeContext, Local, Message, Nlri, Open, encode_keepalive, encode_reach,
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// Of our own routes.
const ROUTE_TARGET: &str = "64512:100";
const US: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Decodes `octets` as one message under every context, and encodes again what was accepted.
pub fn message(octets: &[u8]) {
    for bits in 0..8u8 {
        let context = DecodeContext {
            four_octet_as: bits & 1 != 0,
            internal: bits & 2 != 0,
            peer_asn: Asn(64512),
            families: Family::ALL.into_iter().filter(|f| bits & 4 == 0 || f.is_vpn()).collect(),
        };
        if let Ok(Message::Update(update)) = Message::decode(octets, &context) {
            for reach in update.reach {
                let context = EncodeContext { four_octet_as: context.four_octet_as };
                // Attributes that filled one message may not fit another form of it.
                let mut out = Vec::new();
                let _ =
                    encode_reach(reach.family, &reach.attributes, &reach.routes, context, &mut out);
            }
        }
    }
}

/// Feeds `octets` to an Established session. The first one chooses an internal or external peer,
/// whether it has to ask for VPN routes, and the size of the pieces; the session is opened again whenever it falls.
pub fn session(octets: &[u8]) {
    let Some((&choice, octets)) = octets.split_first() else { return };
    let mut now = Instant::now();
    let peer_asn = Asn(64512 + u32::from(choice & 1));
    let mut speaker =
        Speaker::new(SpeakerConfig { asn: Asn(64512), router_id: Ipv4Addr::new(192, 0, 2, 1) });
    for last in 0..4u8 {
        let rd = RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 1), 1);
        let addresses = [
            IpAddr::from([10, 0, 0, last]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]),
        ];
        for address in addresses {
            let prefix = ipnet::IpNet::from(address);
            let vpn = Nlri::labelled(Route::to(Some(rd), prefix), 16);
            let mut route = OriginatedRoute::new(vpn, US);
            route.route_targets.extend(ROUTE_TARGET.parse::<RouteTarget>());
            let _ = speaker.originate(route);
            let _ =
                speaker.originate(OriginatedRoute::new(Nlri::plain(Route::to(None, prefix)), US));
        }
    }
    speaker.set_imports([ROUTE_TARGET, "64512:1"].iter().filter_map(|t| t.parse().ok()).collect());
    let asks = choice & 2 != 0;
    let families =
        Family::ALL.into_iter().filter(|family| asks || *family != Family::Rtc).collect();
    let segment = EvpnRoute::Segment { esi: Esi([1; 10]), originator: US };
    let segment = Nlri::plain(Route::Evpn(RouteDistinguisher::from_octets([0; 8]), segment));
    let _ = speaker.originate(OriginatedRoute::new(segment, US));
    let config = PeerConfig { passive: true, families, ..PeerConfig::new(PEER, peer_asn) };
    speaker.set_peers(vec![config], now);
    for piece in octets.chunks(1 + usize::from(choice >> 2) * 2) {
        now += Duration::from_millis(100);
        feed(&mut speaker, piece, peer_asn, now);
        speaker.tick(now);
        drain(&mut speaker, now);
    }
    for family in Family::ALL {
        for which in [Which::Received, Which::Best, Which::Advertised] {
            speaker.routes(&RouteQuery { family, which, peer: None });
        }
    }
    let _ = speaker.summary(now);
}

fn feed(speaker: &mut Speaker, piece: &[u8], peer_asn: Asn, now: Instant) {
    let (local, remote) = (SocketAddr::new(US, 179), SocketAddr::new(PEER, 30000));
    if let Some(connection) = speaker.accepted(local, remote, now) {
        let offer = Local {
            asn: peer_asn,
            router_id: Ipv4Addr::new(192, 0, 2, 2),
            peer_asn: Asn(64512),
            hold_time: 90,
            families: Family::ALL.into_iter().collect(),
        };
        let mut hello = Vec::new();
        Open::offer(&offer).encode(&mut hello);
        encode_keepalive(&mut hello);
        speaker.received(connection, &hello, now);
    }
    if let Some(connection) = speaker.connection_of(PEER) {
        speaker.received(connection, piece, now);
    }
}

fn drain(speaker: &mut Speaker, now: Instant) {
    let mut octets = 0;
    while let Some(action) = speaker.poll_action(now) {
        if let Action::Send { connection, bytes } = action {
            octets += bytes.len();
            speaker.sent(connection, bytes.len(), now);
        }
    }
    debug_assert!(octets <= 4 * SEND_WINDOW, "a few octets in, {octets} out");
    while speaker.poll_update().is_some() {}
}
