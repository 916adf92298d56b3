//! Path groups: the paths that a route may take at once.
//!
//! A packet takes the path that its flow falls on; if that one cannot carry it, the next that can. So when a tunnel end is lost,
//! the one tunnel changes and all routes behind it go on by the other paths.

use crate::seam::{NexthopId, PATHS};

/// Groups that a node can have.
pub const GROUPS: usize = 1 << 18;

/// The paths of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Every place is taken: where paths are fewer, they repeat in turn.
    paths: [NexthopId; PATHS],
}

impl Group {
    /// The group of these paths; `None` without any. Those beyond [`PATHS`] are left out.
    pub fn new(paths: impl IntoIterator<Item = NexthopId>) -> Option<Group> {
        let given: Vec<NexthopId> = paths.into_iter().take(PATHS).collect();
        if given.is_empty() {
            return None;
        }
        Some(Group { paths: std::array::from_fn(|place| given[place % given.len()]) })
    }

    /// The paths in the order in which a flow with this hash tries them; its upper bits count.
    #[inline]
    pub fn paths(&self, hash: u64) -> impl Iterator<Item = NexthopId> {
        let first = (hash >> 61) as usize;
        (0..PATHS).map(move |step| self.paths[(first + step) % PATHS])
    }
}

// The upper three bits choose.
const _: () = assert!(PATHS == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_spread_over_the_paths_and_every_path_is_tried() {
        let ids: Vec<NexthopId> = (1..=3).map(NexthopId).collect();
        let group = Group::new(ids.clone()).unwrap();
        for step in 0..PATHS as u64 {
            let tried: Vec<NexthopId> = group.paths(step << 61).collect();
            assert_eq!(tried[0], ids[step as usize % 3]);
            assert!(ids.iter().all(|id| tried.contains(id)));
        }
        assert_eq!(Group::new([]), None);
    }
}
