//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// One's complement sum of `bytes` in network order, not folded or inverted. An odd last byte is padded with zero.
///
/// Sums of up to 64 KiB of bytes can be added to each other without overflow.
#[inline]
pub fn sum(bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(2);
    let mut total = 0u32;
    for word in &mut words {
        total += u32::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        total += u32::from(*last) << 8;
    }
    total
}

/// Folds a sum to 16 bits. A header with a right checksum in it folds to 0xffff.
#[inline]
pub const fn fold(sum: u32) -> u16 {
    // Both halves added, their carry added to that: all in the upper half of the sum with its own halves exchanged.
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The checksum to put into a header of which this is the sum, its own field taken as zero.
#[inline]
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// The checksum of `bytes`, in which the checksum field is zero or absent.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    finish(sum(bytes))
}

/// Whether a header of 20 bytes, checksum field included, adds up: an IPv4 header without options.
///
/// RFC 1071 2 (B), (C): the sum may be taken in either byte order and in words of any size, as carries go round.
#[inline]
pub fn verifies_20(header: &[u8; 20]) -> bool {
    let words: [[u8; 4]; 5] = zerocopy::transmute!(*header);
    // Five words below 2^32 are far from overflow.
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    // What is left of a number modulo 0xffff; a header is never all zero, so only 0xffff stands for zero.
    sum.is_multiple_of(0xffff)
}

/// Whether `bytes`, checksum field included, add up.
#[inline]
pub fn verifies(bytes: &[u8]) -> bool {
    fold(sum(bytes)) == 0xffff
}

/// The checksum after one 16-bit word changed: RFC 1624 equation 3, which unlike RFC 1141 never makes 0xffff out of 0x0000.
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold((!checksum) as u32 + (!old) as u32 + new as u32)
}

/// Sum of the pseudo header of UDP and TCP over IPv4 (RFC 768), addresses in host order.
#[inline]
pub const fn pseudo_ipv4(source: u32, destination: u32, protocol: u8, length: u16) -> u32 {
    (source >> 16)
        + (source & 0xffff)
        + (destination >> 16)
        + (destination & 0xffff)
        + protocol as u32
        + length as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes), 0x2ddf0);
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(of(&bytes), 0x220d);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        #[test]
        fn update_equals_computing_anew(mut words in prop::collection::vec(any::<u16>(), 2..40), at in any::<prop::sample::Index>(), new: u16) {
            words[0] = 0x4500; // never all zero, as no IP header is
            let at = at.index(words.len() - 1) + 1;
            let bytes = |w: &[u16]| w.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
            let before = of(&bytes(&words));
            let old = words[at];
            words[at] = new;
            prop_assert_eq!(update(before, old, new), of(&bytes(&words)));
        }

        #[test]
        fn twenty_bytes_at_once_agree(mut bytes in prop::collection::vec(any::<u8>(), 20), right: bool) {
            bytes[0] = 0x45;
            if right {
                bytes[10..12].fill(0);
                let checksum = of(&bytes);
                bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            prop_assert_eq!(verifies_20(bytes.first_chunk().unwrap()), verifies(&bytes));
        }

        #[test]
        fn what_is_finished_verifies(mut bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            bytes[0] = 0;
            bytes[1] = 0;
            let checksum = of(&bytes);
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(verifies(&bytes));
        }
    }
}
