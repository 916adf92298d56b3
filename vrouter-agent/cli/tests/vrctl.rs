//! The command against a daemon that answers from a list: output, requests and exit codes.
#![allow(clippy::expect_used, clippy::panic)] // helpers of tests

mod fake;

use std::os::unix::net::UnixListener;
use std::time::Instant;

use fake::{Daemon, Ran, answer, socket_path, vrctl};

const INTERFACES: &str = r#"[
 {"name":"db7","port":"gw0","vlan":107,"vrf":"Public","mac":"52:54:00:00:01:07","addresses":["10.1.0.7"],"state":"up",
  "rx_packets":10,"rx_bytes":1000,"tx_packets":9,"tx_bytes":900,"drops":{"unknown-source-mac":2,"no-route":1},"later":"field"},
 {"name":"web","port":"gw0","vlan":8,"vrf":"Blue","mac":"52:54:00:00:01:08","addresses":["10.2.0.8","10.2.0.9"],
  "state":"down: port gw0 is down","rx_packets":0,"rx_bytes":0,"tx_packets":0,"tx_bytes":0,"drops":{}}]"#;
const VRFS: &str = r#"[{"name":"Public","id":1,"rd":"192.0.2.1:1","import":["target:64514:1"],"export":["target:64514:1"],
 "subnets":["10.1.0.0/24"],"routes":3,"interfaces":1,"label":null},
 {"name":"Blue","id":2,"rd":"192.0.2.1:2","import":[],"export":[],"subnets":[],"routes":1,"interfaces":1,"label":17}]"#;
const ROUTES: &str = r#"[
 {"prefix":"10.1.0.0/24","vrf":"Public","kind":"tunnel","nexthop":"192.0.2.9","encapsulation":"mplsoudp","label":300,"interface":null,"source":"bgp 192.0.2.10","generation":5},
 {"prefix":"10.1.0.7/32","vrf":"Public","kind":"interface","nexthop":null,"encapsulation":null,"label":null,"interface":"db7","source":"instance","generation":2},
 {"prefix":"0.0.0.0/0","vrf":"Blue","kind":"discard","nexthop":null,"encapsulation":null,"label":null,"interface":null,"source":"static","generation":1}]"#;
const DROPS: &str = r#"[{"reason":"no-route","count":0,"hint":"look at the VRF"},{"reason":"unknown-vlan","count":7,"hint":"add an instance"}]"#;
const WORKERS: &str = r#"[{"id":0,"cpu":2,"rx":5,"handed_in":0,"injected":1,"copies_made":0,"tx":4,"punted":1,"dropped":1,"handed_out":0,"queued":0,"busy_percent":12.5,"packets_per_burst":2.5,"planned":"as configured","receives":[{"port":"fabric0","queue":0},{"port":"gw0","queue":1}]}]"#;
const PORTS: &str = r#"[{"name":"fabric0","role":"fabric","device":"0000:3b:00.0","state":"up","mac":"02:00:00:00:00:01","mtu":9000,
 "addresses":["192.0.2.1/24"],"rx_packets":1,"rx_bytes":2,"tx_packets":3,"tx_bytes":4,"missed":5,"rx_errors":6,"no_mbuf":7,"tx_errors":8},
 {"name":"gw0","role":"gateway","device":"vdev:net_af_packet0,iface=eth1","state":"down","mac":"02:00:00:00:00:02","mtu":1500,
 "addresses":[],"rx_packets":0,"rx_bytes":0,"tx_packets":0,"tx_bytes":0,"missed":0,"rx_errors":0,"no_mbuf":0,"tx_errors":0}]"#;
const SUMMARY: &str = r#"[{"peer":"192.0.2.10","asn":64512,"state":"Established","families":["vpnv4"],"received":12,"accepted":11,"advertised":2,"uptime_seconds":93784,"last_error":null},
 {"peer":"192.0.2.11","asn":64512,"state":"Active","families":[],"received":0,"accepted":0,"advertised":0,"uptime_seconds":0,"last_error":"connection refused"}]"#;
const BGP_ROUTES: &str = r#"[{"family":"vpnv4","prefix":"10.9.0.0/16","rd":"192.0.2.9:1","peer":"192.0.2.10","next_hop":"192.0.2.9","labels":[300],
 "route_targets":["target:64514:1"],"encapsulations":["mplsogre","mplsoudp"],"local_pref":100,"med":null,"as_path":"","communities":[],
 "large_communities":[],"ext_communities":["target:64514:1"],"aggregator":null,"best":true,"reason":"only path","stale":false}]"#;
const READY: &str = r#"{"ready":true,"generation":42,"uptime_seconds":3661,"version":"0.1.0","warnings":[],"name":"gw1"}"#;

fn printed(out: &str) -> Ran {
    Ran { code: 0, out: out.to_owned(), err: String::new() }
}

fn refused(err: &str) -> Ran {
    Ran { code: 1, out: String::new(), err: format!("vrctl: {err}\n") }
}

#[test]
fn interfaces_in_a_table() {
    let daemon = Daemon::new(&[("GET /v1/interfaces", INTERFACES), ("GET /v1/vrfs", VRFS)]);
    let table = "\
NAME  PORT  VLAN  VRF     MAC                ADDRESSES          STATE                   RX-PACKETS  RX-BYTES  TX-PACKETS  TX-BYTES  DROPS
db7   gw0    107  Public  52:54:00:00:01:07  10.1.0.7           up                              10      1000           9       900      3
web   gw0      8  Blue    52:54:00:00:01:08  10.2.0.8,10.2.0.9  down: port gw0 is down           0         0           0         0      0
";
    // A noun alone means its list; the other system's word means the same noun.
    for args in ["interface list", "interface", "vif", "vif list", "interface show"] {
        assert_eq!(daemon.run(args), printed(table), "{args}");
    }
    let one = daemon.run("interface list web");
    assert_eq!((one.code, one.out.lines().count()), (0, 2));
    assert!(one.out.contains("web") && !one.out.contains("db7"));
    let blue = daemon.run("interface --vrf Blue");
    assert_eq!((blue.out, blue.code), (one.out, 0));
    assert_eq!(daemon.run("interface list db8"), refused("no interface `db8`"));
    assert_eq!(daemon.run("interface list --vrf Red"), refused("no VRF `Red`"));
    assert_eq!(daemon.run("interface list web --vrf Public"), refused("no interface `web`"));
    let show = daemon.run("interface show db7");
    assert!(show.out.contains("rx-packets  10\n"), "{}", show.out);
    assert!(show.out.contains("drops       unknown-source-mac 2, no-route 1\n"), "{}", show.out);
}

#[test]
fn json_is_what_the_daemon_says() {
    let daemon = Daemon::new(&[("GET /v1/interfaces", INTERFACES), ("GET /v1/status", READY)]);
    let said: serde_json::Value = serde_json::from_str(INTERFACES).expect("JSON");
    let all = daemon.run("interface list --json");
    assert_eq!(all.out, format!("{}\n", serde_json::to_string_pretty(&said).expect("JSON")));
    // Also fields that vrctl does not know, in their order.
    assert!(all.out.contains("\"later\": \"field\""));
    let one: serde_json::Value =
        serde_json::from_str(&daemon.run("interface list web -j").out).expect("JSON");
    assert_eq!(one, serde_json::json!([said[1]]));
    let status: serde_json::Value =
        serde_json::from_str(&daemon.run("--json status").out).expect("JSON");
    assert_eq!(status["generation"], 42);
}

#[test]
fn every_list_has_its_columns() {
    let neighbors = r#"[{"address":"192.0.2.9","mac":null,"port":"fabric0","interface":null,"state":"incomplete","age_seconds":3}]"#;
    let nexthops = r#"[{"id":7,"kind":"tunnel","tunnel":"192.0.2.9","encapsulation":"mplsogre","label":300,"interface":null,"state":"up","references":2}]"#;
    let labels = r#"[{"label":16,"kind":"interface","vrf":"Public","interface":"db7","quarantine_seconds":null},
        {"label":17,"kind":"quarantine","vrf":"Public","interface":"web","quarantine_seconds":299}]"#;
    let daemon = Daemon::new(&[
        ("GET /v1/ports", PORTS),
        ("GET /v1/vrfs", VRFS),
        ("GET /v1/nexthops", nexthops),
        ("GET /v1/labels", labels),
        ("GET /v1/neighbors", neighbors),
        ("GET /v1/workers", WORKERS),
        ("GET /v1/bgp/summary", SUMMARY),
    ]);
    for (args, table) in [
        ("port list gw0", "\
NAME  ROLE     STATE  DEVICE                          MAC                 MTU  ADDRESSES  RX-PACKETS  RX-BYTES  TX-PACKETS  TX-BYTES  LOST  ERRORS
gw0   gateway  down   vdev:net_af_packet0,iface=eth1  02:00:00:00:00:02  1500  -                   0         0           0         0     0       0
"),
        ("vrf", "\
NAME    RD           IMPORT          EXPORT          SUBNETS      ROUTES  INTERFACES  LABEL
Public  192.0.2.1:1  target:64514:1  target:64514:1  10.1.0.0/24       3           1      -
Blue    192.0.2.1:2  -               -               -                 1           1     17
"),
        ("nh", "\
ID  KIND    TUNNEL     ENCAPSULATION  LABEL  INTERFACE  STATE  REFERENCES
 7  tunnel  192.0.2.9  mplsogre         300  -          up              2
"),
        ("mpls", "\
LABEL  KIND        VRF     INTERFACE  QUARANTINE
   16  interface   Public  db7                 -
   17  quarantine  Public  web              299s
"),
        ("neighbor list 192.0.2.9", "\
ADDRESS    MAC  PORT     INTERFACE  STATE       AGE
192.0.2.9  -    fabric0  -          incomplete   3s
"),
        ("worker list 0", "\
ID  CPU   BUSY  BURST  HELPED  RX  HANDED-IN  INJECTED  COPIES  TX  PUNTED  DROPPED  HANDED-OUT  QUEUED
 0    2  12.5%    2.5       0   5          0         1       0   4       1        1           0       0
"),
        ("bgp", "\
PEER          ASN  STATE             UPTIME  FAMILIES  RECEIVED  ACCEPTED  ADVERTISED  LAST-ERROR
192.0.2.10  64512  Established  1d 02:03:04  vpnv4           12        11           2  -
192.0.2.11  64512  Active                 -  -                0         0           0  connection refused
"),
    ] {
        assert_eq!(daemon.run(args).out, table, "{args}");
    }
    assert!(daemon.run("port list fabric0").out.contains("    12      14\n"));
    assert_eq!(daemon.run("label list 18"), refused("no label `18`"));
    assert_eq!(daemon.run("bgp summary 192.0.2.12"), refused("no BGP peer `192.0.2.12`"));
}

#[test]
fn routes_by_vrf_prefix_and_address() {
    let daemon = Daemon::new(&[("GET /v1/routes", ROUTES), ("GET /v1/routes?vrf=a%20b", "[]")]);
    let table = "\
VRF     PREFIX       KIND       NEXTHOP    ENCAPSULATION  LABEL  INTERFACE  SOURCE          GENERATION
Public  10.1.0.0/24  tunnel     192.0.2.9  mplsoudp         300  -          bgp 192.0.2.10           5
Public  10.1.0.7/32  interface  -          -                  -  db7        instance                 2
Blue    0.0.0.0/0    discard    -          -                  -  -          static                   1
";
    assert_eq!(daemon.run("route list"), printed(table));
    assert_eq!(daemon.run("rt list 10.1.0.0/24").out.lines().count(), 2);
    // An address shows what it would take, in each VRF.
    let taken = daemon.run("route list 10.1.0.7").out;
    assert!(
        taken.contains("10.1.0.7/32")
            && taken.contains("0.0.0.0/0")
            && !taken.contains("10.1.0.0/24")
    );
    assert_eq!(daemon.run("route list 10.9.0.0/16"), refused("no route `10.9.0.0/16`"));
    let mut spaced = vrctl();
    spaced.arg("--socket").arg(&daemon.socket).args(["route", "list", "--vrf", "a b"]);
    assert_eq!(Ran::from(spaced.output().expect("runs")).code, 0);
}

#[test]
fn drops_that_happened() {
    let daemon = Daemon::new(&[("GET /v1/drops", DROPS)]);
    assert_eq!(
        daemon.run("dropstats"),
        printed("REASON        COUNT  HINT\nunknown-vlan      7  add an instance\n")
    );
    assert_eq!(daemon.run("drop list --all").out.lines().count(), 3);
    assert_eq!(
        daemon.run("drop list no-route").out,
        "REASON    COUNT  HINT\nno-route      0  look at the VRF\n"
    );
    assert!(daemon.run("drop list --json").out.contains("no-route"));
}

#[test]
fn bgp_routes_and_refresh() {
    let daemon = Daemon::new(&[
        ("GET /v1/bgp/routes?which=best", BGP_ROUTES),
        ("GET /v1/bgp/routes?which=received&family=vpnv4&peer=192.0.2.10", "[]"),
        ("GET /v1/bgp/routes?which=advertised", "[]"),
        ("POST /v1/bgp/refresh?peer=192.0.2.10", ""),
    ]);
    assert_eq!(
        daemon.run("bgp route list").out,
        "   FAMILY  RD           PREFIX       NEXT-HOP   LABELS  PEER        LOCAL-PREF  MED  AS-PATH  ROUTE-TARGETS   ENCAPSULATIONS     REASON\n\
         *  vpnv4   192.0.2.9:1  10.9.0.0/16  192.0.2.9  300     192.0.2.10         100    -  -        target:64514:1  mplsogre,mplsoudp  only path\n"
    );
    for args in [
        "bgp route list --family vpnv4 --received --peer 192.0.2.10",
        "bgp route --received --family vpnv4 --peer 192.0.2.10",
        "bgp route list --advertised",
    ] {
        assert_eq!(daemon.run(args).code, 0, "{args}");
    }
    assert_eq!(
        daemon.run("bgp refresh 192.0.2.10"),
        printed("asked 192.0.2.10 for its routes again\n")
    );
    assert_eq!(daemon.run("bgp refresh 192.0.2.11"), refused("no such path"));
    assert_eq!(
        daemon.asked.lock().expect("not poisoned")[4],
        "POST /v1/bgp/refresh?peer=192.0.2.10"
    );
}

#[test]
fn status_for_people_and_scripts() {
    let daemon = Daemon::new(&[
        ("GET /v1/status", READY),
        ("GET /v1/ports", PORTS),
        ("GET /v1/interfaces", INTERFACES),
        ("GET /v1/bgp/summary", SUMMARY),
        ("GET /v1/vrfs", VRFS),
        ("GET /v1/workers", WORKERS),
        ("GET /v1/drops", DROPS),
    ]);
    let text = "\
router       gw1 ready
version      0.1.0, up 01:01:01
generation   42
ports        1 of 2 up; not: gw0
interfaces   1 of 2 up; not: web
bgp          1 of 2 established; not: 192.0.2.11
routes       4 in 2 VRFs
workers      1, busiest 0 on CPU 2: 12.5 %
top drop     unknown-vlan 7 (add an instance)
warnings     none
";
    assert_eq!(daemon.run("status"), printed(text));
    assert_eq!(daemon.run("status show"), printed(text));

    let ill = Daemon::new(&[(
        "GET /v1/status",
        &READY.replace("true", "false").replace("[]", "[\"port gw0 is down\"]"),
    )]);
    let ran = ill.run("status");
    assert_eq!((ran.code, ran.err.as_str()), (4, ""));
    assert!(ran.out.starts_with("router       gw1 NOT READY\n"), "{}", ran.out);
    assert!(ran.out.ends_with("ports        ?\ninterfaces   ?\nbgp          ?\nroutes       ?\nworkers      ?\ntop drop     ?\nwarning      port gw0 is down\n"), "{}", ran.out);
    let ran = ill.run("status --json");
    assert_eq!(ran.code, 4);
    assert!(ran.out.contains("\"ready\": false"));
}

#[test]
fn configuration() {
    let wrong = r#"{"errors":["gw.toml:1:1: missing key `router` at the top level; add `[router]`","gw.toml:2:1: x"]}"#;
    let toml = "[router]\nname = \"gw1\"\nrouter-id = \"192.0.2.1\"\nasn = 64512\n";
    let reload = r#"{"changes":["instance db7: removed","instance db8: added"],"disturbs":["traffic of instance db7"]}"#;
    let daemon = Daemon::raw(vec![
        ("POST /v1/config/reload".to_owned(), answer(200, reload)),
        ("POST /v1/config/apply".to_owned(), answer(422, wrong)),
        ("GET /v1/config".to_owned(), answer(200, toml)),
    ]);
    let text = "instance db7: removed\ninstance db8: added\ninterrupted: traffic of instance db7\n";
    assert_eq!(daemon.run("config reload"), printed(text));
    assert!(daemon.run("config reload --json").out.contains("\"disturbs\": ["));
    assert_eq!(daemon.run("config show"), printed(toml));
    let json: serde_json::Value =
        serde_json::from_str(&daemon.run("config --json").out).expect("JSON");
    assert_eq!(json["router"]["tunnel-address"], "192.0.2.1");

    let file = socket_path().with_extension("toml");
    std::fs::write(&file, "x").expect("the temporary directory is writable");
    let mut command = vrctl();
    command.current_dir(file.parent().expect("in a directory"));
    command
        .arg("--socket")
        .arg(&daemon.socket)
        .args(["config", "apply"])
        .arg(file.file_name().expect("a file"));
    let ran = Ran::from(command.output().expect("runs"));
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "vrctl: gw.toml:1:1: missing key `router` at the top level; add `[router]`\nvrctl: gw.toml:2:1: x\n"
    );
    // The daemon runs elsewhere: it gets the whole path.
    let asked = daemon.asked.lock().expect("not poisoned").last().cloned().unwrap_or_default();
    let path = file.canonicalize().expect("it exists");
    assert_eq!(asked, format!("POST /v1/config/apply {{\"file\":\"{}\"}}", path.display()));
    std::fs::remove_file(&file).expect("still there");
    let gone = daemon.run(&format!("config apply {}", file.display()));
    assert_eq!(gone.code, 1);
    assert!(gone.err.starts_with("vrctl: cannot read "), "{}", gone.err);

    let same = Daemon::new(&[("POST /v1/config/reload", r#"{"changes":[],"disturbs":[]}"#)]);
    assert_eq!(same.run("config reload"), printed("no change\n"));
}

#[test]
fn no_daemon() {
    let absent = socket_path();
    let ran =
        Ran::from(vrctl().env("VROUTER_SOCKET", &absent).arg("status").output().expect("runs"));
    assert_eq!(ran.code, 3);
    assert_eq!(
        ran.err,
        format!(
            "vrctl: no daemon: there is no socket {}\nvrctl: start the daemon with `vrouterd run FILE`, or name its socket with --socket PATH or VROUTER_SOCKET\n",
            absent.display()
        )
    );
    // A socket that an earlier run left behind.
    drop(UnixListener::bind(&absent).expect("binds"));
    let ran = Ran::from(vrctl().arg("--socket").arg(&absent).arg("port").output().expect("runs"));
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("nobody listens on"), "{}", ran.err);
    std::fs::remove_file(&absent).expect("still there");
}

#[test]
fn a_daemon_that_is_none() {
    for answer in [
        "SSH-2.0-x\r\n".to_owned(),
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[".to_owned(),
        answer(200, "not JSON"),
        answer(200, "{}"),
        answer(200, "[{}]"),
    ] {
        let daemon = Daemon::raw(vec![("GET /v1/ports".to_owned(), answer.clone())]);
        let ran = daemon.run("port");
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{answer:?} {}", ran.err);
        assert!(ran.err.contains(&daemon.socket.display().to_string()), "{}", ran.err);
    }
    let daemon = Daemon::raw(vec![("GET /v1/ports".to_owned(), answer(500, "oh"))]);
    assert_eq!(daemon.run("port"), refused("the daemon answered 500: oh"));
}

#[test]
fn a_daemon_that_hangs() {
    let socket = socket_path();
    let _listener = UnixListener::bind(&socket).expect("binds");
    let start = Instant::now();
    let ran = Ran::from(
        vrctl()
            .arg("--socket")
            .arg(&socket)
            .args(["--timeout", "1", "port"])
            .output()
            .expect("runs"),
    );
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("did not answer within 1 s"), "{}", ran.err);
    assert!(start.elapsed().as_secs() < 10);
    std::fs::remove_file(&socket).expect("still there");
}

#[test]
fn wrong_usage() {
    for args in [
        "",
        "ports",
        "port frobnicate",
        "interface list a b",
        "bgp refresh",
        "bgp refresh nobody",
        "bgp route --received --advertised",
        "bgp route --family vpnv5",
        "config apply",
        "status --timeout 0",
        "port --vrf Public",
    ] {
        let ran = Ran::from(vrctl().args(args.split_whitespace()).output().expect("runs"));
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args}");
        assert!(!ran.err.is_empty());
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::from(vrctl().args(["completions", shell]).output().expect("runs"));
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("dropstats") || ran.out.contains("neighbor"), "{shell}");
    }
}
