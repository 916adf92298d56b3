//! Settings of a kernel interface that a port sits on, in the network namespace of the calling thread.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Index of an interface in this network namespace.
pub fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // WHY: the kernel numbers interfaces, and /sys shows those of another namespace after unshare.
    // SAFETY: the name is NUL-terminated.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// MTU of an interface in this network namespace.
pub fn mtu(name: &str) -> io::Result<u32> {
    let mut request = request_for(name)?;
    ioctl(libc::SIOCGIFMTU as libc::c_ulong, &mut request)?;
    // WHY: the answer is in a union.
    // SAFETY: SIOCGIFMTU filled this member.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.max(0) as u32)
}

/// Sets the MTU of an interface in this network namespace; needs CAP_NET_ADMIN.
pub fn set_mtu(name: &str, mtu: u16) -> io::Result<()> {
    let mut request = request_for(name)?;
    request.ifr_ifru.ifru_mtu = i32::from(mtu);
    ioctl(libc::SIOCSIFMTU as libc::c_ulong, &mut request)
}

/// Whether the kernel merges received frames into longer ones (GRO or LRO), which no packet socket can then tell apart.
/// False as well where the interface does not say.
pub fn merges_frames(name: &str) -> bool {
    ethtool(name, ETHTOOL_GGRO).is_ok_and(|on| on != 0)
        || ethtool(name, ETHTOOL_GFLAGS).is_ok_and(|flags| flags & ETH_FLAG_LRO != 0)
}

// linux/ethtool.h
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GGRO: u32 = 0x2b;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// struct ethtool_value
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

fn ethtool(name: &str, command: u32) -> io::Result<u32> {
    let mut value = EthtoolValue { command, data: 0 };
    let mut request = request_for(name)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    ioctl(libc::SIOCETHTOOL as libc::c_ulong, &mut request)?;
    Ok(value.data)
}

fn request_for(name: &str) -> io::Result<libc::ifreq> {
    // WHY: a C structure with a union.
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn ioctl(code: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // WHY: interface settings are ioctls on any socket.
    // SAFETY: socket() gives a new descriptor or -1; it is owned by the OwnedFd alone. `request` is a valid ifreq.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        match libc::ioctl(socket.as_raw_fd(), code, request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_settings_and_a_missing_interface_none() {
        assert!(index("lo").is_some());
        assert!(mtu("lo").unwrap() >= 1500);
        let _ = merges_frames("lo"); // either answer is right
        assert_eq!(index("no-such-if"), None);
        assert!(mtu("no-such-if").is_err() && !merges_frames("no-such-if"));
        assert_eq!(mtu("a-name-of-16-char").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
