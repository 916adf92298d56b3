//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use super::ROUTE_REFRESH;
use crate::types::Family;

/// A request for all routes of a family, or (RFC 7313) a mark around the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// AFI as sent; it may be one that we do not have.
    pub afi: u16,
    /// 0 for a request, 1 and 2 for begin and end of a refresh.
    pub subtype: u8,
    /// SAFI as sent.
    pub safi: u8,
}

impl RouteRefresh {
    /// A plain request.
    pub fn request(family: Family) -> RouteRefresh {
        let (afi, safi) = family.afi_safi();
        RouteRefresh { afi, subtype: 0, safi }
    }

    /// Its family, if it is one of ours.
    pub fn family(self) -> Option<Family> {
        Family::from_afi_safi(self.afi, self.safi)
    }

    /// Reads the body; the frame has made sure of four octets.
    pub(super) fn decode(body: &[u8]) -> RouteRefresh {
        match *body {
            [high, low, subtype, safi, ..] => {
                RouteRefresh { afi: u16::from_be_bytes([high, low]), subtype, safi }
            }
            _ => RouteRefresh { afi: 0, subtype: 0, safi: 0 },
        }
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        let at = super::begin(ROUTE_REFRESH, out);
        let [high, low] = self.afi.to_be_bytes();
        out.extend_from_slice(&[high, low, self.subtype, self.safi]);
        super::finish(at, out);
    }
}
