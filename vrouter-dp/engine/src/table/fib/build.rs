//! What readers see of the routes: blocks of nodes and roots, built aside and published by one store.

use std::sync::atomic::Ordering;

use super::prefix::{Family, slot, start};
use super::routes::Answers;
use super::writer::{FibWriter, Path, Row};
use super::{CHILD, DEPTH, INDEX, ROOT_HEAD, Root, SKIP, STRIDE, TRIES, Trie};

/// Words of a skip.
const SKIP_WORDS: usize = 3;

/// Which children of a node see a change of its answers.
#[derive(Clone, Copy, Debug)]
enum Heirs {
    /// Those in these slots.
    Slots(u32),
    /// Those whose answer comes from above the node.
    Uncovered,
}

impl Heirs {
    const fn slots(self, covered: u32) -> u32 {
        match self {
            Heirs::Slots(slots) => slots,
            Heirs::Uncovered => !covered,
        }
    }
}

/// A block before it has a place.
struct Draft {
    leads: u32,
    begins: u32,
    children: [u32; 32],
    answers: [u32; 32],
}

impl FibWriter {
    /// Publishes what a change of the routes in some slots of the last node of `path` means.
    pub(super) fn publish(&mut self, row: &Row, path: &Path, level: usize, changed: u32) {
        let mut inherited = [0; DEPTH];
        for above in row.from..level {
            let cover = self.routes.cover(path.nodes[above], slot(path.key, above));
            inherited[above + 1] = cover.unwrap_or(inherited[above]);
        }
        if level < row.to {
            let within = (1u32 << (STRIDE as usize * (row.to - level))) - 1;
            let first = root_slot(row, path.key) & !within;
            let answer = inherited[level];
            self.paint(row, path.nodes[level], level, first, answer, Heirs::Slots(changed));
            return;
        }
        let mut heirs = Heirs::Slots(changed);
        for at in (row.to..=level).rev() {
            let (parent, slot) = (path.nodes[at - 1], slot(path.key, at - 1));
            let old = self.routes.word(parent, slot);
            let word = self.encode(path.nodes[at], old, inherited[at], heirs);
            if word == old {
                return;
            }
            self.routes.set_word(parent, slot, word);
            if at == row.to {
                return self.put(row.root + root_slot(row, path.key), word);
            }
            let above = self.routes.word(path.nodes[at - 2], self::slot(path.key, at - 2));
            // What a skip takes over from below is in it: only a node is changed in place.
            if word & old & above & CHILD != 0 && above & SKIP == 0 {
                let block = above & INDEX;
                let before = (self.get(block) & ((1 << slot) - 1)).count_ones();
                return self.put(block + 2 + before, word);
            }
            heirs = Heirs::Slots(0);
        }
    }

    pub(super) fn publish_default(&self, root: u32, answer: u32) {
        self.put(root - 1, answer);
    }

    /// Takes the block of a node that is gone out of use.
    pub(super) fn retire_node(&mut self, word: u32) {
        let block = word & INDEX;
        if word & CHILD != 0 && word & SKIP != 0 {
            self.blocks -= 1;
            self.retire(block, SKIP_WORDS);
        } else if word & CHILD != 0 {
            let (leads, begins) = (self.get(block).count_ones(), self.get(block + 1).count_ones());
            self.blocks -= 1;
            self.retire(block - begins, (leads + begins + 2) as usize);
        }
    }

    /// The word for a node whose present word is `old`: its block, changed in place if only words of it change.
    fn encode(&mut self, node: u32, old: u32, inherited: u32, heirs: Heirs) -> u32 {
        let (children, prefixes) = (self.routes.children(node), self.routes.prefixes(node));
        // A lone route, or the way to one, is what most nodes are: no look at every slot.
        if children == 0 && prefixes.is_power_of_two() {
            let bit = prefixes.trailing_zeros();
            let value = self.routes.route(node, bit).map_or(inherited, |route| route.value);
            let below = 32 - bit.ilog2();
            return match value == inherited {
                true => self.uniform(old, inherited),
                false => self.leap(old, [bit << below | below, value, inherited]),
            };
        }
        if prefixes == 0 && children.is_power_of_two() {
            let slot = children.trailing_zeros();
            if heirs.slots(0) & children != 0 {
                self.encode_child(node, slot, inherited);
            }
            let child = self.routes.word(node, slot);
            if child & CHILD != 0 {
                return self.leap(old, self.over(slot, child, inherited));
            }
            if child == inherited {
                return self.uniform(old, inherited);
            }
        }
        let answers = self.routes.answers(node, inherited);
        let mut left = children & heirs.slots(answers.covered);
        while left != 0 {
            let slot = left.trailing_zeros();
            self.encode_child(node, slot, answers.words[slot as usize]);
            left &= left - 1;
        }
        let draft = self.draft(node, children, &answers);
        if draft.leads == 0 && draft.begins.is_power_of_two() {
            return self.uniform(old, draft.answers[0]);
        }
        if draft.leads.is_power_of_two() && draft.begins.is_power_of_two() {
            let slot = draft.leads.trailing_zeros();
            return self.leap(old, self.over(slot, draft.children[0], draft.answers[0]));
        }
        let block = old & INDEX;
        let same = |block| self.get(block) == draft.leads && self.get(block + 1) == draft.begins;
        if old & CHILD != 0 && old & SKIP == 0 && same(block) {
            self.fill(block, &draft, FibWriter::put);
            return old;
        }
        let words = (draft.leads.count_ones() + draft.begins.count_ones() + 2) as usize;
        // The room was counted before the change began: there is a place.
        let Some(at) = self.slabs.take(words) else { return old };
        let block = at + draft.begins.count_ones();
        self.init(block, draft.leads);
        self.init(block + 1, draft.begins);
        self.fill(block, &draft, FibWriter::init);
        self.blocks += 1;
        self.retire_node(old);
        CHILD | block
    }

    fn encode_child(&mut self, node: u32, slot: u32, answer: u32) {
        let (child, old) = (self.routes.child(node, slot), self.routes.word(node, slot));
        let word = self.encode(child, old, answer, Heirs::Uncovered);
        if word != old {
            self.routes.set_word(node, slot, word);
        }
    }

    /// The word of a node that answers the same everywhere.
    fn uniform(&mut self, old: u32, answer: u32) -> u32 {
        self.retire_node(old);
        answer
    }

    /// The word of a node that is a skip.
    fn leap(&mut self, old: u32, skip: [u32; SKIP_WORDS]) -> u32 {
        let block = old & INDEX;
        let same = || (block..).zip(skip).all(|(at, word)| self.get(at) == word);
        if old & CHILD != 0 && old & SKIP != 0 && same() {
            return old;
        }
        let Some(block) = self.slabs.take(SKIP_WORDS) else { return old };
        (block..).zip(skip).for_each(|(at, word)| self.init(at, word));
        self.blocks += 1;
        self.retire_node(old);
        CHILD | SKIP | block
    }

    /// The skip of a node with one way on, `child` in `slot`, and `outside` everywhere else.
    fn over(&self, slot: u32, child: u32, outside: u32) -> [u32; SKIP_WORDS] {
        let way = slot << (32 - STRIDE);
        // What follows on the way is taken over if it answers the same outside and its bits still fit above their number.
        if child & SKIP != 0 {
            let [head, inside, other] = [0, 1, 2].map(|at| self.get((child & INDEX) + at));
            let below = (head & 31).saturating_sub(STRIDE);
            if other == outside && below >= STRIDE {
                let bits = head >> STRIDE & u32::MAX << below;
                return [way | bits | below, inside, outside];
            }
        }
        [way | (32 - STRIDE), child, outside]
    }

    fn draft(&self, node: u32, children: u32, answers: &Answers) -> Draft {
        let mut draft = Draft { leads: 0, begins: 0, children: [0; 32], answers: [0; 32] };
        let (mut led, mut begun) = (0, 0);
        for (slot, answer) in (0..32).zip(answers.words) {
            let word = match children >> slot & 1 {
                0 => answer,
                _ => self.routes.word(node, slot),
            };
            if word & CHILD != 0 {
                draft.leads |= 1 << slot;
                draft.children[led] = word;
                led += 1;
            } else if begun == 0 || draft.answers[begun - 1] != word {
                draft.begins |= 1 << slot;
                draft.answers[begun] = word;
                begun += 1;
            }
        }
        draft
    }

    /// Writes the children and answers of a block, by [`FibWriter::init`] if it is new.
    fn fill(&self, block: u32, draft: &Draft, write: impl Fn(&FibWriter, u32, u32)) {
        let children = draft.children.iter().take(draft.leads.count_ones() as usize);
        (block + 2..).zip(children).for_each(|(at, word)| write(self, at, *word));
        let answers = draft.answers.iter().take(draft.begins.count_ones() as usize);
        (1..).zip(answers).for_each(|(down, word)| write(self, block - down, *word));
    }

    /// Writes slots of a node that is part of the root; `first` is the root's slot for the node's first one.
    fn paint(&mut self, row: &Row, node: u32, level: usize, first: u32, above: u32, heirs: Heirs) {
        let answers = self.routes.answers(node, above);
        let width = 1u32 << (STRIDE as usize * (row.to - 1 - level));
        let mut left = heirs.slots(answers.covered) & all_slots(level);
        while left != 0 {
            let slot = left.trailing_zeros();
            left &= left - 1;
            let (at, answer) = (first + slot * width, answers.words[slot as usize]);
            match self.routes.child(node, slot) {
                0 => (at..at + width).for_each(|at| self.put(row.root + at, answer)),
                child if level + 1 < row.to => {
                    self.paint(row, child, level + 1, at, answer, Heirs::Uncovered);
                }
                _ => {
                    self.encode_child(node, slot, answer);
                    self.put(row.root + at, self.routes.word(node, slot));
                }
            }
        }
    }

    // ---- roots -------------------------------------------------------------------------------------------------------

    /// Builds the root that `new` describes, publishes it and returns `new` with it; `None`, and no change, without room.
    pub(super) fn replace_root(
        &mut self,
        old: &Row,
        new: Row,
        trie: Trie,
        family: Family,
        default: u32,
    ) -> Option<Row> {
        let slots = slots_of(&new);
        // Nodes that were part of the root get blocks.
        let blocks = self.nodes(old.top, 0, new.to, old.to);
        let spare = slots + ROOT_HEAD as usize + self.spare();
        if !self.slabs.has_room(blocks, spare) {
            self.reclaim();
        }
        if !self.slabs.has_room(blocks, spare) {
            return None;
        }
        let root = self.slabs.take(slots + ROOT_HEAD as usize)? + ROOT_HEAD;
        let mut new = new;
        new.root = root;
        self.init(root - 3, (new.start >> 96) as u32);
        self.init(root - 2, (new.start >> 64) as u32);
        self.init(root - 1, default);
        let mut node = old.top;
        for level in 0..new.from {
            node = if node == 0 { 0 } else { self.routes.child(node, slot(new.start, level)) };
        }
        match node {
            0 => (0..slots as u32).for_each(|slot| self.init(root + slot, 0)),
            node => self.lay(&new, node, new.from, 0, 0, old.to),
        }
        self.store_root(&new, trie, family);
        if old.root != 0 {
            self.retire(old.root - ROOT_HEAD, slots_of(old) + ROOT_HEAD as usize);
            self.strip(old.top, 0, old.to, new.to);
        }
        Some(new)
    }

    pub(super) fn drop_root(&mut self, row: &mut Row, trie: Trie, family: Family) {
        if row.root != 0 {
            self.roots(family)[trie.0].store(0, Ordering::Release);
            self.retire(row.root - ROOT_HEAD, slots_of(row) + ROOT_HEAD as usize);
            row.root = 0;
        }
    }

    /// Leaves nothing but the default route in a root.
    pub(super) fn clear_root(&self, row: &Row) {
        (0..slots_of(row) as u32).for_each(|slot| self.put(row.root + slot, 0));
    }

    fn store_root(&self, row: &Row, trie: Trie, family: Family) {
        let bits = slots_of(row).ilog2();
        let end = start(row.to);
        let how = match family {
            Family::V4 => (row.start >> 96) as u32 & Root::EXPECTED | bits << 5 | (32 - end),
            Family::V6 | Family::Global6 => bits << 6 | (64 - end),
        };
        let word = u64::from(how) << 32 | u64::from(row.root);
        self.roots(family)[trie.0].store(word, Ordering::Release);
    }

    /// Fills the part of a new root that a node has. Blocks of nodes from stride `had` on exist.
    fn lay(&mut self, row: &Row, node: u32, level: usize, first: u32, above: u32, had: usize) {
        let answers = self.routes.answers(node, above);
        let width = 1u32 << (STRIDE as usize * (row.to - 1 - level));
        let mut left = all_slots(level);
        while left != 0 {
            let slot = left.trailing_zeros();
            left &= left - 1;
            let (at, answer) = (first + slot * width, answers.words[slot as usize]);
            match self.routes.child(node, slot) {
                0 => (at..at + width).for_each(|at| self.init(row.root + at, answer)),
                child if level + 1 < row.to => self.lay(row, child, level + 1, at, answer, had),
                child => {
                    if level + 1 < had {
                        let word = self.build(child, level + 1, answer, had);
                        self.routes.set_word(node, slot, word);
                    }
                    self.init(row.root + at, self.routes.word(node, slot));
                }
            }
        }
    }

    /// The word of a node that has no block yet. Those from stride `had` on have.
    fn build(&mut self, node: u32, level: usize, above: u32, had: usize) -> u32 {
        if level + 1 < had {
            let answers = self.routes.answers(node, above);
            let mut left = self.routes.children(node);
            while left != 0 {
                let slot = left.trailing_zeros();
                left &= left - 1;
                let child = self.routes.child(node, slot);
                let word = self.build(child, level + 1, answers.words[slot as usize], had);
                self.routes.set_word(node, slot, word);
            }
        }
        self.encode(node, 0, above, Heirs::Slots(0))
    }

    /// Takes the blocks of nodes in strides `from..to` out of use: they are part of the root now.
    fn strip(&mut self, node: u32, level: usize, from: usize, to: usize) {
        if node == 0 || level + 1 >= to {
            return;
        }
        let mut left = self.routes.children(node);
        while left != 0 {
            let slot = left.trailing_zeros();
            left &= left - 1;
            if level + 1 >= from {
                let word = self.routes.word(node, slot);
                self.retire_node(word);
                self.routes.set_word(node, slot, 0);
            }
            self.strip(self.routes.child(node, slot), level + 1, from, to);
        }
    }

    /// Nodes in strides `from..to` below a node.
    fn nodes(&self, node: u32, level: usize, from: usize, to: usize) -> usize {
        if node == 0 || level >= to {
            return 0;
        }
        let children = (0..32).map(|slot| self.routes.child(node, slot));
        usize::from(level >= from)
            + children.map(|child| self.nodes(child, level + 1, from, to)).sum::<usize>()
    }

    // ---- words -------------------------------------------------------------------------------------------------------

    fn roots(&self, family: Family) -> &[std::sync::atomic::AtomicU64] {
        match family {
            Family::V4 => &self.fib.roots4,
            Family::V6 => &self.fib.roots6[..TRIES],
            Family::Global6 => &self.fib.roots6[TRIES..],
        }
    }

    fn get(&self, index: u32) -> u32 {
        self.fib.words[index as usize].load(Ordering::Relaxed)
    }

    /// Writes a word that no reader can see yet: the store that publishes its block publishes it. Nothing is read, as a read of a
    /// fresh page maps the page of zeros and the write behind it interrupts every worker to unmap that again.
    fn init(&self, index: u32, word: u32) {
        self.fib.words[index as usize].store(word, Ordering::Relaxed);
    }

    /// Release: who sees the word sees the block that it leads to. A word that stays as it is stays in the readers' caches.
    fn put(&self, index: u32, word: u32) {
        let cell = &self.fib.words[index as usize];
        if cell.load(Ordering::Relaxed) != word {
            cell.store(word, Ordering::Release);
        }
    }
}

/// The slot of an address in a root.
fn root_slot(row: &Row, key: u128) -> u32 {
    ((key ^ row.start) >> (128 - start(row.to))) as u32
}

fn slots_of(row: &Row) -> usize {
    1 << (start(row.to) - start(row.from))
}

/// The slots that a node can have.
const fn all_slots(level: usize) -> u32 {
    if level == 0 { 0xffff } else { u32::MAX }
}
