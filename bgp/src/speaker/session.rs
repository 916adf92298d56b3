//! What happens on a session: bytes to messages to routes, and the way back.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Action, ConnectionId, PeerIndex, SEND_WINDOW, Session, Speaker};
use crate::fsm::{self, Direction, Event};
use crate::rib::decision::DEFAULT_LOCAL_PREF;
use crate::rib::out::Batch;
use crate::rib::{PathAttributes, Source};
use crate::types::{Asn, Family};
use crate::wire::encode::export_external;
use crate::wire::{
    self, DecodeContext, EncodeContext, Message, Negotiated, Update, encode_end_of_rib,
    encode_keepalive, encode_reach, encode_unreach,
};

/// Changes looked at in one go; bounds how far one batch overshoots [`SEND_WINDOW`].
const BATCH: usize = 1024;

impl Speaker {
    /// Octets have come in, in any pieces.
    pub fn received(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant) {
        let Some((index, way)) = self.connections.get(&connection).copied() else { return };
        let Some(link) = self.link_mut(index, way) else { return };
        let mut buffer = std::mem::take(&mut link.received);
        buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = self.message(index, way, buffer.get(at..).unwrap_or(&[]), now) {
            at += length;
            // The message may have ended this very connection.
            if !self.connections.contains_key(&connection) {
                return;
            }
        }
        buffer.drain(..at.min(buffer.len()));
        if let Some(link) = self.link_mut(index, way).filter(|link| link.id == connection) {
            link.received = buffer;
        }
    }

    /// Handles the message at the start of `bytes`; its length, or `None` when it is incomplete or
    /// the connection is over.
    fn message(
        &mut self,
        index: PeerIndex,
        way: Direction,
        bytes: &[u8],
        now: Instant,
    ) -> Option<usize> {
        let length = match wire::frame(bytes) {
            Ok(length) => length?,
            Err(why) => {
                self.event(index, Event::Fault(way, why), now);
                return None;
            }
        };
        let bytes = bytes.get(..length)?;
        let session = self.peer(index)?.session.filter(|session| session.way == way);
        let message = match session {
            Some(session) => Message::decode(bytes, &session.decode),
            // Out of place whatever is in it: the state machine's error, not one of its contents.
            None if bytes.get(wire::HEADER - 1) == Some(&wire::UPDATE) => {
                Ok(Message::Update(Update::default()))
            }
            None => Message::decode(bytes, &DecodeContext::default()),
        };
        match message {
            Ok(message) => {
                self.event(index, Event::Received(way, &message), now);
                let lives = self.peer(index).is_some_and(|peer| peer.session.is_some());
                if session.is_some() && lives {
                    self.deliver(index, message);
                }
            }
            Err(why) => self.event(index, Event::Fault(way, why), now),
        }
        Some(length)
    }

    /// A message of an Established session.
    fn deliver(&mut self, index: PeerIndex, message: Message) {
        match message {
            Message::Update(update) => {
                for unreach in update.unreach {
                    self.rib.withdraw(index, unreach.family, &unreach.routes);
                }
                for reach in update.reach {
                    let attributes = self.interner.intern(reach.attributes);
                    self.rib.announce(index, reach.family, &attributes, &reach.routes);
                }
                if let Some(family) = update.end_of_rib {
                    self.rib.end_of_rib(index, family);
                }
            }
            Message::RouteRefresh(refresh) if refresh.subtype == 0 => {
                let Some(family) = refresh.family() else { return };
                let log = &self.own[family.index()];
                let session = self
                    .peers
                    .get_mut(index as usize)
                    .and_then(Option::as_mut)
                    .and_then(|peer| peer.session.as_mut());
                if let Some(session) = session.filter(|s| s.agreed.families.contains(family)) {
                    log.rewind(&mut session.cursors[family.index()]);
                    self.unsent = true;
                }
            }
            _ => {}
        }
    }

    /// Tells the peer's state machine and does what it asks for.
    pub(super) fn event(&mut self, index: PeerIndex, event: Event<'_>, now: Instant) {
        let mut actions = Vec::new();
        if let Some(peer) = self.peer_mut(index) {
            peer.fsm.on(event, now, &mut actions);
        }
        for action in actions {
            self.act(index, action);
        }
    }

    fn act(&mut self, index: PeerIndex, action: fsm::Action) {
        match action {
            fsm::Action::Dial => {
                let Some(connection) = self.link(index, Direction::Out, None) else { return };
                let Some(peer) = self.peer(index) else { return };
                let dial = Action::Dial {
                    connection,
                    remote: SocketAddr::new(peer.config.address, peer.config.port),
                    local: peer.config.local_address,
                    ttl: self.ttl(&peer.config),
                };
                self.actions.push_back(dial);
            }
            fsm::Action::SendOpen(way) => {
                let mut bytes = Vec::new();
                if let Some(peer) = self.peer(index) {
                    peer.fsm.open().encode(&mut bytes);
                }
                self.send(index, way, bytes);
            }
            fsm::Action::SendKeepalive(way) => {
                let mut bytes = Vec::new();
                encode_keepalive(&mut bytes);
                self.send(index, way, bytes);
            }
            fsm::Action::SendNotification(way, why) => {
                let mut bytes = Vec::new();
                why.encode(&mut bytes);
                self.send(index, way, bytes);
            }
            fsm::Action::Close(way) => {
                if let Some(link) = self.unlink(index, way) {
                    self.actions.push_back(Action::Close { connection: link.id });
                }
            }
            fsm::Action::Up(way, agreed) => self.up(index, way, agreed),
            fsm::Action::Down(reason) => {
                if let Some(peer) = self.peer_mut(index) {
                    peer.session = None;
                }
                self.rib.peer_down(index, reason);
            }
        }
    }

    fn up(&mut self, index: PeerIndex, way: Direction, agreed: Negotiated) {
        let cursors = std::array::from_fn(|i| self.own[i].start());
        let Some(peer) = self.peer(index) else { return };
        let external = self.external(peer.config.asn);
        let source = Source {
            address: peer.config.address,
            router_id: agreed.router_id,
            external,
            local: peer.links[way as usize].as_ref().and_then(|link| link.local),
        };
        let decode = DecodeContext {
            four_octet_as: agreed.four_octet_as,
            internal: !external,
            peer_asn: peer.config.asn,
            families: agreed.families,
        };
        if let Some(peer) = self.peer_mut(index) {
            peer.session = Some(Session { way, agreed, decode, cursors });
        }
        self.rib.peer_up(index, source);
        self.unsent = true;
    }

    pub(super) fn send(&mut self, index: PeerIndex, way: Direction, bytes: Vec<u8>) {
        let Some(link) = self.link_mut(index, way) else { return };
        link.in_flight += bytes.len();
        let connection = link.id;
        self.actions.push_back(Action::Send { connection, bytes });
    }

    /// Forms UPDATEs for every session that has room and something left to be told.
    pub(super) fn form_updates(&mut self) {
        self.unsent = false;
        for index in 0..self.peers.len() as PeerIndex {
            while let Some(bytes) = self.next_bytes(index) {
                let Some(way) = self.peer(index).and_then(|p| p.session).map(|s| s.way) else {
                    break;
                };
                if !bytes.is_empty() {
                    self.send(index, way, bytes);
                }
            }
        }
    }

    /// One batch of UPDATEs; `None` when there is no room or nothing to tell.
    fn next_bytes(&mut self, index: PeerIndex) -> Option<Vec<u8>> {
        let own = self.config.asn;
        let logs = &self.own;
        let peer = self.peers.get_mut(index as usize)?.as_mut()?;
        let external = peer.config.asn != own;
        let session = peer.session.as_mut()?;
        let link = peer.links[session.way as usize].as_ref()?;
        if link.in_flight >= SEND_WINDOW {
            return None;
        }
        let family = session
            .agreed
            .families
            .iter()
            .find(|family| logs[family.index()].pending(&session.cursors[family.index()]))?;
        let batch = logs[family.index()].take(&mut session.cursors[family.index()], BATCH);
        let context = EncodeContext { four_octet_as: session.agreed.four_octet_as };
        Some(encode(family, &batch, context, |attributes| export(own, external, attributes)))
    }
}

/// A route of our own as a peer is sent it.
pub(super) fn export(own: Asn, external: bool, attributes: &PathAttributes) -> PathAttributes {
    if external {
        export_external(attributes, own)
    } else {
        let local_pref = attributes.local_pref.or(Some(DEFAULT_LOCAL_PREF));
        PathAttributes { local_pref, ..attributes.clone() }
    }
}

fn encode(
    family: Family,
    batch: &Batch,
    context: EncodeContext,
    export: impl Fn(&PathAttributes) -> PathAttributes,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_unreach(family, &batch.unreach, &mut bytes);
    for (attributes, routes) in &batch.reach {
        // What does not fit a message was refused when it was originated.
        let _ = encode_reach(family, &export(attributes), routes, context, &mut bytes);
    }
    if batch.end_of_rib {
        encode_end_of_rib(family, &mut bytes);
    }
    bytes
}
