//! The operator's API: HTTP/1.1 and JSON on a unix socket, the structs of [`config::api`], and `/metrics` from the same structs.
//!
//! Handlers own no state: they ask the core over a channel and the speaker over its handle. Errors are `ErrorReply` with a
//! fitting status, and then nothing was changed.

pub mod metrics;
pub mod server;
pub mod socket;

use config::api::{
    BfdRow, ConfigReply, DropRow, InterfaceRow, LabelRow, NeighborRow, NexthopRow, PortRow,
    RouteRow, Status, VrfRow, WorkerRow,
};
use serde::Serialize;
use tokio::sync::oneshot;

/// What the API asks the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Answered when all that was asked before is in force, or soon after.
    Status,
    /// Ports with counters.
    Ports,
    /// Instance interfaces with counters.
    Interfaces,
    /// VRFs.
    Vrfs,
    /// Routes of one VRF or of all.
    Routes {
        /// Its name.
        vrf: Option<String>,
    },
    /// Imported routes that cannot be used, with the reason.
    Refused,
    /// Next hops in use.
    Nexthops,
    /// Labels in use and resting.
    Labels,
    /// Neighbours.
    Neighbors,
    /// BFD sessions.
    Bfd,
    /// Drop reasons.
    Drops,
    /// Workers.
    Workers,
    /// Everything that is a metric.
    Metrics,
    /// The running configuration.
    Config,
    /// Makes this the running configuration.
    Apply {
        /// TOML.
        text: String,
        /// Its name in messages.
        file: String,
    },
    /// Panics, to show that it is survived.
    #[cfg(feature = "fault-injection")]
    Panic,
}

impl Query {
    /// Whether the data plane must be asked.
    pub fn needs_snapshot(&self) -> bool {
        use Query::{Bfd, Drops, Interfaces, Metrics, Neighbors, Nexthops, Ports, Workers};
        matches!(self, Bfd | Ports | Interfaces | Nexthops | Neighbors | Drops | Workers | Metrics)
    }
}

/// A question on its way to the core.
#[derive(Debug)]
pub struct Ask {
    /// The question.
    pub query: Query,
    /// The way back.
    pub reply: Reply,
}

/// The way back of an answer.
pub type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// What the core answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// See the row types in [`config::api`].
    Status(Status),
    Ports(Vec<PortRow>),
    Interfaces(Vec<InterfaceRow>),
    Vrfs(Vec<VrfRow>),
    Routes(Vec<RouteRow>),
    Refused(Vec<RefusedRow>),
    Nexthops(Vec<NexthopRow>),
    Labels(Vec<LabelRow>),
    Neighbors(Vec<NeighborRow>),
    Bfd(Vec<BfdRow>),
    Drops(Vec<DropRow>),
    Workers(Vec<WorkerRow>),
    /// TOML.
    Text(String),
    Config(ConfigReply),
    /// For `/metrics`.
    Metrics(Box<metrics::Figures>),
}

/// An imported route that is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// Name of the VRF.
    pub vrf: String,
    /// Route distinguisher.
    pub rd: String,
    /// Destination.
    pub prefix: String,
    /// Who sent it.
    pub peer: std::net::IpAddr,
    /// Why it is not used.
    pub reason: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 400: a wrong configuration or parameter; nothing was changed.
    Refused(Vec<String>),
    /// 404: no object of that name.
    Unknown(String),
    /// 503: not now.
    Unavailable(String),
}
