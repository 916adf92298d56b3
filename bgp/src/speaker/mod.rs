//! speaker
mod model;
pub use model::*;
