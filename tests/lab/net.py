"""Namespaces, veth pairs and processes that a scenario owns, and their removal by id."""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = "vrdemo-"
DEMO_DIRECTORY = pathlib.Path("/run/vrouter-demo")

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


class Failure(AssertionError):
    """A scenario's expectation that did not hold, in words."""


def check(held, words):
    """Fails the scenario with `words` (a text, or a function making one) unless `held`."""
    if not held:
        raise Failure(words() if callable(words) else words)


def equal(got, want, what):
    check(got == want, lambda: f"{what}: got {got!r}, want {want!r}")


def wait(condition, what, timeout=10.0, every=0.05):
    """Waits until `condition()` is true and returns its value; its last falsy value or exception goes into the failure."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = condition()
            if value:
                return value
        except (Failure, OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
            value = error
        if time.monotonic() > deadline:
            raise Failure(f"not within {timeout:g} s: {what} (last: {value!r})")
        time.sleep(every)


def sh(*args, timeout=20, ok=True):
    """Runs a command to its end and returns its output; a failure names it."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout)
    if ok and done.returncode != 0:
        raise Failure(f"`{' '.join(map(str, args))}` ended {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program in the background, with its output in a file of the run directory."""

    def __init__(self, name, argv, log, env=None, outlive=False, asks=False):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            stdin = subprocess.PIPE if asks else subprocess.DEVNULL
            self.child = subprocess.Popen([str(a) for a in argv], stdin=stdin, stdout=out, stderr=out,
                                          env={**os.environ, **(env or {})}, start_new_session=outlive,
                                          preexec_fn=None if outlive else _die_with_parent)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def tell(self, line):
        """Writes a line to the standard input of a program that was started with `asks`."""
        self.child.stdin.write(f"{line}\n".encode())
        self.child.stdin.flush()

    def stop(self, sig=signal.SIGTERM, grace=5.0):
        """Ends it and returns its exit status; a process that ignores the signal is killed after `grace` seconds."""
        if self.alive():
            self.child.send_signal(sig)
            try:
                self.child.wait(grace)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.wait(10)

    def wait_answer(self, question, timeout=15):
        """Waits until `question()` is true; fails with the program's output, and at once if it has ended."""
        def asked():
            if not self.alive():
                raise RuntimeError(f"{self.name} ended {self.child.returncode}: {self.output()[-2000:]}")
            return question()
        try:
            return wait(asked, f"{self.name} answers", timeout, every=0.1)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.output()[-2000:]}") from None

    def output(self):
        return pathlib.Path(self.log).read_text(errors="replace")


class Namespace:
    """A network namespace with a unique name. IPv6 is off in it, so that counters show only what a scenario sent."""

    def __init__(self, lab, name):
        self.lab, self.name, self.id = lab, name, f"{lab.prefix}{name}"
        sh("ip", "netns", "add", self.id)
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        self.run("ip", "link", "set", "lo", "up")

    def argv(self, *args):
        return ["ip", "netns", "exec", self.id, *map(str, args)]

    def run(self, *args, timeout=20, ok=True):
        return sh(*self.argv(*args), timeout=timeout, ok=ok)

    def status(self, *args, timeout=20):
        """(exit status, output and errors together)"""
        done = subprocess.run(self.argv(*args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
        return done.returncode, done.stdout

    def start(self, name, *args, env=None, asks=False):
        return self.lab.start(name, self.argv(*args), env=env, asks=asks)

    def ip(self, *args):
        return sh("ip", "-n", self.id, *args)

    def address(self, text, device="lo"):
        self.ip("addr", "add", text, "dev", device)

    def up(self, device, up=True):
        self.ip("link", "set", device, "up" if up else "down")

    def call(self, function):
        """Runs `function()` in a thread that has entered the namespace: a socket opened there stays there."""
        result = {}

        def inside():
            try:
                with open(f"/run/netns/{self.id}") as handle:
                    if _libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result["value"] = function()
            except BaseException as error:  # handed to the caller below
                result["error"] = error

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]


class Lab:
    """Everything one scenario made. `close()` removes it all, whatever happened; `keep` makes things that outlive the maker."""

    def __init__(self, name, run_directory, strip=False, prefix=None, keep=False):
        self.name, self.directory, self.strip, self.keep = name, pathlib.Path(run_directory), strip, keep
        self.prefix = prefix or f"vl{os.getpid()}-"
        self.namespaces, self.processes, self.gateways, self.closers = {}, [], [], []
        self._ifindex = 100
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)

    def namespace(self, name):
        if name not in self.namespaces:
            self.namespaces[name] = Namespace(self, name)
        return self.namespaces[name]

    def veth(self, a, device_a, b, device_b, mtu=1500):
        """A veth pair between two namespaces, both ends up, checksums computed in software.

        The ends get different interface indexes: with equal ones in two namespaces the kernel takes an end for its own
        peer and reports carrier wrongly.
        """
        self._ifindex += 2
        sh("ip", "link", "add", "name", device_a, "index", self._ifindex, "mtu", mtu, "netns", a.id,
           "type", "veth", "peer", "name", device_b, "index", self._ifindex + 1, "mtu", mtu, "netns", b.id)
        for namespace, device in ((a, device_a), (b, device_b)):
            namespace.run("ethtool", "-K", device, "tx", "off", ok=False)
            namespace.up(device)

    def start(self, name, argv, env=None, asks=False):
        process = Process(name, argv, self.directory / f"{name}.log", env, self.keep, asks)
        self.processes.append(process)
        return process

    def closing(self, closer):
        """Has `closer()` called at the end."""
        self.closers.append(closer)

    def close(self):
        for closer in reversed(self.closers):
            try:
                closer()
            except Exception as error:  # the rest must go too
                print(f"closing: {error!r}")
        for process in reversed(self.processes):
            if process.alive():
                process.child.terminate()
        for process in reversed(self.processes):
            process.stop(grace=3.0)
        sweep(self.prefix)

    def abandon(self):
        """Leaves everything running but what lives in this process."""
        for closer in reversed(self.closers):
            closer()


def sweep(prefix):
    """Kills what still runs in namespaces of this prefix and deletes them."""
    listed = sh("ip", "netns", "list", ok=False)
    for name in (line.split()[0] for line in listed.splitlines() if line.startswith(prefix)):
        for pid in sh("ip", "netns", "pids", name, ok=False).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        sh("ip", "netns", "del", name, ok=False)


def sweep_dead():
    """Removes what runs that no longer live have left behind: namespaces and run directories, both named after a pid."""
    for line in sh("ip", "netns", "list", ok=False).splitlines():
        name = line.split()[0] if line.split() else ""
        pid = name[2:].split("-")[0]
        if name.startswith("vl") and pid.isdigit() and not pathlib.Path(f"/proc/{pid}").exists():
            sweep(f"vl{pid}-")
    for directory in pathlib.Path("/run").glob("vrouter-lab-*"):
        pid = directory.name.rsplit("-", 1)[1]
        if pid.isdigit() and not pathlib.Path(f"/proc/{pid}").exists():
            shutil.rmtree(directory, ignore_errors=True)
