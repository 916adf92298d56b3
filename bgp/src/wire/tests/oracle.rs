//! Against another implementation: what we write it reads, and what it writes of that we read.

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

use super::*;

/// Every message in `bytes`, read and written again by the oracle.
fn through(bytes: &[u8], four_octets: bool) -> Vec<u8> {
    let mut context =
        if four_octets { BgpParsingContext::default() } else { BgpParsingContext::asn2_default() };
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some(length) = frame(rest).unwrap() {
        let (one, more) = rest.split_at(length);
        let message = BgpMessage::parse(&mut SliceReader::new(one), &mut context)
            .unwrap_or_else(|error| panic!("{error}: {one:02x?}"));
        message.write(&mut out).unwrap();
        rest = more;
    }
    out
}

/// The oracle wants unicast prefixes, distinguishers of known types and memberships of whole octets; we carry any.
fn tame(nlri: &mut Nlri) {
    if let Route::Rtc(membership) = &mut nlri.route {
        let bits = membership.bits().next_multiple_of(8);
        *membership = Membership::from_prefix(membership.octets(), bits).unwrap();
        return;
    }
    let rd = nlri.route.rd().map(|rd| {
        let [_, kind, a, b, c, d, e, f] = rd.octets();
        RouteDistinguisher::from_octets([0, kind % 3, a, b, c, d, e, f])
    });
    if let Route::Evpn(_, route) = nlri.route {
        nlri.route = Route::Evpn(rd.unwrap(), route);
        return;
    }
    let prefix = match nlri.route.prefix().unwrap() {
        IpNet::V4(prefix) => {
            let [_, b, c, d] = prefix.addr().octets();
            IpNet::new(IpAddr::from([10, b, c, d]), prefix.prefix_len().max(8))
        }
        IpNet::V6(prefix) => {
            let [_, words @ ..] = prefix.addr().segments();
            let [b, c, d, e, f, g, h] = words;
            let address = IpAddr::from([0x2001, b, c, d, e, f, g, h]);
            IpNet::new(address, prefix.prefix_len().max(16))
        }
    };
    nlri.route = Route::to(rd, prefix.unwrap());
}

/// The oracle clears reserved octets and takes some kinds for others: these it leaves alone. We carry any.
fn name(community: &mut ExtCommunity) {
    const TARGETS: [[u8; 2]; 3] = [[0, 2], [1, 2], [2, 2]];
    const ORIGINS: [[u8; 2]; 3] = [[0, 3], [1, 3], [2, 3]];
    const OTHERS: [[u8; 2]; 2] = [[0x90, 1], [0xd0, 1]];
    let kinds = [&TARGETS[..], &ORIGINS[..], &OTHERS[..]].concat();
    let [kind, sub, ..] = &mut community.0;
    [*kind, *sub] = kinds[usize::from(*kind) % kinds.len()];
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_oracle_agrees_about_updates(
        (family, mut routes) in any_family().prop_flat_map(|f| (Just(f), vec(any_route(f), 1..300))),
        mut attributes in any_attributes(),
    ) {
        // Codes that it gives a meaning to, which arbitrary octets do not have.
        attributes.unknown.retain(|u| u.code > 128 && u.code < 255);
        attributes.ext_communities.iter_mut().for_each(name);
        attributes.ext_communities.sort_unstable();
        attributes.ext_communities.dedup();
        routes.iter_mut().for_each(tame);
        let mut bytes = Vec::new();
        let context = EncodeContext { four_octet_as: true };
        encode_reach(family, &attributes, &routes, context, &mut bytes).unwrap();
        let back = through(&bytes, true);
        let (mut rest, mut got) = (back.as_slice(), Vec::new());
        while let Some(length) = frame(rest).unwrap() {
            let (one, more) = rest.split_at(length);
            let update = decode_update(one, &internal()).unwrap();
            prop_assert_eq!(&update.faults, &[]);
            prop_assert_eq!(&update.reach[0].attributes, &attributes);
            got.extend(update.reach[0].routes.clone());
            rest = more;
        }
        prop_assert_eq!(got, routes);
    }
}

#[test]
fn the_oracle_agrees_about_the_other_messages() {
    let mut bytes = Vec::new();
    Open::offer(&local()).encode(&mut bytes);
    encode_keepalive(&mut bytes);
    for family in Family::ALL {
        encode_end_of_rib(family, &mut bytes);
        RouteRefresh::request(family).encode(&mut bytes);
    }
    Notification::with_data(6, 2, b"\x05lunch").encode(&mut bytes);
    assert_eq!(through(&bytes, true), bytes);
}
