"""Routes both ways with a real BGP speaker: what the gateway learns and installs, and what the speaker's own commands show of ours."""

from .gateway import Failure
from .net import check, equal, wait

OURS = "10.1.0.7/32"


class Exchange:
    """A gateway with instance `a`, a BGP peer, and the foreign PE as the tunnel end that the peer's routes name."""

    def __init__(self, world, host, peer, address):
        self.world, self.host, self.peer, self.address = world, host, peer, address
        self.gateway, self.pe = world.gateway, world.pe

    def established(self, timeout=40):
        self.gateway.wait_established(self.address, timeout)

    def learnt(self, prefix, label, encapsulation, nexthop="192.0.2.2"):
        """The route is installed as the peer told it."""
        def there():
            row = self.gateway.routes("red").get(prefix)
            return row and (row["kind"], row["nexthop"], row["label"], row["encapsulation"]) == ("tunnel", nexthop, label, encapsulation)
        try:
            wait(there, "the route", timeout=10)
        except Failure:
            raise Failure(f"{prefix} is not installed with label {label} in {encapsulation} via {nexthop}: "
                          f"{self.gateway.routes('red').get(prefix)}; received: {self.received(prefix)}") from None
        check("bgp" in self.gateway.routes("red")[prefix]["source"] and self.address in self.gateway.routes("red")[prefix]["source"],
              "source of the route")

    def received(self, prefix):
        rows = self.gateway.show("bgp", "route", "list", "--family", "vpnv4", "--received", "--peer", self.address)
        return [row for row in rows if row["prefix"] == prefix]

    def gone(self, prefix):
        wait(lambda: prefix not in self.gateway.routes("red"), f"{prefix} is withdrawn from the VRF")
        equal(self.received(prefix), [], f"{prefix} in what was received")

    def advertised(self, as_path=(), local_pref=None):
        """The peer's own show command has our instance's route, complete."""
        row = wait(lambda: self.peer.seen(LOCAL).get(OURS), f"{self.peer.name} shows {OURS}")
        equal(row["labels"], [self.gateway.label_of(interface="a")], f"{self.peer.name}: label")
        equal(row["route_targets"], ["64512:100"], f"{self.peer.name}: route targets")
        equal(row["next_hop"], "192.0.2.1", f"{self.peer.name}: next hop")
        equal(sorted(row["encapsulations"]), [2, 13], f"{self.peer.name}: encapsulations")
        equal(row["as_path"], list(as_path), f"{self.peer.name}: AS path")
        equal(rd_text(row["rd"]), self.gateway.show("vrf")[0]["rd"], f"{self.peer.name}: route distinguisher")
        if local_pref is not None:
            equal(row["local_pref"], local_pref, f"{self.peer.name}: LOCAL_PREF")
        return row

    def pings(self, target, label, encapsulation):
        """Packets to the route's hosts leave with its label in its encapsulation, and answers come back by our label."""
        self.pe.serve(label, target, self.gateway.label_of(interface="a"))
        self.world.tunnels_up()
        with self.gateway.moves():
            check(self.host.ping(target), f"the instance reaches {target}")
        equal((self.pe.received.items[-1].label, self.pe.received.items[-1].encapsulation), (label, encapsulation), "how it went")

    def instance_away_and_back(self):
        """Our own withdrawal reaches the peer; its label rests, for nobody but the same instance, which has it again when it is back."""
        instances = self.world.config["instance"]
        kept, old = instances.pop(), self.gateway.label_of(interface="a")
        self.gateway.apply()
        wait(lambda: OURS not in self.peer.seen(LOCAL), f"{self.peer.name} has lost {OURS}")
        resting = [row for row in self.gateway.show("label") if row["label"] == old]
        check(resting and resting[0]["quarantine_seconds"] > 0, f"the freed label {old} does not rest: {resting}")
        instances.append(kept)
        self.gateway.apply()
        row = self.advertised()
        equal(row["labels"], [old], "the label of the instance that came back")

    def nothing_left(self, *prefixes):
        """After the session is lost: no route, no next hop into a tunnel, nothing in the tables of BGP."""
        wait(lambda: self.gateway.peer(self.address)["state"] != "Established", "the session is seen to be lost")
        for prefix in prefixes:
            self.gone(prefix)
        wait(lambda: not [row for row in self.gateway.show("nexthop") if row["kind"] == "tunnel"], "no tunnel next hop is left")
        row = self.gateway.peer(self.address)
        equal(row["received"], 0, "routes received from a lost peer")
        check(row["last_error"], f"the reason of the loss is told: {row}")


LOCAL = "10.255.0.1"


def rd_text(rd):
    """gobgp gives a tree, the others a text."""
    return f"{rd['admin']}:{rd['assigned']}" if isinstance(rd, dict) else rd
