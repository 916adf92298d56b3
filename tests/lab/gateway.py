"""vrouterd in a namespace: its configuration, its life, and what vrctl says about it."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess

from .net import ROOT, Failure, check, equal, wait

GATEWAY_MAC = "00:00:5e:00:01:00"


def binaries():
    """Directory of the programs under test: VROUTER_BIN, or the default build."""
    return pathlib.Path(os.environ.get("VROUTER_BIN") or ROOT / "target" / "debug")


def toml(tree):
    """The text of a configuration given as dictionaries and lists, in the shape of the file."""
    def value(item):
        if isinstance(item, bool):
            return "true" if item else "false"
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{k} = {value(v)}" for k, v in item.items()) + " }"
        if isinstance(item, (list, tuple)):
            return "[" + ", ".join(value(v) for v in item) + "]"
        return str(item) if isinstance(item, int) else json.dumps(str(item))

    inline = {"subnets", "static-routes"}
    lines = []

    def table(path, body):
        for key, item in body.items():
            if not is_table(key, item):
                lines.append(f"{key} = {value(item)}")
        for key, item in body.items():
            name = ".".join((*path, key))
            if is_table(key, item):
                for entry in item if isinstance(item, list) else [item]:
                    lines.append(f"\n[[{name}]]" if isinstance(item, list) else f"\n[{name}]")
                    table((*path, key), entry)

    def is_table(key, item):
        return key not in inline and (isinstance(item, dict) or isinstance(item, list) and item != [] and isinstance(item[0], dict))

    table((), tree)
    return "\n".join(lines).lstrip() + "\n"


class Gateway:
    """One vrouterd. `config` is the tree of its file: change it, `write()`, then `start()` or `vrctl("config", "reload")`."""

    def __init__(self, lab, namespace, config):
        self.lab, self.namespace, self.config = lab, namespace, config
        self.name = namespace.name
        self.directory = lab.directory / self.name
        self.directory.mkdir(exist_ok=True)
        self.file = self.directory / "gw.toml"
        self.socket = self.directory / "api.sock"
        config.setdefault("api", {})["socket"] = self.socket
        config["router"].setdefault("name", self.name)
        config["router"].setdefault("state-file", self.directory / "state.json")
        self.process = None
        check(len(str(self.socket)) < 100, f"the run directory is too deep for a unix socket: {self.socket}")
        lab.gateways.append(self)

    # --- life -----------------------------------------------------------------------------------------------------

    def write(self):
        self.file.write_text(toml(self.config))

    def launch(self, name=None):
        """Starts the daemon without waiting for it."""
        self.write()
        self.process = self.namespace.start(name or f"{self.name}.vrouterd", binaries() / "vrouterd", "run", self.file,
                                            env={"RUST_LOG": os.environ.get("RUST_LOG", "info")})

    def start(self, timeout=30):
        self.launch()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=30):
        self.process.wait_answer(lambda: self.show("status")["ready"], timeout)

    def stop(self, sig=signal.SIGTERM):
        return self.process.stop(sig)

    # --- questions ------------------------------------------------------------------------------------------------

    def try_vrctl(self, *args, timeout=20):
        """(exit status, output, errors)"""
        done = subprocess.run([str(binaries() / "vrctl"), "--socket", str(self.socket), *map(str, args)],
                              capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout, done.stderr

    def vrctl(self, *args, timeout=20):
        status, out, err = self.try_vrctl(*args, timeout=timeout)
        check(status == 0, lambda: f"vrctl {' '.join(map(str, args))} on {self.name} ended {status}: {(err or out).strip()}")
        return out

    def show(self, noun, *args):
        """The JSON of `vrctl NOUN [VERB ...] --json`; the verb is `show` for status and `list` for the rest."""
        if not args or str(args[0]).startswith("-"):
            args = ("show" if noun == "status" else "list", *args)
        status, out, err = self.try_vrctl(noun, *args, "--json")
        check(status in (0, 4) and out.strip(), lambda: f"vrctl {noun} {args} on {self.name} ended {status}: {err.strip()}")
        return json.loads(out)

    def post(self, path, body=""):
        """POST on the API socket, for what vrctl has no word for. Returns (status, text)."""
        return self._http("POST", path, body)

    def get(self, path):
        return self._http("GET", path)

    def _http(self, method, path, body=None):
        class Connection(http.client.HTTPConnection):
            def connect(inner):
                inner.sock = socket.socket(socket.AF_UNIX)
                inner.sock.settimeout(10)
                inner.sock.connect(str(self.socket))
        connection = Connection("localhost")
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()

    def apply(self, **kwargs):
        """Writes the changed configuration and reloads it."""
        self.write()
        return self.vrctl("config", "reload", **kwargs)

    def routes(self, vrf):
        return {row["prefix"]: row for row in self.show("route", "--vrf", vrf)}

    def interface(self, name):
        for row in self.show("interface"):
            if row["name"] == name:
                return row
        raise Failure(f"{self.name} has no interface {name}")

    def label_of(self, vrf=None, interface=None):
        """The label in use for a VRF or for an instance."""
        for row in self.show("label"):
            if row["quarantine_seconds"] is None and (row["interface"] == interface if interface else
                                                      row["kind"] == "vrf" and row["vrf"] == vrf):
                return row["label"]
        raise Failure(f"{self.name} has no label for vrf {vrf} interface {interface}: {self.show('label')}")

    def advertised_label(self, prefix, family="vpnv4"):
        rows = [r for r in self.show("bgp", "route", "list", "--family", family, "--advertised") if r["prefix"] == prefix]
        check(rows, f"{self.name} advertises nothing for {prefix}")
        return rows[0]["labels"][0]

    def peer(self, address):
        for row in self.show("bgp", "summary"):
            if row["peer"] == address:
                return row
        raise Failure(f"{self.name} has no BGP peer {address}")

    def wait_established(self, address, timeout=40):
        return wait(lambda: self.peer(address)["state"] == "Established" and self.peer(address),
                    f"{self.name}: session with {address} established", timeout, every=0.1)

    def neighbor_ready(self, address):
        rows = [row for row in self.show("neighbor") if row["address"] == address]
        return bool(rows) and rows[0]["state"].lower() in ("reachable", "stale")

    # --- counters -------------------------------------------------------------------------------------------------

    def drops(self):
        return {row["reason"]: row["count"] for row in self.show("drop")}

    @contextlib.contextmanager
    def moves(self, **expected):
        """The drop counters that the block moves, by how much, and no other: `with gw.moves(unknown_vlan=1):`."""
        expected = {slug.replace("_", "-"): count for slug, count in expected.items()}
        before = self.settled()
        yield

        def moved():
            after = self.drops()
            return {slug: after[slug] - before.get(slug, 0) for slug in after if after[slug] != before.get(slug, 0)}
        try:
            wait(lambda: moved() == expected, "the counters", timeout=3)
        except Failure:
            raise Failure(f"{self.name}: drop counters moved {moved()}, expected exactly {expected}") from None
        self.settled()
        equal(moved(), expected, f"{self.name}: drop counters moved")

    def settled(self):
        """The drop counters once two looks at them agree."""
        before = self.drops()
        for _ in range(20):
            after = self.drops()
            if after == before:
                return after
            before = after
        return before

    def accounting(self):
        """Design: every packet that came is accounted for, per worker. Returns what is wrong, or an empty list."""
        rows = self.show("worker")
        wrong = [] if rows else ["no worker is listed"]
        for w in rows:
            came = w["rx"] + w["handed_in"] + w["injected"] + w["copies_made"]
            went = w["tx"] + w["punted"] + w["dropped"] + w["handed_out"] + w["queued"]
            if came != went:
                wrong.append(f"worker {w['id']}: rx {w['rx']} + handed_in {w['handed_in']} + injected {w['injected']} + copies_made "
                             f"{w['copies_made']} = {came}, but tx {w['tx']} + punted {w['punted']} + dropped {w['dropped']} + "
                             f"handed_out {w['handed_out']} + queued {w['queued']} = {went}")
        handed_out, handed_in = sum(w["handed_out"] for w in rows), sum(w["handed_in"] for w in rows)
        if handed_out != handed_in:
            wrong.append(f"handed_out {handed_out} and handed_in {handed_in} over all workers differ")
        dropped, named = sum(w["dropped"] for w in rows), sum(self.drops().values())
        if dropped != named:
            wrong.append(f"workers dropped {dropped}, but the named reasons add up to {named}")
        return wrong

    def check_accounting(self):
        """The identity has to hold as soon as the traffic rests."""
        try:
            wait(lambda: not self.accounting(), "accounting", timeout=5)
        except Failure:
            raise Failure(f"accounting of {self.name}: " + "; ".join(self.accounting())) from None
