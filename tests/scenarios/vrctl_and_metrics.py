"""vrctl: tables, JSON, Contrail's aliases and exit statuses; and /metrics tells the same numbers.

Breaks when: an alias is missing, a daemon that is not there ends 0, or a metric is fed from another counter than the table.
"""

import re

from lab.net import check, equal
from lab.worlds import OnePe, vrf

FIELDS = {
    "status": "ready generation uptime_seconds version warnings",
    "port": "name role device state mac mtu rx_packets tx_packets missed",
    "interface": "name port vlan vrf mac addresses state rx_packets rx_bytes tx_packets tx_bytes drops",
    "vrf": "name rd import export routes interfaces",
    "route": "prefix kind nexthop encapsulation label interface source generation",
    "nexthop": "id kind state references",
    "label": "label kind vrf interface quarantine_seconds",
    "neighbor": "address mac port state",
    "drop": "reason count hint",
    "worker": "id cpu rx handed_in injected copies_made tx punted dropped handed_out queued busy_percent",
}
ALIASES = {"vif": "interface", "rt": "route", "nh": "nexthop", "mpls": "label", "dropstats": "drop"}


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route()
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway = world.gateway
    host.send(host.echo("10.2.0.9"))
    for _ in range(3):
        host.send(host.echo("10.2.0.9"), vlan=999)
    host.send(host.echo("10.2.0.9"), src="52:54:00:99:99:99")
    world.pe.received.find(lambda t: True)
    gateway.settled()

    for noun, fields in FIELDS.items():
        got = gateway.show(noun)
        rows = got if isinstance(got, list) else [got]
        check(rows, f"vrctl {noun} lists nothing")
        for row in rows:
            missing = [field for field in fields.split() if field not in row]
            check(not missing, f"vrctl {noun} --json lacks {missing}: {row}")
        table = gateway.vrctl(noun)
        check(table.strip() and not table.lstrip().startswith(("[", "{")), f"vrctl {noun} alone prints a table:\n{table}")
    for alias, noun in ALIASES.items():
        mine, theirs = gateway.show(alias), gateway.show(noun)
        equal(len(mine), len(theirs), f"rows of {alias} and {noun}")
    check("a" in gateway.vrctl("interface") and "107" in gateway.vrctl("vif", "list"), "the interface stands in the table")

    metrics = gateway.get("/metrics")[1]

    def sample(name, label):
        found = re.search(rf'^vrouter_{name}_total\{{[^}}]*{label}[^}}]*\}} (\d+)', metrics, re.M)
        check(found, f"no metric {name} for {label}:\n{metrics[:2000]}")
        return int(found.group(1))

    drops = gateway.drops()
    equal((drops["unknown-vlan"], drops["unknown-source-mac"]), (3, 1), "drops")
    for reason, count in drops.items():
        equal(sample("drops", f'reason="{reason}"'), count, f"{reason} in /metrics and in vrctl")
    row = gateway.interface("a")
    for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes"):
        equal(sample(f"interface_{name}", 'interface="a"'), row[name], f"{name} of the interface in /metrics and in vrctl")

    equal(gateway.try_vrctl("status")[0], 0, "exit status of a healthy status")
    equal(gateway.try_vrctl("route", "list", "--vrf", "nosuch")[0], 1, "exit status of a refused question")
    equal(gateway.try_vrctl("nonsense")[0], 2, "exit status of a wrong word")
    gateway.stop()
    equal(gateway.try_vrctl("status")[0], 3, "exit status without a daemon")
