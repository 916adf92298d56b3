//! Tunnels and the neighbours of the underlay that they go through.
//!
//! A tunnel holds the finished outer IP header and names an adjacency; an adjacency holds the finished Ethernet header. When a
//! neighbour, a link or a port goes, only its adjacency is replaced, however many tunnels and routes stand behind it.

use std::net::Ipv4Addr;

use wire::checksum;
use wire::eth::Ethernet;
use wire::ipv4::{self, Ipv4};
use zerocopy::IntoBytes;

use crate::seam::{Encapsulation, PortId};

/// Tunnels that a node can have.
pub const TUNNELS: usize = 1 << 18;
/// Neighbours that the underlay can have.
pub const ADJACENCIES: usize = 1 << 16;

/// A neighbour of the underlay, numbered by the writer's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdjacencyId(pub u32);

impl AdjacencyId {
    /// As an index into the table of these.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A resolved neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Adjacency {
    /// Port that it is behind.
    pub port: PortId,
    /// Largest outer IP packet of that port, in bytes.
    pub mtu: u16,
    /// Header of every frame to it.
    pub header: Ethernet,
}

/// A tunnel to another PE.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// How packets travel.
    pub encapsulation: Encapsulation,
    /// Bytes that it adds to an IPv4 packet, Ethernet not counted.
    pub overhead: u16,
    /// Neighbour that it goes through; `None` if there is no way to its remote end.
    pub adjacency: Option<AdjacencyId>,
    /// Outer IPv4 header with length, id and checksum zero.
    pub header: Ipv4,
    /// Sum of that header.
    pub sum: u32,
}

impl Tunnel {
    pub(super) fn new(
        local: Ipv4Addr,
        remote: Ipv4Addr,
        encapsulation: Encapsulation,
        adjacency: Option<AdjacencyId>,
    ) -> Tunnel {
        let protocol = match encapsulation {
            Encapsulation::MplsOverUdp => ipv4::UDP,
            Encapsulation::MplsOverGre => ipv4::GRE,
        };
        let header = Ipv4::new(local, remote, protocol, 0);
        let sum = checksum::sum(header.as_bytes());
        let overhead = encapsulation.overhead();
        Tunnel { encapsulation, overhead, adjacency, header, sum }
    }
}
