//! What happens on a session: bytes to messages to routes, and the way back.

use std::net::SocketAddr;
use std::time::Instant;

use super::{
    Action, ConnectionId, Constrained, MEMBERSHIP_TIME, Peer, PeerIndex, SEND_WINDOW, Session,
    Speaker,
};
use crate::fsm::{self, Direction, Event};
use crate::rib::decision::DEFAULT_LOCAL_PREF;
use crate::rib::out::Batch;
use crate::rib::{Constraint, Filter, PathAttributes, Source};
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
                let mut families = update.unreach.iter().map(|unreach| unreach.family);
                let mut reached = update.reach.iter().map(|reach| reach.family);
                let asked = families.any(|f| f == Family::Rtc) || reached.any(|f| f == Family::Rtc);
                for unreach in update.unreach {
                    self.rib.withdraw(index, unreach.family, &unreach.routes);
                }
                for reach in update.reach {
                    let attributes = self.interner.intern(reach.attributes);
                    self.rib.announce(index, reach.family, &attributes, &reach.routes);
                }
                for family in update.disabled.iter() {
                    self.disable(index, family, &update.faults);
                }
                if let Some(family) = update.end_of_rib {
                    self.rib.end_of_rib(index, family);
                }
                let complete = update.end_of_rib == Some(Family::Rtc);
                let peer = self.peers.get_mut(index as usize).and_then(Option::as_mut);
                if let Some(constrained) = peer.and_then(|peer| peer.constrained.as_mut()) {
                    constrained.stale |= asked;
                    constrained.held_until = constrained.held_until.filter(|_| !complete);
                    self.unsent |= asked | complete;
                }
            }
            Message::RouteRefresh(refresh) if refresh.subtype == 0 => {
                let Some(family) = refresh.family() else { return };
                let Some(peer) = self.peer_mut(index) else { return };
                let Some(session) = &mut peer.session else { return };
                if !session.agreed.families.contains(family) {
                    return;
                }
                match &mut peer.constrained {
                    Some(constrained) if family.is_vpn() => {
                        constrained.constraint.refresh(family, &mut session.cursors);
                    }
                    _ => session.cursors[family.index()].rewind(),
                }
                self.unsent = true;
            }
            _ => {}
        }
    }

    /// RFC 4760 7: the family's routes go, and what comes of it later is ignored.
    fn disable(&mut self, index: PeerIndex, family: Family, faults: &[wire::Fault]) {
        let what = faults.iter().find(|fault| fault.treatment == wire::Treatment::Disable);
        let what = what.map_or("malformed routes", |fault| fault.what);
        self.rib.disable(index, family, what);
        let Some(peer) = self.peer_mut(index) else { return };
        peer.disabled = Some(format!("{family} is ignored until the session ends: {what}"));
        let Some(session) = &mut peer.session else { return };
        session.decode.families.remove(family);
        if family == Family::Rtc {
            // As if it had never been negotiated: the peer is told of everything.
            peer.constrained = None;
            for family in Family::ALL.into_iter().filter(|family| family.is_vpn()) {
                session.cursors[family.index()].rewind();
            }
            self.unsent = true;
        }
    }

    /// Tells the peer's state machine and does what it asks for.
    pub(super) fn event(&mut self, index: PeerIndex, event: Event<'_>, now: Instant) {
        let mut actions = Vec::new();
        if let Some(peer) = self.peer_mut(index) {
            peer.fsm.on(event, now, &mut actions);
        }
        for action in actions {
            self.act(index, action, now);
        }
    }

    fn act(&mut self, index: PeerIndex, action: fsm::Action, now: Instant) {
        match action {
            fsm::Action::Dial => {
                let Some(connection) = self.link(index, Direction::Out, None) else { return };
                let Some(peer) = self.peer(index) else { return };
                let dial = Action::Dial {
                    connection,
                    remote: SocketAddr::new(peer.config.address, peer.config.port),
                    local: peer.config.local_address,
                    protection: self.protection(&peer.config),
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
            fsm::Action::Up(way, agreed) => self.up(index, way, agreed, now),
            fsm::Action::Down(reason) => {
                if let Some(peer) = self.peer_mut(index) {
                    peer.session = None;
                    peer.constrained = None;
                }
                self.rib.peer_down(index, reason);
            }
        }
    }

    fn up(&mut self, index: PeerIndex, way: Direction, agreed: Negotiated, now: Instant) {
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
            peer.disabled = None;
            peer.constrained = agreed.families.contains(Family::Rtc).then(|| Constrained {
                constraint: Constraint::default(),
                stale: false,
                // Who will not say that it has asked for everything is told as it asks.
                held_until: agreed.end_of_rib.then_some(now + MEMBERSHIP_TIME),
            });
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
            self.hear_memberships(index);
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

    /// Takes over what the peer asks for now, if that has changed.
    fn hear_memberships(&mut self, index: PeerIndex) {
        let Some(Some(peer)) = self.peers.get_mut(index as usize) else { return };
        let Some((session, constrained)) = peer.session.as_mut().zip(peer.constrained.as_mut())
        else {
            return;
        };
        if std::mem::take(&mut constrained.stale) {
            constrained.constraint.ask(self.rib.interest(index), &mut session.cursors);
        }
    }

    /// One batch of UPDATEs; `None` when there is no room or nothing to tell.
    fn next_bytes(&mut self, index: PeerIndex) -> Option<Vec<u8>> {
        let own = self.config.asn;
        let logs = &self.own;
        let peer = self.peers.get_mut(index as usize)?.as_mut()?;
        let session = peer.session?;
        let link = peer.links[session.way as usize].as_ref()?;
        if link.in_flight >= SEND_WINDOW {
            return None;
        }
        // RFC 4684 6: what is wanted of the VPN families is known only when the peer's memberships
        // are; ours go first, so that the peer need not wait for them.
        let held = peer.constrained.as_ref().is_some_and(|c| c.held_until.is_some());
        let others = session.agreed.families.iter().filter(|family| *family != Family::Rtc);
        let rtc = session.agreed.families.contains(Family::Rtc).then_some(Family::Rtc);
        let family = rtc
            .into_iter()
            .chain(others.filter(|family| !held || !family.is_vpn()))
            .find(|family| logs[family.index()].pending(&session.cursors[family.index()]))?;
        let mut cursor = session.cursors[family.index()];
        let batch = logs[family.index()].take(&mut cursor, BATCH, peer.filter(family));
        let context = EncodeContext { four_octet_as: session.agreed.four_octet_as };
        let export = |attributes: &PathAttributes| peer.export(own, family, attributes);
        let bytes = encode(family, &batch, context, export);
        peer.session.as_mut()?.cursors[family.index()] = cursor;
        Some(bytes)
    }
}

impl Peer {
    /// Which of our routes it is told of.
    pub(super) fn filter(&self, family: Family) -> Filter<'_> {
        match &self.constrained {
            Some(constrained) if family.is_vpn() => Filter::Asked(&constrained.constraint, family),
            _ => Filter::All,
        }
    }

    /// A route of our own as it is sent it.
    pub(super) fn export(
        &self,
        own: Asn,
        family: Family,
        attributes: &PathAttributes,
    ) -> PathAttributes {
        let mut sent = if self.config.asn == own {
            let local_pref = attributes.local_pref.or(Some(DEFAULT_LOCAL_PREF));
            PathAttributes { local_pref, ..attributes.clone() }
        } else {
            export_external(attributes, own)
        };
        // RFC 4684 3.2: the next hop of a membership is the speaker on this very session.
        let link = self.session.and_then(|session| self.links[session.way as usize].as_ref());
        if let (Family::Rtc, Some(local)) = (family, link.and_then(|link| link.local)) {
            sent.next_hop = local;
        }
        sent
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
