//! Tunnels and the neighbours of the underlay that they go through.
//!
//! A tunnel holds the finished outer headers and names an adjacency; an adjacency holds the finished Ethernet header. When a
//! neighbour, a link or a port goes, only its adjacency is replaced, however many tunnels and routes stand behind it.

use std::net::Ipv4Addr;

use wire::checksum;
use wire::eth::{self, Ethernet};
use wire::gre::Gre;
use wire::ipv4::{self, Ipv4};
use wire::udp::{self, Udp};
use zerocopy::{IntoBytes, transmute};

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
    /// Header of every frame to it, and two bytes of anything: 16 are written at once.
    pub header: [u8; Ethernet::LEN + 2],
}

impl Adjacency {
    pub(super) fn new(port: PortId, mtu: u16, header: Ethernet) -> Adjacency {
        let mut padded = [0; Ethernet::LEN + 2];
        padded[..Ethernet::LEN].copy_from_slice(header.as_bytes());
        Adjacency { port, mtu, header: padded }
    }
}

/// A tunnel to another PE, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Tunnel {
    /// How packets travel.
    pub encapsulation: Encapsulation,
    /// Bytes that it adds to an IPv4 packet, Ethernet not counted.
    pub overhead: u16,
    /// Neighbour that it goes through; `None` if there is no way to its remote end.
    pub adjacency: Option<AdjacencyId>,
    /// Outer IPv4 header with length, id and checksum zero, then UDP with source and length zero, or GRE and nothing.
    pub head: [u8; Tunnel::HEAD],
    /// Sum of the IPv4 header.
    pub sum: u32,
}

const _: () = assert!(size_of::<Tunnel>() == 64);

impl Tunnel {
    /// Bytes of `head`.
    pub const HEAD: usize = Ipv4::LEN + Udp::LEN;

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
        let middle: [u8; Udp::LEN] = match encapsulation {
            Encapsulation::MplsOverUdp => {
                let mut udp = Udp::new(0, udp::MPLS, 0);
                udp.set_length(0);
                transmute!(udp)
            }
            Encapsulation::MplsOverGre => transmute!([Gre::new(eth::MPLS), Gre::new(0)]),
        };
        let mut head = [0; Tunnel::HEAD];
        head[..Ipv4::LEN].copy_from_slice(header.as_bytes());
        head[Ipv4::LEN..].copy_from_slice(&middle);
        let overhead = encapsulation.overhead();
        Tunnel { encapsulation, overhead, adjacency, head, sum }
    }
}
