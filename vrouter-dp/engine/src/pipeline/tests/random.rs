//! Any bytes at all, on any port: one verdict each, the books balance, and what is sent is sound.

use std::time::Duration;

use proptest::prelude::*;
use smoltcp::wire as oracle;

use wire::Mac;
use wire::eth;

use super::frames::*;
use crate::buffer::{Buf, HeapBuf};
use crate::lab::{FABRIC, GATEWAY, Lab};
use crate::seam::{PortId, VifId, VrfId};
use crate::verdict::Verdict;

/// Frames that get far, to be damaged.
fn seeds() -> Vec<(PortId, Vec<u8>)> {
    let inner = packet(FAR, A, 60, |_| {});
    let stack = labelled(1001, 60, &inner);
    let gre = |header: &[u8]| outer(PE, US, 47, &[header, &stack].concat(), |_| {});
    vec![
        (GATEWAY, from_a(&packet(A, FAR, 60, |_| {}))),
        (GATEWAY, from_a(&packet(A, B, 60, |_| {}))),
        (GATEWAY, from_a(&packet(A, [10, 10, 1, 1].into(), 1480, |ip| ip.set_dont_fragment(true)))),
        (GATEWAY, from_a(&ping(A, [10, 1, 0, 1].into()))),
        (GATEWAY, tagged(Mac::GATEWAY, B_MAC, 108, eth::IPV4, &packet(B, A, 60, |_| {}))),
        (GATEWAY, tagged(Mac::GATEWAY, C_MAC, 109, eth::IPV4, &packet(C, FAR, 60, |_| {}))),
        (GATEWAY, from_a6(&packet6(A6, FAR6, 20, |_| {}))),
        (GATEWAY, from_a6(&packet6(A6, B6, 20, |_| {}))),
        (GATEWAY, solicitation(Mac::GATEWAY, GATEWAY6)),
        (FABRIC, from_pe(1001, &packet6(FAR6, A6, 20, |_| {}))),
        (FABRIC, from_pe(1107, &packet6(FAR6, A6, 20, |_| {}))),
        (FABRIC, from_pe(1001, &inner)),
        (FABRIC, from_pe(1107, &inner)),
        (FABRIC, gre(&[0, 0, 0x88, 0x47])),
        (FABRIC, gre(&[0x20, 0, 0x88, 0x47, 0, 0, 0, 1])),
    ]
}

#[derive(Clone, Debug)]
struct Arrival {
    port: PortId,
    bytes: Vec<u8>,
    headroom: usize,
    tci: Option<u16>,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let noise = (0u8..3, prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(port, bytes)| (PortId(port), bytes));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let damaged =
        (prop::sample::select(seeds()), damage, any::<bool>(), any::<prop::sample::Index>())
            .prop_map(|((port, mut bytes), damage, cut, at)| {
                for (index, value) in damage {
                    let index = index.index(bytes.len());
                    bytes[index] = value;
                }
                if cut {
                    bytes.truncate(at.index(bytes.len() + 1));
                }
                (port, bytes)
            });
    let tci = prop_oneof![5 => Just(None), 1 => any::<u16>().prop_map(Some), 1 => Just(Some(107))];
    (prop_oneof![1 => noise, 3 => damaged], prop_oneof![3 => Just(256usize), 1 => 0usize..64], tci)
        .prop_map(|((port, bytes), headroom, tci)| Arrival { port, bytes, headroom, tci })
}

fn buffer(arrival: &Arrival) -> HeapBuf {
    match arrival.tci {
        Some(tci) => HeapBuf::stripped(&arrival.bytes, tci),
        None => HeapBuf::with_headroom(&arrival.bytes, arrival.headroom),
    }
}

/// What we send is a well-formed frame in the eyes of another implementation.
fn judge(packet: &HeapBuf, port: PortId) {
    assert_eq!(packet.stripped_tci(), None);
    let data = packet.data();
    if port == GATEWAY {
        let ethertype = if data[18] >> 4 == 6 { eth::IPV6 } else { eth::IPV4 };
        assert_eq!(data[16..18], ethertype.to_be_bytes());
        inner(&data[18..]);
        return;
    }
    let ip = oracle::Ipv4Packet::new_checked(&data[14..]).unwrap();
    assert!(ip.verify_checksum());
    assert_eq!(usize::from(ip.total_len()), data.len() - 14);
    assert!(!ip.dont_frag() && ip.hop_limit() == 64);
    let label = match ip.next_header() {
        oracle::IpProtocol::Udp => {
            let udp = oracle::UdpPacket::new_checked(ip.payload()).unwrap();
            assert_eq!((udp.dst_port(), udp.checksum()), (6635, 0));
            8
        }
        _ => 4,
    };
    let stack = &ip.payload()[label..];
    assert_eq!((stack[2] & 1, stack[3]), (1, inner(&stack[4..])));
}

/// A whole packet and nothing behind it; its TTL or hop limit.
fn inner(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 6 {
        let ip = oracle::Ipv6Packet::new_checked(packet).unwrap();
        assert_eq!(ip.total_len(), packet.len());
        assert!(ip.hop_limit() > 0);
        return ip.hop_limit();
    }
    let ip = oracle::Ipv4Packet::new_checked(packet).unwrap();
    assert!(ip.verify_checksum());
    assert_eq!(usize::from(ip.total_len()), packet.len());
    assert!(ip.hop_limit() > 0);
    ip.hop_limit()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_gets_one_verdict_and_the_books_balance(
        arrivals in prop::collection::vec(arrival(), 1..20),
        own in prop::collection::vec(any::<u8>(), 0..80),
        vrf in 0u16..4,
    ) {
        let mut lab = Lab::new().unwrap();
        for port in [FABRIC, GATEWAY, PortId(2)] {
            let burst = arrivals.iter().filter(|arrival| arrival.port == port);
            let mut packets: Vec<HeapBuf> = burst.map(buffer).collect();
            let count = packets.len();
            let verdicts = lab.receive(port, &mut packets).to_vec();
            prop_assert_eq!(verdicts.len(), count);
            for (packet, verdict) in packets.iter().zip(verdicts) {
                if let Verdict::Tx { port, .. } = verdict {
                    judge(packet, port);
                }
            }
        }
        lab.inject(VrfId(vrf), &mut HeapBuf::new(&own));
        let (came, left) = lab.balance();
        prop_assert_eq!(came, left);
        prop_assert!(came > arrivals.len() as u64);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// A packet fares in a burst as it does alone: nothing of its neighbours gets into it.
    #[test]
    fn the_company_of_a_packet_does_not_matter(
        arrivals in prop::collection::vec(arrival(), 1..90),
        port in prop::sample::select(vec![FABRIC, GATEWAY]),
    ) {
        let mut together = Lab::new().unwrap();
        let mut alone = Lab::new().unwrap();
        // Twice: how scattered the first burst was decides how the second goes through.
        for _ in 0..2 {
            let mut packets: Vec<HeapBuf> = arrivals.iter().map(buffer).collect();
            let verdicts = together.receive(port, &mut packets).to_vec();
            for (arrival, (packet, verdict)) in arrivals.iter().zip(packets.iter().zip(verdicts)) {
                let (single, expected) = alone.receive_one(port, buffer(arrival));
                prop_assert_eq!(Some(verdict), expected);
                prop_assert_eq!(packet.data(), single.data());
            }
            for lab in [&mut together, &mut alone] {
                lab.worker.refill(Duration::from_secs(1));
            }
        }
        let rows = |lab: &Lab| {
            let rows = (1..=3).filter_map(|vif| lab.counters().vif(VifId(vif)));
            rows.map(|row| (row.rx_packets.value(), row.rx_bytes.value(), row.tx_bytes.value())).collect::<Vec<_>>()
        };
        prop_assert_eq!(rows(&together), rows(&alone));
    }
}
