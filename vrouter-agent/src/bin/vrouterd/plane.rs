//! The configuration in the words of the data plane.

use config::Config;
use config::api::{WorkerPlan, WorkerQueue};
use vrouter_agent::carried;
use vrouter_dp::{Plan, PlaneConfig, PortPlan, PortRole, Spread};

/// What the data plane is started with. The order of the ports numbers them, here and in the agent.
pub fn config(config: &Config) -> PlaneConfig {
    let ports = config.ports.iter().map(|port| PortPlan {
        name: port.name.clone(),
        role: match port.role {
            config::PortRole::Fabric => PortRole::Fabric,
            config::PortRole::Gateway => PortRole::Gateway,
        },
        device: port.device.clone(),
        mtu: port.mtu,
        vlan_strip: port.vlan_strip,
        queues: None,
    });
    let dataplane = &config.dataplane;
    PlaneConfig {
        workers: dataplane.workers.clone(),
        eal: dataplane.eal.clone(),
        idle_sleep_microseconds: dataplane.idle_sleep_microseconds,
        idle_after_microseconds: dataplane.idle_after_microseconds,
        burst: dataplane.burst,
        descriptors: dataplane.descriptors,
        spread: match dataplane.spread {
            config::Spread::Auto => Spread::Auto,
            config::Spread::On => Spread::On,
            config::Spread::Off => Spread::Off,
        },
        sample_bursts: dataplane.sample_bursts,
        mbufs: dataplane.mbufs,
        ports: ports.collect(),
        data_room: None,
    }
}

/// What the data plane said of its workers, in the words of the API.
pub fn plan(plan: &Plan) -> carried::Plan {
    let queue = |port: &String, queue: u16, owner: Option<usize>| WorkerQueue {
        port: port.clone(),
        queue: queue.into(),
        owner: owner.and_then(|owner| u32::try_from(owner).ok()),
    };
    let workers = plan.workers.iter().map(|worker| WorkerPlan {
        numa_node: worker.node.map(u32::from),
        planned: plan.workers_reason.clone(),
        spread: plan.spread_reason.clone(),
        receives: worker.receives.iter().map(|(port, at)| queue(port, *at, None)).collect(),
        sends: worker.sends.iter().map(|(port, at, owner)| queue(port, *at, *owner)).collect(),
    });
    carried::Plan { workers: workers.collect(), spans: plan.spans.clone() }
}
