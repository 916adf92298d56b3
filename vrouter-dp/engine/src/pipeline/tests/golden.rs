//! Whole frames in, whole frames out, byte by byte. The expected bytes were worked out apart from this code.

use wire::Mac;

use super::frames::{A, B, FAR, from_a, packet, tagged};
use crate::buffer::{Buf, HeapBuf};
use crate::lab::{FABRIC, GATEWAY, GATEWAY_MAC, Lab};
use crate::seam::{PortId, VifId, VrfId};
use crate::verdict::Verdict;

/// Instance A to 10.9.0.9 or 10.10.0.9: DF, id 0x1234, UDP 4096 to 8192, "ping". `ttl` and `sum` are of the inner header.
fn inner(second: u8, ttl: u8, sum: [u8; 2]) -> [u8; 32] {
    [
        0x45, 0x00, 0x00, 0x20, 0x12, 0x34, 0x40, 0x00, ttl, 0x11, sum[0], sum[1], 0x0a, 0x01,
        0x00, 0x07, 0x0a, second, 0x00, 0x09, 0x10, 0x00, 0x20, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x70,
        0x69, 0x6e, 0x67,
    ]
}

/// 10.9.0.9 back to instance A.
fn back(ttl: u8, sum: [u8; 2]) -> [u8; 32] {
    [
        0x45, 0x00, 0x00, 0x20, 0x43, 0x21, 0x00, 0x00, ttl, 0x11, sum[0], sum[1], 0x0a, 0x09,
        0x00, 0x09, 0x0a, 0x01, 0x00, 0x07, 0x10, 0x00, 0x20, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x70,
        0x69, 0x6e, 0x67,
    ]
}

const FROM_A: [u8; 18] = [
    0x00, 0x00, 0x5e, 0x00, 0x01, 0x00, 0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 0x81, 0x00, 0x00, 0x6b,
    0x08, 0x00,
];
const TO_A: [u8; 18] = [
    0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x00, 0x81, 0x00, 0x00, 0x6b,
    0x08, 0x00,
];
/// Ethernet, IPv4 and UDP to 192.0.2.9; the source port, at 34, is that of the flow.
const TO_PE_UDP: [u8; 46] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x09, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, //
    0x45, 0x00, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0x40, 0x11, 0xf6, 0xa1, 0xc0, 0x00, 0x02, 0x01,
    0xc0, 0x00, 0x02, 0x09, //
    0x00, 0x00, 0x19, 0xeb, 0x00, 0x2c, 0x00, 0x00, //
    0x00, 0x12, 0xc1, 0x3f,
];
const TO_PE_GRE: [u8; 42] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, //
    0x45, 0x00, 0x00, 0x3c, 0x00, 0x01, 0x00, 0x00, 0x40, 0x2f, 0xf6, 0x86, 0xc0, 0x00, 0x02, 0x01,
    0xc0, 0x00, 0x02, 0x0a, //
    0x00, 0x00, 0x88, 0x47, //
    0x00, 0x12, 0xd1, 0x3f,
];
const FROM_PE_UDP: [u8; 42] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x09, 0x08, 0x00, //
    0x45, 0x00, 0x00, 0x40, 0x00, 0x07, 0x00, 0x00, 0x3c, 0x11, 0xfa, 0x9b, 0xc0, 0x00, 0x02, 0x09,
    0xc0, 0x00, 0x02, 0x01, //
    0xc3, 0x50, 0x19, 0xeb, 0x00, 0x2c, 0x00, 0x00,
];
const FROM_PE_GRE: [u8; 38] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x08, 0x00, //
    0x45, 0x00, 0x00, 0x3c, 0x00, 0x07, 0x00, 0x00, 0x3c, 0x2f, 0xfa, 0x80, 0xc0, 0x00, 0x02, 0x0a,
    0xc0, 0x00, 0x02, 0x01, //
    0x00, 0x00, 0x88, 0x47,
];
/// The same, IPv6: to 2001:db8:9::9, with the hop limit given, UDP 4096 to 8192, "ping".
fn inner6(hops: u8) -> [u8; 52] {
    [
        0x60, 0x01, 0x23, 0x45, 0x00, 0x0c, 0x11, hops, //
        0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x07, //
        0x20, 0x01, 0x0d, 0xb8, 0x00, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x09, //
        0x10, 0x00, 0x20, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x70, 0x69, 0x6e, 0x67,
    ]
}

const LABEL_VRF_1: [u8; 4] = [0x00, 0x3e, 0x91, 0x3c];
const LABEL_VIF_1: [u8; 4] = [0x00, 0x45, 0x31, 0x3c];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn sent(port: PortId, frame: &[u8]) -> (HeapBuf, Option<Verdict>) {
    Lab::new().unwrap().receive_one(port, HeapBuf::new(frame))
}

#[test]
fn instance_to_pe_over_mpls_in_udp() {
    // Behind the packet, the padding of a short frame.
    let frame = join(&[&FROM_A, &inner(9, 64, [0x14, 0x80]), &[0; 10]]);
    let (out, verdict) = sent(GATEWAY, &frame);
    assert_eq!(verdict, Some(Verdict::Tx { port: FABRIC, vif: None }));
    let mut expected = join(&[&TO_PE_UDP, &inner(9, 63, [0x15, 0x80])]);
    assert!(out.data()[34] >= 0xc0, "source port 49152-65535");
    expected[34..36].copy_from_slice(&out.data()[34..36]);
    assert_eq!(out.data(), expected);
}

#[test]
fn instance_to_pe_over_mpls_in_gre() {
    let frame = join(&[&FROM_A, &inner(10, 64, [0x14, 0x7f])]);
    let (out, verdict) = sent(GATEWAY, &frame);
    assert_eq!(verdict, Some(Verdict::Tx { port: FABRIC, vif: None }));
    assert_eq!(out.data(), join(&[&TO_PE_GRE, &inner(10, 63, [0x15, 0x7f])]));
}

#[test]
fn ipv6_from_instance_to_pe() {
    let mut ethernet = FROM_A;
    ethernet[16..].copy_from_slice(&[0x86, 0xdd]);
    // Behind the packet, the padding of a short frame.
    let (out, verdict) = sent(GATEWAY, &join(&[&ethernet, &inner6(64), &[0; 3]]));
    assert_eq!(verdict, Some(Verdict::Tx { port: FABRIC, vif: None }));
    // 20 bytes more inside than in IPv4, and as many off the checksum.
    let mut expected = join(&[&TO_PE_UDP, &inner6(63)]);
    (expected[17], expected[39]) = (0x54, 0x40);
    expected[24..26].copy_from_slice(&[0xf6, 0x8d]);
    expected[34..36].copy_from_slice(&out.data()[34..36]);
    assert!(out.data()[34] >= 0xc0, "source port 49152-65535");
    assert_eq!(out.data(), expected);

    let mut over_gre = inner6(64);
    over_gre[29] = 0x10;
    let (out, _) = sent(GATEWAY, &join(&[&ethernet, &over_gre]));
    over_gre[7] = 63;
    let mut expected = join(&[&TO_PE_GRE, &over_gre]);
    expected[17] = 0x50;
    expected[24..26].copy_from_slice(&[0xf6, 0x72]);
    assert_eq!(out.data(), expected);
}

#[test]
fn ipv6_from_pe_to_instance() {
    let mut packet = inner6(60);
    // The addresses the other way round.
    packet[8..40].rotate_left(16);
    let mut ethernet = TO_A;
    ethernet[16..].copy_from_slice(&[0x86, 0xdd]);
    let mut expected = join(&[&ethernet, &packet]);
    expected[18 + 7] = 59;
    for label in [LABEL_VRF_1, LABEL_VIF_1] {
        let stack = join(&[&label, &packet]);
        let mut summed = join(&[&[0x80, 0, 0x88, 0x47, 0, 0, 0, 0], &stack]);
        let sum = wire::checksum::of(&summed);
        summed[4..6].copy_from_slice(&sum.to_be_bytes());
        for (protocol, payload) in [
            (17, super::frames::udp(6635, &stack)),
            (47, join(&[&[0, 0, 0x88, 0x47], &stack])),
            (47, summed),
        ] {
            let frame = super::frames::outer(
                super::frames::PE,
                super::frames::US,
                protocol,
                &payload,
                |_| {},
            );
            let (out, verdict) = sent(FABRIC, &frame);
            assert_eq!(verdict, Some(Verdict::Tx { port: GATEWAY, vif: Some(VifId(1)) }));
            assert_eq!(out.data(), expected);
        }
    }
}

#[test]
fn ipv6_from_instance_to_instance() {
    use super::frames::{A6, B6, from_a6, packet6};
    let (out, verdict) = sent(GATEWAY, &from_a6(&packet6(A6, B6, 60, |_| {})));
    assert_eq!(verdict, Some(Verdict::Tx { port: GATEWAY, vif: Some(VifId(2)) }));
    let b_mac = Mac([0x52, 0x54, 0, 0, 1, 8]);
    let packet = packet6(A6, B6, 60, |ip| ip.set_hop_limit(63));
    assert_eq!(out.data(), tagged(b_mac, Mac::GATEWAY, 108, 0x86dd, &packet));
}

#[test]
fn a_label_of_an_interface_leads_there_whatever_the_route_says() {
    use super::frames::{B6, FAR6, from_pe, packet6};
    let inner = [packet(FAR, B, 60, |_| {}), packet6(FAR6, B6, 20, |_| {})];
    // Both kinds of label in one burst.
    let mut packets: Vec<HeapBuf> = [1107, 1001]
        .iter()
        .flat_map(|label| inner.iter().map(|inner| HeapBuf::new(&from_pe(*label, inner))))
        .collect();
    let mut lab = Lab::new().unwrap();
    let to = |vif| Verdict::Tx { port: GATEWAY, vif: Some(VifId(vif)) };
    assert_eq!(lab.receive(FABRIC, &mut packets), [to(1), to(1), to(2), to(2)]);
}

/// Addresses that differ in the last bytes of either end, ports, flow label, extension headers.
#[test]
fn ipv6_source_ports_follow_flows() {
    use super::frames::{A6, FAR6, from_a6, packet6};
    let mut lab = Lab::new().unwrap();
    let mut port = |payload: &[u8]| {
        let (out, verdict) = lab.receive_one(GATEWAY, HeapBuf::new(&from_a6(payload)));
        assert_eq!(verdict, Some(Verdict::Tx { port: FABRIC, vif: None }));
        u16::from_be_bytes([out.data()[34], out.data()[35]])
    };
    let spread = |mut ports: Vec<u16>| {
        assert!(ports.iter().all(|port| *port >= 49152));
        ports.sort_unstable();
        ports.dedup();
        ports.len()
    };
    let with = |at: usize, value: u16| {
        let mut bytes = packet6(A6, FAR6, 20, |_| {});
        bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    for at in [38, 40, 42] {
        let ports: Vec<u16> = (0..1000).map(|value| port(&with(at, value))).collect();
        assert!(spread(ports) > 900, "by the bytes at {at}");
    }
    assert_eq!(port(&with(40, 5)), port(&with(40, 5)), "a flow keeps its port");
    assert_eq!(port(&with(2, 5)), port(&with(2, 6)), "ports, not the flow label");
    // A fragment header: all fragments of a packet, whatever is in them, and by the flow label.
    let fragment = |label: u32, offset: u8| {
        let mut bytes = packet6(A6, FAR6, 20, |ip| ip.set_flow_label(label));
        bytes[6] = 44;
        bytes[40..48].copy_from_slice(&[17, 0, offset, 1, 1, 2, 3, 4]);
        bytes
    };
    assert_eq!(port(&fragment(5, 0)), port(&fragment(5, 200)));
    assert!(spread((0..1000).map(|label| port(&fragment(label, 0))).collect()) > 900);
}

#[test]
fn pe_to_instance_by_either_encapsulation_and_either_kind_of_label() {
    for tunnel in [&FROM_PE_UDP[..], &FROM_PE_GRE[..]] {
        for label in [LABEL_VRF_1, LABEL_VIF_1] {
            let (out, verdict) = sent(FABRIC, &join(&[tunnel, &label, &back(60, [0x27, 0x93])]));
            assert_eq!(verdict, Some(Verdict::Tx { port: GATEWAY, vif: Some(VifId(1)) }));
            assert_eq!(out.data(), join(&[&TO_A, &back(59, [0x28, 0x93])]));
        }
    }
}

#[test]
fn other_forms_that_pes_send() {
    let payload = join(&[&LABEL_VRF_1, &back(60, [0x27, 0x93])]);
    let expected = join(&[&TO_A, &back(59, [0x28, 0x93])]);
    let outer = |protocol: u8, payload: &[u8]| {
        super::frames::outer(super::frames::PE, super::frames::US, protocol, payload, |_| {})
    };
    let old_port = outer(17, &super::frames::udp(51234, &payload));
    let key = outer(47, &join(&[&[0x20, 0, 0x88, 0x47, 0, 0, 0, 5], &payload]));
    let mut summed = join(&[&[0x80, 0, 0x88, 0x47, 0, 0, 0, 0], &payload]);
    let sum = wire::checksum::of(&summed);
    summed[4..6].copy_from_slice(&sum.to_be_bytes());
    let summed = outer(47, &summed);
    // Some PEs pad short GRE packets inside the outer length: the inner length counts.
    let padded = outer(47, &join(&[&[0, 0, 0x88, 0x47], &payload, &[0; 7]]));
    for frame in [old_port, key, summed, padded] {
        let (out, verdict) = sent(FABRIC, &frame);
        assert_eq!(verdict, Some(Verdict::Tx { port: GATEWAY, vif: Some(VifId(1)) }));
        assert_eq!(out.data(), expected);
    }
}

#[test]
fn instance_to_instance_on_this_node() {
    let (out, verdict) = sent(GATEWAY, &from_a(&packet(A, B, 60, |_| {})));
    assert_eq!(verdict, Some(Verdict::Tx { port: GATEWAY, vif: Some(VifId(2)) }));
    let b_mac = Mac([0x52, 0x54, 0, 0, 1, 8]);
    let expected = tagged(b_mac, Mac::GATEWAY, 108, 0x0800, &packet(A, B, 60, |ip| ip.set_ttl(63)));
    assert_eq!(out.data(), expected);
}

#[test]
fn a_tag_in_the_metadata_is_a_tag_in_the_frame() {
    let payload = packet(A, FAR, 90, |_| {});
    let mut in_frame = Lab::new().unwrap();
    let mut in_metadata = Lab::new().unwrap();
    let tags = [(107, 0), (107, 7 << 13), (42, 0), (0, 0), (0, 3 << 13), (4095, 0)];
    for (vlan, priority) in tags {
        for to in [Mac::GATEWAY, GATEWAY_MAC, Mac::BROADCAST] {
            let tci: u16 = vlan | priority;
            let mut with =
                super::frames::plain(to, super::frames::A_MAC, 0x8100, &tci.to_be_bytes());
            with.extend_from_slice(&[0x08, 0x00]);
            with.extend_from_slice(&payload);
            let without = super::frames::plain(to, super::frames::A_MAC, 0x0800, &payload);
            let (a, a_verdict) = in_frame.receive_one(GATEWAY, HeapBuf::new(&with));
            let (b, b_verdict) = in_metadata.receive_one(GATEWAY, HeapBuf::stripped(&without, tci));
            assert_eq!(a_verdict, b_verdict);
            if let Some(Verdict::Tx { .. }) = a_verdict {
                assert_eq!((a.data(), b.stripped_tci()), (b.data(), None));
            }
        }
    }
    for (a, b) in in_frame.counters().dropped.iter().zip(in_metadata.counters().dropped.iter()) {
        assert_eq!(a.value(), b.value());
    }
    let vif = |lab: &Lab| {
        let row = lab.counters().vif(VifId(1)).unwrap();
        (row.rx_packets.value(), row.rx_bytes.value())
    };
    assert_eq!(vif(&in_frame), vif(&in_metadata));
    assert_eq!(vif(&in_frame), (6, 6 * 108));
}

#[test]
fn a_stripped_flag_means_that_the_tag_in_the_frame_is_a_second_one() {
    let frame = from_a(&packet(A, FAR, 90, |_| {}));
    let (_, verdict) = Lab::new().unwrap().receive_one(GATEWAY, HeapBuf::stripped(&frame, 107));
    let reason = crate::drops::Drop::UnsupportedEthertype;
    assert_eq!(verdict, Some(Verdict::Drop { reason, notify: None }));
}

#[test]
fn source_ports_follow_flows_and_fragments_stay_together() {
    let mut lab = Lab::new().unwrap();
    let mut port = |payload: &[u8]| {
        let (out, verdict) = lab.receive_one(GATEWAY, HeapBuf::new(&from_a(payload)));
        assert_eq!(verdict, Some(Verdict::Tx { port: FABRIC, vif: None }));
        u16::from_be_bytes([out.data()[34], out.data()[35]])
    };
    let flow = |source: u16, flags: u8, offset: u8| {
        let mut bytes = packet(A, FAR, 60, |_| {});
        bytes[20..22].copy_from_slice(&source.to_be_bytes());
        (bytes[6], bytes[7]) = (flags, offset);
        bytes[10..12].fill(0);
        let sum = wire::checksum::of(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let mut ports: Vec<u16> = (0..1000).map(|source| port(&flow(source, 0, 0))).collect();
    assert!(ports.iter().all(|port| *port >= 49152));
    assert_eq!(ports[5], port(&flow(5, 0, 0)), "a flow keeps its port");
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 900, "{} ports for 1000 flows", ports.len());
    let first = port(&flow(5, 0x20, 0));
    assert_eq!(first, port(&flow(0x5a5a, 0x20, 185)));
    assert_eq!(first, port(&flow(0x1234, 0x00, 200)));
}

/// Frames of many flows into a group, and by which outer protocol each leaves; `None`: dropped.
fn by_flow(lab: &mut Lab, six: bool) -> Vec<Option<u8>> {
    (0..600u16)
        .map(|flow| {
            let mut payload = if six {
                super::frames::packet6(super::frames::A6, "2001:db8:20::9", 20, |_| {})
            } else {
                packet(A, [10, 20, 0, 9].into(), 60, |_| {})
            };
            let ports = if six { 40 } else { 20 };
            payload[ports..ports + 2].copy_from_slice(&flow.to_be_bytes());
            let frame = if six { super::frames::from_a6(&payload) } else { from_a(&payload) };
            let (out, verdict) = lab.receive_one(GATEWAY, HeapBuf::new(&frame));
            matches!(verdict, Some(Verdict::Tx { port: FABRIC, .. })).then(|| out.data()[23])
        })
        .collect()
}

#[test]
fn flows_spread_over_the_paths_of_a_group_and_a_lost_one_moves_its_own_alone() {
    use crate::seam::TunnelId;
    use crate::table::AdjacencyId;
    for six in [false, true] {
        let mut lab = Lab::new().unwrap();
        let before = by_flow(&mut lab, six);
        assert_eq!(before, by_flow(&mut lab, six), "a flow keeps its path");
        // Of eight places the first path has three, one without a neighbour three, which is passed over, and the last two.
        let over_udp = before.iter().filter(|path| **path == Some(17)).count();
        let over_gre = before.iter().filter(|path| **path == Some(47)).count();
        assert_eq!(over_udp + over_gre, 600);
        assert!(over_udp > 200 && over_gre > 200, "{over_udp} {over_gre}");
        // One object changes: the tunnel, or the neighbour behind it.
        if six {
            lab.writer.adjacency_set(AdjacencyId(1), FABRIC, None).unwrap();
        } else {
            lab.writer.tunnel_via(TunnelId(1), None).unwrap();
        }
        let after = by_flow(&mut lab, six);
        assert!(after.iter().all(|path| *path == Some(47)), "all by the path that is left");
        for (index, was) in before.iter().enumerate() {
            assert!(*was != Some(47) || after[index] == *was, "the others stay where they were");
        }
        lab.writer.adjacency_set(AdjacencyId(2), FABRIC, None).unwrap();
        assert!(by_flow(&mut lab, six).iter().all(Option::is_none), "no path is left");
    }
}

#[test]
fn outer_identifications_differ() {
    let mut lab = Lab::new().unwrap();
    let mut ids: Vec<u16> = (0..100)
        .map(|_| {
            let frame = from_a(&packet(A, FAR, 60, |_| {}));
            let (out, _) = lab.receive_one(GATEWAY, HeapBuf::new(&frame));
            assert!(wire::checksum::verifies(&out.data()[14..34]));
            u16::from_be_bytes([out.data()[18], out.data()[19]])
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn packets_of_our_own_are_routed_without_losing_ttl() {
    let mut lab = Lab::new().unwrap();
    let gateway = [10, 1, 0, 1].into();
    let mut to_vif = HeapBuf::new(&packet(gateway, A, 60, |_| {}));
    let verdict = lab.inject(VrfId(1), &mut to_vif);
    assert_eq!(verdict, Verdict::Tx { port: GATEWAY, vif: Some(VifId(1)) });
    assert_eq!(to_vif.data(), join(&[&TO_A, &packet(gateway, A, 60, |_| {})]));
    let mut to_tunnel = HeapBuf::new(&packet(gateway, FAR, 60, |_| {}));
    assert_eq!(lab.inject(VrfId(1), &mut to_tunnel), Verdict::Tx { port: FABRIC, vif: None });
    assert_eq!(to_tunnel.data()[45], 64, "TTL of the label");
    assert_eq!(&to_tunnel.data()[46..], packet(gateway, FAR, 60, |_| {}));
    assert_eq!(lab.balance(), (2, 2));
}
