//! Instance interfaces: one (port, VLAN) each.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::eth::{self, LinkKey, TaggedEthernet};
use wire::{Mac, VlanId};

use crate::prefetch::prefetch;
use crate::seam::{PortId, VrfId};

/// Interfaces that a node can have.
pub const VIFS: usize = 1 << 16;

/// An interface, as the packet path needs it: one cache line for IPv4, a second one for IPv6.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Vif {
    /// How an ordinary frame from the instance begins; like none while it may not carry traffic.
    pub link: LinkKey,
    /// The first of `addresses` in host order, nearly always the one; 0 if there is none.
    pub address: u32,
    /// IPv4 addresses that the instance may use as source.
    pub addresses: Box<[Ipv4Addr]>,
    /// Header of every IPv4 frame towards the instance.
    pub header: TaggedEthernet,
    /// Largest IP packet of the port, in bytes.
    pub mtu: u16,
    /// VRF that it belongs to.
    pub vrf: VrfId,
    /// Port that it is behind.
    pub port: PortId,
    /// Whether it may carry traffic.
    pub up: bool,
    /// The first of `addresses6` in host order; 0 if there is none.
    pub address6: u128,
    /// IPv6 addresses that the instance may use as source.
    pub addresses6: Box<[Ipv6Addr]>,
    /// Header of every IPv6 frame towards the instance.
    pub header6: TaggedEthernet,
    /// Its VLAN on that port: who sends reads it in the headers.
    pub vlan: VlanId,
}

// What IPv4 needs is in the first line.
const _: () = assert!(size_of::<Vif>() == 128 && std::mem::offset_of!(Vif, address6) == 64);

impl Vif {
    /// MAC of the instance.
    pub const fn mac(&self) -> Mac {
        self.header.destination
    }

    pub(super) fn set_up(&mut self, up: bool) {
        let ordinary = LinkKey::new(Mac::GATEWAY, self.mac(), self.vlan);
        self.link = if up { ordinary } else { LinkKey::NONE };
        self.up = up;
    }

    /// Whether `source`, in host order and no martian, is an address of the instance.
    #[inline]
    pub fn owns(&self, source: u32) -> bool {
        self.address == source || self.addresses.contains(&source.into())
    }

    /// The same for IPv6.
    #[inline]
    pub fn owns6(&self, source: u128) -> bool {
        self.address6 == source || self.addresses6.contains(&source.into())
    }

    /// Asks for the line that IPv6 needs.
    #[inline(always)]
    pub fn prefetch6(&self) {
        prefetch(&self.address6);
    }

    pub(super) fn set_addresses(&mut self, addresses: Box<[Ipv4Addr]>) {
        self.address = addresses.first().map_or(0, |address| address.to_bits());
        self.addresses = addresses;
    }

    pub(super) fn set_addresses6(&mut self, addresses: Box<[Ipv6Addr]>) {
        self.address6 = addresses.first().map_or(0, |address| address.to_bits());
        self.addresses6 = addresses;
    }

    pub(super) fn header(mac: Mac, vlan: VlanId) -> TaggedEthernet {
        TaggedEthernet::new(mac, Mac::GATEWAY, vlan, eth::IPV4)
    }

    pub(super) fn header6(mac: Mac, vlan: VlanId) -> TaggedEthernet {
        TaggedEthernet::new(mac, Mac::GATEWAY, vlan, eth::IPV6)
    }
}
