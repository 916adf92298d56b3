//! What the API says: one struct for each view, shared by the daemon, `vrctl` and whoever reads the JSON.
//!
//! The field names are a contract with outsiders: fields may be added, none renamed. Counters are unsigned and count since
//! the process started. A field that does not apply is `null`, never left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bgp::types::Asn;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wire::{Mac, VlanId};

use crate::model::{Encapsulation, PortRole};

/// The paths of the API: HTTP/1.1 and JSON over the unix socket.
pub mod path {
    /// `GET`: [`super::Status`].
    pub const STATUS: &str = "/v1/status";
    /// `GET`: `Vec<`[`super::PortRow`]`>`.
    pub const PORTS: &str = "/v1/ports";
    /// `GET`: `Vec<`[`super::InterfaceRow`]`>`.
    pub const INTERFACES: &str = "/v1/interfaces";
    /// `GET`: `Vec<`[`super::VrfRow`]`>`.
    pub const VRFS: &str = "/v1/vrfs";
    /// `GET ?vrf=V`: `Vec<`[`super::RouteRow`]`>`; without `vrf` the routes of all VRFs. An unknown VRF is 404.
    pub const ROUTES: &str = "/v1/routes";
    /// `GET`: `Vec<`[`super::NexthopRow`]`>`.
    pub const NEXTHOPS: &str = "/v1/nexthops";
    /// `GET`: `Vec<`[`super::LabelRow`]`>`.
    pub const LABELS: &str = "/v1/labels";
    /// `GET`: `Vec<`[`super::NeighborRow`]`>`.
    pub const NEIGHBORS: &str = "/v1/neighbors";
    /// `GET`: `Vec<`[`super::BfdRow`]`>`.
    pub const BFD: &str = "/v1/bfd";
    /// `GET`: `Vec<`[`super::DropRow`]`>`.
    pub const DROPS: &str = "/v1/drops";
    /// `GET`: `Vec<`[`super::WorkerRow`]`>`.
    pub const WORKERS: &str = "/v1/workers";
    /// `GET`: `Vec<`[`super::BgpSummaryRow`]`>`.
    pub const BGP_SUMMARY: &str = "/v1/bgp/summary";
    /// `GET ?family=F&which=received|best|advertised&peer=P`: `Vec<`[`super::BgpRouteRow`]`>`. Default: all families, best, all peers.
    pub const BGP_ROUTES: &str = "/v1/bgp/routes";
    /// `POST ?peer=P`: asks the peer for its routes again (RFC 2918). 200 with an empty object.
    pub const BGP_REFRESH: &str = "/v1/bgp/refresh";
    /// `GET`: the running configuration as TOML text.
    pub const CONFIG: &str = "/v1/config";
    /// `POST`: reads the daemon's own file again. [`super::ConfigReply`].
    pub const CONFIG_RELOAD: &str = "/v1/config/reload";
    /// `POST` [`super::ApplyRequest`]: [`super::ConfigReply`].
    pub const CONFIG_APPLY: &str = "/v1/config/apply";
    /// `POST`, feature `fault-injection` only: panics in one agent task.
    pub const FAULT_PANIC: &str = "/v1/fault/panic";
    /// `GET`: Prometheus text.
    pub const METRICS: &str = "/metrics";
}

/// `vrctl status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Forwarding, every configured port up, last generation acknowledged.
    pub ready: bool,
    /// Last generation that every worker has seen.
    pub generation: u64,
    /// Since the process started.
    pub uptime_seconds: u64,
    /// Of the program.
    pub version: String,
    /// What an operator should look at, one sentence each; why it is not ready comes first.
    pub warnings: Vec<String>,
    /// Name of the router.
    pub name: String,
}

/// `vrctl port list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// As configured.
    pub name: String,
    /// As configured.
    pub role: PortRole,
    /// As configured.
    pub device: String,
    /// `up` or `down`.
    pub state: String,
    /// Own MAC.
    pub mac: Mac,
    /// Largest IP packet.
    pub mtu: u16,
    /// As configured.
    pub addresses: Vec<IpNet>,
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Lost by the device: no room in the receive queue (imissed).
    pub missed: u64,
    /// Damaged on arrival.
    pub rx_errors: u64,
    /// Lost by the device: no buffer (rx_nombuf).
    pub no_mbuf: u64,
    /// Not sent by the device.
    pub tx_errors: u64,
}

/// `vrctl interface list`: an instance's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRow {
    /// Of the instance.
    pub name: String,
    /// Gateway port.
    pub port: String,
    /// VLAN on that port.
    pub vlan: VlanId,
    /// VRF.
    pub vrf: String,
    /// Of the instance.
    pub mac: Mac,
    /// Of the instance.
    pub addresses: Vec<IpAddr>,
    /// `up`, or `down` with the reason: `down: port gw0 is down`.
    pub state: String,
    /// Frames from the instance.
    pub rx_packets: u64,
    /// Bytes from the instance.
    pub rx_bytes: u64,
    /// Frames to the instance.
    pub tx_packets: u64,
    /// Bytes to the instance.
    pub tx_bytes: u64,
    /// Slug of the reason to count; only what is not zero.
    pub drops: BTreeMap<String, u64>,
}

/// `vrctl vrf list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrfRow {
    /// As configured.
    pub name: String,
    /// Number in the data plane.
    pub id: u32,
    /// Route distinguisher of our own routes.
    pub rd: String,
    /// Route targets that come in.
    pub import: Vec<String>,
    /// Route targets that our routes carry.
    pub export: Vec<String>,
    /// On-link prefixes.
    pub subnets: Vec<IpNet>,
    /// Routes in its table.
    pub routes: u64,
    /// Instance interfaces.
    pub interfaces: u64,
    /// The label that leads into a lookup here, if one is allocated.
    pub label: Option<u32>,
}

/// `vrctl route list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRow {
    /// Destination.
    pub prefix: IpNet,
    /// Name of the VRF.
    #[serde(default)]
    pub vrf: String,
    /// `tunnel`, `interface`, `receive` (ours) or `discard`.
    pub kind: String,
    /// Address of the far PE, of a tunnel only.
    pub nexthop: Option<IpAddr>,
    /// Of a tunnel only.
    pub encapsulation: Option<Encapsulation>,
    /// Pushed, of a tunnel only.
    pub label: Option<u32>,
    /// Name of the instance interface, of that kind only.
    pub interface: Option<String>,
    /// Where it came from: `instance`, `subnet`, `static`, `bgp` with the peer: `bgp 192.0.2.10`.
    pub source: String,
    /// Generation that put it in.
    pub generation: u64,
    /// Number of its next hop.
    #[serde(default)]
    pub nexthop_id: Option<u32>,
}

/// `vrctl nexthop list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NexthopRow {
    /// Number, as in the leaves of the tables.
    pub id: u32,
    /// `tunnel`, `interface`, `receive` or `discard`.
    pub kind: String,
    /// Address of the far PE, of a tunnel only.
    pub tunnel: Option<Ipv4Addr>,
    /// Of a tunnel only.
    pub encapsulation: Option<Encapsulation>,
    /// Pushed, of a tunnel only.
    pub label: Option<u32>,
    /// Name of the instance interface, of that kind only.
    pub interface: Option<String>,
    /// `up`, `resolving` or `down`.
    pub state: String,
    /// Routes that use it.
    pub references: u64,
}

/// `vrctl label list`: a label that we advertise, or that rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelRow {
    /// 16-1048575.
    pub label: u32,
    /// `interface`, `vrf` or `quarantine`.
    pub kind: String,
    /// Name of the VRF that it leads to, or led to.
    pub vrf: Option<String>,
    /// Name of the instance interface that it leads to, or led to.
    pub interface: Option<String>,
    /// How long it still rests; `null` if in use.
    pub quarantine_seconds: Option<u64>,
}

/// `vrctl neighbor list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborRow {
    /// IP address.
    pub address: IpAddr,
    /// Unknown until it answered; configured if `static`.
    pub mac: Option<Mac>,
    /// Port behind which it is.
    pub port: String,
    /// Name of the instance interface; `null` in the underlay.
    pub interface: Option<String>,
    /// `incomplete`, `reachable`, `stale`, `failed` or `static`.
    pub state: String,
    /// Since it was last confirmed.
    pub age_seconds: u64,
}

/// `vrctl bfd list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdRow {
    /// The other side.
    pub peer: Ipv4Addr,
    /// `admin-down`, `down`, `init` or `up`.
    pub state: String,
    /// Why it last went down, as this side sees it: `detection-time-expired`; `none`.
    pub diagnostic: String,
    /// The same of the other side, as it says.
    pub remote_state: String,
    pub remote_diagnostic: String,
    pub multihop: bool,
    /// Least time between two packets that this side asks for.
    pub interval_milliseconds: u32,
    pub multiplier: u8,
    /// Silence after which the other side is missed; `null` while it was not heard.
    pub detection_milliseconds: Option<u32>,
    /// Since the state last changed.
    pub since_seconds: u64,
    pub received: u64,
    pub sent: u64,
    /// How often it was up and then no more.
    pub flaps: u32,
}

/// `vrctl drop list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    /// Slug: `unknown-vlan`.
    pub reason: String,
    /// Packets over all workers.
    pub count: u64,
    /// What to look at.
    pub hint: String,
}

/// `vrctl worker list`. `rx + handed_in + injected + copies_made = tx + punted + dropped + handed_out + queued`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Counted from 0.
    pub id: u32,
    /// CPU number.
    pub cpu: u32,
    /// Received from ports.
    pub rx: u64,
    /// Received from other workers.
    pub handed_in: u64,
    /// Received from the service thread.
    pub injected: u64,
    /// Made here.
    pub copies_made: u64,
    /// Sent to ports.
    pub tx: u64,
    /// Given to the service thread.
    pub punted: u64,
    /// Ended by a drop reason.
    pub dropped: u64,
    /// Given to other workers.
    pub handed_out: u64,
    /// Inside at the moment of reading.
    pub queued: u64,
    /// Share of the time spent on packets since the last reading, 0-100.
    pub busy_percent: f64,
    /// Who it is, fixed at the start.
    #[serde(flatten)]
    pub plan: WorkerPlan,
    /// Receive bursts that had a packet.
    #[serde(default)]
    pub bursts: u64,
    /// Packets of a burst, on average.
    #[serde(default)]
    pub packets_per_burst: f64,
    /// Bursts from queues of other workers.
    #[serde(default)]
    pub helped_bursts: u64,
    /// Other workers help with its queues now.
    #[serde(default)]
    pub is_helped: bool,
    /// Sleeps for want of packets.
    #[serde(default)]
    pub sleeps: u64,
    /// The longest of them: a packet that came just then waited so long.
    #[serde(default)]
    pub longest_sleep_microseconds: u32,
    /// With `sample-bursts` under `[dataplane]`: where the time of a burst goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timed: Option<WorkerTimes>,
}

/// Part of [`WorkerRow`] that is fixed at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerPlan {
    /// NUMA node of the CPU, if known.
    pub numa_node: Option<u32>,
    /// Why there are as many workers, on these CPUs.
    pub planned: String,
    /// Who serves a queue: `auto`, `on` or `off`, and why.
    pub spread: String,
    /// Receive queues that it owns.
    pub receives: Vec<WorkerQueue>,
    /// How it sends on each port.
    pub sends: Vec<WorkerQueue>,
}

/// A queue of a port as a worker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerQueue {
    /// Name of the port.
    pub port: String,
    /// Number of the queue.
    pub queue: u32,
    /// The worker that owns it, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
}

/// Part of [`WorkerRow`]: timed bursts since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerTimes {
    /// How many.
    pub bursts: u64,
    /// Time that half of them took at most, from before receiving to after sending.
    pub median_nanoseconds: u32,
    /// 99 of 100.
    pub p99_nanoseconds: u32,
    /// 999 of 1000.
    pub p999_nanoseconds: u32,
    /// Where it went.
    pub passes: Vec<WorkerPass>,
}

/// Part of [`WorkerTimes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerPass {
    /// `rx`, the passes of the pipeline, `tx`.
    pub name: String,
    /// Cycles per packet.
    pub cycles: f64,
}

/// `vrctl bgp summary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpSummaryRow {
    /// Address of the peer.
    pub peer: IpAddr,
    /// Its autonomous system.
    pub asn: Asn,
    /// `Idle`, `Connect`, `Active`, `OpenSent`, `OpenConfirm` or `Established` (RFC 4271 section 8).
    pub state: String,
    /// Negotiated.
    pub families: Vec<String>,
    /// Routes in Adj-RIB-In.
    pub received: u64,
    /// Of these, fit to be used.
    pub accepted: u64,
    /// Routes in Adj-RIB-Out.
    pub advertised: u64,
    /// Since the session was established; 0 if it is not.
    pub uptime_seconds: u64,
    /// Why the session ended last.
    pub last_error: Option<String>,
    /// Sessions that ended because the peer took nothing of what was sent to it for the send hold time (RFC 9687).
    #[serde(default)]
    pub send_hold_expired: u64,
    /// What else may keep the session from coming up, such as `ttl-security` or a password; `null` while it is established.
    #[serde(default)]
    pub hint: Option<String>,
}

/// `vrctl bgp route list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpRouteRow {
    /// `ipv4`, `ipv6`, `vpnv4`, `vpnv6`, `evpn`, `rtc`.
    pub family: String,
    /// Destination; of `evpn` type and key, such as `[2]:[0]:[48]:[52:54:00:00:01:07]:[32]:[10.1.0.7]`; of `rtc` the
    /// membership, such as `64512:target:64514:1`.
    pub prefix: String,
    /// Route distinguisher, of VPN families only.
    pub rd: Option<String>,
    /// From whom, or to whom for advertised routes; `null`: our own.
    pub peer: Option<IpAddr>,
    /// BGP next hop.
    pub next_hop: IpAddr,
    /// Label stack, top first; of `evpn` the labels of bridging and routing, or VNIs if the encapsulation is VXLAN.
    pub labels: Vec<u32>,
    /// Ethernet segment beside `evpn` types 2 and 5, ten octets with colons; `null`: none.
    pub esi: Option<String>,
    /// Gateway address of `evpn` type 5; `null`: none.
    pub gateway: Option<IpAddr>,
    /// PMSI tunnel of `evpn` type 3: `ingress-replication 192.0.2.2 5001`, kind, tunnel end, label or VNI.
    pub pmsi: Option<String>,
    /// `target:64514:1`.
    pub route_targets: Vec<String>,
    /// `mplsoudp`, `mplsogre`, or `tunnel-type:N`.
    pub encapsulations: Vec<String>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// `64512 64600 {64700 64701}`.
    pub as_path: String,
    /// `64512:100`.
    pub communities: Vec<String>,
    /// `64512:1:2`.
    pub large_communities: Vec<String>,
    /// All, those above among them.
    pub ext_communities: Vec<String>,
    /// `64512 192.0.2.1`.
    pub aggregator: Option<String>,
    /// Chosen for its key.
    pub best: bool,
    /// Why it is best, or which rule it lost by.
    pub reason: String,
    /// Kept from an earlier session.
    pub stale: bool,
}

/// Body of [`path::CONFIG_APPLY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// Path of a file that the daemon reads.
    pub file: String,
}

/// A configuration was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReply {
    /// One line for each change; empty: the same as before.
    pub changes: Vec<String>,
    /// What these interrupt.
    pub disturbs: Vec<String>,
}

/// Body of every 4xx and 5xx: nothing was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// All that is wrong, one line each.
    pub errors: Vec<String>,
}
