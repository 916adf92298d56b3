"""BFD of a gateway through its fabric port, beside BIRD: up, agent crash unnoticed, intervals, a cut and the gateway's death noticed.

Breaks when: the service thread leaves BFD to the agent, a packet goes out with a TTL under 255, or a session is forgotten by a reload.
"""

import signal

from lab.net import check, equal, wait
from lab.peers import BirdBfd
from lab.worlds import OnePe, vrf

ONE_WAY = True
PEER = "192.0.2.4"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.9.0.0/24", 900, tunnel=PEER)
    world.config["bfd"] = [{"address": PEER, "interval-milliseconds": 50}]
    gateway = world.gateway
    world.outside.address(f"{PEER}/24", "wire")
    bird = BirdBfd(lab, world.outside, "wire", PEER, "192.0.2.1").start()
    gateway.start()

    def ours():
        return gateway.show("bfd")[0]

    def up():
        return ours()["state"] == "up" and bird.session()[0] == "Up"

    def tunnels():
        return {row["state"] for row in gateway.show("nexthop") if row["tunnel"] == PEER}

    wait(up, "both ends are up")
    wait(lambda: tunnels() == {"up"}, "the tunnel to it is usable")
    row = ours()
    equal((row["peer"], row["interval_milliseconds"], row["multiplier"], row["detection_milliseconds"]), (PEER, 50, 3, 150), "the row")
    wait(lambda: bird.session()[1:3] == (0.05, 0.15), "BIRD agrees about the intervals")
    check(gateway.vrctl("bfd").splitlines()[0].lower().split()[:3] == ["peer", "state", "diagnostic"], "the table has its heads")

    # Whatever the agent does: its crash, a new one, a reload.
    since = bird.session()[3]
    try:
        gateway.post("/v1/fault/panic?task=agent")
    except OSError:
        pass  # the task that answers may be gone before it has answered
    wait(lambda: any("restarted 1 times" in w for w in gateway.show("status")["warnings"]), "the agent is a new one")
    gateway.wait_ready()
    world.config["bfd"][0]["interval-milliseconds"] = 100
    said = gateway.apply()
    check(f"bfd {PEER}: interval-milliseconds 50 -> 100" in said, f"the reload names it: {said}")
    wait(lambda: bird.session()[1:3] == (0.1, 0.3), "BIRD takes the longer intervals over")
    equal((bird.session()[3], ours()["flaps"]), (since, 0), "BIRD's session is the same as before")

    # Only one direction is cut: who hears nothing says so, and both are down.
    world.outside.ip("neigh", "replace", "192.0.2.1", "lladdr", "02:00:00:00:00:66", "dev", "wire", "nud", "permanent")
    wait(lambda: ours()["diagnostic"] == "detection-time-expired", "silence is noticed", timeout=2)
    wait(lambda: bird.session()[0] != "Up", "and told", timeout=2)
    check("up" not in tunnels(), "no packet goes into a tunnel whose end is missed")
    world.outside.ip("neigh", "del", "192.0.2.1", "dev", "wire")
    wait(up, "both are up again")
    wait(lambda: tunnels() == {"up"}, "and the tunnel")
    equal(ours()["flaps"], 1, "times that it was lost")

    # Taken out of the configuration it says goodbye; put back it comes up.
    row = world.config.pop("bfd")
    gateway.apply()
    wait(lambda: bird.session()[0] == "Down", "BIRD is told", timeout=1)
    equal(gateway.show("bfd"), [], "sessions")
    world.config["bfd"] = row
    gateway.apply()
    wait(up, "up again")

    gateway.stop(signal.SIGKILL)
    wait(lambda: bird.session()[0] == "Down", "BIRD misses a dead gateway", timeout=1)
