//! Ports over kernel interfaces, each test in a network namespace of its own. Needs root; says so and passes without.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy takes for ordinary functions

use std::time::{Duration, Instant};

use dpdk::testing::{eal, own_namespace, own_process, run};
use dpdk::{
    Batch, Carrier, Device, Eal, LinkChange, Pool, Port, PortConfig, Queues, data_room, frame_limit,
};

fn in_namespace(test: &str, body: impl FnOnce()) {
    own_process(test, || {
        if own_namespace() {
            run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
            run("ip link add v0 type veth peer name v1");
            run("ip link set v0 up");
            run("ip link set v1 up");
            body();
        } else {
            eprintln!("skipped: no privilege for a network namespace: run as root");
        }
    });
}

fn port(eal: Eal, text: &str, config: PortConfig) -> (Port, Queues, Pool) {
    let device = Device::parse(text).unwrap();
    let pool =
        Pool::new(eal, device.name(), 1023, 32, data_room(&device, config.mtu), None).unwrap();
    let mut port = Port::open(eal, &device).unwrap();
    let mut queues = port.configure(&config, &pool).unwrap();
    port.start(&mut queues).unwrap();
    (port, queues, pool)
}

/// A frame to a MAC of ours, VLAN 100 with priority 3 if tagged, of this length.
fn frame(len: usize, tagged: bool) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 1];
    if tagged {
        frame.extend([0x81, 0x00, 0x60, 0x64]);
    }
    frame.extend([0x88, 0xb5]);
    frame.extend((frame.len()..len).map(|at| at as u8));
    frame
}

/// Sends one frame and waits for it at the other port; what arrived, with the stripped tag.
fn across(
    from: (&mut Queues, &Pool),
    to: &mut Queues,
    bytes: &[u8],
) -> Option<(Vec<u8>, Option<u16>)> {
    let mut batch = Batch::new();
    batch.push(from.1.alloc_from(bytes).unwrap()).unwrap();
    assert_eq!(from.0.tx[0].burst(&mut batch), 1);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for queue in &mut to.rx {
            queue.burst(&mut batch);
        }
        for mbuf in batch.drain() {
            assert!(mbuf.is_contiguous());
            if mbuf.data().starts_with(&bytes[..6]) {
                return Some((mbuf.data().to_vec(), mbuf.stripped_tci()));
            }
        }
    }
    None
}

#[test]
fn the_tag_is_in_the_frame_without_strip_and_in_the_metadata_with_it() {
    in_namespace("the_tag_is_in_the_frame_without_strip_and_in_the_metadata_with_it", || {
        let eal = eal(256);
        let plain = PortConfig::default();
        let strip = PortConfig { vlan_strip: true, ..PortConfig::default() };
        let (a, mut qa, pool_a) = port(eal, "vdev:net_af_packet0,iface=v0", plain);
        let (b, mut qb, pool_b) = port(eal, "vdev:net_af_packet1,iface=v1", strip);
        assert_eq!(a.driver_name(), "net_af_packet");
        assert_ne!(a.mac(), b.mac());

        let (tagged, untagged) = (frame(1518, true), frame(1514, false));
        let mut bare = tagged.clone();
        bare.drain(12..16);
        assert_eq!(across((&mut qa, &pool_a), &mut qb, &tagged), Some((bare, Some(0x6064))));
        assert_eq!(across((&mut qb, &pool_b), &mut qa, &tagged), Some((tagged.clone(), None)));
        assert_eq!(across((&mut qa, &pool_a), &mut qb, &untagged), Some((untagged.clone(), None)));
        assert_eq!(across((&mut qb, &pool_b), &mut qa, &untagged), Some((untagged, None)));

        let stats = a.stats();
        assert_eq!((stats.ipackets, stats.opackets), (2, 2), "{stats:?}");
        assert_eq!(stats.obytes, 1518 + 1514);
        let again = Port::open(eal, &Device::parse("vdev:net_af_packet0,iface=v0").unwrap());
        assert!(matches!(again, Err(dpdk::PortError::InUse { .. })));
        a.close(qa).unwrap();
        b.close(qb).unwrap();
        let again = Port::open(eal, &Device::parse("vdev:net_af_packet0,iface=v1").unwrap());
        assert_eq!(again.unwrap().interface(), Some("v1"), "the name is free again");
    });
}

#[test]
fn the_device_inserts_the_tag_on_request() {
    in_namespace("the_device_inserts_the_tag_on_request", || {
        let eal = eal(256);
        let (a, mut qa, pool_a) = port(eal, "vdev:net_af_packet0,iface=v0", PortConfig::default());
        let (_b, mut qb, _) = port(eal, "vdev:net_af_packet1,iface=v1", PortConfig::default());
        if !a.vlan_inserting() {
            return eprintln!("skipped: this release's net_af_packet does not insert tags");
        }
        let mut batch = Batch::new();
        let mut mbuf = pool_a.alloc_from(&frame(60, false)).unwrap();
        mbuf.set_tx_vlan(0x6064);
        batch.push(mbuf).unwrap();
        assert_eq!(qa.tx[0].burst(&mut batch), 1);
        let end = Instant::now() + Duration::from_secs(2);
        while batch.is_empty() && Instant::now() < end {
            qb.rx[0].burst(&mut batch);
        }
        assert_eq!(batch.pop().unwrap().data()[..18], frame(64, true)[..18]);
    });
}

#[test]
fn a_jumbo_mtu_is_refused_with_the_default_ring_and_carried_with_a_larger_one() {
    in_namespace(
        "a_jumbo_mtu_is_refused_with_the_default_ring_and_carried_with_a_larger_one",
        || {
            let eal = eal(512);
            let jumbo = PortConfig { mtu: 9000, ..PortConfig::default() };
            let device = Device::parse("vdev:net_af_packet0,iface=v0").unwrap();
            let pool = Pool::new(eal, "small", 255, 0, data_room(&device, 9000), None).unwrap();
            let mut small = Port::open(eal, &device).unwrap();
            let text = small.configure(&jumbo, &pool).unwrap_err().to_string();
            assert!(text.contains("MTU 9000 needs frames of 9018 bytes"), "{text}");
            assert!(text.contains("framesz=16384"), "{text}");
            assert!(small.configure(&PortConfig { mtu: 1969, ..jumbo.clone() }, &pool).is_err());

            let big = |number, interface| {
                let arguments = "blocksz=65536,framesz=16384,framecnt=64";
                let text = format!("vdev:net_af_packet{number},iface={interface},{arguments}");
                port(eal, &text, jumbo.clone())
            };
            run("ip link add w0 type veth peer name w1");
            run("ip link set w0 up");
            run("ip link set w1 up");
            let (_a, mut qa, pool_a) = big(1, "w0");
            let (_b, mut qb, _) = big(2, "w1");
            assert_eq!(dpdk::interface::mtu("w0").unwrap(), 9000, "raised");
            for bytes in [frame(9018, true), frame(9014, false)] {
                let arrived = across((&mut qa, &pool_a), &mut qb, &bytes);
                assert_eq!(arrived.map(|(bytes, _)| bytes), Some(bytes));
            }
        },
    );
}

/// Holds the figures of `frame_limit` against the kernel: the longest frame arrives whole, one byte more is cut.
#[test]
fn the_default_ring_cuts_exactly_where_the_limit_says() {
    in_namespace("the_default_ring_cuts_exactly_where_the_limit_says", || {
        let eal = eal(256);
        let config = PortConfig { mtu: 1968, ..PortConfig::default() };
        run("ip link set v0 mtu 4000");
        run("ip link set v1 mtu 4000");
        let sender = "vdev:net_af_packet0,iface=v0,blocksz=8192,framesz=8192,framecnt=64";
        let (_a, mut qa, pool_a) = port(eal, sender, config.clone());
        let (_b, mut qb, _) = port(eal, "vdev:net_af_packet1,iface=v1", config);
        let mut length = |sent: usize, tagged| {
            let arrived = across((&mut qa, &pool_a), &mut qb, &frame(sent, tagged));
            arrived.map(|(bytes, _)| bytes.len())
        };
        let tagged = frame_limit("net_af_packet", "iface=v1", 2048, 0, 0).max_frame() as usize;
        let bare = tagged - 4;
        assert_eq!(length(bare, false), Some(bare));
        assert_eq!(length(bare + 1, false), Some(bare), "cut in silence");
        assert_eq!(length(tagged, true), Some(tagged));
        assert_eq!(length(tagged + 1, true), Some(tagged), "cut in silence");
    });
}

#[test]
fn several_queues_need_qpairs() {
    in_namespace("several_queues_need_qpairs", || {
        let eal = eal(256);
        let two = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
        let one = Device::parse("vdev:net_af_packet0,iface=v0").unwrap();
        let pool = Pool::new(eal, "frames", 1023, 32, 2048, None).unwrap();
        let text = Port::open(eal, &one).unwrap().configure(&two, &pool).unwrap_err().to_string();
        assert!(text.contains("qpairs=N"), "{text}");
        let (_a, mut qa, _) = port(eal, "vdev:net_af_packet1,iface=v0,qpairs=2", two);
        let (_b, mut qb, pool_b) = port(eal, "vdev:net_af_packet2,iface=v1", PortConfig::default());
        assert!(across((&mut qb, &pool_b), &mut qa, &frame(100, true)).is_some());
    });
}

#[test]
fn carrier_follows_the_far_end() {
    in_namespace("carrier_follows_the_far_end", || {
        let mut carrier = Carrier::open().unwrap();
        assert_eq!(last(&mut carrier, "v0", |link| link.running), Some(true));
        run("ip link set v1 down");
        assert_eq!(last(&mut carrier, "v0", |link| !link.running), Some(false));
        run("ip link set v1 up");
        assert_eq!(last(&mut carrier, "v0", |link| link.running), Some(true));
        assert!(carrier.poll().unwrap().iter().all(|link| link.name != "v0"), "nothing new");
        run("ip link del v0");
        assert_eq!(last(&mut carrier, "v0", |link| link.removed), Some(false));
    });
}

/// Waits for the report that matches; whether the interface runs then.
fn last(carrier: &mut Carrier, name: &str, wanted: impl Fn(&LinkChange) -> bool) -> Option<bool> {
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let links = carrier.poll().unwrap();
        let found = links.iter().rfind(|link| link.name == name && wanted(link));
        if let Some(link) = found {
            return Some(link.running);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

#[test]
fn what_a_driver_refuses_in_silence_is_named() {
    in_namespace("what_a_driver_refuses_in_silence_is_named", || {
        let eal = eal(64);
        let open = |text: &str| match Port::open(eal, &Device::parse(text).unwrap()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(open("vdev:net_af_packet0").contains("add iface="));
        let text = open("vdev:net_af_packet0,iface=v0,framesz=9999");
        assert!(text.contains("multiple of framesz"), "{text}");
        let text = open("vdev:net_af_packet0,iface=v0,unknown=1");
        assert!(text.contains("refuses") && text.contains("net_af_packet0"), "{text}");
        if dpdk::testing::become_nobody() {
            assert!(open("vdev:net_af_packet0,iface=v0").contains("CAP_NET_RAW"));
            assert!(open("vdev:net_tap0,iface=t0").contains("CAP_NET_ADMIN"));
        }
    });
}

#[test]
fn merged_frames_are_warned_of() {
    in_namespace("merged_frames_are_warned_of", || {
        let eal = eal(128);
        run("ethtool -K v0 gro on");
        let (mut a, qa, _) = port(eal, "vdev:net_af_packet0,iface=v0", PortConfig::default());
        assert!(
            a.notes().iter().any(|note| note.contains("ethtool -K v0 gro off")),
            "{:?}",
            a.notes()
        );
        let mut queues = qa;
        a.stop(&mut queues).unwrap();
        let (b, _queues, _) = port(eal, "vdev:net_af_packet1,iface=v1", PortConfig::default());
        assert_eq!(b.notes().len(), 0, "{:?}", b.notes());
    });
}

#[test]
fn other_drivers_start() {
    in_namespace("other_drivers_start", || {
        let eal = eal(512);
        let (null, _queues, _) = port(eal, "vdev:net_null0", PortConfig::default());
        assert_eq!(null.driver_name(), "net_null");
        let (tap, _queues, _) = port(eal, "vdev:net_tap0,iface=t0", PortConfig::default());
        assert_eq!((tap.driver_name(), tap.interface()), ("net_tap", Some("t0")));
        let (pcap, _queues, _) = port(eal, "vdev:net_pcap0,iface=v0", PortConfig::default());
        assert_eq!(pcap.driver_name(), "net_pcap");
    });
}
