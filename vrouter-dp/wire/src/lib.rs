//! Header views over bytes, and the identifiers that appear in them.
//!
//! A view is made by a length-checked parse; after that no accessor can fail.
#![forbid(unsafe_code)]

pub mod id;

pub use id::{IdError, Label, Mac, Vni, VlanId};
