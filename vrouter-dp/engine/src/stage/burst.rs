//! The packets of a burst between two passes: compact, in arrays that the worker keeps. Each has the place that it has in the burst.

use super::Inner;
use crate::pipeline::BATCH;
use crate::seam::{NexthopId, VifId, VrfId};
use crate::table::nexthop::DELIVER;
use crate::table::{Key4, Key6};

/// A frame as it arrived, and the place of its packet in the burst.
#[derive(Clone, Copy)]
pub(crate) struct Arrived<'f> {
    pub place: usize,
    pub frame: &'f [u8],
    /// The tag that the NIC took out of it.
    pub stripped: Option<u16>,
}

/// Packets on their way.
#[derive(Debug)]
pub(crate) struct Burst {
    pub inners: [Inner; BATCH],
    /// What is looked up of IPv4, and of IPv6.
    pub v4: [Key4; BATCH],
    pub v6: [Key6; BATCH],
    /// What was found.
    pub found: [NexthopId; BATCH],
    /// How many there are, those included that ended.
    pub count: usize,
    /// Bit by bit: whose way ended.
    pub ended: u64,
    /// Who is IPv6.
    pub ipv6: u64,
    /// Who needs no lookup: the label led straight to an interface.
    delivered: u64,
    /// Whether the packets of this burst, or of the last one until they have arrived, come from many sides.
    pub scattered: bool,
}

const _: () = assert!(BATCH == u64::BITS as usize);

impl Default for Burst {
    fn default() -> Self {
        Burst {
            inners: [Inner::own(VrfId::MASTER); BATCH],
            v4: [Key4::default(); BATCH],
            v6: [Key6::default(); BATCH],
            found: [NexthopId(0); BATCH],
            count: 0,
            ended: 0,
            ipv6: 0,
            delivered: 0,
            scattered: false,
        }
    }
}

impl Burst {
    /// Begins a burst of `count` packets, at most [`BATCH`].
    #[inline]
    pub fn begin(&mut self, count: usize) {
        self.count = count.min(BATCH);
        (self.ended, self.ipv6, self.delivered) = (0, 0, 0);
    }

    /// The packet at this place goes to an interface without a lookup.
    #[inline(always)]
    pub fn deliver(&mut self, place: usize, vif: VifId) {
        self.delivered |= 1 << place;
        self.found[place % BATCH] = NexthopId(DELIVER | u32::from(vif.0));
    }

    /// All have arrived. Sees whether they come from so many sides that what is known of these is asked for ahead: with a few, it is
    /// at hand. A look at some of them is enough.
    #[inline]
    pub fn arrived(&mut self) {
        const PAIRS: usize = 8;
        let sample = self.inners[..2 * PAIRS].chunks_exact(2);
        let apart = sample.filter(|pair| !pair[0].is_beside(&pair[1])).count();
        self.scattered = self.count >= 2 * PAIRS && apart >= PAIRS - 1;
    }

    /// Every place of the burst.
    #[inline]
    pub fn all(&self) -> u64 {
        u64::MAX >> (BATCH - self.count.max(1))
    }

    /// Who is looked up in IPv4.
    #[inline]
    pub fn is_v4(&self) -> u64 {
        self.all() & !(self.ended | self.delivered | self.ipv6)
    }

    /// Who is looked up in IPv6.
    #[inline]
    pub fn is_v6(&self) -> u64 {
        self.ipv6 & !(self.ended | self.delivered)
    }
}

/// The places of a set.
pub(crate) fn places(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < u64::BITS).then_some(place as usize)
    })
}
