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
