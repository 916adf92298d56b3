//! An in-process port for tests and benchmarks of the data plane: frames put in at one side come out of the port's receive
//! queue, what the port sends is collected. Needs no root, no interface, no hugepages. The same mbufs go through: no copies.

use std::cell::Cell;
use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::NonNull;

use dpdk_sys as sys;

use crate::error::{Errno, PortError};
use crate::{Batch, Device, Eal, Mbuf, Port, log};

/// The far side of a ring port.
#[derive(Debug)]
pub struct RingPort {
    towards: Vec<NonNull<sys::rte_ring>>, // one for each receive queue of the port
    from: Vec<NonNull<sys::rte_ring>>,    // one for each transmit queue
    not_sync: PhantomData<Cell<()>>,
}

// WHY: a test drives the far side from its own thread.
// SAFETY: rings live for ever, and are multi-producer multi-consumer.
unsafe impl Send for RingPort {}

impl RingPort {
    /// A port `net_ring_NAME` with as many queues in both directions and the far side of it. `size` is the depth of each
    /// ring: a power of two, of which one less is usable.
    pub fn new(
        eal: Eal,
        name: &str,
        queues: u16,
        size: u32,
    ) -> Result<(RingPort, Port), PortError> {
        let device = Device::parse(&format!("vdev:net_ring_{name}"))?;
        let fail =
            |step, errno, log| PortError::Step { device: device.to_string(), step, errno, log };
        let ring = |direction: &str, queue: u16| {
            let name = CString::new(format!("{name}_{direction}{queue}")).unwrap_or_default();
            let (raw, log) = log::capture(|| {
                // WHY: net_ring works on DPDK's rings.
                // SAFETY: EAL is up; the name is NUL-terminated and copied. -1 is any NUMA node, 0 many producers/consumers.
                unsafe { sys::rte_ring_create(name.as_ptr(), size, -1, 0) }
            });
            NonNull::new(raw).ok_or_else(|| fail("ring creation", Errno::last(), log))
        };
        let towards = (0..queues).map(|queue| ring("in", queue)).collect::<Result<Vec<_>, _>>()?;
        let from = (0..queues).map(|queue| ring("out", queue)).collect::<Result<Vec<_>, _>>()?;
        let c_name = CString::new(name).unwrap_or_default();
        let (id, log) = log::capture(|| {
            // WHY: the port is made over these rings.
            // SAFETY: both arrays hold `queues` live rings and are copied; NonNull<T> has the layout of a pointer.
            unsafe {
                sys::rte_eth_from_rings(
                    c_name.as_ptr(),
                    towards.as_ptr().cast(),
                    u32::from(queues),
                    from.as_ptr().cast(),
                    u32::from(queues),
                    0,
                )
            }
        });
        let id = u16::try_from(id).map_err(|_| fail("creation", Errno::last(), log))?;
        let far = RingPort { towards, from, not_sync: PhantomData };
        Ok((far, Port::adopt(eal, id, &device)?))
    }

    /// Has the port receive this packet on a queue; gives it back when the ring is full or the queue does not exist.
    pub fn inject(&mut self, queue: u16, mbuf: Mbuf) -> Result<(), Mbuf> {
        let Some(ring) = self.towards.get(usize::from(queue)) else { return Err(mbuf) };
        let mut raw = mbuf.into_raw().as_ptr();
        // WHY: the ring is DPDK's.
        // SAFETY: the ring lives for ever; it owns the mbuf if it took it (1), else we still do.
        unsafe {
            if sys::vr_ring_put(ring.as_ptr(), &mut raw, 1) == 1 {
                return Ok(());
            }
            match NonNull::new(raw) {
                Some(raw) => Err(Mbuf::from_raw(raw)),
                None => Ok(()),
            }
        }
    }

    /// Takes what the port sent on a queue into the free slots of the batch; how many came.
    pub fn collect(&mut self, queue: u16, batch: &mut Batch) -> usize {
        let Some(ring) = self.from.get(usize::from(queue)) else { return 0 };
        // WHY: the ring is DPDK's.
        // SAFETY: the ring lives for ever and holds mbufs that the sender gave up; `slots` has room for `free`.
        unsafe {
            batch.fill(crate::BATCH, |slots, free| {
                sys::vr_ring_take(ring.as_ptr(), slots, free as u32) as usize
            })
        }
    }
}
