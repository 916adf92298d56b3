//! What holds where the file says nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bgp::types::Family;

/// Socket of the API.
pub const SOCKET: &str = "/run/vrouter/api.sock";
/// Longest pause of an idle worker.
pub const IDLE_SLEEP_MICROSECONDS: u32 = 500;
/// Time without a packet before a worker pauses.
pub const IDLE_AFTER_MICROSECONDS: u32 = 100;
/// Packets that a worker takes from a queue at once.
pub const BURST: u16 = 64;
/// Descriptors of a queue.
pub const DESCRIPTORS: u16 = 1024;
/// Seconds that a freed label rests.
pub const LABEL_QUARANTINE: u32 = 300;

/// Largest IP packet of a port.
pub const fn mtu() -> u16 {
    1500
}

/// Where BGP listens.
pub const fn listen() -> Option<SocketAddr> {
    Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), bgp_port()))
}

/// TCP port of BGP (RFC 4271 section 4).
pub const fn bgp_port() -> u16 {
    179
}

/// Hold time in seconds (RFC 4271 section 10).
pub const fn hold_time() -> u16 {
    90
}

/// Milliseconds between two BFD packets.
pub const fn bfd_interval() -> u32 {
    300
}

/// BFD packets that may be lost.
pub const fn bfd_multiplier() -> u8 {
    3
}

/// Address families of a peer.
pub fn families() -> Vec<Family> {
    vec![Family::Vpnv4]
}

/// Where the identities of the router `name` are kept over a restart.
pub fn state_file(name: &str) -> PathBuf {
    format!("/var/lib/vrouter/{name}.json").into()
}

/// `listen` as text: an address and port, or `"none"`.
pub(crate) mod listen_text {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) const NONE: &str = "none";

    pub(crate) fn serialize<S: Serializer>(
        v: &Option<SocketAddr>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match v {
            Some(address) => s.collect_str(address),
            None => s.serialize_str(NONE),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(d)?;
        if text == NONE { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}
