//! The configuration as the rest of the program sees it: complete, typed, defaults filled in.
//!
//! The TOML keys are the field names in kebab-case; tables that repeat have the singular name of their kind
//! (`[[port]]`, `[[vrf]]`, `[[bgp.peer]]`). [`crate::load`] is the way in; the serde derives serve the way out and other formats.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use bgp::types::{Asn, Family, Password, RouteTarget};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use wire::{Label, Mac, VlanId};

use crate::defaults;

/// The whole configuration of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The node itself.
    pub router: Router,
    /// The operator's socket.
    #[serde(default)]
    pub api: Api,
    /// How the data plane runs on this machine.
    #[serde(default)]
    pub dataplane: Dataplane,
    /// `[[port]]`, in the order of the file: that order numbers them.
    #[serde(default, rename = "port", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// `[[static-route]]`: routes of the underlay (the master instance).
    #[serde(default, rename = "static-route", skip_serializing_if = "Vec::is_empty")]
    pub static_routes: Vec<StaticRoute>,
    /// `[[static-neighbor]]`: neighbours of the underlay that are not asked for their MAC.
    #[serde(default, rename = "static-neighbor", skip_serializing_if = "Vec::is_empty")]
    pub static_neighbors: Vec<StaticNeighbor>,
    /// `[[bfd]]`: routers of the underlay that are watched.
    #[serde(default, rename = "bfd", skip_serializing_if = "Vec::is_empty")]
    pub bfd: Vec<Bfd>,
    /// `[[vrf]]`.
    #[serde(default, rename = "vrf", skip_serializing_if = "Vec::is_empty")]
    pub vrfs: Vec<Vrf>,
    /// `[[instance]]`: remote instances, one VLAN of a gateway port each.
    #[serde(default, rename = "instance", skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// `[bgp]`; without it the node speaks no BGP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp: Option<Bgp>,
}

/// `[router]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Router {
    /// Name of the node. Default: the host name.
    pub name: String,
    /// BGP identifier, and the first half of every route distinguisher.
    pub router_id: Ipv4Addr,
    /// Own autonomous system.
    pub asn: Asn,
    /// Where our tunnels start and end, and the next hop that we advertise. Default: `router-id`.
    pub tunnel_address: Ipv4Addr,
    /// Order of preference among what a route offers. Own routes always offer both. Default: `["mplsoudp", "mplsogre"]`.
    pub encapsulations: Vec<Encapsulation>,
    /// Tunnel packets from these prefixes are accepted beside those from the tunnel ends learnt by BGP. Default: none.
    pub tunnel_sources: Vec<Ipv4Net>,
    /// Seconds that a freed label rests before it may name something else, 0-86400. Default: 300.
    pub label_quarantine: u32,
    /// Where labels and route distinguisher indexes are kept over a restart. Default: `/var/lib/vrouter/<name>.json`.
    pub state_file: PathBuf,
}

/// How a packet travels to another PE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Encapsulation {
    /// RFC 7510. 32 bytes.
    #[serde(rename = "mplsoudp")]
    MplsOverUdp,
    /// RFC 4023. 28 bytes.
    #[serde(rename = "mplsogre")]
    MplsOverGre,
}

impl Encapsulation {
    /// All, in the default order of preference.
    pub const ALL: [Encapsulation; 2] = [Encapsulation::MplsOverUdp, Encapsulation::MplsOverGre];

    /// The word in configuration, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encapsulation::MplsOverUdp => "mplsoudp",
            Encapsulation::MplsOverGre => "mplsogre",
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is none of the words of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown word")]
pub struct UnknownWord;

impl FromStr for Encapsulation {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Encapsulation::ALL.into_iter().find(|e| e.as_str() == text).ok_or(UnknownWord)
    }
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Api {
    /// Unix socket of the API. Default: `/run/vrouter/api.sock`.
    pub socket: PathBuf,
}

impl Default for Api {
    fn default() -> Self {
        Api { socket: defaults::SOCKET.into() }
    }
}

/// `[dataplane]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Dataplane {
    /// CPU numbers, one worker on each. Empty (default): planned from the machine.
    pub workers: Vec<u16>,
    /// Further arguments for the EAL, in their order. Default: none.
    pub eal: Vec<String>,
    /// Longest sleep of a worker that finds nothing to do, 0-1000000; 0 polls always. It sleeps an eighth of the time since its
    /// last packet, up to this. Default: 500.
    pub idle_sleep_microseconds: u32,
    /// Time without a packet before a worker sleeps at all, 0-1000000. Default: 100.
    pub idle_after_microseconds: u32,
    /// Packets that a worker takes from a queue at once, 1-64. Default: 64.
    pub burst: u16,
    /// Descriptors of each queue, 64-32768; a device may round. Default: 1024.
    pub descriptors: u16,
    /// Whether workers share the queues of ports. Default: auto.
    pub spread: Spread,
    /// Every how many-th burst of a worker is timed, 0-1000000; 0 (default): none.
    pub sample_bursts: u32,
    /// Buffers of the pool. Default: computed from ports, queues and rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbufs: Option<u32>,
}

impl Default for Dataplane {
    fn default() -> Self {
        Dataplane {
            workers: Vec::new(),
            eal: Vec::new(),
            idle_sleep_microseconds: defaults::IDLE_SLEEP_MICROSECONDS,
            idle_after_microseconds: defaults::IDLE_AFTER_MICROSECONDS,
            burst: defaults::BURST,
            descriptors: defaults::DESCRIPTORS,
            spread: Spread::Auto,
            sample_bursts: 0,
            mbufs: None,
        }
    }
}

/// Whether workers share the queues of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// A worker that has time helps one that has none.
    #[default]
    Auto,
    /// Every worker serves every queue.
    On,
    /// Each queue is served by one worker, which hands over what another has to send.
    Off,
}

impl Spread {
    /// All of them.
    pub const ALL: [Spread; 3] = [Spread::Auto, Spread::On, Spread::Off];

    /// The word in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Spread::Auto => "auto",
            Spread::On => "on",
            Spread::Off => "off",
        }
    }
}

impl FromStr for Spread {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Spread::ALL.into_iter().find(|s| s.as_str() == text).ok_or(UnknownWord)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `[[port]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Port {
    /// Name, unique among the ports.
    pub name: String,
    /// What the port leads to.
    pub role: PortRole,
    /// PCI address `0000:3b:00.0`, virtual device `vdev:net_af_packet0,iface=eth1`, or `env:PCIDEVICE_...`.
    pub device: String,
    /// Own addresses with their on-link prefixes; fabric ports only. Default: none.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Largest IP packet in bytes, 576-9216. Default: 1500.
    #[serde(default = "defaults::mtu")]
    pub mtu: u16,
    /// Asks the device to take VLAN tags out of received frames. Default: false.
    #[serde(default)]
    pub vlan_strip: bool,
}

/// What a port leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortRole {
    /// The underlay: other PEs.
    Fabric,
    /// Remote instances behind VLANs.
    Gateway,
}

impl PortRole {
    /// All roles.
    pub const ALL: [PortRole; 2] = [PortRole::Fabric, PortRole::Gateway];

    /// The word in configuration, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            PortRole::Fabric => "fabric",
            PortRole::Gateway => "gateway",
        }
    }
}

impl fmt::Display for PortRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PortRole {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        PortRole::ALL.into_iter().find(|r| r.as_str() == text).ok_or(UnknownWord)
    }
}

/// `[[static-route]]`: a route of the underlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StaticRoute {
    /// Destination.
    pub prefix: Ipv4Net,
    /// Next hop, on-link on a fabric port.
    pub via: Ipv4Addr,
}

/// `[[static-neighbor]]`: a neighbour whose MAC is configured. It is never asked for it, and not believed another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StaticNeighbor {
    /// Name of a fabric port.
    pub port: String,
    /// On the link of that port.
    pub address: Ipv4Addr,
    /// Where frames to it go.
    pub mac: Mac,
}

/// `[[bfd]]`: a BFD session (RFC 5880) through a fabric port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bfd {
    /// The other side.
    pub address: Ipv4Addr,
    /// Least time between two packets, sent or received; 10-60000.
    #[serde(default = "defaults::bfd_interval")]
    pub interval_milliseconds: u32,
    /// Packets in a row that may be lost, 1-255.
    #[serde(default = "defaults::bfd_multiplier")]
    pub multiplier: u8,
    /// Over several hops (RFC 5883); else the other side is on the link of a fabric port (RFC 5881).
    #[serde(default)]
    pub multihop: bool,
}

/// `[[vrf]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vrf {
    /// Name, unique among the VRFs.
    pub name: String,
    /// Imported and exported.
    #[serde(default)]
    pub route_targets: Vec<RouteTarget>,
    /// Imported only.
    #[serde(default)]
    pub import: Vec<RouteTarget>,
    /// Exported only.
    #[serde(default)]
    pub export: Vec<RouteTarget>,
    /// Subnets of the instances, each with the gateway address that we answer for.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// Routes through a tunnel, without BGP.
    #[serde(default)]
    pub static_routes: Vec<VrfStaticRoute>,
}

impl Vrf {
    /// Route targets that a route must carry one of to come in: `route-targets` and `import`.
    pub fn import_targets(&self) -> BTreeSet<RouteTarget> {
        self.route_targets.iter().chain(&self.import).copied().collect()
    }

    /// Route targets that our routes carry: `route-targets` and `export`.
    pub fn export_targets(&self) -> BTreeSet<RouteTarget> {
        self.route_targets.iter().chain(&self.export).copied().collect()
    }
}

/// A subnet of a VRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subnet {
    /// On-link for the instances.
    pub prefix: Ipv4Net,
    /// The address in it that is ours.
    pub gateway: Ipv4Addr,
}

/// A route of a VRF to another PE, without BGP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VrfStaticRoute {
    /// Destination.
    pub prefix: Ipv4Net,
    /// Tunnel address of the far PE.
    pub tunnel: Ipv4Addr,
    /// Label that the far PE expects, 16-1048575.
    pub label: Label,
    /// Default: the first of the router's `encapsulations`.
    pub encapsulation: Encapsulation,
}

/// `[[instance]]`: a machine outside the cluster, one VLAN of a gateway port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instance {
    /// Name, unique among the instances.
    pub name: String,
    /// Name of its VRF.
    pub vrf: String,
    /// Name of its gateway port.
    pub port: String,
    /// VLAN on that port, 1-4094; one instance each.
    pub vlan: VlanId,
    /// The only source MAC that it may use.
    pub mac: Mac,
    /// The only source addresses that it may use, at least one; IPv4.
    pub addresses: Vec<IpAddr>,
}

/// `[bgp]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bgp {
    /// Where connections of peers are accepted. Default: `0.0.0.0:179`. `"none"` in the file: nowhere.
    #[serde(default = "defaults::listen", with = "crate::defaults::listen_text")]
    pub listen: Option<SocketAddr>,
    /// `[[bgp.peer]]`.
    #[serde(default, rename = "peer", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<BgpPeer>,
}

/// `[[bgp.peer]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BgpPeer {
    /// Address of the peer, unique among the peers.
    pub address: IpAddr,
    /// Its autonomous system: our own for iBGP.
    pub asn: Asn,
    /// Address families to negotiate: `ipv4`, `ipv6`, `vpnv4`, `vpnv6`, `evpn`, `rtc` (the peer sends only the VPN routes that VRFs import).
    /// Default: `["vpnv4"]`.
    #[serde(default = "defaults::families")]
    pub families: Vec<Family>,
    /// Waits for the peer to connect. Default: false.
    #[serde(default)]
    pub passive: bool,
    /// TCP port of the peer. Default: 179.
    #[serde(default = "defaults::bgp_port")]
    pub port: u16,
    /// Own address of the session. Default: chosen by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_address: Option<IpAddr>,
    /// An eBGP peer that is not on-link. Default: false.
    #[serde(default)]
    pub multihop: bool,
    /// Hops that the peer may be away at most, 1-254 (GTSM, RFC 5082): we send with TTL 255, and what comes with a TTL below
    /// 256 less these hops is not heard. The peer needs the same. Not together with `multihop`. Default: any TTL is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_security: Option<u8>,
    /// TCP-MD5 (RFC 2385), 1-80 octets: the peer needs the same. It is shown nowhere: `<set>` stands for it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Seconds, 0 (never expires) or 3-65535. Default: 90.
    #[serde(default = "defaults::hold_time")]
    pub hold_time: u16,
    /// Seconds that the peer may take nothing of what is sent to it before its session is closed (RFC 9687): 0 (for ever)
    /// or more than `hold-time`, up to 131070. Default: 480, or twice the negotiated hold time if that is more. With hold
    /// time 0 it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_hold_time: Option<u32>,
}
