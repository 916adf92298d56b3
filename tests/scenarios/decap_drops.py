"""Every fault of a tunnel packet moves the counter of its name and no other.

Breaks when: decapsulation skips the outer checksum, or takes a label it never advertised.
"""

from lab.frames import GRE, ICMP, IP, UDP, Ether, Raw, label_entry, tunnel
from lab.net import equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route()
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")
    inner = IP(src="10.2.0.9", dst="10.1.0.7") / ICMP(type=8, id=9, seq=9) / Raw(b"x" * 40)

    def send(packet):
        pe.port.send(Ether(src=pe.mac, dst=pe.peer_mac) / packet)

    for encapsulation in ("mplsoudp", "mplsogre"):
        good = tunnel(inner, label, encapsulation, pe.address, pe.peer)
        with gateway.moves(invalid_label=2):
            pe.send(inner, 1048000, encapsulation)
            pe.send(inner, 3, encapsulation)
        with gateway.moves(invalid_label_stack=1):
            pe.send(label_entry(label) + bytes(inner), label, encapsulation, bottom=False)
        with gateway.moves(label_ttl=1):
            pe.send(inner, label, encapsulation, entry=label_entry(label, ttl=0))
        with gateway.moves(outer_checksum=1):
            bad = good.copy()
            bad.chksum = 0x1234
            send(bad)
        with gateway.moves(malformed=2):
            head = IP(src=pe.address, dst=pe.peer)
            if encapsulation == "mplsoudp":
                send(head / UDP(sport=50000, dport=6635, chksum=0) / Raw(b"\0\0"))
            else:
                send(head / GRE(proto=0x8847) / Raw(b"\0\0"))
            pe.send(b"", label, encapsulation)
        with gateway.moves(inner_checksum=1):
            wrong = inner.copy()
            wrong.chksum = 0x1234
            pe.send(wrong, label, encapsulation)
    with gateway.moves(outer_checksum=1):
        bad = tunnel(inner, label, "mplsoudp", pe.address, pe.peer, checksum=True)
        bad["UDP"].chksum = 0x4321
        send(bad)
    with gateway.moves(not_local=1):
        send(tunnel(inner, label, "mplsoudp", pe.address, "192.0.2.200"))
    with gateway.moves(unsupported_protocol=1):
        send(tunnel(inner, label, "mplsoudp", pe.address, pe.peer, dport=4000))
    vrf_label = next((row["label"] for row in gateway.show("vrf") if row["label"]), None)
    if vrf_label is not None:
        with gateway.moves(tunnel_to_tunnel=1):
            pe.send(IP(src="10.2.0.9", dst="10.2.0.10") / ICMP(), vrf_label)
    equal(len(host.inbox), 0, "packets that reached the instance")
