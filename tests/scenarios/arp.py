"""ARP as the gateway: one virtual MAC for its own addresses and for routed targets; silence for the asker's own address and probes of it.

Breaks when: proxy ARP answers for the address of the asker, so that duplicate-address detection finds a conflict.
"""

from lab.frames import ARP, BROADCAST, GATEWAY_MAC, Ether
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf(), vrf("blue", rt="target:64512:200", net="10.20.0")]
    world.static_route("10.2.0.0/24", 1000)
    world.static_route("10.1.0.64/26", 1001)  # part of the subnet lives behind the foreign PE
    a, b = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    world.start()
    gateway = world.gateway

    # The gateway asks for its instances by itself, with the gateway address as sender, and keeps what it learns.
    request = a.arps.find(lambda p: p[ARP].op == 1 and p[ARP].pdst == a.address, timeout=10)
    check(request, "the gateway asks for its instance")
    equal((request.src, request[ARP].psrc), (GATEWAY_MAC, "10.1.0.1"), "sender of the gateway's own request")
    wait(lambda: gateway.neighbor_ready(a.address), "the instance's neighbour entry")

    with gateway.moves():
        equal(a.arp("10.1.0.1"), GATEWAY_MAC, "the gateway address")
        equal(a.arp("10.1.0.8"), GATEWAY_MAC, "another instance of the subnet, on another VLAN")
        equal(a.arp("10.1.0.70"), GATEWAY_MAC, "an address of the subnet behind another PE")
        equal(b.arp("10.1.0.7"), GATEWAY_MAC, "the other way round")
        equal(a.arp("10.1.0.7", timeout=0.5), None, "the asker's own address")
        equal(a.arp("10.1.0.7", sender="0.0.0.0", timeout=0.5), None, "a duplicate-address probe of the asker's own address")
        equal(a.arp("10.1.0.7", sender="10.1.0.7", timeout=0.5), None, "a gratuitous announcement")
        equal(a.arp("10.20.0.1", timeout=0.5), None, "the gateway of a stranger's VRF")
        equal(a.arp("10.1.0.9", timeout=0.5), None, "an address of the subnet that nobody has")
        equal(a.arp("10.1.0.8", sender="0.0.0.0", timeout=1), GATEWAY_MAC, "a probe for an address that another instance has: a conflict")
    equal(len(world.hosts.strays), 0, "frames on another VLAN")

    # A reply is a well-formed unicast frame with the tag of the asker.
    reply = [p for p in b.arps.items if p[ARP].op == 2][-1]
    equal((reply.dst, reply.src, reply[ARP].hwdst, reply[ARP].pdst), (b.mac, GATEWAY_MAC, b.mac, b.address), "the reply")

    # Towards the underlay: it answers for its own address only, and resolves the far PE before it is needed.
    pe = world.pe
    pe.arps.clear()
    for target in ("192.0.2.77", "10.1.0.1", "10.1.0.7"):
        pe.port.send(Ether(src=pe.mac, dst=BROADCAST) / ARP(op=1, hwsrc=pe.mac, psrc=pe.address, pdst=target))
    check(pe.arps.find(lambda p: p[ARP].op == 2, 0.5) is None, "it answers ARP in the underlay for what is not its own there")
    check(gateway.neighbor_ready("192.0.2.2"), f"the far PE is resolved: {gateway.show('neighbor')}")
    rows = {row["address"]: row for row in gateway.show("neighbor")}
    equal((rows["192.0.2.2"]["mac"], rows["192.0.2.2"]["port"], rows["192.0.2.2"]["interface"]), (pe.mac, "fabric0", None), "neighbour row")
