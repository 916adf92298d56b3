"""A reload applies the difference: an instance more, one less, another encapsulation; the rest forwards on without a lost packet.

Breaks when: a reload rebuilds unchanged interfaces, or forgets to remove the interface of an instance that is gone.
"""

from lab.frames import ARP
from lab.net import check, equal, wait
from lab.traffic import Stream, without_loss
from lab.worlds import OnePe, instance, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    a = world.add("a", 107, "10.1.0.7")
    b = world.add("b", 108, "10.1.0.8")
    world.config["instance"].pop()  # not yet
    world.start()
    gateway, pe = world.gateway, world.pe
    label = gateway.label_of(interface="a")
    pe.serve(1000, "10.2.0.9", label)
    pe.serve(1001, "10.2.0.9", label)

    stream = Stream(a, "10.2.0.9").start()
    check(b.ping("10.2.0.9", timeout=0.3) is None, "an instance that is not configured gets nothing")
    a.arps.clear()
    pe.arps.clear()
    world.config["instance"].append(instance("b", 108, "10.1.0.8"))
    said = gateway.apply()
    check("b" in said, f"the reload names the instance: {said}")
    pe.serve(1002, "10.2.0.10", gateway.label_of(interface="b"))
    wait(lambda: b.ping("10.1.0.7", timeout=0.5), "the new instance talks", timeout=5)
    equal(gateway.label_of(interface="a"), label, "the label of the other one stayed")

    world.config["instance"].pop()
    gateway.apply()
    equal([row["name"] for row in gateway.show("interface")], ["a"], "interfaces")
    check("10.1.0.8/32" not in gateway.routes("red"), "the route of the instance is gone")
    with gateway.moves(unknown_vlan=1):
        b.send(b.echo("10.1.0.7"))
    resting = [row for row in gateway.show("label") if row["kind"] == "quarantine"]
    equal(len(resting), 1, "labels that rest")
    check(0 < resting[0]["quarantine_seconds"] <= 300, f"quarantine: {resting}")

    # The same instance again gets another label: the old one rests.
    world.config["instance"].append(instance("c", 108, "10.1.0.8"))
    gateway.apply()
    check(gateway.label_of(interface="c") != resting[0]["label"], "a resting label was given out")

    world.config["vrf"][0]["static-routes"][0].update(label=1001, encapsulation="mplsogre")
    gateway.apply()
    wait(lambda: pe.received.items[-1].label == 1001, "the new label is used")
    equal(pe.received.items[-1].encapsulation, "mplsogre", "encapsulation after the reload")
    without_loss(stream)
    # Who is a neighbour all the time is not asked for again.
    asked = [p[ARP].pdst for p in (*a.arps.items, *pe.arps.items) if p[ARP].op == 1]
    equal(asked, [], "neighbours asked for again")

    # Nothing to do changes nothing.
    generation = gateway.show("status")["generation"]
    gateway.apply()
    equal(gateway.show("status")["generation"], generation, "generation after an empty reload")
