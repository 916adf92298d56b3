//! Paths, parameters and status codes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use axum::extract::{Query as Parameters, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bgp::io::Handle;
use bgp::speaker::{PeerSummary, RouteQuery, RouteView, Which};
use bgp::types::{Esi, Family};
use config::api::{ApplyRequest, BgpRouteRow, BgpSummaryRow, ErrorReply, path};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Answer, Ask, Failure, Query, metrics};

/// What the handlers work with.
#[derive(Clone)]
pub struct Shared {
    /// To the core.
    pub asks: mpsc::Sender<Ask>,
    /// The speaker, while there is one.
    pub bgp: watch::Receiver<Option<Handle>>,
    /// The daemon's own configuration file.
    pub file: PathBuf,
}

/// Imported routes that are not used: `GET`, rows of [`super::RefusedRow`].
pub const ROUTES_REFUSED: &str = "/v1/routes/refused";

type Outcome = Result<Response, Failure>;
type Words = Parameters<HashMap<String, String>>;

/// All paths.
pub fn router(shared: Shared) -> Router {
    let router = Router::new()
        .route(path::STATUS, get(status))
        .route(path::PORTS, view(Query::Ports))
        .route(path::INTERFACES, view(Query::Interfaces))
        .route(path::VRFS, view(Query::Vrfs))
        .route(path::ROUTES, get(routes))
        .route(ROUTES_REFUSED, view(Query::Refused))
        .route(path::NEXTHOPS, view(Query::Nexthops))
        .route(path::LABELS, view(Query::Labels))
        .route(path::NEIGHBORS, view(Query::Neighbors))
        .route(path::BFD, view(Query::Bfd))
        .route(path::DROPS, view(Query::Drops))
        .route(path::WORKERS, view(Query::Workers))
        .route(path::BGP_SUMMARY, get(bgp_summary))
        .route(path::BGP_ROUTES, get(bgp_routes))
        .route(path::BGP_REFRESH, post(bgp_refresh))
        .route(path::CONFIG, view(Query::Config))
        .route(path::CONFIG_RELOAD, post(reload))
        .route(path::CONFIG_APPLY, post(apply))
        .route(path::METRICS, get(metrics_text));
    #[cfg(feature = "fault-injection")]
    let router = router.route(path::FAULT_PANIC, post(fault));
    router.fallback(no_such_path).method_not_allowed_fallback(wrong_method).with_state(shared)
}

/// A path that shows one view.
fn view(query: Query) -> axum::routing::MethodRouter<Shared> {
    get(async move |State(shared): State<Shared>| respond(shared.ask(query).await?))
}

/// The agent's own view, and what only the speaker knows.
async fn status(State(shared): State<Shared>) -> Outcome {
    let mut answer = shared.ask(Query::Status).await?;
    if let (Answer::Status(status), Some(speaker)) = (&mut answer, shared.speaker())
        && let Ok(Err(why)) = speaker.listening().await
    {
        status.warnings.push(format!("BGP does not listen: {why}"));
    }
    respond(answer)
}

impl Shared {
    async fn ask(&self, query: Query) -> Result<Answer, Failure> {
        let gone = |()| Failure::Unavailable("the agent is restarting".into());
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { query, reply }).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }

    fn speaker(&self) -> Option<Handle> {
        self.bgp.borrow().clone()
    }
}

fn respond(answer: Answer) -> Outcome {
    Ok(match answer {
        Answer::Text(text) => text.into_response(),
        other => Json(other).into_response(),
    })
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, errors) = match self {
            Failure::Refused(errors) => (StatusCode::BAD_REQUEST, errors),
            Failure::Unknown(error) => (StatusCode::NOT_FOUND, vec![error]),
            Failure::Unavailable(error) => (StatusCode::SERVICE_UNAVAILABLE, vec![error]),
        };
        (status, Json(ErrorReply { errors })).into_response()
    }
}

async fn no_such_path(uri: axum::http::Uri) -> Failure {
    Failure::Unknown(format!("there is no {}", uri.path()))
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Failure {
    Failure::Refused(vec![format!("{} does not take {method}", uri.path())])
}

async fn routes(State(shared): State<Shared>, Parameters(words): Words) -> Outcome {
    known(&words, &["vrf"])?;
    respond(shared.ask(Query::Routes { vrf: words.get("vrf").cloned() }).await?)
}

/// Refuses parameters that mean nothing here, so that a slip of the pen does not widen a view.
fn known(words: &HashMap<String, String>, names: &[&str]) -> Result<(), Failure> {
    let unknown = |word: &&String| !names.contains(&word.as_str());
    match words.keys().find(unknown) {
        Some(word) => {
            let names = names.join(", ");
            Err(Failure::Refused(vec![format!("unknown parameter {word}; use one of: {names}")]))
        }
        None => Ok(()),
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    words: &HashMap<String, String>,
    name: &str,
) -> Result<Option<T>, Failure> {
    let parsed =
        words.get(name).map(|word| word.parse().map_err(|error| format!("{name}={word}: {error}")));
    parsed.transpose().map_err(|error| Failure::Refused(vec![error]))
}

async fn bgp_summary(State(shared): State<Shared>) -> Outcome {
    Ok(Json(summary(&shared).await?).into_response())
}

async fn summary(shared: &Shared) -> Result<Vec<BgpSummaryRow>, Failure> {
    let Some(speaker) = shared.speaker() else { return Ok(Vec::new()) };
    let peers = speaker.summary().await.map_err(speaker_gone)?;
    Ok(peers.into_iter().map(summary_row).collect())
}

fn speaker_gone(error: bgp::io::HandleError) -> Failure {
    Failure::Unavailable(error.to_string())
}

fn summary_row(peer: PeerSummary) -> BgpSummaryRow {
    BgpSummaryRow {
        peer: peer.peer,
        asn: peer.asn,
        state: peer.state.to_string(),
        families: peer.families.iter().map(ToString::to_string).collect(),
        received: peer.received,
        accepted: peer.accepted,
        advertised: peer.advertised,
        uptime_seconds: peer.uptime_seconds,
        last_error: peer.last_error,
        send_hold_expired: peer.send_hold_expired,
        hint: peer.hint,
    }
}

async fn bgp_routes(State(shared): State<Shared>, Parameters(words): Words) -> Outcome {
    known(&words, &["family", "which", "peer"])?;
    let family: Option<Family> = parse(&words, "family")?;
    let peer: Option<IpAddr> = parse(&words, "peer")?;
    let which = match words.get("which").map(String::as_str) {
        None | Some("best") => Which::Best,
        Some("received") => Which::Received,
        Some("advertised") => Which::Advertised,
        Some(other) => {
            let error = format!("which={other}: write received, best or advertised");
            return Err(Failure::Refused(vec![error]));
        }
    };
    let mut rows: Vec<BgpRouteRow> = Vec::new();
    if let Some(speaker) = shared.speaker() {
        for family in
            Family::ALL.into_iter().filter(|one| family.is_none_or(|wanted| wanted == *one))
        {
            let query = RouteQuery { family, which, peer };
            let routes = speaker.routes(query).await.map_err(speaker_gone)?;
            rows.extend(routes.into_iter().map(route_row));
        }
    }
    Ok(Json(rows).into_response())
}

fn route_row(route: RouteView) -> BgpRouteRow {
    BgpRouteRow {
        family: route.route.family().to_string(),
        prefix: route.route.destination(),
        rd: route.route.rd().map(|rd| rd.to_string()),
        peer: Some(route.peer),
        next_hop: route.next_hop,
        labels: route.labels,
        esi: route
            .evpn
            .map(|evpn| evpn.esi)
            .filter(|esi| *esi != Esi::ZERO)
            .map(|esi| esi.to_string()),
        gateway: route.evpn.and_then(|evpn| evpn.gateway),
        pmsi: route.pmsi,
        route_targets: route.route_targets.iter().map(ToString::to_string).collect(),
        encapsulations: route.encapsulations.iter().map(|kind| tunnel_type(*kind)).collect(),
        local_pref: route.local_pref,
        med: route.med,
        as_path: route.as_path,
        communities: route.communities,
        large_communities: route.large_communities,
        ext_communities: route.ext_communities,
        aggregator: route.aggregator,
        best: route.best,
        reason: route.reason,
        stale: route.stale,
    }
}

/// The word for a tunnel type, as far as it has one here.
fn tunnel_type(kind: u16) -> String {
    match kind {
        2 | 11 => config::Encapsulation::MplsOverGre.to_string(),
        13 | 37001 => config::Encapsulation::MplsOverUdp.to_string(),
        other => format!("tunnel-type:{other}"),
    }
}

async fn bgp_refresh(State(shared): State<Shared>, Parameters(words): Words) -> Outcome {
    known(&words, &["peer"])?;
    let Some(peer) = parse(&words, "peer")? else {
        return Err(Failure::Refused(vec!["say which: peer=ADDRESS".into()]));
    };
    let Some(speaker) = shared.speaker() else {
        return Err(Failure::Unknown("there is no [bgp] in the configuration".into()));
    };
    let peers = speaker.summary().await.map_err(speaker_gone)?;
    let Some(summary) = peers.into_iter().find(|summary| summary.peer == peer) else {
        return Err(Failure::Unknown(format!("there is no BGP peer {peer}")));
    };
    if summary.families.is_empty() {
        return Err(Failure::Refused(vec![format!(
            "the session with {peer} is {}",
            summary.state
        )]));
    }
    for family in summary.families {
        let refreshed = speaker.refresh(peer, family).await;
        refreshed.map_err(|error| Failure::Refused(vec![error.to_string()]))?;
    }
    Ok(Json(serde_json::json!({})).into_response())
}

async fn reload(State(shared): State<Shared>) -> Outcome {
    let file = shared.file.clone();
    apply_file(&shared, &file).await
}

async fn apply(State(shared): State<Shared>, body: String) -> Outcome {
    let request: ApplyRequest = serde_json::from_str(&body)
        .map_err(|error| Failure::Refused(vec![format!("not {{\"file\": \"PATH\"}}: {error}")]))?;
    apply_file(&shared, Path::new(&request.file)).await
}

async fn apply_file(shared: &Shared, file: &Path) -> Outcome {
    let query = read(file).map_err(|error| Failure::Refused(vec![error]))?;
    respond(shared.ask(query).await?)
}

/// A configuration file as a question to the core.
///
/// # Errors
/// Why it cannot be read.
pub fn read(file: &Path) -> Result<Query, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    Ok(Query::Apply { text, file: name })
}

async fn metrics_text(State(shared): State<Shared>) -> Outcome {
    let Answer::Metrics(figures) = shared.ask(Query::Metrics).await? else {
        return Err(Failure::Unavailable("no figures".into()));
    };
    let peers = summary(&shared).await?;
    let text =
        metrics::text(&figures, &peers).map_err(|error| Failure::Unavailable(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// `task`: `bgp`, `api` or `agent`.
#[cfg(feature = "fault-injection")]
async fn fault(State(shared): State<Shared>, Parameters(words): Words) -> Outcome {
    match words.get("task").map(String::as_str) {
        Some("bgp") => {
            let speaker =
                shared.speaker().ok_or(Failure::Unknown("there is no BGP task".into()))?;
            speaker.inject_panic().await.map_err(speaker_gone)?;
        }
        Some("api") => crate::fault::panic_in("API"),
        Some("agent") => drop(shared.ask(Query::Panic).await?),
        _ => return Err(Failure::Refused(vec!["write task=bgp, task=api or task=agent".into()])),
    }
    Ok(Json(serde_json::json!({})).into_response())
}
