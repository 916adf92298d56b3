//! Tunnels and the neighbours of the underlay that they go through.
//!
//! A tunnel holds the finished outer IP header and names an adjacency; an adjacency holds the finished Ethernet header. When a
//! neighbour, a link or a port goes, only its adjacency is replaced, however many tunnels and routes stand behind it.

use std::net::Ipv4Addr;

use wire::eth::Ethernet;
use wire::gre::Gre;
use wire::ipv4::{self, Ipv4};
use wire::udp::{self, Udp};
use wire::{checksum, eth};
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

/// Longest outer header behind Ethernet: IPv4 and UDP.
pub const OUTER: usize = Ipv4::LEN + Udp::LEN;

/// A tunnel to another PE.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// How packets travel.
    pub encapsulation: Encapsulation,
    /// Neighbour that it goes through; `None` if there is no way to its remote end.
    pub adjacency: Option<AdjacencyId>,
    /// IPv4 and UDP or GRE, with length, id, checksum and source port zero; the first [`Tunnel::outer_len`] bytes count.
    pub header: [u8; OUTER],
    /// Sum of that IPv4 header.
    pub sum: u32,
}

impl Tunnel {
    pub(super) fn new(
        local: Ipv4Addr,
        remote: Ipv4Addr,
        encapsulation: Encapsulation,
        adjacency: Option<AdjacencyId>,
    ) -> Tunnel {
        let mut header = [0; OUTER];
        let (protocol, middle) = header.split_at_mut(Ipv4::LEN);
        let ip = match encapsulation {
            Encapsulation::MplsOverUdp => {
                middle.copy_from_slice(Udp::new(0, udp::MPLS, 0).as_bytes());
                Ipv4::new(local, remote, ipv4::UDP, 0)
            }
            Encapsulation::MplsOverGre => {
                middle[..Gre::LEN].copy_from_slice(Gre::new(eth::MPLS).as_bytes());
                Ipv4::new(local, remote, ipv4::GRE, 0)
            }
        };
        protocol.copy_from_slice(ip.as_bytes());
        Tunnel { encapsulation, adjacency, header, sum: checksum::sum(ip.as_bytes()) }
    }

    /// Bytes of the outer header behind Ethernet, the label not counted.
    #[inline]
    pub const fn outer_len(&self) -> usize {
        match self.encapsulation {
            Encapsulation::MplsOverUdp => Ipv4::LEN + Udp::LEN,
            Encapsulation::MplsOverGre => Ipv4::LEN + Gre::LEN,
        }
    }
}
