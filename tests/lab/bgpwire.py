"""The other end of a BGP session by hand: messages as octets, and a socket that says exactly what a scenario wants."""

import socket
import struct

from .net import check
from .worlds import LOCAL

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
