"""Two instances of one VRF on one node reach each other through the gateway, on their own VLANs; routes say so.

Breaks when: a local next hop writes the VLAN or the MAC of the sender, or the TTL stays as it was.
"""

from lab.frames import GATEWAY_MAC, IP, Dot1Q
from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.config["vrf"][0]["subnets"].append({"prefix": "10.4.0.0/24", "gateway": "10.4.0.1"})
    a, b, c = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8"), world.add("c", 4094, "10.4.0.9")
    world.start()
    gateway = world.gateway
    with gateway.moves():
        for source, target in ((a, b), (b, a), (a, c), (c, b)):
            equal(source.arp(target.address) if source.address[:5] == target.address[:5] else GATEWAY_MAC, GATEWAY_MAC,
                  f"who answers ARP for {target.address}")
            reply = source.ping(target.address)
            check(reply, f"{source.address} reaches {target.address}")
            equal((reply.src, reply.dst, reply[Dot1Q].vlan, reply[IP].ttl), (GATEWAY_MAC, source.mac, source.vlan, 63), "the reply's frame")
    routes = gateway.routes("red")
    equal((routes["10.1.0.8/32"]["kind"], routes["10.1.0.8/32"]["interface"], routes["10.1.0.8/32"]["source"]),
          ("interface", "b", "instance"), "route of an instance")
    equal(routes["10.1.0.1/32"]["kind"], "receive", "route of the gateway address")
    equal(len(world.pe.received), 0, "packets on the fabric")
