//! Arrays that are as large as they may ever get and cost only what is used of them.
//!
//! [`zeroed`] leaves that to the operating system: pages that were never written take no memory. [`Chunks`], for rows that do not
//! start as zero bytes, is an array that allocates itself in pieces as its writer needs them, and never moves: readers keep plain references.

use std::sync::OnceLock;

use zerocopy::FromZeros;

/// `count` rows of zero bytes, of which only those that are written cost memory.
pub fn zeroed<T: FromZeros>(count: usize) -> Box<[T]> {
    // An allocation of that size fails only if it overflows the address space; no row then.
    <[T]>::new_box_zeroed_with_elems(count).unwrap_or_else(|_| Box::from([]))
}

/// As [`zeroed`], but half as many rows, and half of that, as long as the system refuses so much address space.
pub fn most<T: FromZeros>(count: usize) -> Box<[T]> {
    let rows = zeroed(count);
    if rows.is_empty() && count > 1 { most(count / 2) } else { rows }
}

/// Up to a fixed number of `T`, in chunks of `N` (a power of two).
#[derive(Debug)]
pub struct Chunks<T, const N: usize> {
    directory: Box<[OnceLock<Box<[T]>>]>,
}

impl<T: Default, const N: usize> Chunks<T, N> {
    /// Room for `capacity` rows, rounded up to whole chunks; no row is allocated yet.
    pub fn new(capacity: usize) -> Self {
        const { assert!(N.is_power_of_two()) }
        Chunks { directory: (0..capacity.div_ceil(N)).map(|_| OnceLock::new()).collect() }
    }

    /// The row, if its chunk is allocated.
    #[inline]
    pub fn at(&self, index: usize) -> Option<&T> {
        self.directory.get(index / N)?.get()?.get(index % N)
    }

    /// The row, its chunk allocated if need be; `None` beyond the capacity.
    pub fn ensure(&self, index: usize) -> Option<&T> {
        let chunk = self.directory.get(index / N)?;
        chunk.get_or_init(|| (0..N).map(|_| T::default()).collect()).get(index % N)
    }
}
