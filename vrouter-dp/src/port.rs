//! Opening ports: EAL, one pool for all of them, queues. A port that would cut or lose frames of its MTU refuses to start.

use dpdk::{Device, Eal, EalPlan, Pool, Port, PortConfig, Queues};

use crate::plan::{PlaneConfig, PortPlan, PortRole, StartError};
use crate::topology::{self, Offer};

/// Buffers that each worker may hold in its cache and in flight.
const PER_WORKER: u32 = 1024;
/// Buffers that a thread keeps for itself.
const CACHE: u32 = 256;

/// A port that is configured but not yet polled.
pub struct OpenPort {
    /// As the configuration has it.
    pub plan: PortPlan,
    /// The device.
    pub port: Port,
    /// Its queues, for the workers.
    pub queues: Queues,
    /// Who owns which.
    pub owners: topology::Queues,
}

/// Everything that DPDK gives.
pub struct Opened {
    /// Proof that EAL is up.
    pub eal: Eal,
    /// Buffers of all ports.
    pub pool: Pool,
    /// Ports in the order of the configuration.
    pub ports: Vec<OpenPort>,
}

/// The devices of the ports.
pub fn devices(config: &PlaneConfig) -> Result<Vec<Device>, StartError> {
    let device =
        |plan: &PortPlan| Device::parse(&plan.device).map_err(|error| port_error(plan, error));
    config.ports.iter().map(device).collect()
}

/// Starts EAL and opens all ports for workers on these NUMA nodes, or says what is wrong and leaves nothing running.
pub fn open(
    config: &PlaneConfig,
    devices: &[Device],
    nodes: &[Option<u16>],
) -> Result<Opened, StartError> {
    let workers = nodes.len();
    let needed = devices
        .iter()
        .zip(&config.ports)
        .map(|(device, plan)| dpdk::data_room(device, plan.mtu))
        .max()
        .unwrap_or(2048);
    let room = config.data_room.unwrap_or(needed);
    let buffers = config
        .mbufs
        .unwrap_or_else(|| planned_buffers(config.ports.len(), workers, config.descriptors));
    let eal = start_eal(config, devices, buffers, room)?;

    let mut found = Vec::new();
    for (plan, device) in config.ports.iter().zip(devices) {
        found.push(Port::open(eal, device).map_err(|error| port_error(plan, error))?);
    }
    let pool = Pool::new(eal, "frames", buffers, CACHE, room, None)
        .map_err(|error| StartError::Eal(error.to_string()))?;
    let offers: Vec<Offer> = found
        .iter()
        .zip(&config.ports)
        .map(|(port, plan)| {
            let most = plan.queues.unwrap_or(u16::MAX);
            let info = port.info();
            let node = info.socket.and_then(|socket| u16::try_from(socket).ok());
            let near = |worker: &usize| node.is_some() && nodes[*worker] == node;
            Offer {
                rx: info.max_rx_queues.min(most),
                tx: info.max_tx_queues.min(most),
                near: (0..workers).filter(near).collect(),
            }
        })
        .collect();
    let mut ports = Vec::new();
    for ((plan, mut port), owners) in
        config.ports.iter().zip(found).zip(topology::plan(workers, &offers))
    {
        let mut queues = port
            .configure(&port_config(plan, &owners, config.descriptors), &pool)
            .map_err(|error| port_error(plan, error))?;
        port.start(&mut queues).map_err(|error| port_error(plan, error))?;
        ports.push(OpenPort { plan: plan.clone(), port, queues, owners });
    }
    Ok(Opened { eal, pool, ports })
}

fn port_config(plan: &PortPlan, owners: &topology::Queues, descriptors: u16) -> PortConfig {
    PortConfig {
        rx_queues: owners.rx.len() as u16,
        tx_queues: owners.tx.len() as u16,
        rx_desc: descriptors,
        tx_desc: descriptors,
        mtu: plan.mtu,
        vlan_strip: plan.vlan_strip,
        // A VF drops every VLAN that was not asked for.
        vlan_filter: plan.role == PortRole::Gateway,
        rss: owners.rx.len() > 1,
        // Instances send to the shared gateway MAC, which is not the port's.
        promiscuous: plan.role == PortRole::Gateway,
    }
}

fn planned_buffers(ports: usize, workers: usize, descriptors: u16) -> u32 {
    let queues = (ports * workers) as u32;
    let wanted = queues * 2 * u32::from(descriptors) + workers as u32 * PER_WORKER;
    wanted.next_power_of_two() - 1
}

fn start_eal(
    config: &PlaneConfig,
    devices: &[Device],
    buffers: u32,
    room: u16,
) -> Result<Eal, StartError> {
    // A fifth and 48 MiB more: queues, and the rings of devices.
    let plan = EalPlan {
        memory_mb: (Pool::memory(buffers, room) * 6 / 5 / (1 << 20)) as u32 + 48,
        pci: devices
            .iter()
            .filter(|device| device.is_pci())
            .map(|device| device.devargs())
            .collect(),
        hugepages_mb: dpdk::eal::free_hugepages_mb(),
    };
    Eal::init(&Eal::arguments(&plan, &config.eal))
        .map_err(|error| StartError::Eal(error.to_string()))
}

fn port_error(plan: &PortPlan, error: impl std::fmt::Display) -> StartError {
    StartError::Port { name: plan.name.clone(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_suffice_for_every_queue_and_worker() {
        assert_eq!(planned_buffers(2, 1, 1024), 8191);
        for (ports, workers) in [(1, 1), (4, 8), (8, 2)] {
            assert!(
                planned_buffers(ports, workers, 1024) as usize
                    >= ports * workers * 2048 + workers * 512
            );
        }
    }
}
