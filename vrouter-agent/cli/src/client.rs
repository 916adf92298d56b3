//! Questions to the daemon, and why one may stay without an answer.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use config::api::ErrorReply;
use serde_json::Value;

use crate::http;

/// Why a command did not do what it should. The variants are exit codes.
#[derive(Debug)]
pub enum Failure {
    /// 1: what was asked for does not exist or was refused; nothing was changed.
    Refused(Vec<String>),
    /// 3: no daemon, or none that speaks our language.
    Unreachable(String),
    /// 4: the daemon is there and not ready. It was printed already.
    Unhealthy,
}

impl Failure {
    /// Refused with one line.
    pub fn refused(line: impl Into<String>) -> Failure {
        Failure::Refused(vec![line.into()])
    }
}

/// A daemon.
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

impl Client {
    /// The daemon behind `socket`.
    pub fn new(socket: PathBuf, timeout: Duration) -> Client {
        Client { socket, timeout }
    }

    /// `GET`, the body as JSON.
    pub fn json(&self, target: &str) -> Result<Value, Failure> {
        let body = self.ask("GET", target, None)?;
        serde_json::from_slice(&body).map_err(|e| self.not_understood(target, &e))
    }

    /// `GET` of a list.
    pub fn rows(&self, target: &str) -> Result<Vec<Value>, Failure> {
        match self.json(target)? {
            Value::Array(rows) => Ok(rows),
            _ => Err(self.not_understood(target, &"no list")),
        }
    }

    /// `GET` of text.
    pub fn text(&self, target: &str) -> Result<String, Failure> {
        let body = self.ask("GET", target, None)?;
        String::from_utf8(body).map_err(|e| self.not_understood(target, &e))
    }

    /// `POST`, the body as JSON; `null` if there is none.
    pub fn post(&self, target: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body =
            self.ask("POST", target, Some(&body.map(Value::to_string).unwrap_or_default()))?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|e| self.not_understood(target, &e))
    }

    /// The daemon answered something that is not what the API says.
    pub fn not_understood(&self, target: &str, why: &dyn std::fmt::Display) -> Failure {
        Failure::Unreachable(format!(
            "the answer of {} to {target} is not understood: {why}\n\
             is another program behind that socket, or is vrctl {} older than the daemon?",
            self.socket.display(),
            env!("CARGO_PKG_VERSION")
        ))
    }

    fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Result<Vec<u8>, Failure> {
        let answer = http::request(&self.socket, method, target, body, self.timeout)
            .map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        match serde_json::from_slice::<ErrorReply>(&answer.body) {
            Ok(reply) if !reply.errors.is_empty() => Err(Failure::Refused(reply.errors)),
            _ => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = text.trim();
                let more = if text.is_empty() { "" } else { ": " };
                Err(Failure::refused(format!("the daemon answered {}{more}{text}", answer.status)))
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        const START: &str = "start the daemon with `vrouterd run FILE`, or name its socket with --socket PATH or VROUTER_SOCKET";
        Failure::Unreachable(match error.kind() {
            ErrorKind::NotFound => format!("no daemon: there is no socket {socket}\n{START}"),
            ErrorKind::ConnectionRefused => {
                format!(
                    "no daemon: nobody listens on {socket}, which an earlier run left behind\n{START}"
                )
            }
            ErrorKind::PermissionDenied => {
                format!(
                    "not allowed to use {socket}\nrun vrctl as the user of the daemon: `sudo vrctl ...`"
                )
            }
            ErrorKind::TimedOut => format!(
                "the daemon behind {socket} did not answer within {} s\nis it busy? give it more time with --timeout",
                self.timeout.as_secs()
            ),
            _ => format!("no answer from {socket}: {error}"),
        })
    }
}
