//! Everything that a person or a program writes to the router or reads from it: the configuration (model, load, check,
//! diff) and the API's replies.
#![forbid(unsafe_code)]

pub mod api;
pub mod defaults;
pub mod model;

pub use model::*;
