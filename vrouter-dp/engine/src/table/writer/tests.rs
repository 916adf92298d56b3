mod limits;

use super::*;
use crate::lab::{FABRIC, GATEWAY, Lab};
use crate::publish::Reader;
use crate::seam::{Encapsulation, WorkerId};
use crate::table::AdjacencyId;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn net6(text: &str) -> ipnet::Ipv6Net {
    text.parse().unwrap()
}

fn vlan(id: u16) -> VlanId {
    VlanId::new(id).unwrap()
}

fn label(value: u32) -> Label {
    Label::new(value).unwrap()
}

const MAC: Mac = Mac([2, 9, 9, 9, 9, 9]);

#[test]
fn what_is_named_must_exist() {
    let mut lab = Lab::new().unwrap();
    let w = &mut lab.writer;
    let unknown = Err(Refusal::Unknown);
    assert_eq!(w.route_set(VrfId(1), net("10.3.0.0/16"), NexthopId(99)), unknown);
    assert_eq!(w.route_set(VrfId(9), net("10.3.0.0/16"), NexthopId(10)), unknown);
    assert_eq!(w.route_del(VrfId(1), net("10.3.0.0/16")), unknown);
    assert_eq!(w.nexthop_set(NexthopId(50), Nexthop::Vif(VifId(9))), unknown);
    let tunnel = Nexthop::Tunnel { tunnel: TunnelId(9), label: label(16) };
    assert_eq!(w.nexthop_set(NexthopId(50), tunnel), unknown);
    assert_eq!(w.nexthop_del(NexthopId(50)), unknown);
    assert_eq!(w.label_set(label(500), LabelTarget::Vrf(VrfId(9))), unknown);
    assert_eq!(w.label_set(label(500), LabelTarget::Vif(VifId(9))), unknown);
    assert_eq!(w.label_del(label(500)), unknown);
    assert_eq!(w.vif_set(VifId(9), PortId(7), vlan(9), VrfId(1), MAC), unknown);
    assert_eq!(w.vif_set(VifId(9), GATEWAY, vlan(9), VrfId(9), MAC), unknown);
    assert_eq!(w.vif_del(VifId(9)), unknown);
    assert_eq!(w.vif_address_set(VifId(9), Ipv4Addr::new(10, 1, 0, 9)), unknown);
    assert_eq!(w.vif_address_del(VifId(1), Ipv4Addr::new(10, 1, 0, 9)), unknown);
    assert_eq!(w.vrf_del(VrfId(9)), unknown);
    assert_eq!(w.tunnel_del(TunnelId(9)), unknown);
    assert_eq!(w.tunnel_via(TunnelId(1), Some(AdjacencyId(77))), unknown);
    assert_eq!(w.adjacency_set(AdjacencyId(9), PortId(7), None), unknown);
    assert_eq!(w.adjacency_set(AdjacencyId(9), GATEWAY, None), Err(Refusal::Port));
    assert_eq!(w.tunnel_source_del(net("10.0.0.0/8")), unknown);
    assert_eq!(w.tunnel_source_del(net("192.0.2.9/32")), unknown, "a tunnel's, not configured");
    assert_eq!(w.port_state(PortId(7), PortState::Forwarding), unknown);
    assert_eq!(w.port_address_set(PortId(7), net("192.0.2.1/24")), unknown);
}

#[test]
fn what_is_referred_to_stays_until_it_is_not() {
    let mut lab = Lab::new().unwrap();
    let w = &mut lab.writer;
    let used = Err(Refusal::InUse);
    assert_eq!(w.vif_del(VifId(1)), used);
    assert_eq!(w.nexthop_del(NexthopId(1)), used);
    assert_eq!(w.tunnel_del(TunnelId(1)), used);
    assert_eq!(w.adjacency_del(AdjacencyId(1)), used);
    assert_eq!(w.vrf_del(VrfId(1)), used);
    w.route_del(VrfId(1), net("10.1.0.7/32")).unwrap();
    assert_eq!(w.nexthop_del(NexthopId(1)), used, "the IPv6 route");
    w.route_del(VrfId(1), net6("2001:db8:1::7/128")).unwrap();
    w.nexthop_del(NexthopId(1)).unwrap();
    assert_eq!(w.vif_del(VifId(1)), used, "label 1107");
    w.label_del(label(1107)).unwrap();
    w.vif_del(VifId(1)).unwrap();
    w.route_del(VrfId(1), net("10.9.0.0/16")).unwrap();
    w.route_del(VrfId(1), net6("2001:db8:9::/48")).unwrap();
    assert_eq!(w.nexthop_del(NexthopId(12)), used, "a path of group 1");
    w.path_del(GroupId(1), 0).unwrap();
    w.nexthop_del(NexthopId(12)).unwrap();
    w.tunnel_del(TunnelId(1)).unwrap();
    w.adjacency_del(AdjacencyId(1)).unwrap();
    assert!(!w.tables().fib.is_tunnel_source([192, 0, 2, 9].into()));
}

#[test]
fn a_next_hop_that_changes_moves_its_references() {
    let mut lab = Lab::new().unwrap();
    let w = &mut lab.writer;
    w.nexthop_set(NexthopId(1), Nexthop::Discard).unwrap();
    w.label_set(label(1107), LabelTarget::Vrf(VrfId(2))).unwrap();
    w.vif_del(VifId(1)).unwrap();
    assert_eq!(w.lookup(VrfId(1), [10, 1, 0, 7]), Some(Nexthop::Discard));
    // The same route again, with the same next hop, counts once.
    w.route_set(VrfId(1), net("10.1.0.7/32"), NexthopId(1)).unwrap();
    w.route_set(VrfId(1), net("10.1.0.7/32"), NexthopId(11)).unwrap();
    w.route_set(VrfId(1), net6("2001:db8:1::7/128"), NexthopId(11)).unwrap();
    w.nexthop_del(NexthopId(1)).unwrap();
}

#[test]
fn one_vlan_of_a_port_is_one_interface() {
    let mut lab = Lab::new().unwrap();
    let w = &mut lab.writer;
    assert_eq!(w.vif_set(VifId(4), GATEWAY, vlan(107), VrfId(1), MAC), Err(Refusal::Duplicate));
    assert_eq!(w.vif_set(VifId(4), FABRIC, vlan(110), VrfId(1), MAC), Err(Refusal::Port));
    // Moving to another VLAN frees the old one, and keeps the addresses.
    w.vif_set(VifId(1), GATEWAY, vlan(110), VrfId(1), MAC).unwrap();
    w.vif_set(VifId(4), GATEWAY, vlan(107), VrfId(1), MAC).unwrap();
    assert_eq!(*w.vif(VifId(1)).unwrap().addresses, [Ipv4Addr::new(10, 1, 0, 7)]);
    assert_eq!(w.tables().ports.vif(GATEWAY, vlan(110)), Some(VifId(1)));
    assert_eq!(w.tables().ports.vif(GATEWAY, vlan(107)), Some(VifId(4)));
    w.vif_del(VifId(4)).unwrap();
    assert_eq!(w.tables().ports.vif(GATEWAY, vlan(107)), None);
}

#[test]
fn counters_start_anew_with_an_interface_and_survive_its_change() {
    let mut lab = Lab::new().unwrap();
    let count = |lab: &Lab| lab.counters().vif(VifId(2)).unwrap().rx_packets.value();
    lab.counters().vif(VifId(2)).unwrap().rx_packets.add(5);
    lab.writer.vif_set(VifId(2), GATEWAY, vlan(108), VrfId(1), MAC).unwrap();
    assert_eq!(count(&lab), 5);
    lab.writer.route_del(VrfId(1), net("10.1.0.8/32")).unwrap();
    lab.writer.route_del(VrfId(1), net6("2001:db8:1::8/128")).unwrap();
    lab.writer.nexthop_del(NexthopId(2)).unwrap();
    lab.writer.vif_del(VifId(2)).unwrap();
    lab.writer.vif_set(VifId(2), GATEWAY, vlan(108), VrfId(1), MAC).unwrap();
    assert_eq!(count(&lab), 0);
}

#[test]
fn a_neighbour_that_goes_is_one_change_for_all_behind_it() {
    let mut lab = Lab::new().unwrap();
    let reader = Reader::new(lab.tables().domain()).unwrap();
    let w = &mut lab.writer;
    for id in 10..20 {
        w.tunnel_set(TunnelId(id), [192, 0, 2, id as u8].into(), Encapsulation::MplsOverUdp)
            .unwrap();
        w.tunnel_via(TunnelId(id), Some(AdjacencyId(1))).unwrap();
    }
    assert!(w.tables().adjacency(AdjacencyId(1), &reader).is_some());
    w.adjacency_set(AdjacencyId(1), FABRIC, None).unwrap();
    let tables = w.tables();
    for id in 10..20 {
        let tunnel = tables.tunnel(TunnelId(id), &reader).unwrap();
        assert!(tables.adjacency(tunnel.adjacency.unwrap(), &reader).is_none());
    }
}

#[test]
fn mtu_and_mac_of_a_port_reach_what_is_behind_it() {
    let mut lab = Lab::new().unwrap();
    let reader = Reader::new(lab.tables().domain()).unwrap();
    let port = |role, mtu| Port { role, mac: MAC, mtu };
    let w = &mut lab.writer;
    w.port_set(FABRIC, port(PortRole::Fabric, 9000)).unwrap();
    w.port_set(GATEWAY, port(PortRole::Gateway, 8000)).unwrap();
    assert_eq!(w.port_set(GATEWAY, port(PortRole::Fabric, 8000)), Err(Refusal::Port));
    let adjacency = w.tables().adjacency(AdjacencyId(1), &reader).unwrap();
    assert_eq!((adjacency.mtu, &adjacency.header[6..12]), (9000, &MAC.0[..]));
    assert_eq!(w.tables().vif(VifId(1), &reader).unwrap().mtu, 8000);
}

#[test]
fn a_new_tunnel_address_reaches_every_tunnel() {
    let mut lab = Lab::new().unwrap();
    let reader = Reader::new(lab.tables().domain()).unwrap();
    lab.writer.tunnel_address_set([192, 0, 2, 77].into());
    for id in 1..=3 {
        let tunnel = lab.tables().tunnel(TunnelId(id), &reader).unwrap();
        let (header, _) = wire::ipv4::Ipv4::parse(&tunnel.head).unwrap();
        assert_eq!(header.source(), Ipv4Addr::new(192, 0, 2, 77));
        assert_eq!(tunnel.sum, wire::checksum::sum(&tunnel.head[..20]));
    }
    assert!(lab.tables().view(&reader).owns(0xc000_024d));
    assert!(lab.tables().view(&reader).owns(0xc000_0201), "still an address of the port");
    lab.writer.port_address_del(FABRIC, net("192.0.2.1/24")).unwrap();
    assert!(!lab.tables().view(&reader).owns(0xc000_0201));
}

#[test]
fn everything_is_given_back_after_grace() {
    let mut lab = Lab::new().unwrap();
    lab.writer.reclaim();
    lab.worker.quiesce();
    assert_eq!(lab.writer.reclaim(), 0);
    lab.writer.adjacency_set(AdjacencyId(1), FABRIC, None).unwrap();
    lab.writer.route_del(VrfId(2), net("172.16.0.0/24")).unwrap();
    let token = lab.writer.publish();
    assert!(lab.writer.reclaim() > 0);
    assert!(!lab.tables().domain().grace_passed(token));
    lab.worker.quiesce();
    assert!(lab.tables().domain().grace_passed(token));
    assert_eq!(lab.writer.reclaim(), 0);
    assert!(lab.tables().counters(WorkerId(1)).is_none());
}

#[test]
fn an_instance_has_addresses_of_both_families() {
    let mut lab = Lab::new().unwrap();
    let reader = Reader::new(lab.tables().domain()).unwrap();
    let six = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap();
    let (a, b) = (six("2001:db8:1::77"), six("2001:db8:1::88"));
    let w = &mut lab.writer;
    assert!(!w.vif(VifId(1)).unwrap().owns6(a.to_bits()));
    w.vif_address_set(VifId(1), a).unwrap();
    w.vif_address_set(VifId(1), b).unwrap();
    // A change of the interface keeps them.
    w.vif_set(VifId(1), GATEWAY, vlan(107), VrfId(1), MAC).unwrap();
    {
        let vif = w.tables().vif(VifId(1), &reader).unwrap();
        assert!(vif.owns6(a.to_bits()) && vif.owns6(b.to_bits()));
        assert!(!vif.owns6(a.to_bits() + 1) && vif.owns(0x0a01_0007));
    }
    w.vif_address_del(VifId(1), a).unwrap();
    assert_eq!(w.vif_address_del(VifId(1), a), Err(Refusal::Unknown));
    let vif = w.tables().vif(VifId(1), &reader).unwrap();
    assert!(!vif.owns6(a.to_bits()) && vif.owns6(b.to_bits()));
}
