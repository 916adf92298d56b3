//! Blocks of words in an array: which places are taken. It never touches the words themselves.
//!
//! Small blocks come in classes of size; a span of pages holds blocks of one class, and goes back to the pages when the last of
//! them is free: churn does not fragment it, because no size keeps what another needs. Large blocks are runs of pages. Whatever is
//! taken is taken at the lowest place: what stays of a full table moves down as it changes, and the spans above become empty.

use std::collections::BTreeMap;

/// Words of a page, the unit of large blocks.
const PAGE: u32 = 1024;
/// Pages of a span.
const SPAN: u32 = 16;
const SPAN_WORDS: usize = (SPAN * PAGE) as usize;

/// Sizes of small blocks in words; the last two are roots of two strides with their header.
const CLASSES: [u16; 27] = [
    4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160,
    192, 516, 1028,
];
const SMALL: usize = 1028;
/// Classes for nodes.
const NODES: usize = CLASSES.len() - 2;

/// Class of each small size.
const CLASS: [u8; SMALL + 1] = {
    let mut table = [0; SMALL + 1];
    let (mut words, mut class) = (0, 0);
    while words <= SMALL {
        if words > CLASSES[class as usize] as usize {
            class += 1;
        }
        table[words] = class;
        words += 1;
    }
    table
};

/// Spans left at which small blocks begin to take the place of larger ones rather than a span of their own: as long as there is
/// any place, there is one for every small block.
const SCARCE: u32 = CLASSES.len() as u32 + 5;

/// A span without a block: its pages belong to nobody.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug)]
struct Span {
    page: u32,
    class: u8,
    used: u32,
    /// Words of `free` below this are zero.
    hint: u32,
    /// A bit for each free block.
    free: Vec<u64>,
}

/// A set of small numbers that knows its lowest.
#[derive(Debug, Default)]
struct Lowest {
    bits: Vec<u64>,
    /// A bit for each word of `bits` that is not zero.
    some: Vec<u64>,
}

impl Lowest {
    fn first(&self) -> Option<u32> {
        let (above, word) = (0..).zip(&self.some).find(|(_, word)| **word != 0)?;
        let at = above * 64 + word.trailing_zeros();
        Some(at * 64 + self.bits[at as usize].trailing_zeros())
    }

    fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
            self.some.resize(at / 64 + 1, 0);
        }
        self.bits[at] |= 1 << (number % 64);
        self.some[at / 64] |= 1 << (at % 64);
    }

    fn remove(&mut self, number: u32) {
        let at = number as usize / 64;
        self.bits[at] &= !(1 << (number % 64));
        if self.bits[at] == 0 {
            self.some[at / 64] &= !(1 << (at % 64));
        }
    }
}

/// Which places of an array of words are taken. Word 0 is never given out.
#[derive(Debug)]
pub struct Slabs {
    /// Span of each page that was ever used.
    pages: Vec<u32>,
    /// Runs of pages that are free again: first page -> pages.
    runs: BTreeMap<u32, u32>,
    /// The first page behind all that are in use, the first behind those that may have been written, and the end of the array.
    fresh: u32,
    touched: u32,
    limit: u32,
    spans: Vec<Span>,
    unused: Vec<u32>,
    /// Spans of each class that have room: for each the number of its first page by [`SPAN`].
    open: [Lowest; CLASSES.len()],
    words: usize,
    /// Pages in `runs`.
    returned: u32,
    /// Whole spans in `runs`.
    run_spans: u32,
    /// Class of the largest block that is not a root, and free blocks of this class and larger ones.
    largest: usize,
    ample: usize,
    /// Such blocks that a span holds.
    each: usize,
}

impl Slabs {
    /// All of an array of `words` words is free; blocks of nodes are of up to `largest` words.
    pub fn new(words: usize, largest: usize) -> Slabs {
        Slabs {
            // The first page has word 0 in it.
            pages: vec![NOWHERE],
            runs: BTreeMap::new(),
            fresh: 1,
            touched: 1,
            limit: (words as u64 / u64::from(PAGE)).min(u64::from(u32::MAX / PAGE)) as u32,
            spans: Vec::new(),
            unused: Vec::new(),
            open: Default::default(),
            words: 0,
            returned: 0,
            run_spans: 0,
            largest: usize::from(CLASS[largest.min(SMALL)]),
            ample: 0,
            each: capacity(usize::from(CLASS[largest.min(SMALL)])) as usize,
        }
    }

    /// Words that are taken, each block rounded up to its class.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Words of all pages that hold a block.
    pub fn held(&self) -> usize {
        (self.fresh - 1 - self.returned) as usize * PAGE as usize
    }

    /// Whether `blocks` blocks of nodes are there for certain, and `spare` words beside them.
    pub fn has_room(&self, blocks: usize, spare: usize) -> bool {
        let each = self.each;
        let spans = (self.free_spans() as usize).saturating_sub(spare.div_ceil(SPAN_WORDS));
        // Above the scarce ones every class may have opened a span for a single block.
        blocks <= spans.min(SCARCE as usize) * each + self.ample
            || blocks < spans.saturating_sub(CLASSES.len()) * each
    }

    /// Whether small blocks of these two sizes are the same.
    pub fn same(one: usize, other: usize) -> bool {
        CLASS[one] == CLASS[other]
    }

    /// Takes a block; `None` if there is no place. The last spans are for nodes.
    pub fn take(&mut self, words: usize) -> Option<u32> {
        let scarce = self.free_spans() <= SCARCE;
        if words > SMALL {
            let pages = pages(words);
            if self.free_spans() < SCARCE + pages.div_ceil(SPAN) {
                return None;
            }
            let page = self.take_pages(pages)?;
            self.words += (pages * PAGE) as usize;
            return Some(page * PAGE);
        }
        let class = usize::from(CLASS[words]);
        let id = match self.open[class].first() {
            Some(at) => self.span_at(at),
            None if !scarce => self.open_span(class)?,
            None if class >= NODES => return None,
            None => match self.open[class..NODES].iter().find_map(Lowest::first) {
                Some(at) => self.span_at(at),
                None => self.open_span(self.largest.max(class))?,
            },
        };
        let span = &mut self.spans[id as usize];
        let class = usize::from(span.class);
        while span.free[span.hint as usize] == 0 {
            span.hint += 1;
        }
        let bits = &mut span.free[span.hint as usize];
        let block = span.hint * 64 + bits.trailing_zeros();
        *bits &= *bits - 1;
        span.used += 1;
        let at = span.page * PAGE + block * u32::from(CLASSES[class]);
        if span.used == capacity(class) {
            self.open[class].remove(span.page / SPAN);
        }
        self.words += usize::from(CLASSES[class]);
        self.ample -= self.counts(class);
        Some(at)
    }

    /// Gives a block back that was taken with the same size.
    pub fn give(&mut self, at: u32, words: usize) {
        if words > SMALL {
            self.words -= (pages(words) * PAGE) as usize;
            return self.give_pages(at / PAGE, pages(words));
        }
        let id = self.pages[(at / PAGE) as usize];
        let span = &mut self.spans[id as usize];
        let class = usize::from(span.class);
        let size = u32::from(CLASSES[class]);
        let block = (at - span.page * PAGE) / size;
        span.free[block as usize / 64] |= 1 << (block % 64);
        span.hint = span.hint.min(block / 64);
        let (page, was_full) = (span.page, span.used == capacity(class));
        span.used -= 1;
        let empty = span.used == 0;
        self.words -= size as usize;
        self.ample += self.counts(class);
        if was_full {
            self.open[class].insert(page / SPAN);
        }
        if empty {
            self.close_span(id);
        }
    }

    /// Places that may have been written and hold no block now, as ranges of words: their memory can go back to the system, as
    /// nobody relies on what is in a block that is taken.
    pub fn unused(&mut self) -> Vec<std::ops::Range<usize>> {
        let behind = self.fresh..std::mem::replace(&mut self.touched, self.fresh);
        let runs = self.runs.iter().map(|(page, pages)| *page..page + pages);
        let words = |page: u32| (page * PAGE) as usize;
        runs.chain([behind]).map(|pages| words(pages.start)..words(pages.end)).collect()
    }

    /// The open span of this number in its class.
    fn span_at(&self, number: u32) -> u32 {
        // It begins at one of the pages of this number, so it has the last of them.
        self.pages[(number * SPAN + SPAN - 1) as usize]
    }

    fn free_spans(&self) -> u32 {
        self.limit.saturating_sub(self.fresh) / SPAN + self.run_spans
    }

    /// What a block of a class counts in `ample`.
    fn counts(&self, class: usize) -> usize {
        usize::from((self.largest..NODES).contains(&class))
    }

    fn open_span(&mut self, class: usize) -> Option<u32> {
        let page = self.take_pages(SPAN)?;
        let blocks = capacity(class);
        self.ample += self.counts(class) * blocks as usize;
        let mut free = vec![u64::MAX; (blocks / 64) as usize];
        if !blocks.is_multiple_of(64) {
            free.push((1 << (blocks % 64)) - 1);
        }
        let span = Span { page, class: class as u8, used: 0, hint: 0, free };
        let id = match self.unused.pop() {
            Some(id) => {
                self.spans[id as usize] = span;
                id
            }
            None => {
                self.spans.push(span);
                self.spans.len() as u32 - 1
            }
        };
        self.pages[page as usize..(page + SPAN) as usize].fill(id);
        self.open[class].insert(page / SPAN);
        Some(id)
    }

    fn close_span(&mut self, id: u32) {
        let span = &self.spans[id as usize];
        let (page, class) = (span.page, usize::from(span.class));
        self.open[class].remove(page / SPAN);
        self.ample -= self.counts(class) * capacity(class) as usize;
        self.spans[id as usize].free = Vec::new();
        self.unused.push(id);
        self.give_pages(page, SPAN);
    }

    fn take_pages(&mut self, pages: u32) -> Option<u32> {
        if let Some((&page, &run)) = self.runs.iter().find(|(_, run)| **run >= pages) {
            self.take_run(page);
            if run > pages {
                self.give_run(page + pages, run - pages);
            }
            return Some(page);
        }
        if self.limit.saturating_sub(self.fresh) < pages {
            return None;
        }
        let page = self.fresh;
        self.fresh += pages;
        self.touched = self.touched.max(self.fresh);
        self.pages.resize(self.fresh as usize, NOWHERE);
        Some(page)
    }

    fn give_pages(&mut self, mut page: u32, mut pages: u32) {
        self.pages[page as usize..(page + pages) as usize].fill(NOWHERE);
        pages += self.take_run(page + pages);
        if let Some((&before, &run)) = self.runs.range(..page).next_back()
            && before + run == page
        {
            pages += self.take_run(before);
            page = before;
        }
        match page + pages == self.fresh {
            true => self.fresh = page,
            false => self.give_run(page, pages),
        }
    }

    fn give_run(&mut self, page: u32, pages: u32) {
        self.runs.insert(page, pages);
        self.returned += pages;
        self.run_spans += pages / SPAN;
    }

    /// The pages of the run that begins there, if there is one.
    fn take_run(&mut self, page: u32) -> u32 {
        let pages = self.runs.remove(&page).unwrap_or(0);
        self.returned -= pages;
        self.run_spans -= pages / SPAN;
        pages
    }
}

const fn pages(words: usize) -> u32 {
    words.div_ceil(PAGE as usize) as u32
}

/// Blocks of a class that a span holds.
const fn capacity(class: usize) -> u32 {
    SPAN * PAGE / CLASSES[class] as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn blocks_never_overlap_and_all_pages_come_back() {
        let mut slabs = Slabs::new(1 << 20, 36);
        let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
        let (mut seed, mut most) = (7u64, 0);
        for round in 0..60_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (seed >> 33) as usize;
            if draw % 5 < 3 - usize::from(round > 30_000) {
                let words = [draw / 8 % 35 + 1, draw / 8 % 192 + 1, draw / 8 % 5000 + 1]
                    [(draw % 64 / 30).min(2)];
                let Some(at) = slabs.take(words) else { continue };
                assert!(at > 0 && at as usize + words <= 1 << 20);
                let before = taken.range(..=at).next_back();
                assert!(before.is_none_or(|(start, size)| *start as usize + size <= at as usize));
                let after = taken.range(at..).next();
                assert!(after.is_none_or(|(start, _)| *start as usize >= at as usize + words));
                taken.insert(at, words);
                most = most.max(taken.len());
            } else if !taken.is_empty() {
                let at = *taken.keys().nth(draw % taken.len()).unwrap();
                slabs.give(at, taken.remove(&at).unwrap());
            }
        }
        assert!(slabs.words() >= taken.values().sum());
        for unused in slabs.unused() {
            let before = taken.range(..unused.end as u32).next_back();
            assert!(before.is_none_or(|(at, words)| *at as usize + words <= unused.start));
        }
        assert!(most > 1_000, "{most}");
        taken.into_iter().for_each(|(at, words)| slabs.give(at, words));
        assert_eq!((slabs.words(), slabs.held()), (0, 0));
        let unused = slabs.unused();
        assert!(unused.iter().any(|words| !words.is_empty()), "{unused:?}");
        assert!(slabs.unused().iter().all(|words| words.is_empty()));
    }

    #[test]
    fn what_is_left_of_many_blocks_lies_together_once_it_has_changed() {
        let mut slabs = Slabs::new(1 << 20, 36);
        let mut blocks: Vec<u32> = (0..40_000).map(|_| slabs.take(12).unwrap()).collect();
        let full = slabs.held();
        // One of sixteen stays: each changes once, as the routes around it go.
        let mut left = Vec::new();
        for (number, at) in blocks.drain(..).enumerate() {
            slabs.give(at, 12);
            if number % 16 == 0 {
                left.push(slabs.take(12).unwrap());
            }
        }
        assert!(slabs.held() <= full / 10, "{} of {full}", slabs.held());
        left.into_iter().for_each(|at| slabs.give(at, 12));
        assert_eq!(slabs.held(), 0);
    }

    #[test]
    fn a_full_array_refuses_and_room_is_told_beforehand() {
        for words in 3..=36 {
            let mut slabs = Slabs::new(1 << 20, 36);
            assert!(!slabs.has_room(0, 1 << 20) || slabs.has_room(0, 0));
            let mut blocks = Vec::new();
            // Other sizes first, so that many spans are open for few blocks.
            blocks.extend((3..40).filter_map(|other| Some((slabs.take(other)?, other))));
            while slabs.has_room(10, 0) {
                blocks.extend((0..10).map(|_| (slabs.take(words).unwrap(), words)));
            }
            while let Some(at) = slabs.take(words) {
                blocks.push((at, words));
            }
            assert!(slabs.take(36).is_none() && slabs.take(1028).is_none());
            assert!(blocks.len() > 12_000, "{}", blocks.len());
            blocks.into_iter().for_each(|(at, words)| slabs.give(at, words));
            assert_eq!((slabs.held(), slabs.words(), slabs.ample), (0, 0, 0));
            assert!(slabs.take(400_000).is_some() && slabs.take(400_000).is_none());
        }
    }
}
