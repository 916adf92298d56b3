//! Where the time of a burst goes: the pipeline says when a pass ends, and who wants to know reads a clock then.

/// The passes over a burst, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pass {
    /// Whose it is, what is in it, and whether it may be sent: classify, decap, policy.
    Arrive,
    /// Its route: lookup in the VRF.
    Lookup,
    /// What the route leads to.
    Nexthop,
    /// The frame that leaves: rewrite, encap.
    Depart,
}

impl Pass {
    /// Every pass, in order.
    pub const ALL: &[Pass] = &[Pass::Arrive, Pass::Lookup, Pass::Nexthop, Pass::Depart];
    /// How many there are.
    pub const COUNT: usize = Pass::ALL.len();

    /// As an index into [`Pass::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Stable name: CLI, JSON and metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Pass::Arrive => "arrive",
            Pass::Lookup => "lookup",
            Pass::Nexthop => "nexthop",
            Pass::Depart => "depart",
        }
    }
}

/// Is told when a pass over the burst ends.
pub trait Probe {
    /// The pass has ended; the next one begins at once.
    fn pass(&mut self, pass: Pass);
}

/// Nobody wants to know: costs nothing.
impl Probe for () {
    #[inline(always)]
    fn pass(&mut self, _: Pass) {}
}
