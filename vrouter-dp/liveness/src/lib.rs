//! Machines that must outlive the agent: what the other side is told when nobody thinks. Sans-I/O: packets and the time are
//! arguments, packets and the time of the next look are results; every sequence of them is legal.
#![forbid(unsafe_code)]

pub mod bfd;
