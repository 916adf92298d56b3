//! The agent: knows why. From configuration and BGP to the op ring, and the operator's API.
//!
//! - [`commit`]: how another configuration takes the place of the running one.
//! - [`desired`]: what the configuration asks for; [`vrf`]: what learnt routes add to it.
//! - [`compile`], [`forwarding`], [`program`]: from there to ops, with numbers from [`ids`] and [`labels`]; [`rows`]: by the million.
//! - [`peering`]: to and from the BGP speaker.
//! - [`core`]: all of it as one state machine without sockets or threads.
//! - [`load`]: the route path alone, for benchmarks.
//! - [`api`], [`view`], [`snapshot`]: the operator's questions and their answers.
//! - [`run`]: the thread, its supervision, start and stop; [`carried`]: what outlives a panic.

#![forbid(unsafe_code)]

pub mod api;
pub mod carried;
pub mod commit;
pub mod compile;
pub mod core;
pub mod desired;
#[cfg(feature = "fault-injection")]
pub mod fault;
pub mod forwarding;
pub mod ids;
pub mod labels;
pub mod load;
pub mod peering;
pub mod program;
pub mod rows;
pub mod run;
pub mod snapshot;
pub mod view;
pub mod vrf;
