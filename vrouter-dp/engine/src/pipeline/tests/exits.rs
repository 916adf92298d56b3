//! Every drop reason that the pipeline has, and every punt, each moving exactly its own counter.

use std::net::Ipv4Addr;
use std::time::Duration;

use wire::Mac;
use wire::eth;
use wire::ipv4::Ipv4;
use zerocopy::IntoBytes as _;

use super::frames::*;
use crate::buffer::{Buf, HeapBuf};
use crate::drops::{Drop, Punt};
use crate::lab::{FABRIC, FABRIC_MAC, GATEWAY, Lab};
use crate::seam::{PortId, VifId, VrfId};
use crate::table::PortState;
use crate::verdict::{PuntMeta, Verdict};

/// Sends one frame through `lab` and says which drop reason moved, and whether the sender is told; panics if more moved.
fn dropped(lab: &mut Lab, port: PortId, packet: HeapBuf) -> (Option<Drop>, Option<PuntMeta>) {
    let before: Vec<u64> = lab.counters().dropped.iter().map(|c| c.value()).collect();
    let (_, verdict) = lab.receive_one(port, packet);
    let moved: Vec<Drop> = Drop::ALL
        .iter()
        .copied()
        .filter(|reason| lab.counters().dropped[reason.index()].value() != before[reason.index()])
        .collect();
    let (came, left) = lab.balance();
    assert_eq!(came, left);
    match verdict.unwrap() {
        Verdict::Drop { reason, notify } => {
            assert_eq!(moved, [reason]);
            (Some(reason), notify)
        }
        _ => {
            assert_eq!(moved, []);
            (None, None)
        }
    }
}

fn expect(port: PortId, frame: &[u8], reason: Drop) {
    let mut lab = Lab::new().unwrap();
    assert_eq!(dropped(&mut lab, port, HeapBuf::new(frame)), (Some(reason), None), "{frame:02x?}");
}

fn with(frame: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at] = value;
    frame
}

fn good() -> Vec<u8> {
    from_a(&packet(A, FAR, 60, |_| {}))
}

#[test]
fn classification() {
    let payload = packet(A, FAR, 60, |_| {});
    expect(GATEWAY, &[], Drop::Malformed);
    expect(GATEWAY, &good()[..13], Drop::Malformed);
    expect(GATEWAY, &good()[..17], Drop::Malformed);
    expect(GATEWAY, &plain(Mac::GATEWAY, A_MAC, eth::IPV4, &payload), Drop::Untagged);
    expect(GATEWAY, &with(&good(), 15, 0), Drop::Untagged);
    expect(GATEWAY, &tagged(Mac::GATEWAY, A_MAC, 42, eth::IPV4, &payload), Drop::UnknownVlan);
    expect(FABRIC, &tagged(FABRIC_MAC, A_MAC, 107, eth::IPV4, &payload), Drop::UnknownVlan);
    expect(GATEWAY, &tagged(Mac::GATEWAY, A_MAC, 108, eth::IPV4, &payload), Drop::UnknownSourceMac);
    expect(GATEWAY, &with(&good(), 5, 9), Drop::WrongDestinationMac);
    expect(FABRIC, &plain(A_MAC, A_MAC, eth::IPV4, &payload), Drop::WrongDestinationMac);
    expect(GATEWAY, &tagged(Mac::BROADCAST, A_MAC, 107, eth::IPV4, &payload), Drop::Multicast);
    let group = Mac([0x33, 0x33, 0, 0, 0, 1]);
    expect(GATEWAY, &tagged(group, A_MAC, 107, eth::IPV6, &payload), Drop::Multicast);
    expect(FABRIC, &plain(FABRIC_MAC, A_MAC, eth::IPV6, &payload), Drop::UnsupportedEthertype);
    expect(FABRIC, &with(&from_pe(1001, &payload), 2, 3), Drop::WrongDestinationMac);
    expect(
        GATEWAY,
        &tagged(Mac::GATEWAY, A_MAC, 107, eth::VLAN, &payload),
        Drop::UnsupportedEthertype,
    );
    expect(GATEWAY, &plain(Mac::GATEWAY, A_MAC, eth::SERVICE_VLAN, &payload), Drop::Untagged);
    expect(PortId(200), &good(), Drop::PortBlocked);
}

#[test]
fn a_blocked_port_and_a_closed_interface() {
    for state in [PortState::Discarding, PortState::Learning] {
        let mut lab = Lab::new().unwrap();
        lab.writer.port_state(GATEWAY, state).unwrap();
        let blocked = (Some(Drop::PortBlocked), None);
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&good())), blocked);
        let inwards = from_pe(1001, &packet(FAR, A, 60, |_| {}));
        assert_eq!(dropped(&mut lab, FABRIC, HeapBuf::new(&inwards)), blocked);
        lab.writer.port_state(GATEWAY, PortState::Forwarding).unwrap();
        lab.writer.port_state(FABRIC, state).unwrap();
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&good())), blocked);
    }
    let mut lab = Lab::new().unwrap();
    lab.writer.vif_up(VifId(1), false).unwrap();
    let down = (Some(Drop::VifDown), None);
    assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&good())), down);
    let inwards = from_pe(1001, &packet(FAR, A, 60, |_| {}));
    assert_eq!(dropped(&mut lab, FABRIC, HeapBuf::new(&inwards)), down);
    let row = lab.counters().vif(VifId(1)).unwrap();
    assert_eq!(row.dropped[Drop::VifDown.index()].value(), 2, "both ways count at the interface");
}

#[test]
fn addresses_and_routes() {
    let to = |address: [u8; 4]| from_a(&packet(A, address.into(), 60, |_| {}));
    let from = |address: [u8; 4]| from_a(&packet(address.into(), FAR, 60, |_| {}));
    expect(GATEWAY, &with(&good(), 18 + 10, 0), Drop::InnerChecksum);
    expect(GATEWAY, &with(&good(), 18, 0x65), Drop::Malformed);
    expect(GATEWAY, &good()[..70], Drop::Malformed);
    expect(GATEWAY, &to([224, 0, 0, 5]), Drop::Multicast);
    expect(GATEWAY, &to([255, 255, 255, 255]), Drop::Multicast);
    expect(GATEWAY, &to([127, 0, 0, 1]), Drop::Martian);
    expect(GATEWAY, &to([0, 0, 0, 0]), Drop::Martian);
    expect(GATEWAY, &to([240, 0, 0, 1]), Drop::Martian);
    expect(GATEWAY, &from([127, 0, 0, 1]), Drop::Martian);
    expect(GATEWAY, &from([224, 0, 0, 1]), Drop::Martian);
    expect(GATEWAY, &from([10, 1, 0, 8]), Drop::SpoofedAddress);
    expect(GATEWAY, &from([10, 9, 0, 1]), Drop::SpoofedAddress);
    expect(GATEWAY, &from([10, 200, 0, 1]), Drop::SpoofedAddress);
    // Spoofed to our own address, or to nowhere, is still spoofed.
    expect(
        GATEWAY,
        &from_a(&ping([10, 9, 0, 1].into(), [10, 1, 0, 1].into())),
        Drop::SpoofedAddress,
    );
    expect(GATEWAY, &to([10, 200, 0, 1]), Drop::NoRoute);
    expect(GATEWAY, &to([10, 66, 0, 1]), Drop::DiscardRoute);
    expect(GATEWAY, &to([10, 99, 0, 1]), Drop::UnresolvedNexthop);
    expect(GATEWAY, &to([10, 1, 0, 1]), Drop::UnsupportedProtocol);
}

#[test]
fn a_prefix_behind_an_instance_is_no_spoofing() {
    let mut lab = Lab::new().unwrap();
    let mac = Mac([0x52, 0x54, 0, 0, 1, 9]);
    for (source, expected) in
        [([172, 16, 0, 5], None), ([172, 16, 1, 5], Some(Drop::SpoofedAddress))]
    {
        let frame =
            tagged(Mac::GATEWAY, mac, 109, eth::IPV4, &packet(source.into(), FAR, 60, |_| {}));
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&frame)).0, expected);
    }
}

#[test]
fn an_instance_without_addresses_owns_none() {
    let mut lab = Lab::new().unwrap();
    lab.writer.vif_address_del(VifId(1), A).unwrap();
    lab.writer.route_del(VrfId(1), ipnet::Ipv4Net::from(A)).unwrap();
    for (source, reason) in [(A, Drop::SpoofedAddress), (Ipv4Addr::UNSPECIFIED, Drop::Martian)] {
        let frame = from_a(&packet(source, FAR, 60, |_| {}));
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&frame)).0, Some(reason));
    }
    // Another address than the first one is its own as well.
    let second = Ipv4Addr::new(10, 1, 0, 77);
    lab.writer.vif_address_set(VifId(1), A).unwrap();
    lab.writer.vif_address_set(VifId(1), second).unwrap();
    for source in [A, second] {
        let frame = from_a(&packet(source, FAR, 60, |_| {}));
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&frame)).0, None);
    }
}

#[test]
fn ipv6_addresses_and_routes() {
    let from_to = |from: &str, to: &str| from_a6(&packet6(from, to, 20, |_| {}));
    let to = |to: &str| from_to(A6, to);
    let good = to(FAR6);
    expect(GATEWAY, &with(&good, 18, 0x45), Drop::Malformed);
    expect(GATEWAY, &good[..18 + 39], Drop::Malformed);
    expect(GATEWAY, &good[..good.len() - 1], Drop::Malformed);
    expect(GATEWAY, &with(&good, 18 + 5, 29), Drop::Malformed);
    for (address, reason) in [
        ("::", Drop::Martian),
        ("::1", Drop::Martian),
        ("fe80::1", Drop::Martian),
        ("ff02::1", Drop::Multicast),
        ("ff0e::1", Drop::Multicast),
    ] {
        expect(GATEWAY, &to(address), reason);
        expect(FABRIC, &from_pe(1001, &packet6(FAR6, address, 20, |_| {})), reason);
        expect(GATEWAY, &from_to(address, FAR6), Drop::Martian);
        expect(FABRIC, &from_pe(1001, &packet6(address, A6, 20, |_| {})), Drop::Martian);
    }
    for source in [B6, FAR6, "2001:db8:1::1", "2001:db8:77::7"] {
        expect(GATEWAY, &from_to(source, FAR6), Drop::SpoofedAddress);
        expect(GATEWAY, &from_to(source, "2001:db8:77::1"), Drop::SpoofedAddress);
    }
    expect(GATEWAY, &to("2001:db8:77::1"), Drop::NoRoute);
    expect(FABRIC, &from_pe(1001, &packet6(FAR6, "2001:db8:77::1", 20, |_| {})), Drop::NoRoute);
    expect(GATEWAY, &to("2001:db8:66::1"), Drop::DiscardRoute);
    expect(GATEWAY, &to("2001:db8:99::1"), Drop::UnresolvedNexthop);
    expect(FABRIC, &from_pe(1001, &packet6(A6, FAR6, 20, |_| {})), Drop::TunnelToTunnel);
    // An address of ours: nothing answers there yet, neighbour discovery neither.
    expect(GATEWAY, &to(GATEWAY6), Drop::UnsupportedProtocol);
    expect(FABRIC, &from_pe(1001, &packet6(FAR6, GATEWAY6, 20, |_| {})), Drop::UnsupportedProtocol);
    expect(GATEWAY, &solicitation(Mac::GATEWAY, GATEWAY6), Drop::NeighborDiscovery);
    expect(GATEWAY, &solicitation(Mac::GATEWAY, "fe80::1"), Drop::NeighborDiscovery);
    let group = Mac([0x33, 0x33, 0xff, 0, 0, 1]);
    expect(GATEWAY, &solicitation(group, "ff02::1:ff00:1"), Drop::NeighborDiscovery);
    expect(GATEWAY, &with(&solicitation(group, "ff02::1"), 18 + 40, 143), Drop::Multicast);
    expect(GATEWAY, &with(&good, 5, 9), Drop::WrongDestinationMac);
}

#[test]
fn an_ipv6_prefix_behind_an_instance_is_no_spoofing() {
    for (source, expected) in
        [("2001:db8:172::5", None), ("2001:db8:173::5", Some(Drop::SpoofedAddress))]
    {
        let mut lab = Lab::new().unwrap();
        let frame = tagged(Mac::GATEWAY, C_MAC, 109, eth::IPV6, &packet6(source, FAR6, 20, |_| {}));
        assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&frame)).0, expected);
    }
}

#[test]
fn ipv6_hop_limit_and_size() {
    let mut lab = Lab::new().unwrap();
    let mut reason = |port, frame: &[u8]| dropped(&mut lab, port, HeapBuf::new(frame));
    for (hops, expected) in [(0, Some(Drop::TtlExceeded)), (1, Some(Drop::TtlExceeded)), (2, None)]
    {
        let packet = |from, to| packet6(from, to, 20, |ip| ip.set_hop_limit(hops));
        // Nobody is told: that would take ICMPv6.
        assert_eq!(reason(GATEWAY, &from_a6(&packet(A6, FAR6))), (expected, None));
        assert_eq!(reason(GATEWAY, &from_a6(&packet(A6, B6))), (expected, None));
        assert_eq!(reason(FABRIC, &from_pe(1001, &packet(FAR6, A6))), (expected, None));
    }
    let tired =
        outer(PE, US, 17, &udp(6635, &labelled(1001, 1, &packet6(FAR6, A6, 20, |_| {}))), |_| {});
    assert_eq!(reason(FABRIC, &tired), (Some(Drop::LabelTtl), None));
    for (port, to, mtu) in [
        (GATEWAY, FAR6, 1468u16),
        (GATEWAY, "2001:db8:10::1", 1472),
        (GATEWAY, B6, 1500),
        (FABRIC, A6, 1500),
    ] {
        for (size, expected) in [(mtu, None), (mtu + 1, Some(Drop::TooBig))] {
            let payload = size - 48;
            let frame = match port {
                GATEWAY => from_a6(&packet6(A6, to, payload, |_| {})),
                _ => from_pe(1001, &packet6(FAR6, to, payload, |_| {})),
            };
            assert_eq!(reason(port, &frame), (expected, None), "{to} {size}");
        }
    }
}

#[test]
fn ttl() {
    let last = |ttl: u8, change: fn(&mut Ipv4)| {
        HeapBuf::new(&from_a(&packet(A, FAR, 60, |ip| {
            ip.set_ttl(ttl);
            change(ip);
        })))
    };
    let mut lab = Lab::new().unwrap();
    let told = PuntMeta {
        class: Punt::TtlExceeded,
        port: GATEWAY,
        vif: Some(VifId(1)),
        vrf: VrfId(1),
        source_mac: A_MAC,
        mtu: 0,
    };
    for ttl in [0, 1] {
        let expected = (Some(Drop::TtlExceeded), Some(told));
        assert_eq!(dropped(&mut lab, GATEWAY, last(ttl, |_| {})), expected);
    }
    assert_eq!(dropped(&mut lab, GATEWAY, last(2, |_| {})).0, None);
    // The bytes of the copy are the packet as it came.
    let (copy, _) = lab.receive_one(GATEWAY, last(1, |_| {}));
    assert_eq!(copy.data(), packet(A, FAR, 60, |ip| ip.set_ttl(1)));
    // Out of a tunnel: no interface, the VRF is known.
    let inwards = from_pe(1002, &packet(FAR, [10, 2, 0, 9].into(), 60, |ip| ip.set_ttl(1)));
    let told =
        PuntMeta { port: FABRIC, vif: None, vrf: VrfId(2), source_mac: Mac::default(), ..told };
    let expected = (Some(Drop::TtlExceeded), Some(told));
    assert_eq!(dropped(&mut lab, FABRIC, HeapBuf::new(&inwards)), expected);
    // Nobody is told about a later fragment or an ICMP error.
    let mut fragment = packet(A, FAR, 60, |ip| ip.set_ttl(1));
    fragment[7] = 100;
    fragment[10..12].fill(0);
    let sum = wire::checksum::of(&fragment[..20]);
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    let untold = (Some(Drop::TtlExceeded), None);
    assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&from_a(&fragment))), untold);
    let mut error = wire::icmp::time_exceeded(A, &packet(FAR, A, 60, |_| {})).unwrap();
    error[8] = 1;
    error[10..12].fill(0);
    let sum = wire::checksum::of(&error[..20]);
    error[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&from_a(&error))), untold);
}

#[test]
fn too_big_in_both_directions_and_both_encapsulations() {
    let mut lab = Lab::new().unwrap();
    let mut size = |port, frame: &dyn Fn(u16) -> Vec<u8>, total| {
        dropped(&mut lab, port, HeapBuf::new(&frame(total)))
    };
    let df = |ip: &mut Ipv4| ip.set_dont_fragment(true);
    let udp_way = |total| from_a(&packet(A, FAR, total, df));
    let gre_way = |total| from_a(&packet(A, [10, 10, 0, 9].into(), total, df));
    let local_way = |total| from_a(&packet(A, B, total, df));
    let inwards = |total| from_pe(1001, &packet(FAR, A, total, df));
    for (port, frame, mtu) in [
        (GATEWAY, &udp_way as &dyn Fn(u16) -> Vec<u8>, 1468),
        (GATEWAY, &gre_way, 1472),
        (GATEWAY, &local_way, 1500),
        (FABRIC, &inwards, 1500),
    ] {
        assert_eq!(size(port, frame, mtu).0, None);
        let (reason, told) = size(port, frame, mtu + 1);
        assert_eq!(reason, Some(Drop::TooBig));
        let told = told.unwrap();
        assert_eq!((told.class, told.mtu, told.vrf), (Punt::TooBig, mtu, VrfId(1)));
    }
    expect(GATEWAY, &from_a(&packet(A, FAR, 1469, |_| {})), Drop::NeedsFragmentation);
}

#[test]
fn the_fabric_side() {
    let inner = packet(FAR, A, 60, |_| {});
    let stack = labelled(1001, 60, &inner);
    let good = from_pe(1001, &inner);
    let over = |protocol: u8, payload: &[u8]| outer(PE, US, protocol, payload, |_| {});
    expect(FABRIC, &with(&good, 14 + 10, 0), Drop::OuterChecksum);
    expect(FABRIC, &outer(PE, FAR, 17, &udp(6635, &stack), |_| {}), Drop::NotLocal);
    expect(FABRIC, &outer(PE, [224, 0, 0, 5].into(), 89, &stack, |_| {}), Drop::Multicast);
    for (at, value) in [(6, 0x20), (7, 1)] {
        let mut fragment = good.clone();
        fragment[14 + at] = value;
        fragment[24..26].fill(0);
        let sum = wire::checksum::of(&fragment[14..34]);
        fragment[24..26].copy_from_slice(&sum.to_be_bytes());
        expect(FABRIC, &fragment, Drop::OuterFragment);
    }
    let nobody = Ipv4Addr::UNSPECIFIED;
    expect(FABRIC, &outer(nobody, nobody, 17, &udp(6635, &stack), |_| {}), Drop::NotLocal);
    expect(FABRIC, &outer(nobody, US, 17, &udp(6635, &stack), |_| {}), Drop::TunnelSource);
    let stranger = Ipv4Addr::new(203, 0, 113, 9);
    expect(FABRIC, &outer(stranger, US, 17, &udp(6635, &stack), |_| {}), Drop::TunnelSource);
    expect(FABRIC, &over(17, &udp(53, &stack)), Drop::UnsupportedProtocol);
    expect(FABRIC, &over(6, &stack), Drop::UnsupportedProtocol);
    expect(FABRIC, &over(47, &[0, 0, 0x08, 0, 1, 2, 3, 4]), Drop::UnsupportedProtocol);
    expect(FABRIC, &over(47, &[0x10, 0, 0x88, 0x47, 0, 0, 0, 0]), Drop::UnsupportedProtocol);
    expect(FABRIC, &over(47, &[0x80, 0, 0x88, 0x47, 1, 1, 0, 0]), Drop::OuterChecksum);
    expect(FABRIC, &over(47, &[0, 0, 0x88]), Drop::Malformed);
    expect(FABRIC, &over(47, &[0, 0, 0x88, 0x47, 1]), Drop::Malformed);
    let mut summed = udp(6635, &stack);
    summed[7] = 1;
    expect(FABRIC, &over(17, &summed), Drop::OuterChecksum);
    expect(FABRIC, &over(17, &with(&udp(6635, &stack), 5, 200)), Drop::Malformed);
    expect(FABRIC, &over(17, &udp(6635, &with(&stack, 2, 0x90))), Drop::InvalidLabelStack);
    expect(FABRIC, &from_pe(1003, &inner), Drop::InvalidLabel);
    // The inner packet is longer than the outer one, by either encapsulation.
    let cut = &stack[..stack.len() - 1];
    expect(FABRIC, &over(17, &udp(6635, cut)), Drop::Malformed);
    expect(FABRIC, &over(47, &[&[0, 0, 0x88, 0x47], cut].concat()), Drop::Malformed);
    // UDP that ends before the outer packet does, in the middle of the inner one.
    expect(FABRIC, &over(17, &with(&udp(6635, &stack), 5, 70)), Drop::Malformed);
    expect(FABRIC, &over(17, &udp(6635, &[0, 0, 0x01, 64])), Drop::InvalidLabel);
    expect(FABRIC, &from_pe(1001, &with(&inner, 10, 0)), Drop::InnerChecksum);
    expect(FABRIC, &from_pe(1001, &with(&inner, 0, 0x50)), Drop::Malformed);
    expect(FABRIC, &from_pe(1001, &[]), Drop::Malformed);
    expect(
        FABRIC,
        &from_pe(1001, &packet(FAR, [10, 9, 0, 1].into(), 60, |_| {})),
        Drop::TunnelToTunnel,
    );
    expect(FABRIC, &from_pe(1001, &packet([127, 0, 0, 1].into(), A, 60, |_| {})), Drop::Martian);
    expect(FABRIC, &from_pe(1001, &packet(FAR, [10, 250, 0, 1].into(), 60, |_| {})), Drop::NoRoute);
    let mut lab = Lab::new().unwrap();
    let tired = outer(PE, US, 17, &udp(6635, &labelled(1001, 1, &inner)), |_| {});
    let (reason, told) = dropped(&mut lab, FABRIC, HeapBuf::new(&tired));
    assert_eq!(reason, Some(Drop::LabelTtl));
    assert_eq!(told.map(|told| (told.class, told.vrf)), Some((Punt::TtlExceeded, VrfId(1))));
}

#[test]
fn who_may_send_tunnel_packets_follows_tunnels_and_configuration() {
    let mut lab = Lab::new().unwrap();
    let from = |lab: &mut Lab, last: [u8; 4]| {
        let payload = udp(6635, &labelled(1001, 60, &packet(FAR, A, 60, |_| {})));
        dropped(lab, FABRIC, HeapBuf::new(&outer(last.into(), US, 17, &payload, |_| {}))).0
    };
    assert_eq!(
        from(&mut lab, [192, 0, 2, 10]),
        None,
        "the end of a tunnel, whatever it was offered"
    );
    assert_eq!(from(&mut lab, [198, 51, 100, 200]), None, "configured");
    assert_eq!(from(&mut lab, [198, 51, 101, 200]), Some(Drop::TunnelSource));
    lab.writer.tunnel_source_del("198.51.100.0/24".parse().unwrap()).unwrap();
    // As after every generation.
    lab.writer.publish();
    lab.worker.quiesce();
    assert_eq!(from(&mut lab, [198, 51, 100, 200]), Some(Drop::TunnelSource));
}

#[test]
fn no_room_for_headers() {
    let mut lab = Lab::new().unwrap();
    // 18 bytes come off, 46 go on.
    for (room, expected) in [(27, Some(Drop::NoHeadroom)), (28, None)] {
        let packet = HeapBuf::with_headroom(&good(), room);
        assert_eq!(dropped(&mut lab, GATEWAY, packet).0, expected);
    }
}

#[test]
fn punts_start_where_they_say() {
    let mut lab = Lab::new().unwrap();
    let arp = wire::arp::Arp::request(A_MAC, A, [10, 1, 0, 1].into());
    let arp = arp.as_bytes();
    for to in [Mac::BROADCAST, Mac::GATEWAY] {
        let frame = tagged(to, A_MAC, 107, eth::ARP, arp);
        let (packet, verdict) = lab.receive_one(GATEWAY, HeapBuf::new(&frame));
        assert_eq!(packet.data(), arp);
        let meta = PuntMeta {
            class: Punt::Arp,
            port: GATEWAY,
            vif: Some(VifId(1)),
            vrf: VrfId(1),
            source_mac: A_MAC,
            mtu: 0,
        };
        assert_eq!(verdict, Some(Verdict::Punt(meta)));
    }
    let pe_mac = Mac([2, 0, 0, 0, 0, 9]);
    let (packet, verdict) =
        lab.receive_one(FABRIC, HeapBuf::new(&plain(Mac::BROADCAST, pe_mac, eth::ARP, arp)));
    assert_eq!(packet.data(), arp);
    let meta = PuntMeta {
        class: Punt::Arp,
        port: FABRIC,
        vif: None,
        vrf: VrfId::MASTER,
        source_mac: pe_mac,
        mtu: 0,
    };
    assert_eq!(verdict, Some(Verdict::Punt(meta)));
    // Pings: to the gateway of a VRF from an instance and out of a tunnel, and to the node itself.
    let gateway = Ipv4Addr::new(10, 1, 0, 1);
    for (port, frame, vif, vrf, bytes) in [
        (GATEWAY, from_a(&ping(A, gateway)), Some(VifId(1)), VrfId(1), ping(A, gateway)),
        (FABRIC, from_pe(1001, &ping(FAR, gateway)), None, VrfId(1), ping(FAR, gateway)),
        (
            FABRIC,
            plain(FABRIC_MAC, pe_mac, eth::IPV4, &ping(PE, US)),
            None,
            VrfId::MASTER,
            ping(PE, US),
        ),
    ] {
        let (packet, verdict) = lab.receive_one(port, HeapBuf::new(&frame));
        assert_eq!(packet.data(), bytes);
        let Some(Verdict::Punt(meta)) = verdict else { panic!("{verdict:?}") };
        assert_eq!((meta.class, meta.vif, meta.vrf), (Punt::Local, vif, vrf));
    }
    let (came, left) = lab.balance();
    assert_eq!((came, left), (6, 6));
}

#[test]
fn bfd_to_the_node_goes_to_the_service_thread_whatever_its_ttl() {
    let mut lab = Lab::new().unwrap();
    let pe_mac = Mac([2, 0, 0, 0, 0, 9]);
    let bfd = |to: Ipv4Addr, port: u16, ttl: u8| {
        let mut ip = Ipv4::new(PE, to, wire::ipv4::UDP, 52);
        ip.set_ttl(ttl);
        ip.fill_checksum();
        let udp = wire::udp::Udp::new(50_000, port, 24);
        [ip.as_bytes(), udp.as_bytes(), &[0x20; 24]].concat()
    };
    for (port, ttl) in [(3784, 255), (3784, 64), (4784, 64)] {
        let packet = bfd(US, port, ttl);
        let frame = HeapBuf::new(&plain(FABRIC_MAC, pe_mac, eth::IPV4, &packet));
        let (bytes, verdict) = lab.receive_one(FABRIC, frame);
        assert_eq!(bytes.data(), packet);
        let Some(Verdict::Punt(meta)) = verdict else { panic!("{verdict:?}") };
        assert_eq!((meta.class, meta.port, meta.vrf), (Punt::Bfd, FABRIC, VrfId::MASTER));
    }
    let dropped = |lab: &Lab, reason: Drop| lab.counters().dropped[reason.index()].value();
    let frame = plain(FABRIC_MAC, pe_mac, eth::IPV4, &bfd([192, 0, 2, 77].into(), 3784, 255));
    lab.receive_one(FABRIC, HeapBuf::new(&frame));
    assert_eq!(dropped(&lab, Drop::NotLocal), 1, "not ours");
    let frame = plain(FABRIC_MAC, pe_mac, eth::IPV4, &bfd(US, 3785, 255));
    lab.receive_one(FABRIC, HeapBuf::new(&frame));
    assert_eq!(dropped(&lab, Drop::UnsupportedProtocol), 1, "another port");
}

#[test]
fn a_storm_is_limited_by_its_class_and_time_restores_it() {
    let mut lab = Lab::new().unwrap();
    let arp = wire::arp::Arp::request(A_MAC, A, [10, 1, 0, 1].into());
    let frame = tagged(Mac::BROADCAST, A_MAC, 107, eth::ARP, arp.as_bytes());
    let storm = Punt::Arp.rate() + 50;
    for _ in 0..storm {
        lab.receive_one(GATEWAY, HeapBuf::new(&frame));
    }
    assert_eq!(lab.counters().punted[Punt::Arp.index()].value(), Punt::Arp.rate().into());
    assert_eq!(lab.counters().dropped[Drop::PuntLimited.index()].value(), 50);
    assert_eq!(lab.counters().punt_limited[Punt::Arp.index()].value(), 50);
    lab.worker.refill(Duration::from_millis(10));
    assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&frame)).0, None);
    // Copies are limited without a second drop.
    let tired = from_a(&packet(A, FAR, 60, |ip| ip.set_ttl(1)));
    for _ in 0..Punt::TtlExceeded.rate() {
        assert!(dropped(&mut lab, GATEWAY, HeapBuf::new(&tired)).1.is_some());
    }
    assert_eq!(dropped(&mut lab, GATEWAY, HeapBuf::new(&tired)), (Some(Drop::TtlExceeded), None));
    assert_eq!(lab.counters().punt_limited[Punt::TtlExceeded.index()].value(), 1);
}

#[test]
fn own_packets_end_by_name_too() {
    let mut lab = Lab::new().unwrap();
    let gateway = Ipv4Addr::new(10, 1, 0, 1);
    let mut inject = |vrf: u16, bytes: &[u8]| lab.inject(VrfId(vrf), &mut HeapBuf::new(bytes));
    let named = |reason: Drop| Verdict::Drop { reason, notify: None };
    assert_eq!(inject(1, &[1, 2, 3]), named(Drop::Malformed));
    assert_eq!(inject(1, &packet(gateway, gateway, 60, |_| {})), named(Drop::NoRoute));
    assert_eq!(inject(9, &packet(gateway, A, 60, |_| {})), named(Drop::NoRoute));
    let big = packet(gateway, FAR, 1469, |ip| ip.set_dont_fragment(true));
    assert_eq!(inject(1, &big), named(Drop::TooBig));
}

/// A frame for each reason. The match is exhaustive: a new row of the list must say here how it is reached, or who else counts it.
fn example(reason: Drop) -> Option<(PortId, Vec<u8>)> {
    let inner = packet(FAR, A, 60, |_| {});
    let to = |address: [u8; 4]| from_a(&packet(A, address.into(), 60, |_| {}));
    let tunnel = |payload: &[u8]| (FABRIC, outer(PE, US, 17, &udp(6635, payload), |_| {}));
    Some(match reason {
        Drop::Malformed => (GATEWAY, vec![0; 13]),
        Drop::PortBlocked => (PortId(9), good()),
        Drop::Untagged => (GATEWAY, plain(Mac::GATEWAY, A_MAC, eth::IPV4, &inner)),
        Drop::UnknownVlan => (GATEWAY, tagged(Mac::GATEWAY, A_MAC, 42, eth::IPV4, &inner)),
        Drop::UnknownSourceMac => (GATEWAY, tagged(Mac::GATEWAY, A_MAC, 108, eth::IPV4, &inner)),
        Drop::WrongDestinationMac => (GATEWAY, tagged(A_MAC, A_MAC, 107, eth::IPV4, &inner)),
        Drop::Multicast => (GATEWAY, tagged(Mac::BROADCAST, A_MAC, 107, eth::IPV4, &inner)),
        Drop::UnsupportedEthertype => (GATEWAY, tagged(Mac::GATEWAY, A_MAC, 107, 0x8847, &inner)),
        Drop::NeighborDiscovery => {
            (GATEWAY, solicitation(Mac([0x33, 0x33, 0xff, 0, 0, 1]), "ff02::1:ff00:1"))
        }
        Drop::InnerChecksum => (GATEWAY, with(&good(), 28, 0)),
        Drop::Martian => (GATEWAY, to([127, 0, 0, 1])),
        Drop::SpoofedAddress => (GATEWAY, from_a(&packet(B, FAR, 60, |_| {}))),
        Drop::NoRoute => (GATEWAY, to([10, 200, 0, 1])),
        Drop::DiscardRoute => (GATEWAY, to([10, 66, 0, 1])),
        Drop::TtlExceeded => (GATEWAY, from_a(&packet(A, FAR, 60, |ip| ip.set_ttl(1)))),
        Drop::TooBig => (GATEWAY, from_a(&packet(A, FAR, 1469, |ip| ip.set_dont_fragment(true)))),
        Drop::NeedsFragmentation => (GATEWAY, from_a(&packet(A, FAR, 1469, |_| {}))),
        Drop::UnsupportedProtocol => (FABRIC, outer(PE, US, 6, &inner, |_| {})),
        Drop::NotLocal => (FABRIC, outer(PE, FAR, 17, &inner, |_| {})),
        Drop::OuterChecksum => (FABRIC, with(&from_pe(1001, &inner), 24, 0)),
        Drop::OuterFragment => {
            let mut frame = outer(PE, US, 17, &inner, |_| {});
            // "More fragments" in the flags, taken off the checksum again.
            frame[20] |= 0x20;
            let sum = u16::from_be_bytes([frame[24], frame[25]]);
            let sum = wire::checksum::update(sum, 0, 0x2000);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            (FABRIC, frame)
        }
        Drop::TunnelSource => {
            let stack = labelled(1001, 60, &inner);
            (FABRIC, outer(FAR, US, 17, &udp(6635, &stack), |_| {}))
        }
        Drop::InvalidLabelStack => tunnel(&with(&labelled(1001, 60, &inner), 2, 0x90)),
        Drop::InvalidLabel => tunnel(&labelled(1003, 60, &inner)),
        Drop::LabelTtl => tunnel(&labelled(1001, 1, &inner)),
        Drop::TunnelToTunnel => tunnel(&labelled(1001, 60, &packet(A, FAR, 60, |_| {}))),
        Drop::UnresolvedNexthop => (GATEWAY, to([10, 99, 0, 1])),
        // They need a world of their own: above.
        Drop::VifDown | Drop::NoHeadroom | Drop::PuntLimited => return None,
        // Counted by the worker, where a queue or pool is full; `policy` awaits its first rule.
        Drop::TxFull
        | Drop::PuntFull
        | Drop::HandoffFull
        | Drop::InjectFull
        | Drop::NoBuffer
        | Drop::Policy => {
            return None;
        }
    })
}

#[test]
fn every_reason_of_the_pipeline_moves_its_own_counter() {
    for reason in Drop::ALL {
        if let Some((port, frame)) = example(*reason) {
            let mut lab = Lab::new().unwrap();
            assert_eq!(dropped(&mut lab, port, HeapBuf::new(&frame)).0, Some(*reason));
        }
    }
}
