//! Ports: by any driver that DPDK has, found by PCI address or made from a virtual device's arguments, after EAL is up.
//!
//! The way of a port: [`Port::open`], [`Port::configure`] (refuses what the device would silently cut or lose),
//! [`Port::start`], and back by [`Port::stop`] and [`Port::close`], which want every queue back first.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;

use dpdk_sys as sys;

use crate::error::{Errno, Log, PortError};
use crate::limits::{frame_of, has_own_mtu};
use crate::probe::{self, PortInfo};
use crate::{Device, Eal, Pool, RxQueue, TxQueue, frame_limit, interface, log};

/// What a port is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues, at least 1.
    pub rx_queues: u16,
    /// Transmit queues, at least 1: one for each worker that sends.
    pub tx_queues: u16,
    /// Descriptors per queue; adjusted to what the device allows.
    pub rx_desc: u16,
    /// As `rx_desc`.
    pub tx_desc: u16,
    /// Payload bytes of a frame, without Ethernet header, tag and FCS.
    pub mtu: u16,
    /// Have the device take the outer tag out; refused where it cannot.
    pub vlan_strip: bool,
    /// Filter VLANs in the device where it can ([`PortInfo::vlan_filter`]): then each VLAN needs [`Port::vlan_filter`].
    pub vlan_filter: bool,
    /// Spread flows over the receive queues by hash where the device can.
    pub rss: bool,
    /// Receive frames for any MAC. What the device refuses is a note ([`Port::notes`]), not an error.
    pub promiscuous: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        PortConfig {
            rx_queues: 1,
            tx_queues: 1,
            rx_desc: 1024,
            tx_desc: 1024,
            mtu: 1500,
            vlan_strip: false,
            vlan_filter: false,
            rss: true,
            promiscuous: true,
        }
    }
}

/// All queues of a port. Take them out to give them to workers; put them all back to start, stop or close the port.
#[derive(Debug, Default)]
pub struct Queues {
    pub rx: Vec<RxQueue>,
    pub tx: Vec<TxQueue>,
}

/// Link state as the driver reports it. For ports on a kernel interface ask [`crate::Carrier`] too: net_af_packet and
/// net_af_xdp stay "up" whatever happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    pub up: bool,
    /// Mbit/s; 0 unknown.
    pub speed: u32,
    pub full_duplex: bool,
}

/// Counters of the device and its driver since it started or was reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    pub ipackets: u64,
    pub ibytes: u64,
    pub opackets: u64,
    pub obytes: u64,
    /// Frames that the device dropped because no descriptor was free.
    pub imissed: u64,
    pub ierrors: u64,
    /// Receive buffers that could not be had.
    pub rx_nombuf: u64,
    pub oerrors: u64,
}

/// A port. Control calls come from one thread at a time. Dropping it leaves the device as it is; [`Port::close`] gives it
/// back.
pub struct Port {
    id: u16,
    device: String,
    arguments: String,
    pci: bool,
    interface: Option<String>,
    info: PortInfo,
    rx_queues: u16,
    tx_queues: u16,
    filtering: bool,
    inserting: bool,
    notes: Vec<String>,
    not_sync: PhantomData<Cell<()>>, // drivers do not expect two threads in their control calls
}

impl Port {
    /// Finds the device, or makes it: a virtual one, or a PCI device that EAL was not told of.
    pub fn open(eal: Eal, device: &Device) -> Result<Self, PortError> {
        let id = probe::find_or_make(device)?;
        Self::adopt(eal, id, device)
    }

    /// Takes a port that exists.
    pub(crate) fn adopt(_eal: Eal, id: u16, device: &Device) -> Result<Self, PortError> {
        if !probe::in_use().insert(id) {
            return Err(PortError::InUse { device: device.to_string() });
        }
        Ok(Port {
            id,
            device: device.to_string(),
            arguments: device.arguments().to_string(),
            pci: device.is_pci(),
            interface: device.interface().map(String::from),
            info: probe::info(id),
            rx_queues: 0,
            tx_queues: 0,
            filtering: false,
            inserting: false,
            notes: Vec::new(),
            not_sync: PhantomData,
        })
    }

    /// DPDK's number of the port, as in [`crate::Mbuf::port`].
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The device as the configuration names it.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The kernel interface that the port sits on, if it does.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    pub fn driver_name(&self) -> &str {
        &self.info.driver
    }

    /// Whether the device drops VLANs that [`Port::vlan_filter`] was not called for.
    pub fn vlan_filtering(&self) -> bool {
        self.filtering
    }

    /// Whether [`crate::Mbuf::set_tx_vlan`] works on this port.
    pub fn vlan_inserting(&self) -> bool {
        self.inserting
    }

    /// What the device does not do as asked, in words for the operator.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Sets the port up with queues that receive into buffers of `pool`; all receive queues share it.
    ///
    /// Refuses an MTU whose frames (14 bytes of header and 4 of tag added) the driver, its arguments or the buffers would cut.
    pub fn configure(&mut self, config: &PortConfig, pool: &Pool) -> Result<Queues, PortError> {
        self.configure_each(config, &vec![*pool; usize::from(config.rx_queues)])
    }

    /// As [`Port::configure`], with a pool for each receive queue: pools of the NUMA node of the queue's worker.
    pub fn configure_each(
        &mut self,
        config: &PortConfig,
        pools: &[Pool],
    ) -> Result<Queues, PortError> {
        if self.rx_queues > 0 {
            return Err(PortError::Configured { device: self.device.clone() });
        }
        self.check_queues("receive", config.rx_queues, self.info.max_rx_queues)?;
        self.check_queues("transmit", config.tx_queues, self.info.max_tx_queues)?;
        self.check_frames(config.mtu, pools)?;
        if config.vlan_strip && !self.info.vlan_strip {
            return Err(PortError::NoOffload {
                device: self.device.clone(),
                offload: "VLAN strip",
            });
        }
        let (rx_desc, tx_desc) = self.apply(config)?;
        self.apply_mtu(config.mtu)?;
        for (queue, pool) in (0..config.rx_queues).zip(pools) {
            self.step("receive queue setup", || {
                // WHY: queues are DPDK's.
                // SAFETY: the port is configured with at least `queue + 1` queues and stopped; a null configuration means
                // the device's default; the pool lives for ever.
                unsafe {
                    let socket = sys::rte_eth_dev_socket_id(self.id) as u32;
                    sys::rte_eth_rx_queue_setup(
                        self.id,
                        queue,
                        rx_desc,
                        socket,
                        std::ptr::null(),
                        pool.raw(),
                    )
                }
            })?;
        }
        for queue in 0..config.tx_queues {
            self.step("transmit queue setup", || {
                // WHY: queues are DPDK's.
                // SAFETY: as for the receive queues.
                unsafe {
                    let socket = sys::rte_eth_dev_socket_id(self.id) as u32;
                    sys::rte_eth_tx_queue_setup(self.id, queue, tx_desc, socket, std::ptr::null())
                }
            })?;
        }
        self.rx_queues = config.rx_queues;
        self.tx_queues = config.tx_queues;
        if config.promiscuous {
            // WHY: a gateway answers for more MACs than the device's own.
            // SAFETY: the port exists and is configured.
            let code = unsafe { sys::rte_eth_promiscuous_enable(self.id) };
            if let Err(errno) = Errno::check(code) {
                self.notes.push(format!("promiscuous mode is refused: {errno}"));
            }
        }
        if let Some(name) = &self.interface
            && interface::merges_frames(name)
        {
            self.notes.push(format!(
                "the kernel merges received frames of {name} into longer ones, which are cut: `ethtool -K {name} gro off lro off`"
            ));
        }
        Ok(Queues {
            rx: (0..config.rx_queues).map(|queue| RxQueue::new(self.id, queue)).collect(),
            tx: (0..config.tx_queues).map(|queue| TxQueue::new(self.id, queue)).collect(),
        })
    }

    /// Starts the port: frames flow once workers poll its queues.
    pub fn start(&mut self, queues: &mut Queues) -> Result<(), PortError> {
        self.all_here(queues)?;
        // WHY: the device starts.
        // SAFETY: configured, and no other thread has a queue of it (all are here).
        self.step("start", || unsafe { sys::rte_eth_dev_start(self.id) })
    }

    /// Stops the port. The caller has all queues back, so no worker can be polling.
    pub fn stop(&mut self, queues: &mut Queues) -> Result<(), PortError> {
        self.all_here(queues)?;
        // WHY: the device stops; net_pcap and the like flush.
        // SAFETY: no other thread has a queue of it (all are here).
        self.step("stop", || unsafe { sys::rte_eth_dev_stop(self.id) })
    }

    /// Stops the port and gives the device back. The queues end with it.
    pub fn close(mut self, mut queues: Queues) -> Result<(), PortError> {
        self.stop(&mut queues)?;
        let device = probe::raw_info(self.id).device;
        // WHY: the driver frees rings and files.
        // SAFETY: stopped; queues and port are consumed, so nothing can name this port number again.
        self.step("close", || unsafe { sys::rte_eth_dev_close(self.id) })?;
        self.rx_queues = 0;
        self.tx_queues = 0;
        if device.is_null() || self.pci {
            return Ok(());
        }
        // WHY: the bus remembers a virtual device by its name, which could not be opened again.
        // SAFETY: the device was made by the virtual bus, lives until this call, and its only port is closed.
        self.step("removal", || unsafe { sys::rte_dev_remove(device) })
    }

    /// The device's MAC.
    pub fn mac(&self) -> [u8; 6] {
        let mut address = sys::rte_ether_addr { addr_bytes: [0; 6] };
        // WHY: the device knows it.
        // SAFETY: the port exists; the structure is ours to fill.
        unsafe { sys::rte_eth_macaddr_get(self.id, &mut address) };
        address.addr_bytes
    }

    /// Link state as the driver sees it, without waiting.
    pub fn link(&self) -> LinkState {
        // WHY: the driver knows it, in a structure with bit fields, which the shim takes apart.
        // SAFETY: the port exists; all-zero is a valid rte_eth_link; the shim writes to our locals.
        unsafe {
            let mut link: sys::rte_eth_link = mem::zeroed();
            if sys::rte_eth_link_get_nowait(self.id, &mut link) < 0 {
                return LinkState::default();
            }
            let (mut speed, mut up, mut duplex) = (0, 0, 0);
            sys::vr_link(&link, &mut speed, &mut up, &mut duplex);
            let speed = if speed == u32::MAX { 0 } else { speed };
            LinkState { up: up != 0, speed, full_duplex: duplex != 0 }
        }
    }

    /// Counters; zero where the driver has none.
    pub fn stats(&self) -> PortStats {
        // WHY: the driver counts.
        // SAFETY: the port exists; all-zero is a valid rte_eth_stats.
        let stats = unsafe {
            let mut stats: sys::rte_eth_stats = mem::zeroed();
            sys::rte_eth_stats_get(self.id, &mut stats);
            stats
        };
        PortStats {
            ipackets: stats.ipackets,
            ibytes: stats.ibytes,
            opackets: stats.opackets,
            obytes: stats.obytes,
            imissed: stats.imissed,
            ierrors: stats.ierrors,
            rx_nombuf: stats.rx_nombuf,
            oerrors: stats.oerrors,
        }
    }

    /// Lets a VLAN (0..=4095) in, or no longer. Nothing to do, and no error, on a port that does not filter. A VF has often
    /// 64 entries: the error for one more is the device's.
    pub fn vlan_filter(&mut self, vlan: u16, on: bool) -> Result<(), PortError> {
        if !self.filtering {
            return Ok(());
        }
        self.step("VLAN filter", || {
            // WHY: the filter is in the device.
            // SAFETY: the port exists; filters may change while it runs.
            unsafe { sys::rte_eth_dev_vlan_filter(self.id, vlan, i32::from(on)) }
        })
    }

    /// The MTU that the driver reports.
    pub fn mtu(&self) -> u16 {
        let mut mtu = 0;
        // WHY: the driver knows it.
        // SAFETY: the port exists; `mtu` is ours.
        unsafe { sys::rte_eth_dev_get_mtu(self.id, &mut mtu) };
        mtu
    }

    fn check_queues(
        &self,
        direction: &'static str,
        asked: u16,
        offered: u16,
    ) -> Result<(), PortError> {
        if (1..=offered).contains(&asked) {
            return Ok(());
        }
        let hint = match self.info.driver.as_str() {
            "net_af_packet" => ": add qpairs=N to the device",
            "net_af_xdp" => ": add queue_count=N to the device",
            _ => "",
        };
        Err(PortError::Queues { device: self.device.clone(), direction, asked, offered, hint })
    }

    fn check_frames(&self, mtu: u16, pools: &[Pool]) -> Result<(), PortError> {
        let needed = frame_of(mtu);
        for pool in pools {
            let limit = frame_limit(
                &self.info.driver,
                &self.arguments,
                pool.data_room(),
                self.info.max_rx_pktlen,
                self.info.max_mtu,
            );
            if needed > limit.max_frame() {
                let device = self.device.clone();
                return Err(PortError::FrameTooLong { device, mtu, needed, limit });
            }
        }
        Ok(())
    }

    /// Offloads, queue counts and descriptors.
    fn apply(&mut self, config: &PortConfig) -> Result<(u16, u16), PortError> {
        self.filtering = config.vlan_filter && self.info.vlan_filter;
        self.inserting = self.info.vlan_insert;
        // WHY: C structure with unions; zero is DPDK's default for every field.
        // SAFETY: all-zero is a valid rte_eth_conf.
        let mut conf: sys::rte_eth_conf = unsafe { mem::zeroed() };
        let mut rx = 0;
        if config.vlan_strip {
            rx |= sys::VR_RX_VLAN_STRIP;
        }
        if self.filtering {
            rx |= sys::VR_RX_VLAN_FILTER;
        }
        let raw = probe::raw_info(self.id);
        if config.rss && config.rx_queues > 1 && raw.flow_type_rss_offloads != 0 {
            conf.rxmode.mq_mode = sys::VR_ETH_RX_MQ_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = raw.flow_type_rss_offloads & sys::VR_RSS_IP_PORTS;
            rx |= raw.rx_offload_capa & sys::VR_RX_RSS_HASH;
        }
        conf.rxmode.offloads = rx;
        if self.inserting {
            conf.txmode.offloads = sys::VR_TX_VLAN_INSERT;
        }
        if has_own_mtu(&self.info.driver) {
            conf.rxmode.mtu = u32::from(config.mtu);
        }
        let (mut rx_desc, mut tx_desc) = (config.rx_desc, config.tx_desc);
        self.step("configuration", || {
            // WHY: the device is configured by DPDK.
            // SAFETY: the port exists and is stopped; `conf` is valid and copied.
            unsafe {
                sys::rte_eth_dev_configure(self.id, config.rx_queues, config.tx_queues, &conf)
            }
        })?;
        self.step("descriptor adjustment", || {
            // WHY: each device has limits and alignments of its own.
            // SAFETY: the port exists; both numbers are ours.
            unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &mut rx_desc, &mut tx_desc) }
        })?;
        Ok((rx_desc, tx_desc))
    }

    /// The kernel interface under the port, or the device itself, must carry the MTU.
    fn apply_mtu(&mut self, mtu: u16) -> Result<(), PortError> {
        if let Some(interface) = self.interface.clone() {
            // Never lowered: others may use the interface, and the data plane keeps its own MTU.
            let present = interface::mtu(&interface).unwrap_or(0);
            if present >= u32::from(mtu) {
                return Ok(());
            }
            let device = self.device.clone();
            return interface::set_mtu(&interface, mtu).map_err(|error| {
                let errno = Errno(error.raw_os_error().unwrap_or(libc::EIO));
                PortError::InterfaceMtu { device, interface, present, mtu, errno }
            });
        }
        if !has_own_mtu(&self.info.driver) {
            return Ok(());
        }
        // WHY: some drivers take the MTU from the configuration, others only from this call.
        // SAFETY: the port exists and is stopped.
        match Errno::check(unsafe { sys::rte_eth_dev_set_mtu(self.id, mtu) }) {
            Ok(_) | Err(Errno(libc::ENOTSUP)) => Ok(()),
            Err(errno) => {
                let device = self.device.clone();
                Err(PortError::Step { device, step: "MTU", errno, log: Log::default() })
            }
        }
    }

    fn all_here(&self, queues: &Queues) -> Result<(), PortError> {
        let rx = queues.rx.iter().filter(|queue| queue.port() == self.id).count();
        let tx = queues.tx.iter().filter(|queue| queue.port() == self.id).count();
        let missing = usize::from(self.rx_queues) + usize::from(self.tx_queues) - rx - tx;
        if missing == 0 {
            return Ok(());
        }
        Err(PortError::QueuesOut { device: self.device.clone(), missing })
    }

    fn step(&self, step: &'static str, call: impl FnOnce() -> i32) -> Result<(), PortError> {
        let (code, mut log) = log::capture(call);
        if code == -libc::ENOMEM {
            log.0.push_str("\nthe pool may have too few buffers for the queues, or EAL too little memory (`-m`)");
        }
        let device = || self.device.clone();
        Errno::check(code).map(|_| ()).map_err(|errno| PortError::Step {
            device: device(),
            step,
            errno,
            log,
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // As long as queues of it may be about, nobody else may open the device.
        if self.rx_queues == 0 {
            probe::in_use().remove(&self.id);
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("id", &self.id)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}
