"""Two workers and ports with one queue each, none of them shared: packets for the other's port are handed over, none is lost, each worker's account adds up.

Breaks when: a worker sends on a queue that is not its own, or a packet handed over is counted on one side only.
"""

from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.config["dataplane"] = {"workers": [0, 1], "spread": "off"}
    world.static_route("10.2.0.0/24", 1000, "mplsoudp")
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway, pe = world.gateway, world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    with gateway.moves():
        for _ in range(50):
            check(host.ping("10.2.0.9"), "the instance reaches the foreign PE")
    workers = gateway.show("worker")
    equal([row["cpu"] for row in workers], [0, 1], "CPUs")
    # Gateway port -> fabric port and back: each packet is received by one worker and sent by the other.
    for row in workers:
        check(row["handed_out"] >= 50 and row["handed_in"] >= 50, f"worker {row['id']} handed over too little: {row}")
