//! What the data plane is started with, and why it may refuse.

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRole {
    /// Towards other PEs: untagged IP, tunnels.
    Fabric,
    /// Towards switches: VLAN-tagged frames of remote instances.
    Gateway,
}

/// A port of the configuration.
#[derive(Clone, Debug)]
pub struct PortPlan {
    /// Name in the configuration.
    pub name: String,
    /// What it is for.
    pub role: PortRole,
    /// `0000:3b:00.0` (PCI), `vdev:net_af_packet0,iface=eth1`, or `env:NAME` (a variable that holds a PCI address).
    pub device: String,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Ask the device to move the VLAN tag of received frames into metadata.
    pub vlan_strip: bool,
    /// Receive and transmit queues at most; `None`: one for each worker. A device may have fewer.
    pub queues: Option<u16>,
}

/// Whether workers share the queues of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// Where one worker has more than it can do.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: each queue is served by its owner alone.
    Off,
}

/// Everything that is fixed while the process lives.
#[derive(Clone, Debug)]
pub struct PlaneConfig {
    /// CPUs, one worker each; empty: planned from the machine.
    pub workers: Vec<u16>,
    /// Arguments for EAL in place of the chosen ones.
    pub eal: Vec<String>,
    /// Microseconds that a worker without packets sleeps at most, and a packet waits at most; 0 polls for ever. Sleeps are an eighth
    /// of the time since the last packet.
    pub idle_sleep_microseconds: u32,
    /// Microseconds without a packet before a worker sleeps.
    pub idle_after_microseconds: u32,
    /// Packets that a worker takes from a queue at once, 1 to 64.
    pub burst: u16,
    /// Descriptors of each queue; a device may round.
    pub descriptors: u16,
    /// Bytes of a packet buffer after the headroom; `None`: what the MTU of the ports needs.
    pub data_room: Option<u16>,
    /// Whether workers share the queues of ports.
    pub spread: Spread,
    /// Every how many-th burst of a worker is timed, pass by pass; 0: none.
    pub sample_bursts: u32,
    /// Packet buffers in all; `None`: planned from ports and workers.
    pub mbufs: Option<u32>,
    /// The ports, in the order of their [`engine::seam::PortId`]s.
    pub ports: Vec<PortPlan>,
}

impl Default for PlaneConfig {
    fn default() -> Self {
        PlaneConfig {
            workers: Vec::new(),
            eal: Vec::new(),
            idle_sleep_microseconds: 500,
            idle_after_microseconds: 100,
            burst: 64,
            descriptors: 1024,
            data_room: None,
            spread: Spread::Auto,
            sample_bursts: 0,
            mbufs: None,
            ports: Vec::new(),
        }
    }
}

/// Who does what, fixed at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Why there are as many workers, on these CPUs.
    pub workers_reason: String,
    /// Who serves a queue.
    pub spread_reason: String,
    /// Names of the spans of a timed burst.
    pub spans: Vec<&'static str>,
    /// The workers in the order of their numbers.
    pub workers: Vec<WorkerPlan>,
}

/// One worker of a [`Plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerPlan {
    /// CPU that it is pinned to.
    pub cpu: u16,
    /// NUMA node of the CPU, if known.
    pub node: Option<u16>,
    /// Receive queues that it owns: name of the port, number of the queue.
    pub receives: Vec<(String, u16)>,
    /// How it sends on each port: name of the port, number of the transmit queue, and its owner if that is another worker.
    pub sends: Vec<(String, u16, Option<usize>)>,
}

/// Why the data plane did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// EAL: memory, privileges, arguments.
    #[error("{0}")]
    Eal(String),
    /// A port could not be opened or cannot carry what it has to.
    #[error("port {name}: {reason}")]
    Port {
        /// Name in the configuration.
        name: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// A worker could not be started.
    #[error("worker on CPU {cpu}: {reason}")]
    Worker {
        /// The CPU.
        cpu: u16,
        /// What the system said.
        reason: String,
    },
    /// The configuration asks for more than the data plane has.
    #[error("{0}")]
    Limit(String),
}
