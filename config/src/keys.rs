//! The keys of the file: name, what the value is, an example, and the ranges of the numbers.

use std::ops::RangeInclusive;

use crate::read::Key;

macro_rules! keys {
    ($($id:ident = $name:literal, $what:literal, $example:literal;)*) => {$(
        pub(crate) const $id: Key = Key { name: $name, what: $what, example: $example };
    )*};
}

keys! {
    ROUTER = "router", "a table", "[router]";
    API = "api", "a table", "[api]";
    DATAPLANE = "dataplane", "a table", "[dataplane]";
    PORT = "port", "a table", "[[port]]";
    STATIC_ROUTE = "static-route", "a table", "[[static-route]]";
    STATIC_NEIGHBOR = "static-neighbor", "a table", "[[static-neighbor]]";
    BFD = "bfd", "a table", "[[bfd]]";
    VRF = "vrf", "a table", "[[vrf]]";
    INSTANCE = "instance", "a table", "[[instance]]";
    BGP = "bgp", "a table", "[bgp]";

    ROUTER_NAME = "name", "a text", "name = \"gw1\"";
    ROUTER_ID = "router-id", "an IPv4 address", "router-id = \"192.0.2.1\"";
    ASN = "asn", "an AS number, 1-4294967295", "asn = 64513";
    TUNNEL_ADDRESS = "tunnel-address", "an IPv4 address", "tunnel-address = \"192.0.2.1\"";
    ENCAPSULATIONS = "encapsulations", "an encapsulation", "encapsulations = [\"mplsoudp\", \"mplsogre\"]";
    TUNNEL_SOURCES = "tunnel-sources", "an IPv4 prefix", "tunnel-sources = [\"192.0.2.0/24\"]";
    LABEL_QUARANTINE = "label-quarantine", "a number of seconds, 0-86400", "label-quarantine = 300";
    STATE_FILE = "state-file", "an absolute path", "state-file = \"/var/lib/vrouter/gw1.json\"";

    SOCKET = "socket", "an absolute path", "socket = \"/run/vrouter/api.sock\"";

    WORKERS = "workers", "a CPU number, 0-1023", "workers = [2, 3]";
    EAL = "eal", "an argument as text", "eal = [\"--in-memory\"]";
    IDLE_SLEEP = "idle-sleep-microseconds", "a number, 0-1000000", "idle-sleep-microseconds = 500";
    IDLE_AFTER = "idle-after-microseconds", "a number, 0-1000000", "idle-after-microseconds = 100";
    BURST = "burst", "a number of packets, 1-64", "burst = 64";
    DESCRIPTORS = "descriptors", "a number, 64-32768", "descriptors = 1024";
    SPREAD = "spread", "a mode", "spread = \"auto\"";
    SAMPLE_BURSTS = "sample-bursts", "a number, 0-1000000", "sample-bursts = 1000";
    MBUFS = "mbufs", "a number, 1024-67108864", "mbufs = 65536";

    PORT_NAME = "name", "a text", "name = \"fabric0\"";
    ROLE = "role", "a role", "role = \"fabric\"";
    DEVICE = "device", "a text", "device = \"0000:3b:00.0\"";
    ADDRESSES = "addresses", "an address with its prefix length", "addresses = [\"192.0.2.1/24\"]";
    MTU = "mtu", "a number of bytes, 576-9216", "mtu = 1500";
    VLAN_STRIP = "vlan-strip", "true or false", "vlan-strip = false";

    STATIC_PREFIX = "prefix", "an IPv4 prefix", "prefix = \"198.51.100.0/24\"";
    VIA = "via", "an IPv4 address", "via = \"192.0.2.254\"";

    NEIGHBOR_PORT = "port", "the name of a fabric port", "port = \"fabric0\"";
    NEIGHBOR_ADDRESS = "address", "an IPv4 address", "address = \"192.0.2.9\"";
    NEIGHBOR_MAC = "mac", "a MAC address", "mac = \"02:00:00:00:00:09\"";

    BFD_ADDRESS = "address", "an IPv4 address", "address = \"192.0.2.10\"";
    BFD_INTERVAL = "interval-milliseconds", "a number, 10-60000", "interval-milliseconds = 50";
    BFD_MULTIPLIER = "multiplier", "a number of packets, 1-255", "multiplier = 3";

    VRF_NAME = "name", "a text", "name = \"Public\"";
    ROUTE_TARGETS = "route-targets", "a route target, target:AS:N or target:ADDRESS:N", "route-targets = [\"target:64514:1\"]";
    IMPORT = "import", "a route target, target:AS:N or target:ADDRESS:N", "import = [\"target:64514:1\"]";
    EXPORT = "export", "a route target, target:AS:N or target:ADDRESS:N", "export = [\"target:64514:1\"]";
    SUBNETS = "subnets", "a table", "subnets = [{ prefix = \"10.1.0.0/24\", gateway = \"10.1.0.1\" }]";
    STATIC_ROUTES = "static-routes", "a table", "static-routes = [{ prefix = \"10.9.0.0/16\", tunnel = \"192.0.2.9\", label = 300 }]";

    SUBNET_PREFIX = "prefix", "an IPv4 prefix", "prefix = \"10.1.0.0/24\"";
    GATEWAY = "gateway", "an IPv4 address", "gateway = \"10.1.0.1\"";

    TUNNEL = "tunnel", "an IPv4 address", "tunnel = \"192.0.2.9\"";
    LABEL = "label", "an MPLS label, 16-1048575", "label = 300";
    ENCAPSULATION = "encapsulation", "an encapsulation", "encapsulation = \"mplsoudp\"";

    INSTANCE_NAME = "name", "a text", "name = \"db7\"";
    INSTANCE_VRF = "vrf", "the name of a VRF", "vrf = \"Public\"";
    INSTANCE_PORT = "port", "the name of a gateway port", "port = \"gw0\"";
    VLAN = "vlan", "a VLAN id, 1-4094", "vlan = 107";
    MAC = "mac", "a MAC address", "mac = \"52:54:00:00:01:07\"";
    INSTANCE_ADDRESSES = "addresses", "an address", "addresses = [\"10.1.0.7\"]";

    LISTEN = "listen", "an address with a port", "listen = \"0.0.0.0:179\"";
    PEER = "peer", "a table", "[[bgp.peer]]";
    PEER_ADDRESS = "address", "an address", "address = \"192.0.2.10\"";
    PEER_ASN = "asn", "an AS number, 1-4294967295", "asn = 64512";
    FAMILIES = "families", "an address family", "families = [\"vpnv4\"]";
    PASSIVE = "passive", "true or false", "passive = false";
    PEER_PORT = "port", "a TCP port, 1-65535", "port = 179";
    LOCAL_ADDRESS = "local-address", "an address", "local-address = \"192.0.2.1\"";
    MULTIHOP = "multihop", "true or false", "multihop = false";
    TTL_SECURITY = "ttl-security", "a number of hops, 1-254", "ttl-security = 1";
    PASSWORD = "password", "a text", "password = \"...\"";
    HOLD_TIME = "hold-time", "a number of seconds, 0 or 3-65535", "hold-time = 90";
    SEND_HOLD_TIME = "send-hold-time", "a number of seconds, 0 or 4-131070", "send-hold-time = 480";
}

pub(crate) const BFD_INTERVAL_RANGE: RangeInclusive<i64> = 10..=60_000;
pub(crate) const BFD_MULTIPLIER_RANGE: RangeInclusive<i64> = 1..=255;
pub(crate) const ASN_RANGE: RangeInclusive<i64> = 1..=4_294_967_295;
pub(crate) const LABEL_QUARANTINE_RANGE: RangeInclusive<i64> = 0..=86_400;
pub(crate) const WORKERS_RANGE: RangeInclusive<i64> = 0..=1023;
pub(crate) const IDLE_SLEEP_RANGE: RangeInclusive<i64> = 0..=1_000_000;
pub(crate) const IDLE_AFTER_RANGE: RangeInclusive<i64> = 0..=1_000_000;
pub(crate) const BURST_RANGE: RangeInclusive<i64> = 1..=64;
pub(crate) const DESCRIPTORS_RANGE: RangeInclusive<i64> = 64..=32_768;
pub(crate) const SAMPLE_BURSTS_RANGE: RangeInclusive<i64> = 0..=1_000_000;
pub(crate) const MBUFS_RANGE: RangeInclusive<i64> = 1024..=67_108_864;
pub(crate) const MTU_RANGE: RangeInclusive<i64> = 576..=9216;
pub(crate) const LABEL_RANGE: RangeInclusive<i64> = 16..=1_048_575;
pub(crate) const VLAN_RANGE: RangeInclusive<i64> = 1..=4094;
pub(crate) const PEER_PORT_RANGE: RangeInclusive<i64> = 1..=65_535;
pub(crate) const TTL_SECURITY_RANGE: RangeInclusive<i64> = 1..=254;
pub(crate) const HOLD_TIME_RANGE: RangeInclusive<i64> = 0..=65_535;
pub(crate) const SEND_HOLD_TIME_RANGE: RangeInclusive<i64> = 0..=131_070;
