//! The safe layer over DPDK: what the data plane needs of it, with rules that the compiler enforces.
//!
//! # The safety contract
//!
//! Everything `unsafe` of the project's packet input and output is in this package. What it promises its callers, who write
//! no `unsafe` at all, and how:
//!
//! - **EAL is up.** Nothing can be made without an [`Eal`], which only a successful [`Eal::init`] gives; it is never cleaned
//!   up before the process ends, so pools, ports and rings live as long as the process (`'static`).
//! - **An [`Mbuf`] has one owner.** It frees on drop, cannot be cloned, and nothing here attaches, clones or shares the
//!   buffers behind it, so the data slices that it lends are unaliased. Data offset and length change only through methods
//!   that keep `data_off + data_len <= buf_len`. Only the first segment is ever touched; [`Mbuf::is_contiguous`] tells.
//! - **A device has one [`Port`].** Opening it again is refused until it is closed.
//! - **A queue has one user.** [`RxQueue`] and [`TxQueue`] are neither `Clone` nor `Sync`, and a burst needs `&mut`: a queue
//!   moves to one thread and is polled there alone.
//! - **Nobody polls a port that changes state.** [`Port::start`], [`Port::stop`] and [`Port::close`] take all of the port's
//!   [`Queues`]: as long as one is out with a worker, the call is refused.
//! - **Pools may be used from any thread.** Threads started by [`lcore::spawn`] are registered with EAL and get their own
//!   pool cache; any other thread works on the shared ring of the pool, correct but slower.
//! - **No call into C unwinds, and no panic crosses C**: no Rust function is ever handed to C as a callback.
//!
//! `unsafe` is needed because all of libdpdk is C. Each block says why it stands there and why it is sound.
#![allow(unsafe_code)] // WHY: this package is the wall between C and the rest, which forbids it.

mod batch;
pub mod carrier;
pub mod device;
pub mod eal;
pub mod error;
pub mod heap;
pub mod interface;
pub mod lcore;
mod limits;
mod log;
mod mbuf;
mod pool;
mod port;
mod probe;
mod queue;
pub mod ring;
#[cfg(feature = "testing")]
pub mod testing;

pub use batch::{BATCH, Batch, Drain, Packet};
pub use carrier::{Carrier, LinkChange};
pub use device::Device;
pub use eal::{Eal, EalPlan, cycles, hz};
pub use error::{CarrierError, DeviceError, EalError, LcoreError, PoolError, PortError};
pub use lcore::{Lcore, LcoreHandle};
pub use limits::{FrameLimit, data_room, frame_limit};
pub use mbuf::Mbuf;
pub use pool::Pool;
pub use port::{LinkState, Port, PortConfig, PortStats, Queues};
pub use probe::PortInfo;
pub use queue::{RxQueue, TxQueue};
pub use ring::RingPort;

/// Bytes before the data of a fresh mbuf: room for the outer headers of every encapsulation.
pub const HEADROOM: u16 = dpdk_sys::VR_PKTMBUF_HEADROOM as u16;

/// The release of the DPDK library that is loaded, such as `DPDK 22.11.11`.
pub fn version() -> String {
    // WHY: libdpdk tells its release as a C string.
    // SAFETY: rte_version returns a pointer to a static, NUL-terminated buffer and needs no EAL.
    unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) }.to_string_lossy().into_owned()
}
