//! The speaker on tokio: sockets, clock, and a handle for the rest of the program.

mod handle;

pub use handle::{Handle, HandleError};
