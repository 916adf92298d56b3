"""The topologies that most scenarios share. Addresses: underlay 192.0.2.0/24, management 10.255.0.0/24, instances 10.1.0.0/24 and on."""

from .frames import ForeignPe, RawPort, VlanHosts
from .gateway import Gateway
from .net import wait
from .switch import Switch

RT = "target:64512:100"
FABRIC_MTU = 1600  # room for a 1,500-byte inner packet and 32 bytes of encapsulation


LOCAL = "10.255.0.1"  # our end of BGP sessions


def peer(address, asn=64512, port=1790, **more):
    more = {key.replace("_", "-"): value for key, value in more.items()}
    return {"address": address, "asn": asn, "port": port, "local-address": LOCAL, **more}


def device(number, name, extra="", driver="net_af_packet"):
    return f"vdev:{driver}{number},iface={name}{extra}"


def gateway_config(lab, address, mtu=FABRIC_MTU, gw_mtu=1500, extra="", driver="net_af_packet"):
    """The smallest useful configuration: a fabric port with `address`, and a gateway port."""
    gw_port = {"name": "gw0", "role": "gateway", "device": device(1, "gw0", extra, driver), "mtu": gw_mtu}
    if lab.strip:
        gw_port["vlan-strip"] = True
    return {
        "router": {"router-id": address, "asn": 64512, "tunnel-sources": ["192.0.2.0/24"]},
        "port": [{"name": "fabric0", "role": "fabric", "device": device(0, "fab0", extra, driver), "addresses": [f"{address}/24"], "mtu": mtu},
                 gw_port],
        "vrf": [],
        "instance": [],
    }


def vrf(name="red", rt=RT, net="10.1.0", **more):
    return {"name": name, "route-targets": [rt], "subnets": [{"prefix": f"{net}.0/24", "gateway": f"{net}.1"}], **more}


def instance(name, vlan, address, vrf="red", mac=None, port="gw0"):
    return {"name": name, "vrf": vrf, "port": port, "vlan": vlan, "mac": mac or mac_of(vlan), "addresses": [address]}


def mac_of(vlan, high=0):
    return f"52:54:00:{high:02x}:{vlan >> 8:02x}:{vlan & 255:02x}"


class OnePe:
    """One gateway. Its fabric port faces a foreign PE (raw), its gateway port faces hosts on VLANs (raw).

        [hosts] == trunk == gw0 [ gw1 ] fab0 == wire == [pe 192.0.2.2]
    """

    def __init__(self, lab, mtu=FABRIC_MTU, gw_mtu=1500, extra="", driver="net_af_packet"):
        self.lab = lab
        self.namespace, self.outside, self.rack = lab.namespace("gw1"), lab.namespace("far"), lab.namespace("rack")
        lab.veth(self.namespace, "fab0", self.outside, "wire", mtu)
        lab.veth(self.namespace, "gw0", self.rack, "trunk", gw_mtu)
        self.config = gateway_config(lab, "192.0.2.1", mtu, gw_mtu, extra, driver)
        self.gateway = Gateway(lab, self.namespace, self.config)
        self.pe = ForeignPe(RawPort(lab, self.outside, "wire"), "02:00:00:00:00:02", "192.0.2.2", "192.0.2.1")
        self.hosts = VlanHosts(RawPort(lab, self.rack, "trunk"))

    def add(self, name, vlan, address, vrf="red", **kwargs):
        """An instance and the host behind it; the host's gateway is .1 of its /24."""
        row = instance(name, vlan, address, vrf)
        self.config["instance"].append(row)
        return self.hosts.add(vlan, row["mac"], address, address.rsplit(".", 1)[0] + ".1", **kwargs)

    def static_route(self, prefix="10.2.0.0/24", label=1000, encapsulation="mplsoudp", vrf_index=0, tunnel="192.0.2.2"):
        """A VRF route to a host of the foreign PE, without BGP."""
        self.config["vrf"][vrf_index].setdefault("static-routes", []).append(
            {"prefix": prefix, "tunnel": tunnel, "label": label, "encapsulation": encapsulation})

    def bgp(self, *peers, asn=64512):
        """Sessions over `lo` of the gateway's own namespace, from 10.255.0.1."""
        self.config["router"]["asn"] = asn
        self.namespace.address(f"{LOCAL}/32")
        self.config["bgp"] = {"listen": f"{LOCAL}:179", "peer": list(peers)}

    def start(self):
        self.gateway.start()
        self.pe.resolve()
        self.tunnels_up()
        return self

    def tunnels_up(self):
        wait(lambda: all(row["state"] == "up" for row in self.gateway.show("nexthop")), "every next hop is up")


class TwoPes:
    """Two gateways on one wire; behind each a switch that tags, and a host with an ordinary kernel stack.

        [a 10.1.0.7] -- access VLAN 107 [tor1] trunk == gw0 [gw1] fab0 == fab0 [gw2] gw0 == trunk [tor2] access -- [b 10.2.0.8]
    """

    def __init__(self, lab, mtu=FABRIC_MTU):
        self.lab = lab
        self.gateways, self.hosts = {}, {}
        one, two = lab.namespace("gw1"), lab.namespace("gw2")
        lab.veth(one, "fab0", two, "fab0", mtu)
        for number, namespace, host, vlan, net in ((1, one, "a", 107, "10.1.0"), (2, two, "b", 208, "10.2.0")):
            config = gateway_config(lab, f"192.0.2.{number}", mtu)
            config["vrf"] = [vrf(net=net)]
            self.gateways[number] = Gateway(lab, namespace, config)
            switch = Switch(lab, f"tor{number}")
            lab.veth(namespace, "gw0", switch.namespace, "trunk")
            switch.port("trunk")
            address = f"{net}.{7 if number == 1 else 8}"
            config["instance"] = [instance(host, vlan, address)]
            self.hosts[host] = kernel_host(lab, switch, host, vlan, address, f"{net}.1", mac_of(vlan))
        self.one, self.two, self.a, self.b = self.gateways[1], self.gateways[2], self.hosts["a"], self.hosts["b"]

    def start(self):
        self.one.launch()
        self.two.launch()
        self.one.wait_ready()
        self.two.wait_ready()
        return self

    def static_routes(self, encapsulation):
        """Routes to each other's instance by the labels that the two have given them, and no BGP."""
        for here, there, far, tunnel, host in ((self.one, self.two, "10.2.0.0/24", "192.0.2.2", "b"),
                                               (self.two, self.one, "10.1.0.0/24", "192.0.2.1", "a")):
            here.config["vrf"][0]["static-routes"] = [{"prefix": far, "tunnel": tunnel, "label": there.label_of(interface=host),
                                                       "encapsulation": encapsulation}]
        self.one.apply()
        self.two.apply()
        self.a.wait_ping(self.b.address)


class KernelHost:
    """An ordinary host: a namespace with eth0 on an access port."""

    def __init__(self, namespace, address):
        self.namespace, self.address = namespace, address

    def ping(self, target, count=3, *args, timeout=20):
        """(received, output)"""
        status, out = self.namespace.status("ping", "-n", "-c", count, "-i", "0.05", "-W", "2", *args, target, timeout=timeout)
        return out.count(" bytes from "), out

    def wait_ping(self, target, timeout=10):
        wait(lambda: self.ping(target, 1, "-W", "1")[0] == 1, f"{self.namespace.name} reaches {target}", timeout, every=0.1)


def kernel_host(lab, switch, name, vlan, address, gateway, mac, mtu=1500):
    namespace = lab.namespace(name)
    lab.veth(namespace, "eth0", switch.namespace, f"to-{name}", mtu)
    namespace.ip("link", "set", "eth0", "address", mac)
    namespace.address(f"{address}/24", "eth0")
    namespace.ip("route", "add", "default", "via", gateway)
    switch.port(f"to-{name}", vlan)
    return KernelHost(namespace, address)
