//! Buffers, batches, rings and lcores: what needs EAL but neither root nor interfaces.

use std::sync::{Arc, Barrier};

use dpdk::testing::{eal, own_process};
use dpdk::{BATCH, Batch, Device, HEADROOM, Pool, Port, PortConfig, PortError, RingPort, lcore};

const TAGGED: [u8; 64] = {
    let mut frame = [0x5a; 64];
    let head = [
        0x00, 0x00, 0x5e, 0x00, 0x01, 0x00, 0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 0x81, 0x00, 0x00,
        0x64, 0x08, 0x00,
    ];
    let mut at = 0;
    while at < head.len() {
        frame[at] = head[at];
        at += 1;
    }
    frame
};

#[test]
fn mbuf_room_is_never_exceeded() {
    own_process("mbuf_room_is_never_exceeded", || {
        let pool = Pool::new(eal(64), "room", 127, 0, 2048, None).unwrap();
        let mut mbuf = pool.alloc().unwrap();
        assert_eq!((mbuf.len(), mbuf.headroom(), mbuf.tailroom()), (0, HEADROOM, 2048));
        assert!(mbuf.is_contiguous() && mbuf.is_empty() && mbuf.rss_hash().is_none());

        mbuf.append(100).unwrap().fill(7);
        assert!(mbuf.append(1949).is_none());
        assert_eq!(mbuf.len(), 100);
        mbuf.prepend(46).unwrap().fill(9);
        assert_eq!(mbuf.headroom(), HEADROOM - 46);
        assert!(mbuf.prepend(HEADROOM - 45).is_none());
        assert_eq!((mbuf.data()[45], mbuf.data()[46], mbuf.len()), (9, 7, 146));

        assert!(mbuf.trim_front(46) && mbuf.trim_back(50));
        assert!(!mbuf.trim_front(51) && !mbuf.trim_back(51));
        assert_eq!(mbuf.data(), [7; 50]);
        mbuf.truncate(60);
        mbuf.truncate(20);
        assert_eq!(mbuf.data(), [7; 20]);
        assert_eq!(mbuf.prepend(HEADROOM).unwrap().len(), usize::from(HEADROOM));
        assert_eq!(mbuf.append(2028).unwrap().len(), 2028);
        assert_eq!((mbuf.headroom(), mbuf.tailroom()), (0, 0));
        assert!(mbuf.prepend(1).is_none() && mbuf.append(1).is_none());
        assert!(mbuf.append(u16::MAX).is_none() && mbuf.prepend(u16::MAX).is_none());
    });
}

#[test]
fn vlan_marks() {
    own_process("vlan_marks", || {
        let pool = Pool::new(eal(64), "marks", 127, 0, 2048, None).unwrap();
        let mut mbuf = pool.alloc_from(&TAGGED).unwrap();
        assert_eq!(mbuf.stripped_tci(), None);
        mbuf.set_stripped_tci(0x6064);
        assert_eq!(mbuf.stripped_tci(), Some(0x6064));
        mbuf.set_tx_vlan(5);
        assert!(mbuf.tx_vlan() && !mbuf.vlan_stripped());
        mbuf.clear_vlan();
        assert!(!mbuf.tx_vlan() && !mbuf.vlan_stripped());
        assert_eq!(mbuf.data(), TAGGED);
        assert!(pool.alloc_from(&[0; 2049]).is_none());
    });
}

#[test]
fn an_exhausted_pool_says_so_and_recovers() {
    own_process("an_exhausted_pool_says_so_and_recovers", || {
        let eal = eal(64);
        let pool = Pool::new(eal, "small", 127, 0, 256, None).unwrap();
        assert!(matches!(
            Pool::new(eal, "small", 127, 0, 256, None),
            Err(dpdk::PoolError::Exists(_))
        ));
        let mut held: Vec<_> = (0..127).map(|_| pool.alloc().unwrap()).collect();
        assert!(pool.alloc().is_none());
        assert_eq!((pool.available(), pool.in_use()), (0, 127));

        let mut batch = Batch::new();
        while let Some(mbuf) = held.pop() {
            if let Err(mbuf) = batch.push(mbuf) {
                held.push(mbuf);
                break;
            }
        }
        assert!(batch.is_full() && batch.len() == BATCH);
        assert_eq!(batch.drain().take(10).count(), 10);
        assert_eq!((batch.len(), pool.available()), (0, BATCH as u32), "the rest was freed");
        drop(held);
        assert_eq!(pool.available(), 127);

        let too_much = Pool::new(eal, "huge", 1 << 20, 0, 9216, None);
        let text = too_much.unwrap_err().to_string();
        assert!(text.contains("raise `-m`"), "{text}");
    });
}

#[test]
fn a_ring_port_carries_a_tagged_frame_both_ways() {
    own_process("a_ring_port_carries_a_tagged_frame_both_ways", || {
        let eal = eal(128);
        let pool = Pool::new(eal, "frames", 1023, 32, 2048, None).unwrap();
        let (mut far, mut port) = RingPort::new(eal, "t0", 1, 64).unwrap();
        assert_eq!(port.driver_name(), "net_ring");
        let mut queues = port.configure(&PortConfig::default(), &pool).unwrap();
        port.start(&mut queues).unwrap();
        assert!(port.link().up);

        let mut batch = Batch::new();
        assert_eq!(queues.rx[0].burst(&mut batch), 0);
        far.inject(0, pool.alloc_from(&TAGGED).unwrap()).unwrap();
        assert!(far.inject(1, pool.alloc().unwrap()).is_err(), "there is no queue 1");
        assert_eq!(queues.rx[0].burst(&mut batch), 1);
        assert_eq!(batch.as_slice()[0].data(), TAGGED);
        assert!(!batch.as_slice()[0].vlan_stripped());
        assert_eq!(queues.tx[0].burst(&mut batch), 1);
        assert!(batch.is_empty());
        assert_eq!(far.collect(0, &mut batch), 1);
        assert_eq!(batch.pop().unwrap().data(), TAGGED);
        let stats = port.stats();
        assert_eq!((stats.ipackets, stats.opackets), (1, 1));

        // A ring of 64 takes 63: what is not sent stays, in order, for the caller to count.
        for number in 0..64u8 {
            batch.push(pool.alloc_from(&[number; 60]).unwrap()).unwrap();
        }
        assert_eq!(queues.tx[0].burst(&mut batch), 63);
        assert_eq!(batch.len(), 1);
        assert_eq!(batch.as_slice()[0].data(), [63; 60]);
        batch.clear();
        assert_eq!(far.collect(0, &mut batch), 63);
        assert!(batch.iter().zip(0..).all(|(mbuf, number)| mbuf.data() == [number; 60]));
        batch.clear();
        assert_eq!(pool.in_use(), 0, "no buffer is lost");
    });
}

#[test]
fn a_port_stops_only_with_all_its_queues() {
    own_process("a_port_stops_only_with_all_its_queues", || {
        let eal = eal(128);
        let pool = Pool::new(eal, "frames", 1023, 32, 2048, None).unwrap();
        let (_far, mut port) = RingPort::new(eal, "t0", 2, 64).unwrap();
        let config = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
        let mut queues = port.configure(&config, &pool).unwrap();
        port.start(&mut queues).unwrap();
        let out = queues.rx.pop().unwrap();
        let refused = port.stop(&mut queues);
        assert!(matches!(refused, Err(PortError::QueuesOut { missing: 1, .. })), "{refused:?}");
        queues.rx.push(out);
        port.stop(&mut queues).unwrap();
        port.start(&mut queues).unwrap();
        port.close(queues).unwrap();
    });
}

#[test]
fn registered_threads_work_side_by_side() {
    own_process("registered_threads_work_side_by_side", || {
        let eal = eal(128);
        let pool = Pool::new(eal, "frames", 2047, 64, 2048, None).unwrap();
        let (_far, mut port) = RingPort::new(eal, "loop", 2, 256).unwrap();
        let config = PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() };
        let mut queues = port.configure(&config, &pool).unwrap();
        port.start(&mut queues).unwrap();
        let cpus = lcore::allowed();
        let both = Arc::new(Barrier::new(2));
        let mut handles = Vec::new();
        for number in 0..2 {
            let cpu = cpus[number % cpus.len()];
            let (mut tx, mut rx) = (queues.tx.remove(0), queues.rx.remove(0));
            let together = both.clone();
            let work = move |lcore: lcore::Lcore| {
                together.wait();
                assert_eq!(lcore::allowed(), [cpu]);
                let mut batch = Batch::new();
                for _ in 0..1000 {
                    rx.burst(&mut batch);
                    while let Some(mbuf) = pool.alloc() {
                        if batch.push(mbuf).is_err() {
                            break;
                        }
                    }
                    tx.burst(&mut batch);
                    batch.clear();
                }
                (lcore.id, tx, rx)
            };
            handles.push(lcore::spawn(eal, cpu, &format!("worker{number}"), work).unwrap());
        }
        let mut ids = Vec::new();
        for handle in handles {
            let (id, tx, rx) = handle.join().unwrap();
            ids.push(id);
            queues.tx.push(tx);
            queues.rx.push(rx);
        }
        assert!(ids[0] != ids[1] && ids.iter().all(|&id| id < 128), "{ids:?}");
        port.close(queues).unwrap();

        let refused = lcore::spawn(eal, 9999, "nowhere", |_| ()).unwrap_err().to_string();
        assert!(refused.contains("CPU 9999"), "{refused}");
        let panicked = lcore::spawn(eal, cpus[0], "panics", |_| assert!(cpus_are_odd())).unwrap();
        assert!(panicked.join().is_err());
        // More threads one after the other than EAL has lcores: each gives its number back.
        for _ in 0..130 {
            lcore::spawn(eal, cpus[0], "after", |_| ()).unwrap().join().unwrap();
        }
    });
}

fn cpus_are_odd() -> bool {
    false
}

#[test]
fn pcap_files_in_and_out() {
    own_process("pcap_files_in_and_out", || {
        let folder = std::env::temp_dir().join(format!("dpdk-pcap-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (input, output) = (folder.join("in.pcap"), folder.join("out.pcap"));
        std::fs::write(&input, pcap(&[&TAGGED, &[0x33; 1514]])).unwrap();

        let eal = eal(128);
        let pool = Pool::new(eal, "frames", 1023, 32, 2048, None).unwrap();
        let text = format!(
            "vdev:net_pcap0,rx_pcap={},tx_pcap={}",
            input.to_str().unwrap(),
            output.to_str().unwrap()
        );
        let mut port = Port::open(eal, &Device::parse(&text).unwrap()).unwrap();
        let mut queues = port.configure(&PortConfig::default(), &pool).unwrap();
        port.start(&mut queues).unwrap();
        let mut batch = Batch::new();
        assert_eq!(queues.rx[0].burst(&mut batch), 2);
        assert_eq!(batch.as_slice()[0].data(), TAGGED);
        assert_eq!(queues.tx[0].burst(&mut batch), 2);
        assert_eq!(port.stats().opackets, 2);
        port.close(queues).unwrap();

        let written = std::fs::read(&output).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(written.len(), 24 + 16 + 64 + 16 + 1514);
        assert_eq!(written[40..104], TAGGED);
    });
}

fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        for word in [0, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(*frame);
    }
    file
}

#[test]
fn a_missing_device_is_named_with_a_remedy() {
    own_process("a_missing_device_is_named_with_a_remedy", || {
        let eal = eal(64);
        let open = |text: &str| {
            let error = Port::open(eal, &Device::parse(text).unwrap()).unwrap_err();
            error.to_string()
        };
        let text = open("vdev:net_af_packet0,iface=no-such-if");
        assert!(text.contains("\"no-such-if\" does not exist"), "{text}");
        for device in ["vdev:net_none0", "0000:3b:00.0"] {
            let text = open(device);
            assert!(text.contains(device) && text.contains("not found"), "{text}");
        }
    });
}

#[test]
fn eal_starts_once() {
    own_process("eal_starts_once", || {
        eal(64);
        let again = dpdk::Eal::init(&[]);
        assert!(matches!(again, Err(dpdk::EalError::AlreadyStarted)));
        assert!(dpdk::version().starts_with("DPDK "));
    });
}

#[test]
fn bad_eal_arguments_are_quoted() {
    own_process("bad_eal_arguments_are_quoted", || {
        let arguments = ["--no-huge", "--no-such-option", "--log-level=*:error"];
        let error = dpdk::Eal::init(&arguments.map(String::from)).unwrap_err().to_string();
        assert!(error.contains("--no-such-option") && error.contains("[dataplane]"), "{error}");
    });
}

#[test]
fn without_hugepages_the_remedy_is_named() {
    own_process("without_hugepages_the_remedy_is_named", || {
        if dpdk::eal::free_hugepages_mb() > 0 {
            return eprintln!("skipped: this machine has free hugepages");
        }
        let arguments = ["--in-memory", "--no-pci", "--no-telemetry", "--log-level=*:error"];
        let error = dpdk::Eal::init(&arguments.map(String::from)).unwrap_err().to_string();
        assert!(error.contains("sysctl vm.nr_hugepages=512"), "{error}");
        assert!(error.contains("--no-huge"), "{error}");
    });
}
