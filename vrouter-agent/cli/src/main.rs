//! `vrctl`: the operator's command. Asks the daemon over its unix socket, prints tables, or JSON as it came.
#![forbid(unsafe_code)]

mod args;
mod client;
mod http;
mod status;
mod table;
mod views;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use config::api::{ApplyRequest, ConfigReply, Status, path};
use serde_json::{Value, json};

use args::{BgpRoute, BgpRouteVerb, BgpVerb, Cli, ConfigVerb, ListVerb, Noun};
use client::{Client, Failure};
use http::escaped;
use views::View;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (code, lines) = match run(cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Unhealthy) => return ExitCode::from(4),
        Err(Failure::Refused(lines)) => (1, lines),
        Err(Failure::Unreachable(text)) => (3, text.lines().map(str::to_owned).collect()),
    };
    let mut err = io::stderr().lock();
    for line in lines {
        let _ = writeln!(err, "vrctl: {line}");
    }
    ExitCode::from(code)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let socket = cli
        .socket
        .or_else(|| std::env::var_os("VROUTER_SOCKET").filter(|s| !s.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| config::defaults::SOCKET.into());
    let client = Client::new(socket, Duration::from_secs(cli.timeout));
    let out = Output { client, json: cli.json };
    match cli.noun {
        Noun::Status(_) => out.status(),
        Noun::Port(n) => out.list(&views::PORTS, n.verb, "", |_| true),
        Noun::Vrf(n) => out.list(&views::VRFS, n.verb, "", |_| true),
        Noun::Nexthop(n) => out.list(&views::NEXTHOPS, n.verb, "", |_| true),
        Noun::Neighbor(n) => out.list(&views::NEIGHBORS, n.verb, "", |_| true),
        Noun::Bfd(n) => out.list(&views::BFD, n.verb, "", |_| true),
        Noun::Worker(n) => out.list(&views::WORKERS, n.verb, "", |_| true),
        Noun::Interface(n) => out.list_in_vrf(&views::INTERFACES, n.verb, n.vrf),
        Noun::Label(n) => out.list_in_vrf(&views::LABELS, n.verb, n.vrf),
        Noun::Route(n) => {
            let query = n.vrf.map(|v| format!("?vrf={}", escaped(&v))).unwrap_or_default();
            out.list(&views::ROUTES, n.verb, &query, |_| true)
        }
        Noun::Drop(n) => {
            // JSON is what the daemon says; people look for what happened.
            let every = n.all || cli.json || name_of(&n.verb).is_some();
            let counts = |row: &Value| row.get("count").and_then(Value::as_u64) != Some(0);
            out.list(&views::DROPS, n.verb, "", |row| every || counts(row))
        }
        Noun::Bgp(n) => match n.verb {
            None => out.list(&views::BGP_SUMMARY, None, "", |_| true),
            Some(BgpVerb::Summary { peer }) => {
                let verb = ListVerb::List { name: peer.map(|p| p.to_string()) };
                out.list(&views::BGP_SUMMARY, Some(verb), "", |_| true)
            }
            Some(BgpVerb::Route(route)) => out.bgp_routes(route),
            Some(BgpVerb::Refresh { peer }) => {
                let target = format!("{}?peer={}", path::BGP_REFRESH, escaped(&peer.to_string()));
                let reply = out.client.post(&target, None)?;
                out.done(&reply, &format!("asked {peer} for its routes again\n"))
            }
        },
        Noun::Config(n) => match n.verb {
            None | Some(ConfigVerb::Show) => out.config_show(),
            Some(ConfigVerb::Reload) => out.config_change(path::CONFIG_RELOAD, None),
            Some(ConfigVerb::Apply { file }) => {
                let file = absolute(&file)?;
                let body = serde_json::to_value(ApplyRequest { file }).unwrap_or_default();
                out.config_change(path::CONFIG_APPLY, Some(body))
            }
        },
        Noun::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "vrctl", &mut script);
            print(&script)
        }
    }
}

/// The path as the daemon, which runs in another directory, must read it.
fn absolute(file: &Path) -> Result<String, Failure> {
    let absolute = std::fs::canonicalize(file)
        .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|path| Failure::refused(format!("{} is not UTF-8: rename it", path.display())))
}

fn name_of(verb: &Option<ListVerb>) -> Option<&str> {
    match verb {
        Some(ListVerb::List { name } | ListVerb::Show { name }) => name.as_deref(),
        None => None,
    }
}

/// Standard output; a reader that closes early, such as `head`, is no fault.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::refused(format!("cannot write the output: {e}")))
        }
        _ => Ok(()),
    }
}

fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    print(format!("{text}\n").as_bytes())
}

/// Asks the daemon and prints in the form that the operator wants.
struct Output {
    client: Client,
    json: bool,
}

impl Output {
    fn status(&self) -> Result<(), Failure> {
        let value = self.client.json(path::STATUS)?;
        let status: Status = serde_json::from_value(value.clone())
            .map_err(|e| self.client.not_understood(path::STATUS, &e))?;
        if self.json {
            print_json(&value)?;
        } else {
            print(status::lines(&self.client, &status).as_bytes())?;
        }
        if status.ready { Ok(()) } else { Err(Failure::Unhealthy) }
    }

    fn list(
        &self,
        view: &View,
        verb: Option<ListVerb>,
        query: &str,
        keep: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        let mut rows = self.client.rows(&format!("{}{query}", view.path))?;
        rows.retain(keep);
        if let Some(name) = name_of(&verb) {
            rows = (view.named)(rows, name);
            if rows.is_empty() {
                return Err(Failure::refused(format!("no {} `{name}`", view.kind)));
            }
        }
        if self.json {
            return print_json(&Value::Array(rows));
        }
        if let Some(ListVerb::Show { name }) = verb
            && (name.is_some() || view.explains)
        {
            let records: Vec<String> = rows.iter().map(table::record).collect();
            return print(records.join("\n").as_bytes());
        }
        let text = (view.table)(rows).map_err(|e| self.client.not_understood(view.path, &e))?;
        print(text.as_bytes())
    }

    /// A list that the daemon gives as a whole, cut to a VRF here.
    fn list_in_vrf(
        &self,
        view: &View,
        verb: Option<ListVerb>,
        vrf: Option<String>,
    ) -> Result<(), Failure> {
        let Some(vrf) = vrf else { return self.list(view, verb, "", |_| true) };
        let known = self.client.rows(path::VRFS)?;
        if views::by_field(known, "name", &vrf).is_empty() {
            return Err(Failure::refused(format!("no VRF `{vrf}`")));
        }
        self.list(view, verb, "", |row| {
            row.get("vrf").and_then(Value::as_str) == Some(vrf.as_str())
        })
    }

    fn bgp_routes(&self, route: BgpRoute) -> Result<(), Failure> {
        let which = match (route.received, route.advertised) {
            (true, _) => "received",
            (_, true) => "advertised",
            _ => "best",
        };
        let mut query = format!("?which={which}");
        if let Some(family) = route.family {
            query += &format!("&family={}", escaped(&family));
        }
        if let Some(peer) = route.peer {
            query += &format!("&peer={}", escaped(&peer.to_string()));
        }
        let verb = route.verb.map(|BgpRouteVerb::List { prefix }| ListVerb::List { name: prefix });
        self.list(&views::BGP_ROUTES, verb, &query, |_| true)
    }

    fn config_show(&self) -> Result<(), Failure> {
        let text = self.client.text(path::CONFIG)?;
        if !self.json {
            return print(text.as_bytes());
        }
        let running = config::load(&text, "running").map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            self.client.not_understood(path::CONFIG, &first)
        })?;
        let value = serde_json::to_value(running)
            .map_err(|e| self.client.not_understood(path::CONFIG, &e))?;
        print_json(&value)
    }

    fn config_change(&self, target: &str, body: Option<Value>) -> Result<(), Failure> {
        let value = self.client.post(target, body.as_ref())?;
        let reply: ConfigReply = serde_json::from_value(value.clone())
            .map_err(|e| self.client.not_understood(target, &e))?;
        let mut text = String::new();
        reply.changes.iter().for_each(|line| text += &format!("{line}\n"));
        reply.disturbs.iter().for_each(|line| text += &format!("interrupted: {line}\n"));
        if reply.changes.is_empty() {
            text += "no change\n";
        }
        self.done(&value, &text)
    }

    /// The answer to a command.
    fn done(&self, reply: &Value, text: &str) -> Result<(), Failure> {
        match reply {
            _ if !self.json => print(text.as_bytes()),
            Value::Null => print_json(&json!({})),
            reply => print_json(reply),
        }
    }
}
