"""TCP-MD5 (RFC 2385): gobgpd and FRR with the right password come up, whichever side dials; with a wrong one or none they do not.

Breaks when: the listening socket has no password, takes one away with that of another peer, or the password shows in what is printed.
"""

from lab.net import check, equal, wait
from lab.peers import Frr, GoBgp
from lab.worlds import LOCAL, OnePe, peer, vrf

GOBGP, FRR = "10.255.0.2", "10.255.0.3"
RIGHT, OTHER = "correct horse battery", "staple-42"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(GOBGP, passive=True, password=RIGHT), peer(FRR, port=1791, password=OTHER))
    rows = world.config["bgp"]["peer"]
    gobgp = GoBgp(lab, world.namespace, GOBGP, 64512,
                  [{"address": LOCAL, "asn": 64512, "passive": False, "port": 179, "password": RIGHT}]).start()
    frr = Frr(lab, world.namespace, FRR, 64512, LOCAL, 64512, "64512:100", "64512:3", 3301, ["10.3.1.0/24"]).start()

    def configure(*words):
        frr.run("configure terminal", "router bgp 64512", *words)
    configure(f"neighbor {LOCAL} password {OTHER}")
    world.start()
    gateway = world.gateway

    def state(address):
        return gateway.peer(address)["state"]
    gateway.wait_established(GOBGP)  # it dialled us
    gateway.wait_established(FRR)  # we dialled it
    wait(lambda: "10.3.1.0/24" in gateway.routes("red"), "FRR's route is installed")

    # Another password on our side resets that session alone, and it stays down.
    before = gateway.peer(GOBGP)
    rows[1]["password"] = RIGHT
    said = gateway.apply()
    check(f"peer {FRR}: password changed" in said and GOBGP not in said, f"what the reload says: {said}")
    wait(lambda: gateway.peer(FRR)["last_error"], "the attempt is given up", timeout=20)
    row = gateway.peer(FRR)
    equal(row["last_error"], "no answer to the connection attempt", "what ended it")
    check(row["state"] != "Established" and "with a wrong one" in row["hint"], f"what is told of a wrong password: {row}")
    check(gateway.peer(GOBGP)["uptime_seconds"] >= before["uptime_seconds"] and state(GOBGP) == "Established", "the other session")
    check("a peer with another password" in gateway.vrctl("bgp", "summary"), "the table tells it")
    # The right one again.
    rows[1]["password"] = OTHER
    gateway.apply()
    gateway.wait_established(FRR)

    # One that dials us with no password gets no answer, and with the wrong one neither.
    gobgp.stop()
    wait(lambda: state(GOBGP) != "Established", "the session is lost")
    for number, password in enumerate((None, OTHER)):
        wrong = {"address": LOCAL, "asn": 64512, "passive": False, "port": 179, "password": password}
        gobgp = GoBgp(lab, world.namespace, GOBGP, 64512, [wrong], name=f"wrong{number}", own_address=False).start()
        old = gateway.peer(GOBGP)["hint"]
        wait(lambda: gateway.peer(GOBGP)["hint"] not in (None, old), "the kernel's counters are told", timeout=20)
        check(state(GOBGP) != "Established" and not gobgp.established(LOCAL), f"no session with password {password}")
        gobgp.stop()

    # A peer whose password is taken away is served without one; the other one keeps its own.
    del rows[0]["password"]
    said = gateway.apply()
    check(f"peer {GOBGP}: password set -> not set" in said, f"what the reload says: {said}")
    gobgp = GoBgp(lab, world.namespace, GOBGP, 64512, [{"address": LOCAL, "asn": 64512, "passive": False, "port": 179}],
                  name="open", own_address=False).start()
    gateway.wait_established(GOBGP)
    equal(state(FRR), "Established", "the session of the other peer")

    shown = gateway.get("/v1/config")[1] + gateway.process.output() + gateway.vrctl("bgp", "summary") + gateway.vrctl("config", "show")
    check('password = "<set>"' in shown, "that a password is set is shown")
    for secret in (RIGHT, OTHER):
        check(secret not in shown, "a password is shown")
