//! The frames of a run, before and after the node: what is sent in, and what an oracle that knows nothing of the product says
//! must come out. Headers are written byte by byte here, with a checksum of their own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use engine::drops::Drop;
use ipnet::IpNet;
use wire::{Label, Mac};

use crate::options::{Encap, Family, Mode, Options};
use crate::world::{self, Flow, LOCAL, World};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [u8; 2] = [0x81, 0x00];
const UDP: u8 = 17;
const GRE: u8 = 47;
/// The gateway's MAC that all instances know (VRRP group 0).
const GATEWAY_MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 0]);
/// UDP port of MPLS (RFC 7510).
const MPLS_PORT: u16 = 6635;
/// TTL or hop limit of every inner packet, and of the label around it.
const TTL: u8 = 64;

/// Where a frame comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// VLAN-tagged, from an instance.
    Gateway,
    /// In a tunnel, from a PE.
    Fabric,
}

/// A frame and what must become of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub frame: Vec<u8>,
    pub expect: Expect,
}

/// What must become of a frame.
#[derive(Clone, Debug)]
pub enum Expect {
    /// It comes out like this; fields that the node may choose ([`Free`]) are zero.
    Out { frame: Vec<u8>, free: Free, flow: u32 },
    /// It is dropped for this reason.
    Drop(Drop),
}

/// What the node may choose in a frame that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// Nothing.
    Nothing,
    /// The id of the outer header.
    Id,
    /// The id of the outer header, and the UDP source port within 49152 to 65535, the same for all packets of a flow.
    IdAndPort,
}

/// Makes frames of a world.
pub struct Maker<'w> {
    world: &'w World,
    fabric_mac: Mac,
}

impl<'w> Maker<'w> {
    /// `fabric_mac` is that of the fabric port.
    pub fn new(world: &'w World, fabric_mac: Mac) -> Maker<'w> {
        Maker { world, fabric_mac }
    }

    /// The frame of a flow as it comes in.
    pub fn incoming(&self, side: Side, flow: &Flow) -> Vec<u8> {
        match side {
            Side::Gateway => {
                let mac = world::instance_mac(flow.instance);
                self.tagged(GATEWAY_MAC, mac, flow.instance, &self.packet(flow, side, TTL))
            }
            Side::Fabric => {
                let packet = self.packet(flow, side, TTL);
                let vrf = self.world.vrf_of(flow.instance);
                let route = self.world.routes[flow.route as usize];
                let pe = world::pe_address(self.world.pe(vrf, route.site));
                let mac = self.world.spine_mac(self.world.pe(vrf, route.site));
                let entropy = 0xc000 | (flow.number.wrapping_mul(0x9e37_79b1) >> 18) as u16;
                let tunnel = self.tunnel(pe, LOCAL, world::local_label(vrf), entropy, TTL, &packet);
                ethernet(self.fabric_mac, mac, IPV4, &tunnel)
            }
        }
    }

    /// What must come out for [`Maker::incoming`]. `longest` finds the route of an address.
    pub fn outgoing(&self, side: Side, flow: &Flow, longest: &Longest) -> Expect {
        let packet = self.packet(flow, side, TTL - 1);
        let number = flow.number;
        if side == Side::Fabric || self.world.shape.mode == Mode::Local {
            let to =
                if side == Side::Fabric { flow.instance } else { self.world.other(flow.instance) };
            let frame = self.tagged(world::instance_mac(to), GATEWAY_MAC, to, &packet);
            return Expect::Out { frame, free: Free::Nothing, flow: number };
        }
        let vrf = self.world.vrf_of(flow.instance);
        let Some(site) = longest.site(vrf, flow.remote) else { return Expect::Drop(Drop::NoRoute) };
        let pe = self.world.pe(vrf, site);
        let label = self.world.remote_label(vrf, site);
        let mut tunnel = self.tunnel(LOCAL, world::pe_address(pe), label, 0, TTL - 1, &packet);
        // Id and checksum are filled in when the id is known.
        tunnel[10..12].fill(0);
        let free = match self.world.shape.encap {
            Encap::Udp => Free::IdAndPort,
            Encap::Gre => Free::Id,
        };
        let frame = ethernet(self.world.spine_mac(pe), self.fabric_mac, IPV4, &tunnel);
        Expect::Out { frame, free, flow: number }
    }

    /// Frames that must be dropped, each for a reason of its own.
    pub fn spoiled(&self, side: Side, flow: &Flow) -> Vec<Case> {
        let good = self.incoming(side, flow);
        let case = |expect, spoil: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = good.clone();
            spoil(&mut frame);
            Case { frame, expect: Expect::Drop(expect) }
        };
        // Where the inner packet begins.
        let at = match (side, self.world.shape.encap) {
            (Side::Gateway, _) => 18,
            (Side::Fabric, Encap::Udp) => 14 + 20 + 8 + 4,
            (Side::Fabric, Encap::Gre) => 14 + 20 + 4 + 4,
        };
        let v4 = self.world.shape.family == Family::V4;
        let mut cases = vec![case(Drop::TtlExceeded, &|frame| {
            if v4 {
                frame[at + 8] = 1;
                fill_checksum(&mut frame[at..at + 20]);
            } else {
                frame[at + 7] = 1;
            }
        })];
        if v4 {
            cases.push(case(Drop::InnerChecksum, &|frame| frame[at + 10] ^= 0x40));
        }
        match side {
            Side::Gateway => {
                cases.push(case(Drop::SpoofedAddress, &|frame| {
                    if v4 {
                        frame[at + 15] ^= 0x80;
                        fill_checksum(&mut frame[at..at + 20]);
                    } else {
                        frame[at + 23] ^= 0x80;
                    }
                }));
                cases.push(case(Drop::UnknownSourceMac, &|frame| frame[11] ^= 0x80));
                cases.push(case(Drop::Untagged, &|frame| {
                    frame.drain(12..16);
                }));
            }
            Side::Fabric => {
                cases.push(case(Drop::TunnelSource, &|frame| {
                    frame[26..30].copy_from_slice(&[203, 0, 113, 9]);
                    fill_checksum(&mut frame[14..34]);
                }));
                cases.push(case(Drop::OuterChecksum, &|frame| frame[24] ^= 0x40));
                cases.push(case(Drop::InvalidLabel, &|frame| {
                    let label = (Label::MAX.value() << 4).to_be_bytes();
                    frame[at - 4..at - 1].copy_from_slice(&label[1..]);
                    frame[at - 2] |= 1;
                }));
            }
        }
        cases
    }

    fn packet(&self, flow: &Flow, side: Side, ttl: u8) -> Vec<u8> {
        let length = self.world.shape.frame.length(flow.number);
        let length = inner_length(self.world.shape.family, length);
        let here = self.world.address(flow.instance);
        let there = match self.world.shape.mode {
            Mode::Local => self.world.address(self.world.other(flow.instance)),
            _ => flow.remote,
        };
        match side {
            Side::Gateway => ip_packet(here, there, flow.ports, ttl, length),
            Side::Fabric => ip_packet(there, here, (flow.ports.1, flow.ports.0), ttl, length),
        }
    }

    fn tagged(&self, to: Mac, from: Mac, instance: u16, packet: &[u8]) -> Vec<u8> {
        let tci = world::vlan(instance).value().to_be_bytes();
        let kind = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 };
        [&to.0[..], &from.0, &VLAN, &tci, &kind, packet].concat()
    }

    fn tunnel(
        &self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        label: Label,
        entropy: u16,
        ttl: u8,
        packet: &[u8],
    ) -> Vec<u8> {
        let mut middle = match self.world.shape.encap {
            Encap::Udp => {
                let length = (8 + 4 + packet.len()) as u16;
                let mut udp = Vec::from(entropy.to_be_bytes());
                udp.extend(MPLS_PORT.to_be_bytes());
                udp.extend(length.to_be_bytes());
                udp.extend([0, 0]);
                udp
            }
            Encap::Gre => vec![0, 0, 0x88, 0x47],
        };
        let bottom = 1 << 8;
        middle.extend((label.value() << 12 | bottom | u32::from(ttl)).to_be_bytes());
        middle.extend(packet);
        let protocol = match self.world.shape.encap {
            Encap::Udp => UDP,
            Encap::Gre => GRE,
        };
        ipv4(from, to, protocol, 64, &middle)
    }
}

/// Longest prefix match by trying every length, from the longest.
pub struct Longest {
    lengths: Vec<u8>,
    sites: HashMap<(u16, IpNet), u32>,
}

impl Longest {
    /// Over all routes of the world.
    pub fn new(world: &World) -> Longest {
        let sites: HashMap<_, _> =
            world.routes.iter().map(|route| ((route.vrf, route.prefix), route.site)).collect();
        let mut lengths: Vec<u8> =
            world.routes.iter().map(|route| route.prefix.prefix_len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths.reverse();
        Longest { lengths, sites }
    }

    /// The site that an address of a VRF is behind.
    pub fn site(&self, vrf: u16, address: IpAddr) -> Option<u32> {
        self.lengths.iter().find_map(|length| {
            let prefix = IpNet::new(address, *length).ok()?.trunc();
            self.sites.get(&(vrf, prefix)).copied()
        })
    }
}

/// Compares a frame that came out with what must come out; `None` if it is right, else what differs. `ports` remembers the
/// source port of each flow.
pub fn difference(expect: &Expect, out: &[u8], ports: &mut HashMap<u32, u16>) -> Option<String> {
    let (wanted, free, flow) = match expect {
        Expect::Out { frame, free, flow } => (frame, *free, *flow),
        Expect::Drop(reason) => return Some(format!("came out, but had to be dropped: {reason}")),
    };
    let mut wanted = wanted.clone();
    if free != Free::Nothing && out.len() >= 46 {
        wanted[18..20].copy_from_slice(&out[18..20]);
        fill_checksum(&mut wanted[14..34]);
    }
    if free == Free::IdAndPort && out.len() >= 46 {
        let port = u16::from_be_bytes([out[34], out[35]]);
        if port < 0xc000 {
            return Some(format!("source port {port} is not in 49152 to 65535"));
        }
        let first = *ports.entry(flow).or_insert(port);
        if first != port {
            return Some(format!("source port {port}, earlier packets of the flow had {first}"));
        }
        wanted[34..36].copy_from_slice(&out[34..36]);
    }
    if wanted == out {
        return None;
    }
    let at = wanted.iter().zip(out).position(|(wanted, out)| wanted != out);
    let at = at.unwrap_or(wanted.len().min(out.len()));
    Some(format!(
        "differs at byte {at} ({})\n  expected {}\n  came out {}",
        field(at, free),
        hex(&wanted),
        hex(out)
    ))
}

/// What stands at a byte of an outgoing frame, in words.
fn field(at: usize, free: Free) -> &'static str {
    let inner = match free {
        Free::Nothing => 18,
        Free::Id => 42,
        Free::IdAndPort => 46,
    };
    match at {
        0..=5 => "destination MAC",
        6..=11 => "source MAC",
        _ if at >= inner => "inner packet",
        12..=17 if free == Free::Nothing => "VLAN tag or ethertype",
        24 | 25 => "outer checksum",
        14..=33 => "outer IPv4 header",
        _ if at >= inner - 4 => "MPLS label",
        12 | 13 => "ethertype",
        _ => "UDP or GRE header",
    }
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ethernet(to: Mac, from: Mac, kind: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &kind, payload].concat()
}

fn ip_packet(from: IpAddr, to: IpAddr, ports: (u16, u16), ttl: u8, length: usize) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // RFC 768: a checksum of zero is none.
            ipv4(from, to, UDP, ttl, &udp(ports, length - 20))
        }
        (from, to) => {
            let bytes = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let mut udp = udp(ports, length - 40);
            let pseudo = [0, 0, (udp.len() >> 8) as u8, udp.len() as u8, 0, 0, 0, UDP];
            let sum = checksum(&[&bytes(from)[..], &bytes(to), &pseudo, &udp].concat());
            udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
            let mut header = vec![0x60, 0, 0, 0, (udp.len() >> 8) as u8, udp.len() as u8, UDP, ttl];
            header.extend(bytes(from));
            header.extend(bytes(to));
            header.extend(udp);
            header
        }
    }
}

fn udp(ports: (u16, u16), length: usize) -> Vec<u8> {
    let mut udp = Vec::with_capacity(length);
    udp.extend(ports.0.to_be_bytes());
    udp.extend(ports.1.to_be_bytes());
    udp.extend((length as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend((8..length).map(|at| at as u8 ^ ports.0 as u8));
    udp
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    fill_checksum(&mut packet);
    packet.extend(payload);
    packet
}

/// Writes the checksum of an IPv4 header without options.
pub fn fill_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071, 16 bits at a time.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Bytes of the IP packet in an instance's frame of `length`: UDP fits at least.
pub fn inner_length(family: Family, length: usize) -> usize {
    let least = match family {
        Family::V4 => 20 + 8,
        Family::V6 => 40 + 8,
    };
    (length - 18).max(least)
}

/// The sides that frames come in on in a mode.
pub fn sides(mode: Mode) -> &'static [Side] {
    match mode {
        Mode::Decap => &[Side::Fabric],
        Mode::Both => &[Side::Fabric, Side::Gateway],
        Mode::Encap | Mode::Local | Mode::Io | Mode::Macswap => &[Side::Gateway],
    }
}

/// Frames of all replay ports of a run.
pub fn replay_frames(options: &Options) -> u32 {
    options.flows * sides(options.mode).len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::tests::world;

    const FABRIC_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[test]
    fn checksums_come_out_right_where_others_agree() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let packet = ipv4(Ipv4Addr::new(10, 0, 0, 1), LOCAL, UDP, 64, b"x");
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(wire::checksum::finish(wire::checksum::sum(&packet[..20])), 0);
    }

    #[test]
    fn sixty_four_bytes_are_sixty_without_fcs() {
        let world = world(Mode::Encap, Encap::Udp, Family::V4, 3, 3);
        let maker = Maker::new(&world, FABRIC_MAC);
        assert_eq!(maker.incoming(Side::Gateway, &world.flow(5)).len(), 60);
        assert_eq!(maker.incoming(Side::Fabric, &world.flow(5)).len(), 60 - 18 + 14 + 32);
    }

    #[test]
    fn an_outgoing_frame_is_the_incoming_one_turned_inside_out() {
        let world = world(Mode::Encap, Encap::Udp, Family::V4, 3, 3);
        let maker = Maker::new(&world, FABRIC_MAC);
        let longest = Longest::new(&world);
        let flow = world.flow(9);
        let Expect::Out { frame, .. } = maker.outgoing(Side::Gateway, &flow, &longest) else {
            panic!("a flow of the world has a route");
        };
        let before = maker.incoming(Side::Gateway, &flow);
        let (inner, original) = (&frame[46..], &before[18..]);
        assert_eq!((inner[8], original[8]), (63, 64));
        assert_eq!((&inner[..8], &inner[12..]), (&original[..8], &original[12..]));
        assert_eq!(checksum(&inner[..20]), 0);
    }

    #[test]
    fn any_changed_byte_is_a_difference_and_is_named() {
        let world = world(Mode::Encap, Encap::Udp, Family::V4, 3, 3);
        let maker = Maker::new(&world, FABRIC_MAC);
        let expect = maker.outgoing(Side::Gateway, &world.flow(9), &Longest::new(&world));
        let Expect::Out { frame, .. } = &expect else { panic!("a flow has a route") };
        let mut out = frame.clone();
        out[18..20].copy_from_slice(&[0x12, 0x34]);
        out[34..36].copy_from_slice(&[0xc1, 0x00]);
        fill_checksum(&mut out[14..34]);
        let mut ports = HashMap::new();
        assert_eq!(difference(&expect, &out, &mut ports), None);
        for at in 0..out.len() {
            let mut wrong = out.clone();
            wrong[at] ^= 0x11;
            let found = difference(&expect, &wrong, &mut ports);
            assert!(found.is_some(), "byte {at}");
        }
        let mut wrong = out.clone();
        wrong[42] ^= 1;
        assert!(difference(&expect, &wrong, &mut ports).unwrap().contains("MPLS label"));
        wrong = out.clone();
        wrong[34..36].copy_from_slice(&[0xc1, 0x01]);
        assert!(difference(&expect, &wrong, &mut ports).unwrap().contains("earlier packets"));
        wrong.pop();
        assert!(difference(&expect, &wrong, &mut HashMap::new()).is_some(), "a byte short");
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut world = world(Mode::Encap, Encap::Udp, Family::V4, 1, 1);
        let route =
            |prefix: &str, site| world::Route { vrf: 0, prefix: prefix.parse().unwrap(), site };
        world.routes = vec![route("20.0.0.0/16", 1), route("20.0.7.0/24", 2)];
        let longest = Longest::new(&world);
        assert_eq!(longest.site(0, "20.0.7.1".parse().unwrap()), Some(2));
        assert_eq!(longest.site(0, "20.0.8.1".parse().unwrap()), Some(1));
        assert_eq!(longest.site(0, "20.1.0.1".parse().unwrap()), None);
        assert_eq!(longest.site(1, "20.0.7.1".parse().unwrap()), None);
    }
}
