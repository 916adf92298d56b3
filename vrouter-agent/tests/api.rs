//! The agent's thread as it runs in `vrouterd`: API over the socket, reload, stop, and what a panic in any task does not break.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly"
)]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Running, Scratch, plane, until};
use config::api::WorkerPlan;
use serde_json::{Value, json};
use vrouter_agent::api::socket::{Socket, SocketError};
use vrouter_agent::carried::Plan;
use vrouter_agent::run::{Agent, Options};

struct Node {
    scratch: Scratch,
    agent: Option<Agent>,
    plane: Running,
    told: Arc<AtomicBool>,
}

fn text(scratch: &Scratch, more: &str) -> String {
    let folder = scratch.0.display();
    format!(
        r#"
[router]
name = "gw1"
router-id = "192.0.2.1"
asn = 64512
tunnel-sources = ["192.0.2.0/24"]
state-file = "{folder}/state.json"
[api]
socket = "{folder}/api.sock"
[[port]]
name = "fabric0"
role = "fabric"
device = "vdev:net_af_packet0,iface=eth0"
addresses = ["192.0.2.1/24"]
[[port]]
name = "gw0"
role = "gateway"
device = "vdev:net_af_packet1,iface=eth1"
[[vrf]]
name = "Public"
route-targets = ["target:64514:1"]
subnets = [{{ prefix = "10.1.0.0/24", gateway = "10.1.0.1" }}]
static-routes = [{{ prefix = "10.9.0.0/16", tunnel = "192.0.2.9", label = 300, encapsulation = "mplsoudp" }}]
[[instance]]
name = "db7"
vrf = "Public"
port = "gw0"
vlan = 107
mac = "52:54:00:00:01:07"
addresses = ["10.1.0.7"]
{more}"#
    )
}

fn start(name: &str, more: &str) -> Node {
    let scratch = Scratch::new(name);
    let file = scratch.0.join("gw1.toml");
    std::fs::write(&file, text(&scratch, more)).unwrap();
    let config = config::load(&text(&scratch, more), "gw1.toml").unwrap();
    let (ops, events, plane) = plane(2, 1024);
    let socket = Socket::bind(&config.api.socket).unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    let plane = Running::start(plane);
    let agent = Agent::start(Options {
        config,
        file,
        socket,
        ops,
        events,
        plan: Plan {
            workers: vec![WorkerPlan { spread: "on: a test".into(), ..WorkerPlan::default() }],
            spans: vec!["rx", "tx"],
        },
        started: Instant::now(),
        on_forwarding: Box::new(move || tell.store(true, Ordering::Relaxed)),
    });
    Node { scratch, agent: Some(agent.unwrap()), plane, told }
}

impl Node {
    fn path(&self) -> PathBuf {
        self.scratch.0.join("api.sock")
    }

    /// Status code and body.
    fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = body.len();
        let head = "Host: vrouter\r\nConnection: close\r\nContent-Type: application/json";
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, body.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (code, body) = self.http("GET", path, "");
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn errors(&self, method: &str, path: &str, body: &str) -> (u16, Vec<String>) {
        let (code, body) = self.http(method, path, body);
        let reply: config::api::ErrorReply = serde_json::from_str(&body).unwrap();
        (code, reply.errors)
    }

    fn ready(&self) {
        until("ready", || self.http("GET", "/v1/status", "").1.contains("\"ready\":true"));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop();
        }
    }
}

#[test]
fn every_view_answers_with_the_fields_that_outsiders_rely_on() {
    let node = start("views", "");
    node.ready();
    assert!(node.told.load(Ordering::Relaxed));
    let status = node.get("/v1/status");
    assert_eq!((&status["generation"], &status["name"]), (&json!(1), &json!("gw1")));
    assert_eq!(status["warnings"], json!([]));

    let routes = node.get("/v1/routes?vrf=Public");
    let brief: Vec<Value> = routes
        .as_array()
        .unwrap()
        .iter()
        .map(|r| json!([r["prefix"], r["kind"], r["source"], r["generation"]]))
        .collect();
    assert_eq!(
        brief,
        [
            json!(["10.1.0.1/32", "receive", "subnet", 1]),
            json!(["10.1.0.7/32", "interface", "instance", 1]),
            json!(["10.9.0.0/16", "tunnel", "static", 1]),
        ]
    );
    let tunnel = &routes[2];
    assert_eq!(
        json!([tunnel["nexthop"], tunnel["encapsulation"], tunnel["label"], tunnel["interface"]]),
        json!(["192.0.2.9", "mplsoudp", 300, null])
    );

    let interface = &node.get("/v1/interfaces")[0];
    assert_eq!(interface["name"], "db7");
    assert_eq!(interface["state"], "up");
    assert_eq!(interface["rx_packets"], 5);
    assert_eq!(interface["drops"], json!({ "malformed": 1 }));

    let labels = node.get("/v1/labels");
    let kinds: Vec<&str> =
        labels.as_array().unwrap().iter().filter_map(|l| l["kind"].as_str()).collect();
    assert!(kinds.contains(&"interface") && kinds.contains(&"vrf") && kinds.len() == 2);

    let worker = &node.get("/v1/workers")[0];
    assert_eq!(worker["spread"], "on: a test", "what was said at the start");
    let load = ["bursts", "packets_per_burst", "helped_bursts", "is_helped", "sleeps"];
    let load: Vec<&Value> = load.iter().map(|key| &worker[key]).collect();
    assert_eq!(load, [&json!(4), &json!(2.5), &json!(1), &json!(true), &json!(7)]);
    assert_eq!(
        worker["timed"],
        json!({
            "bursts": 2, "median_nanoseconds": 900, "p99_nanoseconds": 1000, "p999_nanoseconds": 1100,
            "passes": [{"name": "rx", "cycles": 20.0}, {"name": "tx", "cycles": 10.5}]
        })
    );
    let sum = |fields: &[&str]| fields.iter().map(|f| worker[*f].as_u64().unwrap()).sum::<u64>();
    assert_eq!(
        sum(&["rx", "handed_in", "injected", "copies_made"]),
        sum(&["tx", "punted", "dropped", "handed_out", "queued"])
    );
    assert_eq!(worker["busy_percent"], 12.5);

    assert_eq!(node.get("/v1/ports")[1]["role"], "gateway");
    assert_eq!(node.get("/v1/vrfs")[0]["routes"], 3);
    assert_eq!(node.get("/v1/nexthops").as_array().unwrap().len(), 3);
    assert_eq!(node.get("/v1/neighbors")[0]["interface"], "db7");
    let drops = node.get("/v1/drops");
    assert_eq!(drops.as_array().unwrap().len(), engine::drops::Drop::ALL.len());
    assert_eq!((&drops[0]["reason"], &drops[0]["count"]), (&json!("malformed"), &json!(1)));
    assert_eq!(node.get("/v1/bgp/summary"), json!([]));
    assert_eq!(node.get("/v1/bgp/routes?family=vpnv4&which=received"), json!([]));
    assert_eq!(node.get("/v1/routes/refused"), json!([]));

    let (code, metrics) = node.http("GET", "/metrics", "");
    assert_eq!(code, 200);
    for line in [
        "vrouter_ready 1",
        "vrouter_vrf_routes{vrf=\"Public\"} 3",
        "vrouter_port_rx_packets_total{port=\"gw0\"} 10",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} in\n{metrics}");
    }
    let (_, running) = node.http("GET", "/v1/config", "");
    assert_eq!(config::load(&running, "running").unwrap().instances[0].name, "db7");
}

#[test]
fn wrong_questions_are_refused_in_words() {
    let node = start("questions", "");
    node.ready();
    for (method, path, body, code, word) in [
        ("GET", "/v1/nonesuch", "", 404, "/v1/nonesuch"),
        ("GET", "/v1/routes?vrf=Nope", "", 404, "Nope"),
        ("GET", "/v1/routes?vfr=Public", "", 400, "vfr"),
        ("GET", "/v1/bgp/routes?family=ipv9", "", 400, "ipv9"),
        ("GET", "/v1/bgp/routes?which=worst", "", 400, "worst"),
        ("GET", "/v1/bgp/routes?peer=me", "", 400, "me"),
        ("POST", "/v1/bgp/refresh?peer=192.0.2.10", "", 404, "[bgp]"),
        ("POST", "/v1/config/apply", r#"{"file":"/nonesuch.toml"}"#, 400, "/nonesuch.toml"),
        ("POST", "/v1/config/apply", "{}", 400, "file"),
        ("POST", "/v1/status", "", 400, "POST"),
    ] {
        let (got, errors) = node.errors(method, path, body);
        assert_eq!(got, code, "{path}: {errors:?}");
        assert!(errors.iter().any(|error| error.contains(word)), "{path}: {errors:?}");
    }
}

#[test]
fn reload_and_apply_change_what_differs_or_nothing() {
    let node = start("reload", "");
    node.ready();
    let file = node.scratch.0.join("gw1.toml");
    let more = r#"
[[instance]]
name = "web8"
vrf = "Public"
port = "gw0"
vlan = 108
mac = "52:54:00:00:01:08"
addresses = ["10.1.0.8"]
"#;
    std::fs::write(&file, text(&node.scratch, more)).unwrap();
    let (code, body) = node.http("POST", "/v1/config/reload", "");
    assert!(code == 200 && body.contains("web8"), "{code} {body}");
    assert_eq!(node.plane.lock().model.vifs.len(), 2, "in force when the answer comes");
    let (_, body) = node.http("POST", "/v1/config/reload", "");
    assert_eq!(body, r#"{"changes":[],"disturbs":[]}"#);

    let broken = text(&node.scratch, more)
        .replace("vlan = 108", "vlan = 107")
        .replace("52:54:00:00:01:08", "bad");
    std::fs::write(&file, broken).unwrap();
    let (code, errors) = node.errors("POST", "/v1/config/reload", "");
    assert!(code == 400 && errors.len() >= 2, "{errors:?}");
    assert_eq!(node.plane.lock().model.vifs.len(), 2);

    let other = node.scratch.0.join("other.toml");
    std::fs::write(&other, text(&node.scratch, "")).unwrap();
    let (code, body) = node.http("POST", "/v1/config/apply", &json!({ "file": other }).to_string());
    assert!(code == 200 && body.contains("web8"), "{code} {body}");
    assert_eq!(node.plane.lock().model.vifs.len(), 1);
    let resting = node.get("/v1/labels");
    let resting: Vec<&Value> =
        resting.as_array().unwrap().iter().filter(|l| l["kind"] == "quarantine").collect();
    assert_eq!(resting.len(), 1);
    assert_eq!(resting[0]["interface"], "web8");
    assert!(resting[0]["quarantine_seconds"].as_u64().unwrap() > 200);
    assert_eq!(node.plane.lock().breaches, Vec::<String>::new());

    std::fs::write(&file, text(&node.scratch, more)).unwrap();
    node.agent.as_ref().unwrap().reload();
    node.plane.wait("reload by signal", |plane| plane.model.vifs.len() == 2);
}

#[test]
fn the_socket_is_kept_from_a_second_daemon_and_goes_at_the_end() {
    let mut node = start("socket", "");
    node.ready();
    assert!(matches!(Socket::bind(&node.path()), Err(SocketError::Live(_))));
    node.ready();
    node.agent.take().unwrap().stop();
    assert!(!node.path().exists());
}

#[test]
fn a_data_plane_that_does_not_answer_is_503() {
    let node = start("mute", "");
    node.ready();
    node.plane.lock().mute = true;
    let (code, errors) = node.errors("GET", "/v1/ports", "");
    assert!(code == 503 && errors[0].contains("did not answer"), "{code} {errors:?}");
    node.plane.lock().mute = false;
    assert_eq!(node.get("/v1/ports")[0]["name"], "fabric0");
}

/// A speaker in the place of another PE, on its own thread.
struct OtherPe {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    port: u16,
}

impl OtherPe {
    /// Advertises 10.2.0.0/24 with label 1000 and next hop 192.0.2.9.
    fn start() -> OtherPe {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell_port, told_port) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let speaker = bgp::speaker::SpeakerConfig {
                    asn: bgp::types::Asn(64512),
                    router_id: Ipv4Addr::new(192, 0, 2, 9),
                };
                let (handle, mut updates) =
                    bgp::io::Driver::spawn(speaker, Some("127.0.0.1:0".parse().unwrap()));
                tell_port.send(handle.listening().await.unwrap().unwrap().unwrap().port()).unwrap();
                let prefix = "10.2.0.0/24".parse().unwrap();
                let key = bgp::types::Route::to(Some("192.0.2.9:1".parse().unwrap()), prefix);
                let route = bgp::speaker::OriginatedRoute {
                    route_targets: vec!["target:64514:1".parse().unwrap()],
                    ext_communities: vec![bgp::types::ExtCommunity::encapsulation(2)],
                    ..bgp::speaker::OriginatedRoute::new(
                        bgp::wire::Nlri::labelled(key, 1000),
                        IpAddr::from([192, 0, 2, 9]),
                    )
                };
                handle.originate(route).await.unwrap();
                let mut peer = bgp::speaker::PeerConfig::new(
                    IpAddr::from([127, 0, 0, 1]),
                    bgp::types::Asn(64512),
                );
                peer.passive = true;
                handle.set_peers(vec![peer]).await.unwrap();
                let drain = async { while updates.recv().await.is_some() {} };
                tokio::select! { _ = stopped => {}, () = drain => {} }
                handle.shutdown().await;
            });
        });
        OtherPe { stop: Some(stop), thread: Some(thread), port: told_port.recv().unwrap() }
    }

    fn section(&self) -> String {
        let port = self.port;
        format!(
            "[bgp]\nlisten = \"none\"\n[[bgp.peer]]\naddress = \"127.0.0.1\"\nasn = 64512\nport = {port}\n"
        )
    }
}

impl Drop for OtherPe {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn routes_are_learnt_and_advertised_and_go_with_the_session() {
    let other = OtherPe::start();
    let node = start("learn", &other.section());
    let learnt = "/v1/routes?vrf=Public";
    until("the learnt route", || node.http("GET", learnt, "").1.contains("10.2.0.0/24"));
    let routes = node.get(learnt);
    let route = routes.as_array().unwrap().iter().find(|r| r["prefix"] == "10.2.0.0/24").unwrap();
    assert_eq!(
        json!([
            route["kind"],
            route["nexthop"],
            route["encapsulation"],
            route["label"],
            route["source"]
        ]),
        json!(["tunnel", "192.0.2.9", "mplsogre", 1000, "bgp 127.0.0.1"])
    );
    let summary = &node.get("/v1/bgp/summary")[0];
    assert_eq!(json!([summary["state"], summary["received"]]), json!(["Established", 1]));
    until("our route", || {
        !node.get("/v1/bgp/routes?which=advertised").as_array().unwrap().is_empty()
    });
    let own = &node.get("/v1/bgp/routes?which=advertised")[0];
    assert_eq!(
        json!([own["prefix"], own["next_hop"], own["route_targets"], own["encapsulations"]]),
        json!(["10.1.0.7/32", "192.0.2.1", ["target:64514:1"], ["mplsogre", "mplsoudp"]])
    );
    drop(other);
    until("the route's end", || !node.http("GET", learnt, "").1.contains("10.2.0.0/24"));
    assert_eq!(node.get(learnt).as_array().unwrap().len(), 3, "local and static routes stay");
    assert!(node.get("/v1/status")["warnings"].to_string().contains("127.0.0.1"));
    assert_eq!(node.plane.lock().breaches, Vec::<String>::new());
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_panic_in_any_task_restarts_the_agent_and_the_data_plane_notices_nothing() {
    let other = OtherPe::start();
    let node = start("panic", &other.section());
    node.ready();
    node.plane.wait("the learnt route", |plane| plane.model.routes.len() == 4);
    let before = node.plane.lock().model.clone();
    let seen = node.plane.lock().log.len();
    for (count, task) in (1..).zip(["api", "agent", "bgp"]) {
        let _ = node.http("POST", &format!("/v1/fault/panic?task={task}"), "");
        until("the restart", || {
            node.http("GET", "/v1/status", "").1.contains(&format!("restarted {count} times"))
        });
        until("the sweep", || {
            !node.get("/v1/status")["warnings"].to_string().contains("restoring")
        });
        node.ready();
        assert!(node.get("/v1/status")["warnings"].to_string().contains("injected"));
    }
    let plane = node.plane.lock();
    assert_eq!(plane.model, before);
    assert_eq!(plane.breaches, Vec::<String>::new());
    let deletions = plane.log[seen..].iter().filter(|op| format!("{op:?}").contains("Del")).count();
    assert_eq!(deletions, 0);
    assert_eq!(plane.log[seen..].iter().filter(|op| **op == engine::seam::Op::Sweep).count(), 3);
}
