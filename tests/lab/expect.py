"""What several scenarios expect of one thing, said once."""

from .net import check, equal


def tunnel_row(row, encapsulation, label, inner_ttl=None):
    """One fabric frame in tshark's words: outer IPv4, the middle header, the label stack entry."""
    what = f"{encapsulation} packet"
    equal(row["ip.checksum.status"][0], "1", f"{what}: outer header checksum good")
    equal(row["ip.ttl"][0], "64", f"{what}: outer TTL")
    equal(row["ip.flags.df"][0], "0", f"{what}: outer DF")
    equal(row["mpls.label"], [str(label)], f"{what}: label stack")
    equal(row["mpls.bottom"], ["1"], f"{what}: bottom of stack")
    equal(row["mpls.exp"], ["0"], f"{what}: traffic class")
    if encapsulation == "mplsoudp":
        equal(row["ip.proto"][0], "17", f"{what}: protocol")
        equal(row["udp.dstport"][0], "6635", f"{what}: destination port")
        check(49152 <= int(row["udp.srcport"][0]) <= 65535, f"{what}: source port {row['udp.srcport'][0]} is not dynamic")
        equal(int(row["udp.checksum"][0], 16), 0, f"{what}: UDP checksum")
    else:
        equal(row["ip.proto"][0], "47", f"{what}: protocol")
        equal(row["gre.proto"], ["0x8847"], f"{what}: GRE protocol")
        equal(int(row["gre.flags_and_version"][0], 16), 0, f"{what}: GRE flags")
    if inner_ttl is not None:
        equal(row["ip.ttl"][1], str(inner_ttl), f"{what}: inner TTL")


def static_pair(lab, world, encapsulation, overhead):
    """Two gateways with static routes to each other carry traffic in this encapsulation, and tshark finds every frame right."""
    from .judge import Capture, none_malformed, tunnel_rows

    world.start()
    world.static_routes(encapsulation)
    before = world.one.interface("a")
    capture = Capture(lab, "fabric", (world.one.namespace, "fab0"), (world.two.namespace, "fab0"))
    with world.one.moves(), world.two.moves():
        got, out = world.a.ping(world.b.address, 20)
        equal(got, 20, f"echo replies through {encapsulation}\n{out}")
        # DF and just as large as the path carries.
        got, out = world.a.ping(world.b.address, 3, "-M", "do", "-s", str(1500 - 28))
        equal(got, 3, f"full-sized packets through {encapsulation}\n{out}")
    capture.stop()
    after = world.one.interface("a")
    for counter in ("rx_packets", "tx_packets"):
        check(after[counter] - before[counter] >= 23, f"interface a: {counter} moved from {before[counter]} to {after[counter]}")

    none_malformed(capture.path, "mpls")
    for source, target, instance, gateway in (("192.0.2.1", "192.0.2.2", "b", world.two), ("192.0.2.2", "192.0.2.1", "a", world.one)):
        rows = tunnel_rows(capture.path, source, target)
        equal(len(rows), 23, f"tunnel packets from {source} to {target}")
        for row in rows:
            tunnel_row(row, encapsulation, gateway.label_of(interface=instance), inner_ttl=63)
        equal({int(row["frame.len"][0]) for row in rows}, {14 + overhead + 84, 14 + overhead + 1500}, "frame lengths")
