//! RFC 7606 and its kin: each malformed form and what becomes of it, on internal and external
//! sessions alike.

use super::*;

/// A context of each kind of session, with these families.
fn contexts(families: &[Family]) -> [DecodeContext; 2] {
    let families = families.iter().copied().collect();
    let internal = DecodeContext { families, ..internal() };
    [internal, DecodeContext { internal: false, peer_asn: Asn(64513), ..internal }]
}

/// The AS path that a peer of each kind of session sends.
fn as_path(context: &DecodeContext) -> &'static str {
    if context.internal { NO_PATH } else { "40 02 06 0201 0000fc01" }
}

/// What becomes of 10.1.0.0/16 when one attribute is bad.
#[test]
fn bad_attributes_get_their_treatment() {
    use Treatment::{Discard, Withdraw};
    let cases = [
        ("40 01 02 0000", Withdraw, "ORIGIN of two octets"),
        ("40 01 01 03", Withdraw, "ORIGIN 3"),
        ("c0 01 01 00", Withdraw, "ORIGIN with wrong flags"),
        ("40 02 01 02", Withdraw, "AS_PATH cut short"),
        ("40 02 02 0200", Withdraw, "AS_PATH segment of nothing"),
        ("40 02 06 0201 00000000", Withdraw, "AS 0"),
        ("40 02 06 0301 00000001", Withdraw, "confederation segment"),
        ("40 03 03 c00002", Withdraw, "NEXT_HOP of three octets"),
        ("40 03 04 00000000", Withdraw, "NEXT_HOP 0.0.0.0"),
        ("40 03 04 e0000001", Withdraw, "NEXT_HOP multicast"),
        ("80 04 03 000000", Withdraw, "MED of three octets"),
        ("40 05 00", Withdraw, "LOCAL_PREF of no octets"),
        ("40 06 01 00", Discard, "ATOMIC_AGGREGATE with a value"),
        ("c0 07 06 0001 c0000201", Discard, "AGGREGATOR of the other width"),
        ("c0 07 08 00000000 c0000201", Discard, "AGGREGATOR in AS 0"),
        ("c0 08 00", Withdraw, "COMMUNITIES of no octets"),
        ("c0 08 05 0000000000", Withdraw, "COMMUNITIES of five octets"),
        ("80 09 03 000000", Withdraw, "ORIGINATOR_ID of three octets"),
        ("80 0a 00", Withdraw, "CLUSTER_LIST of no octets"),
        ("c0 10 07 00000000000000", Withdraw, "EXTENDED COMMUNITIES of seven octets"),
        ("c0 11 06 0201 00000001", Discard, "AS4_PATH from a four-octet speaker"),
        ("80 10 08 0002fc0000000064", Withdraw, "EXTENDED COMMUNITIES not transitive"),
        ("c0 16 04 00060000", Withdraw, "PMSI TUNNEL cut short"),
        ("c0 16 08 00 06 007d11 0aff00", Withdraw, "ingress replication to three octets"),
        ("40 16 09 00 06 007d11 0aff0002", Withdraw, "PMSI TUNNEL with wrong flags"),
        ("c0 17 00", Withdraw, "TUNNEL ENCAPSULATION of nothing"),
        ("c0 17 03 000d00", Withdraw, "tunnel header cut short"),
        ("c0 17 06 000d 0004 0000", Withdraw, "tunnel longer than the attribute"),
        ("80 17 04 000d 0000", Withdraw, "TUNNEL ENCAPSULATION with wrong flags"),
        ("c0 20 0b 0000000000000000000000", Withdraw, "LARGE COMMUNITIES of eleven octets"),
        ("c0 10", Withdraw, "attribute header cut short"),
        ("c0 10 09 00", Withdraw, "attribute longer than the field"),
    ];
    for (bad, treatment, what) in cases {
        let code = hex(bad)[1];
        for context in contexts(&Family::ALL) {
            // RFC 7606 7.5, 7.9, 7.10: what only internal peers may send is not even looked at.
            if !context.internal && matches!(code, 5 | 9 | 10) {
                continue;
            }
            let good = [(1, ORIGIN), (2, as_path(&context)), (3, NEXT_HOP)];
            let mut attributes: String =
                good.iter().filter(|(c, _)| *c != code).map(|(_, text)| *text).collect();
            attributes.push_str(bad);
            let update = decode_update(&update("", &attributes, "10 0a01"), &context).unwrap();
            assert!(update.faults.iter().any(|f| f.treatment == treatment), "{what}: {update:?}");
            assert_eq!(update.reach.is_empty(), treatment == Withdraw, "{what}");
            assert_eq!(update.unreach.len(), usize::from(treatment == Withdraw), "{what}");
        }
    }
    for (attributes, what) in [
        (format!("{ORIGIN} {NO_PATH}"), "NEXT_HOP missing"),
        (format!("{ORIGIN} {NEXT_HOP}"), "AS_PATH missing"),
        (format!("{NO_PATH} {NEXT_HOP}"), "ORIGIN missing"),
        (String::new(), "all missing"),
    ] {
        let update = decode_update(&update("", &attributes, "10 0a01"), &internal()).unwrap();
        assert!(update.reach.is_empty() && update.unreach.len() == 1, "{what}");
    }
}

/// Routes that cannot be told apart from the rest cost the family, or the session if it has no
/// other.
#[test]
fn malformed_routes_cost_their_family_or_the_session() {
    let rd = "0000fc0000000002";
    let (v4, v6) = ("0aff0002", "20010db8000000000000000000000009");
    let zero = "0000000000000000";
    let cases = [
        (Family::Ipv4Unicast, 14, format!("0001 01 05 {v4}00 00"), "next hop of 5 octets"),
        (Family::Ipv4Unicast, 14, format!("0001 01 04 {v4} 00 21 0a00000000"), "33 bits"),
        (Family::Ipv6Unicast, 14, format!("0002 01 04 {v4} 00 00"), "IPv4 next hop"),
        (Family::Ipv6Unicast, 14, format!("0002 01 18 {zero}{v6} 00 00"), "VPN next hop"),
        (Family::Ipv6Unicast, 14, format!("0002 01 10 {v6} 00 81 {v6}00"), "129 bits"),
        (Family::Ipv6Unicast, 15, "0002 01 41 20010db800020000".to_owned(), "prefix cut short"),
        (Family::Vpnv4, 14, format!("0001 80 04 {v4} 00"), "next hop without distinguisher"),
        (Family::Vpnv4, 14, format!("0001 80 0f {zero}00000000000000 00"), "next hop of 15 octets"),
        (Family::Vpnv4, 14, format!("0001 80 0c {zero}{v4} 00 57 007d11 {rd}"), "87 bits"),
        (Family::Vpnv4, 15, "0001 80 57".to_owned(), "87 bits withdrawn"),
        (Family::Vpnv4, 15, format!("0001 80 79 800000 {rd} 0a02010000"), "33 bits of IPv4"),
        (Family::Vpnv4, 15, format!("0001 80 78 800000 {rd} 0a0201"), "prefix cut short"),
        (Family::Vpnv6, 14, format!("0002 80 0c {zero}{v4} 00"), "IPv4 next hop unmapped"),
        (Family::Vpnv6, 14, format!("0002 80 10 {v6} 00"), "next hop without distinguisher"),
        (Family::Vpnv6, 15, "0002 80 57".to_owned(), "87 bits"),
        (Family::Vpnv6, 15, format!("0002 80 d9 800000 {rd} {v6}00"), "129 bits of IPv6"),
        (Family::Evpn, 14, format!("0019 46 0c {zero}{v4} 00"), "next hop with distinguisher"),
        (Family::Evpn, 14, format!("0019 46 04 {v4} 00 03"), "EVPN route of a type only"),
        (Family::Evpn, 14, format!("0019 46 04 {v4} 00 03 11 {rd} 00000000 20 0aff00"), "overrun"),
        (Family::Evpn, 15, "0019 46 07 01".to_owned(), "unknown type that overruns"),
        (Family::Rtc, 14, format!("0001 84 0c {zero}{v4} 00"), "next hop with distinguisher"),
        (Family::Rtc, 14, format!("0001 84 04 {v4} 00 1f 0000fc00"), "31 bits of membership"),
        (Family::Rtc, 15, "0001 84 61 00000000000000000000000000".to_owned(), "97 bits"),
        (Family::Rtc, 15, "0001 84 60 0000fc000002fc00000000".to_owned(), "cut short"),
    ];
    for (family, code, value, what) in cases {
        let length = hex(&value).len();
        let bad = format!("90 {code:02x} {length:04x} {value}");
        for context in contexts(&[family]) {
            let bytes = update("", &format!("{bad} {ORIGIN} {}", as_path(&context)), "");
            let why = decode_update(&bytes, &context).unwrap_err();
            assert_eq!((why.code, why.subcode), (3, 9), "{family}: {what}");
            assert_eq!(why.data, hex(&bad), "{family}: {what}: the attribute as it came");
        }
        // A sound withdrawal of another family in the same message stands.
        let beside = if code == 14 && family != Family::Vpnv4 {
            format!("80 0f 0f 0001 80 58 800000 {rd}")
        } else {
            String::new()
        };
        for context in contexts(&Family::ALL) {
            let attributes = format!("{bad} {beside} {ORIGIN} {}", as_path(&context));
            let read = decode_update(&update("", &attributes, ""), &context).unwrap();
            let sound = !beside.is_empty();
            assert_eq!(read.disabled, [family].into_iter().collect(), "{family}: {what}");
            assert!(read.reach.is_empty(), "{family}: {what}");
            assert_eq!(read.unreach.len(), usize::from(sound), "{family}: {what}");
            let [fault] = read.faults.as_slice() else { panic!("{what}: {:?}", read.faults) };
            assert_eq!((fault.attribute, fault.treatment), (code, Treatment::Disable), "{what}");
        }
    }
}

/// What leaves no way to go on, whatever the families.
#[test]
fn some_errors_end_the_session() {
    let vpn = |text: &str| update("", text, "");
    let cases = [
        // Lengths that do not fit the message.
        (message(UPDATE, &hex("0005 00 0000")), (3, 1), ""),
        (message(UPDATE, &hex("0000 0005 00")), (3, 1), ""),
        // Prefixes of impossible length outside the attributes.
        (update("21 0a000000 00", "", ""), (3, 10), ""),
        (update("", &format!("{ORIGIN}{NO_PATH}{NEXT_HOP}"), "18 0a01"), (3, 10), ""),
        // MP_REACH_NLRI and MP_UNREACH_NLRI without a family, or a next hop that overruns.
        (vpn("80 0e 02 0001"), (3, 9), "800e020001"),
        (vpn("80 0e 09 0001 80 0c 0aff0002 00"), (3, 9), "800e09000180 0c0aff000200"),
        (vpn("80 0e 08 0001 80 04 0aff0002"), (3, 9), "800e08000180040aff0002"),
        (vpn("80 0f 02 0001"), (3, 9), "800f020001"),
        // Twice.
        (vpn("80 0f 03 0001 80 80 0f 03 0001 80"), (3, 1), ""),
        // Well-known and unknown.
        (vpn("40 63 01 00"), (3, 2), "40630100"),
        // RFC 7606 5.2: an error, and no routes to withdraw.
        (update("08 0a", "40 01 01 09", ""), (3, 1), ""),
    ];
    for (bytes, (code, subcode), data) in cases {
        for context in contexts(&Family::ALL) {
            let why = decode_update(&bytes, &context).unwrap_err();
            assert_eq!((why.code, why.subcode), (code, subcode), "{bytes:02x?}");
            assert_eq!(why.data, hex(data), "{bytes:02x?}");
        }
    }
}

/// Routes of every family are withdrawn when an attribute beside them is bad.
#[test]
fn a_bad_attribute_withdraws_the_routes_of_any_family() {
    for (family, nlri) in [
        (Family::Ipv6Unicast, "0002 01 10 20010db8000000000000000000000009 00 20 20010db8"),
        (
            Family::Vpnv6,
            "0002 80 18 0000000000000000 20010db8000000000000000000000009 00 58 007d11 0000fc0000000002",
        ),
        (Family::Evpn, "0019 46 04 0aff0002 00 03 11 0000fc0000000002 00000000 20 0aff0002"),
        (Family::Rtc, "0001 84 04 0aff0002 00 60 0000fc00 0002fc0000000064"),
    ] {
        let length = hex(nlri).len();
        for context in contexts(&[family]) {
            for (origin, next_hop) in
                [("40 01 01 07", "0aff0002"), (ORIGIN, "00000000"), (ORIGIN, "e0000005")]
            {
                let nlri = nlri.replace("0aff0002 00 ", &format!("{next_hop} 00 "));
                if nlri.starts_with("0002") && origin == ORIGIN {
                    continue;
                }
                let attributes =
                    format!("90 0e {length:04x} {nlri} {origin} {}", as_path(&context));
                let read = decode_update(&update("", &attributes, ""), &context).unwrap();
                assert!(read.reach.is_empty(), "{family} {origin} {next_hop}");
                assert_eq!((read.unreach.len(), read.unreach[0].family), (1, family));
                assert_eq!(read.faults[0].treatment, Treatment::Withdraw);
            }
        }
    }
}
