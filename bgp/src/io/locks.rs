//! The passwords of the listening socket (TCP-MD5, RFC 2385), and what the kernel tells of those
//! that do not fit.
//!
//! A peer with a password is let in only over a socket that asks for it: the kernel answers nothing
//! that is not signed with it, not even a SYN.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use tracing::warn;

use super::sockopt;
use crate::speaker::{PeerConfig, PeerSummary, SessionState};
use crate::types::Password;

/// Where the kernel counts what it drops, for the whole host.
const COUNTERS: &str = "/proc/self/net/netstat";

/// Segments that the kernel has dropped: without a signature, with one that nobody asked for, with a
/// wrong one.
type Drops = [u64; 3];
const NAMES: [&str; 3] = ["TCPMD5NotFound", "TCPMD5Unexpected", "TCPMD5Failure"];

pub(super) struct Locks {
    wanted: HashMap<IpAddr, Password>,
    /// What the listening socket has.
    there: HashMap<IpAddr, Password>,
    /// What was dropped before us.
    before: Drops,
}

impl Locks {
    pub(super) fn new() -> Locks {
        Locks { wanted: HashMap::new(), there: HashMap::new(), before: drops() }
    }

    /// The peers are these now. [`Locks::fit`] follows.
    pub(super) fn want(&mut self, peers: &[PeerConfig]) {
        let secret = |peer: &PeerConfig| Some((peer.address, peer.password.clone()?));
        self.wanted = peers.iter().filter_map(secret).collect();
    }

    /// There is a new listening socket, with no password yet.
    pub(super) fn forget(&mut self) {
        self.there.clear();
    }

    /// Gives the listening socket the passwords that are wanted, and no others.
    pub(super) fn fit(&mut self, listener: &impl AsFd, own: IpAddr) {
        let gone: Vec<IpAddr> =
            self.there.keys().filter(|peer| !self.wanted.contains_key(peer)).copied().collect();
        for peer in gone {
            self.there.remove(&peer);
            if let Err(error) = sockopt::set_password(listener, own, peer, None) {
                warn!(%peer, %error, "the old password of a peer cannot be taken away");
            }
        }
        for (peer, password) in &self.wanted {
            // One of another family cannot come here.
            let here = own.is_ipv6() || peer.is_ipv4();
            if !here || self.there.get(peer) == Some(password) {
                continue;
            }
            self.there.remove(peer);
            match sockopt::set_password(listener, own, *peer, Some(password)) {
                Ok(()) => {
                    self.there.insert(*peer, password.clone());
                }
                Err(error) => warn!(%peer, %error, "no connection of a peer: no TCP-MD5 password"),
            }
        }
    }

    /// Whether what comes from a peer was signed with its password, if it has one.
    pub(super) fn hold(&self, peer: IpAddr, password: Option<&Password>) -> bool {
        password.is_none() || self.there.get(&peer) == password
    }

    /// Tells of each peer with a password and without a session what the kernel knows.
    pub(super) fn explain(&self, peers: &mut [PeerSummary]) {
        let silent = |row: &&mut PeerSummary| {
            row.state != SessionState::Established && self.wanted.contains_key(&row.peer)
        };
        let mut rows = peers.iter_mut().filter(silent).peekable();
        if rows.peek().is_none() {
            return;
        }
        let now = drops();
        let [unsigned, unasked, wrong] = std::array::from_fn(|i| {
            now.get(i).zip(self.before.get(i)).map_or(0, |(n, b)| n - b.min(n))
        });
        if unsigned + unasked + wrong == 0 {
            return;
        }
        let hint = format!(
            "segments dropped since the start, of all peers: {unsigned} without a signature, {wrong} with a \
             wrong one, {unasked} with one that was not asked for"
        );
        rows.for_each(|row| {
            row.hint = Some(
                row.hint.take().into_iter().chain([hint.clone()]).collect::<Vec<_>>().join("; "),
            );
        });
    }
}

/// Zeros where the kernel does not tell.
fn drops() -> Drops {
    fs::read_to_string(COUNTERS).map_or([0; 3], |text| counters(&text))
}

/// A line of names, then a line of their values.
fn counters(text: &str) -> Drops {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let all: HashMap<&str, u64> =
        pairs.by_ref().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect();
    NAMES.map(|name| all.get(name).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "TcpExt: A TCPMD5NotFound TCPMD5Unexpected B TCPMD5Failure\n\
                    TcpExt: 1 2 3 4 5\nIpExt: A\nIpExt: 9\n";
        assert_eq!(counters(text), [2, 3, 5]);
        assert_eq!(counters("TcpExt: TCPMD5NotFound\nTcpExt: x\n"), [0; 3]);
        assert_eq!(counters(""), [0; 3]);
        let text = fs::read_to_string(COUNTERS).unwrap();
        assert!(NAMES.iter().all(|name| text.contains(name)), "another kernel: {text}");
    }
}
