"""Malformed BGP messages get the NOTIFICATION that the RFCs name, the session comes back, and no table keeps anything of it.

Breaks when: the decoder answers a bad marker with another error than 1/1, or keeps the routes of a session that it reset.
"""

import socket
import struct

from lab.bgpwire import PEER, Session, attribute, hello, message, vpn_update
from lab.net import check, equal, wait
from lab.worlds import OnePe, peer, vrf

# (what, bytes, code and subcode); RFC 4271 6.1 and 6.3, RFC 7606 where a session has to end.
RESETS = [
    ("a bad marker", message(4, marker=b"\xff" * 15 + b"\xfe"), (1, 1)),
    ("a length under 19", message(4, length=18), (1, 2)),
    ("a length over 4096", message(2, length=4097), (1, 2)),
    ("a KEEPALIVE with a body", message(4, b"\0"), (1, 2)),
    ("an unknown message type", message(9), (1, 3)),
    ("attributes longer than the message", message(2, struct.pack("!HH", 0, 500)), (3, 1)),
    ("withdrawn routes longer than the message", message(2, struct.pack("!HH", 500, 0)), (3, 1)),
    ("an OPEN in Established", hello(), (5, 3)),
]
# The same for OPEN, RFC 4271 6.2.
OPENS = [
    ("version 3", hello(version=3), (2, 1)),
    ("another AS", message(1, struct.pack("!BHH", 4, 64999, 90) + socket.inet_aton("10.255.0.9") + b"\0"), (2, 2)),
    ("identifier 0", hello(identifier="0.0.0.0"), (2, 3)),
    ("hold time 1", hello(hold=1), (2, 6)),
    ("an UPDATE instead of OPEN", vpn_update(), (5, 1)),
]


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, passive=True))  # we dial: it would pause longer after each fault
    world.namespace.address(f"{PEER}/32")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway = world.gateway

    for what, data, expected in OPENS:
        equal(Session(world.namespace, data).notification(), expected, f"NOTIFICATION for {what}")
    for what, data, expected in RESETS:
        session = Session(world.namespace).establish()
        session.socket.sendall(vpn_update())
        wait(lambda: "10.8.0.0/24" in gateway.routes("red"), "the good route before the bad message is learnt")
        session.socket.sendall(data)
        equal(session.notification(), expected, f"NOTIFICATION for {what}")
        wait(lambda: "10.8.0.0/24" not in gateway.routes("red"), f"the table is clean after {what}")
        check(gateway.peer(PEER)["last_error"], "the reason is told")

    # What RFC 7606 wants treated as a withdrawal, or discarded, leaves the session alone.
    session = Session(world.namespace).establish()
    session.socket.sendall(vpn_update())
    wait(lambda: "10.8.0.0/24" in gateway.routes("red"), "the route is learnt")
    session.socket.sendall(vpn_update(origin=b"\x09"))
    wait(lambda: "10.8.0.0/24" not in gateway.routes("red"), "a route with a bad ORIGIN is treated as withdrawn")
    session.socket.sendall(vpn_update(extra=attribute(0xC0, 99, b"unknown")))
    wait(lambda: "10.8.0.0/24" in gateway.routes("red"), "an unknown transitive attribute is carried")
    equal(gateway.peer(PEER)["state"], "Established", "the session")
    check(host.ping("10.1.0.1"), "the gateway answers")
