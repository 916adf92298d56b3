"""A panic in one task of the agent: forwarding, ARP and echo go on without a lost packet, the agent starts anew and converges.

Breaks when: the data plane is stopped with the agent, or the sweep after the restart removes what was set again.
"""

from lab.bgpcheck import LOCAL, Exchange
from lab.frames import GATEWAY_MAC
from lab.net import check, equal, wait
from lab.peers import GoBgp
from lab.traffic import Stream
from lab.worlds import OnePe, peer, vrf

PEER = "10.255.0.2"
TASKS = ("bgp", "agent")


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER))
    world.static_route("10.5.0.0/24", 1000)
    a, b = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    gobgp = GoBgp(lab, world.namespace, PEER, 64512, [{"address": LOCAL, "asn": 64512, "client": True}]).start()
    world.start()
    gateway, pe = world.gateway, world.pe
    exchange = Exchange(world, a, gobgp, PEER)
    exchange.established()
    gobgp.add("10.2.0.0/24", label=2003, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2003, "mplsoudp")
    label = gateway.label_of(interface="a")
    pe.serve(1000, "10.5.0.9", label)
    pe.serve(2003, "10.2.0.9", label)
    world.tunnels_up()
    pid = gateway.process.pid

    for task in TASKS:
        before = gateway.show("status")
        streams = [Stream(a, "10.5.0.9"), Stream(a, "10.1.0.1", rate=20), Stream(b, a.address), Stream(a, "10.2.0.9")]
        for stream in streams:
            stream.start()
        try:
            gateway.post(f"/v1/fault/panic?task={task}")
        except OSError:
            pass  # the task that answers may be gone before it has answered
        equal(b.arp("10.1.0.1"), GATEWAY_MAC, "ARP right after the panic")
        wait(lambda: "panic" in gateway.process.output(), "the log tells of the panic")
        gateway.wait_ready(20)
        exchange.established()
        exchange.learnt("10.2.0.0/24", 2003, "mplsoudp")
        exchange.advertised()
        for stream in streams:
            stream.stop_without_loss()
        equal(gateway.label_of(interface="a"), label, "the instance's label")
        after = gateway.show("status")
        check(after["uptime_seconds"] >= before["uptime_seconds"], "the process was not restarted")
        equal((gateway.process.pid, gateway.process.alive()), (pid, True), "the process")
