//! The speaker on tokio: sockets, clock, and a handle for the rest of the program.
//!
//! One task owns the speaker, one more each connection. A panic in any of them ends the first, and
//! with it the [`Update`] channel: whoever reads that sees it close and can start anew.

mod connection;
mod driver;
mod handle;
mod locks;
mod sockopt;

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use handle::{Handle, HandleError};

use crate::speaker::{SpeakerConfig, Update};

/// Requests that may wait for the driver before their senders do.
const COMMANDS: usize = 1024;
/// News that may wait for the consumer; what exceeds it waits in the tables, once for each route.
const UPDATES: usize = 1024;

/// Starts speakers.
#[derive(Debug)]
pub struct Driver;

impl Driver {
    /// Starts a speaker on the tokio runtime of the caller, which may be of one thread. It listens
    /// on `listen`, if there is one, and otherwise only dials.
    ///
    /// It ends when [`Handle::shutdown`] is called, when all handles are gone, or when the receiver
    /// is dropped: each time it closes its sessions with Cease first. If its task panics the
    /// receiver ends without that.
    ///
    /// # Panics
    /// As [`tokio::spawn`], outside of a runtime.
    pub fn spawn(
        config: SpeakerConfig,
        listen: Option<SocketAddr>,
    ) -> (Handle, mpsc::Receiver<Update>) {
        let (handle, updates, _) = Driver::spawn_with_task(config, listen);
        (handle, updates)
    }

    /// As [`Driver::spawn`], with the task itself, whose end tells a panic from a shutdown.
    ///
    /// # Panics
    /// As [`tokio::spawn`], outside of a runtime.
    pub fn spawn_with_task(
        config: SpeakerConfig,
        listen: Option<SocketAddr>,
    ) -> (Handle, mpsc::Receiver<Update>, JoinHandle<()>) {
        let (commands, requests) = mpsc::channel(COMMANDS);
        let (news, updates) = mpsc::channel(UPDATES);
        let task = tokio::spawn(driver::run(config, listen, requests, news));
        (Handle::new(commands), updates, task)
    }
}

#[cfg(test)]
mod tests;
