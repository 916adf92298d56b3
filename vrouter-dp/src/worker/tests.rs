//! Workers on ring ports, with a driver that counts and checks every frame on the far side.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use dpdk::testing::{eal, own_process};
use dpdk::{Batch, LcoreHandle, Pool, PortConfig, RingPort, lcore};
use engine::counters::WorkerCounters;
use engine::lab;
use engine::seam::{PortId, WorkerId};
use engine::table::{Tables, TablesWriter};

use super::*;
use crate::plan::Spread;
use crate::topology::{self, Offer};
use crate::watch::{WorkerFigures, WorkerShared};
use crate::wiring::Wiring;

const PORTS: usize = 2;

/// Two workers on the engine's lab world, a ring port with one queue for each of its ports.
struct World {
    far: Vec<RingPort>,
    pool: Pool,
    writer: TablesWriter,
    shared: Vec<Arc<WorkerShared>>,
    lanes: Vec<Arc<Lane>>,
    running: Vec<LcoreHandle<Worker>>,
    hz: u64,
}

impl World {
    fn start(spread: Spread, limits: Limits) -> World {
        let eal = eal(128);
        let pool = Pool::new(eal, "frames", 8191, 256, 2048, None).unwrap();
        let (_, mut writer) = Tables::new(2);
        lab::furnish(&mut writer).unwrap();
        let mut wiring = Wiring::new(2, spread);
        let owners = topology::plan(2, &vec![Offer { rx: 1, tx: 1, near: vec![] }; PORTS]);
        let mut far = Vec::new();
        for (index, owners) in owners.iter().enumerate() {
            let (ring, mut port) = RingPort::new(eal, &format!("p{index}"), 1, 1024).unwrap();
            let config = PortConfig { rss: false, ..PortConfig::default() };
            let mut queues = port.configure(&config, &pool).unwrap();
            port.start(&mut queues).unwrap();
            wiring.add(PortId(index as u8), "", queues, owners);
            far.push(ring);
        }
        let cpus = lcore::allowed();
        let hz = dpdk::hz(eal);
        let (mut shared, mut running, mut lanes) = (vec![], vec![], vec![]);
        for (index, share) in wiring.shares().enumerate() {
            let cpu = cpus[index % cpus.len()];
            lanes.extend(share.lanes);
            let published = Arc::new(WorkerShared::new(cpu as u16));
            let worker = Worker {
                index,
                state: WorkerState::new(writer.tables(), WorkerId(index as u8)).unwrap(),
                shared: Arc::clone(&published),
                pool,
                inlets: share.inlets,
                outlets: share.outlets,
                hand_in: share.hand_in,
                rings: share.rings,
                limits,
            };
            let run = move |_| {
                lcore::exact_sleeps().unwrap();
                worker.run(hz)
            };
            running.push(lcore::spawn(eal, cpu, "worker", run).unwrap());
            shared.push(published);
        }
        World { far, pool, writer, shared, lanes, running, hz }
    }

    fn counters(&self, worker: usize) -> &WorkerCounters {
        self.writer.tables().counters(WorkerId(worker as u8)).unwrap()
    }

    fn sum(&self, of: impl Fn(&WorkerCounters) -> u64) -> u64 {
        (0..2).map(|worker| of(self.counters(worker))).sum()
    }

    /// Takes all that comes out until nothing has for a while.
    fn drain(&mut self) {
        let mut batch = Batch::new();
        let mut quiet = 0;
        while quiet < 50 {
            let mut any = false;
            for far in &mut self.far {
                while far.collect(0, &mut batch) > 0 {
                    any = true;
                    batch.clear();
                }
            }
            quiet = if any { 0 } else { quiet + 1 };
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// CPU time of the threads of this name.
    fn cpu_time(&self, name: &str) -> Duration {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let nanoseconds = tasks.filter_map(|task| {
            let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
            let ours = read("comm")?.trim() == name;
            let ran = read("schedstat")?.split_whitespace().next()?.parse::<u64>().ok()?;
            ours.then_some(ran)
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Ends the workers. Then nothing is inside, and all buffers are back.
    fn end(mut self) {
        self.lanes.clear();
        self.shared.iter().for_each(|shared| shared.stop.store(true, Ordering::Relaxed));
        let workers: Vec<Worker> =
            self.running.drain(..).map(|running| running.join().unwrap()).collect();
        for worker in 0..2 {
            let c = self.counters(worker);
            let came =
                c.rx.value() + c.handed_in.value() + c.injected.value() + c.copies_made.value();
            let went = c.tx.value() + c.punted_total() + c.dropped_total() + c.handed_out.value();
            assert_eq!(came, went, "the account of worker {worker}");
        }
        assert_eq!(self.sum(|c| c.handed_out.value()), self.sum(|c| c.handed_in.value()));
        let queues = workers.into_iter().map(Worker::into_queues);
        let (mut rx, mut tx, mut shared) = (vec![], vec![], vec![]);
        for (own_rx, own_tx, with_others) in queues {
            rx.extend(own_rx);
            tx.extend(own_tx);
            shared.push(with_others);
        }
        for (more_rx, more_tx) in shared.into_iter().map(SharedQueues::into_queues) {
            rx.extend(more_rx);
            tx.extend(more_tx);
        }
        assert_eq!((rx.len(), tx.len()), (PORTS, PORTS), "every queue comes back once");
        assert_eq!(self.pool.in_use(), 0, "buffers are lost");
    }
}

const LIMITS: Limits =
    Limits { idle_sleep: Duration::ZERO, idle_after: Duration::ZERO, burst: 64, sample_bursts: 7 };

const FLOWS: u32 = 4096;

/// A frame of an instance: to its neighbour, through a tunnel, to an unknown VLAN, or of a stranger's address.
fn frame(flow: u32, number: u64) -> Vec<u8> {
    let (vlan, last) = if flow % 64 == 5 { (999u16, 7) } else { (107, 7) };
    let source = [10, 1, 0, if flow % 64 == 6 { 9 } else { last }];
    let to = match flow % 3 {
        0 => [10, 1, 0, 8],
        1 => [10, 9, (flow >> 8) as u8, flow as u8],
        _ => [10, 10, (flow >> 8) as u8, flow as u8],
    };
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 17, 0, 0];
    ip.extend(source);
    ip.extend(to);
    let sum = wire::checksum::of(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend([0x10, 0, 0, 53, 0, 20, 0, 0]);
    ip.extend(number.to_be_bytes());
    ip.extend(flow.to_be_bytes());
    let mut frame = wire::Mac::GATEWAY.0.to_vec();
    frame.extend([0x52, 0x54, 0, 0, 1, 7, 0x81, 0]);
    frame.extend(vlan.to_be_bytes());
    frame.extend([8, 0]);
    frame.extend(ip);
    frame
}

fn forwarded(flow: u32) -> bool {
    flow % 64 != 5 && flow % 64 != 6
}

/// Numbers of the flow as the frames leave: each larger than the one before.
#[derive(Default)]
struct Order {
    last: HashMap<(usize, u32), u64>,
    last_of_port: [u64; PORTS],
    seen: u64,
}

impl Order {
    fn take(&mut self, port: usize, frame: &[u8]) {
        let (rest, flow) = frame.split_last_chunk::<4>().unwrap();
        let (_, number) = rest.split_last_chunk::<8>().unwrap();
        let (flow, number) = (u32::from_be_bytes(*flow), u64::from_be_bytes(*number));
        let last = self.last.entry((port, flow)).or_default();
        assert!(number > *last, "flow {flow}: {number} after {last}");
        *last = number;
        assert!(number > self.last_of_port[port], "port {port}: {number} overtook");
        self.last_of_port[port] = number;
        self.seen += 1;
    }
}

/// One such test at a time: each has workers that poll for ever.
fn alone(test: &str, body: impl FnOnce()) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
    own_process(test, body);
}

/// Sends `total` frames of thousands of flows in random bursts, and checks all that comes out.
fn drive(world: &mut World, total: u64, pause: bool) -> Order {
    let (mut order, mut number, mut random) = (Order::default(), 0u64, 0x9e37_79b9_7f4a_7c15_u64);
    let mut batch = Batch::new();
    let mut wanted = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut quiet = 0;
    while quiet < 200 {
        assert!(Instant::now() < deadline, "{} of {wanted} frames came out", order.seen);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for _ in 0..random % 200 {
            let flow = (random >> 20) as u32 % FLOWS;
            random = random.rotate_left(7).wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
            if number == total {
                break;
            }
            let Some(mbuf) = world.pool.alloc_from(&frame(flow, number + 1)) else { break };
            if world.far[1].inject(0, mbuf).is_err() {
                break;
            }
            number += 1;
            wanted += u64::from(forwarded(flow));
        }
        if pause && random % 7 == 0 {
            thread::sleep(Duration::from_micros(random % 300));
        }
        for worker in 0..2 {
            let now = WorkerFigures::of(&world.shared[worker], world.counters(worker));
            let came = now.rx + now.handed_in + now.injected + now.copies_made;
            let went = now.tx + now.punted + now.dropped() + now.handed_out + now.queued;
            assert_eq!(came, went, "the account of worker {worker} under way");
        }
        let before = order.seen;
        for port in 0..PORTS {
            while world.far[port].collect(0, &mut batch) > 0 {
                batch.drain().for_each(|frame| order.take(port, frame.data()));
            }
        }
        let lost = world.sum(|c| {
            c.dropped[Reason::TxFull.index()].value()
                + c.dropped[Reason::HandoffFull.index()].value()
        });
        let done = number == total && order.seen + lost == wanted && order.seen == before;
        quiet = if done { quiet + 1 } else { 0 };
    }
    assert!(order.seen > wanted / 20, "{} of {wanted} frames came out", order.seen);
    assert_eq!(world.sum(|c| c.rx.value()), total);
    order
}

#[test]
fn shared_queues_keep_the_order_of_every_flow() {
    alone("worker::tests::shared_queues_keep_the_order_of_every_flow", || {
        let mut world = World::start(Spread::On, LIMITS);
        drive(&mut world, 150_000, true);
        for worker in 0..2 {
            assert!(world.counters(worker).rx.value() > 1000, "worker {worker} does nothing");
            assert_eq!(world.counters(worker).handed_out.value(), 0);
        }
        let helped: u64 = world.shared.iter().map(|shared| shared.helped.value()).sum();
        assert!(helped > 100);
        world.end();
    });
}

/// Takes a burst of the gateway port's queue before the workers do; its ticket.
fn take_first(world: &mut World, batch: &mut Batch<Frame>) -> (Arc<Lane>, u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "the workers are always first");
        // A full queue: a worker was interrupted while it held the lane.
        if world.far[1].inject(0, world.pool.alloc_from(&frame(0, 1)).unwrap()).is_err() {
            thread::yield_now();
        }
        for lane in &world.lanes {
            if let Some(ticket) = lane.take(batch, 1) {
                return (Arc::clone(lane), ticket);
            }
        }
        world.far[1].collect(0, &mut Batch::new());
    }
}

/// A worker that has a packet behind one that never leaves, and is told to stop; what came out of it.
fn stopped_behind(world: &mut World, rescue: impl FnOnce(&Arc<Lane>, u64)) {
    let mut held = Batch::empty();
    let (lane, ticket) = take_first(world, &mut held);
    world.drain();
    let before = world.sum(|c| c.rx.value());
    world.far[1].inject(0, world.pool.alloc_from(&frame(0, 2)).unwrap()).unwrap();
    while world.sum(|c| c.rx.value()) == before {
        thread::yield_now();
    }
    world.shared.iter().for_each(|shared| shared.stop.store(true, Ordering::Relaxed));
    thread::sleep(Duration::from_millis(50));
    let mut out = Batch::new();
    assert_eq!(world.far[1].collect(0, &mut out), 0, "it overtook");
    rescue(&lane, ticket);
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.far[1].collect(0, &mut out) == 0 {
        assert!(Instant::now() < deadline, "it never left");
        thread::yield_now();
    }
    world.drain();
}

#[test]
fn a_worker_that_is_told_to_stop_keeps_the_order() {
    alone("worker::tests::a_worker_that_is_told_to_stop_keeps_the_order", || {
        let mut world = World::start(Spread::On, LIMITS);
        stopped_behind(&mut world, |lane, ticket| lane.left(ticket));
        world.end();
    });
}

#[test]
fn nobody_waits_for_a_worker_that_panicked() {
    alone("worker::tests::nobody_waits_for_a_worker_that_panicked", || {
        let mut world = World::start(Spread::On, LIMITS);
        stopped_behind(&mut world, |lane, _| {
            let hold = Hold::new(lane);
            let end = thread::spawn(move || {
                let _hold = hold;
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(end.join().is_err());
        });
        world.end();
    });
}

#[test]
fn others_help_a_worker_only_while_it_has_too_much() {
    alone("worker::tests::others_help_a_worker_only_while_it_has_too_much", || {
        let mut world = World::start(Spread::Auto, Limits { burst: 2, ..LIMITS });
        let helped = |world: &World| -> u64 {
            world.shared.iter().map(|shared| shared.helped.value()).sum()
        };
        let mut batch = Batch::new();
        // One at a time: no burst is ever full.
        for number in 0..500 {
            world.far[1].inject(0, world.pool.alloc_from(&frame(0, number)).unwrap()).unwrap();
            while world.far[1].collect(0, &mut batch) == 0 {
                thread::yield_now();
            }
            batch.clear();
        }
        assert_eq!(helped(&world), 0, "there was nothing to help with");
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut number = 500;
        while helped(&world) == 0 {
            assert!(Instant::now() < deadline, "nobody helps");
            while world.far[1].collect(0, &mut batch) > 0 {
                batch.clear();
            }
            while let Some(mbuf) = world.pool.alloc_from(&frame(3, number)) {
                if world.far[1].inject(0, mbuf).is_err() {
                    break;
                }
                number += 1;
            }
        }
        world.drain();
        world.end();
    });
}

#[test]
fn owned_queues_hand_over_in_order_and_all_of_it() {
    alone("worker::tests::owned_queues_hand_over_in_order_and_all_of_it", || {
        let mut world = World::start(Spread::Off, LIMITS);
        drive(&mut world, 100_000, true);
        assert!(world.sum(|c| c.handed_out.value()) > 10_000);
        let helped: u64 = world.shared.iter().map(|shared| shared.helped.value()).sum();
        assert_eq!(helped, 0);
        world.end();
    });
}

#[test]
fn an_idle_worker_sleeps_and_wakes_in_time() {
    alone("worker::tests::an_idle_worker_sleeps_and_wakes_in_time", || {
        let limits = Limits {
            idle_sleep: Duration::from_micros(500),
            idle_after: Duration::from_micros(100),
            ..LIMITS
        };
        let mut world = World::start(Spread::Auto, limits);
        thread::sleep(Duration::from_millis(50));
        // Beside a thread that does nothing but sleep as long: what a wake-up costs is the machine's. The least of a few: other
        // programs lengthen every wake-up.
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let sleeper = thread::Builder::new().name("sleeper".into()).spawn(move || {
            while !told.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(500));
            }
        });
        let least = |name, threads: f64| {
            let used = (0..4).map(|_| {
                let (start, before) = (Instant::now(), world.cpu_time(name));
                thread::sleep(Duration::from_millis(250));
                let used = world.cpu_time(name) - before;
                used.as_secs_f64() / start.elapsed().as_secs_f64() / threads
            });
            used.fold(1.0, f64::min)
        };
        let (used, asleep) = (least("worker", 2.0), least("sleeper", 1.0));
        stop.store(true, Ordering::Relaxed);
        sleeper.unwrap().join().unwrap();
        let (naps, slept) = (&world.shared[0].sleeps, &world.shared[0].slept_cycles);
        let nap = slept.value() * 1_000_000 / world.hz / naps.value();
        let (used, asleep) = (used * 100.0, asleep * 100.0);
        println!("idle: {used:.1} % of a CPU each, {nap} us a sleep; {asleep:.1} % to sleep alone");

        let mut batch = Batch::new();
        let mut waits: Vec<Duration> = (1..=300)
            .map(|number| {
                thread::sleep(Duration::from_micros(800 + number % 100));
                let mbuf = world.pool.alloc_from(&frame(0, number)).unwrap();
                let sent = Instant::now();
                world.far[1].inject(0, mbuf).unwrap();
                while world.far[1].collect(0, &mut batch) == 0 {
                    assert!(sent.elapsed() < Duration::from_secs(5), "the worker does not wake");
                    std::hint::spin_loop();
                }
                batch.clear();
                sent.elapsed()
            })
            .collect();
        waits.sort_unstable();
        println!("through after idleness: {:?}, median {:?}", waits[30], waits[150]);
        // An eighth of the pause, and what the kernel takes to wake a thread; busy CPUs delay many of them further.
        assert!(waits[30] < Duration::from_micros(400), "{:?}", waits[30]);
        assert!(used < 2.0 * asleep + 1.0, "{used:.1} % of a CPU to idle, {asleep:.1} % to sleep");
        world.end();
    });
}

#[test]
fn what_a_full_port_does_not_take_is_a_drop_of_its_interface() {
    alone("worker::tests::what_a_full_port_does_not_take_is_a_drop_of_its_interface", || {
        let mut world = World::start(Spread::On, LIMITS);
        // Nobody collects: the ring of the port takes 1023 frames.
        let (total, room) = (3000, 1023);
        for number in 1..=total {
            let mut mbuf = world.pool.alloc_from(&frame(0, number)).unwrap();
            while let Err(back) = world.far[1].inject(0, mbuf) {
                mbuf = back;
                thread::yield_now();
            }
        }
        let end = Instant::now() + Duration::from_secs(20);
        while world.sum(|c| c.tx.value() + c.dropped_total()) < total {
            assert!(Instant::now() < end, "frames are missing");
            thread::yield_now();
        }
        let row = |of: fn(&engine::counters::VifCounter) -> u64| {
            world.sum(|c| c.vif(engine::seam::VifId(2)).map_or(0, of))
        };
        assert_eq!(row(|row| row.tx_packets.value()), room);
        assert_eq!(row(|row| row.tx_bytes.value()), room * 58);
        assert_eq!(row(|row| row.dropped[Reason::TxFull.index()].value()), total - room);
        let mut order = Order::default();
        let mut batch = Batch::new();
        while world.far[1].collect(0, &mut batch) > 0 {
            batch.drain().for_each(|frame| order.take(1, frame.data()));
        }
        assert_eq!(order.seen, room);
        world.end();
    });
}
