"""Echo to the gateway addresses, time exceeded towards instances and through the tunnel, and never an error about an error.

Breaks when: the ICMP error is sourced from another address than the VRF's gateway, or answers an ICMP error.
"""

from lab.frames import GATEWAY_MAC, ICMP, IP, UDP, Raw
from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.config["vrf"][0]["subnets"].append({"prefix": "10.4.0.0/24", "gateway": "10.4.0.1"})
    world.static_route("10.2.0.0/24", 1000)
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")

    with gateway.moves():
        for target in ("10.1.0.1", "10.4.0.1"):
            reply = host.ping(target, size=600)
            check(reply, f"the gateway address {target} answers an echo request")
            equal((reply[IP].src, reply[ICMP].type, reply.src), (target, 0, GATEWAY_MAC), "the echo reply")

    # An instance's traceroute: the first hop is the gateway of its own subnet.
    with gateway.moves(ttl_exceeded=2):
        for ttl in (1, 0):
            error = host.ping("10.2.0.9", ttl=ttl)
            check(error, f"no answer to a packet with TTL {ttl}")
            equal((error[ICMP].type, error[ICMP].code, error[IP].src, error[IP].dst), (11, 0, "10.1.0.1", "10.1.0.7"), "time exceeded")
    # The same from behind the tunnel: the error goes back through it. The gateway lives in the VRF of the label.
    inner = IP(src="10.2.0.9", dst="10.1.0.7", ttl=1, id=77) / UDP(sport=5, dport=6) / Raw(b"y" * 30)
    with gateway.moves(ttl_exceeded=1):
        pe.send(inner, label)
        error = pe.received.find(lambda t: ICMP in t.inner and t.inner[ICMP].type == 11, 2)
        check(error, "no time exceeded through the tunnel")
        equal((error.label, error.encapsulation, error.inner.src, error.inner.dst),
              (1000, "mplsoudp", "10.1.0.1", "10.2.0.9"), "its way back")
        equal(bytes(error.inner[ICMP].payload)[:20][12:20], bytes(inner)[12:20], "it quotes the packet")

    # Silence about ICMP errors. (About later fragments: see `fragments`.)
    host.inbox.clear()
    with gateway.moves(ttl_exceeded=1):
        quoted = Raw(bytes(IP(src="10.2.0.9", dst="10.1.0.7")) + b"12345678")
        host.send(IP(src="10.1.0.7", dst="10.2.0.9", ttl=1) / ICMP(type=3, code=1) / quoted)
        check(host.inbox.find(lambda p: ICMP in p and p[ICMP].type == 11, 0.7) is None, "an error about an error")

    # Rate-limited: a thousand expired packets get far fewer answers.
    before = gateway.settled()
    for n in range(1000):
        host.send(IP(src="10.1.0.7", dst="10.2.0.9", ttl=1, id=n) / UDP() / Raw(b"q" * 20))
    after = gateway.settled()
    equal(after["ttl-exceeded"] - before["ttl-exceeded"], 1000, "each is dropped under its own name")
    answers = len([p for p in host.inbox.items if ICMP in p and p[ICMP].type == 11])
    check(1 <= answers < 800, f"{answers} answers to 1,000 expired packets: no limit, or no answer at all")
    check(host.ping("10.1.0.1"), "the gateway still answers")
