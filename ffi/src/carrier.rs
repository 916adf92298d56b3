//! Carrier of ports that sit on a kernel interface, from rtnetlink.
//!
//! net_af_packet and net_af_xdp report "link up" whatever the interface does. The kernel knows at once, and says so on the
//! link group of rtnetlink: RTM_NEWLINK with IFF_RUNNING set or clear, RTM_DELLINK when the interface goes.
//! The socket never blocks: whoever owns it polls it in its loop. If the kernel had to drop messages, all links are asked
//! for again, so a state that was missed is told late, never lost.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::CarrierError;

/// A link as the kernel sees it now. Several reports of the same state may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    pub index: u32,
    pub name: String,
    /// Administratively up and with carrier.
    pub running: bool,
    /// The interface is gone.
    pub removed: bool,
}

/// A subscription to link changes in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Carrier {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
    again: bool, // a dump is owed
}

impl Carrier {
    /// Subscribes, and asks for every link: the first [`Carrier::poll`]s report the state of all of them.
    pub fn open() -> Result<Self, CarrierError> {
        let socket = netlink(libc::RTMGRP_LINK as u32)
            .map_err(|source| CarrierError { step: "socket", source })?;
        let mut carrier = Carrier { socket, buffer: vec![0; 64 * 1024], sequence: 0, again: false };
        carrier.dump().map_err(|source| CarrierError { step: "request", source })?;
        Ok(carrier)
    }

    /// The reports that have come since the last call; empty at once if there are none.
    pub fn poll(&mut self) -> Result<Vec<LinkChange>, CarrierError> {
        let mut changes = Vec::new();
        loop {
            if self.again && self.dump().is_ok() {
                self.again = false;
            }
            match self.receive() {
                Ok(0) => return Ok(changes),
                Ok(len) => parse(&self.buffer[..len.min(self.buffer.len())], &mut changes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel dropped messages: ask for the whole state.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.again = true,
                Err(source) => return Err(CarrierError { step: "receive", source }),
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        // WHY: netlink is a socket that the standard library does not have.
        // SAFETY: the buffer is ours and its length is passed.
        let len = unsafe {
            let buffer = self.buffer.as_mut_ptr().cast();
            libc::recv(self.socket.as_raw_fd(), buffer, self.buffer.len(), libc::MSG_DONTWAIT)
        };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }

    fn dump(&mut self) -> io::Result<()> {
        self.sequence += 1;
        let mut request = Vec::with_capacity(32);
        request.extend_from_slice(&32u32.to_ne_bytes()); // nlmsghdr: 16 bytes, then ifinfomsg: 16
        request.extend_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
        request.extend_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.resize(32, 0);
        // WHY: as in `receive`.
        // SAFETY: the request is ours and its length is passed.
        let sent = unsafe {
            libc::send(self.socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Carrier {
    /// Readable when [`Carrier::poll`] has something to tell.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn netlink(groups: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // WHY: netlink is a socket that the standard library does not have.
    // SAFETY: socket() gives a new descriptor or -1, owned by the OwnedFd alone; all-zero is a valid sockaddr_nl.
    unsafe {
        let socket = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut address: libc::sockaddr_nl = mem::zeroed();
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = groups;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        match libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) {
            0 => Ok(socket),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

const HEADER: usize = 16; // nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32
const LINK: usize = 16; // ifinfomsg: family u8, pad, type u16, index i32, flags u32, change u32

/// Takes the link messages of one datagram; anything else, and anything cut, is passed over.
fn parse(mut bytes: &[u8], changes: &mut Vec<LinkChange>) {
    while let Some(length) = u32_at(bytes, 0) {
        let length = length as usize;
        if length < HEADER || length > bytes.len() {
            return;
        }
        let (message, kind) = (&bytes[..length], u16_at(bytes, 4));
        if matches!(kind, Some(libc::RTM_NEWLINK | libc::RTM_DELLINK)) {
            changes.extend(link(&message[HEADER..], kind == Some(libc::RTM_DELLINK)));
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
}

fn link(body: &[u8], removed: bool) -> Option<LinkChange> {
    // Bridges report their ports under a family of their own; the state of the link is in AF_UNSPEC.
    if *body.first()? != libc::AF_UNSPEC as u8 {
        return None;
    }
    let index = u32_at(body, 4)?;
    let flags = u32_at(body, 8)?;
    let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
    let name = attribute(body.get(LINK..)?, libc::IFLA_IFNAME)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    Some(LinkChange { index, name, running: !removed && flags & wanted == wanted, removed })
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(bytes, 0)?);
        if length < 4 || length > bytes.len() {
            return None;
        }
        if u16_at(bytes, 2)? == wanted {
            return Some(&bytes[4..length]);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_reported_at_once() {
        let mut carrier = Carrier::open().unwrap();
        let links = carrier.poll().unwrap();
        let index = crate::interface::index("lo").unwrap();
        assert!(links.iter().any(|link| link.name == "lo" && link.index == index), "{links:?}");
    }

    #[test]
    fn cut_and_foreign_messages_are_passed_over() {
        let mut message = vec![0u8; 16 + 16 + 8];
        message[0] = 40;
        message[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        message[20] = 7; // index
        message[24..28].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u32).to_ne_bytes());
        message[32..36].copy_from_slice(&[7, 0, 3, 0]); // IFLA_IFNAME, "v0"
        message[36..39].copy_from_slice(b"v0\0");
        let mut changes = Vec::new();
        parse(&message, &mut changes);
        let expected = LinkChange { index: 7, name: "v0".into(), running: true, removed: false };
        assert_eq!(changes, [expected]);
        for cut in 0..message.len() {
            changes.clear();
            parse(&message[..cut], &mut changes);
            assert!(changes.is_empty(), "cut at {cut}");
        }
        for byte in 0..message.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut bad = message.clone();
                bad[byte] = value;
                parse(&bad, &mut changes);
            }
        }
    }
}
