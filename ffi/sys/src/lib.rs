//! Raw bindings to the installed libdpdk, and nothing else.
//!
//! Generated at build time from the headers that `pkg-config libdpdk` names (22.11 or newer): the functions, types and
//! constants that the safe layer (package `dpdk`) uses, no more; the list is in `build.rs`. DPDK's inline functions, its
//! thread-local `rte_errno` and `rte_lcore_id`, and constants that are C expressions come through `shim.h`.
//!
//! `rte_mbuf`, `rte_mempool` and `rte_ring` are opaque here: mbuf fields are reached by the `VR_MBUF_*` offsets. The layout
//! checks of the generated file are compile-time assertions, so headers that disagree with the target stop the build.
//!
//! Use the package `dpdk`; it is the one that says why each call is sound.

pub use bindings::*;

// Generated code: C names, C layouts, no prose. The allowance ends with this module.
#[allow(
    unsafe_code,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unnecessary_transmutes,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
