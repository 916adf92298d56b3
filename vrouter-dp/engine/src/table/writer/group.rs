//! Path groups.

use super::TablesWriter;
use crate::seam::{GroupId, Nexthop, NexthopId, PATHS, Refusal};
use crate::table::group::{GROUPS, Group};

#[derive(Debug, Default)]
pub(super) struct GroupRow {
    paths: [Option<NexthopId>; PATHS],
    /// Next hops that name it.
    references: u32,
}

impl GroupRow {
    pub fn names(&self, id: NexthopId) -> bool {
        self.paths.contains(&Some(id))
    }

    fn group(&self) -> Option<Group> {
        Group::new(self.paths.iter().flatten().copied())
    }
}

impl TablesWriter {
    /// Adds or replaces a path; the first one makes the group. `Unknown` next hop, `InUse` if it is no path.
    pub fn path_set(&mut self, id: GroupId, place: u8, path: NexthopId) -> Result<(), Refusal> {
        if id.index() >= GROUPS || usize::from(place) >= PATHS {
            return Err(Refusal::Full);
        }
        if !is_path(self.nexthop_row(path).ok_or(Refusal::Unknown)?.nexthop) {
            return Err(Refusal::InUse);
        }
        let row = self.groups.entry(id).or_default();
        let old = row.paths[usize::from(place)].replace(path);
        self.tables.groups.set(id.index(), row.group());
        self.nexthop_references(path, 1);
        if let Some(old) = old {
            self.nexthop_references(old, -1);
        }
        Ok(())
    }

    /// Removes a path, and the group with its last one. `InUse` while a next hop names the group.
    pub fn path_del(&mut self, id: GroupId, place: u8) -> Result<(), Refusal> {
        let row = self.groups.get_mut(&id).ok_or(Refusal::Unknown)?;
        let path = row.paths.get(usize::from(place)).copied().flatten().ok_or(Refusal::Unknown)?;
        let last = row.paths.iter().flatten().count() == 1;
        if last && row.references > 0 {
            return Err(Refusal::InUse);
        }
        row.paths[usize::from(place)] = None;
        self.tables.groups.set(id.index(), row.group());
        if last {
            self.groups.remove(&id);
        }
        self.nexthop_references(path, -1);
        Ok(())
    }

    pub(super) fn group_references(&mut self, id: GroupId, change: i32) {
        if let Some(row) = self.groups.get_mut(&id) {
            row.references = row.references.saturating_add_signed(change);
        }
    }
}

/// Whether a group may have this as a path.
pub(super) const fn is_path(nexthop: Nexthop) -> bool {
    matches!(nexthop, Nexthop::Tunnel { .. } | Nexthop::Vif(_))
}
