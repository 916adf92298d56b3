"""Frag-needed with the MTU of the path really taken: less 32 over UDP, less 28 over GRE, and back through the tunnel from the VLAN side.

Breaks when: the overhead of the other encapsulation is used, or a packet one byte too long is sent.
"""

from lab.frames import ICMP, IP, UDP, Raw, pattern
from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab, mtu=1500, gw_mtu=1400)
    # The instance's side has MTU 1400; the underlay carries 1300, so 1268 or 1272 of an inner packet.
    world.config["port"][0]["mtu"], world.config["port"][1]["mtu"] = 1300, 1400
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    world.static_route("10.3.0.0/24", 1001, "mplsogre")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")
    pe.serve(1000, "10.2.0.9", label)
    pe.serve(1001, "10.3.0.9", label)

    for target, most in (("10.2.0.9", 1300 - 32), ("10.3.0.9", 1300 - 28)):
        with gateway.moves():
            reply = host.ping(target, size=most - 28, df=True)
            check(reply and reply[ICMP].type == 0, f"a packet of {most} bytes with DF passes to {target}")
        with gateway.moves(too_big=1):
            error = host.ping(target, size=most - 28 + 1, df=True)
            check(error, f"no answer to a packet of {most + 1} bytes to {target}")
            equal((error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu, error[IP].src), (3, 4, most, "10.1.0.1"), "frag-needed")
        with gateway.moves(needs_fragmentation=1):
            check(host.ping(target, size=most, df=False, timeout=0.5) is None, "DF clear and too big is a named drop")

    # Towards the instance: the MTU of its port, told to the sender behind the tunnel.
    packet = IP(src="10.2.0.9", dst="10.1.0.7", flags="DF", id=4242) / UDP(sport=1, dport=2) / Raw(pattern(1400 - 28 + 1))
    with gateway.moves(too_big=1):
        pe.send(packet, label)
        error = pe.received.find(lambda t: ICMP in t.inner and t.inner[ICMP].type == 3, 2)
        check(error, "no frag-needed through the tunnel")
        equal((error.inner[ICMP].code, error.inner[ICMP].nexthopmtu, error.inner.src, error.inner.dst, error.label),
              (4, 1400, "10.1.0.1", "10.2.0.9", 1000), "frag-needed through the tunnel")
    with gateway.moves():
        host.inbox.clear()
        pe.send(IP(src="10.2.0.9", dst="10.1.0.7", flags="DF") / UDP(sport=1, dport=2) / Raw(pattern(1400 - 28)), label)
        check(host.inbox.find(lambda p: IP in p and p[IP].len == 1400, 2), "a packet of just 1,400 bytes reaches the instance")
