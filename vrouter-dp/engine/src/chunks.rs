//! An array that allocates itself in pieces as its writer needs them, and never moves: readers keep plain references.

use std::sync::OnceLock;

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

    /// Every row that is allocated.
    pub fn allocated(&mut self) -> impl Iterator<Item = &mut T> {
        self.directory.iter_mut().filter_map(OnceLock::get_mut).flat_map(|chunk| chunk.iter_mut())
    }
}
