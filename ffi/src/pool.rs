//! Packet buffer pools. A pool lives as long as EAL, so a handle is two words and copies freely.

use std::ffi::CString;
use std::ptr::NonNull;

use crate::error::{Errno, PoolError};
use crate::{Eal, HEADROOM, Mbuf, log};

/// A pool of single-segment packet buffers.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    raw: NonNull<dpdk_sys::rte_mempool>,
    data_room: u16,
}

// WHY: workers on several lcores take from and return to one pool.
// SAFETY: mempools made by rte_pktmbuf_pool_create are multi-producer, multi-consumer; each registered thread has its own
// cache by its lcore id and other threads bypass the caches. The pool is never freed.
unsafe impl Send for Pool {}
// WHY: as above.
// SAFETY: as above; `&Pool` offers only thread-safe calls.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool of `count` buffers (best: a power of two minus one) with `data_room` bytes after the headroom each, and
    /// `cache` of them kept by each lcore (0..=512, cut to what `count` allows). `socket` is the NUMA node; `None` is any.
    pub fn new(
        _eal: Eal,
        name: &str,
        count: u32,
        cache: u32,
        data_room: u16,
        socket: Option<i32>,
    ) -> Result<Self, PoolError> {
        let bad_name = || PoolError::Name(name.to_string());
        let c_name = CString::new(name).map_err(|_| bad_name())?;
        if name.is_empty() || name.len() > 26 {
            return Err(bad_name());
        }
        let Some(size) = data_room.checked_add(HEADROOM) else {
            let (name, errno) = (name.to_string(), Errno(libc::EINVAL));
            return Err(PoolError::Other { name, errno, log: Default::default() });
        };
        // DPDK wants 1.5 times the cache in the pool, and a cache that everybody fills must not starve the others.
        let cache = cache.min(dpdk_sys::VR_MEMPOOL_CACHE_MAX).min(count / 8);
        let (raw, log) = log::capture(|| {
            // WHY: pools are made by DPDK in its own memory.
            // SAFETY: the name is NUL-terminated and copied; EAL is up.
            unsafe {
                dpdk_sys::rte_pktmbuf_pool_create(
                    c_name.as_ptr(),
                    count,
                    cache,
                    0,
                    size,
                    socket.unwrap_or(-1),
                )
            }
        });
        if let Some(raw) = NonNull::new(raw) {
            return Ok(Pool { raw, data_room });
        }
        let name = name.to_string();
        Err(match Errno::last() {
            Errno(libc::EEXIST) => PoolError::Exists(name),
            Errno(libc::ENOMEM) => PoolError::NoMemory { name, count, data_room, log },
            errno => PoolError::Other { name, errno, log },
        })
    }

    /// Bytes of EAL memory that such a pool takes, a little more than less: for [`crate::EalPlan::memory_mb`].
    pub const fn memory(count: u32, data_room: u16) -> u64 {
        // mbuf 128, object header and trailer 64 each with alignment, a pointer in the pool's ring; 1/16 for chunk ends.
        let each = data_room as u64 + HEADROOM as u64 + 128 + 128 + 16;
        let all = each * count as u64;
        all + all / 16 + (1 << 20)
    }

    /// An empty buffer with full headroom, or `None` when the pool is exhausted.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // WHY: allocation goes through the lcore's cache, an inline of DPDK.
        // SAFETY: the pool lives for ever; a buffer that comes out has refcnt 1, one segment, and nobody else knows it.
        unsafe {
            NonNull::new(dpdk_sys::vr_mbuf_alloc(self.raw.as_ptr())).map(|raw| Mbuf::from_raw(raw))
        }
    }

    /// A buffer holding a copy of `frame`, or `None` when the pool is exhausted or the frame longer than the data room.
    pub fn alloc_from(&self, frame: &[u8]) -> Option<Mbuf> {
        let mut mbuf = self.alloc()?;
        mbuf.append(u16::try_from(frame.len()).ok()?)?.copy_from_slice(frame);
        Some(mbuf)
    }

    /// Bytes that a buffer holds after its headroom.
    #[inline]
    pub fn data_room(&self) -> u16 {
        self.data_room
    }

    /// Buffers in the pool and its caches, free to take. Walks all caches: not for the packet path.
    pub fn available(&self) -> u32 {
        // WHY: the count is DPDK's.
        // SAFETY: the pool lives for ever; the count is a racy sum of atomics and plain words, and only a figure.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    /// Buffers that somebody holds.
    pub fn in_use(&self) -> u32 {
        // WHY: as in `available`.
        // SAFETY: as in `available`.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.raw.as_ptr()) }
    }

    pub(crate) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.as_ptr()
    }
}
