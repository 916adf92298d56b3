"""On ports without a network behind them, a file replayed for ever and a sink, the gateway forwards, names each drop, and its counters balance under full load.

Breaks when: a counter of a port, a worker or an interface misses packets of a burst, or a worker that never rests starves the API.
"""

from scapy.utils import wrpcap

from lab.frames import GATEWAY_MAC, IP, UDP, Dot1Q, Ether
from lab.gateway import Gateway
from lab.net import check, equal, wait
from lab.worlds import gateway_config, instance, vrf

ONE_WAY = True  # the replayed frames carry their tag
FRAMES, BURST = 512, 64
SPOOFED, STRANGE = 3, 5  # of every 16 frames: one with a stranger's address, one of an unknown VLAN


def run(lab):
    row = instance("a", 107, "10.1.0.7")
    replay = lab.directory / "replay.pcap"
    wrpcap(str(replay), [frame(row["mac"], number) for number in range(FRAMES)])
    config = gateway_config(lab, "192.0.2.1")
    config["port"][0]["device"] = "vdev:net_null0,no-rx=1"
    config["port"][1]["device"] = f"vdev:net_pcap0,rx_pcap={replay},infinite_rx=1"
    config["static-neighbor"] = [{"port": "fabric0", "address": "192.0.2.2", "mac": "02:00:00:00:00:02"}]
    config["vrf"] = [vrf(**{"static-routes": [{"prefix": "10.2.0.0/24", "tunnel": "192.0.2.2", "label": 1000, "encapsulation": "mplsoudp"}]})]
    config["instance"] = [row]
    gateway = Gateway(lab, lab.namespace("gw1"), config).start()

    wait(lambda: port(gateway, "fabric0")["tx_packets"] > 0, "frames leave")
    first, start = look(gateway), gateway.drops()
    wait(lambda: port(gateway, "fabric0")["tx_packets"] > first["sent"] + 100 * FRAMES, "more of them leave", timeout=30)
    last, end = look(gateway), gateway.drops()

    # What is counted at three places, one after the other, grows from one to the next, but for a burst that the port counts first.
    for seen in (first, last):
        check(seen["received"] - BURST <= seen["rx"] <= seen["received_after"], f"what the port and the worker received: {seen}")
        check(seen["sent"] - BURST <= seen["tx"] <= seen["sent_after"], f"what the port and the worker sent: {seen}")
    received, tx = last["rx"] - first["rx"], last["tx"] - first["tx"]
    equal(last["dropped"] - first["dropped"], received - tx, "packets that came and did not leave")
    near(tx, received * 14 // 16, "sent")
    moved = {reason: end[reason] - start.get(reason, 0) for reason in end if end[reason] != start.get(reason, 0)}
    equal(sorted(moved), ["spoofed-address", "unknown-vlan"], "the reasons for drops")
    a = gateway.interface("a")
    check(a["drops"]["spoofed-address"] > 0 and a["rx_packets"] >= last["tx"], f"counters of the interface: {a}")
    equal(gateway.stop(), 0, "exit status under full load")


def frame(mac, number):
    """Frame `number` of the replay."""
    kind = number % 16
    return (Ether(dst=GATEWAY_MAC, src=mac) / Dot1Q(vlan=999 if kind == STRANGE else 107)
            / IP(src="10.1.0.66" if kind == SPOOFED else "10.1.0.7", dst=f"10.2.0.{number % 200 + 1}") / UDP(sport=1024 + number, dport=9))


def look(gateway):
    """Counters of the worker, and of the ports before and after it was read."""
    before, worker, after = gateway.show("port"), gateway.show("worker"), gateway.show("port")
    equal(gateway_sum(worker, "came"), gateway_sum(worker, "went"), "what came to the workers and what became of it")
    of = {name: {row["name"]: row for row in rows} for name, rows in (("before", before), ("after", after))}
    return {"received": of["before"]["gw0"]["rx_packets"], "received_after": of["after"]["gw0"]["rx_packets"],
            "sent": of["before"]["fabric0"]["tx_packets"], "sent_after": of["after"]["fabric0"]["tx_packets"],
            "rx": sum(row["rx"] for row in worker), "tx": sum(row["tx"] for row in worker),
            "dropped": sum(row["dropped"] + row["queued"] + row["punted"] - row["injected"] for row in worker)}


def gateway_sum(rows, side):
    keys = {"came": ("rx", "handed_in", "injected", "copies_made"), "went": ("tx", "punted", "dropped", "handed_out", "queued")}[side]
    return sum(row[key] for row in rows for key in keys)


def port(gateway, name):
    return next(row for row in gateway.show("port") if row["name"] == name)


def near(got, want, what):
    """Up to what may be under way: a pass over the replay and a burst at each end."""
    check(abs(got - want) <= FRAMES, f"{what}: got {got}, want about {want}")
