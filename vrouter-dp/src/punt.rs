//! What crosses between a worker and the service thread: punted packets one way, packets to send the other, each as a record of a
//! byte ring. Every punt class has a ring of its own, so that a storm of one starves no other.

use engine::PuntMeta;
use engine::drops::Punt;
use engine::seam::{PortId, VifId, VrfId};
use wire::Mac;
use wire::arp::Arp;

use crate::ring::{self, Meta, Receiver, Sender};
use crate::service::Injection;

/// Bytes of a dropped packet that an ICMP error needs: header with options, and the quote.
const NOTIFY_BYTES: usize = 600;

/// Bytes of a BFD packet: IPv4 header with options, UDP, and an authentication section that we do not read.
const BFD_BYTES: usize = 60 + 8 + 64;

/// Bytes to send per ring: a burst of jumbo echo replies fits.
const INJECT_BYTES: usize = 256 * 1024;

/// The worker's ends.
pub struct WorkerRings {
    punts: [Sender; Punt::COUNT],
    /// What the service thread wants to be sent.
    pub injections: Receiver,
}

/// The service thread's ends for one worker.
pub struct ServiceRings {
    punts: [Receiver; Punt::COUNT],
    injections: Sender,
}

/// Rings between one worker and the service thread.
pub fn rings() -> (WorkerRings, ServiceRings) {
    let mut receivers = Vec::new();
    let senders = std::array::from_fn(|class| {
        let (sender, receiver) = ring::ring(bytes(Punt::ALL[class]));
        receivers.push(receiver);
        sender
    });
    let mut receivers = receivers.into_iter();
    let (injections_in, injections_out) = ring::ring(INJECT_BYTES);
    let punts = std::array::from_fn(|_| receivers.next().unwrap_or_else(|| ring::ring(0).1));
    (
        WorkerRings { punts: senders, injections: injections_out },
        ServiceRings { punts, injections: injections_in },
    )
}

/// Size of the ring of a class: its bound in packets of the size that the class usually has.
fn bytes(class: Punt) -> usize {
    let packet = match class {
        Punt::Local => 1536,
        Punt::Arp | Punt::Bfd | Punt::TtlExceeded | Punt::TooBig => longest(class),
    };
    class.queue() * (ring::HEADER + packet)
}

/// Bytes of a packet that its class needs. More is not copied, so that no long frame takes the room of many.
fn longest(class: Punt) -> usize {
    match class {
        Punt::Arp => Arp::LEN,
        Punt::Bfd => BFD_BYTES,
        Punt::Local => ring::MAX_FRAME,
        Punt::TtlExceeded | Punt::TooBig => NOTIFY_BYTES,
    }
}

impl WorkerRings {
    /// Hands bytes to the service thread; false if the queue of the class is full.
    pub fn punt(&mut self, meta: &PuntMeta, bytes: &[u8]) -> bool {
        let bytes = &bytes[..bytes.len().min(longest(meta.class))];
        self.punts[meta.class.index()].push(&encode(meta), bytes)
    }
}

impl ServiceRings {
    /// Takes the next punt of a class; its bytes go to `bytes`.
    pub fn take(&mut self, class: Punt, bytes: &mut Vec<u8>) -> Option<PuntMeta> {
        self.punts[class.index()].pop(bytes).map(|meta| decode(class, &meta))
    }

    /// Asks the worker to send; false if its queue is full.
    pub fn inject(&mut self, injection: &Injection) -> bool {
        let mut meta = Meta::default();
        let bytes = match injection {
            Injection::Frame(port, bytes) => {
                meta[0] = FRAME;
                meta[1] = port.0;
                bytes
            }
            Injection::Routed(vrf, bytes) => {
                meta[0] = ROUTED;
                meta[2..4].copy_from_slice(&vrf.0.to_le_bytes());
                bytes
            }
        };
        self.injections.push(&meta, bytes)
    }
}

/// Where an injected packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Out of this port as it is.
    Port(PortId),
    /// By the routes of this VRF.
    Vrf(VrfId),
}

const FRAME: u8 = 0;
const ROUTED: u8 = 1;

/// The target of an injected record.
pub fn target(meta: &Meta) -> Target {
    if meta[0] == ROUTED {
        Target::Vrf(VrfId(u16::from_le_bytes([meta[2], meta[3]])))
    } else {
        Target::Port(PortId(meta[1]))
    }
}

fn encode(punt: &PuntMeta) -> Meta {
    let mut meta = Meta::default();
    meta[0] = punt.port.0;
    meta[1] = u8::from(punt.vif.is_some());
    meta[2..4].copy_from_slice(&punt.vif.map_or(0, |vif| vif.0).to_le_bytes());
    meta[4..6].copy_from_slice(&punt.vrf.0.to_le_bytes());
    meta[6..8].copy_from_slice(&punt.mtu.to_le_bytes());
    meta[8..14].copy_from_slice(&punt.source_mac.0);
    meta
}

fn decode(class: Punt, meta: &Meta) -> PuntMeta {
    let pair = |at: usize| u16::from_le_bytes([meta[at], meta[at + 1]]);
    PuntMeta {
        class,
        port: PortId(meta[0]),
        vif: (meta[1] != 0).then(|| VifId(pair(2))),
        vrf: VrfId(pair(4)),
        mtu: pair(6),
        source_mac: Mac([meta[8], meta[9], meta[10], meta[11], meta[12], meta[13]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punts_and_injections_arrive_as_they_were_sent() {
        let (mut worker, mut service) = rings();
        let mut bytes = Vec::new();
        for class in Punt::ALL {
            let meta = PuntMeta {
                class: *class,
                port: PortId(3),
                vif: (*class == Punt::Arp).then_some(VifId(0x1234)),
                vrf: VrfId(0x5678),
                mtu: 1468,
                source_mac: Mac([1, 2, 3, 4, 5, 6]),
            };
            assert!(worker.punt(&meta, b"bytes"));
            assert_eq!(service.take(*class, &mut bytes), Some(meta));
            assert_eq!(bytes, b"bytes");
            assert_eq!(service.take(*class, &mut bytes), None);
        }
        for (injection, expected) in [
            (Injection::Frame(PortId(2), b"frame".to_vec()), Target::Port(PortId(2))),
            (Injection::Routed(VrfId(0x0102), b"packet".to_vec()), Target::Vrf(VrfId(0x0102))),
        ] {
            assert!(service.inject(&injection));
            let meta = worker.injections.pop(&mut bytes).unwrap();
            assert_eq!(target(&meta), expected);
        }
    }

    #[test]
    fn every_class_holds_as_many_of_the_longest_frames_as_it_says() {
        let (mut worker, mut service) = rings();
        for class in [Punt::Arp, Punt::TtlExceeded, Punt::TooBig] {
            let meta = PuntMeta {
                class,
                port: PortId(0),
                vif: None,
                vrf: VrfId::MASTER,
                mtu: 0,
                source_mac: Mac::BROADCAST,
            };
            let frame = [7; ring::MAX_FRAME];
            assert_eq!((0..).take_while(|_| worker.punt(&meta, &frame)).count(), class.queue());
            let mut bytes = Vec::new();
            assert_eq!(service.take(class, &mut bytes), Some(meta));
            assert_eq!(bytes.len(), longest(class));
            assert!(worker.punt(&meta, &frame) && !worker.punt(&meta, &frame));
        }
    }
}
