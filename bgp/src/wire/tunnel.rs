//! How to reach the next hop, as attributes say it: PMSI tunnel (RFC 6514 5) and tunnel
//! encapsulation (RFC 9012 2).

use std::net::IpAddr;

use super::reader::Reader;
use crate::types::LabelField;

/// PMSI tunnel: ingress replication.
const INGRESS_REPLICATION: u8 = 6;
/// Sub-TLV of a tunnel: where it ends.
const EGRESS_ENDPOINT: u8 = 6;

/// The tunnel that carries broadcast, unknown unicast and multicast of an EVPN broadcast domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PmsiTunnel {
    /// Bit 0: leaf information required.
    pub flags: u8,
    /// 0 none, 6 ingress replication; the rest as IANA lists it.
    pub kind: u8,
    /// The label to use, or the VNI.
    pub label: LabelField,
    /// What the kind makes of it: of ingress replication an address.
    pub identifier: Box<[u8]>,
}

impl PmsiTunnel {
    /// Ingress replication to the PE at `endpoint`.
    pub fn ingress_replication(label: LabelField, endpoint: IpAddr) -> PmsiTunnel {
        let identifier = match endpoint {
            IpAddr::V4(address) => Box::from(address.octets()),
            IpAddr::V6(address) => Box::from(address.octets()),
        };
        PmsiTunnel { flags: 0, kind: INGRESS_REPLICATION, label, identifier }
    }

    /// The tunnel end of ingress replication.
    pub fn endpoint(&self) -> Option<IpAddr> {
        (self.kind == INGRESS_REPLICATION).then(|| address(&self.identifier)).flatten()
    }

    /// `None` for what cannot be one.
    pub(super) fn decode(value: &[u8]) -> Option<PmsiTunnel> {
        let mut r = Reader::new(value);
        let (flags, kind) = r.u8().zip(r.u8())?;
        let label = LabelField::from_octets(r.array()?);
        let tunnel = PmsiTunnel { flags, kind, label, identifier: r.rest().into() };
        let sound = kind != INGRESS_REPLICATION || tunnel.endpoint().is_some();
        sound.then_some(tunnel)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let [a, b, c] = self.label.octets();
        [&[self.flags, self.kind, a, b, c][..], &self.identifier].concat()
    }
}

/// The tunnels that a route offers, kept as they came so that they can be passed on untouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelEncapsulation(Box<[u8]>);

/// One of the tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Tunnel type (IANA): 2 GRE, 8 VXLAN, 13 MPLS in UDP.
    pub kind: u16,
    /// Where it ends; `None`: at the next hop.
    pub endpoint: Option<IpAddr>,
}

impl TunnelEncapsulation {
    /// RFC 9012 13: `None` when the lengths of the tunnels do not add up.
    pub(super) fn decode(value: &[u8]) -> Option<TunnelEncapsulation> {
        let mut r = Reader::new(value);
        while !r.is_empty() {
            r.u16()?;
            let length = r.u16()?;
            r.take(usize::from(length))?;
        }
        (!value.is_empty()).then(|| TunnelEncapsulation(value.into()))
    }

    /// The octets as they came.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The tunnels that can be used, in the order of preference of the sender. RFC 9012 3.1, 13:
    /// those with broken sub-TLVs or without exactly one sound end are ignored.
    pub fn tunnels(&self) -> impl Iterator<Item = Tunnel> {
        let mut r = Reader::new(&self.0);
        std::iter::from_fn(move || {
            let kind = r.u16()?;
            let length = r.u16()?;
            Some((kind, r.take(usize::from(length))?))
        })
        .filter_map(|(kind, value)| Some(Tunnel { kind, endpoint: endpoint(value)? }))
    }
}

/// The end that the sub-TLVs of a tunnel name: inside, `None` for the next hop.
fn endpoint(sub_tlvs: &[u8]) -> Option<Option<IpAddr>> {
    let mut r = Reader::new(sub_tlvs);
    let mut found = None;
    while !r.is_empty() {
        let kind = r.u8()?;
        let length = if kind < 128 { r.u8().map(u16::from) } else { r.u16() };
        let value = r.take(usize::from(length?))?;
        if kind != EGRESS_ENDPOINT {
            continue;
        }
        let (_reserved, rest) = value.split_at_checked(4)?;
        let end = match rest {
            [0, 0] => None,
            [0, 1, octets @ ..] if octets.len() == 4 => Some(address(octets)?),
            [0, 2, octets @ ..] if octets.len() == 16 => Some(address(octets)?),
            _ => return None,
        };
        if found.replace(end).is_some() {
            return None;
        }
    }
    found
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}
