//! From the text of a device to a port number: found among the ports that exist, or made.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dpdk_sys as sys;

use crate::error::{Errno, Log, PortError};
use crate::limits::ring_arguments;
use crate::{Device, interface, log};

/// What the device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortInfo {
    /// Driver, such as `net_ixgbe`, `net_af_packet`.
    pub driver: String,
    pub max_rx_queues: u16,
    pub max_tx_queues: u16,
    pub min_mtu: u16,
    /// 65535 where the device does not say.
    pub max_mtu: u16,
    /// Longest frame with FCS, as reported; several drivers report nonsense ([`crate::frame_limit`] knows better).
    pub max_rx_pktlen: u32,
    /// Offloads that the device has.
    pub vlan_strip: bool,
    pub vlan_filter: bool,
    pub vlan_insert: bool,
    pub rss: bool,
    /// NUMA node, if known.
    pub socket: Option<u32>,
}

/// The number of the device's port, which is made if it does not exist.
pub(crate) fn find_or_make(device: &Device) -> Result<u16, PortError> {
    if let Some(id) = find(device.name()) {
        return Ok(id);
    }
    check(device)?;
    let text = device.to_string();
    let devargs = CString::new(device.devargs()).unwrap_or_default(); // Device::parse refused NUL bytes
    let (code, log) = log::capture(|| {
        // WHY: ports are added after EAL is up, so that the configuration and not EAL's arguments names them.
        // SAFETY: EAL is up; the string is NUL-terminated and copied.
        unsafe { sys::rte_dev_probe(devargs.as_ptr()) }
    });
    match Errno::check(code) {
        Ok(_) => find(device.name()).ok_or(PortError::NotFound { device: text, log }),
        Err(Errno(libc::ENODEV | libc::ENOENT | libc::EFAULT)) => {
            Err(PortError::NotFound { device: text, log })
        }
        Err(Errno(libc::EACCES)) => {
            let missing = "access to the device";
            Err(PortError::Permission { device: text, missing, log })
        }
        Err(_) => Err(PortError::Probe { device: text, log }),
    }
}

/// What drivers of virtual devices refuse without saying why.
fn check(device: &Device) -> Result<(), PortError> {
    let text = || device.to_string();
    let driver = device.driver().unwrap_or_default();
    for (capability, missing, drivers) in [
        (CAP_NET_RAW, "CAP_NET_RAW", &["net_af_packet", "net_af_xdp"][..]),
        (CAP_NET_ADMIN, "CAP_NET_ADMIN", &["net_af_xdp", "net_tap"][..]),
    ] {
        if drivers.contains(&driver) && !capable(capability) {
            return Err(PortError::Permission { device: text(), missing, log: Log::default() });
        }
    }
    match device.interface() {
        None if matches!(driver, "net_af_packet" | "net_af_xdp") => {
            return Err(PortError::InterfaceMissing { device: text() });
        }
        Some(name) if driver != "net_tap" && interface::index(name).is_none() => {
            return Err(PortError::NoInterface { device: text(), interface: name.into() });
        }
        _ => {}
    }
    if driver == "net_af_packet" {
        ring_arguments(device.arguments())
            .map_err(|limit| PortError::Arguments { device: text(), limit })?;
    }
    Ok(())
}

// linux/capability.h
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// Whether this thread has a capability; true where the kernel does not say, for the driver to find out.
fn capable(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & (1 << capability) != 0)
}

/// Port numbers that a [`crate::Port`] stands for: a second one could make a second set of queues.
static IN_USE: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

pub(crate) fn in_use() -> MutexGuard<'static, BTreeSet<u16>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(name: &str) -> Option<u16> {
    let name = CString::new(name).ok()?;
    let mut id = 0;
    // WHY: DPDK numbers the ports.
    // SAFETY: the name is NUL-terminated; `id` is ours. Before EAL is up there are no ports, and the call says so.
    let code = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    (code == 0).then_some(id)
}

pub(crate) fn raw_info(id: u16) -> sys::rte_eth_dev_info {
    // WHY: the driver fills a C structure.
    // SAFETY: all-zero is a valid rte_eth_dev_info, which the call fills if the port exists.
    unsafe {
        let mut raw: sys::rte_eth_dev_info = mem::zeroed();
        sys::rte_eth_dev_info_get(id, &mut raw);
        raw
    }
}

pub(crate) fn info(id: u16) -> PortInfo {
    let raw = raw_info(id);
    let driver = if raw.driver_name.is_null() {
        String::new()
    } else {
        // WHY: the driver's name is a C string.
        // SAFETY: not null, NUL-terminated and static in the driver.
        unsafe { CStr::from_ptr(raw.driver_name) }.to_string_lossy().into_owned()
    };
    // WHY: the NUMA node is DPDK's to know.
    // SAFETY: the port exists.
    let socket = unsafe { sys::rte_eth_dev_socket_id(id) };
    PortInfo {
        driver,
        max_rx_queues: raw.max_rx_queues,
        max_tx_queues: raw.max_tx_queues,
        min_mtu: raw.min_mtu,
        max_mtu: raw.max_mtu,
        max_rx_pktlen: raw.max_rx_pktlen,
        vlan_strip: raw.rx_offload_capa & sys::VR_RX_VLAN_STRIP != 0,
        vlan_filter: raw.rx_offload_capa & sys::VR_RX_VLAN_FILTER != 0,
        vlan_insert: raw.tx_offload_capa & sys::VR_TX_VLAN_INSERT != 0,
        rss: raw.flow_type_rss_offloads != 0,
        socket: u32::try_from(socket).ok(),
    }
}
