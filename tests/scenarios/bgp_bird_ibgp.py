"""BIRD on iBGP: its VPN routes are installed with label and encapsulation, ours stand in its table; withdrawal; refresh; restart.

Breaks when: the encapsulation communities of a route are not read, so that everything goes in GRE.
"""

import signal

from lab.bgpcheck import LOCAL, Exchange
from lab.net import check, wait
from lab.peers import Bird
from lab.worlds import OnePe, peer, vrf

PEER = "10.255.0.4"
RT = "bgp_ext_community.add((rt, 64512, 100));"
UDP = RT + " bgp_ext_community.add((generic, 0x030c0000, 13));"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, port=1792))
    world.config["static-route"] = [{"prefix": f"{PEER}/32", "via": "192.0.2.2"}]
    host = world.add("a", 107, "10.1.0.7")
    routes = [("64512:4", "10.4.1.0/24", 4001, UDP), ("64512:4", "10.4.2.0/24", 4002, RT)]
    bird = Bird(lab, world.namespace, PEER, 64512, LOCAL, 64512, routes).start()
    world.start()
    exchange = Exchange(world, host, bird, PEER)
    exchange.established()
    exchange.learnt("10.4.1.0/24", 4001, "mplsoudp", nexthop=PEER)
    exchange.learnt("10.4.2.0/24", 4002, "mplsogre", nexthop=PEER)
    exchange.advertised(local_pref=100)
    exchange.pings("10.4.1.9", 4001, "mplsoudp")
    exchange.pings("10.4.2.9", 4002, "mplsogre")

    line = next(row for row in bird.config.read_text().splitlines() if "10.4.2.0/24" in row)
    bird.configure(line + "\n", "")
    exchange.gone("10.4.2.0/24")
    exchange.learnt("10.4.1.0/24", 4001, "mplsoudp", nexthop=PEER)
    exchange.instance_away_and_back()

    # Both directions of route refresh.
    bird.run("reload", "in", "peer_gw")
    exchange.advertised(local_pref=100)
    world.gateway.post(f"/v1/bgp/refresh?peer={PEER}")
    wait(lambda: exchange.received("10.4.1.0/24"), "the route is there after a refresh")
    check(world.gateway.peer(PEER)["state"] == "Established", "the session survives a route refresh")

    bird.stop(sig=signal.SIGKILL)
    exchange.nothing_left("10.4.1.0/24")
    bird.start()
    exchange.established()
    exchange.learnt("10.4.1.0/24", 4001, "mplsoudp", nexthop=PEER)
    exchange.advertised(local_pref=100)
    exchange.pings("10.4.1.9", 4001, "mplsoudp")
