//! Routing information bases: what peers sent, what is best of it and why.

pub mod decision;

pub use crate::types::VpnRoute;
pub use crate::wire::PathAttributes;
pub use decision::Reason;
