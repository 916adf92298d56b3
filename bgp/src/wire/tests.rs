mod evpn;
mod oracle;
mod verdicts;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::types::{
    Community, ExtCommunity, Family, LabelField, LargeCommunity, Membership, Route,
    RouteDistinguisher,
};

/// Hexadecimal text, spaces free, to octets.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

/// A message of a type and a body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = begin(kind, &mut bytes);
    bytes.extend_from_slice(body);
    finish(at, &mut bytes);
    bytes
}

/// An UPDATE of withdrawn routes, attributes and routes.
fn update(withdrawn: &str, attributes: &str, routes: &str) -> Vec<u8> {
    let (withdrawn, attributes) = (hex(withdrawn), hex(attributes));
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(&withdrawn);
    body.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    body.extend_from_slice(&attributes);
    body.extend_from_slice(&hex(routes));
    message(UPDATE, &body)
}

fn internal() -> DecodeContext {
    DecodeContext {
        four_octet_as: true,
        internal: true,
        peer_asn: Asn(64512),
        families: Family::ALL.into_iter().collect(),
    }
}

fn decode_update(bytes: &[u8], context: &DecodeContext) -> Result<Update, Notification> {
    match Message::decode(bytes, context)? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

const ORIGIN: &str = "40 01 01 00";
const NO_PATH: &str = "40 02 00";
const NEXT_HOP: &str = "40 03 04 c0000201";
const LOCAL_PREF: &str = "40 05 04 00000064";
/// MP_REACH_NLRI of 10.2.1.0/24, distinguisher 64512:2, label 2001, next hop 10.255.0.2.
const VPN_REACH: &str = "80 0e 20 0001 80 0c 0000000000000000 0aff0002 00 \
                         70 007d11 0000fc0000000002 0a0201";

#[test]
fn reads_a_vpn_update_octet_by_octet() {
    let communities = "c0 10 10 0002fc0000000064 030c00000000000d";
    let attributes = format!("{VPN_REACH} {ORIGIN} {NO_PATH} {LOCAL_PREF} {communities}");
    let update = decode_update(&update("", &attributes, ""), &internal()).unwrap();
    assert_eq!(update.faults, []);
    let [reach] = update.reach.as_slice() else { panic!("one group") };
    assert_eq!(reach.family, Family::Vpnv4);
    assert_eq!(reach.attributes.next_hop, IpAddr::from([10, 255, 0, 2]));
    assert_eq!(reach.attributes.local_pref, Some(100));
    let targets: Vec<_> = reach.attributes.route_targets().collect();
    assert_eq!(targets, ["target:64512:100".parse().unwrap()]);
    assert_eq!(reach.attributes.encapsulations().collect::<Vec<_>>(), [13]);
    let route = Route::to(Some("64512:2".parse().unwrap()), "10.2.1.0/24".parse().unwrap());
    assert_eq!(reach.routes, [Nlri::labelled(route, 2001)]);
}

#[test]
fn withdraws_by_any_label_and_masks_host_bits() {
    for label in ["800000", "000000", "007d11", "ffffff"] {
        let attributes = format!("80 0f 12 0001 80 70 {label} 0000fc0000000002 0a0201");
        let update = decode_update(&update("", &attributes, ""), &internal()).unwrap();
        assert_eq!(update.unreach[0].routes[0].to_string(), "64512:2:10.2.1.0/24", "{label}");
    }
    let attributes = format!("{ORIGIN} {NO_PATH} {NEXT_HOP}");
    let update = decode_update(&update("08 0a", &attributes, "14 0a01ff 00"), &internal()).unwrap();
    assert_eq!(update.unreach[0].routes[0].to_string(), "10.0.0.0/8");
    let routes: Vec<_> = update.reach[0].routes.iter().map(|n| n.route.to_string()).collect();
    assert_eq!(routes, ["10.1.240.0/20", "0.0.0.0/0"]);
}

/// Routes of every family as peers write them: the bytes of MP_REACH_NLRI behind its header, what
/// they say, and whether we write them the same way.
#[test]
fn reads_every_family_octet_by_octet() {
    let rd = "0000fc0000000002";
    let zero = "0000000000000000";
    let (v6, local) = ("20010db8000000000000000000000009", "fe800000000000000000000000000009");
    let mapped = "00000000000000000000ffff0aff0002";
    let cases = [
        // IPv4 unicast in MP_REACH_NLRI: we write the plain form, except for IPv6 next hops.
        ("0001 01 04 0aff0002 00 18 0a0201".to_owned(), "10.2.1.0/24", "10.255.0.2", false),
        (format!("0001 01 10 {v6} 00 18 0a0201"), "10.2.1.0/24", "2001:db8::9", true),
        (format!("0001 01 20 {v6}{local} 00 18 0a0201"), "10.2.1.0/24", "2001:db8::9", false),
        (format!("0002 01 10 {v6} 00 40 20010db800020000"), "2001:db8:2::/64", "2001:db8::9", true),
        (format!("0002 01 20 {v6}{local} 00 00"), "::/0", "2001:db8::9", false),
        (format!("0002 01 10 {mapped} 00 21 20010db880"), "2001:db8:8000::/33", "10.255.0.2", true),
        // RFC 8950: an IPv6 next hop for VPN-IPv4.
        (
            format!("0001 80 18 {zero}{v6} 00 70 007d11{rd} 0a0201"),
            "64512:2:10.2.1.0/24",
            "2001:db8::9",
            true,
        ),
        (
            format!("0002 80 18 {zero}{mapped} 00 98 007d11{rd} 20010db800020000"),
            "64512:2:2001:db8:2::/64",
            "10.255.0.2",
            true,
        ),
        (
            format!("0002 80 18 {zero}{v6} 00 d8 007d11{rd} {v6}"),
            "64512:2:2001:db8::9/128",
            "2001:db8::9",
            true,
        ),
        (
            format!("0002 80 30 {zero}{v6}{zero}{local} 00 58 007d11{rd}"),
            "64512:2:::/0",
            "2001:db8::9",
            false,
        ),
        ("0001 84 04 0aff0002 00 00".to_owned(), "default", "10.255.0.2", true),
        (
            format!("0001 84 10 {v6} 00 60 0000fc000002fc0000000064"),
            "64512:target:64512:100",
            "2001:db8::9",
            true,
        ),
        (
            "0001 84 04 0aff0002 00 31 0000fc000002ff".to_owned(),
            "64512:0x0002800000000000/17",
            "10.255.0.2",
            false,
        ),
    ];
    for (value, route, next_hop, same) in cases {
        let length = hex(&value).len();
        let bytes =
            update("", &format!("90 0e {length:04x} {value} {ORIGIN} {NO_PATH} {LOCAL_PREF}"), "");
        let read = decode_update(&bytes, &internal()).unwrap();
        assert_eq!(read.faults, [], "{value}");
        let [reach] = read.reach.as_slice() else { panic!("one group: {value}") };
        let [nlri] = reach.routes.as_slice() else { panic!("one route: {value}") };
        assert_eq!((nlri.route.to_string().as_str(), reach.family), (route, nlri.route.family()));
        assert_eq!(reach.attributes.next_hop.to_string(), next_hop, "{value}");
        assert_eq!(nlri.binding.label(), nlri.route.rd().map(|_| 2001), "{value}");
        let mut written = Vec::new();
        let wide = EncodeContext { four_octet_as: true };
        encode_reach(reach.family, &reach.attributes, &reach.routes, wide, &mut written).unwrap();
        assert_eq!(written == bytes, same, "{value}: {written:02x?}");
    }
}

#[test]
fn plain_and_multiprotocol_routes_share_a_message() {
    let attributes = format!("{VPN_REACH} {ORIGIN} {NO_PATH} {NEXT_HOP}");
    let both = decode_update(&update("", &attributes, "10 0a01"), &internal()).unwrap();
    let hops: Vec<_> =
        both.reach.iter().map(|r| (r.family, r.attributes.next_hop.to_string())).collect();
    let (vpn, plain) = ("10.255.0.2".to_owned(), "192.0.2.1".to_owned());
    assert_eq!(hops, [(Family::Vpnv4, vpn), (Family::Ipv4Unicast, plain)]);
    assert_eq!(both.reach[0].attributes.origin, both.reach[1].attributes.origin);
}

#[test]
fn end_of_rib_both_ways() {
    let mut bytes = Vec::new();
    encode_end_of_rib(Family::Ipv4Unicast, &mut bytes);
    assert_eq!(bytes, update("", "", ""));
    assert_eq!(decode_update(&bytes, &internal()).unwrap().end_of_rib, Some(Family::Ipv4Unicast));
    bytes.clear();
    encode_end_of_rib(Family::Vpnv4, &mut bytes);
    assert_eq!(bytes, update("", "80 0f 03 0001 80", ""));
    assert_eq!(decode_update(&bytes, &internal()).unwrap().end_of_rib, Some(Family::Vpnv4));
    // The same with the extended length bit, as some peers write it.
    let wide = update("", "90 0f 0003 0001 80", "");
    assert_eq!(decode_update(&wide, &internal()).unwrap().end_of_rib, Some(Family::Vpnv4));
    // Of a family that was not negotiated it is nothing.
    let only_plain =
        DecodeContext { families: [Family::Ipv4Unicast].into_iter().collect(), ..internal() };
    assert_eq!(decode_update(&bytes, &only_plain).unwrap().end_of_rib, None);
}

#[test]
fn the_first_of_two_counts_and_vpn_routes_are_withdrawn_like_others() {
    let twice = format!("{ORIGIN} {NO_PATH} {NEXT_HOP} 80 04 04 00000001 80 04 04 00000002");
    let first = decode_update(&update("", &twice, "10 0a01"), &internal()).unwrap();
    assert_eq!(first.reach[0].attributes.med, Some(1));
    assert_eq!(first.faults[0].treatment, Treatment::Discard);

    let attributes = format!("{VPN_REACH} 40 01 01 09 {NO_PATH}");
    let bad = decode_update(&update("", &attributes, ""), &internal()).unwrap();
    assert_eq!(bad.unreach[0].family, Family::Vpnv4);
    assert!(bad.reach.is_empty());
}

#[test]
fn external_peers_lead_the_path_and_their_internal_attributes_are_ignored() {
    let context = DecodeContext { internal: false, ..internal() };
    let path = "40 02 06 0201 0000fc00";
    let ours = format!("{ORIGIN} {path} {NEXT_HOP} 40 05 01 00 80 09 01 00 80 0a 01 00");
    let good = decode_update(&update("", &ours, "10 0a01"), &context).unwrap();
    assert_eq!(good.faults, []);
    let a = &good.reach[0].attributes;
    assert_eq!((a.local_pref, a.originator_id, a.cluster_list.len()), (None, None, 0));
    let foreign = format!("{ORIGIN} 40 02 06 0201 0000fc01 {NEXT_HOP}");
    let bad = decode_update(&update("", &foreign, "10 0a01"), &context).unwrap();
    assert!(bad.reach.is_empty() && bad.unreach.len() == 1);
}

#[test]
fn unknown_attributes_pass_or_vanish_by_their_flags() {
    let attributes =
        format!("{ORIGIN} {NO_PATH} {NEXT_HOP} c0 63 02 0102 80 64 01 00 e0 62 00 c0 1e 01 aa");
    let update = decode_update(&update("", &attributes, "10 0a01"), &internal()).unwrap();
    let unknown = &update.reach[0].attributes.unknown;
    let codes: Vec<_> = unknown.iter().map(|u| (u.code, u.flags, u.value.to_vec())).collect();
    assert_eq!(codes, [(0x1e, 0xc0, vec![0xaa]), (0x62, 0xe0, vec![]), (0x63, 0xc0, vec![1, 2])]);
}

#[test]
fn two_octet_speakers_are_understood_and_written_to() {
    let context = DecodeContext { four_octet_as: false, ..internal() };
    // 64512 23456, AS4_PATH 70000, AGGREGATOR AS_TRANS, AS4_AGGREGATOR 70000.
    let attributes = format!(
        "{ORIGIN} 40 02 06 0202 fc00 5ba0 {NEXT_HOP} c0 07 06 5ba0 c0000201 \
         c0 11 06 0201 00011170 c0 12 08 00011170 c0000202"
    );
    let got = decode_update(&update("", &attributes, "10 0a01"), &context).unwrap();
    let a = &got.reach[0].attributes;
    assert_eq!(a.as_path.to_string(), "64512 70000");
    assert_eq!(a.aggregator.unwrap().to_string(), "70000 192.0.2.2");
    // RFC 6793 4.2.3: an aggregator of its own makes the AS4 attributes old.
    let later = attributes.replace("06 5ba0", "06 0007");
    let got = decode_update(&update("", &later, "10 0a01"), &context).unwrap();
    assert_eq!(got.reach[0].attributes.as_path.to_string(), "64512 23456");
    assert_eq!(got.reach[0].attributes.aggregator.unwrap().asn, Asn(7));

    let mut bytes = Vec::new();
    let to_two = EncodeContext { four_octet_as: false };
    encode_reach(Family::Ipv4Unicast, a, &plain_routes(1), to_two, &mut bytes).unwrap();
    let back = decode_update(&bytes, &context).unwrap();
    assert_eq!(back.reach[0].attributes, *a);
}

#[test]
fn headers_are_judged_before_bodies() {
    let mut keepalive = Vec::new();
    encode_keepalive(&mut keepalive);
    assert_eq!(keepalive, hex("ffffffffffffffffffffffffffffffff 0013 04"));
    assert_eq!(Message::decode(&keepalive, &internal()), Ok(Message::Keepalive));
    assert_eq!(frame(&keepalive[..18]), Ok(None));
    let error = |at: usize, octet: u8| {
        let mut bytes = keepalive.clone();
        bytes[at] = octet;
        let why = frame(&bytes).unwrap_err();
        (why.code, why.subcode, why.data)
    };
    assert_eq!(error(7, 0xfe), (1, 1, vec![]));
    assert_eq!(error(17, 0x12), (1, 2, vec![0, 0x12]));
    assert_eq!(error(17, 0x14), (1, 2, vec![0, 0x14]));
    assert_eq!(error(16, 0x10), (1, 2, vec![0x10, 0x13]));
    assert_eq!(error(18, 0), (1, 3, vec![0]));
    assert_eq!(error(18, 6), (1, 3, vec![6]));
    assert_eq!(error(18, OPEN), (1, 2, vec![0, 0x13]));
    assert_eq!(error(18, ROUTE_REFRESH), (1, 2, vec![0, 0x13]));
}

fn local() -> Local {
    Local {
        asn: Asn(64513),
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        peer_asn: Asn(64512),
        hold_time: 90,
        families: [Family::Vpnv4].into_iter().collect(),
    }
}

fn open(body: &str) -> Result<Open, Notification> {
    match Message::decode(&message(OPEN, &hex(body)), &internal())? {
        Message::Open(open) => Ok(open),
        other => panic!("not an OPEN: {other:?}"),
    }
}

#[test]
fn opens_round_trip_and_survive_what_others_offer() {
    let ours = Open::offer(&Local { asn: Asn(4_200_000_000), ..local() });
    let mut bytes = Vec::new();
    ours.encode(&mut bytes);
    assert_eq!(Message::decode(&bytes, &internal()), Ok(Message::Open(ours.clone())));
    assert_eq!((ours.two_octet_as, ours.asn()), (23456, Asn(4_200_000_000)));

    // What FRR sends, one parameter a capability: families, both refresh codes, enhanced refresh,
    // AS, extended message, ADD-PATH receive, host name, graceful restart, long-lived one.
    let frr = open(
        "04 fc00 00b4 0aff0003 4f 02 06 0104 00010001 02 06 0104 00010080 02 02 8000 02 02 0200 \
         02 02 4600 02 06 4104 0000fc00 02 02 0600 02 0a 4508 00010101 00018001 \
         02 08 4906 04 66727233 00 02 04 4002 c078 02 09 4707 00010080 000000",
    );
    let agreed = frr.unwrap().negotiate(&local()).unwrap();
    assert!(agreed.four_octet_as && agreed.refresh);
    assert_eq!(agreed.families, [Family::Vpnv4].into_iter().collect());
    assert_eq!((agreed.hold_time, agreed.router_id), (90, Ipv4Addr::new(10, 255, 0, 3)));

    // RFC 9072: lengths of two octets.
    let wide = open("04 fc00 0000 0aff0003 ff ff 0009 02 0006 0104 00010080").unwrap();
    let agreed = wide.negotiate(&local()).unwrap();
    assert_eq!((agreed.hold_time, agreed.four_octet_as), (0, false));

    // No capabilities at all: IPv4 unicast, two-octet AS numbers, no refresh.
    let bare = open("04 fc00 005a 0aff0003 00").unwrap();
    let plain = Local { families: Family::ALL.into_iter().collect(), ..local() };
    let agreed = bare.negotiate(&plain).unwrap();
    assert_eq!(agreed.families, [Family::Ipv4Unicast].into_iter().collect());
    assert!(!agreed.refresh);
}

#[test]
fn bad_opens_get_the_subcode_of_rfc_4271_6_2() {
    let vpn = "08 02 06 0104 00010080";
    let cases = [
        ("03 fc00 005a 0aff0003 00".to_owned(), 1, "0004"),
        (format!("04 fc01 005a 0aff0003 {vpn}"), 2, ""),
        (format!("04 fc00 005a 00000000 {vpn}"), 3, ""),
        ("04 fc00 005a 0aff0003 04 01 02 0000".to_owned(), 4, ""),
        (format!("04 fc00 0002 0aff0003 {vpn}"), 6, ""),
        ("04 fc00 005a 0aff0003 08 02 06 0104 00190041".to_owned(), 7, "0104 00010080"),
        ("04 fc00 005a 0aff0003 05 02 06 0104".to_owned(), 0, ""),
        ("04 fc00 005a 0aff0003 04 02 02 4104".to_owned(), 0, ""),
        ("04 fc00 005a 0aff0003 04 02 02 4100".to_owned(), 0, ""),
        ("04 fc00 005a 0aff0003 01".to_owned(), 0, ""),
    ];
    for (body, subcode, data) in cases {
        let why = open(&body).and_then(|open| open.negotiate(&local())).unwrap_err();
        assert_eq!((why.code, why.subcode, why.data), (2, subcode, hex(data)), "{body}");
    }
    // RFC 6286 2.2: our own identifier within our AS.
    let same = Local { asn: Asn(64512), router_id: Ipv4Addr::new(10, 255, 0, 3), ..local() };
    let twin = open(&format!("04 fc00 005a 0aff0003 {vpn}")).unwrap();
    assert_eq!(twin.negotiate(&same).unwrap_err().subcode, 3);
}

#[test]
fn notifications_and_refreshes_round_trip() {
    let why = Notification::with_data(6, 2, b"\x05lunch");
    let mut bytes = Vec::new();
    why.encode(&mut bytes);
    assert_eq!(Message::decode(&bytes, &internal()), Ok(Message::Notification(why.clone())));
    assert_eq!(why.to_string(), "administrative shutdown (6/2): lunch");
    let request = RouteRefresh::request(Family::Vpnv4);
    bytes.clear();
    request.encode(&mut bytes);
    assert_eq!(bytes, message(ROUTE_REFRESH, &hex("0001 00 80")));
    assert_eq!(Message::decode(&bytes, &internal()), Ok(Message::RouteRefresh(request)));
}

fn plain_routes(count: u32) -> Vec<Nlri> {
    let prefix = |n: u32| {
        let address = Ipv4Addr::from(0x0a00_0000 + n * 256);
        ipnet::Ipv4Net::new(address, 24).unwrap()
    };
    (0..count).map(|n| Nlri::plain(Route::Ipv4(prefix(n)))).collect()
}

#[test]
fn routes_are_packed_into_as_few_messages_as_they_fit() {
    let rd = RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 1), 5);
    let routes: Vec<Nlri> = plain_routes(1000)
        .into_iter()
        .map(|n| Nlri::labelled(Route::to(Some(rd), n.route.prefix().unwrap()), 77))
        .collect();
    let mut attributes = PathAttributes::new(IpAddr::from([192, 0, 2, 1]));
    attributes.ext_communities =
        vec![ExtCommunity::encapsulation(13), ExtCommunity::encapsulation(2)];
    let mut bytes = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    encode_reach(Family::Vpnv4, &attributes, &routes, wide, &mut bytes).unwrap();
    let (mut rest, mut got, mut lengths) = (bytes.as_slice(), Vec::new(), Vec::new());
    while let Some(length) = frame(rest).unwrap() {
        let (one, more) = rest.split_at(length);
        // MP_REACH_NLRI is the first attribute, communities are sorted.
        assert_eq!(one[23..25], [0x90, 14]);
        let update = decode_update(one, &internal()).unwrap();
        assert_eq!(update.reach[0].attributes.encapsulations().collect::<Vec<_>>(), [2, 13]);
        got.extend(update.reach[0].routes.clone());
        lengths.push(length);
        rest = more;
    }
    assert_eq!(got, routes);
    // 15 octets a route: 4096 less header, lengths and attributes hold 267 of them.
    assert_eq!(lengths.len(), 4);
    assert!(lengths[..3].iter().all(|length| *length > MAX_MESSAGE - 15));

    bytes.clear();
    encode_unreach(Family::Vpnv4, &routes.iter().map(|n| n.route).collect::<Vec<_>>(), &mut bytes);
    let first = frame(&bytes).unwrap().unwrap();
    assert_eq!(decode_update(&bytes[..first], &internal()).unwrap().unreach[0].routes.len(), 271);

    attributes.ext_communities = (0..600).map(ExtCommunity::encapsulation).collect();
    bytes.clear();
    let refused = encode_reach(Family::Vpnv4, &attributes, &routes, wide, &mut bytes);
    assert_eq!((refused, bytes.len()), (Err(EncodeError::TooLong), 0));
}

fn any_route(family: Family) -> BoxedStrategy<Nlri> {
    if family == Family::Evpn {
        return evpn::any_evpn().boxed();
    }
    (any::<u128>(), 0..=128u8, any::<[u8; 8]>(), 0..1u32 << 20)
        .prop_map(move |(address, bits, octets, label)| {
            let rd = Some(RouteDistinguisher::from_octets(octets));
            let v4 = IpNet::new(Ipv4Addr::from(address as u32).into(), bits % 33).unwrap();
            let v6 = IpNet::new(Ipv6Addr::from(address).into(), bits).unwrap();
            match family {
                Family::Ipv4Unicast => Nlri::plain(Route::to(None, v4)),
                Family::Ipv6Unicast => Nlri::plain(Route::to(None, v6)),
                Family::Vpnv4 => Nlri::labelled(Route::to(rd, v4), label),
                Family::Vpnv6 => Nlri::labelled(Route::to(rd, v6), label),
                Family::Evpn => unreachable!(),
                Family::Rtc => {
                    let octets = *address.to_be_bytes().first_chunk().unwrap();
                    let membership = Membership::from_prefix(octets, bits);
                    Nlri::plain(Route::Rtc(membership.unwrap_or(Membership::DEFAULT)))
                }
            }
        })
        .boxed()
}

fn any_path() -> impl Strategy<Value = AsPath> {
    let asns = || vec((1..=u32::MAX).prop_map(Asn), 1..6);
    let segment = prop_oneof![asns().prop_map(Segment::Sequence), asns().prop_map(Segment::Set)];
    vec(segment, 0..4).prop_map(|segments| AsPath { segments })
}

/// IPv4, or IPv6 that is not taken for a mapped IPv4 address.
fn any_next_hop() -> impl Strategy<Value = IpAddr> {
    let v4 = (1..224u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::from([a, b, c, d]));
    let v6 = any::<[u16; 7]>()
        .prop_map(|[b, c, d, e, f, g, h]| IpAddr::from([0x2001, b, c, d, e, f, g, h]));
    prop_oneof![v4, v6]
}

prop_compose! {
    fn any_attributes()(
        origin in prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)],
        as_path in any_path(),
        next_hop in any_next_hop(),
        numbers in any::<(Option<u32>, Option<u32>, bool)>(),
        aggregator in proptest::option::of((1..=u32::MAX, any::<u32>())),
        communities in vec(any::<u32>(), 0..8),
        ext in vec(any::<[u8; 8]>(), 0..8),
        large in vec(any::<[u32; 3]>(), 0..8),
        originator in any::<Option<u32>>(),
        clusters in vec(any::<u32>(), 0..4),
        tunnels in (
            proptest::option::of((any::<u8>(), any::<[u8; 3]>(), vec(any::<u8>(), 0..20))),
            proptest::option::of(vec(any::<u8>(), 0..40)),
        ),
        unknown in vec((33..=255u8, vec(any::<u8>(), 0..300)), 0..3),
    ) -> PathAttributes {
        let mut attributes = PathAttributes {
            origin,
            as_path,
            next_hop,
            med: numbers.0,
            local_pref: numbers.1,
            atomic_aggregate: numbers.2,
            aggregator: aggregator
                .map(|(asn, id)| Aggregator { asn: Asn(asn), router_id: Ipv4Addr::from(id) }),
            communities: communities.into_iter().map(Community).collect(),
            ext_communities: ext.into_iter().map(ExtCommunity).collect(),
            large_communities: large
                .into_iter()
                .map(|[administrator, a, b]| LargeCommunity { administrator, data: [a, b] })
                .collect(),
            originator_id: originator.map(Ipv4Addr::from),
            cluster_list: clusters.into_iter().map(Ipv4Addr::from).collect(),
            pmsi: tunnels.0.map(|(kind, label, identifier)| {
                let label = LabelField::from_octets(label);
                // Any kind but ingress replication, which is an address.
                let kind = if kind == 6 { 0 } else { kind };
                Box::new(PmsiTunnel { flags: 1, kind, label, identifier: identifier.into() })
            }),
            tunnels: tunnels.1.map(|sub_tlvs| {
                let length = (sub_tlvs.len() as u16).to_be_bytes();
                let value = [&[0, 13], &length[..], &sub_tlvs].concat();
                TunnelEncapsulation::decode(&value).unwrap()
            }),
            unknown: unknown
                .into_iter()
                .map(|(code, value)| UnknownAttribute { flags: 0xe0, code, value: value.into() })
                .collect(),
        };
        attributes.communities.sort_unstable();
        attributes.communities.dedup();
        attributes.ext_communities.sort_unstable();
        attributes.ext_communities.dedup();
        attributes.large_communities.sort_unstable();
        attributes.large_communities.dedup();
        attributes.unknown.sort_unstable_by_key(|u| u.code);
        attributes.unknown.dedup_by_key(|u| u.code);
        attributes
    }
}

fn any_family() -> impl Strategy<Value = Family> {
    proptest::sample::select(&Family::ALL[..])
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(
        (family, routes) in any_family().prop_flat_map(|f| (Just(f), vec(any_route(f), 1..400))),
        attributes in any_attributes(),
    ) {
        let mut bytes = Vec::new();
        let context = EncodeContext { four_octet_as: true };
        encode_reach(family, &attributes, &routes, context, &mut bytes).unwrap();
        let (mut rest, mut got) = (bytes.as_slice(), Vec::new());
        while let Some(length) = frame(rest).unwrap() {
            let (one, more) = rest.split_at(length);
            let update = decode_update(one, &internal()).unwrap();
            prop_assert_eq!(&update.faults, &[]);
            prop_assert_eq!(&update.reach[0].attributes, &attributes);
            got.extend(update.reach[0].routes.clone());
            rest = more;
        }
        prop_assert_eq!(&got, &routes);

        bytes.clear();
        let keys: Vec<Route> = routes.iter().map(|n| n.route).collect();
        encode_unreach(family, &keys, &mut bytes);
        let (mut rest, mut gone) = (bytes.as_slice(), Vec::new());
        while let Some(length) = frame(rest).unwrap() {
            let (one, more) = rest.split_at(length);
            gone.extend(decode_update(one, &internal()).unwrap().unreach[0].routes.clone());
            rest = more;
        }
        prop_assert_eq!(&gone, &keys);
    }

    #[test]
    fn two_octet_sessions_lose_nothing_of_a_sequence(
        asns in vec((1..=u32::MAX).prop_map(Asn), 0..20),
        aggregator in 1..=u32::MAX,
    ) {
        let mut attributes = PathAttributes::new(IpAddr::from([192, 0, 2, 1]));
        attributes.as_path = AsPath::sequence(&asns);
        // An aggregator that fits two octets tells a reader to ignore AS4_PATH only beside an
        // AS4_AGGREGATOR, which is then not sent.
        attributes.aggregator =
            Some(Aggregator { asn: Asn(aggregator), router_id: Ipv4Addr::LOCALHOST });
        let mut bytes = Vec::new();
        let two = EncodeContext { four_octet_as: false };
        encode_reach(Family::Ipv4Unicast, &attributes, &plain_routes(1), two, &mut bytes).unwrap();
        let context = DecodeContext { four_octet_as: false, ..internal() };
        let update = decode_update(&bytes, &context).unwrap();
        prop_assert_eq!(&update.reach[0].attributes, &attributes);
    }

    #[test]
    fn any_octets_decode_to_something(
        kind in 0..7u8,
        body in vec(any::<u8>(), 0..200),
        bits in any::<(bool, bool)>(),
    ) {
        let context = DecodeContext { four_octet_as: bits.0, internal: bits.1, ..internal() };
        let _ = Message::decode(&body, &context);
        let _ = Message::decode(&message(kind, &body), &context);
    }

    /// One octet wrong somewhere, lengths and flags included.
    #[test]
    fn damaged_updates_decode_to_something(
        attributes in any_attributes(),
        (family, routes) in any_family().prop_flat_map(|f| (Just(f), vec(any_route(f), 1..20))),
        damage in vec((19..4096usize, any::<u8>()), 1..4),
        four_octet_as in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        let wide = EncodeContext { four_octet_as: true };
        encode_reach(family, &attributes, &routes, wide, &mut bytes).unwrap();
        let length = frame(&bytes).unwrap().unwrap();
        bytes.truncate(length);
        for (at, octet) in damage {
            bytes[19 + at % (length - 19)] = octet;
        }
        let context = DecodeContext { four_octet_as, ..internal() };
        if let Ok(Message::Update(update)) = Message::decode(&bytes, &context) {
            // Whatever is accepted can be sent on, if it fits.
            for reach in update.reach {
                let mut out = Vec::new();
                let _ = encode_reach(reach.family, &reach.attributes, &reach.routes, wide, &mut out);
            }
        }
    }
}
