//! Instance interfaces: one (port, VLAN) each.

use std::net::Ipv4Addr;

use wire::eth::{self, TaggedEthernet};
use wire::{Mac, VlanId};

use crate::seam::{PortId, VrfId};

/// Interfaces that a node can have.
pub const VIFS: usize = 1 << 16;

/// An interface, as the packet path needs it.
#[derive(Clone, Debug)]
pub struct Vif {
    /// Port that it is behind.
    pub port: PortId,
    /// Its VLAN on that port.
    pub vlan: VlanId,
    /// VRF that it belongs to.
    pub vrf: VrfId,
    /// MAC of the instance.
    pub mac: Mac,
    /// Whether it may carry traffic.
    pub up: bool,
    /// Largest IP packet of the port, in bytes.
    pub mtu: u16,
    /// Addresses that the instance may use as source.
    pub addresses: Box<[Ipv4Addr]>,
    /// Header of every IPv4 frame towards the instance.
    pub header: TaggedEthernet,
}

impl Vif {
    pub(super) fn header(mac: Mac, vlan: VlanId) -> TaggedEthernet {
        TaggedEthernet::new(mac, Mac::GATEWAY, vlan, eth::IPV4)
    }
}
