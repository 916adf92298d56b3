"""The BFD machine against BIRD: up, other intervals, a cut noticed in time by both, taken down and up again, BIRD killed.

Breaks when: a poll is not answered, or the detection time is taken from our own interval to send.
"""

import re
import signal

from lab.gateway import binaries
from lab.net import Namespace, check, equal, wait
from lab.peers import BirdBfd

ONE_WAY = True


def run(lab):
    ours, theirs = Namespace(lab, "gw"), Namespace(lab, "bird")
    lab.veth(ours, "va", theirs, "vb")
    ours.address("192.0.2.1/24", "va")
    theirs.address("192.0.2.4/24", "vb")
    bird = BirdBfd(lab, theirs, "vb", "192.0.2.4", "192.0.2.1").start()

    def seen():
        return bird.session() and bird.session()[:3]

    bfd = ours.start("bfd", binaries() / "examples" / "bfd-speak", "--local", "192.0.2.1", "--peer", "192.0.2.4", asks=True)

    def changes():
        return re.findall(r"^(\d+) (\S+) -> (\S+) (\S+)$", bfd.output(), re.M)

    def last():
        return changes()[-1][2:] if changes() else None

    wait(lambda: seen() == ("Up", 0.05, 0.15) and last() == ("up", "none"), "both ends are up at 50 ms")
    check(all(to in ("init", "up") for _, _, to, _ in changes()), f"up without a step back: {changes()}")

    # Slower and faster again: agreed by polls, and the session stays up.
    before = len(changes())
    bfd.tell("interval 200")
    wait(lambda: seen() == ("Up", 0.2, 0.6), "BIRD takes the longer intervals over")
    bfd.tell("interval 50")
    wait(lambda: seen() == ("Up", 0.05, 0.15), "and the shorter ones")
    equal(len(changes()), before, "changes of state while intervals change")

    # Frames to a MAC that nobody has: the link is up and nothing arrives.
    ends = ((ours, "va", "192.0.2.4"), (theirs, "vb", "192.0.2.1"))
    for namespace, device, neighbour in ends:
        namespace.ip("neigh", "replace", neighbour, "lladdr", "02:00:00:00:00:66", "dev", device, "nud", "permanent")
    wait(lambda: last() == ("down", "detection-time-expired"), "the cut is noticed", timeout=2)
    wait(lambda: seen()[0] == "Down", "by BIRD too", timeout=2)
    for namespace, device, neighbour in ends:
        namespace.ip("neigh", "del", neighbour, "dev", device)
    wait(lambda: seen()[0] == "Up" and last() == ("up", "none"), "both find each other again")

    bfd.tell("disable")
    wait(lambda: seen()[0] == "Down" and last() == ("admin-down", "administratively-down"), "BIRD is told that it is taken down", timeout=2)
    bfd.tell("enable")
    wait(lambda: seen()[0] == "Up" and last() == ("up", "none"), "and up again")

    bird.stop(sig=signal.SIGKILL)
    wait(lambda: last() == ("down", "detection-time-expired"), "a dead neighbour is missed", timeout=2)
    bird.start()
    wait(lambda: seen() == ("Up", 0.05, 0.15) and last() == ("up", "none"), "and found when it is back")
    bfd.tell("quit")
