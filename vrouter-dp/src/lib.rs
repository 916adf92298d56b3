//! The engine on DPDK: ports, workers and the service thread, behind one [`start`].
//!
//! The agent gets the two ends of the seam and nothing else: it configures and watches the data plane by ops and events alone.

mod frame;
mod machine;
mod plan;
mod port;
mod punt;
mod ring;
mod service;
mod topology;
mod watch;
mod wiring;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dpdk::lcore::{self, LcoreHandle};
use engine::WorkerState;
use engine::seam::{EVENT_RING, EventReceiver, Link, OP_RING, OpSender, PortId, WorkerId};
use engine::table::{self, Tables};
use wire::Mac;

pub use plan::{Plan, PlaneConfig, PortPlan, PortRole, Spread, StartError, WorkerPlan};
pub use watch::{BUCKETS, Histogram, SPANS, Watch, WorkerFigures, span_name};

use machine::{Choice, Machine};
use port::OpenPort;
use service::{Parts, Service, ServicePort, ServiceWorker};
use watch::WorkerShared;
use wiring::Wiring;
use worker::{Limits, SharedQueues, Worker};

/// Ports that a node may have; workers keep a row for each.
const MAX_PORTS: usize = 32;
/// Workers that a node may have.
const MAX_WORKERS: usize = 32;

/// A running data plane. Forwarding goes on until [`Dataplane::stop`], whatever the agent does.
pub struct Dataplane {
    /// What the agent asks for.
    pub ops: OpSender,
    /// What the agent is told.
    pub events: EventReceiver,
    /// What the devices do not do as asked, in words for the operator.
    pub notes: Vec<String>,
    /// Who does what.
    pub plan: Plan,
    watch: Watch,
    running: Running,
}

/// The threads, apart from the agent's ends of the rings.
pub struct Running {
    stop: Arc<AtomicBool>,
    service: JoinHandle<Vec<ServicePort>>,
    workers: Vec<LcoreHandle<Worker>>,
    shared: Vec<Arc<WorkerShared>>,
}

/// Starts EAL, ports, workers and the service thread. On an error nothing runs.
///
/// The service thread gives memory of the whole process back to the system once many routes went: all that of the heap that the
/// calling thread allocates from if it is the main one, which threads started later share with it.
pub fn start(config: &PlaneConfig) -> Result<Dataplane, StartError> {
    check(config)?;
    dpdk::heap::share();
    let devices = port::devices(config)?;
    let allowed = allowed_cpus();
    let machine = Machine::look(&allowed);
    let Choice { cpus, reason } = if config.workers.is_empty() {
        machine.choose(&devices.iter().map(machine::node_of_port).collect::<Vec<_>>())
    } else {
        Choice { cpus: config.workers.clone(), reason: "as configured".into() }
    };
    check_cpus(&cpus, &allowed)?;
    let nodes: Vec<_> = cpus.iter().map(|cpu| machine.node(*cpu)).collect();
    // Before anything runs: carriers of this network namespace.
    let carrier = dpdk::Carrier::open().map_err(|error| StartError::Limit(error.to_string()))?;
    let opened = port::open(config, &devices, &nodes)?;
    let (_, mut writer) = Tables::new(cpus.len());
    let mut notes = notes(&opened.ports);
    let mut wiring = Wiring::new(cpus.len(), config.spread);
    let mut ports = Vec::new();
    for (index, open) in opened.ports.into_iter().enumerate() {
        let mac = Mac(open.port.mac());
        let role = match open.plan.role {
            PortRole::Fabric => table::PortRole::Fabric,
            PortRole::Gateway => table::PortRole::Gateway,
        };
        writer
            .port_set(PortId(index as u8), table::Port { role, mac, mtu: open.plan.mtu })
            .map_err(|refusal| StartError::Port {
                name: open.plan.name.clone(),
                reason: refusal.to_string(),
            })?;
        wiring.add(PortId(index as u8), &open.plan.name, open.queues, &open.owners);
        ports.push(ServicePort {
            plan: open.plan,
            port: open.port,
            mac,
            kernel_link: None,
            link: Link::Down,
        });
    }

    let mut plan = wiring.plan();
    plan.workers_reason = reason;
    for (worker, (cpu, node)) in plan.workers.iter_mut().zip(cpus.iter().zip(&nodes)) {
        (worker.cpu, worker.node) = (*cpu, *node);
    }

    let (op_sender, op_receiver) = rtrb::RingBuffer::new(OP_RING);
    let (event_sender, event_receiver) = rtrb::RingBuffer::new(EVENT_RING);
    let mut running = Vec::new();
    let mut shared = Vec::new();
    let mut service_workers = Vec::new();
    let cycles_per_second = dpdk::eal::hz(opened.eal);
    for (index, (share, cpu)) in wiring.shares().zip(&cpus).enumerate() {
        let failed = |reason: String| StartError::Worker { cpu: *cpu, reason };
        let state = WorkerState::new(writer.tables(), WorkerId(index as u8))
            .ok_or_else(|| failed("the tables have no reader left".into()))?;
        let published = Arc::new(WorkerShared::new(*cpu));
        let worker = Worker {
            index,
            state,
            shared: Arc::clone(&published),
            pool: opened.pool,
            inlets: share.inlets,
            outlets: share.outlets,
            hand_in: share.hand_in,
            rings: share.rings,
            limits: Limits {
                idle_sleep: Duration::from_micros(config.idle_sleep_microseconds.into()),
                idle_after: Duration::from_micros(config.idle_after_microseconds.into()),
                burst: usize::from(config.burst),
                sample_bursts: config.sample_bursts,
            },
        };
        let name = format!("worker{index}");
        let handle = lcore::spawn(opened.eal, usize::from(*cpu), &name, move |_| {
            // Without it sleeps are up to 50 us longer, which is seen in the worker's figures.
            let _ = lcore::exact_sleeps();
            worker.run(cycles_per_second)
        });
        match handle {
            Ok(handle) => running.push(handle),
            Err(error) => {
                stop_workers(&shared, running);
                return Err(failed(error.to_string()));
            }
        }
        service_workers.push(ServiceWorker {
            rings: share.service,
            lanes: share.lanes,
            shared: Arc::clone(&published),
            last_busy: (0, dpdk::cycles()),
            lost: 0,
        });
        shared.push(published);
    }

    // What this thread starts from here on, the service thread and the agent, keeps off the workers' CPUs where there are others.
    let others: Vec<usize> = lcore::allowed()
        .into_iter()
        .filter(|cpu| !cpus.iter().any(|used| usize::from(*used) == *cpu))
        .collect();
    if !others.is_empty() && lcore::pin(&others).is_err() {
        notes.push("control threads share the CPUs of the workers".into());
    }

    let watch = Watch::new(writer.tables(), &shared, cycles_per_second);
    let parts = Parts {
        writer,
        ops: op_receiver,
        events: event_sender,
        ports,
        carrier,
        workers: service_workers,
        hz: cycles_per_second,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let service =
        thread::Builder::new().name("service".into()).spawn(move || Service::new(parts).run(&told));
    let service = match service {
        Ok(service) => service,
        Err(error) => {
            stop_workers(&shared, running);
            return Err(StartError::Limit(format!("service thread: {error}")));
        }
    };
    Ok(Dataplane {
        ops: op_sender,
        events: event_receiver,
        notes,
        plan,
        watch,
        running: Running { stop, service, workers: running, shared },
    })
}

impl Dataplane {
    /// A handle for programs in the same process that reads the figures of the workers, also after the end.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// The agent's ends of the seam, and the handle that stops the threads.
    pub fn split(self) -> (OpSender, EventReceiver, Running) {
        (self.ops, self.events, self.running)
    }
}

impl Running {
    /// The thread that has ended, which none does by itself: it panicked. The node forwards only in part then, or answers
    /// nobody, and cannot mend that; it should end, so that it is started again or others take over.
    pub fn ended(&self) -> Option<String> {
        if self.service.is_finished() {
            return Some("the service thread".into());
        }
        let worker = self.workers.iter().position(LcoreHandle::is_finished)?;
        Some(format!("worker {worker}"))
    }

    /// Stops the workers, then the service thread, then the ports.
    pub fn stop(self) {
        let workers = stop_workers(&self.shared, self.workers);
        self.stop.store(true, Ordering::Release);
        if let Ok(ports) = self.service.join() {
            close(ports, workers);
        }
    }
}

/// Gives the devices back. One whose worker panicked stays open, as its queues are lost; the process ends anyway.
fn close(ports: Vec<ServicePort>, workers: Vec<Worker>) {
    let (mut receive, mut send, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for (rx, tx, with_others) in workers.into_iter().map(Worker::into_queues) {
        receive.extend(rx);
        send.extend(tx);
        shared.push(with_others);
    }
    // Every worker has ended by now; the last share of a queue gives it back.
    for (rx, tx) in shared.into_iter().map(SharedQueues::into_queues) {
        receive.extend(rx);
        send.extend(tx);
    }
    for ServicePort { port, .. } in ports {
        let id = port.id();
        let rx = receive.extract_if(.., |queue| queue.port() == id).collect();
        let tx = send.extract_if(.., |queue| queue.port() == id).collect();
        let _ = port.close(dpdk::Queues { rx, tx });
    }
}

fn stop_workers(shared: &[Arc<WorkerShared>], workers: Vec<LcoreHandle<Worker>>) -> Vec<Worker> {
    for worker in shared {
        worker.stop.store(true, Ordering::Relaxed);
    }
    workers.into_iter().filter_map(|handle| handle.join().ok()).collect()
}

fn check(config: &PlaneConfig) -> Result<(), StartError> {
    if config.ports.is_empty() || config.ports.len() > MAX_PORTS {
        return Err(StartError::Limit(format!(
            "{} ports: a node has 1 to {MAX_PORTS}",
            config.ports.len()
        )));
    }
    if !(1..=dpdk::BATCH).contains(&usize::from(config.burst)) {
        return Err(StartError::Limit(format!(
            "burst of {}: a worker takes 1 to {} packets at once",
            config.burst,
            dpdk::BATCH
        )));
    }
    if config.descriptors == 0 || config.ports.iter().any(|port| port.queues == Some(0)) {
        return Err(StartError::Limit(
            "a port needs at least one queue with at least one descriptor".into(),
        ));
    }
    Ok(())
}

fn check_cpus(cpus: &[u16], allowed: &[u16]) -> Result<(), StartError> {
    if cpus.is_empty() || cpus.len() > MAX_WORKERS {
        return Err(StartError::Limit(format!(
            "{} workers: a node has 1 to {MAX_WORKERS}",
            cpus.len()
        )));
    }
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(StartError::Worker {
            cpu: *cpu,
            reason: format!(
                "this process may not run there: set `workers` under [dataplane] to some of {allowed:?}"
            ),
        }),
        None => Ok(()),
    }
}

/// CPUs that this process may use, ascending.
fn allowed_cpus() -> Vec<u16> {
    lcore::allowed().into_iter().filter_map(|cpu| u16::try_from(cpu).ok()).collect()
}

fn notes(ports: &[OpenPort]) -> Vec<String> {
    ports
        .iter()
        .flat_map(|open| {
            open.port.notes().iter().map(|note| format!("port {}: {note}", open.plan.name))
        })
        .collect()
}
