//! What is refused, and the exact words in which.
#![allow(clippy::expect_used, clippy::panic)] // helpers of tests

use config::load;

/// Lines 1-4 of every case that does not bring its own router.
const ROUTER: &str = "[router]\nname = \"gw1\"\nrouter-id = \"192.0.2.1\"\nasn = 64513\n";
/// Lines 5-13: two ports.
const PORTS: &str = "[[port]]\nname = \"fabric0\"\nrole = \"fabric\"\ndevice = \"0000:3b:00.0\"\n\
    addresses = [\"192.0.2.1/24\"]\n[[port]]\nname = \"gw0\"\nrole = \"gateway\"\ndevice = \"0000:3b:00.1\"\n";
/// Lines 14-17: a VRF.
const VRF: &str = "[[vrf]]\nname = \"Public\"\nroute-targets = [\"target:64514:1\"]\n\
    subnets = [{ prefix = \"10.1.0.0/24\", gateway = \"10.1.0.1\" }]\n";
/// Lines 18-24: an instance.
const INSTANCE: &str = "[[instance]]\nname = \"db7\"\nvrf = \"Public\"\nport = \"gw0\"\nvlan = 107\n\
    mac = \"52:54:00:00:01:07\"\naddresses = [\"10.1.0.7\"]\n";

fn told(text: &str) -> Vec<String> {
    match load(text, "gw.toml") {
        Ok(_) => vec!["loaded".to_owned()],
        Err(errors) => errors
            .iter()
            .map(|e| {
                e.to_string().strip_prefix("gw.toml:").expect("the file comes first").to_owned()
            })
            .collect(),
    }
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let told = told(text);
    assert_eq!(told, expected, "\n{text}\n--- told:\n{}", told.join("\n"));
}

fn base(more: &str) -> String {
    format!("{ROUTER}{PORTS}{VRF}{INSTANCE}{more}")
}

/// The base with one text replaced.
fn swap(old: &str, new: &str) -> String {
    let base = base("");
    assert!(base.contains(old), "{old}");
    base.replacen(old, new, 1)
}

#[test]
fn the_base_is_legal() {
    assert_eq!(told(&base("")), ["loaded"]);
}

#[test]
fn the_document_and_the_router() {
    refused("", &[r#"1:1: missing key `router` at the top level; add `[router]`"#]);
    refused("[router\nname=1", &[r#"1:8: unclosed table; expected `]`"#]);
    refused(
        "x = 1\n[router]\nname = \"a b\"\nrouter_id = \"192.0.2.300\"\nasn = 0\nencapsulations = [\"mplsoupd\", 7, \"vxlan\"]\ntunnel-sources = [\"192.0.2.1/24\", \"192.0.2.1\", \"2001:db8::/32\", \"x\"]\nlabel-quarantine = -1\nstate-file = \"relative\"\n",
        &[
            r#"1:1: unknown key `x` at the top level; the keys are router, api, dataplane, port, static-route, static-neighbor, bfd, vrf, instance, bgp"#,
            r#"3:8: `name` is "a b", not a usable name; write 1-64 letters, digits, `.`, `-`, `_`, `:` or `@`, not starting with `-`"#,
            r#"4:1: unknown key `router_id` in [router]; did you mean `router-id`?"#,
            r#"5:7: `asn` is 0, not an AS number, 1-4294967295; write for example `asn = 64513`"#,
            r#"6:19: `encapsulations` holds "mplsoupd", an unknown word here; did you mean "mplsoudp"?"#,
            r#"6:31: `encapsulations` holds 7, not an encapsulation; write for example `encapsulations = ["mplsoudp", "mplsogre"]`"#,
            r#"6:34: `encapsulations` holds "vxlan", an unknown word here; write "mplsoudp" or "mplsogre""#,
            r#"7:19: `tunnel-sources` holds "192.0.2.1/24", a prefix with bits behind its length; write "192.0.2.0/24""#,
            r#"7:35: `tunnel-sources` holds "192.0.2.1", an address without a prefix length; write "192.0.2.1/32""#,
            r#"7:48: `tunnel-sources` holds "2001:db8::/32", an IPv6 prefix; write an IPv4 prefix"#,
            r#"7:65: `tunnel-sources` holds "x", not an IPv4 prefix; write for example `tunnel-sources = ["192.0.2.0/24"]`"#,
            r#"8:20: `label-quarantine` is -1, not a number of seconds, 0-86400; write for example `label-quarantine = 300`"#,
            r#"9:14: `state-file` is "relative", not an absolute path; write for example `state-file = "/var/lib/vrouter/gw1.json"`"#,
        ],
    );
    refused(
        "[[router]]\n[port]\nname = \"x\"\n[api]\nsocket = 3\n[dataplane]\nworkers = 2\neal = [\"\"]\nidle-sleep-microseconds = 0.5\nidle-after-microseconds = -1\nburst = 65\ndescriptors = 63\nspread = \"autp\"\nsample-bursts = true\n[bgp]\nlisten = \"0.0.0.0\"\npeer = 3\n",
        &[
            r#"1:1: `router` is one table, not a list; write one `[router]`"#,
            r#"2:1: `port` is a table, not a list; write for example `[[port]]`"#,
            r#"5:10: `socket` is 3, not an absolute path; write for example `socket = "/run/vrouter/api.sock"`"#,
            r#"7:11: `workers` is 2, not a list; write for example `workers = [2, 3]`"#,
            r#"8:8: `eal` holds "", not an argument as text; write for example `eal = ["--in-memory"]`"#,
            r#"9:27: `idle-sleep-microseconds` is 0.5, not a number, 0-1000000; write for example `idle-sleep-microseconds = 500`"#,
            r#"10:27: `idle-after-microseconds` is -1, not a number, 0-1000000; write for example `idle-after-microseconds = 100`"#,
            r#"11:9: `burst` is 65, not a number of packets, 1-64; write for example `burst = 64`"#,
            r#"12:15: `descriptors` is 63, not a number, 64-32768; write for example `descriptors = 1024`"#,
            r#"13:10: `spread` is "autp", an unknown word here; did you mean "auto"?"#,
            r#"14:17: `sample-bursts` is true, not a number, 0-1000000; write for example `sample-bursts = 1000`"#,
            r#"16:10: `listen` is "0.0.0.0", an address without a port; write "0.0.0.0:179""#,
            r#"17:8: `peer` is 3, not a list; write for example `[[bgp.peer]]`"#,
        ],
    );
    refused(
        "[router]\nname = \"gw1\"\nname = \"gw2\"\nrouter-id = \"0.0.0.0\"\nasn = 23456\n[router]\n",
        &[
            r#"3:1: key `name` already stands on line 2; remove one of the two"#,
            r#"4:13: `router-id` is 0.0.0.0; write an IPv4 address of this node"#,
            r#"5:7: `asn` is 23456, which stands for other AS numbers (RFC 6793); write the real AS number"#,
            r#"6:2: table `router` already stands on line 1; remove one of the two"#,
        ],
    );
    refused(
        "[router]\nrouter-id = \"127.0.0.1\"\nasn = 4294967296\nencapsulations = []\ntunnel-sources = [\"10.0.0.0/8\", \"10.0.0.0/8\"]\n[dataplane]\nworkers = [1, 1]\n",
        &[
            r#"2:13: `router-id` is 127.0.0.1, where no tunnel can end; add `tunnel-address` with the address that other PEs reach"#,
            r#"3:7: `asn` is 4294967296, not an AS number, 1-4294967295; write for example `asn = 64513`"#,
            r#"4:18: `encapsulations` is empty; write for example `encapsulations = ["mplsoudp", "mplsogre"]`"#,
            r#"5:33: `tunnel-sources` holds 10.0.0.0/8 twice, first on line 5; remove one of the two"#,
            r#"7:15: `workers` holds 1 twice, first on line 7; remove one of the two"#,
        ],
    );
}

#[test]
fn vrf_and_route_targets() {
    refused(
        &swap("route-targets", "route-tagret"),
        &[r#"16:1: unknown key `route-tagret` in [[vrf]]; did you mean `route-targets`?"#],
    );
    refused(
        &swap("target:64514:1\"", "target:64514:1\", \"64514:1\", \"1:2:3\""),
        &[
            r#"16:36: `route-targets` holds target:64514:1 twice, first on line 16; remove one of the two"#,
            r#"16:47: `route-targets` holds "1:2:3", not a route target, target:AS:N or target:ADDRESS:N; write for example `route-targets = ["target:64514:1"]`"#,
        ],
    );
    refused(
        &swap("subnets", "import = [\"target:64514:1\"]\nsubnets"),
        &[
            r#"17:11: `import` holds target:64514:1, already in `route-targets` on line 16; remove one of the two: `route-targets` means both directions"#,
        ],
    );
    refused(
        &swap("\"gw0\"\nrole", "\"fabric0\"\nrole"),
        &[
            r#"11:8: port `fabric0` already exists on line 6; give each a name of its own"#,
            r#"21:8: `port` "gw0" names no port; add a `[[port]]` with this name"#,
        ],
    );
    refused(
        &swap("gateway = \"10.1.0.1\"", "gateway = \"10.2.0.1\""),
        &[
            r#"17:48: `gateway` 10.2.0.1 is outside its subnet 10.1.0.0/24; write an address in 10.1.0.0/24"#,
        ],
    );
    refused(
        &swap("gateway = \"10.1.0.1\"", "gateway = \"10.1.0.0\""),
        &[
            r#"17:48: `gateway` 10.1.0.0 is no host address of 10.1.0.0/24; write an address inside 10.1.0.0/24, such as the first"#,
        ],
    );
}

#[test]
fn ports() {
    refused(
        &swap("\"fabric\"", "\"Fabric\""),
        &[r#"7:8: `role` is "Fabric", an unknown word here; did you mean "fabric"?"#],
    );
    refused(
        &swap("\"fabric\"", "\"uplink\""),
        &[r#"7:8: `role` is "uplink", an unknown word here; write "fabric" or "gateway""#],
    );
    refused(
        &swap("0000:3b:00.0", "3b:00.0"),
        &[r#"8:10: `device` is "3b:00.0", a PCI address without its domain; write "0000:3b:00.0""#],
    );
    refused(
        &swap("0000:3b:00.0", "eth1"),
        &[
            r#"8:10: `device` is "eth1", not a device of DPDK; write "vdev:net_af_packet0,iface=eth1" if it is an interface of the kernel"#,
        ],
    );
    refused(
        &swap("0000:3b:00.0", "net_af_packet0,iface=eth1"),
        &[
            r#"8:10: `device` is "net_af_packet0,iface=eth1", a virtual device without `vdev:`; write "vdev:net_af_packet0,iface=eth1""#,
        ],
    );
    refused(
        &swap("0000:3b:00.0", "0000:3b:00.1"),
        &[
            r#"13:10: device `0000:3b:00.1` is already used by the port on line 8; give each port a device of its own"#,
        ],
    );
    refused(
        &swap("device = \"0000:3b:00.1\"\n", ""),
        &[r#"10:1: missing key `device` in [[port]]; add `device = "0000:3b:00.0"`"#],
    );
    refused(
        &swap("192.0.2.1/24", "192.0.2.1"),
        &[
            r#"9:14: `addresses` holds "192.0.2.1", an address without the prefix length of its link; write for example "192.0.2.1/24""#,
        ],
    );
    refused(
        &swap("192.0.2.1/24", "192.0.2.0/24"),
        &[
            r#"9:14: 192.0.2.0/24 is not the address of a host on its link; write the port's own address with its prefix length"#,
        ],
    );
    refused(
        &swap("addresses = [\"192.0.2.1/24\"]\n", ""),
        &[
            r#"5:1: a fabric port without an IPv4 address reaches no other PE; add for example `addresses = ["192.0.2.1/24"]`"#,
        ],
    );
    refused(
        &swap("\"192.0.2.1/24\"", "\"192.0.2.1/24\", \"192.0.2.5/25\", \"192.0.2.1/32\""),
        &[
            r#"9:30: 192.0.2.5/25 overlaps with 192.0.2.1/24 on line 9; give each link a prefix of its own"#,
            r#"9:46: address 192.0.2.1 is already on line 9; remove one of the two"#,
        ],
    );
    refused(
        &swap("\"gateway\"", "\"gateway\"\naddresses = [\"10.1.0.1/24\"]\nmtu = 70000"),
        &[
            r#"13:13: `addresses` of a gateway port: it carries VLANs and has none of its own; move the gateway address to `subnets` of the VRF, or make it role = "fabric""#,
            r#"14:7: `mtu` is 70000, not a number of bytes, 576-9216; write for example `mtu = 1500`"#,
        ],
    );
}

#[test]
fn instances() {
    refused(
        &swap(
            "gateway = \"10.1.0.1\" }",
            "gateway = \"10.1.0.1\" }, { prefix = \"10.0.0.0/8\", gatway = \"10.0.0.1\" }",
        ),
        &[
            r#"17:73: subnet 10.0.0.0/8 overlaps with 10.1.0.0/24 on line 17; give each subnet of a VRF a prefix of its own"#,
            r#"17:87: unknown key `gatway` in `subnets` of [[vrf]]; did you mean `gateway`?"#,
        ],
    );
    refused(
        &swap("vrf = \"Public\"", "vrf = \"Pubilc\""),
        &[r#"20:7: `vrf` "Pubilc" names no VRF; did you mean `Public`?"#],
    );
    refused(
        &swap("port = \"gw0\"", "port = \"gw7\""),
        &[r#"21:8: `port` "gw7" names no port; did you mean `gw0`?"#],
    );
    refused(
        &swap("port = \"gw0\"", "port = \"fabric0\""),
        &[
            r#"21:8: `port` "fabric0" is not a gateway port; write a port with role = "gateway", such as "gw0""#,
        ],
    );
    refused(
        &swap("vlan = 107", "vlan = 4095"),
        &[r#"22:8: `vlan` is 4095, not a VLAN id, 1-4094; write for example `vlan = 107`"#],
    );
    refused(
        &swap("vlan = 107", "vlan = \"107\""),
        &[r#"22:8: `vlan` is "107", not a VLAN id, 1-4094; write for example `vlan = 107`"#],
    );
    refused(
        &swap("52:54:00:00:01:07", "52-54-00-00-01-07"),
        &[
            r#"23:7: `mac` is "52-54-00-00-01-07", a MAC address in another form; write "52:54:00:00:01:07""#,
        ],
    );
    refused(
        &swap("52:54:00:00:01:07", "52:54:00:00:01"),
        &[
            r#"23:7: `mac` is "52:54:00:00:01", not a MAC address; write for example `mac = "52:54:00:00:01:07"`"#,
        ],
    );
    refused(
        &swap("52:54:00:00:01:07", "01:00:5e:00:00:01"),
        &[
            r#"23:7: `mac` is "01:00:5e:00:00:01", which no machine can have as its own; write the machine's unicast MAC address"#,
        ],
    );
    refused(
        &swap("52:54:00:00:01:07", "00:00:5e:00:01:00"),
        &[
            r#"23:7: `mac` is "00:00:5e:00:01:00", the MAC address of the gateway itself; write the machine's own"#,
        ],
    );
    refused(
        &swap(
            "\"10.1.0.7\"",
            "\"10.1.0.7/24\", \"10.3.0.7\", \"10.1.0.1\", \"10.1.0.255\", \"2001:db8::7\", \"x\"",
        ),
        &[
            r#"24:14: `addresses` holds "10.1.0.7/24", an address with a prefix length where only the address belongs; write "10.1.0.7""#,
            r#"24:29: address 10.3.0.7 is outside the subnets of VRF `Public`; write an address in 10.1.0.0/24, or add a subnet"#,
            r#"24:41: address 10.1.0.1 is the gateway of subnet 10.1.0.0/24; write another address of the subnet"#,
            r#"24:53: address 10.1.0.255 is no host address of subnet 10.1.0.0/24; write another address of the subnet"#,
            r#"24:67: `addresses` holds "2001:db8::7", and IPv6 addresses of instances are not supported yet; write only IPv4 addresses"#,
            r#"24:82: `addresses` holds "x", not an address; write for example `addresses = ["10.1.0.7"]`"#,
        ],
    );
    refused(
        &swap("[\"10.1.0.7\"]", "[]"),
        &[r#"24:13: `addresses` is empty; write for example `addresses = ["10.1.0.7"]`"#],
    );
    refused(
        &swap("addresses = [\"10.1.0.7\"]", "adresses = [\"10.1.0.7\"]"),
        &[r#"24:1: unknown key `adresses` in [[instance]]; did you mean `addresses`?"#],
    );
    refused(
        &base(INSTANCE),
        &[
            r#"26:8: instance `db7` already exists on line 19; give each a name of its own"#,
            r#"29:8: VLAN 107 of port `gw0` is already used on line 22; give each instance of a port a VLAN of its own"#,
            r#"31:14: address 10.1.0.7 of VRF `Public` is already on line 24; give each instance of a VRF addresses of its own"#,
        ],
    );
}

#[test]
fn bfd() {
    let row = |address: &str, more: &str| format!("[[bfd]]\naddress = \"{address}\"\n{more}\n");
    assert_eq!(told(&base(&row("192.0.2.9", ""))), ["loaded"]);
    assert_eq!(told(&base(&row("198.51.100.9", "multihop = true"))), ["loaded"]);
    let rows = [
        row("192.0.2.9", "interval-milliseconds = 5"),
        row("192.0.2.9", "multiplier = 0"),
        row("198.51.100.9", "multihop = false"),
        row("192.0.2.1", ""),
        row("224.0.0.1", "multihop = true"),
        "[[bfd]]\nmultihopp = true\n".into(),
    ];
    refused(
        &base(&rows.concat()),
        &[
            r#"27:25: `interval-milliseconds` is 5, not a number, 10-60000; write for example `interval-milliseconds = 50`"#,
            r#"29:11: BFD with 192.0.2.9 is already on line 26; remove one of the two"#,
            r#"30:14: `multiplier` is 0, not a number of packets, 1-255; write for example `multiplier = 3`"#,
            r#"32:11: `address` 198.51.100.9 is on the link of no fabric port; add `multihop = true`, or write an address there"#,
            r#"35:11: `address` 192.0.2.1 is this node itself; write the address of the other side"#,
            r#"38:11: `address` 224.0.0.1 is no host address; write the address of the other side"#,
            r#"40:1: missing key `address` in [[bfd]]; add `address = "192.0.2.10"`"#,
            r#"41:1: unknown key `multihopp` in [[bfd]]; did you mean `multihop`?"#,
        ],
    );
}

#[test]
fn static_neighbors() {
    let row = |port: &str, address: &str, mac: &str| {
        format!(
            "[[static-neighbor]]\nport = \"{port}\"\naddress = \"{address}\"\nmac = \"{mac}\"\n"
        )
    };
    let mac = "02:00:00:00:00:09";
    assert_eq!(told(&base(&row("fabric0", "192.0.2.9", mac))), ["loaded"]);
    let rows = [
        row("fabric0", "192.0.2.9", mac),
        row("fabric0", "192.0.2.9", "ff:ff:ff:ff:ff:ff"),
        row("fabric0", "198.51.100.9", "02:00:00:00:00"),
        row("gw0", "192.0.2.9", mac),
        row("fabrik0", "192.0.2.9", mac),
        row("fabric0", "192.0.2.1", mac),
        row("fabric0", "192.0.2.255", mac),
        "[[static-neighbor]]\nvia = 1\n".into(),
    ];
    refused(
        &base(&rows.concat()),
        &[
            r#"31:11: static neighbor 192.0.2.9 is already on line 27; remove one of the two"#,
            r#"32:7: `mac` is "ff:ff:ff:ff:ff:ff", which no machine can have as its own; write the machine's unicast MAC address"#,
            r#"35:11: `address` 198.51.100.9 is not on the link of `fabric0`; write an address in 192.0.2.0/24"#,
            r#"36:7: `mac` is "02:00:00:00:00", not a MAC address; write for example `mac = "02:00:00:00:00:09"`"#,
            r#"38:8: `port` "gw0" is not a fabric port; write a port with role = "fabric": instances have their MAC in `[[instance]]`"#,
            r#"42:8: `port` "fabrik0" names no port; did you mean `fabric0`?"#,
            r#"47:11: `address` 192.0.2.1 is this node itself; write the address of the neighbor"#,
            r#"51:11: `address` 192.0.2.255 is no host address; write an address inside 192.0.2.0/24"#,
            r#"53:1: missing key `port` in [[static-neighbor]]; add `port = "fabric0"`"#,
            r#"53:1: missing key `address` in [[static-neighbor]]; add `address = "192.0.2.9"`"#,
            r#"53:1: missing key `mac` in [[static-neighbor]]; add `mac = "02:00:00:00:00:09"`"#,
            r#"54:1: unknown key `via` in [[static-neighbor]]; the keys are port, address, mac"#,
        ],
    );
}

#[test]
fn routes_and_peers() {
    refused(
        &base(
            "[[static-route]]\nprefix = \"10.0.0.0/8\"\nvia = \"198.51.100.1\"\n[[static-route]]\nprefix = \"10.0.0.0/8\"\nvia = \"192.0.2.1\"\n",
        ),
        &[
            r#"27:7: `via` 198.51.100.1 is on the link of no fabric port; write an address in 192.0.2.0/24"#,
            r#"29:10: static route 10.0.0.0/8 is already on line 26; remove one of the two"#,
            r#"30:7: `via` 192.0.2.1 is this node itself; write the address of the next router"#,
        ],
    );
    refused(
        &base(
            "[[vrf]]\nname = \"Public\"\nstatic-routes = [{ prefix = \"10.0.0.0/8\", tunnel = \"192.0.2.1\", label = 3 }, { prefix = \"10.0.0.0/8\", tunnel = \"127.0.0.1\", label = 16, encapsulation = \"gre\" }, 5]\n",
        ),
        &[
            r#"26:8: VRF `Public` already exists on line 15; give each a name of its own"#,
            r#"27:52: `tunnel` 192.0.2.1 is this node itself; write the tunnel address of the other PE"#,
            r#"27:73: `label` is 3, not an MPLS label, 16-1048575; write for example `label = 300`"#,
            r#"27:89: static route 10.0.0.0/8 of this VRF is already on line 27; remove one of the two"#,
            r#"27:112: `tunnel` 127.0.0.1 is not the address of a node; write the tunnel address of the other PE"#,
            r#"27:153: `encapsulation` is "gre", an unknown word here; write "mplsoudp" or "mplsogre""#,
            r#"27:162: `static-routes` holds 5, not a table; write for example `static-routes = [{ prefix = "10.9.0.0/16", tunnel = "192.0.2.9", label = 300 }]`"#,
        ],
    );
    refused(
        &base(
            "[bgp]\nlisten = \"none\"\n[[bgp.peer]]\naddress = \"192.0.2.1\"\nasn = 0\nfamilies = [\"vpnv4\", \"mpls\", \"vpnv4\"]\npassive = true\nhold-time = 2\nsend-hold-time = 1\nport = 0\n[[bgp.peer]]\naddress = \"192.0.2.1\"\nasn = 1\nfamilies = []\nlocal-address = \"2001:db8::1\"\npasswort = \"x\"\n[[bgp.peer]]\naddress = \"224.0.0.1\"\nmultihop = true\nttl-security = 1\n[[bgp.peer]]\naddress = \"192.0.2.30\"\nasn = 1\nttl-security = 255\n",
        ),
        &[
            r#"28:11: `address` 192.0.2.1 is this node itself; write the peer's address"#,
            r#"29:7: `asn` is 0, not an AS number, 1-4294967295; write for example `asn = 64512`"#,
            r#"30:22: `families` holds "mpls", an unknown word here; write "ipv4" or "ipv6" or "vpnv4" or "vpnv6" or "evpn" or "rtc""#,
            r#"30:30: `families` holds vpnv4 twice, first on line 30; remove one of the two"#,
            r#"31:11: `passive` waits for the peer, but `listen` is "none"; give `listen` an address, or remove `passive`"#,
            r#"32:13: `hold-time` is 2, which RFC 4271 forbids; write 0 (never expires) or at least 3 seconds"#,
            r#"33:18: `send-hold-time` is 1, not more than `hold-time`, 2; write 0 (for ever) or more than `hold-time` (RFC 9687)"#,
            r#"34:8: `port` is 0, not a TCP port, 1-65535; write for example `port = 179`"#,
            r#"36:11: peer 192.0.2.1 already exists on line 28; remove one of the two"#,
            r#"36:11: `address` 192.0.2.1 is this node itself; write the peer's address"#,
            r#"38:12: `families` is empty; write for example `families = ["vpnv4"]`"#,
            r#"39:17: `local-address` 2001:db8::1 is of another family than the peer's 192.0.2.1; write both as IPv4 or both as IPv6"#,
            r#"40:1: unknown key `passwort` in [[bgp.peer]]; did you mean `password`?"#,
            r#"41:1: missing key `asn` in [[bgp.peer]]; add `asn = 64512`"#,
            r#"42:11: `address` 224.0.0.1 is not the address of a node; write the peer's unicast address"#,
            r#"44:16: `ttl-security` stands beside `multihop`, which allows any distance; remove `multihop`: `ttl-security` alone says how many hops are allowed"#,
            r#"48:16: `ttl-security` is 255, not a number of hops, 1-254; write for example `ttl-security = 1`"#,
        ],
    );
    refused(
        &format!("{ROUTER}[[bgp.peer]]\naddress = \"192.0.2.10\"\nasn = 64512\n"),
        &[
            r#"6:11: peer 192.0.2.10 brings VPN routes, but there is no fabric port; add a `[[port]]` with role = "fabric""#,
        ],
    );
    refused(
        &format!(
            "{ROUTER}{VRF}static-routes = [{{ prefix = \"10.9.0.0/16\", tunnel = \"192.0.2.9\", label = 300 }}]\n"
        ),
        &[
            r#"9:17: `static-routes` lead through tunnels, but there is no fabric port; add a `[[port]]` with role = "fabric""#,
        ],
    );
    refused(
        &format!(
            "{ROUTER}[[port]]\nname = \"a\"\nrole = \"gateway\"\ndevice = \"vdev:net_af_packet0,iface=a\"\n[[port]]\nname = \"b\"\nrole = \"gateway\"\ndevice = \"vdev:net_af_packet0,iface=b\"\nvlan-strip = 1\n"
        ),
        &[
            r#"12:10: device `net_af_packet0` is already used by the port on line 8; give each virtual device a number of its own"#,
            r#"13:14: `vlan-strip` is 1, not true or false; write for example `vlan-strip = false`"#,
        ],
    );
}

#[test]
fn a_password_is_told_to_nobody() {
    let with = |password: &str| {
        base(&format!("[[bgp.peer]]\naddress = \"192.0.2.30\"\nasn = 1\npassword = {password}\n"))
    };
    let at = "28:12: `password`";
    let long = format!("\"{}\"", "hunter2".repeat(12));
    for (password, fault) in [
        ("\"\"", "is empty; write 1-80 octets, or remove it"),
        (long.as_str(), "has 84 octets; TCP-MD5 takes at most 80 (RFC 2385)"),
        (
            "\"<set>\"",
            "is <set>, which stands for one that is not shown; write the password itself",
        ),
        ("77778888", "is not a text; write it as `password = \"...\"`"),
        ("[\"hunter2\"]", "is not a text; write it as `password = \"...\"`"),
    ] {
        refused(&with(password), &[&format!("{at} {fault}")]);
    }
    let config = load(&with("\"hunter2\""), "gw.toml").expect("legal");
    let shown = format!("{config:?} {}", config.to_toml().expect("paths are UTF-8"));
    assert!(shown.contains("password = \"<set>\"") && !shown.contains("hunter2"), "{shown}");
}
