"""gobgpd on eBGP, AS 64513 to 64512: no LOCAL_PREF, own AS in the path, next hops as the tunnel ends need them, both ways.

Breaks when: the next hop of an originated VPN route becomes the session address, or the AS path towards eBGP stays empty.
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
    world.bgp(peer(PEER, 64512, multihop=True), asn=64513)
    host = world.add("a", 107, "10.1.0.7")
    gobgp = GoBgp(lab, world.namespace, PEER, 64512, [{"address": LOCAL, "asn": 64513}]).start()
    world.start()
    exchange = Exchange(world, host, gobgp, PEER)
    exchange.established()
    row = exchange.advertised(as_path=[64513])
    equal(row["local_pref"], None, "LOCAL_PREF towards eBGP")

    gobgp.add("10.2.0.0/24", label=2003, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2003, "mplsoudp", nexthop="192.0.2.2")
    received = exchange.received("10.2.0.0/24")[0]
    equal((received["as_path"], received["next_hop"], received["best"]), ("64512", "192.0.2.2", True), "the route as received")
    exchange.pings("10.2.0.9", 2003, "mplsoudp")

    gobgp.delete("10.2.0.0/24", label=2003, rd="64512:2")
    exchange.gone("10.2.0.0/24")
    gobgp.add("10.2.0.0/24", label=2004, rd="64512:2", rt="64512:100", nexthop="192.0.2.2")
    exchange.learnt("10.2.0.0/24", 2004, "mplsogre")
    gobgp.stop(sig=signal.SIGTERM)
    exchange.nothing_left("10.2.0.0/24")
    check(host.ping("10.1.0.1"), "the gateway itself lives on")
    gobgp.start()
    exchange.established()
    exchange.advertised(as_path=[64513])
