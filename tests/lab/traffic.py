"""Steady echo traffic whose every loss is known."""

import threading
import time

from .frames import IP, UDP
from .net import check


class Stream:
    """Echo requests from a raw host, `rate` a second, until finished; then says which were never answered."""

    def __init__(self, host, target, rate=50):
        self.host, self.target, self.gap = host, target, 1 / rate
        self.sent, self._stop = [], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        check(self.host.ping(self.target), f"{self.host.address} reaches {self.target} before the traffic starts")
        self._thread.start()
        time.sleep(0.3)
        return self

    def _run(self):
        while not self._stop.is_set():
            request = self.host.echo(self.target)
            self.host.send(request)
            self.sent.append((time.monotonic(), request))
            self._stop.wait(self.gap)

    def finish(self):
        self._stop.set()
        self._thread.join()

    def lost(self):
        """Numbers of the requests that got no echo reply."""
        answered = {(p["ICMP"].id, p["ICMP"].seq) for p in list(self.host.inbox.items) if "ICMP" in p and p["ICMP"].type == 0}
        return [n for n, (_, r) in enumerate(self.sent) if (r["ICMP"].id, r["ICMP"].seq) not in answered]


class Flood:
    """Datagrams that nobody answers, one each millisecond: around a short gap in forwarding, `Gateway.moves` tells of it."""

    def __init__(self, host, *targets):
        self.host, self._stop = host, threading.Event()
        self.frames = [bytes(host.frame(IP(src=host.address, dst=t) / UDP(sport=9, dport=9))) for t in targets]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.001):
            for frame in self.frames:
                self.host.group.port.send(frame)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def without_loss(*streams):
    """Stops the streams; not one of their packets may have been lost."""
    time.sleep(0.3)
    for stream in streams:
        stream.finish()
    time.sleep(0.5)
    for stream in streams:
        check(len(stream.sent) >= 10, f"only {len(stream.sent)} packets were sent")
        lost = stream.lost()
        check(not lost, f"{stream.host.address} to {stream.target}: {len(lost)} of {len(stream.sent)} packets lost, "
                        f"number {lost[0] if lost else 0} first")
