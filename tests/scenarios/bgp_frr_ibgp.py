"""FRR's bgpd (-Z) on iBGP: its exported routes are installed with their label, ours stand in `show bgp ipv4 vpn`; withdrawal; restart.

Breaks when: a capability of FRR's OPEN (extended message, ADD-PATH one way, enhanced refresh) is taken for an error.
"""

import signal

from lab.bgpcheck import LOCAL, Exchange
from lab.net import check, wait
from lab.peers import Frr
from lab.worlds import OnePe, peer, vrf

PEER = "10.255.0.3"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, port=1791))
    # FRR's routes name FRR's own address; the foreign PE stands in for its data plane.
    world.config["static-route"] = [{"prefix": f"{PEER}/32", "via": "192.0.2.2"}]
    world.config["router"]["tunnel-sources"] = ["192.0.2.0/24"]
    host = world.add("a", 107, "10.1.0.7")
    frr = Frr(lab, world.namespace, PEER, 64512, LOCAL, 64512, "64512:100", "64512:3", 3301, ["10.3.1.0/24", "10.3.2.0/24"]).start()
    world.start()
    exchange = Exchange(world, host, frr, PEER)
    exchange.established()
    exchange.learnt("10.3.1.0/24", 3301, "mplsogre", nexthop=PEER)  # FRR offers no encapsulation: GRE
    exchange.learnt("10.3.2.0/24", 3301, "mplsogre", nexthop=PEER)
    exchange.advertised(local_pref=100)
    wait(lambda: "10.1.0.7/32" in frr.run("show bgp ipv4 unicast"), "FRR imports our route by its route target")
    exchange.pings("10.3.1.9", 3301, "mplsogre")

    def network(word):
        frr.run("configure terminal", "router bgp 64512", "address-family ipv4 unicast", f"{word} 10.3.2.0/24")
    network("no network")
    exchange.gone("10.3.2.0/24")
    network("network")
    exchange.learnt("10.3.2.0/24", 3301, "mplsogre", nexthop=PEER)
    exchange.instance_away_and_back()

    # FRR asks for the routes again; they are the same.
    frr.run(f"clear bgp {LOCAL} soft in")
    exchange.advertised(local_pref=100)
    check(world.gateway.peer(PEER)["state"] == "Established", "the session survives a route refresh")

    frr.stop(sig=signal.SIGKILL)
    exchange.nothing_left("10.3.1.0/24", "10.3.2.0/24")
    frr.start()
    exchange.established()
    exchange.learnt("10.3.1.0/24", 3301, "mplsogre", nexthop=PEER)
    exchange.advertised(local_pref=100)
    exchange.pings("10.3.1.9", 3301, "mplsogre")
