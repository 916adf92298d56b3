"""A panic in one task of the agent: forwarding, ARP and echo go on without a lost packet, the agent starts anew and converges.

Breaks when: the data plane is stopped with the agent, or the sweep after the restart removes what was set again.
"""

from lab.bgpcheck import LOCAL, Exchange
from lab.frames import GATEWAY_MAC
from lab.net import check, equal, wait
from lab.peers import Frr
from lab.traffic import Stream, without_loss
from lab.worlds import OnePe, peer, vrf

PEER = "10.255.0.3"
TASKS = ("bgp", "agent", "api")


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, port=1791))
    world.config["static-route"] = [{"prefix": f"{PEER}/32", "via": "192.0.2.2"}]
    world.static_route("10.5.0.0/24", 1000)
    a, b = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    frr = Frr(lab, world.namespace, PEER, 64512, LOCAL, 64512, "64512:100", "64512:3", 3301, ["10.2.0.0/24"]).start()
    world.start()
    gateway, pe = world.gateway, world.pe
    exchange = Exchange(world, a, frr, PEER)
    exchange.established()
    exchange.learnt("10.2.0.0/24", 3301, "mplsogre", nexthop=PEER)
    label = gateway.label_of(interface="a")
    pe.serve(1000, "10.5.0.9", label)
    pe.serve(3301, "10.2.0.9", label)
    world.tunnels_up()
    pid = gateway.process.pid

    for number, task in enumerate(TASKS, 1):
        before = gateway.show("status")
        streams = [Stream(a, "10.5.0.9"), Stream(a, "10.1.0.1", rate=20), Stream(b, a.address), Stream(a, "10.2.0.9")]
        for stream in streams:
            stream.start()
        try:
            gateway.post(f"/v1/fault/panic?task={task}")
        except OSError:
            pass  # the task that answers may be gone before it has answered
        equal(b.arp("10.1.0.1"), GATEWAY_MAC, "ARP right after the panic")
        wait(lambda: any(f"restarted {number} times" in w for w in gateway.show("status")["warnings"]), "status tells of the restart")
        gateway.wait_ready(20)
        exchange.established()
        exchange.learnt("10.2.0.0/24", 3301, "mplsogre", nexthop=PEER)
        exchange.advertised()
        without_loss(*streams)
        equal(gateway.label_of(interface="a"), label, "the instance's label")
        after = gateway.show("status")
        check(after["uptime_seconds"] >= before["uptime_seconds"], "the process was not restarted")
        equal((gateway.process.pid, gateway.process.alive()), (pid, True), "the process")
