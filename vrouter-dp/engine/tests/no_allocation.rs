//! The packet path does not allocate: an allocator that counts looks on while bursts of every kind pass.
#![allow(clippy::unwrap_used)] // helpers of tests may fail loudly

use std::time::Duration;

use engine::buffer::HeapBuf;
use engine::lab::{FABRIC, GATEWAY, Lab};
use engine::pipeline::{self, BATCH};
use engine::seam::VrfId;
use wire::Mac;
use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::ipv4::{self, Ipv4};
use wire::mpls::Mpls;
use wire::udp::Udp;
use wire::{Label, VlanId};
use zerocopy::IntoBytes;

fn packet(from: [u8; 4], to: [u8; 4], ttl: u8, total: u16) -> Vec<u8> {
    let mut ip = Ipv4::new(from.into(), to.into(), ipv4::UDP, total);
    ip.set_ttl(ttl);
    ip.set_dont_fragment(true);
    ip.fill_checksum();
    let mut bytes = ip.as_bytes().to_vec();
    bytes.resize(total.into(), 7);
    bytes
}

fn from_instance(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mac = Mac([0x52, 0x54, 0, 0, 1, 7]);
    let vlan = VlanId::new(107).unwrap();
    let mut frame = TaggedEthernet::new(Mac::GATEWAY, mac, vlan, ethertype).as_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

fn from_pe(label: u32) -> Vec<u8> {
    let inner = packet([10, 9, 0, 9], [10, 1, 0, 7], 64, 100);
    let mut frame =
        Ethernet::new(Mac([2, 0, 0, 0, 0, 1]), Mac::default(), eth::IPV4).as_bytes().to_vec();
    let mut outer = Ipv4::new([192, 0, 2, 9].into(), [192, 0, 2, 1].into(), ipv4::UDP, 132);
    outer.fill_checksum();
    frame.extend_from_slice(outer.as_bytes());
    frame.extend_from_slice(Udp::new(50_000, 6635, 104).as_bytes());
    frame.extend_from_slice(Mpls::bottom(Label::new(label).unwrap(), 64).as_bytes());
    frame.extend_from_slice(&inner);
    frame
}

#[test]
fn bursts_of_every_kind_allocate_nothing() {
    let mut lab = Lab::new().unwrap();
    let a = [10, 1, 0, 7];
    let outwards = [
        from_instance(eth::IPV4, &packet(a, [10, 9, 0, 9], 64, 100)),
        from_instance(eth::IPV4, &packet(a, [10, 10, 0, 9], 64, 100)),
        from_instance(eth::IPV4, &packet(a, [10, 1, 0, 8], 64, 100)),
        from_instance(eth::IPV4, &packet(a, [10, 9, 0, 9], 1, 100)),
        from_instance(eth::IPV4, &packet(a, [10, 9, 0, 9], 64, 1490)),
        from_instance(eth::IPV4, &packet(a, [10, 200, 0, 9], 64, 100)),
        from_instance(eth::ARP, &[0; 28]),
        from_instance(eth::IPV6, &[0; 40]),
    ];
    let inwards = [from_pe(1001), from_pe(1107), from_pe(999), vec![1; 60]];
    let burst = |frames: &[Vec<u8>]| -> Vec<HeapBuf> {
        frames.iter().cycle().take(BATCH).map(|frame| HeapBuf::new(frame)).collect()
    };
    let mut verdicts = Vec::with_capacity(BATCH);
    let mut own = HeapBuf::new(&packet([10, 1, 0, 1], [10, 9, 0, 9], 64, 100));
    let (mut from_gateway, mut from_fabric) = (burst(&outwards), burst(&inwards));

    let seen = allocation_counter::measure(|| {
        pipeline::process(&mut lab.worker, GATEWAY, &mut from_gateway, &mut verdicts);
        pipeline::process(&mut lab.worker, FABRIC, &mut from_fabric, &mut verdicts);
        pipeline::inject_routed(&mut lab.worker, VrfId(1), &mut own);
        lab.worker.quiesce();
        lab.worker.refill(Duration::from_millis(1));
    });
    assert_eq!((seen.count_total, seen.count_current), (0, 0));
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total,
        1,
        "it does count"
    );
    assert!(lab.counters().dropped_total() > 0, "the bursts were of every kind");
}
