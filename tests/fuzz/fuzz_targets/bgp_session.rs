//! Any bytes at all from a BGP peer in pieces of any size while time passes; a session that falls is opened again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    bgp::fuzz::session(data);
    bgp::fuzz::message(data.get(1..).unwrap_or_default());
});
