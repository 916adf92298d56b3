"""Frames of any bytes at all, on both ports, end in counters: nothing stops, nothing leaks, the books balance.

Breaks when: a header parser trusts a length field, so that a worker panics or loses a packet unaccounted.
"""

import os
import random
import time

from lab.frames import GATEWAY_MAC, IP, UDP, Ether, Raw, tunnel
from lab.net import check, equal
from lab.worlds import OnePe, vrf

COUNT = 4000


def whole(frame):
    """The frame, no fragment of IPv4 any more: the kernel keeps those to itself on these ports (docs/limits.md)."""
    start = 18 if frame[12:14] == b"\x81\x00" else 14
    if frame[start - 2:start] == b"\x08\x00" and len(frame) >= start + 8:
        frame[start + 6] &= 0x40
        frame[start + 7] = 0
    return frame


def run(lab):
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed} repeats these frames")
    chance = random.Random(seed)
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route()
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")
    pe.serve(1000, "10.2.0.9", label)
    inner = bytes(IP(src="10.2.0.9", dst="10.1.0.7") / UDP(sport=1, dport=2) / Raw(b"x" * 40))
    fabric = [bytes(Ether(src=pe.mac, dst=pe.peer_mac) / tunnel(inner, label, e, pe.address, pe.peer)) for e in ("mplsoudp", "mplsogre")]
    rack = [bytes(host.frame(IP(src="10.1.0.7", dst=d) / UDP() / Raw(b"y" * 30), dst=GATEWAY_MAC)) for d in ("10.2.0.9", "10.1.0.1")]

    before = gateway.show("worker")
    for n in range(COUNT):
        port, seeds = (pe.port, fabric) if n % 2 else (host.group.port, rack)
        frame = bytearray(chance.choice(seeds))
        if n % 7 == 0:
            frame[12:] = chance.randbytes(chance.randrange(2, 1480))
        else:
            for _ in range(chance.randrange(1, 6)):
                frame[chance.randrange(12, len(frame))] = chance.randrange(256)
            if n % 3 == 0:
                del frame[chance.randrange(14, len(frame)):]
        port.send(whole(frame))
        if n % 100 == 99:
            time.sleep(0.004)  # a worker on the sender's CPU gets its turn before the kernel's ring is full
    gateway.check_accounting()
    after = gateway.show("worker")
    came = sum(w["rx"] for w in after) - sum(w["rx"] for w in before)
    check(came >= COUNT * 0.98, f"of {COUNT} frames {came} were received")
    drops = gateway.drops()
    equal(drops.get("no-headroom", 0), 0, "packets without room for headers")
    check(len([n for n in drops.values() if n]) >= 8, f"many kinds of faults were told apart: {drops}")
    check(host.ping("10.2.0.9"), "it still forwards")
    check(gateway.process.alive() and gateway.show("status")["ready"], "it is still ready")
