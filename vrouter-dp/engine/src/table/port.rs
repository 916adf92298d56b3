//! Ports: what they are, whether they forward, and which interface each VLAN is.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use wire::{Mac, VlanId};

use crate::chunks;
use crate::publish::{Domain, Reader, Slots};
use crate::seam::{PortId, VifId};

/// Ports that a node can have.
pub const PORTS: usize = 256;
const VLANS: usize = 4096;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRole {
    /// Underlay: tunnels to other PEs.
    Fabric,
    /// Remote instances, one VLAN each.
    Gateway,
}

/// Spanning tree state of a port. A port starts as `Forwarding`: whoever runs a spanning tree blocks it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PortState {
    /// Neither forwards nor learns.
    Discarding = 0,
    /// Does not forward yet.
    Learning = 1,
    /// Forwards.
    Forwarding = 2,
}

/// A port, as the packet path needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// What it is for.
    pub role: PortRole,
    /// Its own MAC.
    pub mac: Mac,
    /// Largest IP packet that it carries, in bytes.
    pub mtu: u16,
}

/// The interfaces of one port, by VLAN.
#[derive(Clone, Copy, Debug)]
pub struct PortVifs<'a>(&'a [AtomicU32; VLANS]);

/// Those of no port.
static NOWHERE: [AtomicU32; VLANS] = [const { AtomicU32::new(0) }; VLANS];

impl PortVifs<'_> {
    /// Index of the interface of a VLAN, by the 12 bits of its id; beyond all interfaces if there is none, as for 0, a priority
    /// tag, and 4095.
    #[inline(always)]
    pub fn index(self, vlan: u16) -> usize {
        !self.0[usize::from(vlan) % VLANS].load(Ordering::Acquire) as usize
    }

    /// The interface of a VLAN.
    #[inline]
    pub fn vif(self, vlan: u16) -> Option<VifId> {
        u16::try_from(self.index(vlan)).ok().map(VifId)
    }
}

/// All ports.
#[derive(Debug)]
pub struct PortTable {
    rows: Slots<Port>,
    states: Box<[AtomicU8; PORTS]>,
    /// (port, VLAN) -> interface, all its bits inverted: 0 is none.
    vlans: Box<[AtomicU32]>,
}

impl PortTable {
    pub(super) fn new(domain: &std::sync::Arc<Domain>) -> PortTable {
        let forwarding = || AtomicU8::new(PortState::Forwarding as u8);
        PortTable {
            rows: Slots::new(domain, PORTS),
            states: Box::new(std::array::from_fn(|_| forwarding())),
            vlans: chunks::zeroed(PORTS * VLANS),
        }
    }

    /// The port.
    #[inline]
    pub fn port<'r>(&'r self, port: PortId, reader: &'r Reader) -> Option<&'r Port> {
        self.rows.load(port.index(), reader)
    }

    /// Whether data may pass the port.
    #[inline]
    pub fn forwards(&self, port: PortId) -> bool {
        self.states[port.index()].load(Ordering::Relaxed) == PortState::Forwarding as u8
    }

    /// The interface of (port, VLAN).
    #[inline]
    pub fn vif(&self, port: PortId, vlan: VlanId) -> Option<VifId> {
        self.vifs(port).vif(vlan.value())
    }

    /// The interfaces of a port by VLAN.
    #[inline]
    pub fn vifs(&self, port: PortId) -> PortVifs<'_> {
        let start = port.index() * VLANS;
        let cells = self.vlans.get(start..).and_then(|cells| cells.first_chunk());
        PortVifs(cells.unwrap_or(&NOWHERE))
    }

    pub(super) fn set(&self, port: PortId, row: Port) {
        self.rows.set(port.index(), Some(row));
    }

    pub(super) fn set_state(&self, port: PortId, state: PortState) {
        self.states[port.index()].store(state as u8, Ordering::Release);
    }

    pub(super) fn set_vif(&self, port: PortId, vlan: VlanId, vif: Option<VifId>) {
        if let Some(cell) = self.vlans.get(port.index() * VLANS + vlan.index()) {
            cell.store(vif.map_or(0, |vif| !u32::from(vif.0)), Ordering::Release);
        }
    }

    pub(super) fn reclaim(&self) -> usize {
        self.rows.reclaim()
    }
}
