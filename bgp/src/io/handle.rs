//! The handle: what the rest of the program may ask of a running speaker.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use tokio::sync::{mpsc, oneshot};

use crate::speaker::{
    OriginateError, OriginatedRoute, PeerConfig, PeerSummary, RouteQuery, RouteView,
};
use crate::types::{Family, Route, RouteTarget};

/// Why a request did not reach its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The speaker has stopped, or its task panicked.
    #[error("the BGP speaker is not running")]
    Gone,
    /// The route was refused; nothing changed.
    #[error(transparent)]
    Route(#[from] OriginateError),
    /// No such peer is configured.
    #[error("no BGP peer {0} is configured")]
    UnknownPeer(IpAddr),
    /// The peer has no session, or none with this family and route refresh.
    #[error("the session with {0} cannot refresh {1}: down, or not negotiated")]
    NoRefresh(IpAddr, Family),
}

/// A request to the driver task, with the way back for its answer.
pub(super) enum Command {
    SetPeers(Vec<PeerConfig>, oneshot::Sender<()>),
    Originate(Box<OriginatedRoute>, oneshot::Sender<Result<(), OriginateError>>),
    Withdraw(Route, oneshot::Sender<()>),
    SetImports(BTreeSet<RouteTarget>, oneshot::Sender<()>),
    Summary(oneshot::Sender<Vec<PeerSummary>>),
    Routes(RouteQuery, oneshot::Sender<Vec<RouteView>>),
    Refresh(IpAddr, Family, oneshot::Sender<Result<(), HandleError>>),
    Listening(oneshot::Sender<Result<Option<SocketAddr>, String>>),
    Shutdown(oneshot::Sender<()>),
    #[cfg(feature = "fault-injection")]
    Panic,
}

/// A way to a running speaker. Clones lead to the same one. When the last is dropped the speaker
/// closes its sessions and stops.
///
/// Requests are answered in the order in which one handle sends them; all are cheap except
/// [`Handle::routes`], which walks the table.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Handle {
        Handle { commands }
    }

    /// The whole set of wanted peers. Sessions of unchanged ones are not touched; new ones are
    /// started, missing ones closed with Cease, changed ones closed and started again. Of several
    /// with one address the last counts.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn set_peers(&self, peers: Vec<PeerConfig>) -> Result<(), HandleError> {
        self.ask(|reply| Command::SetPeers(peers, reply)).await
    }

    /// Advertises a route of our own, or replaces it when its family, distinguisher and prefix are
    /// already there.
    ///
    /// # Errors
    /// [`HandleError::Route`] when it cannot be one of its family.
    pub async fn originate(&self, route: OriginatedRoute) -> Result<(), HandleError> {
        Ok(self.ask(|reply| Command::Originate(Box::new(route), reply)).await??)
    }

    /// Takes a route of our own back; one that is not there is no error.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn withdraw(&self, route: Route) -> Result<(), HandleError> {
        self.ask(|reply| Command::Withdraw(route, reply)).await
    }

    /// The whole set of route targets that VRFs import: peers with route target membership are
    /// asked for VPN routes with these and no others (RFC 4684).
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn set_imports(&self, targets: BTreeSet<RouteTarget>) -> Result<(), HandleError> {
        self.ask(|reply| Command::SetImports(targets, reply)).await
    }

    /// All configured peers, by address.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn summary(&self) -> Result<Vec<PeerSummary>, HandleError> {
        self.ask(Command::Summary).await
    }

    /// Routes by prefix, distinguisher and peer.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn routes(&self, query: RouteQuery) -> Result<Vec<RouteView>, HandleError> {
        self.ask(|reply| Command::Routes(query, reply)).await
    }

    /// Asks the peer to send all its routes of a family again (RFC 2918).
    ///
    /// # Errors
    /// [`HandleError::UnknownPeer`], [`HandleError::NoRefresh`].
    pub async fn refresh(&self, peer: IpAddr, family: Family) -> Result<(), HandleError> {
        self.ask(|reply| Command::Refresh(peer, family, reply)).await?
    }

    /// Where the speaker listens, `None` if it was not told to, or why it does not (yet): a port that is taken is tried
    /// again each second.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    pub async fn listening(&self) -> Result<Result<Option<SocketAddr>, String>, HandleError> {
        self.ask(Command::Listening).await
    }

    /// Closes all sessions with Cease and ends the driver; returns when that is done.
    pub async fn shutdown(&self) {
        // Gone already is as good as gone now.
        let _ = self.ask(Command::Shutdown).await;
    }

    /// Makes the driver task panic, as a fault in it would.
    ///
    /// # Errors
    /// [`HandleError::Gone`].
    #[cfg(feature = "fault-injection")]
    pub async fn inject_panic(&self) -> Result<(), HandleError> {
        self.commands.send(Command::Panic).await.map_err(|_| HandleError::Gone)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, HandleError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| HandleError::Gone)?;
        answer.await.map_err(|_| HandleError::Gone)
    }
}
