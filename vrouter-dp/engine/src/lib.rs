//! The data plane itself: tables, stages and the path of a packet through them. No DPDK, no clock, no I/O.
//!
//! Start reading at [`pipeline`].

pub mod buffer;
mod chunks;
pub mod counters;
pub mod drops;
pub mod fault;
pub mod lab;
pub mod pipeline;
pub mod prefetch;
pub mod publish;
pub mod seam;
mod stage;
pub mod table;
pub mod verdict;
pub mod worker;

pub use buffer::{Buf, HeapBuf};
pub use verdict::{Exits, PuntMeta, Verdict};
pub use worker::WorkerState;
