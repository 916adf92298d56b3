"""Two workers share ports with one queue each: both forward, none hands over, nothing is lost or overtaken, each one's account adds up.

Breaks when: a worker sends before the packets that were received earlier have left, or a shared queue loses packets.
"""

from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.config["dataplane"] = {"workers": [0, 1], "spread": "on"}
    world.static_route("10.2.0.0/24", 1000, "mplsogre")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    with gateway.moves():
        for _ in range(100):
            check(host.ping("10.2.0.9"), "the instance reaches the foreign PE")
    workers = gateway.show("worker")
    equal([row["cpu"] for row in workers], [0, 1], "CPUs")
    for row in workers:
        check(row["rx"] >= 10 and row["tx"] >= 10, f"worker {row['id']} forwards too little: {row}")
        equal((row["handed_in"], row["handed_out"]), (0, 0), "packets handed over")
