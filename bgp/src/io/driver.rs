//! The task that owns the speaker.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinSet, yield_now};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::connection::{self, CLOSE_TIME, Event, Pipe};
use super::handle::{Command, HandleError};
use super::locks::Locks;
use crate::speaker::{Action, ConnectionId, Speaker, SpeakerConfig, Update};

/// Chunks from connections that may wait for the driver before they wait in the kernel.
const EVENTS: usize = 64;
/// Requests and chunks handled before what they caused is carried out: many routes originated at
/// once share UPDATEs.
const TOGETHER: usize = 256;
/// Pause before a listening socket is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Pause after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

enum Link {
    Dialling(AbortHandle),
    Open(Pipe),
}

struct State {
    speaker: Speaker,
    links: HashMap<ConnectionId, Link>,
    tasks: JoinSet<()>,
    events: mpsc::Sender<Event>,
    listen: Option<SocketAddr>,
    listener: Result<TcpListener, String>,
    locks: Locks,
    /// When to try again to listen.
    listen_at: Option<Instant>,
}

/// The driver has to stop, and somebody may want to know when it has.
struct Stop(Option<oneshot::Sender<()>>);

pub(super) async fn run(
    config: SpeakerConfig,
    listen: Option<SocketAddr>,
    mut commands: mpsc::Receiver<Command>,
    updates: mpsc::Sender<Update>,
) {
    let (events, mut inputs) = mpsc::channel(EVENTS);
    let mut state = State {
        speaker: Speaker::new(config),
        links: HashMap::new(),
        tasks: JoinSet::new(),
        events,
        listen,
        listener: Err("not configured to listen".to_owned()),
        locks: Locks::new(),
        listen_at: None,
    };
    state.listen();
    let mut news: Option<Update> = None;
    let Stop(reply) = loop {
        state.act();
        news = match state.tell(news, &updates) {
            Ok(rest) => rest,
            Err(stop) => break stop,
        };
        let due = state.speaker.next_timeout();
        tokio::select! {
            permit = updates.reserve(), if news.is_some() => {
                if let (Ok(permit), Some(update)) = (permit, news.take()) {
                    permit.send(update);
                }
            }
            () = updates.closed() => break Stop(None),
            command = commands.recv() => {
                let Some(command) = command else { break Stop(None) };
                let mut next = Some(command);
                let mut stop = None;
                for _ in 0..TOGETHER {
                    let Some(command) = next.take() else { break };
                    stop = state.command(command);
                    if stop.is_some() {
                        break;
                    }
                    next = commands.try_recv().ok();
                }
                if let Some(command) = next.take() {
                    stop = stop.or_else(|| state.command(command));
                }
                if let Some(stop) = stop {
                    break stop;
                }
            }
            Some(event) = inputs.recv() => {
                state.input(event);
                for _ in 0..TOGETHER {
                    let Ok(event) = inputs.try_recv() else { break };
                    state.input(event);
                }
            }
            accepted = accept(&state.listener) => state.accepted(accepted),
            () = until(state.listen_at), if state.listen_at.is_some() => state.listen(),
            () = until(due), if due.is_some() => {
                // After a stall of the whole program a peer's KEEPALIVE may be waiting beside the
                // hold timer that it would have restarted: first hear, then judge.
                yield_now().await;
                while let Ok(event) = inputs.try_recv() {
                    state.input(event);
                }
                state.speaker.tick(Instant::now());
            }
            Some(ended) = state.tasks.join_next() => pass_on(ended),
        }
    };
    state.stop().await;
    if let Some(reply) = reply {
        let _ = reply.send(());
    }
}

/// A panic in a connection's task is one of the driver.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn accept(
    listener: &Result<TcpListener, String>,
) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Ok(listener) => {
            let accepted = listener.accept().await;
            if accepted.is_err() {
                // Out of descriptors, most likely: asking again at once would change nothing.
                sleep(ACCEPT_AGAIN).await;
            }
            accepted
        }
        Err(_) => std::future::pending().await,
    }
}

impl State {
    fn listen(&mut self) {
        let Some(address) = self.listen else { return };
        let again = self.listen_at.is_some();
        self.listener = connection::listen(address, &mut self.locks)
            .map_err(|error| format!("cannot listen on {address}: {error}"));
        self.listen_at = None;
        match &self.listener {
            Ok(_) => info!(%address, "listening for BGP peers"),
            Err(why) => {
                self.listen_at = Some(Instant::now() + LISTEN_AGAIN);
                if !again {
                    warn!("{why}");
                }
            }
        }
    }

    /// Carries out everything the speaker wants.
    fn act(&mut self) {
        let now = Instant::now();
        while let Some(action) = self.speaker.poll_action(now) {
            match action {
                Action::Dial { connection, remote, local, protection } => {
                    let task = connection::dial(
                        connection,
                        remote,
                        local,
                        protection,
                        self.events.clone(),
                    );
                    let task = self.tasks.spawn(task);
                    self.links.insert(connection, Link::Dialling(task));
                }
                Action::Send { connection, bytes } => {
                    if let Some(Link::Open(pipe)) = self.links.get(&connection) {
                        // A connection that is gone reports that itself.
                        let _ = pipe.bytes.send(bytes);
                    }
                }
                Action::Close { connection } => {
                    if let Some(Link::Dialling(task)) = self.links.remove(&connection) {
                        task.abort();
                    }
                }
            }
        }
    }

    /// Hands news on while there is room; what finds none comes back.
    fn tell(
        &mut self,
        first: Option<Update>,
        updates: &mpsc::Sender<Update>,
    ) -> Result<Option<Update>, Stop> {
        let mut next = first.or_else(|| self.speaker.poll_update());
        while let Some(update) = next {
            match updates.try_send(update) {
                Ok(()) => next = self.speaker.poll_update(),
                Err(mpsc::error::TrySendError::Full(update)) => return Ok(Some(update)),
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stop(None)),
            }
        }
        Ok(None)
    }

    fn input(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Connected(id, stream) => {
                // A dial that was given up in the meantime has no link any more.
                if self.links.contains_key(&id)
                    && let Some(local) = self.open(id, stream)
                {
                    self.speaker.connected(id, local.ip(), now);
                }
            }
            Event::Received(id, bytes) => self.speaker.received(id, &bytes, now),
            Event::Sent(id, count) => self.speaker.sent(id, count, now),
            Event::Closed(id, why) => {
                debug!(?id, why, "connection ended");
                self.links.remove(&id);
                self.speaker.closed(id, &why, now);
            }
        }
    }

    /// Starts carrying a connection; its own address.
    fn open(&mut self, id: ConnectionId, stream: TcpStream) -> Option<SocketAddr> {
        let local = stream.local_addr().ok()?;
        let (pipe, work) = connection::open(id, stream, self.events.clone());
        self.tasks.spawn(work);
        self.links.insert(id, Link::Open(pipe));
        Some(local)
    }

    fn accepted(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return debug!(%error, "cannot accept a connection"),
        };
        let unknown = SocketAddr::new(connection::unspecified(remote.ip()), 0);
        let local = stream.local_addr().unwrap_or(unknown);
        let now = Instant::now();
        let Some(protection) = self.speaker.welcome(local, remote) else {
            return debug!(%remote, "connection refused: not a peer, or not now");
        };
        let peer = remote.ip().to_canonical();
        if !self.locks.hold(peer, protection.password.as_ref()) {
            let why = "connection of the peer refused: the listening socket has not its password";
            return self.speaker.refused(remote, why, now);
        }
        if let Err(why) = connection::admit(&stream, remote.ip(), &protection) {
            debug!(%remote, why, "connection refused");
            return self.speaker.refused(remote, &why, now);
        }
        let Some(id) = self.speaker.accepted(local, remote, now) else { return };
        if self.open(id, stream).is_none() {
            self.speaker.closed(id, "connection lost before it was used", now);
        }
    }

    /// Answers a request. Nobody may be waiting for the answer any more, which is no error.
    fn command(&mut self, command: Command) -> Option<Stop> {
        let now = Instant::now();
        match command {
            Command::SetPeers(peers, reply) => {
                self.locks.want(&peers);
                if let Ok(listener) = &self.listener
                    && let Some(own) = self.listen
                {
                    self.locks.fit(listener, own.ip());
                }
                self.speaker.set_peers(peers, now);
                let _ = reply.send(());
            }
            Command::Originate(route, reply) => {
                let _ = reply.send(self.speaker.originate(*route));
            }
            Command::Withdraw(route, reply) => {
                self.speaker.withdraw(route);
                let _ = reply.send(());
            }
            Command::SetImports(targets, reply) => {
                self.speaker.set_imports(targets);
                let _ = reply.send(());
            }
            Command::Summary(reply) => {
                let mut peers = self.speaker.summary(now);
                self.locks.explain(&mut peers);
                let _ = reply.send(peers);
            }
            Command::Routes(query, reply) => {
                let _ = reply.send(self.speaker.routes(&query));
            }
            Command::Refresh(peer, family, reply) => {
                let answer = if !self.speaker.has_peer(peer) {
                    Err(HandleError::UnknownPeer(peer))
                } else if self.speaker.refresh(peer, family) {
                    Ok(())
                } else {
                    Err(HandleError::NoRefresh(peer, family))
                };
                let _ = reply.send(answer);
            }
            Command::Listening(reply) => {
                let listener = self.listener.as_ref().map_err(Clone::clone);
                let address =
                    listener.and_then(|l| l.local_addr().map_err(|error| error.to_string()));
                let _ = reply.send(self.listen.map(|_| address).transpose());
            }
            Command::Shutdown(reply) => return Some(Stop(Some(reply))),
            #[cfg(feature = "fault-injection")]
            #[allow(clippy::panic)] // what the feature is for
            Command::Panic => panic!("injected fault"),
        }
        None
    }

    /// Says goodbye to every peer and waits a little for it to be heard.
    async fn stop(mut self) {
        self.speaker.shutdown(Instant::now());
        self.act();
        // Dropping the pipes lets the connections end by themselves.
        self.links.clear();
        drop(self.listener);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Peers that do not close in turn are left to the kernel.
        let _ = timeout(CLOSE_TIME, all).await;
    }
}
