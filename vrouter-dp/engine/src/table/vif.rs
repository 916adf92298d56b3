//! Instance interfaces: one (port, VLAN) each.

use std::net::Ipv4Addr;

use wire::eth::{self, MacPair, TaggedEthernet};
use wire::{Mac, VlanId};

use crate::seam::{PortId, VrfId};

/// Interfaces that a node can have.
pub const VIFS: usize = 1 << 16;

/// An interface, as the packet path needs it: one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Vif {
    /// Port that it is behind.
    pub port: PortId,
    /// Its VLAN on that port.
    pub vlan: VlanId,
    /// VRF that it belongs to.
    pub vrf: VrfId,
    /// The MACs of an ordinary frame from the instance: the gateway's and its own.
    pub macs: MacPair,
    /// MAC of the instance.
    pub mac: Mac,
    /// Whether it may carry traffic.
    pub up: bool,
    /// Largest IP packet of the port, in bytes.
    pub mtu: u16,
    /// The first of `addresses` in host order, nearly always the one; 0 if there is none.
    pub address: u32,
    /// Addresses that the instance may use as source.
    pub addresses: Box<[Ipv4Addr]>,
    /// Header of every IPv4 frame towards the instance.
    pub header: TaggedEthernet,
}

const _: () = assert!(size_of::<Vif>() == 64);

impl Vif {
    /// Whether `source`, in host order and no martian, is an address of the instance.
    #[inline]
    pub fn owns(&self, source: u32) -> bool {
        self.address == source || self.addresses.contains(&source.into())
    }

    pub(super) fn set_addresses(&mut self, addresses: Box<[Ipv4Addr]>) {
        self.address = addresses.first().map_or(0, |address| address.to_bits());
        self.addresses = addresses;
    }

    pub(super) fn header(mac: Mac, vlan: VlanId) -> TaggedEthernet {
        TaggedEthernet::new(mac, Mac::GATEWAY, vlan, eth::IPV4)
    }
}
