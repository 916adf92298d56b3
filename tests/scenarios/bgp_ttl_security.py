"""GTSM (RFC 5082): FRR with ttl-security comes up, whichever side dials; a peer that sends a smaller TTL does not, and the summary says why.

Breaks when: the least TTL is set only once a connection is accepted, so that what was sent before it counts, or only on dialled ones.
"""

from lab.net import check, equal, wait
from lab.peers import Bird, Frr
from lab.worlds import LOCAL, OnePe, peer, vrf

FRR, FAR = "10.255.0.3", "10.255.0.4"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(FRR, port=1791, ttl_security=1), peer(FAR, port=1792, ttl_security=1))
    frr = Frr(lab, world.namespace, FRR, 64512, LOCAL, 64512, "64512:100", "64512:3", 3301, ["10.3.1.0/24"]).start()
    secure = f"neighbor {LOCAL} ttl-security hops 1"

    def configure(*words):
        frr.run("configure terminal", "router bgp 64512", *words)
    configure(secure, f"neighbor {LOCAL} timers connect 2")
    bird = Bird(lab, world.namespace, FAR, 64512, LOCAL, 64512).start()
    world.start()
    gateway = world.gateway
    gateway.wait_established(FRR)
    wait(lambda: "10.3.1.0/24" in gateway.routes("red"), "FRR's route is installed")

    # We dial BIRD, which sends TTL 64, and 255 only in its SYN-ACK: no OPEN of it is heard.
    world.namespace.run("sleep", "3")
    row = gateway.peer(FAR)
    check(row["state"] != "Established" and not bird.established(), f"a session with BIRD: {row}")
    equal(row["hint"], "ttl-security = 1 hears nothing with a TTL below 255", "what is told")

    # The others dial us: FRR is let in, and the far one is not.
    rows = world.config["bgp"]["peer"]
    for row in rows:
        row["passive"] = True
    configure(f"no neighbor {LOCAL} passive", f"neighbor {LOCAL} port 179")
    gateway.apply()
    frr.run(f"clear bgp {LOCAL}")
    gateway.wait_established(FRR)
    bird.configure("passive yes", "passive no")
    wait(lambda: gateway.peer(FAR)["last_error"] == "connection of the peer refused: its TTL is 64, and ttl-security asks for 255",
         "the far one is refused, with the reason", timeout=20)
    check(not bird.established(), "BIRD has no session")

    # Without it on our side the far one is a peer like any other.
    del rows[1]["ttl-security"], rows[1]["passive"]
    said = gateway.apply()
    check(f"peer {FAR}: ttl-security 1 -> off" in said and FRR not in said, f"what the reload says: {said}")
    gateway.wait_established(FAR)
