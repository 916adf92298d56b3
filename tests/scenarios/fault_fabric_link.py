"""The fabric link goes down and up, at our end and at the other: local traffic loses nothing, the rest converges, no restart.

Breaks when: carrier is taken from the PMD alone, which goes on saying "up", or a lost link stops the worker.
"""

from lab.net import check, equal, wait
from lab.traffic import Stream, without_loss
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000)
    a, b = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    world.start()
    gateway, pe = world.gateway, world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    check(a.ping("10.2.0.9"), "the far host is reached")
    pid = gateway.process.pid

    def state():
        return {row["name"]: row["state"] for row in gateway.show("port")}

    local = Stream(b, a.address).start()
    for namespace, device in ((world.outside, "wire"), (world.namespace, "fab0")):
        namespace.up(device, False)
        wait(lambda: state()["fabric0"] == "down", f"the port is down after `ip link set {device} down`")
        equal(state()["gw0"], "up", "the other port")
        status = gateway.show("status")
        check(not status["ready"] and any("fabric0" in w for w in status["warnings"]), f"status says which port: {status}")
        equal(gateway.try_vrctl("status")[0], 4, "exit status of `vrctl status` when a port is down")
        check(a.ping("10.2.0.9", timeout=0.3) is None, "a packet crossed a link that is down")
        check(b.ping(a.address, timeout=1), "local traffic waits for the link to come back")
        namespace.up(device, True)
        wait(lambda: state()["fabric0"] == "up", "the port is up again")
        wait(lambda: a.ping("10.2.0.9", timeout=0.3), "the far host is reached again", timeout=15)
        gateway.wait_ready()
    without_loss(local)
    equal((gateway.process.pid, gateway.process.alive()), (pid, True), "the process")
