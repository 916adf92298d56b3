//! Publication of records to lock-free readers, and the grace period after which the old ones are freed (QSBR).
//!
//! A [`Domain`] has an epoch and one padded counter per [`Reader`]. The writer makes the old record unreachable, then takes a
//! [`Token`] with [`Domain::advance`]. A reader that says [`Reader::quiesce`] holds no reference from before and copies the
//! epoch to its counter. When every counter has reached the token, nobody can see the old record: the grace period is over.
//! The borrow checker keeps readers honest: every reference from [`Slots::load`] borrows the reader, and `quiesce` needs it
//! mutably.
//!
//! Every interleaving of small cases is checked by `RUSTFLAGS="--cfg loom" cargo test -p engine --lib publish`.
//!
//! This is the one module of the engine with `unsafe`: a reference to a record outlives the pointer that it came from, which
//! no safe type expresses without a reference count per packet.
#![allow(unsafe_code)] // WHY: the paragraph above.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

#[cfg(not(loom))]
mod sync {
    pub use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
}
#[cfg(loom)]
mod sync {
    pub use loom::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
}
use sync::{AtomicPtr, AtomicU64, Ordering, fence};

/// Readers that a domain can have at once.
pub const READERS: usize = if cfg!(loom) { 2 } else { 64 };

/// Counter of a slot without a reader, and of a reader that holds nothing: both are beyond every epoch.
const FREE: u64 = u64::MAX;
const OFFLINE: u64 = u64::MAX - 1;

/// A point in the history of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

/// An epoch and the readers that follow it.
#[derive(Debug)]
pub struct Domain {
    epoch: CachePadded<AtomicU64>,
    readers: Box<[CachePadded<AtomicU64>]>,
}

impl Domain {
    /// A domain without readers.
    pub fn new() -> Arc<Domain> {
        let readers = (0..READERS).map(|_| CachePadded::new(AtomicU64::new(FREE))).collect();
        Arc::new(Domain { epoch: CachePadded::new(AtomicU64::new(1)), readers })
    }

    /// Ends an epoch: what was unpublished before this call is invisible once the token has passed.
    pub fn advance(&self) -> Token {
        Token(self.epoch.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Whether every reader that is online has passed a quiescent point since `token` was taken.
    pub fn grace_passed(&self, token: Token) -> bool {
        // Pairs with the fence in `Reader::online`: either we see that reader's counter, or it sees what we unpublished.
        fence(Ordering::SeqCst);
        self.readers.iter().all(|reader| reader.load(Ordering::Acquire) >= token.0)
    }
}

/// The right to read what is published in one domain. One per worker.
#[derive(Debug)]
pub struct Reader {
    domain: Arc<Domain>,
    slot: usize,
}

impl Reader {
    /// A reader, online; `None` if there are [`READERS`] already.
    pub fn new(domain: &Arc<Domain>) -> Option<Reader> {
        let slot = domain.readers.iter().position(|counter| {
            counter.compare_exchange(FREE, OFFLINE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        let reader = Reader { domain: Arc::clone(domain), slot };
        reader.online();
        Some(reader)
    }

    /// A quiescent point: no reference from before is held any more (the borrow checker saw to it). Once per burst.
    #[inline]
    pub fn quiesce(&mut self) {
        // Acquire: after reading an epoch we see all that was unpublished before it.
        // Release: our reads of old records come before the counter that permits freeing them.
        let epoch = self.domain.epoch.load(Ordering::Acquire);
        self.counter().store(epoch, Ordering::Release);
    }

    /// The epoch of the last quiescent point: while it stays the same, nothing was published that this reader must see.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.counter().load(Ordering::Relaxed)
    }

    /// Runs `work` (a sleep, a wait) as if there were no reader: nobody waits for it meanwhile.
    pub fn offline<R>(&mut self, work: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a Reader);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.online();
            }
        }
        self.counter().store(OFFLINE, Ordering::Release);
        let _back = Back(self);
        work()
    }

    fn online(&self) {
        let epoch = self.domain.epoch.load(Ordering::Acquire);
        self.counter().store(epoch, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn counter(&self) -> &AtomicU64 {
        &self.domain.readers[self.slot]
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.counter().store(FREE, Ordering::Release);
    }
}

/// A table of records, each replaced as a whole.
#[derive(Debug)]
pub struct Slots<T> {
    domain: Arc<Domain>,
    rows: Box<[AtomicPtr<T>]>,
    limbo: Mutex<VecDeque<(Token, Retired<T>)>>,
    owns: PhantomData<T>,
}

/// A table as a reader sees it until its next quiescent point: what is the same for every row is checked once.
#[derive(Debug)]
pub struct View<'r, T> {
    rows: &'r [AtomicPtr<T>],
}

impl<'r, T> View<'r, T> {
    /// Asks for the pointer to the record at `index`.
    #[inline(always)]
    pub fn prefetch(&self, index: usize) {
        if let Some(row) = self.rows.get(index) {
            crate::prefetch::prefetch(row);
        }
    }

    /// Asks for the first line of the record at `index`: waits for the pointer only if [`View::prefetch`] came too late.
    #[inline(always)]
    pub fn prefetch_record(&self, index: usize) {
        if let Some(record) = self.load(index) {
            crate::prefetch::prefetch(record);
        }
    }

    /// The record at `index`; `None` if absent.
    #[inline]
    pub fn load(&self, index: usize) -> Option<&'r T> {
        let record = self.rows.get(index)?.load(Ordering::Acquire);
        // WHY: the packet path may not count references.
        // SAFETY: the pointer is null or came from `Box::into_raw` in `set`, published with release. It is freed only by
        // `reclaim`, after a grace period of the table's domain that began when it became unreachable, or by `drop`. A view
        // exists only for a reader of that very domain (`Slots::view`) and borrows it for 'r, so no `quiesce`, `offline` or
        // drop of the reader happens while the reference lives, hence no grace period ends; it borrows the table for 'r too,
        // so `drop` cannot run.
        unsafe { record.as_ref() }
    }
}

#[cfg(not(loom))]
fn rows<T>(capacity: usize) -> Box<[AtomicPtr<T>]> {
    // A null pointer is all zero bytes.
    crate::chunks::zeroed(capacity)
}

#[cfg(loom)]
fn rows<T>(capacity: usize) -> Box<[AtomicPtr<T>]> {
    (0..capacity).map(|_| AtomicPtr::new(ptr::null_mut())).collect()
}

/// A record that is no longer reachable but may still be read. It stays a raw pointer: a `Box` would claim to be its only user.
#[derive(Debug)]
struct Retired<T>(*mut T);

// SAFETY: it is the only owner of a `T` that may be sent; it is shared only through `&T`, which `Sync` allows.
unsafe impl<T: Send + Sync> Send for Retired<T> {}

impl<T: Send + Sync> Slots<T> {
    /// A table of up to `capacity` records, all absent.
    pub fn new(domain: &Arc<Domain>, capacity: usize) -> Slots<T> {
        Slots {
            domain: Arc::clone(domain),
            rows: rows(capacity),
            limbo: Mutex::new(VecDeque::new()),
            owns: PhantomData,
        }
    }

    /// The table for one burst of a reader; empty if the reader belongs to another domain.
    #[inline]
    pub fn view<'r>(&'r self, reader: &'r Reader) -> View<'r, T> {
        let same = ptr::eq(&*self.domain, &*reader.domain);
        View { rows: if same { &self.rows } else { &[] } }
    }

    /// The record at `index`; `None` if absent, or if the reader belongs to another domain.
    #[inline]
    pub fn load<'r>(&'r self, index: usize, reader: &'r Reader) -> Option<&'r T> {
        self.view(reader).load(index)
    }

    /// Replaces the record at `index`; `false`, and no change, beyond the capacity. The old one is freed after grace.
    pub fn set(&self, index: usize, record: Option<T>) -> bool {
        let Some(row) = self.rows.get(index) else { return record.is_none() };
        let new = record.map_or(ptr::null_mut(), |record| Box::into_raw(Box::new(record)));
        let old = row.swap(new, Ordering::AcqRel);
        if !old.is_null() {
            let token = self.domain.advance();
            self.limbo().push_back((token, Retired(old)));
        }
        true
    }

    /// Frees what no reader can see any more; returns how many records still wait.
    pub fn reclaim(&self) -> usize {
        let mut limbo = self.limbo();
        while let Some((token, _)) = limbo.front()
            && self.domain.grace_passed(*token)
        {
            if let Some((_, Retired(record))) = limbo.pop_front() {
                // WHY: the counterpart of `into_raw` in `set`.
                // SAFETY: `set` made it unreachable before it took the token, and put it here once; every reader has
                // passed a quiescent point since, so no reference is left.
                drop(unsafe { Box::from_raw(record) });
            }
        }
        limbo.len()
    }

    fn limbo(&self) -> std::sync::MutexGuard<'_, VecDeque<(Token, Retired<T>)>> {
        self.limbo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        let published = self.rows.iter().map(|row| row.load(Ordering::Relaxed));
        let retired = self.limbo.get_mut().unwrap_or_else(PoisonError::into_inner);
        for record in published.chain(retired.drain(..).map(|(_, Retired(record))| record)) {
            if !record.is_null() {
                // WHY: as in `reclaim`.
                // SAFETY: every reference borrows `self`, so none is left; each record is either published or retired.
                drop(unsafe { Box::from_raw(record) });
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn grace_waits_for_each_reader_that_is_online() {
        let domain = Domain::new();
        let mut a = Reader::new(&domain).unwrap();
        let mut b = Reader::new(&domain).unwrap();
        let token = domain.advance();
        assert!(!domain.grace_passed(token));
        a.quiesce();
        assert!(!domain.grace_passed(token));
        b.offline(|| assert!(domain.grace_passed(token)));
        assert!(domain.grace_passed(token), "back online at the present epoch");
        let token = domain.advance();
        a.quiesce();
        drop(b);
        assert!(domain.grace_passed(token));
    }

    #[test]
    fn records_are_freed_after_grace_and_not_before() {
        let domain = Domain::new();
        let slots = Slots::new(&domain, 100);
        let mut reader = Reader::new(&domain).unwrap();
        let record = Arc::new(1);
        assert!(slots.set(70, Some(Arc::clone(&record))));
        let seen = slots.load(70, &reader).unwrap();
        assert!(slots.set(70, None));
        assert_eq!(slots.reclaim(), 1);
        assert_eq!((**seen, Arc::strong_count(&record)), (1, 2));
        reader.quiesce();
        assert!(slots.load(70, &reader).is_none());
        assert_eq!(slots.reclaim(), 0);
        assert_eq!(Arc::strong_count(&record), 1);
    }

    #[test]
    fn a_reader_of_another_domain_sees_nothing() {
        let slots = Slots::new(&Domain::new(), 1);
        assert!(slots.set(0, Some(1)));
        let other = Domain::new();
        assert!(slots.load(0, &Reader::new(&other).unwrap()).is_none());
    }

    #[test]
    fn beyond_the_capacity() {
        let domain = Domain::new();
        let slots = Slots::new(&domain, 64);
        assert!(!slots.set(64, Some(1)));
        assert!(slots.load(64, &Reader::new(&domain).unwrap()).is_none());
    }

    #[test]
    fn threads_read_while_records_change() {
        let domain = Domain::new();
        let slots = Arc::new(Slots::new(&domain, 1));
        slots.set(0, Some([0u64; 8]));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (slots, mut reader) = (Arc::clone(&slots), Reader::new(&domain).unwrap());
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        let record = slots.load(0, &reader).unwrap();
                        assert!(record.iter().all(|word| *word == record[0]));
                        reader.quiesce();
                    }
                })
            })
            .collect();
        for round in 1..2_000 {
            slots.set(0, Some([round; 8]));
            slots.reclaim();
        }
        readers.into_iter().for_each(|r| r.join().unwrap());
        assert_eq!(slots.reclaim(), 0);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::thread;

    /// A record that says so when it is read after it was freed.
    struct Checked(Arc<loom::sync::atomic::AtomicBool>);
    impl Drop for Checked {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn no_reader_sees_a_freed_record() {
        loom::model(|| {
            let domain = Domain::new();
            let slots = Arc::new(Slots::new(&domain, 1));
            let freed = Arc::new(loom::sync::atomic::AtomicBool::new(false));
            slots.set(0, Some(Checked(Arc::clone(&freed))));
            let mut reader = Reader::new(&domain).unwrap();
            let theirs = Arc::clone(&slots);
            let thread = thread::spawn(move || {
                for _ in 0..2 {
                    if let Some(record) = theirs.load(0, &reader) {
                        assert!(!record.0.load(Ordering::SeqCst));
                    }
                    reader.quiesce();
                }
            });
            slots.set(0, None);
            slots.reclaim();
            thread.join().unwrap();
            slots.reclaim();
        });
    }

    #[test]
    fn a_reader_that_comes_back_is_not_overlooked() {
        loom::model(|| {
            let domain = Domain::new();
            let slots = Arc::new(Slots::new(&domain, 1));
            let freed = Arc::new(loom::sync::atomic::AtomicBool::new(false));
            slots.set(0, Some(Checked(Arc::clone(&freed))));
            let mut reader = Reader::new(&domain).unwrap();
            let theirs = Arc::clone(&slots);
            let thread = thread::spawn(move || {
                reader.offline(|| ());
                if let Some(record) = theirs.load(0, &reader) {
                    assert!(!record.0.load(Ordering::SeqCst));
                }
            });
            slots.set(0, None);
            slots.reclaim();
            thread.join().unwrap();
        });
    }
}
