//! Messages to and from bytes (RFC 4271 4).
//!
//! Decoding never panics and never reads past what it is given. Its errors are the NOTIFICATION to
//! send before the session closes; the milder treatments of RFC 7606 are part of the decoded
//! [`Update`]. Encoding writes only well-formed messages of at most [`MAX_MESSAGE`] octets.

pub mod as_path;
pub mod attribute;
pub mod encode;
pub mod evpn;
pub mod nlri;
pub mod notification;
pub mod open;
mod reader;
pub mod refresh;
pub mod tunnel;
pub mod update;

pub use as_path::{AsPath, Segment};
pub use attribute::{Aggregator, Origin, PathAttributes, UnknownAttribute};
pub use encode::{EncodeContext, EncodeError, encode_end_of_rib, encode_reach, encode_unreach};
pub use evpn::EvpnBinding;
pub use nlri::{Binding, Nlri};
pub use notification::Notification;
pub use open::{Capability, Local, Negotiated, Open};
pub use refresh::RouteRefresh;
pub use tunnel::{PmsiTunnel, Tunnel, TunnelEncapsulation};
pub use update::{Fault, Reach, Treatment, Unreach, Update};

use crate::types::{Asn, FamilySet};

/// Octets of the header: marker, length, type.
pub const HEADER: usize = 19;
/// Largest message; the extended limit of RFC 8654 is never offered.
pub const MAX_MESSAGE: usize = 4096;

pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;
pub(crate) const ROUTE_REFRESH: u8 = 5;

/// What the session's two OPENs settled about the form of later messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeContext {
    /// AS numbers of four octets in AS_PATH and AGGREGATOR.
    pub four_octet_as: bool,
    /// The peer is in our AS.
    pub internal: bool,
    /// The peer's AS, which must lead the path of what an external peer sends.
    pub peer_asn: Asn,
    /// The families that both sides have; routes of others are ignored.
    pub families: FamilySet,
}

/// Any message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// OPEN.
    Open(Open),
    /// UPDATE, with the verdict on each of its errors.
    Update(Update),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Reads one whole message as cut out by [`frame`].
    ///
    /// # Errors
    /// The NOTIFICATION that RFC 4271 6 asks for; the session must end.
    pub fn decode(bytes: &[u8], context: &DecodeContext) -> Result<Message, Notification> {
        let length = frame(bytes)?;
        if length != Some(bytes.len()) {
            return Err(notification::bad_length(bytes.len()));
        }
        let (header, body) = bytes.split_at_checked(HEADER).unwrap_or((bytes, &[]));
        match header.last() {
            Some(&OPEN) => Open::decode(body).map(Message::Open),
            Some(&UPDATE) => Update::decode(body, context).map(Message::Update),
            Some(&NOTIFICATION) => Ok(Message::Notification(Notification::decode(body))),
            Some(&KEEPALIVE) => Ok(Message::Keepalive),
            Some(&ROUTE_REFRESH) => Ok(Message::RouteRefresh(RouteRefresh::decode(body))),
            other => Err(notification::bad_type(other.copied().unwrap_or(0))),
        }
    }

    /// The type octet.
    pub fn kind(&self) -> u8 {
        match self {
            Message::Open(_) => OPEN,
            Message::Update(_) => UPDATE,
            Message::Notification(_) => NOTIFICATION,
            Message::Keepalive => KEEPALIVE,
            Message::RouteRefresh(_) => ROUTE_REFRESH,
        }
    }
}

/// Length of the message at the start of `bytes`; `None` while its header is incomplete. The
/// message itself may still be incomplete.
///
/// # Errors
/// Message Header Error (RFC 4271 6.1), as soon as the header is complete.
pub fn frame(bytes: &[u8]) -> Result<Option<usize>, Notification> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [marker @ .., high, low, kind] = header;
    if marker.iter().any(|&octet| octet != 0xff) {
        return Err(Notification::new(notification::HEADER, 1));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // RFC 4271 6.1, RFC 2918 3: what each type needs at least, or exactly.
    let legal = match *kind {
        OPEN => 29..=MAX_MESSAGE,
        UPDATE => 23..=MAX_MESSAGE,
        NOTIFICATION => 21..=MAX_MESSAGE,
        KEEPALIVE => HEADER..=HEADER,
        ROUTE_REFRESH => 23..=23,
        // The length is judged first: a wild one says nothing about the type.
        other if (HEADER..=MAX_MESSAGE).contains(&length) => {
            return Err(notification::bad_type(other));
        }
        _ => HEADER..=MAX_MESSAGE,
    };
    if legal.contains(&length) { Ok(Some(length)) } else { Err(notification::bad_length(length)) }
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let at = begin(KEEPALIVE, out);
    finish(at, out);
}

/// Writes a header with the length left open; [`finish`] fills it in.
pub(crate) fn begin(kind: u8, out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, kind]);
    at
}

pub(crate) fn finish(at: usize, out: &mut [u8]) {
    let length = (out.len() - at).min(MAX_MESSAGE) as u16;
    if let Some(field) = out.get_mut(at + 16..at + 18) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
