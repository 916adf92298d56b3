"""A BGP peer is killed under traffic: what other peers and static routes still say is valid loses no packet; it comes back by itself.

Breaks when: a lost session removes the route before the other peer's path has taken its place.
"""

import signal

from lab.bgpcheck import LOCAL
from lab.net import equal, wait
from lab.peers import GoBgp
from lab.traffic import Flood, Stream, without_loss
from lab.worlds import OnePe, peer, vrf

A, B = "10.255.0.2", "10.255.0.5"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(A), peer(B))
    world.static_route("10.5.0.0/24", 1000)
    host, other = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    neighbor = [{"address": LOCAL, "asn": 64512, "client": True}]
    first = GoBgp(lab, world.namespace, A, 64512, neighbor, name="gobgpd-a").start()
    second_namespace = lab.namespace("rr2")
    lab.veth(world.namespace, "mgmt", second_namespace, "mgmt")
    world.namespace.address("10.255.1.1/30", "mgmt")
    second_namespace.address("10.255.1.2/30", "mgmt")
    second = GoBgp(lab, second_namespace, B, 64512, neighbor, name="gobgpd-b").start()
    world.namespace.ip("route", "add", B, "via", "10.255.1.2")
    second_namespace.ip("route", "add", LOCAL, "via", "10.255.1.1")
    world.start()
    gateway, pe = world.gateway, world.pe
    gateway.wait_established(A)
    gateway.wait_established(B)

    # One route that both have, one prefix under a distinguisher of each, and one route from the first only.
    first.add("10.2.0.0/24", label=2001, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    first.add("10.6.0.0/24", label=2001, rd="64512:21", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    first.add("10.3.0.0/24", label=2003, rd="64512:21", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    wait(lambda: {"10.2.0.0/24", "10.3.0.0/24", "10.6.0.0/24"} <= set(gateway.routes("red")), "the routes are learnt")
    second.add("10.2.0.0/24", label=2002, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    second.add("10.6.0.0/24", label=2002, rd="64512:22", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    wait(lambda: gateway.peer(B)["accepted"] == 2, "the second paths are there")
    # Whichever path is used: the far hosts answer under both labels.
    hosts = {"10.2.0.9", "10.6.0.9"}
    label = gateway.label_of(interface="a")
    for mine, target in ((1000, "10.5.0.9"), (2001, hosts), (2002, hosts), (2003, "10.3.0.9")):
        pe.serve(mine, target, label)
    world.tunnels_up()

    streams = [Stream(host, target) for target in ("10.5.0.9", *sorted(hosts), other.address)]
    for stream in streams:
        stream.start()
    pid = gateway.process.pid
    with gateway.moves(), Flood(host, *sorted(hosts)):
        first.stop(sig=signal.SIGKILL)
        wait(lambda: "10.3.0.0/24" not in gateway.routes("red"), "the route that only the dead peer had is gone")
        for prefix in ("10.2.0.0/24", "10.6.0.0/24"):
            wait(lambda: gateway.routes("red")[prefix]["label"] == 2002, f"the other path to {prefix} has taken over")
    first.start()
    gateway.wait_established(A)
    first.add("10.3.0.0/24", label=2003, rd="64512:21", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    wait(lambda: "10.3.0.0/24" in gateway.routes("red"), "the route is back")
    without_loss(*streams)
    equal(gateway.process.pid, pid, "the process")
    equal(gateway.process.alive(), True, "the process lives")
