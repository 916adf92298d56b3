//! The writing side of the tries: which routes there are, and how wide the roots are. What is published of them: `build.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ipnet::IpNet;

use super::prefix::{Family, GLOBAL, Prefix, cut, slot, with_slot};
use super::routes::{Route, Routes, slots};
use super::slabs::Slabs;
use super::{DEPTH, Fib, Trie};
use crate::publish::{Domain, Token};
use crate::seam::{NexthopId, Refusal};

/// Routes of a trie above which its root takes a stride more: to 2 or 4 KiB, 64 or 128 KiB, 2 or 4 MiB. Below half of it, one less.
const WIDEN: [u32; 3] = [48, 768, 65_536];

/// Words of the largest block of a node, rounded up.
const LARGEST: usize = 36;

/// Blocks that wait for one grace period together.
const TOGETHER: usize = 64;

/// A trie, as its writer knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    exists: bool,
    /// The first of its routes' nodes; 0 without routes, the default one aside.
    pub top: u32,
    default: Option<Route>,
    /// Routes, the default one aside.
    routes: u32,
    /// First slot of the root; 0 if there is none.
    pub root: u32,
    /// Strides that the root wants to take; near the end of the address it takes fewer.
    wide: usize,
    /// First stride of the root, and the one after its last.
    pub from: usize,
    pub to: usize,
    /// Where the root begins, left-aligned.
    pub start: u128,
}

/// The nodes of the routes on the way to a prefix.
#[derive(Debug)]
pub(super) struct Path {
    pub key: u128,
    pub nodes: [u32; DEPTH],
    /// How many there are.
    pub known: usize,
}

/// Changes the tries. The only writer of its [`Fib`].
#[derive(Debug)]
pub struct FibWriter {
    pub(super) fib: Arc<Fib>,
    pub(super) routes: Routes,
    pub(super) slabs: Slabs,
    /// Published blocks of nodes.
    pub(super) blocks: usize,
    domain: Arc<Domain>,
    rows: [Vec<Row>; Family::ALL.len()],
    /// Blocks that readers may still see, and how many of them wait for which token; the rest waits for one to be taken.
    limbo: VecDeque<(u32, usize)>,
    waiting: VecDeque<(Token, usize)>,
    open: usize,
}

impl FibWriter {
    /// The writer of `fib`, which nobody else may write.
    pub fn new(fib: Arc<Fib>, domain: Arc<Domain>) -> FibWriter {
        FibWriter {
            slabs: Slabs::new(fib.words.len(), LARGEST),
            fib,
            routes: Routes::new(),
            blocks: 0,
            domain,
            rows: [Vec::new(), Vec::new(), Vec::new()],
            limbo: VecDeque::new(),
            waiting: VecDeque::new(),
            open: 0,
        }
    }

    /// Makes an empty trie for both families; no change if it exists. It takes no reader memory before its first route.
    pub fn create(&mut self, trie: Trie) {
        for rows in &mut self.rows {
            if rows.len() <= trie.0 {
                rows.resize(trie.0 + 1, Row::default());
            }
            rows[trie.0].exists = true;
        }
    }

    /// Removes a trie that holds no route.
    pub fn destroy(&mut self, trie: Trie) {
        for rows in &mut self.rows {
            if let Some(row) = rows.get_mut(trie.0) {
                row.exists = false;
            }
        }
    }

    /// How many routes a trie has in both families.
    pub fn len(&self, trie: Trie) -> usize {
        let rows = Family::ALL.iter().filter_map(|family| self.row(*family, trie).ok());
        let all: usize =
            rows.map(|row| row.routes as usize + usize::from(row.default.is_some())).sum();
        let twins = (0..GLOBAL.0).filter_map(|length| {
            self.find(trie, Prefix { family: Family::Global6, key: 0, length })
        });
        all - twins.count()
    }

    /// The route at exactly this prefix.
    pub fn exact(&self, trie: Trie, prefix: IpNet) -> Option<NexthopId> {
        self.find(trie, prefix.into()).map(|route| NexthopId(route.value))
    }

    fn find(&self, trie: Trie, prefix: Prefix) -> Option<Route> {
        let row = self.row(prefix.family, trie).ok()?;
        if prefix.length == 0 {
            return row.default;
        }
        let path = self.path(&row, prefix);
        let node = *path.nodes[..path.known].get(prefix.level())?;
        self.routes.route(node, prefix.bit())
    }

    /// Adds a route, or replaces its next hop, and stamps it with `mark`; returns the next hop that it had.
    ///
    /// `Unknown` trie. `Full` without room for all that the change needs: nothing is changed then.
    pub fn set(
        &mut self,
        trie: Trie,
        prefix: IpNet,
        value: NexthopId,
        mark: u32,
    ) -> Result<Option<NexthopId>, Refusal> {
        let (prefix, route) = (Prefix::from(prefix), Route { value: value.0, mark });
        let old = self.put_route(trie, prefix, route)?;
        if let Some(twin) = prefix.twin()
            && let Err(refusal) = self.put_route(trie, twin, route)
        {
            // There is always room for what stood there before.
            let _ = match old {
                Some(old) => self.put_route(trie, prefix, old),
                None => self.take_route(trie, prefix).map(Some),
            };
            return Err(refusal);
        }
        Ok(old.map(|route| NexthopId(route.value)))
    }

    /// Removes a route; returns its next hop. `Unknown` if there is none, `Full` as [`FibWriter::set`].
    pub fn remove(&mut self, trie: Trie, prefix: IpNet) -> Result<NexthopId, Refusal> {
        let prefix = Prefix::from(prefix);
        let old = self.take_route(trie, prefix)?;
        if let Some(twin) = prefix.twin()
            && let Err(refusal) = self.take_route(trie, twin)
        {
            let _ = self.put_route(trie, prefix, old);
            return Err(refusal);
        }
        Ok(NexthopId(old.value))
    }

    fn put_route(
        &mut self,
        trie: Trie,
        prefix: Prefix,
        route: Route,
    ) -> Result<Option<Route>, Refusal> {
        let mut row = self.row(prefix.family, trie)?;
        let old = self.set_in(&mut row, trie, prefix, route);
        // A root that was made ready for a refused route stays: it answers the same.
        self.rows[prefix.family as usize][trie.0] = row;
        self.settle();
        old
    }

    fn take_route(&mut self, trie: Trie, prefix: Prefix) -> Result<Route, Refusal> {
        let mut row = self.row(prefix.family, trie)?;
        let old = self.remove_in(&mut row, trie, prefix);
        self.rows[prefix.family as usize][trie.0] = row;
        self.settle();
        old
    }

    /// The routes of every trie that were last set with another mark.
    pub fn stale(&self, mark: u32) -> Vec<(Trie, IpNet)> {
        let mut stale = Vec::new();
        self.each(|trie, prefix, route| {
            if route.mark != mark {
                stale.push((trie, prefix.net()));
            }
        });
        stale
    }

    /// Makes blocks that no reader sees any more usable again; returns how many still wait.
    pub fn reclaim(&mut self) -> usize {
        if self.open > 0 {
            self.waiting.push_back((self.domain.advance(), self.open));
            self.open = 0;
        }
        self.release();
        self.limbo.len()
    }

    /// Hands out the memory that no block needs now, for `shared` and `own` to return to the system, and gives up what the lists of
    /// a full table keep: for a moment of rest. What is written there later does not rely on what was there.
    pub fn trim(&mut self, mut shared: impl FnMut(&[AtomicU32]), own: impl FnMut(&mut [u32])) {
        for unused in self.slabs.unused() {
            self.fib.words.get(unused).into_iter().for_each(&mut shared);
        }
        self.routes.trim(own);
        self.limbo.shrink_to(TOGETHER);
        self.waiting.shrink_to(TOGETHER);
    }

    /// Bytes that readers' blocks take, those that wait for grace included.
    pub fn bytes(&self) -> usize {
        self.slabs.words() * size_of::<u32>()
    }

    /// Bytes of the pages that hold such blocks: what the blocks cost with all that is lost between them.
    pub fn held_bytes(&self) -> usize {
        self.slabs.held() * size_of::<u32>()
    }

    /// Blocks of nodes that are published.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of what only the writer knows.
    pub fn own_bytes(&self) -> usize {
        self.routes.words() * size_of::<u32>()
    }

    // ---- one change --------------------------------------------------------------------------------------------------

    fn set_in(
        &mut self,
        row: &mut Row,
        trie: Trie,
        prefix: Prefix,
        route: Route,
    ) -> Result<Option<Route>, Refusal> {
        if prefix.length == 0 {
            return self.set_default(row, trie, prefix.family, Some(route));
        }
        let (level, bit) = (prefix.level(), prefix.bit());
        let mut path = self.path(row, prefix);
        let old = (path.known > level).then(|| self.routes.route(path.nodes[level], bit)).flatten();
        if let Some(old) = old {
            if old.value != route.value {
                self.afford(&path, level, bit, self.spare())?;
            }
            self.routes.replace(path.nodes[level], bit, route);
            if old.value != route.value {
                self.publish(row, &path, level, slots(bit));
            }
            return Ok(Some(old));
        }
        self.make_way(row, trie, prefix)?;
        self.afford(&path, level, bit, self.spare())?;
        if !self.routes.has_room(2 * DEPTH) {
            return Err(Refusal::Full);
        }
        self.enter(row, &mut path, prefix, route).ok_or(Refusal::Full)?;
        row.routes += 1;
        self.publish(row, &path, level, slots(bit));
        self.resize(row, trie, prefix.family);
        Ok(None)
    }

    fn remove_in(&mut self, row: &mut Row, trie: Trie, prefix: Prefix) -> Result<Route, Refusal> {
        if prefix.length == 0 {
            row.default.ok_or(Refusal::Unknown)?;
            return self.set_default(row, trie, prefix.family, None)?.ok_or(Refusal::Unknown);
        }
        let (mut level, bit) = (prefix.level(), prefix.bit());
        let mut path = self.path(row, prefix);
        let old = (path.known > level).then(|| self.routes.route(path.nodes[level], bit)).flatten();
        let old = old.ok_or(Refusal::Unknown)?;
        self.afford(&path, level, bit, 0)?;
        let mut changed = slots(bit);
        let mut node = self.routes.remove(path.nodes[level], bit);
        while node == 0 && level > 0 {
            level -= 1;
            let slot = slot(prefix.key, level);
            let word = self.routes.word(path.nodes[level], slot);
            self.retire_node(word);
            node = self.routes.remove_child(path.nodes[level], slot);
            changed = 1 << slot;
        }
        row.routes -= 1;
        if node == 0 {
            row.top = 0;
            self.rest(row, trie, prefix.family);
        } else {
            self.moved(row, &mut path, level, node);
            path.known = level + 1;
            self.publish(row, &path, level, changed);
            self.resize(row, trie, prefix.family);
        }
        Ok(old)
    }

    fn set_default(
        &mut self,
        row: &mut Row,
        trie: Trie,
        family: Family,
        route: Option<Route>,
    ) -> Result<Option<Route>, Refusal> {
        if row.root == 0 {
            self.lay_out(row, trie, family, 0, 0, 1)?;
        }
        let old = std::mem::replace(&mut row.default, route);
        self.publish_default(row.root, route.map_or(0, |route| route.value));
        if row.top == 0 {
            self.rest(row, trie, family);
        }
        Ok(old)
    }

    /// Puts the route among the others; `None`, and no change, without memory.
    fn enter(
        &mut self,
        row: &mut Row,
        path: &mut Path,
        prefix: Prefix,
        route: Route,
    ) -> Option<()> {
        let level = prefix.level();
        if path.known > level {
            let node = self.routes.add(path.nodes[level], prefix.bit(), route)?;
            self.moved(row, path, level, node);
            return Some(());
        }
        let mut node = self.routes.leaf(prefix.bit(), route)?;
        path.nodes[level] = node;
        for at in (path.known..level).rev() {
            node = self.routes.branch(slot(prefix.key, at), node)?;
            path.nodes[at] = node;
        }
        match path.known.checked_sub(1) {
            None => row.top = node,
            Some(parent) => {
                let slot = slot(prefix.key, parent);
                let moved = self.routes.add_child(path.nodes[parent], slot, node)?;
                self.moved(row, path, parent, moved);
            }
        }
        path.known = level + 1;
        Some(())
    }

    /// A node of the path has a new place.
    fn moved(&mut self, row: &mut Row, path: &mut Path, level: usize, node: u32) {
        if path.nodes[level] == node {
            return;
        }
        path.nodes[level] = node;
        match level.checked_sub(1) {
            None => row.top = node,
            Some(parent) => {
                self.routes.move_child(path.nodes[parent], slot(path.key, parent), node);
            }
        }
    }

    /// `Full` unless there is room for every block that a change at a prefix may replace, and `spare` words more.
    fn afford(&mut self, path: &Path, level: usize, bit: u32, spare: usize) -> Result<(), Refusal> {
        // Nearly always there is room for everything twice; only without it is it worth while to count.
        if self.slabs.has_room(self.blocks + DEPTH, spare) {
            return Ok(());
        }
        self.reclaim();
        let below = match path.nodes[..path.known].get(level) {
            Some(node) => self.heirs(*node, slots(bit)),
            None => 0,
        };
        match self.slabs.has_room(level + 1 + below, spare) {
            true => Ok(()),
            false => Err(Refusal::Full),
        }
    }

    /// Words that new routes and roots leave free: what goes needs blocks too until the old ones are free.
    pub(super) fn spare(&self) -> usize {
        self.fib.words.len() / 16
    }

    /// Nodes below the given slots that may take an answer from there.
    fn heirs(&self, node: u32, slots: u32) -> usize {
        let mut left = self.routes.children(node) & slots;
        let mut count = 0;
        while left != 0 {
            let child = self.routes.child(node, left.trailing_zeros());
            count += 1 + self.heirs(child, !self.routes.answers(child, 0).covered);
            left &= left - 1;
        }
        count
    }

    // ---- roots -------------------------------------------------------------------------------------------------------

    /// Sees to it that the root covers a prefix that is to come.
    fn make_way(&mut self, row: &mut Row, trie: Trie, prefix: Prefix) -> Result<(), Refusal> {
        let family = prefix.family;
        let level = prefix.level().min(family.last_start());
        if row.top == 0 {
            return self.lay_out(row, trie, family, cut(prefix.key, level), level, 1);
        }
        let from = level.min(row.from);
        let parts = (0..from).find(|level| slot(prefix.key, *level) != slot(row.start, *level));
        let from = parts.unwrap_or(from);
        if from < row.from {
            self.lay_out(row, trie, family, cut(row.start, from), from, row.wide)?;
        }
        Ok(())
    }

    /// Makes the root wider or narrower if the number of routes asks for it. Without room it stays: that costs time, not answers.
    fn resize(&mut self, row: &mut Row, trie: Trie, family: Family) {
        let wide = match row.wide {
            wide if wide <= WIDEN.len() && row.routes > WIDEN[wide - 1] => wide + 1,
            wide if wide > 1 && row.routes < WIDEN[wide - 2] / 2 => wide - 1,
            _ => return,
        };
        let (mut node, mut from, mut start) = (row.top, 0, 0);
        while from < family.last_start()
            && self.routes.prefixes(node) == 0
            && self.routes.children(node).is_power_of_two()
        {
            let slot = self.routes.children(node).trailing_zeros();
            start = with_slot(start, from, slot);
            node = self.routes.child(node, slot);
            from += 1;
        }
        let _ = self.lay_out(row, trie, family, start, from, wide);
    }

    /// The root of a trie without routes: a small one for the default route, or none.
    fn rest(&mut self, row: &mut Row, trie: Trie, family: Family) {
        if row.default.is_none() {
            self.drop_root(row, trie, family);
        } else if self.lay_out(row, trie, family, 0, 0, 1).is_err() {
            // The root stays as it is, with nothing in it but the default route.
            self.clear_root(row);
        }
    }

    fn lay_out(
        &mut self,
        row: &mut Row,
        trie: Trie,
        family: Family,
        start: u128,
        from: usize,
        wide: usize,
    ) -> Result<(), Refusal> {
        let to = (from + wide).min(family.last_end());
        let new = Row { from, to, start, wide, ..*row };
        let default = row.default.map_or(0, |route| route.value);
        *row = self.replace_root(row, new, trie, family, default).ok_or(Refusal::Full)?;
        Ok(())
    }

    // ---- memory ------------------------------------------------------------------------------------------------------

    /// Takes a block out of use after grace.
    pub(super) fn retire(&mut self, at: u32, words: usize) {
        self.limbo.push_back((at, words));
        self.open += 1;
    }

    /// After a change: what it replaced waits for grace, and what has waited long enough is free.
    fn settle(&mut self) {
        if self.open >= TOGETHER {
            self.reclaim();
        }
    }

    fn release(&mut self) {
        while let Some((token, count)) = self.waiting.front().copied()
            && self.domain.grace_passed(token)
        {
            self.waiting.pop_front();
            for (at, words) in self.limbo.drain(..count) {
                self.slabs.give(at, words);
            }
        }
    }

    // ---- looking around ----------------------------------------------------------------------------------------------

    fn row(&self, family: Family, trie: Trie) -> Result<Row, Refusal> {
        let row = self.rows[family as usize].get(trie.0).copied();
        row.filter(|row| row.exists).ok_or(Refusal::Unknown)
    }

    fn path(&self, row: &Row, prefix: Prefix) -> Path {
        let mut path = Path { key: prefix.key, nodes: [0; DEPTH], known: 0 };
        let mut node = row.top;
        while node != 0 {
            path.nodes[path.known] = node;
            let level = path.known;
            path.known += 1;
            if level == prefix.level() {
                break;
            }
            node = self.routes.child(node, slot(prefix.key, level));
        }
        path
    }

    fn each(&self, mut visit: impl FnMut(Trie, Prefix, Route)) {
        for family in Family::ALL {
            for (index, row) in self.rows[family as usize].iter().enumerate() {
                let trie = Trie(index);
                if let Some(route) = row.default.filter(|_| family != Family::Global6) {
                    visit(trie, Prefix { family, key: 0, length: 0 }, route);
                }
                let mut left = vec![(row.top, 0, 0)];
                while let Some((node, level, key)) = left.pop() {
                    if node == 0 {
                        continue;
                    }
                    let prefixes = self.routes.prefixes(node);
                    for bit in (2..64).filter(|bit| prefixes >> bit & 1 != 0) {
                        let prefix = Prefix::at(family, key, level, bit);
                        if let Some(route) = self.routes.route(node, bit)
                            && !prefix.is_twin()
                        {
                            visit(trie, prefix, route);
                        }
                    }
                    let children = (0..32).map(|slot| (self.routes.child(node, slot), slot));
                    left.extend(
                        children
                            .map(|(child, slot)| (child, level + 1, with_slot(key, level, slot))),
                    );
                }
            }
        }
    }
}
