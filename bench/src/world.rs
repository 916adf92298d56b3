//! The network of a run: VRFs, instances, PEs, routes and flows, all from a few numbers and a seed, so that every process of a
//! run makes the same. What the product is told of it are ops ([`World::ops`]); nothing else here knows the product.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::seam::{
    Encapsulation, LabelTarget, Nexthop, NexthopId, Op, PortId, TunnelId, VifId, VrfId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wire::{Label, Mac, VlanId};

use crate::options::{Encap, Family, Frame, Mode, Options};

/// Port towards the PEs; opened first.
pub const FABRIC: PortId = PortId(0);
/// Port towards the instances.
pub const GATEWAY: PortId = PortId(1);

/// Where our tunnels end, and the fabric port's address.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The two neighbours of the underlay that all PEs are behind, in turn.
const SPINES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 253), Ipv4Addr::new(192, 0, 2, 254)];
const SPINE_MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0xfd]), Mac([2, 0, 0, 0, 0, 0xfe])];
/// PEs of a run at most.
const PES: u32 = 256;
/// PEs that a VRF has sites at, where there are several VRFs.
const SITES: u32 = 16;
/// Labels of the PEs start here, ours in the upper half.
const REMOTE_LABELS: u32 = 1000;
const LOCAL_LABELS: u32 = 1 << 19;

/// Lengths of prefixes out of 1000, about as in the Internet's tables.
const LENGTHS4: &[(u8, u32)] = &[
    (16, 14),
    (17, 8),
    (18, 14),
    (19, 26),
    (20, 45),
    (21, 50),
    (22, 110),
    (23, 98),
    (24, 600),
    (26, 5),
    (28, 10),
    (32, 20),
];
const LENGTHS6: &[(u8, u32)] =
    &[(32, 150), (36, 40), (40, 100), (44, 120), (48, 500), (56, 40), (64, 50)];

/// What a world is made from.
#[derive(Clone, Debug)]
pub struct Shape {
    pub mode: Mode,
    pub encap: Encap,
    pub family: Family,
    pub frame: Frame,
    pub vrfs: u16,
    pub instances: u16,
    pub routes: u32,
    pub flows: u32,
    pub seed: u64,
    /// MAC of the fabric's next hop in place of the invented ones.
    pub peer: Option<Mac>,
}

impl From<&Options> for Shape {
    fn from(options: &Options) -> Shape {
        Shape {
            mode: options.mode,
            encap: options.encap,
            family: options.family,
            frame: options.frame,
            vrfs: options.vrfs,
            instances: options.instances(),
            routes: options.routes,
            flows: options.flows,
            seed: options.seed,
            peer: options.eth_peer,
        }
    }
}

/// A route of a VRF to a PE.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Counted from 0.
    pub vrf: u16,
    pub prefix: IpNet,
    /// The VRF's site that it leads to, counted from 0.
    pub site: u32,
}

/// Packets with the same addresses and ports.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub number: u32,
    /// Index into [`World::routes`].
    pub route: u32,
    /// The instance at this end, counted from 0.
    pub instance: u16,
    /// The host at the far end.
    pub remote: IpAddr,
    /// UDP ports: the instance's and the far host's.
    pub ports: (u16, u16),
}

/// All of it.
#[derive(Debug)]
pub struct World {
    pub shape: Shape,
    pub routes: Vec<Route>,
}

impl World {
    /// Makes the routes; flows are made as they are asked for.
    pub fn new(shape: Shape) -> World {
        let mut random = Random::new(shape.seed, 0);
        let mut known: HashSet<(u16, IpNet)> = HashSet::with_capacity(shape.routes as usize);
        let sites = sites(&shape);
        let mut routes = Vec::with_capacity(shape.routes as usize);
        while routes.len() < shape.routes as usize {
            let vrf = (routes.len() % usize::from(shape.vrfs)) as u16;
            let prefix = match shape.family {
                Family::V4 => prefix4(&mut random).into(),
                Family::V6 => prefix6(&mut random).into(),
            };
            if known.insert((vrf, prefix)) {
                routes.push(Route { vrf, prefix, site: random.below(sites) });
            }
        }
        World { shape, routes }
    }

    /// A flow, `number` below [`Shape::flows`].
    pub fn flow(&self, number: u32) -> Flow {
        let mut random = Random::new(self.shape.seed ^ 0x666c_6f77, u64::from(number));
        let route = number % self.shape.routes;
        let vrf = self.routes[route as usize].vrf;
        // Instances of a VRF are those of its number, modulo the number of VRFs.
        let vrfs = u32::from(self.shape.vrfs);
        let here = (u32::from(self.shape.instances) - u32::from(vrf)).div_ceil(vrfs);
        let instance = u32::from(vrf) + vrfs * random.below(here);
        let remote = host(self.routes[route as usize].prefix, &mut random);
        // Numbers in the ports tell flows apart that would otherwise be alike.
        let ports = (1024 + (number % 60_000) as u16, 1024 + (number / 60_000) as u16);
        Flow { number, route, instance: instance as u16, remote, ports }
    }

    /// The order in which flows are sent: every one once, shuffled.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.shape.flows).collect();
        let mut random = Random::new(self.shape.seed ^ 0x6f72_6465, 0);
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u32 + 1) as usize);
        }
        order
    }

    /// Another instance of the same VRF, for traffic between instances.
    pub fn other(&self, instance: u16) -> u16 {
        let next = u32::from(instance) + u32::from(self.shape.vrfs);
        if next < u32::from(self.shape.instances) {
            next as u16
        } else {
            instance % self.shape.vrfs
        }
    }

    /// How many next hops into tunnels there are.
    pub fn tunnel_nexthops(&self) -> u32 {
        u32::from(self.shape.vrfs) * sites(&self.shape)
    }

    /// PEs.
    pub fn pes(&self) -> u32 {
        if self.shape.vrfs == 1 { sites(&self.shape) } else { PES }
    }

    /// The PE of a site of a VRF, counted from 0.
    pub fn pe(&self, vrf: u16, site: u32) -> u32 {
        if self.shape.vrfs == 1 { site } else { (u32::from(vrf) * 7 + site * 13) % PES }
    }

    /// The label that the PE of a site advertised for a VRF.
    pub fn remote_label(&self, vrf: u16, site: u32) -> Label {
        label(REMOTE_LABELS + u32::from(vrf) * sites(&self.shape) + site)
    }

    /// The next hop to a site of a VRF.
    pub fn nexthop(&self, vrf: u16, site: u32) -> NexthopId {
        let tunnels = u32::from(vrf) * sites(&self.shape) + site;
        NexthopId(1 + u32::from(self.shape.instances) + tunnels)
    }

    /// MAC of the neighbour that a PE is behind.
    pub fn spine_mac(&self, pe: u32) -> Mac {
        self.shape.peer.unwrap_or(SPINE_MACS[pe as usize % 2])
    }

    /// Addresses, neighbours, tunnels and next hops, VRFs, instances and labels: all but the routes.
    pub fn structure(&self) -> impl Iterator<Item = Op> {
        let encapsulation: Encapsulation = self.shape.encap.into();
        let first = [
            Op::TunnelAddressSet { address: LOCAL },
            Op::PortAddressSet { port: FABRIC, address: Ipv4Net::new_assert(LOCAL, 24) },
        ];
        let spines = (0..2u32).map(|spine| Op::NeighborSet {
            port: FABRIC,
            address: SPINES[spine as usize],
            mac: self.spine_mac(spine),
        });
        let tunnels = (0..self.pes()).flat_map(move |pe| {
            let (prefix, via) = (Ipv4Net::from(pe_address(pe)), SPINES[pe as usize % 2]);
            [
                Op::UnderlayRouteSet { prefix, via },
                Op::TunnelSet { tunnel: tunnel(pe), remote: pe_address(pe), encapsulation },
            ]
        });
        first.into_iter().chain(spines).chain(tunnels).chain(self.tenants())
    }

    fn tenants(&self) -> impl Iterator<Item = Op> {
        let vrfs = (0..self.shape.vrfs).flat_map(move |vrf| {
            let tunnels = (0..sites(&self.shape)).map(move |site| {
                let (tunnel, label) = (tunnel(self.pe(vrf, site)), self.remote_label(vrf, site));
                Op::NexthopSet {
                    id: self.nexthop(vrf, site),
                    nexthop: Nexthop::Tunnel { tunnel, label },
                }
            });
            let target = LabelTarget::Vrf(vrf_id(vrf));
            [Op::VrfSet { vrf: vrf_id(vrf) }, Op::LabelSet { label: local_label(vrf), target }]
                .into_iter()
                .chain(tunnels)
        });
        let instances = (0..self.shape.instances).flat_map(move |instance| {
            let (vif, id) = (vif(instance), NexthopId(1 + u32::from(instance)));
            let vrf = vrf_id(self.vrf_of(instance));
            let address = self.address(instance);
            let mac = instance_mac(instance);
            [
                Op::VifSet { vif, port: GATEWAY, vlan: vlan(instance), vrf, mac },
                Op::VifAddressSet { vif, address },
                Op::NexthopSet { id, nexthop: Nexthop::Vif(vif) },
                Op::RouteSet { vrf, prefix: address.into(), nexthop: id },
            ]
        });
        vrfs.chain(instances)
    }

    /// The routes into tunnels.
    pub fn route_ops(&self) -> impl Iterator<Item = Op> {
        self.routes.iter().map(|route| Op::RouteSet {
            vrf: vrf_id(route.vrf),
            prefix: route.prefix,
            nexthop: self.nexthop(route.vrf, route.site),
        })
    }

    /// The VRF of an instance, counted from 0.
    pub fn vrf_of(&self, instance: u16) -> u16 {
        instance % self.shape.vrfs
    }

    /// The address of an instance.
    pub fn address(&self, instance: u16) -> IpAddr {
        match self.shape.family {
            Family::V4 => Ipv4Addr::from_bits(0x0a01_0000 | u32::from(instance) << 4 | 7).into(),
            Family::V6 => {
                Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(instance) << 64 | 7).into()
            }
        }
    }
}

/// As the product numbers it.
pub fn vrf_id(vrf: u16) -> VrfId {
    VrfId(vrf + 1)
}

/// As the product numbers it.
pub fn vif(instance: u16) -> VifId {
    VifId(instance + 1)
}

/// As the product numbers it.
pub fn tunnel(pe: u32) -> TunnelId {
    TunnelId(pe + 1)
}

/// Tunnel address of a PE.
pub fn pe_address(pe: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc612_0001 + pe)
}

/// The neighbour that a PE is behind.
pub fn spine(pe: u32) -> Ipv4Addr {
    SPINES[pe as usize % 2]
}

/// VLAN of an instance; there are at most 4094.
pub fn vlan(instance: u16) -> VlanId {
    VlanId::new(instance + 1).unwrap_or(VlanId::MAX)
}

/// MAC of an instance.
pub fn instance_mac(instance: u16) -> Mac {
    let [high, low] = instance.to_be_bytes();
    Mac([0x52, 0x54, 0, 1, high, low])
}

/// The label that we advertise for a VRF.
pub fn local_label(vrf: u16) -> Label {
    label(LOCAL_LABELS + u32::from(vrf))
}

fn label(value: u32) -> Label {
    Label::new(value).unwrap_or(Label::MAX)
}

fn sites(shape: &Shape) -> u32 {
    let most = if shape.vrfs == 1 { PES } else { SITES };
    most.min(shape.routes.div_ceil(shape.vrfs.into()))
}

fn length(random: &mut Random, mix: &[(u8, u32)]) -> u8 {
    let mut at = random.below(mix.iter().map(|(_, share)| share).sum());
    for (length, share) in mix {
        if at < *share {
            return *length;
        }
        at -= share;
    }
    24
}

/// In 11/8 to 126/8 and 128/8 to 191/8: no martians, not where the instances and the PEs are.
fn prefix4(random: &mut Random) -> Ipv4Net {
    let length = length(random, LENGTHS4);
    let first = match random.below(180) {
        first @ 0..=115 => 11 + first,
        first => 128 + (first - 116),
    };
    let bits = first << 24 | (random.next() as u32 >> 8);
    Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).trunc()
}

/// In 2a00::/12.
fn prefix6(random: &mut Random) -> Ipv6Net {
    let length = length(random, LENGTHS6);
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    let bits = 0x2a0 << 116 | bits >> 12;
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length).trunc()
}

/// A host in a prefix.
fn host(prefix: IpNet, random: &mut Random) -> IpAddr {
    match prefix {
        IpNet::V4(prefix) => {
            let host = random.next() as u32 & prefix.hostmask().to_bits();
            Ipv4Addr::from_bits(prefix.network().to_bits() | host).into()
        }
        IpNet::V6(prefix) => {
            let bits = u128::from(random.next()) << 64 | u128::from(random.next());
            let host = bits & prefix.hostmask().to_bits();
            Ipv6Addr::from_bits(prefix.network().to_bits() | host).into()
        }
    }
}

/// Splitmix64: the same numbers on every machine, from anywhere in the sequence.
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each `stream`.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random(
            seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93),
        )
    }

    /// 64 even bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u32) -> u32 {
        (((self.next() >> 32) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A small world.
    pub fn world(mode: Mode, encap: Encap, family: Family, vrfs: u16, instances: u16) -> World {
        let frame = Frame::Small;
        let (routes, flows, seed, peer) = (300, 500, 1, None);
        World::new(Shape { mode, encap, family, frame, vrfs, instances, routes, flows, seed, peer })
    }

    #[test]
    fn the_same_numbers_make_the_same_world_and_another_seed_another() {
        let one = world(Mode::Encap, Encap::Udp, Family::V4, 3, 7);
        let two = world(Mode::Encap, Encap::Udp, Family::V4, 3, 7);
        assert!(one.structure().eq(two.structure()) && one.route_ops().eq(two.route_ops()));
        assert_eq!(one.order(), two.order());
        let other = World::new(Shape { seed: 2, ..two.shape.clone() });
        assert!(!one.route_ops().eq(other.route_ops()));
        assert_ne!(one.order(), other.order());
    }

    #[test]
    fn flows_lie_in_their_routes_and_start_at_instances_of_their_vrf() {
        for (family, vrfs, instances) in
            [(Family::V4, 3, 7), (Family::V6, 3, 3), (Family::V4, 1, 1)]
        {
            let world = world(Mode::Encap, Encap::Udp, family, vrfs, instances);
            let mut used = HashSet::new();
            for flow in (0..500).map(|number| world.flow(number)) {
                let route = world.routes[flow.route as usize];
                assert!(route.prefix.contains(&flow.remote));
                assert!(flow.instance < instances);
                assert_eq!(world.vrf_of(flow.instance), route.vrf);
                used.insert(flow.instance);
            }
            assert_eq!(used.len(), usize::from(instances), "every instance has traffic");
            let mut order = world.order();
            order.sort_unstable();
            assert!(order.into_iter().eq(0..500));
        }
    }

    #[test]
    fn the_other_instance_is_of_the_same_vrf() {
        let world = world(Mode::Local, Encap::Udp, Family::V4, 3, 7);
        for instance in 0..7 {
            let other = world.other(instance);
            assert_ne!(other, instance);
            assert_eq!(world.vrf_of(other), world.vrf_of(instance));
        }
    }
}
