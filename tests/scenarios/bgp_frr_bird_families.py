"""FRR and BIRD with VPNv6 and IPv6 unicast, FRR with EVPN too: their routes as received, and no family harms another.

Breaks when: next hops of IPv6 routes, mapped or with a link-local one behind, are misread, or a family of their OPEN is missed.
"""

from lab.bgpcheck import LOCAL
from lab.net import equal, wait
from lab.peers import Bird, Frr
from lab.worlds import OnePe, peer, vrf

ONE_WAY = True  # no packet of an instance is forwarded here
FRR, BIRD = "10.255.0.3", "10.255.0.4"
FRR_MORE = f""" address-family ipv6 unicast
  network 2001:db8:33::/48
  neighbor {LOCAL} activate
 exit-address-family
 address-family ipv6 vpn
  network 2001:db8:3::/64 rd 64512:3 label 3006
  neighbor {LOCAL} activate
 exit-address-family
 address-family l2vpn evpn
  neighbor {LOCAL} activate
 exit-address-family
"""
BIRD_TOP = f"""vpn6 table vpntab6;
protocol direct {{ ipv6; }}
protocol static mine6 {{ vpn6 {{ table vpntab6; }}; route 64512:4 2001:db8:4::/64 via {BIRD} mpls 4006 {{ bgp_ext_community.add((rt, 64512, 100)); }}; }}
protocol static plain6 {{ ipv6; route 2001:db8:44::/48 blackhole; }}
"""
BIRD_MORE = """  vpn6 mpls { table vpntab6; import all; export all; next hop keep; gateway recursive; igp table master4; extended next hop on; };
  ipv6 { import all; export where source = RTS_STATIC; next hop self; extended next hop on; };
"""


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    frr_families, bird_families = ["vpnv4", "vpnv6", "ipv6", "evpn"], ["vpnv4", "vpnv6", "ipv6"]
    world.bgp(peer(FRR, port=1791, families=frr_families), peer(BIRD, port=1792, families=bird_families))
    world.add("a", 107, "10.1.0.7")
    Frr(lab, world.namespace, FRR, 64512, LOCAL, 64512, "64512:100", "64512:3", 3301, ["10.3.1.0/24"], extra=FRR_MORE).start()
    Bird(lab, world.namespace, BIRD, 64512, LOCAL, 64512, top=BIRD_TOP, extra=BIRD_MORE).start()
    world.start()
    gateway = world.gateway
    for address, families in ((FRR, frr_families), (BIRD, bird_families)):
        gateway.wait_established(address)
        equal(sorted(gateway.peer(address)["families"]), sorted(families), f"families of {address}")

    def received(family, prefix, address):
        rows = gateway.show("bgp", "route", "list", "--family", family, "--received", "--peer", address)
        return next(((row["rd"], row["labels"], row["next_hop"]) for row in rows if row["prefix"] == prefix), None)

    for family, prefix, address, expected in (
        ("vpnv6", "2001:db8:3::/64", FRR, ("64512:3", [3006], FRR)),
        ("vpnv6", "2001:db8:4::/64", BIRD, ("64512:4", [4006], BIRD)),
        ("ipv6", "2001:db8:33::/48", FRR, (None, [], FRR)),
        ("ipv6", "2001:db8:44::/48", BIRD, (None, [], BIRD)),
        ("vpnv4", "10.3.1.0/24", FRR, ("64512:3", [3301], FRR)),
    ):
        row = wait(lambda: received(family, prefix, address), f"{family} {prefix} of {address}")
        equal(row, expected, f"{family} {prefix} of {address}")
    for address in (FRR, BIRD):
        equal(gateway.peer(address)["last_error"], None, f"errors of {address}")
