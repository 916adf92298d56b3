//! The agent as one state machine: configuration, routes, events of the data plane and questions in; ops, BGP actions and answers
//! out. No sockets, no threads; time is an argument.
//!
//! Inputs only note what has to be done; [`Core::poll`] does it, so that a burst of changes becomes one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use bgp::speaker::Update;
use bgp::types::{Family, Route};
use config::Config;
use config::api::ConfigReply;
use engine::seam::{Event, Gen, Link, Op, Refusal, VifId};
use ipnet::IpNet;
use wire::bfd::State;

use crate::api::{Answer, Failure, Query, Reply};
use crate::carried::Carried;
use crate::commit;
use crate::desired::{self, Local, Source};
use crate::forwarding::{Forwarding, Wanted};
use crate::labels::Unix;
use crate::peering::{self, Action, Peering};
use crate::program::Program;
use crate::rows::{Ascending, Dirty, Packed};
use crate::snapshot::Snapshots;
use crate::view;
use crate::vrf::{Import, RouteKey};

/// How long stale routes of the last run are kept while peers have not sent all of theirs again.
pub const RESTORE_LIMIT: Duration = Duration::from_secs(60);
/// How long a question may wait for the data plane.
const PATIENCE: Duration = Duration::from_secs(2);
/// Routes in one generation, so that a full table goes out in pieces.
const BATCH: usize = 8192;
/// Rows looked up in a row.
const TOGETHER: usize = 64;
/// Generations made at once: sessions and questions wait that long, a few milliseconds.
const GENERATIONS_PER_POLL: usize = 4;

/// See the module.
pub struct Core<'a> {
    pub(crate) carried: &'a mut Carried,
    pub(crate) local: Local,
    pub(crate) import: Import,
    pub(crate) forwarding: Forwarding,
    pub(crate) program: Program,
    pub(crate) refusals: Refusals,
    pub(crate) sessions: BTreeMap<IpAddr, bool>,
    pub(crate) restore: Option<Restore>,
    snapshots: Snapshots,
    peering: Peering,
    /// Rows of VRFs that may lead elsewhere now.
    dirty: Dirty,
    /// Those of them that the next generations are made of. A row may be in both: it is looked at twice then.
    queue: vec::IntoIter<Packed>,
    /// Room for the ops of a generation.
    ops: Vec<Op>,
    /// `local.tables` has not been planned yet.
    structure: bool,
    /// The data plane has objects of an earlier run.
    resync: bool,
    /// BGP is told what grew when this generation is acknowledged.
    grow_after: Option<Gen>,
    waiting: Vec<Waiting>,
    actions: Vec<Action>,
}

/// After a restart: who still owes us routes.
pub(crate) struct Restore {
    until: Instant,
    owed: BTreeSet<IpAddr>,
}

/// What the data plane did not take.
#[derive(Default)]
pub(crate) struct Refusals {
    pub(crate) vifs: BTreeMap<VifId, Refusal>,
    pub(crate) routes: BTreeSet<RouteKey>,
    pub(crate) count: u64,
    pub(crate) first: Option<(Op, Refusal)>,
}

/// A question that is answered when a generation was acknowledged.
struct Waiting {
    generation: Gen,
    until: Instant,
    answer: Deferred,
    reply: Reply,
}

enum Deferred {
    Status,
    Config(ConfigReply),
}

impl<'a> Core<'a> {
    /// Takes up the work of the last run, or starts the first.
    pub fn new(carried: &'a mut Carried, now: Instant, wall: Unix) -> Self {
        let again = carried.generation > Gen(0);
        if again {
            carried.ids.mark();
        }
        let program = Program::new(carried.generation);
        let snapshots = Snapshots::new(carried.token);
        let config = carried.config.clone();
        let owed = config.bgp.iter().flat_map(|bgp| &bgp.peers);
        let owed =
            owed.filter(|peer| peer.families.contains(&Family::Vpnv4)).map(|peer| peer.address);
        let restore = Restore { until: now + RESTORE_LIMIT, owed: owed.collect() };
        let mut core = Core {
            carried,
            local: Local::default(),
            import: Import::default(),
            forwarding: Forwarding::default(),
            program,
            refusals: Refusals::default(),
            sessions: BTreeMap::new(),
            restore: again.then_some(restore),
            snapshots,
            peering: Peering::default(),
            dirty: Dirty::default(),
            queue: Vec::new().into_iter(),
            ops: Vec::new(),
            structure: false,
            resync: again,
            grow_after: None,
            waiting: Vec::new(),
            actions: Vec::new(),
        };
        core.take_over(config, wall);
        core
    }

    /// The running configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.carried.config
    }

    /// What the speaker should do now.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Whether routes may be read from BGP: false while the data plane is behind.
    pub fn hungry(&self) -> bool {
        self.program.room() || self.dirty.len() + self.queue.len() < BATCH
    }

    /// Whether [`Core::poll`] should be called soon, because the data plane owes an answer.
    pub fn busy(&self) -> bool {
        !self.program.settled() || self.snapshots.open() || self.pending()
    }

    /// Makes another configuration the running one.
    fn take_over(&mut self, config: Arc<Config>, wall: Unix) {
        let Carried { ports, ids, identities, .. } = &mut *self.carried;
        let local = desired::build(&config, ports, ids, identities, wall);
        self.dirty.extend(self.local.routes.keys().chain(local.routes.keys()).copied());
        for vrf in self.local.tables.vrfs.keys().filter(|vrf| !local.tables.vrfs.contains_key(vrf))
        {
            self.dirty.extend(self.forwarding.routes_of(*vrf).map(|(key, _, _)| key));
        }
        self.import.configure(&local.imports, &local.policy, &mut self.dirty);
        self.dirty.extend(std::mem::take(&mut self.refusals).routes);
        self.local = local;
        self.carried.config = config;
        self.structure = true;
        let wanted = self.wanted();
        if self.peering.shrink(&self.carried.config, &wanted, &mut self.actions) {
            self.import.clear(&mut self.dirty);
            self.sessions.clear();
        }
        let peers: BTreeSet<IpAddr> =
            peering::peers(&self.carried.config).iter().map(|peer| peer.address).collect();
        self.sessions.retain(|peer, _| peers.contains(peer));
        if let Some(restore) = &mut self.restore {
            restore.owed.retain(|peer| peers.contains(peer));
        }
    }

    fn wanted(&self) -> peering::Wanted {
        let refused = |vif| self.refusals.vifs.contains_key(&vif);
        peering::wanted(&self.carried.config, &self.local, refused)
    }

    /// News of the speaker.
    pub fn on_update(&mut self, update: Update) {
        match update {
            Update::Best { route: Route::Vpnv4(rd, prefix), path } => {
                let route = path.map(|path| peering::learnt(&mut self.import, &path));
                self.import.learn(rd, prefix, route, &mut self.dirty);
            }
            // No table of the data plane takes the other families in: they are for `bgp route list`.
            Update::Best { .. } => {}
            Update::EndOfRib { peer, family } => {
                if let Some(restore) = self.restore.as_mut().filter(|_| family == Family::Vpnv4) {
                    restore.owed.remove(&peer);
                }
            }
            Update::FamilyDisabled { peer, family, reason } => {
                tracing::warn!(%peer, %family, reason, "family ignored until the BGP session ends");
                if let Some(restore) = self.restore.as_mut().filter(|_| family == Family::Vpnv4) {
                    restore.owed.remove(&peer);
                }
            }
            Update::SessionUp { peer } => {
                tracing::info!(%peer, "BGP session established");
                self.sessions.insert(peer, true);
            }
            Update::SessionDown { peer, reason } => {
                tracing::warn!(%peer, reason, "BGP session lost");
                self.sessions.insert(peer, false);
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Ack { generation } => {
                self.program.ack(generation);
                self.carried.ids.acked(generation);
            }
            Event::Refused { op, refusal } => self.on_refused(op, refusal),
            Event::PortLink { port, link } => {
                let name = self.port_name(port);
                tracing::info!(port = name, ?link, "port");
                self.carried.links.insert(port, link);
            }
            Event::TunnelUp { tunnel, up } => {
                let remote =
                    self.forwarding.tables().tunnels.get(&tunnel).map(|tunnel| tunnel.remote);
                tracing::debug!(?remote, up, "tunnel");
            }
            Event::Bfd { remote, state: State::Up, .. } => {
                tracing::info!(peer = %remote, "BFD session is up");
            }
            Event::Bfd { remote, state, diagnostic } => {
                let (state, why) = (state.name(), diagnostic.name());
                tracing::warn!(peer = %remote, state, why, "BFD session is not up");
            }
            row => self.snapshots.row(row),
        }
    }

    fn on_refused(&mut self, op: Op, refusal: Refusal) {
        self.forwarding.refused(&op, refusal, &mut self.carried.ids);
        match op {
            Op::VifSet { vif, .. } => drop(self.refusals.vifs.insert(vif, refusal)),
            Op::RouteSet { vrf, prefix: IpNet::V4(prefix), .. } => {
                self.refusals.routes.insert((vrf, prefix));
            }
            _ if is_deletion(&op) => {
                tracing::debug!(?op, %refusal, "the data plane refused a deletion");
                return;
            }
            _ => {}
        }
        tracing::warn!(?op, %refusal, "the data plane refused an op");
        self.refusals.count += 1;
        self.refusals.first.get_or_insert((op, refusal));
    }

    /// Does everything that can be done now.
    pub fn poll(&mut self, now: Instant) {
        while let Ok(event) = self.carried.events.pop() {
            self.on_event(event);
        }
        for _ in 0..GENERATIONS_PER_POLL {
            if !self.flush(now) {
                break;
            }
            self.program.pump(&mut self.carried.ops);
        }
        self.sweep(now);
        self.snapshots.start(&mut self.program, now);
        self.carried.token = self.snapshots.token();
        self.program.pump(&mut self.carried.ops);
        self.grow();
        self.answer(now);
        if !self.busy() {
            self.rest();
        }
    }

    /// Gives up the room that a full table needed on its way.
    fn rest(&mut self) {
        self.queue = Vec::new().into_iter();
        self.ops.shrink_to(TOGETHER);
        self.import.rest();
        self.forwarding.rest();
        self.program.rest();
    }

    /// Whether [`Core::poll`] would make more generations at once.
    pub fn eager(&self) -> bool {
        self.pending() && self.program.room()
    }

    fn pending(&self) -> bool {
        self.structure || self.resync || !self.dirty.is_empty() || self.queue.len() > 0
    }

    /// Makes a generation of what has changed, if the data plane keeps up; false if it made none.
    fn flush(&mut self, now: Instant) -> bool {
        if !self.eager() {
            return false;
        }
        let generation = self.program.next();
        let most = if self.structure { usize::MAX } else { BATCH };
        let (queue, dirty) = (&mut self.queue, &mut self.dirty);
        let rows = std::iter::from_fn(|| {
            if queue.len() == 0 {
                *queue = dirty.take();
            }
            queue.next().map(Packed::key)
        });
        // The best source of a row: the configuration's own, or one that was learnt.
        let (mut local, mut learnt) = (Ascending::new(&self.local.routes), self.import.bests());
        let mut choices = rows.take(most).map(|key| {
            let own = local.get(key).copied();
            let bgp = |(peer, hop)| (Source::Bgp(peer), hop);
            (key, own.or_else(|| learnt.best(key).map(bgp)))
        });
        // Some rows at once, so that the waits for their memory overlap.
        let mut ready: Vec<Wanted> = Vec::with_capacity(TOGETHER);
        let wanted = std::iter::from_fn(|| {
            if ready.is_empty() {
                ready.extend(choices.by_ref().take(TOGETHER));
                ready.reverse();
            }
            ready.pop()
        });
        let structure = self.structure.then_some(&self.local.tables);
        let mut ops = std::mem::take(&mut self.ops);
        self.forwarding.plan(structure, wanted, &mut self.carried.ids, generation, &mut ops);
        let resync = std::mem::take(&mut self.resync);
        if resync {
            self.program.ask(Op::Resync);
        }
        let structure = std::mem::take(&mut self.structure);
        if structure {
            desired::release(&self.local, &mut self.carried.ids, generation);
        }
        if resync || !ops.is_empty() {
            self.submit(ops.drain(..), now);
        }
        ops.shrink_to(2 * BATCH);
        self.ops = ops;
        if structure {
            self.grow_after = Some(self.program.last());
        }
        true
    }

    fn submit(&mut self, ops: impl IntoIterator<Item = Op>, now: Instant) -> Gen {
        self.carried.generation = self.program.submit(ops, now);
        self.carried.generation
    }

    /// After a restart, when everything is there again: what was not set goes.
    fn sweep(&mut self, now: Instant) {
        let done = self.restore.as_ref().is_some_and(|r| r.owed.is_empty() || now >= r.until);
        if done && !self.pending() && self.program.room() {
            self.restore = None;
            let generation = self.submit([Op::Sweep], now);
            self.carried.ids.sweep(generation);
            tracing::info!("restored after the restart");
        }
    }

    fn grow(&mut self) {
        if self.grow_after.is_some_and(|generation| generation <= self.program.acked()) {
            self.grow_after = None;
            let wanted = self.wanted();
            // An interface that was refused meanwhile must not attract traffic.
            self.peering.shrink(&self.carried.config, &wanted, &mut self.actions);
            self.peering.grow(&self.carried.config, &wanted, &mut self.actions);
        }
    }

    /// A question of the API.
    pub fn ask(&mut self, query: Query, reply: Reply, now: Instant, wall: Unix) {
        match query {
            Query::Status => self.wait(Deferred::Status, now + PATIENCE / 2, reply),
            Query::Apply { text, file } => match commit::plan(&self.carried.config, &text, &file) {
                Ok(plan) => {
                    for change in &plan.reply.changes {
                        tracing::info!(change, "configuration");
                    }
                    self.take_over(Arc::new(plan.config), wall);
                    self.wait(Deferred::Config(plan.reply), now + PATIENCE, reply);
                }
                Err(errors) => send(reply, Err(Failure::Refused(errors))),
            },
            query if query.needs_snapshot() => self.snapshots.ask(query, reply),
            query => send(reply, view::answer(self, &query, &[], now, wall)),
        }
    }

    /// Answers when everything noted so far is in force.
    fn wait(&mut self, answer: Deferred, until: Instant, reply: Reply) {
        let generation = if self.pending() { self.program.next() } else { self.program.last() };
        self.waiting.push(Waiting { generation, until, answer, reply });
    }

    fn answer(&mut self, now: Instant) {
        let acked = self.program.acked();
        let settled = !self.pending() && self.program.settled();
        let due = |w: &mut Waiting| settled || w.generation <= acked || now >= w.until;
        let due: Vec<Waiting> = self.waiting.extract_if(.., due).collect();
        for waiting in due {
            let in_force = settled || waiting.generation <= acked;
            let answer = match waiting.answer {
                Deferred::Status => Ok(Answer::Status(view::status(self, in_force, now))),
                Deferred::Config(reply) if in_force => Ok(Answer::Config(reply)),
                Deferred::Config(_) => Err(Failure::Unavailable(
                    "the configuration was taken over, but the data plane has not acknowledged it yet".into(),
                )),
            };
            send(waiting.reply, answer);
        }
        for (query, reply, rows) in self.snapshots.finished(now, PATIENCE) {
            let answer = match rows {
                Some(rows) => view::answer(self, &query, &rows, now, Unix::now()),
                None => Err(Failure::Unavailable(format!(
                    "the data plane did not answer within {} s",
                    PATIENCE.as_secs()
                ))),
            };
            send(reply, answer);
        }
    }

    /// The last generation that every worker has seen, and the last one made.
    pub fn generations(&self) -> (Gen, Gen) {
        (self.program.acked(), self.program.last())
    }

    /// Whether the first generation is in force: packets are forwarded.
    pub fn forwarding(&self) -> bool {
        self.program.acked() > Gen(0)
    }

    /// The name of a port, as configured.
    pub(crate) fn port_name(&self, port: engine::seam::PortId) -> &str {
        self.carried.ports.iter().find(|(_, id)| **id == port).map_or("?", |(name, _)| name)
    }

    /// Carrier of a port by its name.
    pub(crate) fn port_up(&self, name: &str) -> bool {
        let link = self.carried.ports.get(name).and_then(|port| self.carried.links.get(port));
        link == Some(&Link::Up)
    }

    /// Peers that the restarted agent still waits for.
    pub(crate) fn owed(&self) -> impl Iterator<Item = &IpAddr> {
        self.restore.iter().flat_map(|restore| &restore.owed)
    }
}

fn is_deletion(op: &Op) -> bool {
    matches!(
        op,
        Op::PortAddressDel { .. }
            | Op::UnderlayRouteDel { .. }
            | Op::TunnelSourceDel { .. }
            | Op::VrfDel { .. }
            | Op::SubnetDel { .. }
            | Op::VifDel { .. }
            | Op::VifAddressDel { .. }
            | Op::TunnelDel { .. }
            | Op::NexthopDel { .. }
            | Op::PathDel { .. }
            | Op::NeighborDel { .. }
            | Op::BfdDel { .. }
            | Op::RouteDel { .. }
            | Op::LabelDel { .. }
    )
}

/// Whoever asked may have gone.
fn send(reply: Reply, answer: Result<Answer, Failure>) {
    let _ = reply.send(answer);
}
