//! Header views over bytes, and the identifiers that appear in them.
//!
//! Every protocol has one file of the same shape: a `#[repr(C)]` view of the fixed header, `LEN`, `parse` and `parse_mut`.
//! `parse` checks the length once and returns the view and the bytes behind it; after that no accessor can fail.
//! Multi-octet fields are in network order inside the view and in host order outside.
#![forbid(unsafe_code)]

pub mod arp;
pub mod bfd;
pub mod checksum;
pub mod eth;
pub mod gre;
pub mod icmp;
pub mod id;
pub mod ipv4;
pub mod ipv6;
pub mod mpls;
pub mod tcp;
pub mod udp;

pub use id::{IdError, Label, Mac, VlanId, Vni};

/// Why bytes are not the header that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the header has.
    #[error("fewer bytes than the header has")]
    Truncated,
    /// Another version of the protocol, or another kind of address.
    #[error("another version of the protocol")]
    Version,
    /// A length field contradicts the header or the bytes at hand.
    #[error("a length field that contradicts the bytes")]
    Length,
    /// A checksum that does not add up.
    #[error("wrong checksum")]
    Checksum,
    /// Flags or options that are not understood.
    #[error("flags that are not understood")]
    Flags,
}

/// Splits a fixed header off the front of `bytes`.
macro_rules! fixed_header {
    ($view:ident, $len:literal) => {
        impl $view {
            /// Bytes of the fixed header.
            pub const LEN: usize = $len;

            /// The header at the front of `bytes`, and what follows it. `Truncated` if there are fewer than `LEN` bytes.
            #[inline]
            pub fn parse(bytes: &[u8]) -> Result<(&$view, &[u8]), $crate::Malformed> {
                let (view, rest) = bytes
                    .split_first_chunk::<{ $view::LEN }>()
                    .ok_or($crate::Malformed::Truncated)?;
                Ok((zerocopy::transmute_ref!(view), rest))
            }

            /// As [`Self::parse`], for writing.
            #[inline]
            pub fn parse_mut(
                bytes: &mut [u8],
            ) -> Result<(&mut $view, &mut [u8]), $crate::Malformed> {
                let (view, rest) = bytes
                    .split_first_chunk_mut::<{ $view::LEN }>()
                    .ok_or($crate::Malformed::Truncated)?;
                Ok((zerocopy::transmute_mut!(view), rest))
            }
        }

        const _: () = assert!(size_of::<$view>() == $len);
    };
}
use fixed_header;
