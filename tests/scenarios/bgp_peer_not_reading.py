"""A peer that talks but reads nothing loses its session after the send hold time (RFC 9687), counted and told; the other peer notices nothing.

Breaks when: the timer starts anew with whatever is handed to the connection, or what such a peer never takes stays in the kernel.
"""

import socket
import threading
import time

from lab.bgpwire import PEER, Session, hello, message
from lab.net import check, equal, wait
from lab.peers import GoBgp
from lab.worlds import LOCAL, OnePe, instance, peer, vrf

OTHER = "10.255.0.2"
SEND_HOLD = 5
# ROUTE-REFRESH for VPNv4: it makes the gateway send everything again.
REFRESH = message(5, bytes([0, 1, 0, 128]))


class Talker:
    """Sends KEEPALIVEs and asks for all routes, again and again, and never reads."""

    def __init__(self, namespace):
        self.session = Session(namespace, hello(hold=3)).establish()
        self.session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.ended = False
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    def talk(self):
        try:
            while True:
                self.session.socket.sendall(REFRESH + message(4))
                time.sleep(0.005)
        except OSError:
            self.ended = True  # the gateway has cut it off


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, passive=True, hold_time=3, send_hold_time=SEND_HOLD), peer(OTHER))
    world.namespace.address(f"{PEER}/32")
    world.config["instance"] = [instance(f"i{n}", 100 + n, f"10.1.0.{n}") for n in range(2, 202)]
    gobgp = GoBgp(lab, world.namespace, OTHER, 64512, [{"address": LOCAL, "asn": 64512}]).start()
    world.start()
    gateway = world.gateway
    gateway.wait_established(OTHER)

    def row():
        return gateway.peer(PEER)

    talker, began = Talker(world.namespace), time.monotonic()
    wait(lambda: row()["state"] != "Established", "the session of the peer that does not read ends", timeout=40)
    check(time.monotonic() - began >= SEND_HOLD, "it ended before the send hold time")
    equal((row()["last_error"], row()["send_hold_expired"]), ("we sent NOTIFICATION: send hold timer expired (8/0)", 1), "what is told")
    check("send hold timer expired" in gateway.process.output(), "the log tells it")
    check(f'vrouter_bgp_peer_send_hold_expired_total{{peer="{PEER}"}} 1' in gateway.get("/metrics")[1], "the metric counts")
    # Nothing that it does not take is kept for it, in the kernel neither.
    wait(lambda: PEER not in world.namespace.run("ss", "-Htn", "dst", PEER), "the connection is gone", timeout=10)
    talker.thread.join(5)
    check(talker.ended, "the peer has been told that it is over")

    # A peer that reads is let in again, and the other one has seen nothing of all this.
    reader = Session(world.namespace, hello(hold=90)).establish()
    wait(lambda: row()["state"] == "Established", "the peer is back")
    other = gateway.peer(OTHER)
    equal((other["state"], other["last_error"], other["advertised"]), ("Established", None, 200), "the other session")
    check(gobgp.established(LOCAL), "gobgpd says the same")
    reader.socket.close()
