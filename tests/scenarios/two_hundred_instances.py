"""200 instances on 200 VLANs of one port, each pinged through the gateway, from outside and to its neighbour.

Breaks when: the VLAN table confuses two VLANs, or an interface answers with another interface's tag.
"""

from lab.frames import pattern
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf

COUNT = 200


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf("red"), vrf("blue", rt="target:64512:200", net="10.20.0")]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp", 0)
    world.static_route("10.2.0.0/24", 2000, "mplsogre", 1)
    # From end to end, and one with all that differ from it in one bit: a table that drops a bit confuses two of them.
    vlans = sorted({*range(1, 4094, 22), 2730, *(2730 ^ 1 << bit for bit in range(12))})
    hosts = [world.add(f"i{n}", vlan, f"10.{1 if n % 2 == 0 else 20}.0.{n + 10}", "red" if n % 2 == 0 else "blue")
             for n, vlan in enumerate(vlans)]
    equal((len(vlans), vlans[0], vlans[-1]), (COUNT, 1, 4093), "the VLANs")
    world.start()
    gateway, pe = world.gateway, world.pe
    equal(len(gateway.show("interface")), COUNT, "interfaces")
    labels = {row["interface"]: row["label"] for row in gateway.show("label") if row["kind"] == "interface"}
    equal(len(set(labels.values())), COUNT, "distinct labels")

    with gateway.moves():
        # The foreign PE pings each one by its own label.
        for n in range(COUNT):
            check(pe.ping("10.2.0.9", hosts[n].address, labels[f"i{n}"], timeout=3), f"no answer from instance {n} on VLAN {vlans[n]}")
        equal({t.label for t in pe.received.items}, {1000, 2000}, "labels of the answers")
        # Each one pings its neighbour in the same VRF: switched locally, other VLAN out than in.
        requests = []
        for n in range(COUNT):
            request = hosts[n].echo(hosts[(n + 2) % COUNT].address, size=20 + n)
            hosts[n].send(request)
            requests.append(request)
        for n, request in enumerate(requests):
            reply = hosts[n].answer(request, timeout=5)
            check(reply, f"instance {n} reaches instance {(n + 2) % COUNT}")
            equal(bytes(reply["Raw"])[:20 + n], pattern(20 + n), "payload")
    equal(len(world.hosts.strays), 0, "frames on VLANs that belong to nobody, or to the wrong MAC")
    rows = {row["name"]: row for row in gateway.show("interface")}
    for n in range(COUNT):
        row = rows[f"i{n}"]
        check(row["rx_packets"] >= 3 and row["tx_packets"] >= 3, f"counters of interface i{n}: {row}")
    # One VRF never reaches the other.
    with gateway.moves(no_route=1):
        check(hosts[0].ping(hosts[1].address, timeout=0.5) is None, "red reached blue")
    wait(lambda: gateway.show("status")["ready"], "still ready")
