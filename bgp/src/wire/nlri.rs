//! Routes as they stand in UPDATE: prefixes of addresses, with label and route distinguisher in
//! VPN families; EVPN routes; route target memberships.

use ipnet::{Ipv4Net, Ipv6Net};

use super::evpn::{self, Decoded, EvpnBinding};
use super::reader::Reader;
use crate::types::{Family, Membership, Route, RouteDistinguisher};

/// Bits of a label and a route distinguisher in front of a VPN prefix.
const VPN_BITS: u8 = 24 + 64;
/// What a withdrawal says instead of a label (RFC 8277 2.4).
const WITHDRAW_LABEL: [u8; 3] = [0x80, 0, 0];
/// Octets of the longest route that [`encode`] writes.
pub(super) const LONGEST: usize = 64;

/// A route as one message names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nlri {
    /// The key.
    pub route: Route,
    /// What stands beside the key and belongs to the path.
    pub binding: Binding,
}

/// What a route is bound to: everything in its NLRI that does not name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Nothing: unicast routes, EVPN types 3 and 4, memberships, and all withdrawals, whose labels mean nothing (RFC 8277 2.4).
    #[default]
    None,
    /// The label of a VPN route, 20 bits.
    Label(u32),
    /// What EVPN routes of types 1, 2 and 5 have.
    Evpn(Box<EvpnBinding>),
}

impl Nlri {
    /// A route without anything beside it.
    pub fn plain(route: Route) -> Nlri {
        Nlri { route, binding: Binding::None }
    }

    /// A VPN route with its label, 20 bits.
    pub fn labelled(route: Route, label: u32) -> Nlri {
        Nlri { route, binding: Binding::Label(label) }
    }
}

impl Binding {
    /// The label of a VPN route.
    pub fn label(&self) -> Option<u32> {
        match self {
            Binding::Label(label) => Some(*label),
            Binding::None | Binding::Evpn(_) => None,
        }
    }

    /// What stands beside an EVPN route.
    pub fn evpn(&self) -> Option<&EvpnBinding> {
        match self {
            Binding::Evpn(binding) => Some(binding),
            Binding::None | Binding::Label(_) => None,
        }
    }
}

/// The routes of one attribute or field.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub all: Vec<Nlri>,
    /// Those that contradict themselves: to be withdrawn, whatever the attribute says.
    pub contradictory: Vec<Route>,
    /// Why some were passed over.
    pub unusable: Option<&'static str>,
}

/// Reads routes to the end of `bytes`.
///
/// # Errors
/// A length that the family cannot have or that exceeds `bytes`: nothing after it can be read.
pub(super) fn decode(family: Family, bytes: &[u8]) -> Result<Routes, &'static str> {
    const TOO_LONG: &str = "prefix of impossible length";
    let mut routes = Routes::default();
    let mut r = Reader::new(bytes);
    // The first octet is the length in bits, of EVPN routes their type.
    while let Some(bits) = r.u8() {
        routes.all.push(match family {
            Family::Ipv4Unicast => {
                Nlri::plain(Route::Ipv4(prefix_v4(&mut r, bits).ok_or(TOO_LONG)?))
            }
            Family::Ipv6Unicast => {
                Nlri::plain(Route::Ipv6(prefix_v6(&mut r, bits).ok_or(TOO_LONG)?))
            }
            Family::Vpnv4 => {
                let (label, rd, bits) = vpn_head(&mut r, bits)?;
                let prefix = prefix_v4(&mut r, bits).ok_or(TOO_LONG)?;
                Nlri::labelled(Route::Vpnv4(rd, prefix), label)
            }
            Family::Vpnv6 => {
                let (label, rd, bits) = vpn_head(&mut r, bits)?;
                let prefix = prefix_v6(&mut r, bits).ok_or(TOO_LONG)?;
                Nlri::labelled(Route::Vpnv6(rd, prefix), label)
            }
            Family::Evpn => {
                let length = r.u8().map(usize::from);
                let value = length.and_then(|length| r.take(length));
                match evpn::decode(bits, value.ok_or("EVPN route longer than the attribute")?) {
                    Decoded::Route(nlri) => nlri,
                    Decoded::Contradictory(route) => {
                        routes.contradictory.push(route);
                        routes.unusable = Some("EVPN prefix with both ESI and gateway");
                        continue;
                    }
                    Decoded::Unusable(what) => {
                        routes.unusable = Some(what);
                        continue;
                    }
                    Decoded::Unknown => continue,
                }
            }
            Family::Rtc => {
                let octets = octets::<12>(&mut r, bits).ok_or(TOO_LONG)?;
                let membership = Membership::from_prefix(octets, bits);
                Nlri::plain(Route::Rtc(membership.ok_or("membership of impossible length")?))
            }
        });
    }
    Ok(routes)
}

/// Appends one route; a VPN route without label is written as a withdrawal.
pub(super) fn encode(nlri: &Nlri, out: &mut Vec<u8>) {
    match nlri.route {
        Route::Ipv4(prefix) => {
            out.push(prefix.prefix_len());
            put_address(prefix.prefix_len(), &prefix.network().octets(), out);
        }
        Route::Ipv6(prefix) => {
            out.push(prefix.prefix_len());
            put_address(prefix.prefix_len(), &prefix.network().octets(), out);
        }
        Route::Vpnv4(rd, prefix) => {
            put_vpn_head(prefix.prefix_len(), &nlri.binding, rd, out);
            put_address(prefix.prefix_len(), &prefix.network().octets(), out);
        }
        Route::Vpnv6(rd, prefix) => {
            put_vpn_head(prefix.prefix_len(), &nlri.binding, rd, out);
            put_address(prefix.prefix_len(), &prefix.network().octets(), out);
        }
        Route::Evpn(rd, route) => evpn::encode(rd, &route, &nlri.binding, out),
        Route::Rtc(membership) => {
            out.push(membership.bits());
            put_address(membership.bits(), &membership.octets(), out);
        }
    }
}

/// Label and distinguisher, and the bits of the prefix behind them. RFC 8277 2.2: without the
/// multiple-label capability there is exactly one label, and its bottom-of-stack bit means nothing.
fn vpn_head(r: &mut Reader<'_>, bits: u8) -> Result<(u32, RouteDistinguisher, u8), &'static str> {
    let bits = bits.checked_sub(VPN_BITS).ok_or("VPN prefix of impossible length")?;
    let label = r.u24().ok_or("VPN prefix longer than the attribute")?;
    let rd = r.array::<8>().ok_or("VPN prefix longer than the attribute")?;
    Ok((label >> 4, RouteDistinguisher::from_octets(rd), bits))
}

fn prefix_v4(r: &mut Reader<'_>, bits: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(octets::<4>(r, bits)?.into(), bits).ok().map(|net| net.trunc())
}

fn prefix_v6(r: &mut Reader<'_>, bits: u8) -> Option<Ipv6Net> {
    Ipv6Net::new(octets::<16>(r, bits)?.into(), bits).ok().map(|net| net.trunc())
}

/// The octets that hold `bits`, filled up with zeros.
fn octets<const N: usize>(r: &mut Reader<'_>, bits: u8) -> Option<[u8; N]> {
    let mut octets = [0u8; N];
    let count = usize::from(bits).div_ceil(8);
    octets.get_mut(..count)?.copy_from_slice(r.take(count)?);
    Some(octets)
}

/// Length of all, the label with its bottom-of-stack bit, and the distinguisher.
fn put_vpn_head(bits: u8, binding: &Binding, rd: RouteDistinguisher, out: &mut Vec<u8>) {
    out.push(VPN_BITS + bits);
    match binding.label() {
        Some(label) => {
            let [_, a, b, c] = ((label & 0xf_ffff) << 4 | 1).to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
        }
        None => out.extend_from_slice(&WITHDRAW_LABEL),
    }
    out.extend_from_slice(&rd.octets());
}

fn put_address(bits: u8, octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(octets.get(..usize::from(bits).div_ceil(8)).unwrap_or(octets));
}
