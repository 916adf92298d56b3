"""Real BGP speakers, and what their own show commands say.

They run in the namespace of the gateway, each on an address of `lo`: 10.255.0.x and not 127/8, which FRR takes for martian.
"""

import json
import re
import shutil
import subprocess

from .net import check, sh

FAMILIES = {"ipv4": "ipv4-unicast", "ipv6": "ipv6-unicast", "vpnv4": "l3vpn-ipv4-unicast", "vpnv6": "l3vpn-ipv6-unicast",
            "evpn": "l2vpn-evpn", "rtc": "rtc"}


class GoBgp:
    """gobgpd. `neighbors`: dictionaries with address, asn, and optionally port, passive, client, password, families."""

    def __init__(self, lab, namespace, address, asn, neighbors, port=1790, name="gobgpd", own_address=True):
        self.lab, self.namespace, self.address, self.asn, self.port, self.name = lab, namespace, address, asn, port, name
        if own_address:
            namespace.address(f"{address}/32")
        self.config = lab.directory / f"{name}.toml"
        lines = ["[global.config]", f"as = {asn}", f'router-id = "{address}"', f"port = {port}", f'local-address-list = ["{address}"]']
        for n in neighbors:
            lines += ["[[neighbors]]", "[neighbors.config]", f'neighbor-address = "{n["address"]}"', f'peer-as = {n["asn"]}',
                      *([f'auth-password = "{n["password"]}"'] if n.get("password") else []),
                      "[neighbors.timers.config]", "connect-retry = 1", "idle-hold-time-after-reset = 1", "hold-time = 90",
                      "[neighbors.transport.config]", f'local-address = "{address}"',
                      f"passive-mode = {'true' if n.get('passive', True) else 'false'}"]
            if "port" in n:
                lines.append(f"remote-port = {n['port']}")
            if n["asn"] != asn:
                lines += ["[neighbors.ebgp-multihop.config]", "enabled = true", "multihop-ttl = 8"]
            if n.get("client"):
                lines += ["[neighbors.route-reflector.config]", "route-reflector-client = true",
                          f'route-reflector-cluster-id = "{address}"']
            for family in n.get("families", ["vpnv4"]):
                lines += ["[[neighbors.afi-safis]]", "[neighbors.afi-safis.config]", f'afi-safi-name = "{FAMILIES[family]}"']
        self.config.write_text("\n".join(lines) + "\n")
        self.process = None

    def start(self):
        self.process = self.namespace.start(self.name, "gobgpd", "-f", self.config, "--api-hosts", "127.0.0.1:50051",
                                            "--pprof-disable", "--log-plain")
        self.process.wait_answer(lambda: self.run("global"))
        return self

    def stop(self, **kwargs):
        self.process.stop(**kwargs)

    def run(self, *args):
        return self.namespace.run("gobgp", *args)

    def add(self, prefix, label=None, rd=None, rt=None, nexthop=None, encap=None, family="vpnv4"):
        words = ["global", "rib", "add", "-a", family, prefix]
        for word, value in (("label", label), ("rd", rd)):
            words += [word, value] if value is not None else []
        for target in [rt] if isinstance(rt, str) else rt or []:
            words += ["rt", target]
        for kind in [encap] if isinstance(encap, str) else encap or []:
            words += ["encap", kind]
        self.run(*words, *(["nexthop", nexthop] if nexthop else []))

    def evpn(self, *words, rt, rd="64512:2", encap="vxlan", nexthop="192.0.2.2"):
        """`words` in gobgp's own grammar of EVPN routes."""
        self.run("global", "rib", "add", "-a", "evpn", *words, "rd", rd, "rt", rt, *(["encap", encap] if encap else []), "nexthop", nexthop)

    def delete(self, prefix, label=None, rd=None, family="vpnv4"):
        words = ["global", "rib", "del", "-a", family, prefix]
        for word, value in (("label", label), ("rd", rd)):
            words += [word, value] if value is not None else []
        self.run(*words)

    def established(self, neighbor):
        return re.search(r"BGP state = ESTABLISHED", self.run("neighbor", neighbor), re.I) is not None

    def seen(self, neighbor, family="vpnv4"):
        """What the gateway has sent, from `gobgp neighbor N adj-in`: {prefix: row}."""
        out = self.run("neighbor", neighbor, "adj-in", "-a", family, "-j")
        return parse_gobgp(json.loads(out)) if out.strip().startswith(("{", "[")) else {}


def parse_gobgp(tree):
    """gobgp's JSON of a table, brought down to what scenarios compare."""
    found = {}
    for entry in tree.values() if isinstance(tree, dict) else tree:
        for path in entry if isinstance(entry, list) else [entry]:
            nlri = path["nlri"]
            row = {"labels": nlri.get("labels", []), "rd": nlri.get("rd"), "route_targets": [], "encapsulations": [],
                   "next_hop": None, "local_pref": None, "as_path": []}
            for attribute in path["attrs"]:
                kind = attribute["type"]
                if kind in (3, 14):
                    row["next_hop"] = attribute.get("nexthop", row["next_hop"])
                    if kind == 14 and attribute.get("value"):
                        row["labels"] = attribute["value"][0].get("labels", row["labels"])
                elif kind == 5:
                    row["local_pref"] = attribute["value"]
                elif kind == 2:
                    for segment in attribute["as_paths"] or []:
                        row["as_path"] += segment["asns"]
                elif kind == 16:
                    for community in attribute["value"]:
                        if community["type"] in (0, 1, 2) and community.get("subtype") == 2:
                            row["route_targets"].append(community["value"])
                        elif community["type"] == 3 and community.get("subtype") == 12:
                            row["encapsulations"].append(community.get("tunnel_type"))
            found[nlri["prefix"].rsplit(":", 1)[-1]] = row
    return found


class Bird:
    """BIRD as a VPN table and reflector. `top` is more configuration, `extra` more channels of its session."""

    def __init__(self, lab, namespace, address, asn, neighbor, neighbor_asn, routes=(), port=1792, name="bird", top="", extra=""):
        self.lab, self.namespace, self.address, self.port, self.name = lab, namespace, address, port, name
        namespace.address(f"{address}/32")
        directory = lab.directory / name
        directory.mkdir()
        self.config, self.control = directory / "bird.conf", directory / "bird.ctl"
        statics = "".join(f"  route {rd} {prefix} via {address} mpls {label} {{ {communities} }};\n"
                          for rd, prefix, label, communities in routes)
        self.config.write_text(f"""log stderr all;
router id {address};
vpn4 table vpntab4;
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static mine {{
  vpn4 {{ table vpntab4; }};
{statics}}}
{top}protocol bgp peer_gw {{
  local {address} port {port} as {asn};
  neighbor {neighbor} as {neighbor_asn};
  strict bind yes;
  multihop;
  passive yes;
  rr client;
  vpn4 mpls {{ table vpntab4; import all; export all; next hop keep; gateway recursive; igp table master4; }};
{extra}}}
""")
        self.process = None

    def start(self):
        self.process = self.namespace.start(self.name, "bird", "-f", "-c", self.config, "-s", self.control)
        self.process.wait_answer(lambda: "Daemon is up" in self.run("show", "status"))
        return self

    def stop(self, **kwargs):
        self.process.stop(**kwargs)

    def run(self, *words):
        return sh("birdc", "-s", self.control, *words)

    def established(self):
        return "Established" in self.run("show", "protocols", "peer_gw")

    def seen(self, _neighbor=None):
        """What the gateway has sent, from `show route ... all`: {prefix: row}."""
        out = self.run("show", "route", "table", "vpntab4", "protocol", "peer_gw", "all")
        found, row = {}, {}
        for line in out.splitlines():
            head = re.match(r"^(\S+) (\d+\.\d+\.\d+\.\d+/\d+)", line)
            if head:
                row = found[head.group(2)] = {"rd": head.group(1), "labels": [], "route_targets": [], "encapsulations": [],
                                              "next_hop": None, "as_path": [], "local_pref": None}
            name, _, value = line.strip().partition(": ")
            if name == "BGP.next_hop":
                row["next_hop"] = value.split()[0]
            elif name == "BGP.mpls_label_stack":
                row["labels"] = [int(label) for label in value.split()]
            elif name == "BGP.local_pref":
                row["local_pref"] = int(value)
            elif name == "BGP.as_path":
                row["as_path"] = [int(asn) for asn in value.split()]
            elif name == "BGP.ext_community":
                row["route_targets"] = [f"{a}:{b}" for a, b in re.findall(r"\(rt, (\S+), (\S+)\)", value)]
                row["encapsulations"] = [int(number, 16) for number in re.findall(r"\(generic, 0x30c0000, (\S+)\)", value)]
        return found

    def configure(self, old, new):
        """Edits the configuration and has it read again."""
        text = self.config.read_text()
        check(old in text, f"BIRD's configuration has no {old!r}")
        self.config.write_text(text.replace(old, new))
        self.run("configure")


class BirdBfd:
    """BIRD with one BFD session, 3 x 50 ms, over a device of its namespace."""

    def __init__(self, lab, namespace, device, address, neighbor, name="bird-bfd"):
        self.namespace, self.device, self.neighbor, self.name = namespace, device, neighbor, name
        directory = lab.directory / name
        directory.mkdir()
        self.config, self.control = directory / "bird.conf", directory / "bird.ctl"
        self.config.write_text(f"""log stderr all;
router id {address};
protocol device {{ }}
protocol bfd {{
  interface "{device}" {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }};
  neighbor {neighbor} dev "{device}" local {address};
}}
""")
        self.process = None

    def start(self):
        self.process = self.namespace.start(self.name, "bird", "-f", "-c", self.config, "-s", self.control)
        self.process.wait_answer(lambda: "Daemon is up" in sh("birdc", "-s", self.control, "show", "status"))
        return self

    def stop(self, **kwargs):
        self.process.stop(**kwargs)

    def session(self):
        """(state, interval, timeout, since), times in seconds, as BIRD shows them."""
        out = sh("birdc", "-s", self.control, "show", "bfd", "sessions")
        row = re.search(rf"^{re.escape(self.neighbor)} +{self.device} +(\w+) +(\S+) +(\S+) +(\S+)", out, re.M)
        return row and (row[1], float(row[3]), float(row[4]), row[2])


class Frr:
    """FRR's bgpd alone (-Z): VPN tables, and a default instance that exports `networks` and imports by route target."""

    def __init__(self, lab, namespace, address, asn, neighbor, neighbor_asn, rt, rd, label, networks=(), port=1791, name="frr", extra=""):
        self.lab, self.namespace, self.address, self.asn, self.port, self.name = lab, namespace, address, asn, port, name
        self.neighbor = neighbor
        namespace.address(f"{address}/32")
        self.directory = lab.directory / name
        self.directory.mkdir()
        self.config = self.directory / "bgpd.conf"
        announced = "".join(f"  network {n}\n" for n in networks)
        self.config.write_text(f"""frr defaults traditional
hostname {name}
log stdout informational
!
route-map L3VPN permit 10
 set l3vpn next-hop encapsulation gre
!
router bgp {asn}
 bgp router-id {address}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 neighbor {neighbor} remote-as {neighbor_asn}
 neighbor {neighbor} passive
 neighbor {neighbor} update-source {address}
 !
 address-family ipv4 unicast
{announced}  rd vpn export {rd}
  rt vpn both {rt}
  label vpn export {label}
  nexthop vpn export {address}
  export vpn
  import vpn
 exit-address-family
 !
 address-family ipv4 vpn
  neighbor {neighbor} activate
  neighbor {neighbor} route-map L3VPN in
 exit-address-family
{extra}!
""")
        # bgpd gives its privileges up and must still reach its own directory.
        shutil.chown(self.directory, "frr", "frr")
        shutil.chown(self.config, "frr", "frr")
        self.process = None

    def start(self):
        self.process = self.namespace.start(self.name, "/usr/lib/frr/bgpd", "-Z", "-n", "-l", self.address, "-p", self.port,
                                            "-f", self.config, "-i", self.directory / "bgpd.pid",
                                            "--vty_socket", self.directory, "-A", "127.0.0.1", "-P", "0")
        self.process.wait_answer(lambda: "FRRouting" in self.run("show version"))
        return self

    def stop(self, **kwargs):
        self.process.stop(**kwargs)

    def run(self, *commands):
        words = ["vtysh", "--vty_socket", str(self.directory)]
        for command in commands:
            words += ["-c", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
        check(done.returncode == 0, f"vtysh {commands}: {done.stderr}{done.stdout}")
        return done.stdout

    def show(self, command):
        return json.loads(self.run(command + " json"))

    def established(self, neighbor):
        return self.show("show bgp neighbors " + neighbor)[neighbor]["bgpState"] == "Established"

    def seen(self, _neighbor=None):
        """What the gateway has sent, from `show bgp ipv4 vpn` and the detail of each route: {prefix: row}."""
        found = {}
        for rd, block in self.show("show bgp ipv4 vpn")["routes"]["routeDistinguishers"].items():
            for prefix, paths in block.items():
                text = self.run(f"show bgp ipv4 vpn {prefix}")
                if "from " + self.neighbor not in text:
                    continue
                communities = re.search(r"Extended Community: (.*)", text)
                communities = communities.group(1).split() if communities else []
                label = re.search(r"Remote label: (\d+)", text)
                preference = re.search(r"localpref (\d+)", text)
                path = paths[0] if isinstance(paths, list) else paths
                found[prefix] = {
                    "rd": rd, "labels": [int(label.group(1))] if label else [], "next_hop": path["nexthops"][0]["ip"],
                    "route_targets": [c[3:] for c in communities if c.startswith("RT:")],
                    "encapsulations": [int(c[3:]) for c in communities if c.startswith("ET:")],
                    "as_path": [int(asn) for asn in path.get("path", "").split()],
                    "local_pref": int(preference.group(1)) if preference else None,
                }
        return found
