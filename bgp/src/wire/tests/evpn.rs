//! EVPN routes and the attributes that come with them.

use super::*;
use crate::types::{Esi, EvpnRoute, MacAddress};

const MAC: MacAddress = MacAddress([0x52, 0x54, 0, 0, 1, 7]);

pub(super) fn any_evpn() -> impl Strategy<Value = Nlri> {
    let address = || {
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ]
    };
    let numbers = (any::<[u8; 8]>(), any::<u32>(), any::<[u8; 10]>(), any::<[u8; 6]>());
    let labels = (any::<[u8; 3]>(), proptest::option::of(any::<[u8; 3]>()));
    let choice = (1..=5u8, any::<bool>(), any::<u8>());
    (numbers, labels, choice, address(), address()).prop_map(
        |((rd, tag, esi, mac), (label, second), (kind, some, bits), ip, hop)| {
            let (esi, mac) = (Esi(esi), MacAddress(mac));
            let rd = RouteDistinguisher::from_octets(rd);
            let mut binding =
                EvpnBinding { label: LabelField::from_octets(label), ..EvpnBinding::default() };
            let route = match kind {
                1 => EvpnRoute::AutoDiscovery { esi, tag },
                2 => {
                    binding.esi = esi;
                    binding.vrf_label = second.map(LabelField::from_octets);
                    EvpnRoute::MacIp { tag, mac, ip: Some(ip).filter(|_| some) }
                }
                3 => EvpnRoute::Multicast { tag, originator: ip },
                4 => EvpnRoute::Segment { esi, originator: ip },
                _ => {
                    // One overlay index, never both, and never nothing at all.
                    binding.label = LabelField::mpls(77);
                    if some {
                        binding.esi = esi;
                    } else if hop.is_ipv4() == ip.is_ipv4() && !hop.is_unspecified() {
                        binding.gateway = Some(hop);
                    }
                    let bits = bits % (crate::types::address_bits(&ip) + 1);
                    EvpnRoute::Prefix { tag, prefix: IpNet::new(ip, bits).unwrap().trunc() }
                }
            };
            let binding =
                if route.has_labels() { Binding::Evpn(Box::new(binding)) } else { Binding::None };
            Nlri { route: Route::Evpn(rd, route), binding }
        },
    )
}

/// An announcement of `nlri`, next hop 10.255.0.2.
fn reach(nlri: &str, more: &str) -> Vec<u8> {
    let value = format!("0019 46 04 0aff0002 00 {nlri}");
    let length = hex(&value).len();
    update("", &format!("90 0e {length:04x} {value} {ORIGIN} {NO_PATH} {more}"), "")
}

const RD: &str = "0000fc0000000002";
const ESI: &str = "00010203040506070809";
const NO_ESI: &str = "00000000000000000000";

#[test]
fn reads_and_writes_every_type_octet_by_octet() {
    let v6 = "20010db8000000000000000000000007";
    let zero = "00000000000000000000000000000000";
    let cases = [
        (
            format!("01 19 {RD} {ESI} ffffffff 007d11"),
            "[1]:[4294967295]:[00:01:02:03:04:05:06:07:08:09]",
        ),
        (
            format!("02 21 {RD} {ESI} 00000007 30 525400000107 00 007d11"),
            "[2]:[7]:[48]:[52:54:00:00:01:07]",
        ),
        (
            format!("02 28 {RD} {NO_ESI} 00000000 30 525400000107 20 0a010007 007d11 007d21"),
            "[2]:[0]:[48]:[52:54:00:00:01:07]:[32]:[10.1.0.7]",
        ),
        (
            format!("02 31 {RD} {NO_ESI} 00000000 30 525400000107 80 {v6} 007d11"),
            "[2]:[0]:[48]:[52:54:00:00:01:07]:[128]:[2001:db8::7]",
        ),
        (format!("03 11 {RD} 00000000 20 0aff0002"), "[3]:[0]:[32]:[10.255.0.2]"),
        (format!("03 1d {RD} 00000000 80 {v6}"), "[3]:[0]:[128]:[2001:db8::7]"),
        (
            format!("04 17 {RD} {ESI} 20 0aff0002"),
            "[4]:[00:01:02:03:04:05:06:07:08:09]:[32]:[10.255.0.2]",
        ),
        (
            format!("05 22 {RD} {NO_ESI} 00000000 10 0a020000 0a0200fe 007d11"),
            "[5]:[0]:[16]:[10.2.0.0]",
        ),
        (
            format!(
                "05 3a {RD} {NO_ESI} 00000000 40 20010db8000000000000000000000000 {zero} 001389"
            ),
            "[5]:[0]:[64]:[2001:db8::]",
        ),
    ];
    for (nlri, text) in cases {
        let bytes = reach(&nlri, "");
        let read = decode_update(&bytes, &internal()).unwrap();
        assert_eq!(read.faults, [], "{text}");
        let [reach] = read.reach.as_slice() else { panic!("one group: {text}") };
        let [one] = reach.routes.as_slice() else { panic!("one route: {text}") };
        assert_eq!(
            (one.route.destination(), one.route.rd().unwrap().to_string()),
            (text.to_owned(), "64512:2".to_owned())
        );
        assert_eq!(reach.attributes.next_hop, IpAddr::from([10, 255, 0, 2]));
        let mut written = Vec::new();
        let wide = EncodeContext { four_octet_as: true };
        encode_reach(Family::Evpn, &reach.attributes, &reach.routes, wide, &mut written).unwrap();
        assert_eq!(written, bytes, "{text}");
        // Withdrawn with whatever stands beside the key.
        let value = format!("0019 46 {nlri}");
        let length = hex(&value).len();
        let gone = update("", &format!("90 0f {length:04x} {value}"), "");
        let gone = decode_update(&gone, &internal()).unwrap();
        assert_eq!(gone.unreach[0].routes, [one.route], "{text}");
    }
    // What stands beside the key.
    let first = |nlri: &str| {
        let update = decode_update(&reach(nlri, ""), &internal()).unwrap();
        *update.reach[0].routes[0].binding.evpn().unwrap()
    };
    let mac =
        first(&format!("02 28 {RD} {ESI} 00000000 30 525400000107 20 0a010007 007d11 001389"));
    assert_eq!((mac.esi, mac.label.label()), (Esi([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), 2001));
    assert_eq!(mac.vrf_label.map(LabelField::vni), Some(5001));
    let prefix = first(&format!("05 22 {RD} {NO_ESI} 00000000 10 0a020000 0a0200fe 000000"));
    assert_eq!((prefix.gateway, prefix.esi), (Some(IpAddr::from([10, 2, 0, 254])), Esi::ZERO));
}

/// RFC 7606 5.4, RFC 9136 3: what cannot be used harms nobody else.
#[test]
fn routes_that_cannot_be_used_are_passed_over_or_withdrawn() {
    let good = format!("03 11 {RD} 00000000 20 0aff0002");
    let skipped = [
        ("00 00".to_owned(), true, "type 0"),
        ("06 03 010203".to_owned(), true, "selective multicast"),
        ("ff 00".to_owned(), true, "type 255"),
        (format!("01 18 {RD} {ESI} ffffffff 007d"), false, "type 1 cut short"),
        (format!("01 1a {RD} {ESI} ffffffff 007d1100"), false, "type 1 with more"),
        (format!("02 21 {RD} {ESI} 00000007 2f 525400000107 00 007d11"), false, "a MAC of 47 bits"),
        (
            format!("02 24 {RD} {ESI} 00000007 30 525400000107 18 0a0100 007d11"),
            false,
            "24 bits of address",
        ),
        (format!("02 22 {RD} {ESI} 00000007 30 525400000107 00 007d1100"), false, "half a label"),
        (format!("03 0d {RD} 00000000 00"), false, "nobody's broadcast domain"),
        (format!("04 16 {RD} {ESI} 20 0aff00"), false, "originator cut short"),
        (
            format!("05 22 {RD} {NO_ESI} 00000000 21 0a020000 00000000 007d11"),
            false,
            "33 bits of IPv4",
        ),
        (
            format!("05 23 {RD} {NO_ESI} 00000000 10 0a020000 00000000 007d1100"),
            false,
            "neither length",
        ),
    ];
    for (nlri, silent, what) in skipped {
        let read = decode_update(&reach(&format!("{nlri} {good}"), ""), &internal()).unwrap();
        assert_eq!(read.reach[0].routes.len(), 1, "{what}");
        assert_eq!(read.reach[0].routes[0].route.destination(), "[3]:[0]:[32]:[10.255.0.2]");
        assert!(read.unreach.is_empty(), "{what}");
        let skips = read.faults.iter().filter(|f| f.treatment == Treatment::Skip).count();
        assert_eq!(
            (skips, read.faults.len()),
            (usize::from(!silent), usize::from(!silent)),
            "{what}"
        );
    }
    // Two overlay indexes, and a way to nowhere: the route can be named, so it goes.
    let contradictory = format!("05 22 {RD} {ESI} 00000000 10 0a020000 0a0200fe 007d11");
    let nowhere = format!("05 22 {RD} {NO_ESI} 00000000 10 0a020000 00000000 000000");
    for nlri in [&contradictory, &nowhere] {
        let read = decode_update(&reach(&format!("{nlri} {good}"), ""), &internal()).unwrap();
        assert_eq!(read.unreach[0].routes[0].destination(), "[5]:[0]:[16]:[10.2.0.0]");
        assert_eq!(read.reach[0].routes.len(), 1);
    }
    let router_mac = "c0 10 08 0603525400000107";
    let read = decode_update(&reach(&nowhere, router_mac), &internal()).unwrap();
    assert_eq!((read.reach[0].routes.len(), read.unreach.len()), (1, 0), "the router's MAC leads");
    let communities = &read.reach[0].attributes.ext_communities;
    assert_eq!(communities[0].as_router_mac(), Some(MAC));
    // Withdrawals of what is passed over do not make an End-of-RIB.
    for (nlri, faults) in [("02 01 00", 1), ("06 01 00", 0)] {
        let gone = update("", &format!("80 0f 06 0019 46 {nlri}"), "");
        let gone = decode_update(&gone, &internal()).unwrap();
        assert_eq!((gone.end_of_rib, gone.faults.len(), gone.unreach.len()), (None, faults, 0));
    }
}

#[test]
fn tunnels_are_read_and_passed_on_as_they_came() {
    let multicast = format!("03 11 {RD} 00000000 20 0aff0002");
    let tunnels = "c0 17 2f \
         000d 000c 06 0a 00000000 0001 c0000207 \
         0002 0008 06 06 00000000 0000 \
         0008 000f 80 0001 aa 04 01 00 06 06 00000000 0000 \
         ";
    let bytes = reach(&multicast, &format!("c0 16 09 00 06 007d11 0aff0002 {tunnels}"));
    let read = decode_update(&bytes, &internal()).unwrap();
    assert_eq!(read.faults, []);
    let a = &read.reach[0].attributes;
    let pmsi = a.pmsi.as_deref().unwrap();
    let expected = PmsiTunnel::ingress_replication(
        LabelField::from_octets([0, 0x7d, 0x11]),
        IpAddr::from([10, 255, 0, 2]),
    );
    assert_eq!((pmsi, pmsi.endpoint()), (&expected, Some(IpAddr::from([10, 255, 0, 2]))));
    let all: Vec<_> = a.tunnels.iter().flat_map(TunnelEncapsulation::tunnels).collect();
    let elsewhere = Tunnel { kind: 13, endpoint: Some(IpAddr::from([192, 0, 2, 7])) };
    let here = |kind| Tunnel { kind, endpoint: None };
    assert_eq!(all, [elsewhere, here(2), here(8)]);
    assert_eq!(a.encapsulations().collect::<Vec<_>>(), [2, 8], "those that end at the next hop");
    let mut written = Vec::new();
    let wide = EncodeContext { four_octet_as: true };
    encode_reach(Family::Evpn, a, &read.reach[0].routes, wide, &mut written).unwrap();
    assert_eq!(written, bytes);

    // RFC 9012 3.1, 13: a tunnel without exactly one sound end is ignored, the others count.
    let broken = [
        "000d 0000",
        "000d 0010 06 06 00000000 0000 06 06 00000000 0000",
        "000d 0005 06 03 000000",
        "000d 0008 06 06 00000000 0003",
        "000d 000b 06 09 00000000 0001 c00002",
        "000d 0003 06 06 00",
        "000d 0002 80 00",
    ];
    for tlv in broken {
        let value = hex(&format!("{tlv} 0002 0008 06 06 00000000 0000"));
        let read = TunnelEncapsulation::decode(&value).unwrap();
        assert_eq!(read.tunnels().collect::<Vec<_>>(), [here(2)], "{tlv}");
    }
}
