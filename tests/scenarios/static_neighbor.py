"""A PE that answers no ARP is reached by its static neighbour entry, also after the link was lost; without the entry it is asked.

Breaks when: a static neighbour is asked for or learnt, is forgotten with the link, or stays behind when it is taken away.
"""

from lab.frames import ARP
from lab.net import check, equal, wait
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000)
    world.config["static-neighbor"] = [{"port": "fabric0", "address": "192.0.2.2", "mac": "02:00:00:00:00:02"}]
    a = world.add("a", 107, "10.1.0.7")
    world.pe.addresses.clear()  # it says nothing of itself
    gateway, pe = world.gateway, world.pe
    gateway.start()
    pe.resolve()
    world.tunnels_up()
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    check(a.ping("10.2.0.9"), "the far host is reached")

    def neighbor():
        return next(row for row in gateway.show("neighbor") if row["address"] == "192.0.2.2")

    def asked():
        return [p for p in pe.arps.items if p[ARP].op == 1 and p[ARP].pdst == "192.0.2.2"]

    row = neighbor()
    equal((row["state"], row["mac"], row["port"], row["interface"]), ("static", "02:00:00:00:00:02", "fabric0", None), "the row")
    world.namespace.up("fab0", False)
    wait(lambda: any(row["state"] != "up" for row in gateway.show("nexthop")), "the next hop goes down with its link")
    world.namespace.up("fab0", True)
    wait(lambda: a.ping("10.2.0.9", timeout=0.3), "the far host is reached again", timeout=15)
    equal(neighbor()["state"], "static", "state after the link was lost")
    equal(len(asked()), 0, "questions for a static neighbour")

    del world.config["static-neighbor"]
    said = gateway.apply()
    check("static neighbor 192.0.2.2 on fabric0: removed" in said, f"the reload names it: {said}")
    wait(asked, "it is asked for as any other")
    check(a.ping("10.2.0.9", timeout=0.3) is None, "a packet went to a neighbour that does not answer")
    pe.addresses.add("192.0.2.2")
    wait(lambda: a.ping("10.2.0.9", timeout=0.3), "it answered", timeout=10)
    equal(neighbor()["state"], "reachable", "state once it answered")
