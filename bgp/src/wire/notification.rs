//! NOTIFICATION: why a session ends (RFC 4271 4.5, 6; RFC 4486, 6608, 8203, 9003).

use std::fmt;

use super::{MAX_MESSAGE, NOTIFICATION};

/// Error code: message header.
pub const HEADER: u8 = 1;
/// Error code: OPEN.
pub const OPEN: u8 = 2;
/// Error code: UPDATE.
pub const UPDATE: u8 = 3;
/// Error code: the hold timer ran out.
pub const HOLD_TIMER: u8 = 4;
/// Error code: a message that the state does not expect.
pub const FSM: u8 = 5;
/// Error code: the session ends without an error.
pub const CEASE: u8 = 6;
/// Error code: the peer took nothing for too long (RFC 9687).
pub const SEND_HOLD_TIMER: u8 = 8;

/// Cease subcodes (RFC 4486).
pub const ADMIN_SHUTDOWN: u8 = 2;
/// The peer is no longer configured.
pub const PEER_DECONFIGURED: u8 = 3;
/// The connection is not wanted now.
pub const CONNECTION_REJECTED: u8 = 5;
/// The peer's configuration is another one now.
pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
/// The other of two connections was kept.
pub const CONNECTION_COLLISION: u8 = 7;

/// The last message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Subcode, 0 for none.
    pub subcode: u8,
    /// What the code says about it, at most 4075 octets.
    pub data: Vec<u8>,
}

impl Notification {
    /// One without data.
    pub fn new(code: u8, subcode: u8) -> Notification {
        Notification { code, subcode, data: Vec::new() }
    }

    /// One with data; what exceeds a message is cut off.
    pub fn with_data(code: u8, subcode: u8, data: &[u8]) -> Notification {
        let fits = data.len().min(MAX_MESSAGE - super::HEADER - 2);
        Notification { code, subcode, data: data.get(..fits).unwrap_or_default().to_vec() }
    }

    /// Reads the body; the frame has made sure of two octets.
    pub(super) fn decode(body: &[u8]) -> Notification {
        match body {
            [code, subcode, data @ ..] => Notification::with_data(*code, *subcode, data),
            _ => Notification::new(0, 0),
        }
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = super::begin(NOTIFICATION, out);
        out.extend_from_slice(&[self.code, self.subcode]);
        let fits = self.data.len().min(MAX_MESSAGE - super::HEADER - 2);
        out.extend_from_slice(self.data.get(..fits).unwrap_or_default());
        super::finish(at, out);
    }

    /// The message of a person, in Cease 2 and 4 (RFC 9003): length octet and UTF-8.
    fn shutdown_text(&self) -> Option<&str> {
        match (self.code, self.subcode, self.data.as_slice()) {
            (CEASE, 2 | 4, [length, text @ ..]) => {
                std::str::from_utf8(text.get(..usize::from(*length))?)
                    .ok()
                    .filter(|t| !t.is_empty())
            }
            _ => None,
        }
    }
}

/// Bad Message Length with the length as data (RFC 4271 6.1).
pub(super) fn bad_length(length: usize) -> Notification {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    Notification::with_data(HEADER, 2, &length.to_be_bytes())
}

/// Bad Message Type with the type as data (RFC 4271 6.1).
pub(super) fn bad_type(kind: u8) -> Notification {
    Notification::with_data(HEADER, 3, &[kind])
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.code, self.subcode) {
            (HEADER, 1) => "connection not synchronized",
            (HEADER, 2) => "bad message length",
            (HEADER, 3) => "bad message type",
            (HEADER, _) => "message header error",
            (OPEN, 1) => "unsupported version",
            (OPEN, 2) => "bad peer AS",
            (OPEN, 3) => "bad BGP identifier",
            (OPEN, 4) => "unsupported optional parameter",
            (OPEN, 6) => "unacceptable hold time",
            (OPEN, 7) => "unsupported capability",
            (OPEN, _) => "OPEN message error",
            (UPDATE, 1) => "malformed attribute list",
            (UPDATE, 2) => "unrecognized well-known attribute",
            (UPDATE, 3) => "missing well-known attribute",
            (UPDATE, 4) => "attribute flags error",
            (UPDATE, 5) => "attribute length error",
            (UPDATE, 6) => "invalid ORIGIN",
            (UPDATE, 8) => "invalid NEXT_HOP",
            (UPDATE, 9) => "optional attribute error",
            (UPDATE, 10) => "invalid network field",
            (UPDATE, 11) => "malformed AS_PATH",
            (UPDATE, _) => "UPDATE message error",
            (HOLD_TIMER, _) => "hold timer expired",
            (FSM, 1) => "unexpected message in OpenSent",
            (FSM, 2) => "unexpected message in OpenConfirm",
            (FSM, 3) => "unexpected message in Established",
            (FSM, _) => "finite state machine error",
            (CEASE, 1) => "maximum number of prefixes reached",
            (CEASE, ADMIN_SHUTDOWN) => "administrative shutdown",
            (CEASE, PEER_DECONFIGURED) => "peer de-configured",
            (CEASE, 4) => "administrative reset",
            (CEASE, CONNECTION_REJECTED) => "connection rejected",
            (CEASE, OTHER_CONFIGURATION_CHANGE) => "other configuration change",
            (CEASE, CONNECTION_COLLISION) => "connection collision resolution",
            (CEASE, 8) => "out of resources",
            (CEASE, _) => "cease",
            (7, _) => "ROUTE-REFRESH message error",
            (SEND_HOLD_TIMER, _) => "send hold timer expired",
            _ => "unknown error",
        };
        write!(f, "{text} ({}/{})", self.code, self.subcode)?;
        match self.shutdown_text() {
            Some(text) => write!(f, ": {}", text.escape_debug()),
            None => Ok(()),
        }
    }
}
