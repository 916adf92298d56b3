//! What the service thread says on behalf of the node: ARP answers and questions, ICMP echo and errors.
//!
//! Towards instances the node is one gateway with one MAC, whichever node it is. It answers ARP for the gateway addresses of the
//! VRF and, as a proxy, for every target that is routed out of another interface. It never answers for the asker's own address,
//! so that a duplicate-address probe (RFC 5227) of it finds nobody. ICMP is sent from the gateway address of the subnet that the
//! receiver is in (else any of the VRF), and is routed in the VRF like any other packet, into a tunnel if that is where it goes.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use engine::PuntMeta;
use engine::seam::{Nexthop, PortId, VifId, VrfId};
use ipnet::Ipv4Net;
use wire::arp::{self, Arp};
use wire::eth::{self, Ethernet, TaggedEthernet};
use wire::{Mac, VlanId, icmp, ipv4::Ipv4};
use zerocopy::IntoBytes;

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// A whole frame, out of this port.
    Frame(PortId, Vec<u8>),
    /// An IPv4 packet, routed in this VRF.
    Routed(VrfId, Vec<u8>),
}

/// An instance interface as the service thread knows it.
#[derive(Clone, Debug)]
pub struct Vif {
    /// Its port.
    pub port: PortId,
    /// Its VLAN.
    pub vlan: VlanId,
    /// Its VRF.
    pub vrf: VrfId,
    /// MAC of the instance.
    pub mac: Mac,
    /// Addresses of the instance.
    pub addresses: Vec<Ipv4Addr>,
}

/// Interfaces and subnets: what answers depend on beside the routes.
#[derive(Default)]
pub struct Local {
    /// Instance interfaces.
    pub vifs: HashMap<VifId, Vif>,
    /// Subnets of each VRF with the gateway address in each.
    pub subnets: HashMap<VrfId, Vec<(Ipv4Net, Ipv4Addr)>>,
}

impl Local {
    /// The address that speaks for the node to `peer` in this VRF.
    pub fn gateway_for(&self, vrf: VrfId, peer: Ipv4Addr) -> Option<Ipv4Addr> {
        let subnets = self.subnets.get(&vrf)?;
        let own = subnets
            .iter()
            .filter(|(net, _)| net.contains(&peer))
            .max_by_key(|(net, _)| net.prefix_len());
        own.or_else(|| subnets.first()).map(|(_, gateway)| *gateway)
    }

    /// Answer to an ARP request that came in on `vif`. `route` is what the VRF says about the target.
    pub fn arp(&self, vif: VifId, request: &Arp, route: Option<Nexthop>) -> Option<Injection> {
        let asker = self.vifs.get(&vif)?;
        if request.operation() != arp::REQUEST || request.sender_mac != asker.mac {
            return None;
        }
        let (sender, target) = (request.sender(), request.target());
        let own = |address: &Ipv4Addr| asker.addresses.contains(address);
        if target == sender || own(&target) || !(sender.is_unspecified() || own(&sender)) {
            return None;
        }
        match route? {
            Nexthop::Receive | Nexthop::Tunnel { .. } | Nexthop::Group(_) => {}
            Nexthop::Vif(other) if other != vif => {}
            Nexthop::Vif(_) | Nexthop::Discard => return None,
        }
        Some(asker.frame(&request.reply(Mac::GATEWAY)))
    }

    /// An ARP request to an instance, from its gateway; to its MAC, so that no other host is woken.
    pub fn probe(&self, vif: VifId, address: Ipv4Addr) -> Option<Injection> {
        let asked = self.vifs.get(&vif)?;
        let gateway = self.gateway_for(asked.vrf, address)?;
        Some(asked.frame(&Arp::request(Mac::GATEWAY, gateway, address)))
    }

    /// Answer to a packet for a gateway address: echo, nothing else.
    pub fn echo(&self, vrf: VrfId, packet: &[u8]) -> Option<Injection> {
        icmp::echo_reply(packet).ok().map(|reply| Injection::Routed(vrf, reply))
    }

    /// "Time exceeded" about a packet whose beginning is `packet`.
    pub fn time_exceeded(&self, vrf: VrfId, packet: &[u8]) -> Option<Injection> {
        let source = self.error_source(vrf, packet)?;
        icmp::time_exceeded(source, packet).ok().map(|error| Injection::Routed(vrf, error))
    }

    /// "Fragmentation needed" with the MTU of the path, in bytes of IPv4.
    pub fn too_big(&self, vrf: VrfId, packet: &[u8], mtu: u16) -> Option<Injection> {
        let source = self.error_source(vrf, packet)?;
        icmp::fragmentation_needed(source, packet, mtu)
            .ok()
            .map(|error| Injection::Routed(vrf, error))
    }

    fn error_source(&self, vrf: VrfId, packet: &[u8]) -> Option<Ipv4Addr> {
        if !icmp::error_allowed(packet) {
            return None;
        }
        let (ip, _) = Ipv4::parse(packet).ok()?;
        self.gateway_for(vrf, ip.source())
    }
}

impl Vif {
    fn frame(&self, arp: &Arp) -> Injection {
        let header = TaggedEthernet::new(self.mac, Mac::GATEWAY, self.vlan, eth::ARP);
        Injection::Frame(self.port, [header.as_bytes(), arp.as_bytes()].concat())
    }
}

/// An untagged ARP frame.
pub fn arp_frame(port: PortId, destination: Mac, source: Mac, arp: &Arp) -> Injection {
    let header = Ethernet::new(destination, source, eth::ARP);
    Injection::Frame(port, [header.as_bytes(), arp.as_bytes()].concat())
}

/// Answer to an echo request for an address of the node in the underlay, back to where it came from.
///
/// None to a group, in either header: one frame would be answered with many (RFC 1122 3.2.2.6, 3.3.6).
pub fn underlay_echo(meta: &PuntMeta, mac: Mac, packet: &[u8]) -> Option<Injection> {
    let (ip, _) = Ipv4::parse(packet).ok()?;
    if !meta.source_mac.is_unicast() || !icmp::is_host(ip.source()) {
        return None;
    }
    let reply = icmp::echo_reply(packet).ok()?;
    let header = Ethernet::new(meta.source_mac, mac, eth::IPV4);
    Some(Injection::Frame(meta.port, [header.as_bytes(), &reply].concat()))
}

#[cfg(test)]
mod tests {
    use engine::seam::TunnelId;
    use wire::Label;

    use super::*;

    const HOST: Mac = Mac([0x52, 0x54, 0, 0, 1, 7]);

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn local() -> Local {
        let mut local = Local::default();
        local.subnets.insert(
            VrfId(1),
            vec![
                ("10.1.0.0/24".parse().unwrap(), ip("10.1.0.1")),
                ("10.2.0.0/24".parse().unwrap(), ip("10.2.0.1")),
            ],
        );
        let vif = Vif {
            port: PortId(1),
            vlan: VlanId::new(107).unwrap(),
            vrf: VrfId(1),
            mac: HOST,
            addresses: vec![ip("10.1.0.7")],
        };
        local.vifs.insert(VifId(7), vif);
        local
    }

    fn ask(sender: &str, target: &str, route: Option<Nexthop>) -> bool {
        local().arp(VifId(7), &Arp::request(HOST, ip(sender), ip(target)), route).is_some()
    }

    #[test]
    fn the_gateway_answers_for_itself_and_for_what_it_routes_elsewhere() {
        let tunnel = Nexthop::Tunnel { tunnel: TunnelId(1), label: Label::MIN };
        assert!(ask("10.1.0.7", "10.1.0.1", Some(Nexthop::Receive)));
        assert!(ask("10.1.0.7", "10.1.0.9", Some(tunnel)));
        assert!(ask("10.1.0.7", "10.1.0.8", Some(Nexthop::Vif(VifId(8)))));
        assert!(
            ask("0.0.0.0", "10.1.0.1", Some(Nexthop::Receive)),
            "our address is defended (RFC 5227 2.4)"
        );
        // Never for the asker's own address, however it asks.
        let own = Some(Nexthop::Vif(VifId(7)));
        assert!(!ask("10.1.0.7", "10.1.0.7", own));
        assert!(!ask("0.0.0.0", "10.1.0.7", own));
        assert!(
            !ask("0.0.0.0", "10.1.0.7", Some(tunnel)),
            "not even if the route points elsewhere"
        );
        assert!(!ask("10.1.0.7", "10.1.0.200", None));
        assert!(!ask("10.1.0.7", "10.1.0.200", Some(Nexthop::Discard)));
        assert!(
            !ask("10.1.0.66", "10.1.0.1", Some(Nexthop::Receive)),
            "a sender address that is not the instance's"
        );
    }

    #[test]
    fn an_answer_is_a_tagged_frame_from_the_shared_mac() {
        let request = Arp::request(HOST, ip("10.1.0.7"), ip("10.1.0.1"));
        let Some(Injection::Frame(port, frame)) =
            local().arp(VifId(7), &request, Some(Nexthop::Receive))
        else {
            panic!("no answer");
        };
        assert_eq!(port, PortId(1));
        let expected = [
            0x52, 0x54, 0, 0, 1, 7, 0, 0, 0x5e, 0, 1, 0, 0x81, 0, 0, 107, 0x08, 0x06, 0, 1, 8, 0,
            6, 4, 0, 2, 0, 0, 0x5e, 0, 1, 0, 10, 1, 0, 1, 0x52, 0x54, 0, 0, 1, 7, 10, 1, 0, 7,
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn errors_come_from_the_gateway_of_the_subnet_of_the_receiver() {
        assert_eq!(local().gateway_for(VrfId(1), ip("10.2.0.9")), Some(ip("10.2.0.1")));
        assert_eq!(local().gateway_for(VrfId(1), ip("10.9.0.9")), Some(ip("10.1.0.1")));
        assert_eq!(local().gateway_for(VrfId(2), ip("10.9.0.9")), None);
        let mut header = Ipv4::new(ip("10.2.0.9"), ip("10.1.0.7"), 17, 28);
        header.fill_checksum();
        let packet = [header.as_bytes(), &[0; 8]].concat();
        let Some(Injection::Routed(vrf, error)) = local().too_big(VrfId(1), &packet, 1468) else {
            panic!("no error")
        };
        assert_eq!(vrf, VrfId(1));
        let ip_header = Ipv4::checked(&error).unwrap();
        assert_eq!((ip_header.source(), ip_header.destination()), (ip("10.2.0.1"), ip("10.2.0.9")));
        assert!(local().time_exceeded(VrfId(1), &error).is_none(), "no error about an error");
    }

    #[test]
    fn echo_in_the_underlay_is_answered_to_one_host() {
        use engine::drops::Punt;

        let own = Mac([2, 0, 0, 0, 0, 1]);
        let echo = |source_mac, source| {
            let message = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
            let mut header = Ipv4::new(ip(source), ip("192.0.2.1"), 1, 28);
            header.fill_checksum();
            let class = Punt::Local;
            let vrf = VrfId::MASTER;
            let meta = PuntMeta { class, port: PortId(3), vif: None, vrf, source_mac, mtu: 0 };
            underlay_echo(&meta, own, &[header.as_bytes(), &message].concat())
        };
        let Some(Injection::Frame(port, frame)) = echo(HOST, "192.0.2.9") else {
            panic!("no answer")
        };
        assert_eq!((port, &frame[..6], &frame[6..12]), (PortId(3), &HOST.0[..], &own.0[..]));
        assert_eq!(Ipv4::checked(&frame[14..]).unwrap().destination(), ip("192.0.2.9"));
        for (mac, source) in [
            (Mac::BROADCAST, "192.0.2.9"),
            (Mac([1, 0, 0x5e, 0, 0, 1]), "192.0.2.9"),
            (HOST, "255.255.255.255"),
            (HOST, "224.0.0.1"),
            (HOST, "0.0.0.0"),
        ] {
            assert_eq!(echo(mac, source), None, "{mac:?} {source}");
        }
    }
}
