//! A BGP-4 speaker for a PE, iBGP and eBGP: unicast and VPN routes of IPv4 and IPv6, EVPN, route
//! target membership.
//!
//! - [`types`]: the words of BGP as values with one text form each.
//! - [`wire`]: messages to and from bytes; every error of a message with the treatment that
//!   RFC 4271 and RFC 7606 ask for. Start at [`wire::Message::decode`].
//! - [`fsm`]: the session state machine of one peer: events and time in, actions out.
//! - [`rib`]: what peers have sent, the best path of each route and why, what is sent to them.
//! - [`speaker`]: all of it together, without sockets or clocks.
//! - [`fuzz`]: entries for arbitrary octets.
//! - [`io`] (feature `io`): the speaker on tokio.
//!
//! Nothing here panics on any input, and nothing here knows packets.

#![cfg_attr(not(feature = "io"), forbid(unsafe_code))]

pub mod fsm;
pub mod fuzz;
#[cfg(feature = "io")]
pub mod io;
pub mod rib;
pub mod speaker;
pub mod types;
pub mod wire;
