"""gobgpd with VPNv6, EVPN and route target membership: routes as received with all their fields; only what VRFs import comes, and
only what the peer asks for goes; another VRF changes that and leaves the session alone.

Breaks when: memberships are not sent or not obeyed, or a field of an EVPN route is read at the wrong place.
"""

from lab.bgpcheck import LOCAL, OURS
from lab.net import check, equal, wait
from lab.peers import GoBgp
from lab.worlds import OnePe, peer, vrf

ONE_WAY = True  # no packet of an instance is forwarded here
PEER = "10.255.0.2"
FAMILIES = ["vpnv4", "vpnv6", "evpn", "rtc"]
MAC = "52:54:00:00:02:09"


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.bgp(peer(PEER, families=FAMILIES))
    world.add("a", 107, "10.1.0.7")
    # No reflector: one sends our own membership back to us (RFC 4684 3.2), and would be told of our routes for it.
    neighbor = {"address": LOCAL, "asn": 64512, "families": FAMILIES}
    gobgp = GoBgp(lab, world.namespace, PEER, 64512, [neighbor]).start()
    gobgp.add("2001:db8:2::/64", label=2006, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="::ffff:192.0.2.2", family="vpnv6")
    gobgp.add("2001:db8:9::/64", label=2009, rd="64512:2", rt="64512:999", nexthop="::ffff:192.0.2.2", family="vpnv6")
    gobgp.add("10.2.0.0/24", label=2003, rd="64512:2", rt="64512:100", encap="mpls-in-udp", nexthop="192.0.2.2")
    gobgp.evpn("macadv", MAC, "10.2.9.9", "etag", "0", "label", "2010", rt="64512:100")
    gobgp.evpn("multicast", "192.0.2.2", "etag", "0", "pmsi", "ingress-repl", "2011", "192.0.2.2", rt="64512:100")
    gobgp.evpn("prefix", "10.2.0.0/16", "gw", "10.2.0.254", "etag", "0", "label", "2012", "router-mac", MAC, rt="64512:100")
    segment = ["esi", "LACP", "aa:bb:cc:dd:ee:ff", "100"]
    gobgp.evpn("esi", "192.0.2.2", *segment, rt="64512:100", encap=None)
    gobgp.evpn("a-d", *segment, "etag", "4294967295", "label", "0", rt="64512:100", encap=None)
    world.start()
    gateway = world.gateway
    gateway.wait_established(PEER)
    equal(sorted(gateway.peer(PEER)["families"]), sorted(FAMILIES), "families of the session")

    def received(family):
        rows = gateway.show("bgp", "route", "list", "--family", family, "--received", "--peer", PEER)
        return {row["prefix"]: row for row in rows}

    def fields(row, *names):
        return tuple(row[name] for name in names)

    # What the peer's routes say.
    v6 = wait(lambda: received("vpnv6").get("2001:db8:2::/64"), "the VPNv6 route")
    equal(fields(v6, "rd", "labels", "next_hop", "route_targets", "encapsulations"),
          ("64512:2", [2006], "192.0.2.2", ["target:64512:100"], ["mplsoudp"]), "the VPNv6 route, its next hop unmapped")
    evpn = wait(lambda: (lambda rows: len(rows) == 5 and rows)(received("evpn")), "EVPN routes of types 1 to 5")
    esi = "01:aa:bb:cc:dd:ee:ff:00:64:00"
    equal(sorted(evpn), [f"[1]:[4294967295]:[{esi}]", f"[2]:[0]:[48]:[{MAC}]:[32]:[10.2.9.9]", "[3]:[0]:[32]:[192.0.2.2]",
                         f"[4]:[{esi}]:[32]:[192.0.2.2]", "[5]:[0]:[16]:[10.2.0.0]"], "EVPN routes")
    equal(fields(evpn[f"[2]:[0]:[48]:[{MAC}]:[32]:[10.2.9.9]"], "labels", "esi", "next_hop"), ([2010], None, "192.0.2.2"), "type 2")
    equal(evpn["[3]:[0]:[32]:[192.0.2.2]"]["pmsi"], "ingress-replication 192.0.2.2 2011", "type 3")
    equal(fields(evpn["[5]:[0]:[16]:[10.2.0.0]"], "labels", "gateway"), ([2012], "10.2.0.254"), "type 5")
    check(f"router-mac:{MAC}" in evpn["[5]:[0]:[16]:[10.2.0.0]"]["ext_communities"], "the router's MAC")
    wait(lambda: "10.2.0.0/24" in gateway.routes("red"), "the VPNv4 route is imported")

    # Ours go by what the peer asks for, and that alone.
    wait(lambda: "64512:64512:100" in gobgp.run("neighbor", LOCAL, "adj-in", "-a", "rtc"), "gobgp shows our membership")
    check(OURS not in gobgp.seen(LOCAL), "a route that nobody asked for was sent")
    equal(gateway.peer(PEER)["advertised"], 1, "the membership")
    gobgp.run("vrf", "add", "red", "rd", "64512:22", "rt", "both", "64512:100")
    wait(lambda: OURS in gobgp.seen(LOCAL), "gobgp asks for our route and has it")
    equal(sorted(received("rtc")), ["64512:target:64512:100"], "gobgp's membership")

    # Another VRF asks for more, without it they go again; the session has not moved.
    check("2001:db8:9::/64" not in received("vpnv6"), "a route that no VRF imports was sent")
    world.config["vrf"].append(vrf("blue", "target:64512:999", "10.9.0"))
    gateway.apply()
    wait(lambda: "2001:db8:9::/64" in received("vpnv6"), "what the new VRF imports comes")
    world.config["vrf"].pop()
    gateway.apply()
    wait(lambda: "2001:db8:9::/64" not in received("vpnv6"), "and goes with it")
    equal(gateway.peer(PEER)["last_error"], None, "errors of the session")
    gobgp.run("vrf", "del", "red")
    wait(lambda: OURS not in gobgp.seen(LOCAL), "our route is taken back when it is not asked for")
