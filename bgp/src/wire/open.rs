//! OPEN, its capabilities, and what two OPENs settle (RFC 4271 4.2, 6.2; RFC 5492, 6793, 9072).

use std::net::Ipv4Addr;

use super::notification::{self, Notification};
use super::reader::Reader;
use crate::types::{Asn, Family, FamilySet};

const MULTIPROTOCOL: u8 = 1;
const REFRESH: u8 = 2;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;

/// Something that a peer says it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Routes of an AFI and SAFI (RFC 4760), ours or not.
    Multiprotocol(u16, u8),
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// AS numbers of four octets, and the sender's own (RFC 6793).
    FourOctetAs(Asn),
    /// Any other, which is ignored.
    Other {
        /// Capability code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The two-octet AS field; [`Asn::TRANS`] when the real one does not fit.
    pub two_octet_as: u16,
    /// Hold time offered, in seconds.
    pub hold_time: u16,
    /// BGP identifier.
    pub router_id: Ipv4Addr,
    /// In the order sent.
    pub capabilities: Vec<Capability>,
}

/// This side of a session before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Own AS.
    pub asn: Asn,
    /// Own BGP identifier.
    pub router_id: Ipv4Addr,
    /// The AS that the peer must have.
    pub peer_asn: Asn,
    /// Hold time to offer, in seconds.
    pub hold_time: u16,
    /// Families to offer.
    pub families: FamilySet,
}

/// What holds for a session after both OPENs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's BGP identifier.
    pub router_id: Ipv4Addr,
    /// The smaller hold time in seconds; 0 means no keepalives.
    pub hold_time: u16,
    /// Families of both sides.
    pub families: FamilySet,
    /// Both sides speak four-octet AS numbers.
    pub four_octet_as: bool,
    /// The peer answers ROUTE-REFRESH.
    pub refresh: bool,
    /// The peer marks the end of its routes (RFC 4724 3: it does so if it has the capability).
    pub end_of_rib: bool,
}

impl Open {
    /// The OPEN that this side sends.
    pub fn offer(local: &Local) -> Open {
        let mut capabilities: Vec<_> = local
            .families
            .iter()
            .map(Family::afi_safi)
            .map(|(afi, safi)| Capability::Multiprotocol(afi, safi))
            .collect();
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::FourOctetAs(local.asn));
        // RFC 4724 3: no family whose forwarding state we would preserve, restart time 0; it says
        // that we know End-of-RIB, which FRR and BIRD send to nobody else.
        capabilities.push(Capability::Other { code: GRACEFUL_RESTART, value: vec![0, 0] });
        Open {
            two_octet_as: local.asn.two_octets(),
            hold_time: local.hold_time,
            router_id: local.router_id,
            capabilities,
        }
    }

    /// The peer's AS: from the capability where there is one (RFC 6793 4.1).
    pub fn asn(&self) -> Asn {
        let four = self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        four.unwrap_or(Asn(u32::from(self.two_octet_as)))
    }

    /// Families it offers, those that we know; IPv4 unicast when it names none at all (RFC 4760 8).
    pub fn families(&self) -> FamilySet {
        let mut offered = self.capabilities.iter().filter_map(|capability| match capability {
            Capability::Multiprotocol(afi, safi) => Some(Family::from_afi_safi(*afi, *safi)),
            _ => None,
        });
        match offered.next() {
            Some(first) => std::iter::once(first).chain(offered).flatten().collect(),
            None => FamilySet::from_iter([Family::Ipv4Unicast]),
        }
    }

    /// Judges the peer's OPEN.
    ///
    /// # Errors
    /// OPEN Message Error with the subcode of RFC 4271 6.2, RFC 5492 5 or RFC 6286 2.2.
    pub fn negotiate(&self, local: &Local) -> Result<Negotiated, Notification> {
        let asn = self.asn();
        if asn != local.peer_asn || asn == Asn(0) {
            return Err(Notification::new(notification::OPEN, 2));
        }
        // RFC 6286 2.1, 2.2: non-zero, and unlike ours within the AS.
        let internal = local.asn == local.peer_asn;
        if self.router_id.is_unspecified() || (internal && self.router_id == local.router_id) {
            return Err(Notification::new(notification::OPEN, 3));
        }
        if matches!(self.hold_time, 1 | 2) {
            return Err(Notification::new(notification::OPEN, 6));
        }
        let families = self.families().intersection(local.families);
        if families.is_empty() {
            // RFC 5492 5: the capabilities that we miss.
            let mut wanted = Vec::new();
            for (afi, safi) in local.families.iter().map(Family::afi_safi) {
                Capability::Multiprotocol(afi, safi).encode(&mut wanted);
            }
            return Err(Notification::with_data(notification::OPEN, 7, &wanted));
        }
        let has = |wanted: fn(&Capability) -> bool| self.capabilities.iter().any(wanted);
        Ok(Negotiated {
            router_id: self.router_id,
            hold_time: self.hold_time.min(local.hold_time),
            families,
            four_octet_as: has(|c| matches!(c, Capability::FourOctetAs(_))),
            refresh: has(|c| matches!(c, Capability::RouteRefresh)),
            end_of_rib: has(|c| matches!(c, Capability::Other { code: GRACEFUL_RESTART, .. })),
        })
    }

    pub(super) fn decode(body: &[u8]) -> Result<Open, Notification> {
        let malformed = || Notification::new(notification::OPEN, 0);
        let mut r = Reader::new(body);
        let version = r.u8().ok_or_else(malformed)?;
        if version != 4 {
            // RFC 4271 6.2: the largest version that we do speak.
            return Err(Notification::with_data(notification::OPEN, 1, &[0, 4]));
        }
        let two_octet_as = r.u16().ok_or_else(malformed)?;
        let hold_time = r.u16().ok_or_else(malformed)?;
        let router_id = Ipv4Addr::from(r.array::<4>().ok_or_else(malformed)?);
        let mut length = usize::from(r.u8().ok_or_else(malformed)?);
        // RFC 9072 2: 255 and parameter type 255 announce lengths of two octets.
        let extended = length != 0 && r.rest().first() == Some(&255);
        if extended {
            let (_, wide) = r.u8().zip(r.u16()).ok_or_else(malformed)?;
            length = usize::from(wide);
        }
        let parameters = r.take(length).filter(|_| r.is_empty()).ok_or_else(malformed)?;
        let capabilities = decode_parameters(parameters, extended)?;
        Ok(Open { two_octet_as, hold_time, router_id, capabilities })
    }

    /// Appends the message. Capabilities beyond 253 octets are left out; ours never reach that.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = super::begin(super::OPEN, out);
        out.push(4);
        out.extend_from_slice(&self.two_octet_as.to_be_bytes());
        out.extend_from_slice(&self.hold_time.to_be_bytes());
        out.extend_from_slice(&self.router_id.octets());
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let before = capabilities.len();
            capability.encode(&mut capabilities);
            if capabilities.len() > 253 {
                capabilities.truncate(before);
                break;
            }
        }
        let length = capabilities.len() as u8;
        if length == 0 {
            out.push(0);
        } else {
            out.extend_from_slice(&[length + 2, 2, length]);
            out.extend_from_slice(&capabilities);
        }
        super::finish(at, out);
    }
}

impl Capability {
    fn decode(code: u8, value: &[u8]) -> Result<Capability, Notification> {
        match (code, value) {
            (MULTIPROTOCOL, &[high, low, _, safi]) => {
                Ok(Capability::Multiprotocol(u16::from_be_bytes([high, low]), safi))
            }
            (REFRESH, []) => Ok(Capability::RouteRefresh),
            (FOUR_OCTET_AS, &[a, b, c, d]) => {
                Ok(Capability::FourOctetAs(Asn(u32::from_be_bytes([a, b, c, d]))))
            }
            (MULTIPROTOCOL | FOUR_OCTET_AS, _) => Err(Notification::new(notification::OPEN, 0)),
            _ => Ok(Capability::Other { code, value: value.to_vec() }),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol(afi, safi) => {
                let [high, low] = afi.to_be_bytes();
                out.extend_from_slice(&[MULTIPROTOCOL, 4, high, low, 0, *safi]);
            }
            Capability::RouteRefresh => out.extend_from_slice(&[REFRESH, 0]),
            Capability::FourOctetAs(asn) => {
                out.extend_from_slice(&[FOUR_OCTET_AS, 4]);
                out.extend_from_slice(&asn.0.to_be_bytes());
            }
            Capability::Other { code, value } => {
                let value = value.get(..255).unwrap_or(value);
                out.extend_from_slice(&[*code, value.len() as u8]);
                out.extend_from_slice(value);
            }
        }
    }
}

fn decode_parameters(parameters: &[u8], extended: bool) -> Result<Vec<Capability>, Notification> {
    let malformed = || Notification::new(notification::OPEN, 0);
    let mut capabilities = Vec::new();
    let mut r = Reader::new(parameters);
    while !r.is_empty() {
        let kind = r.u8().ok_or_else(malformed)?;
        let length = if extended { r.u16() } else { r.u8().map(u16::from) };
        let value = length.and_then(|n| r.take(usize::from(n))).ok_or_else(malformed)?;
        if kind != 2 {
            return Err(Notification::new(notification::OPEN, 4));
        }
        let mut value = Reader::new(value);
        while !value.is_empty() {
            let (code, length) = value.u8().zip(value.u8()).ok_or_else(malformed)?;
            let octets = value.take(usize::from(length)).ok_or_else(malformed)?;
            capabilities.push(Capability::decode(code, octets)?);
        }
    }
    Ok(capabilities)
}
