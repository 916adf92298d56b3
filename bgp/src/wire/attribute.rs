//! Path attributes: what is common to the routes of one UPDATE (RFC 4271 4.3, 5).
//!
//! Every malformed attribute gets the treatment of RFC 7606 7, internal and external peers alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::as_path::AsPath;
use super::notification::{self, Notification};
use super::reader::Reader;
use super::tunnel::{PmsiTunnel, Tunnel, TunnelEncapsulation};
use super::update::{Fault, Treatment};
use super::{DecodeContext, nlri};
use crate::types::{Asn, Community, ExtCommunity, Family, FamilySet, LargeCommunity, MacMobility};

pub(super) const ORIGIN: u8 = 1;
pub(super) const AS_PATH: u8 = 2;
pub(super) const NEXT_HOP: u8 = 3;
pub(super) const MED: u8 = 4;
pub(super) const LOCAL_PREF: u8 = 5;
pub(super) const ATOMIC_AGGREGATE: u8 = 6;
pub(super) const AGGREGATOR: u8 = 7;
pub(super) const COMMUNITIES: u8 = 8;
pub(super) const ORIGINATOR_ID: u8 = 9;
pub(super) const CLUSTER_LIST: u8 = 10;
pub(super) const MP_REACH: u8 = 14;
pub(super) const MP_UNREACH: u8 = 15;
pub(super) const EXT_COMMUNITIES: u8 = 16;
pub(super) const AS4_PATH: u8 = 17;
pub(super) const AS4_AGGREGATOR: u8 = 18;
pub(super) const PMSI_TUNNEL: u8 = 22;
pub(super) const TUNNEL_ENCAPSULATION: u8 = 23;
pub(super) const LARGE_COMMUNITIES: u8 = 32;

pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const TRANSITIVE: u8 = 0x40;
pub(super) const PARTIAL: u8 = 0x20;
pub(super) const EXTENDED: u8 = 0x10;

/// Where a route came into BGP; a lower one is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp = 0,
    /// Learnt by the EGP protocol.
    Egp = 1,
    /// By other means.
    Incomplete = 2,
}

/// Who formed an aggregate (RFC 4271 5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.asn, self.router_id)
    }
}

/// An optional transitive attribute that means nothing to us and is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Flags without the extended-length bit.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: Box<[u8]>,
}

/// Everything about a path except prefix and label: equal sets are kept once.
///
/// Communities of each kind are sorted and without duplicates: they are sets (RFC 1997).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathAttributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, with AS4_PATH merged in.
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: IpAddr,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; never there from an external peer.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES.
    pub communities: Vec<Community>,
    /// EXTENDED COMMUNITIES.
    pub ext_communities: Vec<ExtCommunity>,
    /// LARGE COMMUNITIES.
    pub large_communities: Vec<LargeCommunity>,
    /// ORIGINATOR_ID (RFC 4456).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456), latest first.
    pub cluster_list: Vec<Ipv4Addr>,
    /// PMSI TUNNEL, of EVPN multicast routes (RFC 6514).
    pub pmsi: Option<Box<PmsiTunnel>>,
    /// TUNNEL ENCAPSULATION (RFC 9012).
    pub tunnels: Option<TunnelEncapsulation>,
    /// The rest, by type code.
    pub unknown: Vec<UnknownAttribute>,
}

impl Default for PathAttributes {
    /// Nothing, not even a next hop.
    fn default() -> PathAttributes {
        PathAttributes::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl PathAttributes {
    /// A path with this next hop and nothing else.
    pub fn new(next_hop: IpAddr) -> PathAttributes {
        PathAttributes {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            next_hop,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            ext_communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            pmsi: None,
            tunnels: None,
            unknown: Vec::new(),
        }
    }

    /// Route targets among the extended communities.
    pub fn route_targets(&self) -> impl Iterator<Item = crate::types::RouteTarget> {
        self.ext_communities.iter().filter_map(|community| community.as_route_target())
    }

    /// Tunnel types of the encapsulation communities, then those of tunnels to the next hop
    /// (RFC 9012 4.1: a community stands for such a tunnel).
    pub fn encapsulations(&self) -> impl Iterator<Item = u16> {
        let communities = self.ext_communities.iter().filter_map(|c| c.as_encapsulation());
        let to_next_hop =
            |tunnel: &Tunnel| tunnel.endpoint.is_none_or(|end| end.to_canonical() == self.next_hop);
        let tunnels = self.tunnels.iter().flat_map(TunnelEncapsulation::tunnels);
        communities.chain(tunnels.filter(to_next_hop).map(|tunnel| tunnel.kind))
    }

    /// How often the route has moved; never, if it does not say so (RFC 7432 7.7).
    pub fn mobility(&self) -> MacMobility {
        let all = self.ext_communities.iter().filter_map(|c| c.as_mac_mobility());
        all.max().unwrap_or_default()
    }
}

/// A multiprotocol attribute of a negotiated family.
pub(super) struct Multiprotocol {
    pub family: Family,
    /// `None` in MP_UNREACH_NLRI.
    pub next_hop: Option<IpAddr>,
    pub routes: nlri::Routes,
    /// Whether no route at all stood there, of whatever type.
    pub empty: bool,
}

/// The attributes of one UPDATE before it is known whether they suffice.
pub(super) struct Block {
    /// `next_hop` means something only with `seen(NEXT_HOP)`.
    pub attributes: PathAttributes,
    pub reach: Option<Multiprotocol>,
    pub unreach: Option<Multiprotocol>,
    pub faults: Vec<Fault>,
    /// Families whose routes could not be told apart.
    pub disabled: FamilySet,
    /// How many attributes stood there.
    pub count: usize,
    seen: [u64; 4],
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
}

impl Block {
    pub(super) fn seen(&self, code: u8) -> bool {
        self.seen[usize::from(code >> 6)] & (1 << (code & 63)) != 0
    }

    /// Reads a whole attribute field.
    ///
    /// # Errors
    /// What RFC 7606 leaves to a session reset.
    pub(super) fn decode(bytes: &[u8], context: &DecodeContext) -> Result<Block, Notification> {
        let mut block = Block {
            attributes: PathAttributes::default(),
            reach: None,
            unreach: None,
            faults: Vec::new(),
            disabled: FamilySet::default(),
            count: 0,
            seen: [0; 4],
            as4_path: None,
            as4_aggregator: None,
        };
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let start = r.rest();
            let Some((flags, code, value)) = header(&mut r) else {
                // RFC 7606 4: the routes in the message are still found by the length fields.
                block.fault(0, Treatment::Withdraw, "attribute longer than the attribute field");
                break;
            };
            block.count += 1;
            let raw = start.get(..start.len() - r.rest().len()).unwrap_or(start);
            if block.seen(code) {
                // RFC 7606 3 g.
                if matches!(code, MP_REACH | MP_UNREACH) {
                    return Err(Notification::new(notification::UPDATE, 1));
                }
                block.fault(code, Treatment::Discard, "attribute stands there twice");
                continue;
            }
            block.seen[usize::from(code >> 6)] |= 1 << (code & 63);
            block.attribute(flags, code, value, raw, context)?;
        }
        block.merge_as4();
        Ok(block)
    }

    fn attribute(
        &mut self,
        flags: u8,
        code: u8,
        value: &[u8],
        raw: &[u8],
        context: &DecodeContext,
    ) -> Result<(), Notification> {
        let Some(wanted) = class(code) else { return self.unknown(flags, code, value, raw) };
        if flags & (OPTIONAL | TRANSITIVE) != wanted {
            // RFC 7606 3 c.
            self.fault(code, Treatment::Withdraw, "attribute with wrong flags");
        }
        match code {
            MP_REACH | MP_UNREACH => self.multiprotocol(code, value, raw, context)?,
            _ => {
                if let Err((treatment, what)) = self.known(code, value, context) {
                    self.fault(code, treatment, what);
                }
            }
        }
        Ok(())
    }

    /// Attributes whose errors never end the session.
    fn known(
        &mut self,
        code: u8,
        value: &[u8],
        context: &DecodeContext,
    ) -> Result<(), (Treatment, &'static str)> {
        use Treatment::{Discard, Withdraw};
        let a = &mut self.attributes;
        match code {
            ORIGIN => {
                a.origin = match value {
                    [0] => Origin::Igp,
                    [1] => Origin::Egp,
                    [2] => Origin::Incomplete,
                    _ => return Err((Withdraw, "invalid ORIGIN")),
                }
            }
            AS_PATH => {
                a.as_path = AsPath::decode(value, context.four_octet_as)
                    .map_err(|what| (Withdraw, what))?;
                if a.as_path.contains(Asn(0)) {
                    return Err((Withdraw, "AS 0 in the AS path")); // RFC 7607 2
                }
            }
            NEXT_HOP => {
                let octets = <[u8; 4]>::try_from(value)
                    .map_err(|_| (Withdraw, "NEXT_HOP of wrong length"))?;
                a.next_hop = Ipv4Addr::from(octets).into();
            }
            MED => a.med = Some(number(value).ok_or((Withdraw, "MED of wrong length"))?),
            // RFC 4271 5.1.5, RFC 7606 7.5: from an external peer it is not even looked at.
            LOCAL_PREF if context.internal => {
                a.local_pref = Some(number(value).ok_or((Withdraw, "LOCAL_PREF of wrong length"))?);
            }
            ATOMIC_AGGREGATE => {
                if !value.is_empty() {
                    return Err((Discard, "ATOMIC_AGGREGATE with a value"));
                }
                a.atomic_aggregate = true;
            }
            AGGREGATOR => {
                let aggregator = aggregator(value, context.four_octet_as);
                a.aggregator = Some(aggregator.ok_or((Discard, "malformed AGGREGATOR"))?);
            }
            COMMUNITIES => {
                let communities = words(value).ok_or((Withdraw, "COMMUNITIES of wrong length"))?;
                a.communities = sorted(communities.map(Community));
            }
            // RFC 7606 7.9, 7.10.
            ORIGINATOR_ID if context.internal => {
                let id = number(value).ok_or((Withdraw, "ORIGINATOR_ID of wrong length"))?;
                a.originator_id = Some(Ipv4Addr::from(id));
            }
            CLUSTER_LIST if context.internal => {
                let ids = words(value).ok_or((Withdraw, "CLUSTER_LIST of wrong length"))?;
                a.cluster_list = ids.map(Ipv4Addr::from).collect();
            }
            EXT_COMMUNITIES => {
                let (communities, rest) = value.as_chunks::<8>();
                if communities.is_empty() || !rest.is_empty() {
                    return Err((Withdraw, "EXTENDED COMMUNITIES of wrong length"));
                }
                a.ext_communities = sorted(communities.iter().copied().map(ExtCommunity));
            }
            LARGE_COMMUNITIES => {
                let (communities, rest) = value.as_chunks::<12>();
                if communities.is_empty() || !rest.is_empty() {
                    return Err((Withdraw, "LARGE COMMUNITIES of wrong length")); // RFC 8092 5
                }
                a.large_communities = sorted(communities.iter().map(large));
            }
            PMSI_TUNNEL => {
                let tunnel = PmsiTunnel::decode(value);
                a.pmsi = Some(Box::new(tunnel.ok_or((Withdraw, "malformed PMSI TUNNEL"))?));
            }
            TUNNEL_ENCAPSULATION => {
                let tunnels = TunnelEncapsulation::decode(value);
                a.tunnels = Some(tunnels.ok_or((Withdraw, "malformed TUNNEL ENCAPSULATION"))?);
            }
            // RFC 6793 4.1, 6: only between speakers of different widths.
            AS4_PATH | AS4_AGGREGATOR if context.four_octet_as => {
                return Err((Discard, "AS4 attribute from a four-octet speaker"));
            }
            AS4_PATH => {
                let path = AsPath::decode(value, true).map_err(|what| (Discard, what))?;
                if path.contains(Asn(0)) {
                    return Err((Discard, "AS 0 in the AS4_PATH"));
                }
                self.as4_path = Some(path);
            }
            AS4_AGGREGATOR => {
                let aggregator = aggregator(value, true);
                self.as4_aggregator =
                    Some(aggregator.ok_or((Discard, "malformed AS4_AGGREGATOR"))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn multiprotocol(
        &mut self,
        code: u8,
        value: &[u8],
        raw: &[u8],
        context: &DecodeContext,
    ) -> Result<(), Notification> {
        // RFC 7606 5.3, 7.11: routes that cannot be told apart from the rest end the session.
        let broken = || Notification::with_data(notification::UPDATE, 9, raw);
        let mut r = Reader::new(value);
        let (afi, safi) = r.u16().zip(r.u8()).ok_or_else(broken)?;
        let next_hop = if code == MP_REACH {
            let length = r.u8().ok_or_else(broken)?;
            let octets = r.take(usize::from(length)).ok_or_else(broken)?;
            r.u8().ok_or_else(broken)?;
            Some(octets)
        } else {
            None
        };
        let family = Family::from_afi_safi(afi, safi).filter(|f| context.families.contains(*f));
        let Some(family) = family else {
            self.fault(code, Treatment::Discard, "routes of a family that was not negotiated");
            return Ok(());
        };
        let next_hop = next_hop.map(|octets| mp_next_hop(family, octets));
        let routes = nlri::decode(family, r.rest());
        let (routes, next_hop) = match (routes, next_hop) {
            (Ok(routes), None) => (routes, None),
            (Ok(routes), Some(Some(next_hop))) => (routes, Some(next_hop)),
            (Err(what), _) => return self.disable(family, code, what, context, broken),
            (Ok(_), Some(None)) => {
                let what = "next hop of a length that the family does not have";
                return self.disable(family, code, what, context, broken);
            }
        };
        if next_hop.is_some_and(|next_hop| !usable(next_hop)) {
            self.fault(code, Treatment::Withdraw, "next hop that no host can have");
        }
        if let Some(what) = routes.unusable {
            self.fault(code, Treatment::Skip, what);
        }
        let multiprotocol = Some(Multiprotocol { family, next_hop, routes, empty: r.is_empty() });
        if code == MP_REACH {
            self.reach = multiprotocol;
        } else {
            self.unreach = multiprotocol;
        }
        Ok(())
    }

    /// RFC 7606 2, 5.3: the session goes on without the family, unless it is the only one.
    fn disable(
        &mut self,
        family: Family,
        code: u8,
        what: &'static str,
        context: &DecodeContext,
        broken: impl Fn() -> Notification,
    ) -> Result<(), Notification> {
        if context.families.len() == 1 {
            return Err(broken());
        }
        self.disabled.insert(family);
        self.fault(code, Treatment::Disable, what);
        Ok(())
    }

    fn unknown(
        &mut self,
        flags: u8,
        code: u8,
        value: &[u8],
        raw: &[u8],
    ) -> Result<(), Notification> {
        if flags & OPTIONAL == 0 {
            // RFC 4271 6.3: every well-known attribute must be recognized.
            return Err(Notification::with_data(notification::UPDATE, 2, raw));
        }
        // RFC 4271 5: non-transitive ones are quietly dropped.
        if flags & TRANSITIVE != 0 {
            let flags = flags & (OPTIONAL | TRANSITIVE | PARTIAL);
            let at = self.attributes.unknown.partition_point(|other| other.code < code);
            self.attributes
                .unknown
                .insert(at, UnknownAttribute { flags, code, value: value.into() });
        }
        Ok(())
    }

    /// RFC 6793 4.2.3.
    fn merge_as4(&mut self) {
        let a = &mut self.attributes;
        if let Some(aggregator) = a.aggregator
            && self.as4_aggregator.is_some()
            && aggregator.asn != Asn::TRANS
        {
            // A two-octet speaker aggregated on the way: both AS4 attributes are out of date.
            return;
        }
        if a.aggregator.is_some() && self.as4_aggregator.is_some() {
            a.aggregator = self.as4_aggregator;
        }
        if let Some(four) = self.as4_path.take() {
            a.as_path = std::mem::take(&mut a.as_path).merge(four);
        }
    }

    pub(super) fn fault(&mut self, attribute: u8, treatment: Treatment, what: &'static str) {
        self.faults.push(Fault { attribute, treatment, what });
    }
}

/// RFC 4271 6.3: an address that a next hop can have, syntactically.
pub(crate) fn usable(next_hop: IpAddr) -> bool {
    match next_hop {
        IpAddr::V4(a) => a.octets()[0] != 0 && a.octets()[0] < 224,
        IpAddr::V6(a) => !a.is_unspecified() && !a.is_multicast(),
    }
}

fn header<'a>(r: &mut Reader<'a>) -> Option<(u8, u8, &'a [u8])> {
    let (flags, code) = r.u8().zip(r.u8())?;
    let length = if flags & EXTENDED != 0 { usize::from(r.u16()?) } else { usize::from(r.u8()?) };
    Some((flags, code, r.take(length)?))
}

/// The optional and transitive bits that a known attribute must have.
pub(super) fn class(code: u8) -> Option<u8> {
    match code {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => Some(TRANSITIVE),
        MED | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH | MP_UNREACH => Some(OPTIONAL),
        AGGREGATOR | COMMUNITIES | EXT_COMMUNITIES | AS4_PATH | AS4_AGGREGATOR | PMSI_TUNNEL
        | TUNNEL_ENCAPSULATION | LARGE_COMMUNITIES => Some(OPTIONAL | TRANSITIVE),
        _ => None,
    }
}

/// The first address where a link-local one follows; an IPv4 address as such, however it came
/// (RFC 4659 3.2.1.2 maps it).
fn mp_next_hop(family: Family, octets: &[u8]) -> Option<IpAddr> {
    let legal: &[usize] = match family {
        // RFC 4760 3; RFC 8950 3 for the longer ones.
        Family::Ipv4Unicast => &[4, 16, 32],
        // RFC 2545 3.
        Family::Ipv6Unicast => &[16, 32],
        // RFC 4364 4.3.4, RFC 8950 3: behind a distinguisher each.
        Family::Vpnv4 => &[12, 24, 48],
        // RFC 4659 3.2.1.
        Family::Vpnv6 => &[24, 48],
        // RFC 7432 7, RFC 4684 5.
        Family::Evpn | Family::Rtc => &[4, 16],
    };
    if !legal.contains(&octets.len()) {
        return None;
    }
    let address = if family.has_distinguished_next_hop() { octets.get(8..)? } else { octets };
    match address.first_chunk::<16>() {
        Some(address) => Some(IpAddr::from(*address).to_canonical()),
        None => <[u8; 4]>::try_from(address).ok().map(IpAddr::from),
    }
}

fn aggregator(value: &[u8], four_octets: bool) -> Option<Aggregator> {
    let (asn, id) = value.split_at_checked(if four_octets { 4 } else { 2 })?;
    let asn = asn.iter().fold(0, |asn, &octet| asn << 8 | u32::from(octet));
    let id = <[u8; 4]>::try_from(id).ok()?;
    // RFC 7607 2.
    (asn != 0).then(|| Aggregator { asn: Asn(asn), router_id: Ipv4Addr::from(id) })
}

fn number(value: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(value).ok().map(u32::from_be_bytes)
}

/// The 32-bit words of a value that must have at least one.
fn words(value: &[u8]) -> Option<impl Iterator<Item = u32>> {
    let (words, rest) = value.as_chunks::<4>();
    (!words.is_empty() && rest.is_empty())
        .then(|| words.iter().map(|word| u32::from_be_bytes(*word)))
}

fn large(octets: &[u8; 12]) -> LargeCommunity {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *octets;
    LargeCommunity {
        administrator: u32::from_be_bytes([a, b, c, d]),
        data: [u32::from_be_bytes([e, f, g, h]), u32::from_be_bytes([i, j, k, l])],
    }
}

fn sorted<T: Ord>(communities: impl Iterator<Item = T>) -> Vec<T> {
    let mut communities: Vec<T> = communities.collect();
    communities.sort_unstable();
    communities.dedup();
    communities
}
