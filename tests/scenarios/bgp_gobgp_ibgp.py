"""gobgpd on iBGP: VPN routes with label, route target and encapsulation both ways; import by route target; withdrawal; peer restart.

Breaks when: import ignores route targets, the label is read without its shift, or session loss leaves the routes behind.
"""

import signal

from lab.bgpcheck import LOCAL, Exchange
from lab.net import check, equal
from lab.peers import GoBgp
from lab.worlds import OnePe, peer, vrf

PEER = "10.255.0.2"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER))
    host = world.add("a", 107, "10.1.0.7")
    neighbors = [{"address": LOCAL, "asn": 64512, "client": True}]
    gobgp = GoBgp(lab, world.namespace, PEER, 64512, neighbors).start()
    world.start()
    exchange = Exchange(world, host, gobgp, PEER)
    exchange.established()
    exchange.advertised(local_pref=100)

    gobgp.add("10.2.0.0/24", label=2003, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    gobgp.add("10.3.0.0/24", label=2004, rd="64512:2", rt=["64512:7", "64512:100"], encap="gre", nexthop="192.0.2.2")
    gobgp.add("10.4.0.0/24", label=2005, rd="64512:2", rt="64512:100", nexthop="192.0.2.2")
    gobgp.add("10.9.0.0/24", label=2009, rd="64512:2", rt="64512:999", encap="gre", nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2003, "mplsoudp")
    exchange.learnt("10.3.0.0/24", 2004, "mplsogre")
    exchange.learnt("10.4.0.0/24", 2005, "mplsogre")  # none offered means GRE
    equal(len(exchange.received("10.9.0.0/24")), 1, "a route with a stranger's route target is received")
    check("10.9.0.0/24" not in world.gateway.routes("red"), "and not imported")
    received = exchange.received("10.3.0.0/24")[0]
    equal((received["rd"], received["next_hop"], received["labels"], sorted(received["route_targets"]), received["encapsulations"]),
          ("64512:2", "192.0.2.2", [2004], ["target:64512:100", "target:64512:7"], ["mplsogre"]), "the route as received")
    exchange.pings("10.2.0.9", 2003, "mplsoudp")
    exchange.pings("10.3.0.9", 2004, "mplsogre")

    # Another offer for the same prefix replaces the first one.
    gobgp.add("10.2.0.0/24", label=2013, rd="64512:2", rt="64512:100", encap=["gre", "mpls-in-udp"], nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2013, "mplsoudp")
    exchange.pings("10.2.0.9", 2013, "mplsoudp")

    # Withdrawal: gone from the VRF, and packets to it are dropped under the name of that.
    gobgp.delete("10.3.0.0/24", label=2004, rd="64512:2")
    exchange.gone("10.3.0.0/24")
    with world.gateway.moves(no_route=1):
        check(host.ping("10.3.0.9", timeout=0.3) is None, "a withdrawn route forwards")
    exchange.instance_away_and_back()

    # The peer dies and comes back empty, then full.
    gobgp.stop(sig=signal.SIGKILL)
    exchange.nothing_left("10.2.0.0/24", "10.4.0.0/24")
    gobgp.start()
    exchange.established()
    exchange.advertised()
    gobgp.add("10.2.0.0/24", label=2020, rd="64512:2", rt="64512:100", encap="gre", nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2020, "mplsogre")
    exchange.pings("10.2.0.9", 2020, "mplsogre")
