//! Everything that a person or a program writes to the router or reads from it: the configuration (model, load, check,
//! diff) and the API's replies.
#![forbid(unsafe_code)]

pub mod api;
mod check;
pub mod defaults;
mod diag;
pub mod diff;
mod keys;
mod load;
pub mod model;
mod parse;
mod read;

pub use bgp::types::{Asn, Family, RouteTarget};
pub use diag::Diagnostic;
pub use diff::{Changes, Diff, diff};
pub use load::load;
pub use model::*;

impl Config {
    /// The configuration as text that [`load`] reads back to the same configuration, every default written out.
    ///
    /// # Errors
    /// A path that is not UTF-8; none that came from [`load`] is.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
