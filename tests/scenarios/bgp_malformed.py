"""Malformed BGP messages get the NOTIFICATION that the RFCs name, the session comes back, and no table keeps anything of it.

Breaks when: the decoder answers a bad marker with another error than 1/1, or keeps the routes of a session that it reset.
"""

import socket
import struct

from lab.net import check, equal, wait
from lab.worlds import LOCAL, OnePe, peer, vrf

PEER = "10.255.0.9"
# VPNv4, route refresh, 4-octet AS.
CAPABILITIES = bytes([1, 4, 0, 1, 0, 128, 2, 0, 65, 4]) + struct.pack("!I", 64512)


def message(kind, body=b"", marker=b"\xff" * 16, length=None):
    return marker + struct.pack("!HB", 19 + len(body) if length is None else length, kind) + body


def hello(version=4, asn=64512, hold=90, identifier="10.255.0.9"):
    options = bytes([2, len(CAPABILITIES)]) + CAPABILITIES
    return message(1, struct.pack("!BHH", version, asn, hold) + socket.inet_aton(identifier) + bytes([len(options)]) + options)


def attribute(flags, kind, value):
    return bytes([flags, kind, len(value)]) + value


def vpn_update(prefix=b"\x0a\x08\x00", label=3000, extra=b"", origin=b"\x00"):
    nlri = bytes([24 + 64 + len(prefix) * 8]) + struct.pack("!I", label << 12 | 1 << 8)[:3] + struct.pack("!HHI", 0, 64512, 9) + prefix
    reach = struct.pack("!HBB", 1, 128, 12) + bytes(8) + socket.inet_aton("192.0.2.2") + b"\0" + nlri
    attributes = attribute(0x80, 14, reach) + attribute(0x40, 1, origin) + attribute(0x40, 2, b"") + \
        attribute(0x40, 5, struct.pack("!I", 100)) + attribute(0xC0, 16, struct.pack("!BBHI", 0, 2, 64512, 100)) + extra
    return message(2, struct.pack("!HH", 0, len(attributes)) + attributes)


class Session:
    """The other end of the gateway's session, by hand."""

    def __init__(self, namespace, open_message=None):
        self.socket = namespace.call(lambda: socket.create_connection((LOCAL, 179), 5, (PEER, 0)))
        self.socket.settimeout(10)
        self.buffer = b""
        self.socket.sendall(hello() if open_message is None else open_message)

    def read(self):
        """(kind, body), or None at the end."""
        while True:
            if len(self.buffer) >= 19:
                length, kind = struct.unpack("!HB", self.buffer[16:19])
                if len(self.buffer) >= length:
                    body, self.buffer = self.buffer[19:length], self.buffer[length:]
                    return kind, body
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more

    def establish(self):
        while True:
            kind, _ = self.read() or (None, None)
            check(kind in (1, 4), f"the gateway sent {kind} instead of OPEN or KEEPALIVE")
            if kind == 4:
                self.socket.sendall(message(4))
                return self
            self.socket.sendall(message(4))

    def notification(self):
        """(code, subcode) of the NOTIFICATION that ends the session."""
        while True:
            got = self.read()
            check(got is not None, "the session ended without a NOTIFICATION")
            if got[0] == 3:
                self.socket.close()
                return got[1][0], got[1][1]


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
