"""A PE made of scapy exchanges pings with an instance over UDP 6635 and 51234, GRE plain, with key, with checksum; strangers are refused.

Breaks when: decapsulation ignores GRE's key flag, forgets port 51234, or does not compare the outer source with `tunnel-sources`.
"""

from lab.frames import ICMP, IP, Raw
from lab.net import check, equal
from lab.worlds import OnePe, vrf

FORMS = [("mplsoudp", {}), ("mplsoudp", {"dport": 51234}), ("mplsoudp", {"checksum": True}), ("mplsogre", {}),
         ("mplsogre", {"key": 0xDEADBEEF}), ("mplsogre", {"checksum": True}), ("mplsogre", {"key": 7, "checksum": True})]


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.config["router"]["tunnel-sources"] = ["192.0.2.0/28"]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    world.static_route("10.3.0.0/24", 1001, "mplsogre")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")

    # From an instance to hosts of the foreign PE, each answering as it was asked.
    pe.serve(1000, "10.2.0.9", label)
    pe.serve(1001, "10.3.0.9", label)
    with gateway.moves():
        for target, encapsulation in (("10.2.0.9", "mplsoudp"), ("10.3.0.9", "mplsogre")):
            check(host.ping(target), f"the instance reaches {target}")
            equal(pe.received.items[-1].encapsulation, encapsulation, "encapsulation of the route")

    # From the foreign PE, in every form a peer may send.
    with gateway.moves():
        for encapsulation, extra in FORMS:
            answer = pe.ping("10.2.0.9", "10.1.0.7", label, encapsulation=encapsulation, **extra)
            check(answer, f"no answer to an echo request in {encapsulation} {extra}")
            equal((answer.label, answer.bottom, answer.tc), (1000, True, 0), "label stack entry of the answer")
            equal(answer.inner.ttl, 63, "TTL of the answer")

    # The same from an address inside the underlay but outside `tunnel-sources`: counted, and nothing else happens.
    host.inbox.clear()
    inner = IP(src="10.2.0.9", dst="10.1.0.7", id=99) / ICMP(type=8, id=9, seq=9) / Raw(b"refused")
    with gateway.moves(tunnel_source=len(FORMS)):
        for encapsulation, extra in FORMS:
            pe.send(inner, label, encapsulation, source="192.0.2.77", **extra)
    equal(len(host.inbox), 0, "packets that reached the instance from a stranger")
