//! The product in this process: its ports, workers and service thread, filled through the ring as the agent does it.

use std::thread;
use std::time::{Duration, Instant};

use engine::seam::{Event, EventReceiver, Gen, Op, OpSender};
use serde::{Deserialize, Serialize};
use vrouter_dp::{PlaneConfig, PortPlan, PortRole, Running, Spread, Watch, WorkerFigures};
use wire::Mac;

use crate::options::Options;

/// How long the data plane may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it is asked without pause.
const EAGER: Duration = Duration::from_millis(5);

/// A running data plane.
pub struct Plane {
    ops: OpSender,
    events: EventReceiver,
    running: Running,
    watch: Watch,
    generation: u64,
    token: u64,
    refused: Option<String>,
}

/// What a port counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PortCounts {
    pub mac: String,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub missed: u64,
    pub rx_errors: u64,
    pub no_mbuf: u64,
    pub tx_errors: u64,
}

/// The last CPUs that this process may use, one for each worker.
pub fn worker_cpus(workers: u16) -> Result<Vec<u16>, String> {
    let allowed = dpdk::lcore::allowed();
    let first = allowed.len().checked_sub(usize::from(workers)).ok_or_else(|| {
        format!("--nb-cores {workers}: this process may use {} CPUs", allowed.len())
    })?;
    Ok(allowed[first..].iter().map(|cpu| *cpu as u16).collect())
}

/// Largest IP packet of the ports: what the frames of the run need, 576 at least unless the buffers are smaller.
pub fn mtu(options: &Options) -> u16 {
    let room = options.mbuf_size() - dpdk::HEADROOM - 18;
    room.min(9216)
}

impl Plane {
    /// Starts it on these two devices, fabric port first, with `mbufs` packet buffers.
    pub fn start(options: &Options, devices: &[String], mbufs: u32) -> Result<Plane, String> {
        let roles = [("fabric", PortRole::Fabric), ("gateway", PortRole::Gateway)];
        let ports = devices.iter().zip(roles).map(|(device, (name, role))| PortPlan {
            name: name.into(),
            role,
            device: device.clone(),
            mtu: mtu(options),
            vlan_strip: false,
            queues: Some(options.rx_queues()),
        });
        let config = PlaneConfig {
            workers: worker_cpus(options.nb_cores)?,
            eal: options.plain_eal(),
            idle_sleep_microseconds: 0,
            burst: options.burst,
            descriptors: options.descriptors,
            data_room: Some(options.mbuf_size() - dpdk::HEADROOM),
            spread: Spread::Auto,
            sample_bursts: options.sample_bursts,
            mbufs: Some(mbufs),
            ports: ports.collect(),
            ..PlaneConfig::default()
        };
        let dataplane = vrouter_dp::start(&config).map_err(|error| error.to_string())?;
        let watch = dataplane.watch();
        let (ops, events, running) = dataplane.split();
        let refused = None;
        Ok(Plane { ops, events, running, watch, generation: 0, token: 0, refused })
    }

    /// The agent's ends of the rings, the threads and their figures.
    pub fn split(self) -> (OpSender, EventReceiver, Running, Watch) {
        (self.ops, self.events, self.running, self.watch)
    }

    /// The workers' figures.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The sum of what all workers did since `earlier`, by worker.
    pub fn since(&self, earlier: &[WorkerFigures]) -> Vec<WorkerFigures> {
        let now = self.watch.workers();
        now.iter().zip(earlier).map(|(now, earlier)| now.since(earlier)).collect()
    }

    /// Sends ops, waiting while the ring is full.
    pub fn send(&mut self, ops: impl IntoIterator<Item = Op>) -> Result<(), String> {
        for mut op in ops {
            while let Err(rtrb::PushError::Full(back)) = self.ops.push(op) {
                op = back;
                self.listen(|_| false);
                // The service thread may need this CPU to make room.
                thread::yield_now();
            }
        }
        self.verdict()
    }

    /// Sends what fits of `ops` and says how many that were; never waits.
    pub fn offer(&mut self, ops: impl IntoIterator<Item = Op>) -> usize {
        let sent = ops.into_iter().take_while(|op| self.ops.push(*op).is_ok()).count();
        self.listen(|_| false);
        sent
    }

    /// Sends ops as a generation and does not wait.
    pub fn ask(&mut self, ops: impl IntoIterator<Item = Op>) -> Result<Gen, String> {
        self.generation += 1;
        let generation = Gen(self.generation);
        self.send(ops.into_iter().chain([Op::Commit { generation }]))?;
        Ok(generation)
    }

    /// Ends a generation and waits until every worker has passed it: no packet sees anything older.
    pub fn commit(&mut self) -> Result<Duration, String> {
        let start = Instant::now();
        let generation = self.ask([])?;
        self.wait(
            "an acknowledgement",
            |event| matches!(event, Event::Ack { generation: acked } if *acked >= generation),
        )?;
        Ok(start.elapsed())
    }

    /// What the ports counted, in their order. The ops sent before have been applied then, also by a worker that hangs.
    pub fn ports(&mut self) -> Result<Vec<PortCounts>, String> {
        self.token += 1;
        let token = self.token;
        self.send([Op::Snapshot { token }])?;
        let mut ports = Vec::new();
        self.wait("a snapshot", |event| match *event {
            Event::Port {
                mac,
                rx_packets,
                rx_bytes,
                tx_packets,
                tx_bytes,
                missed,
                rx_errors,
                no_mbuf,
                tx_errors,
                ..
            } => {
                ports.push(PortCounts {
                    mac: mac.to_string(),
                    rx_packets,
                    rx_bytes,
                    tx_packets,
                    tx_bytes,
                    missed,
                    rx_errors,
                    no_mbuf,
                    tx_errors,
                });
                false
            }
            Event::SnapshotEnd { token: ended, .. } => ended == token,
            _ => false,
        })?;
        Ok(ports)
    }

    /// MACs of the ports; as [`Plane::ports`].
    pub fn macs(&mut self) -> Result<Vec<Mac>, String> {
        let unreadable = |port: &PortCounts| format!("not a MAC: {}", port.mac);
        let ports = self.ports()?;
        ports.iter().map(|port| port.mac.parse().map_err(|_| unreadable(port))).collect()
    }

    /// Stops workers, service and ports: captures are complete then.
    pub fn stop(self) {
        self.running.stop();
    }

    /// The thread that died, if one did.
    pub fn died(&self) -> Option<String> {
        self.running.ended()
    }

    /// Waits for an event; others are taken in passing.
    pub fn wait(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if self.listen(&mut wanted) {
                return self.verdict();
            }
            if let Some(thread) = self.died() {
                return Err(format!("{thread} of the data plane died"));
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("no {what} within {} s", PATIENCE.as_secs()));
            }
            if begun.elapsed() < EAGER {
                thread::yield_now();
            } else {
                thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Takes events until one is wanted; false if there was none.
    fn listen(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> bool {
        while let Ok(event) = self.events.pop() {
            if let Event::Refused { op, refusal } = event {
                self.refused.get_or_insert_with(|| format!("{op:?}: {refusal}"));
            }
            if wanted(&event) {
                return true;
            }
        }
        false
    }

    fn verdict(&mut self) -> Result<(), String> {
        match self.refused.take() {
            Some(refused) => Err(format!("the data plane refused {refused}")),
            None => Ok(()),
        }
    }
}
