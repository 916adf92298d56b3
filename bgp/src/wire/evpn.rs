//! EVPN routes to and from octets (RFC 7432 7, RFC 9136 3.1).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::nlri::{Binding, Nlri};
use super::reader::Reader;
use crate::types::{Esi, EvpnRoute, LabelField, MacAddress, Route, RouteDistinguisher};

/// What stands beside an EVPN route and belongs to the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EvpnBinding {
    /// Segment of the MAC address (type 2) or overlay index (type 5); zero elsewhere.
    pub esi: Esi,
    /// Overlay index of type 5; `None` elsewhere and for the zero address.
    pub gateway: Option<IpAddr>,
    /// The label; of type 2 that of the broadcast domain.
    pub label: LabelField,
    /// Type 2 only: the label of the VRF.
    pub vrf_label: Option<LabelField>,
}

/// An EVPN route as a message has it.
pub(super) enum Decoded {
    /// A route of types 1-5.
    Route(Nlri),
    /// RFC 9136 3.1: a type 5 with two overlay indexes is to be withdrawn.
    Contradictory(Route),
    /// Of a known type, but it cannot be that.
    Unusable(&'static str),
    /// Another type, which is to be ignored (RFC 7606 5.4).
    Unknown,
}

/// Reads the value of an NLRI of type `kind`.
pub(super) fn decode(kind: u8, value: &[u8]) -> Decoded {
    let mut r = Reader::new(value);
    let read = match kind {
        1 => auto_discovery(&mut r),
        2 => mac_ip(&mut r),
        3 => multicast(&mut r),
        4 => segment(&mut r),
        5 => prefix(&mut r, value.len()),
        _ => return Decoded::Unknown,
    };
    match read.filter(|_| r.is_empty()) {
        Some((rd, route, None)) => Decoded::Route(Nlri::plain(Route::Evpn(rd, route))),
        Some((rd, route, Some(EvpnBinding { esi, gateway: Some(_), .. }))) if esi != Esi::ZERO => {
            Decoded::Contradictory(Route::Evpn(rd, route))
        }
        Some((rd, route, Some(binding))) => {
            let binding = Binding::Evpn(Box::new(binding));
            Decoded::Route(Nlri { route: Route::Evpn(rd, route), binding })
        }
        None => Decoded::Unusable("EVPN route that its type cannot have"),
    }
}

type Read = (RouteDistinguisher, EvpnRoute, Option<EvpnBinding>);

fn auto_discovery(r: &mut Reader<'_>) -> Option<Read> {
    let (rd, esi, tag, label) = (rd(r)?, esi(r)?, r.u32()?, label(r)?);
    let binding = EvpnBinding { label, ..EvpnBinding::default() };
    Some((rd, EvpnRoute::AutoDiscovery { esi, tag }, Some(binding)))
}

fn mac_ip(r: &mut Reader<'_>) -> Option<Read> {
    let (rd, esi, tag) = (rd(r)?, esi(r)?, r.u32()?);
    let mac = MacAddress(r.u8().filter(|bits| *bits == 48).and_then(|_| r.array())?);
    let ip = match r.u8()? {
        0 => None,
        bits => Some(address(r, bits)?),
    };
    let label_one = label(r)?;
    let vrf_label = if r.is_empty() { None } else { Some(label(r)?) };
    let binding = EvpnBinding { esi, label: label_one, vrf_label, gateway: None };
    Some((rd, EvpnRoute::MacIp { tag, mac, ip }, Some(binding)))
}

fn multicast(r: &mut Reader<'_>) -> Option<Read> {
    let (rd, tag, bits) = (rd(r)?, r.u32()?, r.u8()?);
    let originator = address(r, bits)?;
    Some((rd, EvpnRoute::Multicast { tag, originator }, None))
}

fn segment(r: &mut Reader<'_>) -> Option<Read> {
    let (rd, esi, bits) = (rd(r)?, esi(r)?, r.u8()?);
    let originator = address(r, bits)?;
    Some((rd, EvpnRoute::Segment { esi, originator }, None))
}

/// The length alone tells the address family.
fn prefix(r: &mut Reader<'_>, length: usize) -> Option<Read> {
    let (rd, esi, tag, bits) = (rd(r)?, esi(r)?, r.u32()?, r.u8()?);
    let (prefix, gateway): (IpNet, IpAddr) = match length {
        34 => {
            let (prefix, gateway) = (r.array::<4>()?, r.array::<4>()?);
            (Ipv4Net::new(prefix.into(), bits).ok()?.trunc().into(), gateway.into())
        }
        58 => {
            let (prefix, gateway) = (r.array::<16>()?, r.array::<16>()?);
            (Ipv6Net::new(prefix.into(), bits).ok()?.trunc().into(), gateway.into())
        }
        _ => return None,
    };
    let gateway = Some(gateway).filter(|gateway| !gateway.is_unspecified());
    let binding = EvpnBinding { esi, gateway, label: label(r)?, vrf_label: None };
    Some((rd, EvpnRoute::Prefix { tag, prefix }, Some(binding)))
}

fn rd(r: &mut Reader<'_>) -> Option<RouteDistinguisher> {
    r.array().map(RouteDistinguisher::from_octets)
}

fn esi(r: &mut Reader<'_>) -> Option<Esi> {
    r.array().map(Esi)
}

fn label(r: &mut Reader<'_>) -> Option<LabelField> {
    r.array().map(LabelField::from_octets)
}

fn address(r: &mut Reader<'_>, bits: u8) -> Option<IpAddr> {
    match bits {
        32 => r.array::<4>().map(IpAddr::from),
        128 => r.array::<16>().map(IpAddr::from),
        _ => None,
    }
}

/// Appends type, length and value. Without a binding, as in withdrawals, its fields are zero.
pub(super) fn encode(
    rd: RouteDistinguisher,
    route: &EvpnRoute,
    binding: &Binding,
    out: &mut Vec<u8>,
) {
    let bound = match binding {
        Binding::Evpn(bound) => **bound,
        _ => EvpnBinding::default(),
    };
    out.extend_from_slice(&[route.kind(), 0]);
    let start = out.len();
    out.extend_from_slice(&rd.octets());
    match route {
        EvpnRoute::AutoDiscovery { esi, tag } => {
            out.extend_from_slice(&esi.0);
            out.extend_from_slice(&tag.to_be_bytes());
            out.extend_from_slice(&bound.label.octets());
        }
        EvpnRoute::MacIp { tag, mac, ip } => {
            out.extend_from_slice(&bound.esi.0);
            out.extend_from_slice(&tag.to_be_bytes());
            out.push(48);
            out.extend_from_slice(&mac.0);
            match ip {
                None => out.push(0),
                Some(ip) => put_address(ip, true, out),
            }
            out.extend_from_slice(&bound.label.octets());
            if let Some(second) = bound.vrf_label {
                out.extend_from_slice(&second.octets());
            }
        }
        EvpnRoute::Multicast { tag, originator } => {
            out.extend_from_slice(&tag.to_be_bytes());
            put_address(originator, true, out);
        }
        EvpnRoute::Segment { esi, originator } => {
            out.extend_from_slice(&esi.0);
            put_address(originator, true, out);
        }
        EvpnRoute::Prefix { tag, prefix } => {
            out.extend_from_slice(&bound.esi.0);
            out.extend_from_slice(&tag.to_be_bytes());
            out.push(prefix.prefix_len());
            put_address(&prefix.network(), false, out);
            put_address(&gateway(prefix, bound.gateway), false, out);
            out.extend_from_slice(&bound.label.octets());
        }
    }
    // At most 58 octets.
    let length = (out.len() - start) as u8;
    if let Some(octet) = out.get_mut(start - 1) {
        *octet = length;
    }
}

/// The gateway in the family of the prefix; none, and one of another family, is the zero address.
fn gateway(prefix: &IpNet, gateway: Option<IpAddr>) -> IpAddr {
    let zero = match prefix {
        IpNet::V4(_) => IpAddr::from([0; 4]),
        IpNet::V6(_) => IpAddr::from([0; 16]),
    };
    gateway.filter(|gateway| gateway.is_ipv4() == zero.is_ipv4()).unwrap_or(zero)
}

fn put_address(address: &IpAddr, length: bool, out: &mut Vec<u8>) {
    if length {
        out.push(crate::types::address_bits(address));
    }
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}
