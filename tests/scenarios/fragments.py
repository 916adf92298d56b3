"""Fragments: of tunnel packets a named drop, of instances' packets carried whole on one source port; no ICMP error about later ones.

The ports are net_pcap: net_af_packet of DPDK 22.11 has the kernel reassemble IPv4 before any frame is seen.

Breaks when: the entropy of a first fragment uses its ports, so that the fragments of one packet take different ways.
"""

from lab.expect import tunnel_row
from lab.frames import ICMP, IP, UDP, Raw, pattern
from lab.judge import Capture, none_malformed, tunnel_rows
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf

ONE_WAY = True  # net_pcap cannot strip tags


def run(lab):
    world = OnePe(lab, driver="net_pcap")
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")

    inner = IP(src="10.2.0.9", dst="10.1.0.7") / ICMP(type=8, id=9, seq=9) / Raw(b"x" * 40)
    for encapsulation in ("mplsoudp", "mplsogre"):
        with gateway.moves(outer_fragment=2):
            pe.send(inner, label, encapsulation, flags="MF")
            pe.send(inner, label, encapsulation, frag=100)
    equal(len(host.inbox), 0, "packets that reached the instance")

    # Ten packets of an instance in three fragments each: all three of one packet leave by one source port.
    capture = Capture(lab, "fabric", (world.outside, "wire"))
    with gateway.moves():
        for n in range(10):
            whole = bytes(UDP(sport=3000 + n, dport=40001, len=3008, chksum=0) / Raw(pattern(3000)))
            for at in range(0, len(whole), 1200):
                last = at + 1200 >= len(whole)
                head = IP(src="10.1.0.7", dst="10.2.0.9", id=n, proto=17, flags=0 if last else "MF", frag=at // 8)
                host.send(head / Raw(whole[at:at + 1200]))
        wait(lambda: len(pe.received) >= 30, "every fragment reaches the foreign PE")
    capture.stop()
    none_malformed(capture.path, "mpls")
    rows = tunnel_rows(capture.path, "192.0.2.1", "192.0.2.2")
    for row in rows:
        tunnel_row(row, "mplsoudp", 1000, inner_ttl=63)
    ports = [int(row["udp.srcport"][0]) for row in rows]
    for n in range(10):
        equal(len(set(ports[3 * n:3 * n + 3])), 1, f"source ports of packet {n}")

    # Time exceeded about the first fragment, silence about the later ones.
    host.inbox.clear()
    with gateway.moves(ttl_exceeded=2):
        host.send(IP(src="10.1.0.7", dst="10.2.0.9", ttl=1, frag=100) / Raw(b"z" * 40))
        check(host.inbox.find(lambda p: ICMP in p, 0.5) is None, "an error about a later fragment")
        host.send(IP(src="10.1.0.7", dst="10.2.0.9", ttl=1, flags="MF") / UDP() / Raw(b"z" * 40))
        check(host.inbox.find(lambda p: ICMP in p and p[ICMP].type == 11), "no error about a first fragment")
