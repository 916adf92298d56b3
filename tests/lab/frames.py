"""Raw ports and what stands on them: hosts behind VLANs, and a foreign PE. scapy builds and reads every frame."""

import itertools
import socket
import struct
import threading
import time

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Raw

from .gateway import GATEWAY_MAC
from .net import check, wait

BROADCAST = "ff:ff:ff:ff:ff:ff"

_SOL_PACKET, _ADD_MEMBERSHIP, _AUXDATA, _IGNORE_OUTGOING, _MR_PROMISC = 263, 1, 8, 23, 1
_VLAN_VALID, _TPID_VALID = 0x10, 0x40
_SO_RCVBUFFORCE = 33


class RawPort:
    """Every frame that arrives at a device, with its VLAN tag where it was on the wire, handed to `listeners` in one thread."""

    def __init__(self, lab, namespace, device):
        self.device, self.listeners, self._closed = device, [], False
        self.socket = namespace.call(lambda: self._open(device))
        self.thread = threading.Thread(target=self._receive, daemon=True)
        self.thread.start()
        lab.closing(self.close)

    @staticmethod
    def _open(device):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        raw.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        raw.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        raw.bind((device, 3))
        raw.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP,
                       struct.pack("iHH8s", socket.if_nametoindex(device), _MR_PROMISC, 0, b""))
        raw.settimeout(0.2)
        return raw

    def send(self, frame):
        self.socket.send(bytes(frame))

    def close(self):
        self._closed = True
        self.thread.join(2)
        self.socket.close()

    def _receive(self):
        while not self._closed:
            try:
                data, control, _, _ = self.socket.recvmsg(65536, 256)
            except socket.timeout:
                continue
            except OSError:
                if self._closed:
                    return
                time.sleep(0.05)  # the device is down for a moment
                continue
            frame = self._with_tag(data, control)
            for listener in self.listeners:
                try:
                    listener(frame)
                except OSError as error:
                    print(f"{self.device}: {error!r}")

    @staticmethod
    def _with_tag(data, control):
        # The kernel takes the outer tag out of the bytes before any socket sees them, and tells it beside them.
        for level, kind, body in control:
            if level == _SOL_PACKET and kind == _AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", body[:20])
                if status & _VLAN_VALID:
                    return data[:12] + struct.pack("!HH", tpid if status & _TPID_VALID else 0x8100, tci) + data[12:]
        return data


class Inbox:
    """What arrived, with a wait for something in particular."""

    def __init__(self):
        self.items, self._news = [], threading.Condition()

    def put(self, item):
        with self._news:
            self.items.append(item)
            self._news.notify_all()

    def find(self, wanted, timeout=2.0):
        """The first item that `wanted(item)` accepts, or None when none came in time."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._news:
            while True:
                for item in self.items[seen:]:
                    if wanted(item):
                        return item
                seen = len(self.items)
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left) and time.monotonic() >= deadline:
                    return None

    def clear(self):
        with self._news:
            self.items.clear()

    def __len__(self):
        return len(self.items)


class VlanHosts:
    """Hosts behind one trunk, each on a VLAN of its own. They answer ARP and echo requests."""

    def __init__(self, port):
        self.port, self.hosts, self.strays = port, {}, Inbox()
        port.listeners.append(self._heard)

    def add(self, vlan, mac, address, gateway, answers=True):
        host = self.hosts[vlan] = VlanHost(self, vlan, mac, address, gateway, answers)
        return host

    def _heard(self, frame):
        if len(frame) < 18 or frame[12:14] != b"\x81\x00":
            self.strays.put(frame)
            return
        host = self.hosts.get(int.from_bytes(frame[14:16], "big") & 0xFFF)
        packet = Ether(frame)
        if host is None or packet.dst not in (host.mac, BROADCAST):
            self.strays.put(frame)
            return
        host.heard(packet)


class VlanHost:
    def __init__(self, group, vlan, mac, address, gateway, answers):
        self.group, self.vlan, self.mac, self.address, self.gateway = group, vlan, mac, address, gateway
        self.answers, self.inbox, self.arps, self._numbers = answers, Inbox(), Inbox(), itertools.count(1)

    def frame(self, payload, dst=GATEWAY_MAC, src=None, vlan=None):
        return Ether(src=src or self.mac, dst=dst) / Dot1Q(vlan=self.vlan if vlan is None else vlan) / payload

    def send(self, payload, **kwargs):
        self.group.port.send(self.frame(payload, **kwargs))

    def heard(self, packet):
        if ARP in packet:
            arp = packet[ARP]
            self.arps.put(packet)
            if arp.op == 1 and arp.pdst == self.address and self.answers:
                self.send(ARP(op=2, hwsrc=self.mac, psrc=self.address, hwdst=arp.hwsrc, pdst=arp.psrc), dst=packet.src)
            return
        if ICMP in packet and packet[ICMP].type == 8 and packet[IP].dst == self.address and self.answers \
                and packet[IP].frag == 0 and not packet[IP].flags.MF:
            self.send(echo_reply(packet[IP]), dst=packet.src)
        self.inbox.put(packet)

    def arp(self, target, sender=None, timeout=1.0):
        """MAC that answers for `target`, or None. `sender` 0.0.0.0 makes it a duplicate-address probe."""
        self.arps.clear()
        self.send(ARP(op=1, hwsrc=self.mac, psrc=sender or self.address, pdst=target), dst=BROADCAST)
        reply = self.arps.find(lambda p: p[ARP].op == 2 and p[ARP].psrc == target, timeout)
        return reply[ARP].hwsrc if reply else None

    def ping(self, target, timeout=2.0, **kwargs):
        """Sends one echo request and returns what came back about it: the reply or an ICMP error; None if nothing."""
        request = self.echo(target, **kwargs)
        self.send(request)
        return self.answer(request, timeout)

    def echo(self, target, size=56, ttl=64, df=False, src=None):
        number = next(self._numbers) & 0xFFFF
        return IP(src=src or self.address, dst=target, ttl=ttl, flags="DF" if df else 0, id=(self.vlan * 16 + number) & 0xFFFF) / \
            ICMP(type=8, id=self.vlan, seq=number) / Raw(pattern(size))

    def answer(self, request, timeout=2.0):
        return self.inbox.find(lambda p: is_answer(p, request), timeout)


def pattern(size):
    return bytes(i * 7 & 0xFF for i in range(size))


def echo_reply(request):
    return IP(src=request.dst, dst=request.src, ttl=64, id=request.id) / \
        ICMP(type=0, id=request[ICMP].id, seq=request[ICMP].seq) / Raw(bytes(request[ICMP].payload))


def is_answer(packet, request):
    if ICMP not in packet:
        return False
    icmp = packet[ICMP]
    if icmp.type == 0:
        return icmp.id == request[ICMP].id and icmp.seq == request[ICMP].seq and packet[IP].src == request[IP].dst \
            and bytes(icmp.payload) == bytes(request[ICMP].payload)
    if icmp.type in (3, 11):
        quoted = bytes(icmp.payload)
        return len(quoted) >= 28 and quoted[4:6] == struct.pack("!H", request[IP].id)
    return False


class Tunnelled:
    """One tunnel packet as the foreign PE got it: outer headers, the label stack entry, the inner bytes and packet."""

    def __init__(self, outer, encapsulation, entry, inner):
        self.outer, self.encapsulation, self.inner_bytes = outer, encapsulation, inner
        word = struct.unpack("!I", entry)[0]
        self.label, self.tc, self.bottom, self.ttl = word >> 12, word >> 9 & 7, bool(word >> 8 & 1), word & 0xFF
        self.inner = IP(inner) if inner and inner[0] >> 4 == 4 else Raw(inner)

    @staticmethod
    def read(packet):
        """The tunnel packet in an Ethernet frame, or None."""
        if IP not in packet:
            return None
        ip, raw = packet[IP], bytes(packet[IP])
        raw = raw[:ip.len]
        body = raw[ip.ihl * 4:]
        if ip.proto == 17 and body[2:4] in (b"\x19\xeb", struct.pack("!H", 51234)):
            return Tunnelled(packet, "mplsoudp", body[8:12], body[12:])
        if ip.proto == 47:
            flags, protocol = struct.unpack("!HH", body[:4])
            skip = 4 + (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0)
            if protocol == 0x8847:
                return Tunnelled(packet, "mplsogre", body[skip:skip + 4], body[skip + 4:])
        return None


class ForeignPe:
    """A PE that shares no code with ours. `serve()` gives it hosts of its own; `received` keeps every tunnel packet."""

    def __init__(self, port, mac, address, gateway_address):
        self.port, self.mac, self.address, self.peer = port, mac, address, gateway_address
        self.addresses, self.received, self.arps, self.other = {address}, Inbox(), Inbox(), Inbox()
        self.served, self.peer_mac, self._sequence = {}, None, 0
        port.listeners.append(self._heard)

    def serve(self, label, address, return_label, encapsulation=None):
        """Answers echo requests for `address`, or a set of them, under `label`, back with `return_label`, as they came or as told."""
        self.served[label] = ({address} if isinstance(address, str) else address, return_label, encapsulation)

    def resolve(self, timeout=5.0):
        """Learns the gateway's MAC by ARP."""
        def ask():
            self.port.send(Ether(src=self.mac, dst=BROADCAST) / ARP(op=1, hwsrc=self.mac, psrc=self.address, pdst=self.peer))
            return self.arps.find(lambda p: p[ARP].op == 2 and p[ARP].psrc == self.peer, 0.5)
        self.peer_mac = wait(ask, f"the gateway answers ARP for {self.peer}", timeout)[ARP].hwsrc
        return self.peer_mac

    def send(self, inner, label, encapsulation="mplsoudp", source=None, **kwargs):
        check(self.peer_mac, "resolve() first")
        self.port.send(Ether(src=self.mac, dst=self.peer_mac) /
                       tunnel(inner, label, encapsulation, source or self.address, self.peer, **kwargs))

    def ping(self, source, target, label, timeout=2.0, **kwargs):
        """An echo request from a host of this PE to an instance; returns the tunnel packet that answers it, or None."""
        self._sequence += 1
        request = IP(src=source, dst=target, ttl=64, id=0x4000 + self._sequence) / \
            ICMP(type=8, id=0x7E, seq=self._sequence) / Raw(pattern(56))
        self.send(request, label, **kwargs)
        return self.received.find(lambda t: IP in t.inner and t.inner.dst == source and is_answer(t.inner, request), timeout)

    def _heard(self, frame):
        packet = Ether(frame)
        if ARP in packet:
            arp = packet[ARP]
            if arp.op == 1 and arp.pdst in self.addresses:
                self.port.send(Ether(src=self.mac, dst=packet.src) /
                               ARP(op=2, hwsrc=self.mac, psrc=arp.pdst, hwdst=arp.hwsrc, pdst=arp.psrc))
            self.arps.put(packet)
            return
        if packet.dst != self.mac:
            return
        got = Tunnelled.read(packet)
        if got is None:
            self.other.put(packet)
            return
        # Before the answer: who has that may look here.
        self.received.put(got)
        served = self.served.get(got.label)
        if served and self.peer_mac and ICMP in got.inner and got.inner[ICMP].type == 8 and got.inner.dst in served[0]:
            self.send(echo_reply(got.inner), served[1], served[2] or got.encapsulation)


def label_entry(label, ttl=64, bottom=True, tc=0):
    return struct.pack("!I", label << 12 | tc << 9 | int(bottom) << 8 | ttl)


def tunnel(inner, label, encapsulation, source, destination, dport=6635, sport=50123, key=None, checksum=False, bottom=True,
           flags=0, frag=0, entry=None):
    """An outer IPv4 packet with MPLS in UDP or GRE. `key` and `checksum` add the optional GRE words."""
    payload = (label_entry(label, bottom=bottom) if entry is None else entry) + bytes(inner)
    ip = IP(src=source, dst=destination, ttl=64, flags=flags, frag=frag)
    if encapsulation == "mplsoudp":
        return ip / UDP(sport=sport, dport=dport, chksum=None if checksum else 0) / Raw(payload)
    return ip / GRE(proto=0x8847, chksum_present=int(checksum), key_present=int(key is not None), key=key) / Raw(payload)


__all__ = ["ARP", "BROADCAST", "Dot1Q", "Ether", "ForeignPe", "GRE", "ICMP", "IP", "Inbox", "MPLS", "Raw", "RawPort", "Tunnelled", "UDP",
           "VlanHost", "VlanHosts", "echo_reply", "is_answer", "label_entry", "pattern", "tunnel"]
