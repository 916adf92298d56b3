//! What names a route, family by family.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{EvpnRoute, Family, Membership, RouteDistinguisher};

/// What names a route within its family: two paths with the same key compete. Prefixes have no
/// host bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// A route of the family `ipv4`.
    Ipv4(Ipv4Net),
    /// A route of the family `ipv6`.
    Ipv6(Ipv6Net),
    /// A route of the family `vpnv4`.
    Vpnv4(RouteDistinguisher, Ipv4Net),
    /// A route of the family `vpnv6`.
    Vpnv6(RouteDistinguisher, Ipv6Net),
    /// A route of the family `evpn`.
    Evpn(RouteDistinguisher, EvpnRoute),
    /// A route of the family `rtc`.
    Rtc(Membership),
}

impl Route {
    /// A unicast route, or with a distinguisher a VPN route, to `prefix` without its host bits.
    pub fn to(rd: Option<RouteDistinguisher>, prefix: IpNet) -> Route {
        match (rd, prefix.trunc()) {
            (None, IpNet::V4(prefix)) => Route::Ipv4(prefix),
            (None, IpNet::V6(prefix)) => Route::Ipv6(prefix),
            (Some(rd), IpNet::V4(prefix)) => Route::Vpnv4(rd, prefix),
            (Some(rd), IpNet::V6(prefix)) => Route::Vpnv6(rd, prefix),
        }
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        match self {
            Route::Ipv4(_) => Family::Ipv4Unicast,
            Route::Ipv6(_) => Family::Ipv6Unicast,
            Route::Vpnv4(..) => Family::Vpnv4,
            Route::Vpnv6(..) => Family::Vpnv6,
            Route::Evpn(..) => Family::Evpn,
            Route::Rtc(_) => Family::Rtc,
        }
    }

    /// Its distinguisher, in families that have one.
    pub const fn rd(&self) -> Option<RouteDistinguisher> {
        match self {
            Route::Ipv4(_) | Route::Ipv6(_) | Route::Rtc(_) => None,
            Route::Vpnv4(rd, _) | Route::Vpnv6(rd, _) | Route::Evpn(rd, _) => Some(*rd),
        }
    }

    /// Its prefix, where it is one of addresses.
    pub fn prefix(&self) -> Option<IpNet> {
        match *self {
            Route::Ipv4(prefix) | Route::Vpnv4(_, prefix) => Some(prefix.into()),
            Route::Ipv6(prefix) | Route::Vpnv6(_, prefix) => Some(prefix.into()),
            Route::Evpn(_, EvpnRoute::Prefix { prefix, .. }) => Some(prefix),
            Route::Evpn(..) | Route::Rtc(_) => None,
        }
    }

    /// The same without host bits, which no message can hold.
    #[must_use]
    pub fn trunc(self) -> Route {
        match self {
            Route::Ipv4(prefix) => Route::Ipv4(prefix.trunc()),
            Route::Ipv6(prefix) => Route::Ipv6(prefix.trunc()),
            Route::Vpnv4(rd, prefix) => Route::Vpnv4(rd, prefix.trunc()),
            Route::Vpnv6(rd, prefix) => Route::Vpnv6(rd, prefix.trunc()),
            Route::Evpn(rd, route) => Route::Evpn(rd, route.trunc()),
            Route::Rtc(_) => self,
        }
    }

    /// Everything but the distinguisher, as text: the prefix, the EVPN route, or the membership.
    pub fn destination(&self) -> String {
        match self {
            Route::Ipv4(prefix) | Route::Vpnv4(_, prefix) => prefix.to_string(),
            Route::Ipv6(prefix) | Route::Vpnv6(_, prefix) => prefix.to_string(),
            Route::Evpn(_, route) => route.to_string(),
            Route::Rtc(membership) => membership.to_string(),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rd() {
            Some(rd) => write!(f, "{rd}:{}", self.destination()),
            None => f.write_str(&self.destination()),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_decide_the_family_and_lose_host_bits() {
        let rd: RouteDistinguisher = "64512:2".parse().unwrap();
        let cases = [
            (None, "10.1.2.3/8", "10.0.0.0/8", Family::Ipv4Unicast),
            (None, "2001:db8::7/32", "2001:db8::/32", Family::Ipv6Unicast),
            (Some(rd), "10.1.2.3/8", "64512:2:10.0.0.0/8", Family::Vpnv4),
            (Some(rd), "2001:db8::7/32", "64512:2:2001:db8::/32", Family::Vpnv6),
        ];
        for (rd, prefix, text, family) in cases {
            let route = Route::to(rd, prefix.parse().unwrap());
            assert_eq!(
                (route.to_string().as_str(), route.family(), route.rd()),
                (text, family, rd)
            );
            assert_eq!(route.trunc(), route);
        }
    }
}
