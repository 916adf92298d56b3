//! `io` and `macswap` on the ports of a run, without the product: what receiving, sending and nothing else cost in this program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dpdk::{
    Batch, Device, Eal, EalPlan, LcoreHandle, Pool, Port, PortConfig, Queues, RxQueue, TxQueue,
};

use crate::forward::{LOOK, PATIENCE, Window};
use crate::options::{Mode, Options};
use crate::plane::{PortCounts, mtu, worker_cpus};
use wire::Mac;

/// Running loops. They end with the process.
pub struct Loops {
    eal: Eal,
    counts: Vec<Arc<Counts>>,
    stop: Arc<AtomicBool>,
    workers: Vec<LcoreHandle<()>>,
    ports: Vec<Port>,
}

#[derive(Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
    bursts: AtomicU64,
}

/// Queues of one worker: received here, sent there.
struct Stream {
    from: RxQueue,
    to: TxQueue,
}

impl Loops {
    /// Two ports, each sending what the other receives; one alone sends what it receives itself.
    pub fn start(options: &Options, devices: &[String], mbufs: u32) -> Result<Loops, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let cpus = worker_cpus(options.nb_cores)?;
        let devices = devices
            .iter()
            .map(|device| Device::parse(device).map_err(|error| text(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let room = options.mbuf_size() - dpdk::HEADROOM;
        let plan = EalPlan {
            memory_mb: (Pool::memory(mbufs, room) * 6 / 5 / (1 << 20)) as u32 + 48,
            pci: devices.iter().filter(|device| device.is_pci()).map(Device::devargs).collect(),
            hugepages_mb: dpdk::eal::free_hugepages_mb(),
        };
        let eal = Eal::init(&Eal::arguments(&plan, &options.plain_eal()))
            .map_err(|error| text(&error))?;
        let mut ports = devices
            .iter()
            .map(|device| Port::open(eal, device).map_err(|error| text(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let pool =
            Pool::new(eal, "frames", mbufs, 256, room, None).map_err(|error| text(&error))?;
        let mut queues = Vec::new();
        for port in &mut ports {
            let config = PortConfig {
                rx_queues: options.rx_queues(),
                tx_queues: options.rx_queues(),
                rx_desc: options.descriptors,
                tx_desc: options.descriptors,
                mtu: mtu(options),
                vlan_strip: false,
                vlan_filter: false,
                rss: options.rx_queues() > 1,
                promiscuous: true,
            };
            let mut made = port.configure(&config, &pool).map_err(|error| text(&error))?;
            port.start(&mut made).map_err(|error| text(&error))?;
            queues.push(made);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut loops = Loops { eal, counts: Vec::new(), stop, workers: Vec::new(), ports };
        for (index, (streams, cpu)) in share(queues, cpus.len()).into_iter().zip(cpus).enumerate() {
            loops.add(options, index, cpu, streams)?;
        }
        Ok(loops)
    }

    fn add(
        &mut self,
        options: &Options,
        index: usize,
        cpu: u16,
        streams: Vec<Stream>,
    ) -> Result<(), String> {
        let counts = Arc::new(Counts::default());
        let (told, shared) = (Arc::clone(&self.stop), Arc::clone(&counts));
        let (burst, swap) = (usize::from(options.burst), options.mode == Mode::Macswap);
        let worker =
            dpdk::lcore::spawn(self.eal, cpu.into(), &format!("worker{index}"), move |_| {
                forward(streams, burst, swap, &shared, &told);
            });
        self.workers.push(worker.map_err(|error| error.to_string())?);
        self.counts.push(counts);
        Ok(())
    }

    /// Ticks of the time stamp counter per second.
    pub fn hz(&self) -> u64 {
        dpdk::hz(self.eal)
    }

    /// What the ports counted.
    pub fn ports(&self) -> Vec<PortCounts> {
        let counts = |port: &Port| {
            let stats = port.stats();
            PortCounts {
                mac: Mac(port.mac()).to_string(),
                rx_packets: stats.ipackets,
                rx_bytes: stats.ibytes,
                tx_packets: stats.opackets,
                tx_bytes: stats.obytes,
                missed: stats.imissed,
                rx_errors: stats.ierrors,
                no_mbuf: stats.rx_nombuf,
                tx_errors: stats.oerrors,
            }
        };
        self.ports.iter().map(counts).collect()
    }

    /// What they did in some time, and longer until so many frames have come.
    pub fn window(&self, time: Duration, frames: u64) -> Window {
        let read = || {
            let sum = |of: fn(&Counts) -> &AtomicU64| {
                self.counts.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum::<u64>()
            };
            [sum(|counts| &counts.received), sum(|counts| &counts.sent), sum(|c| &c.bursts)]
        };
        let (start, before) = (dpdk::cycles(), read());
        thread::sleep(time);
        let end = Instant::now() + PATIENCE;
        while read()[0] - before[0] < frames && Instant::now() < end {
            thread::sleep(LOOK);
        }
        let (now, end) = (read(), dpdk::cycles());
        Window {
            cycles: end.wrapping_sub(start),
            received: now[0] - before[0],
            sent: now[1] - before[1],
            bursts: now[2] - before[2],
            ..Window::default()
        }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Queue by queue to the workers in turn, each with the transmit queue of the other port.
fn share(queues: Vec<Queues>, workers: usize) -> Vec<Vec<Stream>> {
    let mut shares: Vec<Vec<Stream>> = (0..workers).map(|_| Vec::new()).collect();
    let (receive, mut send): (Vec<_>, Vec<_>) =
        queues.into_iter().map(|queues| (queues.rx, queues.tx)).unzip();
    if send.len() == 2 {
        send.swap(0, 1);
    }
    for (receive, send) in receive.into_iter().zip(send) {
        for (index, (from, to)) in receive.into_iter().zip(send).enumerate() {
            shares[index % workers].push(Stream { from, to });
        }
    }
    shares
}

fn forward(mut streams: Vec<Stream>, burst: usize, swap: bool, counts: &Counts, stop: &AtomicBool) {
    let mut batch = Batch::new();
    let add = |counter: &AtomicU64, count: usize| {
        counter.store(counter.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
    };
    while !stop.load(Ordering::Relaxed) {
        for Stream { from, to } in &mut streams {
            let received = from.burst_up_to(&mut batch, burst);
            if received == 0 {
                continue;
            }
            if swap {
                for packet in batch.iter_mut() {
                    if let Some(macs) = packet.data_mut().first_chunk_mut::<12>() {
                        let (to, from) = macs.split_at_mut(6);
                        to.swap_with_slice(from);
                    }
                }
            }
            add(&counts.received, received);
            add(&counts.sent, to.burst(&mut batch));
            add(&counts.bursts, 1);
            batch.clear();
        }
    }
}
