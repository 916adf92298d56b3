"""Unknown VLAN, untagged frame, wrong source MAC, spoofed address: each moves exactly its own counter, and nothing comes out.

Breaks when: classification sends a frame without an interface into the underlay, or skips the source MAC check.
"""

from lab.frames import ARP, BROADCAST, GATEWAY_MAC, ICMP, IP, Dot1Q, Ether, Raw
from lab.net import check, equal
from lab.worlds import OnePe, vrf


def run(lab):
    world = OnePe(lab)
    world.config["vrf"] = [vrf()]
    world.static_route()
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    gateway = world.gateway
    ping = IP(src="10.1.0.7", dst="10.2.0.9") / ICMP() / Raw(b"x" * 20)

    with gateway.moves(unknown_vlan=3):
        host.send(ping, vlan=108)
        host.send(ping, vlan=4094)
        host.send(ARP(psrc="10.1.0.7", pdst="10.1.0.1", hwsrc=host.mac), vlan=108, dst=BROADCAST)
    with gateway.moves(untagged=3):
        world.hosts.port.send(Ether(src=host.mac, dst=GATEWAY_MAC) / ping)
        world.hosts.port.send(Ether(src=host.mac, dst=GATEWAY_MAC) / Dot1Q(vlan=0, prio=5) / ping)
        world.hosts.port.send(Ether(src=host.mac, dst=BROADCAST) / ARP(psrc="10.1.0.7", pdst="10.1.0.1", hwsrc=host.mac))
    with gateway.moves(unknown_source_mac=2):
        host.send(ping, src="52:54:00:99:99:99")
        host.send(ARP(psrc="10.1.0.7", pdst="10.1.0.1", hwsrc="52:54:00:99:99:99"), src="52:54:00:99:99:99", dst=BROADCAST)
    with gateway.moves(spoofed_address=1):
        host.send(IP(src="10.1.0.8", dst="10.2.0.9") / ICMP())
    with gateway.moves(wrong_destination_mac=1):
        host.send(ping, dst="02:00:00:00:77:77")
    with gateway.moves(no_route=1):
        host.send(IP(src="10.1.0.7", dst="203.0.113.9") / ICMP())
    with gateway.moves(inner_checksum=1):
        wrong = ping.copy()
        wrong.chksum = 0x1111
        host.send(wrong)
    equal(gateway.interface("a")["drops"].get("spoofed-address"), 1, "the interface counts its own drops")
    equal(len(world.pe.received), 0, "packets that came out of the fabric port")
    equal(len(host.inbox) + len(world.hosts.strays), 0, "frames that came back")
    check(not [p for p in world.pe.other.items if IP in p], "nothing was routed in the underlay")
    # The tag does not have to be plain: priority bits are fine.
    with gateway.moves():
        host.group.port.send(Ether(src=host.mac, dst=GATEWAY_MAC) / Dot1Q(vlan=107, prio=6) / ping)
        check(world.pe.received.find(lambda t: t.label == 1000), "a frame with priority bits is forwarded")
