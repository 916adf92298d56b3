//! What can go wrong off the packet path: each error names its cause and, where there is one, the command that cures it.

use std::ffi::CStr;
use std::fmt;
use std::io;

/// A DPDK error number: positive errno values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // WHY: rte_errno is a thread-local of libdpdk.
        // SAFETY: the shim reads an int; no precondition.
        Errno(unsafe { dpdk_sys::vr_errno() })
    }

    /// Of a function that returns 0 or more on success and a negative errno on failure.
    pub(crate) fn check(code: i32) -> Result<i32, Self> {
        if code >= 0 { Ok(code) } else { Err(Errno(-code)) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // WHY: DPDK has error numbers of its own beside the system's.
        // SAFETY: rte_strerror returns a NUL-terminated string in a static or thread-local buffer, read here at once.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.0)) };
        write!(f, "{}", text.to_string_lossy())
    }
}

/// Why EAL did not start. EAL starts once per process: after any of these the process must end.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    #[error("EAL was already started in this process")]
    AlreadyStarted,
    #[error("EAL argument {0:?} contains a NUL byte")]
    BadArgument(String),
    #[error(
        "EAL has no free hugepages: reserve some with `sysctl vm.nr_hugepages=512`, or run without by the EAL \
         arguments `--no-huge -m 1024 --no-shconf` in place of `--in-memory`{log}"
    )]
    NoHugepages { log: Log },
    #[error(
        "EAL cannot have the memory it was asked for: reserve more hugepages with `sysctl vm.nr_hugepages=1024`, or ask \
         for less with `-m`{log}"
    )]
    NoMemory { log: Log },
    #[error(
        "EAL lacks a privilege: run as root (or give CAP_NET_RAW, CAP_NET_ADMIN and CAP_IPC_LOCK, and access to the hugepage mount){log}"
    )]
    Permission { log: Log },
    #[error("EAL refuses its arguments {arguments:?}: correct `eal` under [dataplane]{log}")]
    Arguments { arguments: Vec<String>, log: Log },
    #[error("EAL did not start: {errno}{log}")]
    Other { errno: Errno, log: Log },
}

/// What DPDK itself said, appended to an error on lines of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(pub String);

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines().filter(|line| !line.trim().is_empty()) {
            write!(f, "\n    {}", line.trim())?;
        }
        Ok(())
    }
}

/// Why a pool was not made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("pool name {0:?} is empty, longer than 26 bytes or contains a NUL byte")]
    Name(String),
    #[error("a pool of name {0:?} exists already")]
    Exists(String),
    #[error(
        "no memory for {count} buffers of {data_room} bytes in pool {name:?}: raise `-m` of the EAL arguments or reserve \
         more hugepages with `sysctl vm.nr_hugepages=1024`{log}"
    )]
    NoMemory { name: String, count: u32, data_room: u16, log: Log },
    #[error("pool {name:?}: {errno}{log}")]
    Other { name: String, errno: Errno, log: Log },
}

/// Why a device text names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "device {0:?} is neither a PCI address (0000:3b:00.0), nor vdev:NAME,ARGUMENTS, nor env:VARIABLE"
    )]
    Unknown(String),
    #[error("device \"vdev:{0}\" names no driver: write vdev:net_af_packet0,iface=eth1")]
    Vdev(String),
    #[error(
        "environment variable {0} is not set: is the SR-IOV device plugin's resource requested for this container?"
    )]
    Environment(String),
}

/// Why a port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("port {device}: kernel interface {interface:?} does not exist here: see `ip link`")]
    NoInterface { device: String, interface: String },
    #[error(
        "port {device}: not found: see `dpdk-devbind.py --status` (a PCI device must be bound to vfio-pci, or to its own driver for mlx5 and the like, and the PMD installed){log}"
    )]
    NotFound { device: String, log: Log },
    #[error("port {device}: it names no interface: add iface=NAME")]
    InterfaceMissing { device: String },
    #[error("port {device}: {limit}")]
    Arguments { device: String, limit: crate::FrameLimit },
    #[error("port {device}: its driver refuses it{log}")]
    Probe { device: String, log: Log },
    #[error(
        "port {device}: the process lacks {missing}: run as root, or grant it (`AmbientCapabilities=` in a systemd unit){log}"
    )]
    Permission { device: String, missing: &'static str, log: Log },
    #[error("port {device}: {asked} {direction} queues wanted, the device has {offered}{hint}")]
    Queues { device: String, direction: &'static str, asked: u16, offered: u16, hint: &'static str },
    #[error(
        "port {device}: the device has no {offload} offload: switch it off in the configuration"
    )]
    NoOffload { device: String, offload: &'static str },
    #[error("port {device}: MTU {mtu} needs frames of {needed} bytes, but {limit}")]
    FrameTooLong { device: String, mtu: u16, needed: u32, limit: crate::FrameLimit },
    #[error(
        "port {device}: the kernel interface {interface} has MTU {present} and cannot be set to {mtu} ({errno}): `ip link set {interface} mtu {mtu}`"
    )]
    InterfaceMtu { device: String, interface: String, present: u32, mtu: u16, errno: Errno },
    #[error("port {device}: {step} failed: {errno}{log}")]
    Step { device: String, step: &'static str, errno: Errno, log: Log },
    #[error("port {device}: in use already by another port of this process")]
    InUse { device: String },
    #[error("port {device}: configured already")]
    Configured { device: String },
    #[error(
        "port {device}: {missing} of its queues are still with workers, which must leave the port first"
    )]
    QueuesOut { device: String, missing: usize },
}

/// Why a pinned thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum LcoreError {
    #[error("thread {name:?} cannot be started: {source}")]
    Spawn { name: String, source: io::Error },
    #[error("thread {name:?} cannot run on CPU {cpu}: {source}: allowed are {allowed}")]
    Pin { name: String, cpu: usize, allowed: String, source: io::Error },
    #[error(
        "thread {name:?} cannot be registered with EAL: {errno} (at most {} lcores in all)",
        dpdk_sys::VR_MAX_LCORE
    )]
    Register { name: String, errno: Errno },
    #[error("thread {0:?} ended while it was starting")]
    Died(String),
}

/// Why the kernel's link state is not known.
#[derive(Debug, thiserror::Error)]
#[error("link state from netlink: {step}: {source}")]
pub struct CarrierError {
    pub step: &'static str,
    pub source: io::Error,
}
