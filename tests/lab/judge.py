"""Capture files, and tshark's opinion of them. Nothing of ours decodes here."""

import struct
import subprocess
import threading
import time

from .frames import RawPort
from .net import Failure, check


class Capture:
    """Writes every frame that arrives at some devices to one pcap file, from the moment it is made until `stop()`.

    Arrives: what a DPDK port sends passes by the kernel's taps on its own side, so both directions of a wire need both ends.
    """

    def __init__(self, lab, name, *places):
        self.path = lab.directory / f"{name}.pcap"
        self._file, self._lock = open(self.path, "wb"), threading.Lock()
        self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        self.ports = [RawPort(lab, namespace, device) for namespace, device in places]
        for port in self.ports:
            port.listeners.append(self._write)

    def _write(self, frame):
        now = time.time()
        with self._lock:
            if not self._file.closed:
                self._file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)

    def stop(self, settle=0.3):
        time.sleep(settle)
        for port in self.ports:
            port.close()
        with self._lock:
            self._file.close()
        return self


# Checksums are judged, not assumed.
_OPTIONS = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
            "-d", "udp.port==51234,mpls"]


def tshark(path, display_filter, *fields, occurrence="a"):
    """Rows of `fields` of the frames that match, each value a list of its occurrences from outer to inner."""
    argv = ["tshark", "-n", "-r", str(path), *_OPTIONS, "-Y", display_filter, "-T", "fields", "-E", "separator=|",
            "-E", "aggregator=;", "-E", f"occurrence={occurrence}"]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, lambda: f"tshark: {done.stderr.strip()}")
    return [[value.split(";") if value else [] for value in line.split("|")] for line in done.stdout.splitlines()]


def rows(path, display_filter, *fields):
    """As dictionaries."""
    return [dict(zip(fields, row)) for row in tshark(path, display_filter, *fields)]


def none_malformed(path, display_filter="frame"):
    """No frame that matches is malformed in tshark's eyes, nor has a bad checksum anywhere."""
    bad = tshark(path, f"({display_filter}) and (_ws.malformed or ip.checksum.status == 0 or udp.checksum.status == 0 "
                       "or tcp.checksum.status == 0 or icmp.checksum.status == 0)", "frame.number", "_ws.col.Info")
    if bad:
        raise Failure(f"tshark finds fault with {len(bad)} frames of {path}: {bad[:3]}")


OUTER = ("ip.src", "ip.dst", "ip.checksum.status", "ip.ttl", "ip.proto", "ip.flags.df", "udp.srcport", "udp.dstport", "udp.checksum",
         "gre.proto", "gre.flags_and_version", "mpls.label", "mpls.bottom", "mpls.ttl", "mpls.exp", "frame.len")


def tunnel_rows(path, source, destination):
    """The tunnel packets from one PE to another, in tshark's words."""
    return rows(path, f"ip.src == {source} and ip.dst == {destination} and mpls", *OUTER)
