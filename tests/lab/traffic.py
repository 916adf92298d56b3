"""Steady echo traffic whose every loss is known."""

import threading
import time

from .net import check


class Stream:
    """Echo requests from a raw host, `rate` a second, until stopped; then says which were never answered."""

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

    def stop(self):
        """The requests that got no echo reply."""
        time.sleep(0.3)
        self._stop.set()
        self._thread.join()
        time.sleep(0.5)
        answered = {(p["ICMP"].id, p["ICMP"].seq) for p in list(self.host.inbox.items) if "ICMP" in p and p["ICMP"].type == 0}
        return [r for _, r in self.sent if (r["ICMP"].id, r["ICMP"].seq) not in answered]

    def stop_without_loss(self):
        lost = self.stop()
        check(len(self.sent) >= 10, f"only {len(self.sent)} packets were sent")
        check(not lost, f"{self.host.address} to {self.target}: {len(lost)} of {len(self.sent)} packets lost, the first is "
                        f"number {[r for _, r in self.sent].index(lost[0]) if lost else 0}")
