"""tshark judges the fabric frames of many flows: entropy of the source port, checksum 0, label and bottom of stack, inner packet intact.

Breaks when: the entropy port does not depend on the inner ports, or the inner TTL or checksum is not patched.
"""

from lab.expect import tunnel_row
from lab.frames import IP, UDP, Raw, pattern
from lab.judge import OUTER, Capture, none_malformed, rows
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf

FLOWS, EACH = 64, 3


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    world.static_route("10.3.0.0/24", 1048575, "mplsogre")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    capture = Capture(lab, "fabric", (world.outside, "wire"))
    with world.gateway.moves():
        for target in ("10.2.0.9", "10.3.0.9"):
            for flow in range(FLOWS):
                for n in range(EACH):
                    host.send(IP(src="10.1.0.7", dst=target, ttl=17, id=flow * EACH + n, tos=0x28) /
                              UDP(sport=20000 + flow, dport=40001) / Raw(pattern(100 + flow)))
        wait(lambda: len(world.pe.received) >= 2 * FLOWS * EACH, "every packet reaches the foreign PE")
    capture.stop()
    none_malformed(capture.path, "mpls")

    ports = {}
    for target, label, encapsulation in (("10.2.0.9", 1000, "mplsoudp"), ("10.3.0.9", 1048575, "mplsogre")):
        seen = rows(capture.path, f"mpls and ip.dst == {target}", *OUTER, "ip.id", "ip.dsfield", "data.data")
        equal(len(seen), FLOWS * EACH, f"packets to {target}")
        for n, row in enumerate(seen):
            flow = n // EACH
            tunnel_row(row, encapsulation, label, inner_ttl=16)
            equal(row["ip.src"], ["192.0.2.1", "10.1.0.7"], "sources")
            equal(row["ip.dst"], ["192.0.2.2", target], "destinations")
            equal(row["ip.checksum.status"], ["1", "1"], "both header checksums")
            equal(int(row["ip.id"][1], 0), n, "inner identification")
            equal(int(row["ip.dsfield"][1], 0), 0x28, "inner DSCP")
            equal(row["udp.srcport"][-1], str(20000 + flow), "inner source port")
            equal(row["data.data"], [pattern(100 + flow).hex()], "inner payload")
            if encapsulation == "mplsoudp":
                ports.setdefault(flow, set()).add(int(row["udp.srcport"][0]))
    check(all(len(of_flow) == 1 for of_flow in ports.values()), "one flow keeps one source port, or its packets overtake each other")
    distinct = len({port for of_flow in ports.values() for port in of_flow})
    check(distinct >= FLOWS - 4, f"{FLOWS} flows used only {distinct} source ports")
