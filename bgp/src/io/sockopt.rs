//! Socket options that no library sets: who may talk to us (GTSM, RFC 5082; TCP-MD5, RFC 2385), and
//! from how far a connection came.

#![allow(unsafe_code, reason = "neither std, socket2 nor tokio has these options")]

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use crate::types::Password;

/// Longest IP and TCP header of a SYN that the kernel may keep.
const LONGEST_SYN: usize = 512;

/// Drops in the kernel what arrives with a TTL (hop limit) below `least`.
pub(super) fn set_min_ttl(socket: &impl AsFd, remote: IpAddr, least: u8) -> io::Result<()> {
    let least = libc::c_int::from(least);
    match remote {
        IpAddr::V4(_) => set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &least),
        IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &least),
    }
}

/// Makes a listening socket keep the headers of each SYN, for [`syn_ttl`].
pub(super) fn save_syn(listener: &impl AsFd) -> io::Result<()> {
    set(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &libc::c_int::from(true))
}

/// The TTL (hop limit) of the SYN that began an accepted connection; `None` if the kernel has not
/// kept it, as under a flood of SYNs. It can be asked for once.
pub(super) fn syn_ttl(stream: &impl AsFd) -> io::Result<Option<u8>> {
    let mut headers = [0u8; LONGEST_SYN];
    let mut length = LONGEST_SYN as libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the kernel writes at most `length` octets,
    // which `headers` has.
    let status = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVED_SYN,
            headers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(headers.get(..length as usize).and_then(ttl_of))
}

/// What the kernel is told of a peer's password: `struct tcp_md5sig` of linux/tcp.h.
#[repr(C, align(8))]
struct Signature {
    /// A `sockaddr_storage`.
    peer: [u8; 128],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; Password::LONGEST],
}

/// Signs what goes to `peer` and takes no notice of what comes from it without that signature. `None`
/// ends that. `own` is an address of the socket's family.
pub(super) fn set_password(
    socket: &impl AsFd,
    own: IpAddr,
    peer: IpAddr,
    password: Option<&Password>,
) -> io::Result<()> {
    let mut signature = Signature {
        peer: [0; 128],
        flags: 0,
        prefix_length: 0,
        key_length: 0,
        interface: 0,
        key: [0; Password::LONGEST],
    };
    // sockaddr_in: family, port, address; sockaddr_in6: family, port, flow, address.
    let (family, at, address) = match (own, peer) {
        (IpAddr::V4(_), IpAddr::V4(peer)) => (libc::AF_INET, 4, peer.octets().to_vec()),
        (_, IpAddr::V4(peer)) => (libc::AF_INET6, 8, peer.to_ipv6_mapped().octets().to_vec()),
        (_, IpAddr::V6(peer)) => (libc::AF_INET6, 8, peer.octets().to_vec()),
    };
    let fields = [(0, (family as libc::sa_family_t).to_ne_bytes().to_vec()), (at, address)];
    for (at, bytes) in fields {
        signature.peer.iter_mut().skip(at).zip(bytes).for_each(|(place, byte)| *place = byte);
    }
    let secret = password.map(Password::as_bytes).unwrap_or_default();
    signature.key_length = secret.len() as u16;
    signature.key.iter_mut().zip(secret).for_each(|(place, byte)| *place = *byte);
    set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature)
}

/// The TTL in an IPv4 header, the hop limit in an IPv6 one.
fn ttl_of(headers: &[u8]) -> Option<u8> {
    match headers.first()? >> 4 {
        4 => headers.get(8).copied(),
        6 => headers.get(7).copied(),
        _ => None,
    }
}

/// `T` is what the option takes: plain data of the C interface.
fn set<T>(socket: &impl AsFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call, and the kernel only reads the octets of `value`.
    let status = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    use super::*;

    #[test]
    fn a_syn_tells_from_how_far_it_came() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            save_syn(&listener).unwrap();
            let _near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, remote) = listener.accept().unwrap();
            assert_eq!(syn_ttl(&accepted).unwrap(), Some(64), "{remote}");
            assert_eq!(syn_ttl(&accepted).unwrap(), None, "only once");
            set_min_ttl(&accepted, remote.ip(), 255).unwrap();
        }
    }

    #[test]
    fn what_has_too_small_a_ttl_is_not_heard() {
        use std::io::{Read, Write};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut near, remote) = listener.accept().unwrap();
        near.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        set_min_ttl(&near, remote.ip(), 254).unwrap();
        let mut byte = [0];
        for (ttl, heard) in [(253, false), (254, true)] {
            SockRef::from(&far).set_ttl_v4(ttl).unwrap();
            far.write_all(b"x").unwrap();
            if heard {
                near.set_read_timeout(None).unwrap();
            }
            assert_eq!(near.read(&mut byte).is_ok(), heard, "{ttl}");
        }
    }

    #[test]
    fn only_the_right_password_is_answered() {
        let (right, wrong): (Password, Password) =
            ("right".parse().unwrap(), "wrong".parse().unwrap());
        let near = IpAddr::from([127, 0, 0, 1]);
        // The listening socket is of either family.
        for own in ["127.0.0.1:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(own) else { continue };
            let own = listener.local_addr().unwrap();
            set_password(&listener, own.ip(), near, Some(&right)).unwrap();
            let dial = |password: Option<&Password>| {
                let kind = (socket2::Domain::IPV4, socket2::Type::STREAM);
                let socket = socket2::Socket::new(kind.0, kind.1, None).unwrap();
                if let Some(password) = password {
                    set_password(&socket, near, near, Some(password)).unwrap();
                }
                let to = std::net::SocketAddr::new(near, own.port());
                socket.connect_timeout(&to.into(), std::time::Duration::from_millis(300)).is_ok()
            };
            assert_eq!((dial(None), dial(Some(&wrong)), dial(Some(&right))), (false, false, true));
            set_password(&listener, own.ip(), near, None).unwrap();
            assert!(dial(None));
        }
    }

    #[test]
    fn the_kernel_and_we_agree_on_the_layout() {
        assert_eq!(size_of::<Signature>(), 216);
        assert_eq!(std::mem::offset_of!(Signature, key), 136);
    }

    #[test]
    fn headers_cut_short_have_no_ttl() {
        assert_eq!(ttl_of(&[]), None);
        assert_eq!(ttl_of(&[0x45; 8]), None);
        assert_eq!(ttl_of(&[0x60; 7]), None);
        assert_eq!(ttl_of(&[0x20; 60]), None);
    }
}
