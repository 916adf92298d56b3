//! What outlives a panic of the agent: the ends of the rings, and the numbers that the data plane and other PEs know.
//!
//! The supervisor owns it on its own stack and lends it to one run of the agent after the other, so nothing is lost when a run
//! unwinds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use config::Config;
use config::api::WorkerPlan;
use engine::seam::{EventReceiver, Gen, Link, OpSender, PortId};

use crate::ids::Ids;
use crate::labels::Identities;

/// What the data plane said of its workers when it started.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order of their numbers.
    pub workers: Vec<WorkerPlan>,
    /// Names of the spans of a timed burst.
    pub spans: Vec<&'static str>,
}

/// The state that one run of the agent hands to the next.
pub struct Carried {
    /// To the service thread.
    pub ops: OpSender,
    /// From the service thread.
    pub events: EventReceiver,
    /// The running configuration.
    pub config: Arc<Config>,
    /// Ports of the data plane, as they were when the process started.
    pub ports: BTreeMap<String, PortId>,
    /// Carrier of the ports, as last heard.
    pub links: BTreeMap<PortId, Link>,
    /// Numbers of objects in the data plane.
    pub ids: Ids,
    /// Labels and route distinguishers.
    pub identities: Identities,
    /// The last generation made.
    pub generation: Gen,
    /// The last snapshot asked for.
    pub token: u64,
    /// When the process started.
    pub started: Instant,
    /// The workers, as they were when the process started.
    pub plan: Plan,
    /// How often the agent was restarted.
    pub restarts: u32,
    /// What the last restart was for.
    pub last_panic: String,
}

impl Carried {
    /// The state of a process that starts with `config`: its ports are numbered in their order.
    pub fn new(config: Config, ops: OpSender, events: EventReceiver, started: Instant) -> Self {
        let names = config.ports.iter().map(|port| port.name.clone());
        Carried {
            ops,
            events,
            ports: names.zip((0..=u8::MAX).map(PortId)).collect(),
            links: BTreeMap::new(),
            ids: Ids::default(),
            identities: Identities::load(&config.router.state_file),
            config: Arc::new(config),
            generation: Gen(0),
            token: 0,
            started,
            plan: Plan::default(),
            restarts: 0,
            last_panic: String::new(),
        }
    }
}
