//! Routes as they stand in UPDATE: prefixes, with label and route distinguisher in VPN families.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::reader::Reader;
use crate::types::{Family, RouteDistinguisher, VpnRoute};

/// Bits of a label and a route distinguisher in front of a VPN prefix.
const VPN_BITS: u8 = 24 + 64;
/// What a withdrawal says instead of a label (RFC 8277 2.4).
const WITHDRAW_LABEL: [u8; 3] = [0x80, 0, 0];

/// A route as one message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nlri {
    /// The key.
    pub route: VpnRoute,
    /// The label, 20 bits; `None` in families without, and in withdrawals, whose label means
    /// nothing (RFC 8277 2.4).
    pub label: Option<u32>,
}

/// Reads routes to the end of `bytes`, appending to `out`.
///
/// # Errors
/// A length that the family cannot have or that exceeds `bytes`: nothing after it can be read.
pub(super) fn decode(
    family: Family,
    bytes: &[u8],
    out: &mut Vec<Nlri>,
) -> Result<(), &'static str> {
    let mut r = Reader::new(bytes);
    while let Some(bits) = r.u8() {
        let nlri = match family {
            Family::Ipv4Unicast => {
                let prefix = prefix(&mut r, bits).ok_or("prefix of impossible length")?;
                Nlri { route: VpnRoute { rd: None, prefix }, label: None }
            }
            Family::Vpnv4 => {
                // RFC 8277 2.2: without the multiple-label capability there is exactly one label,
                // and its bottom-of-stack bit means nothing.
                let bits = bits.checked_sub(VPN_BITS).ok_or("VPN prefix of impossible length")?;
                let (label, rd) = r
                    .array::<3>()
                    .zip(r.array::<8>())
                    .ok_or("VPN prefix longer than the attribute")?;
                let prefix = prefix(&mut r, bits).ok_or("VPN prefix of impossible length")?;
                let rd = Some(RouteDistinguisher::from_octets(rd));
                let [a, b, c] = label.map(u32::from);
                Nlri { route: VpnRoute { rd, prefix }, label: Some((a << 16 | b << 8 | c) >> 4) }
            }
        };
        out.push(nlri);
    }
    Ok(())
}

/// Appends one route; `label` as in [`Nlri`], `None` writes a withdrawal in VPN families.
pub(super) fn encode(nlri: &Nlri, out: &mut Vec<u8>) {
    let bits = nlri.route.prefix.prefix_len();
    if let Some(rd) = nlri.route.rd {
        out.push(VPN_BITS + bits);
        match nlri.label {
            // Bottom of stack set, traffic class zero.
            Some(label) => {
                let [_, a, b, c] = ((label & 0xf_ffff) << 4 | 1).to_be_bytes();
                out.extend_from_slice(&[a, b, c]);
            }
            None => out.extend_from_slice(&WITHDRAW_LABEL),
        }
        out.extend_from_slice(&rd.octets());
    } else {
        out.push(bits);
    }
    let octets = nlri.route.prefix.network().octets();
    out.extend_from_slice(octets.get(..octets_of(bits)).unwrap_or(&octets));
}

fn prefix(r: &mut Reader<'_>, bits: u8) -> Option<Ipv4Net> {
    let mut octets = [0u8; 4];
    // The slice bounds `bits` to 32, as does the constructor.
    octets.get_mut(..octets_of(bits))?.copy_from_slice(r.take(octets_of(bits))?);
    Ipv4Net::new(Ipv4Addr::from(octets), bits).ok().map(|net| net.trunc())
}

fn octets_of(bits: u8) -> usize {
    usize::from(bits).div_ceil(8)
}
