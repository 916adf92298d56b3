//! In place of `vector.rs` on another architecture: no CPU has the vectors.

use super::Fib;
use super::batch::{Key4, Key6};
use crate::seam::NexthopId;

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vectors {}

impl Vectors {
    pub const fn new() -> Option<Vectors> {
        None
    }

    pub fn lookup4(self, _: &Fib, _: &[Key4], _: &mut [NexthopId]) {}

    pub fn lookup6(self, _: &Fib, _: &[Key6], _: &mut [NexthopId]) {}
}
