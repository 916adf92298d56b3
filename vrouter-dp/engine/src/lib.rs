//! The data plane itself: tables, stages and the path of a packet through them. No DPDK, no clock, no I/O.

pub mod seam;
