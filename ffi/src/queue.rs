//! Receive and transmit queues: each owned by one lcore at a time, by ownership and not by convention.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::{Batch, batch::Packet};

/// A receive queue of a port. Move it to the worker that polls it.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    not_sync: PhantomData<Cell<()>>,
}

/// A transmit queue of a port. Move it to the worker that sends on it.
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    pub(crate) fn new(port: u16, queue: u16) -> Self {
        RxQueue { port, queue, not_sync: PhantomData }
    }

    /// Receives into the free slots of the batch; how many came. Never blocks.
    #[inline]
    pub fn burst<P: Packet>(&mut self, batch: &mut Batch<P>) -> usize {
        self.burst_up_to(batch, crate::BATCH)
    }

    /// As [`RxQueue::burst`], at most `max` packets.
    #[inline]
    pub fn burst_up_to<P: Packet>(&mut self, batch: &mut Batch<P>, max: usize) -> usize {
        // WHY: the poll itself.
        // SAFETY: the queue exists (made by Port::configure), no other thread polls it (ownership), the port does not change
        // state meanwhile (start, stop and close hold all queues), and `slots` has room for `free` pointers. The driver
        // hands over mbufs of our pool, each owned by nobody else.
        unsafe {
            batch.fill(max, |slots, free| {
                let free = free as u16; // at most BATCH
                usize::from(dpdk_sys::vr_rx_burst(self.port, self.queue, slots, free))
            })
        }
    }

    /// DPDK's number of the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of the queue on its port, from 0.
    pub fn index(&self) -> u16 {
        self.queue
    }
}

impl TxQueue {
    pub(crate) fn new(port: u16, queue: u16) -> Self {
        TxQueue { port, queue, not_sync: PhantomData }
    }

    /// Sends from the front of the batch; how many the device took. What it did not take stays in the batch, for the caller
    /// to count and drop or to try again. Never blocks.
    #[inline]
    pub fn burst<P: Packet>(&mut self, batch: &mut Batch<P>) -> usize {
        if batch.is_empty() {
            return 0;
        }
        // WHY: the send itself.
        // SAFETY: as for RxQueue::burst_up_to; the first `len` pointers are owned mbufs, and the driver owns as many of
        // them, from the front, as it says.
        unsafe {
            batch.send(|slots, len| {
                let len = len as u16; // at most BATCH
                usize::from(dpdk_sys::vr_tx_burst(self.port, self.queue, slots, len))
            })
        }
    }

    /// DPDK's number of the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of the queue on its port, from 0.
    pub fn index(&self) -> u16 {
        self.queue
    }
}
