"""A wrong configuration is refused with every error and its line at once: exit 1, nothing started; a reload with one changes nothing.

Breaks when: loading stops at the first error, or the daemon opens its ports before it has checked the file.
"""

import re
import subprocess

from lab.gateway import binaries
from lab.net import ROOT, check, equal
from lab.worlds import OnePe, vrf

BAD = '''[router]
router-id = "192.0.2.1"
asn = 64512
colour = "red"

[[port]]
name = "fabric0"
role = "fabric"
device = "vdev:net_af_packet0,iface=fab0"
addresses = ["192.0.2.1/24"]
mtu = 1700

[[port]]
name = "gw0"
role = "gateway"

[[vrf]]
name = "red"
route-tagret = ["target:64512:100"]
subnets = [{ prefix = "10.1.0.0/24", gateway = "10.1.0.1" }]

[[instance]]
name = "a"
vrf = "red"
port = "gw0"
vlan = 107
mac = "52:54:00:00:01:07"
addresses = ["10.1.0.7"]

[[instance]]
name = "b"
vrf = "red"
port = "gw0"
vlan = 107
mac = "52:54:00:00:01:08"
addresses = ["10.1.0.8"]

[[instance]]
name = "c"
vrf = "blue"
port = "gw0"
vlan = 109
mac = "52:54:00:00:01"
addresses = ["10.1.0.9"]

[[instance]]
name = "d"
vrf = "red"
port = "gw0"
vlan = 110
mac = "52:54:00:00:01:10"
addresses = ["10.7.0.9"]
'''
# (what the offending line starts with, which of them, words of the message)
EXPECTED = [("colour", 1, "colour"), ("[[port]]", 2, "device"), ("route-tagret", 1, "route-targets"), ("vlan = 107", 2, "107"),
            ('vrf = "blue"', 1, "blue"), ('mac = "52:54:00:00:01"', 1, "MAC"), ('addresses = ["10.7.0.9"]', 1, "10.7.0.9")]


def line_of(text, start, which):
    return [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start)][which - 1]


def run(lab):
    world = OnePe(lab)
    gateway = world.gateway
    file = gateway.directory / "bad.toml"
    file.write_text(BAD)
    for verb in ("check", "run"):
        done = subprocess.run(world.namespace.argv(binaries() / "vrouterd", verb, file), capture_output=True, text=True, timeout=20)
        said = done.stdout + done.stderr
        equal(done.returncode, 1, f"exit status of {verb}:\n{said}\n")
        for start, which, words in EXPECTED:
            line = line_of(BAD, start, which)
            hits = [row for row in said.splitlines() if f"bad.toml:{line}:" in row and words in row]
            near = [row for row in said.splitlines() if words in row]
            check(hits, f"{verb}: no message with `bad.toml:{line}:` and `{words}`; near: {near}; all:\n{said}")
        check("EAL" not in said, f"{verb}: the data plane was touched:\n{said}")
        # A port that is opened raises its interface to the MTU of the file.
        check(" mtu 1600 " in world.namespace.ip("link", "show", "fab0"), f"{verb}: the port was opened")

    # What the README shows is right, on a machine without its devices too.
    example = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    file.write_text(example)
    done = subprocess.run([binaries() / "vrouterd", "check", file], capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, f"exit status of checking the README's example:\n{done.stdout}{done.stderr}\n")
    file.write_text(BAD)

    # A running gateway that is told to read a wrong file says so, changes nothing and forwards on.
    world.config["vrf"] = [vrf()]
    world.static_route()
    host = world.add("a", 107, "10.1.0.7")
    world.start()
    pe = world.pe
    pe.serve(1000, "10.2.0.9", gateway.label_of(interface="a"))
    check(host.ping("10.2.0.9"), "it forwards")
    generation = gateway.show("status")["generation"]
    status, out, err = gateway.try_vrctl("config", "apply", file)
    equal(status, 1, "exit status of a refused apply")
    for start, which, words in EXPECTED:
        check(words in out + err, f"apply does not tell `{words}`: {out}{err}")
    equal(gateway.show("status")["generation"], generation, "generation after a refused apply")
    check(host.ping("10.2.0.9"), "it still forwards")

    # What cannot start says which and how to mend it.
    gateway.stop()
    world.config["port"][0]["device"] = "vdev:net_af_packet0,iface=nosuch0"
    gateway.launch("nodevice")
    equal(gateway.process.child.wait(20), 1, "exit status without the device")
    check("fabric0" in gateway.process.output() or "nosuch0" in gateway.process.output(), f"it names the port: {gateway.process.output()}")
