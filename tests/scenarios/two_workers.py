"""Two workers and ports with one queue each: sharing the queues, both forward and none hands over; not sharing, packets for the other's port are handed over. None is lost, each one's account adds up.

Breaks when: a shared queue loses packets, a worker sends on a queue that is not its own, or a packet handed over is counted on one side only.
"""

from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route("10.2.0.0/24", 1000)
    host = world.add("a", 107, "10.1.0.7")
    for spread, encapsulation in (("on", "mplsogre"), ("off", "mplsoudp")):
        world.config["dataplane"] = {"workers": [0, 1], "spread": spread}
        world.config["vrf"][0]["static-routes"][0]["encapsulation"] = encapsulation
        world.start()
        workers = ping(world, host)
        for row in workers:
            handed = (row["handed_in"], row["handed_out"])
            if spread == "on":
                check(row["rx"] >= 10 and row["tx"] >= 10, f"worker {row['id']} forwards too little: {row}")
                equal(handed, (0, 0), "packets handed over")
            else:
                # Gateway port -> fabric port and back: each packet is received by one worker and sent by the other.
                check(min(handed) >= 100, f"worker {row['id']} handed over too little: {row}")
        world.gateway.check_accounting()
        world.gateway.stop()


def ping(world, host):
    """The workers' rows after a hundred answers of the foreign PE."""
    gateway, pe = world.gateway, world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    with gateway.moves():
        for _ in range(100):
            check(host.ping("10.2.0.9"), "the instance reaches the foreign PE")
    workers = gateway.show("worker")
    equal([row["cpu"] for row in workers], [0, 1], "CPUs")
    return workers
