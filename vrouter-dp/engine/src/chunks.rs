//! Arrays that are as large as they may ever get and cost only what is used of them: pages that were never written take no memory.

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
