"""Labels and route distinguishers stay the same over a restart and a reordered configuration; freed labels rest over it too.

Breaks when: the state file is not read back at the start, or labels follow the order of the configuration.
"""

from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf("red"), vrf("blue", rt="target:64512:200", net="10.20.0")]
    for n in range(4):
        world.add(f"i{n}", 100 + n, f"10.{1 if n % 2 else 20}.0.{n + 10}", "red" if n % 2 else "blue")
    world.start()
    gateway = world.gateway

    def labels():
        return {row["interface"] or row["vrf"]: row["label"] for row in gateway.show("label") if row["kind"] != "quarantine"}

    def distinguishers():
        return {row["name"]: row["rd"] for row in gateway.show("vrf")}
    before, rds = labels(), distinguishers()
    equal(len(set(rds.values())), 2, "route distinguishers")
    check(all(rd.startswith("192.0.2.1:") for rd in rds.values()), f"route distinguishers begin with the router id: {rds}")

    gone = world.config["instance"].pop()
    gateway.apply()
    resting = before.pop(gone["name"])
    equal(gateway.stop(), 0, "exit status after SIGTERM")
    world.config["vrf"].reverse()
    world.config["instance"].reverse()
    world.config["instance"].insert(0, {**gone, "name": "new", "vlan": 200})
    gateway.start()
    equal(distinguishers(), rds, "route distinguishers after the restart")
    after = labels()
    new = after.pop("new")
    equal(after, before, "labels after the restart")
    check(new != resting and new not in before.values(), f"the new instance got label {new}, which rests or is in use")
    check(any(row["label"] == resting and row["kind"] == "quarantine" for row in gateway.show("label")), "the freed label still rests")
