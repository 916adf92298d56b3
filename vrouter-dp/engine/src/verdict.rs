//! How a packet leaves the pipeline: exactly one [`Verdict`] each.

use wire::Mac;

use crate::drops::{Drop, Punt};
use crate::seam::{PortId, VifId, VrfId};

/// The one exit of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The buffer holds a whole frame, tag in the frame: send it on `port`. `vif` is set if it goes to an instance.
    Tx { port: PortId, vif: Option<VifId> },
    /// Copy the buffer's bytes to the service thread. They start where [`Punt::text`] says.
    Punt(PuntMeta),
    /// Free the buffer; the drop is counted already. With `notify`, first copy the beginning of the bytes (an IPv4 packet as
    /// it came) to the service thread, so that it can tell the sender.
    Drop { reason: Drop, notify: Option<PuntMeta> },
}

/// The exits of a burst, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exits {
    /// What all verdicts have, and what any of them has: the port, and the bits below.
    all: u16,
    any: u16,
}

impl Exits {
    /// It is not sent to the underlay.
    const ELSEWHERE: u16 = 1 << 8;

    /// Of no packet.
    pub(crate) const NONE: Exits = Exits { all: u16::MAX, any: 0 };

    /// One more packet.
    #[inline(always)]
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        let bits = match verdict {
            Verdict::Tx { port, vif: None } => port.0.into(),
            _ => Exits::ELSEWHERE,
        };
        self.all &= bits;
        self.any |= bits;
    }

    /// The port, if all packets are sent into the underlay by one.
    #[inline]
    pub fn underlay(self) -> Option<PortId> {
        (self.all == self.any && self.any & Exits::ELSEWHERE == 0).then_some(PortId(self.any as u8))
    }
}

/// Where the verdict on one packet goes.
pub(crate) struct Exit<'v> {
    pub verdict: &'v mut Verdict,
    pub all: &'v mut Exits,
}

impl Exit<'_> {
    /// The packet takes it.
    #[inline(always)]
    pub fn take(self, verdict: Verdict) {
        self.all.add(&verdict);
        *self.verdict = verdict;
    }
}

/// What the service thread needs to know beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PuntMeta {
    /// What it is about.
    pub class: Punt,
    /// Port that it came in on.
    pub port: PortId,
    /// Interface that it came in on; `None` for the underlay and for what came out of a tunnel.
    pub vif: Option<VifId>,
    /// VRF that it belongs to; [`VrfId::MASTER`] for the underlay.
    pub vrf: VrfId,
    /// Source MAC of the frame: who to answer in the underlay. Zero for what came out of a tunnel.
    pub source_mac: Mac,
    /// [`Punt::TooBig`]: largest IPv4 packet, in bytes, that the path carries. Else 0.
    pub mtu: u16,
}
