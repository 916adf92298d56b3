"""Frames of 9,000 bytes pass where the port carries them; a port that would cut them refuses to start and says why.

Breaks when: the pool's buffers are sized for 1,500 bytes whatever the MTU, or a PMD frame size below the MTU is accepted.
"""

from lab.frames import ICMP
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf

BIG_FRAMES = ",blocksz=65536,framesz=16384,framecnt=512"


def run(lab):
    world = OnePe(lab, mtu=9000, gw_mtu=9000, extra=BIG_FRAMES)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    host, neighbor = world.add("a", 107, "10.1.0.7"), world.add("b", 108, "10.1.0.8")
    world.start()
    gateway, pe = world.gateway, world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    most = 9000 - 32
    with gateway.moves():
        for target, size in (("10.2.0.9", 1500), ("10.2.0.9", 4000), ("10.2.0.9", most), (neighbor.address, 9000)):
            reply = host.ping(target, size=size - 28, df=True)
            check(reply and reply[ICMP].type == 0, f"{size} bytes pass whole to {target}")
    with gateway.moves(too_big=1):
        error = host.ping("10.2.0.9", size=most + 1 - 28, df=True)
        check(error, "one byte more is told")
        equal(error[ICMP].nexthopmtu, most, "MTU in frag-needed")
    gateway.stop()

    # The PMD's own frames are too small for the MTU: a clear error instead of frames cut on the way.
    world.config["port"][1]["device"] = "vdev:net_af_packet1,iface=gw0,blocksz=4096,framesz=2048,framecnt=512"
    gateway.launch("refused")
    wait(lambda: not gateway.process.alive(), "the daemon ends", timeout=15)
    equal(gateway.process.child.returncode, 1, "exit status")
    said = gateway.process.output()
    check("gw0" in said and "9000" in said and ("framesz" in said or "frame" in said), f"it says which port and why:\n{said[-1500:]}")
