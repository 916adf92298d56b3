//! Texts of a configuration into values. An error names the likely slip, where there is one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use bgp::types::{Family, Password, RouteTarget};
use ipnet::{IpNet, Ipv4Net};
use wire::Mac;

use crate::diag::closest;
use crate::model::{Encapsulation, PortRole, Spread};
use crate::read::Wrong;

/// Longest path of a unix socket (sun_path without its terminator).
const SOCKET_PATH: usize = 107;
/// Longest name of anything.
const NAME: usize = 64;

fn because<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Some((message.into(), remedy.into())))
}

/// A name of an object: it appears in commands, metrics and file names.
pub(crate) fn name(text: &str) -> Result<(), Wrong> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_:@".contains(c);
    if text.is_empty() {
        return because(
            "a name without characters",
            "write 1-64 letters, digits, `.`, `-`, `_`, `:` or `@`",
        );
    }
    if text.len() > NAME || text.starts_with('-') || !text.chars().all(legal) {
        return because(
            "not a usable name",
            "write 1-64 letters, digits, `.`, `-`, `_`, `:` or `@`, not starting with `-`",
        );
    }
    Ok(())
}

/// A password, in whose messages it does not stand.
pub(crate) fn password(text: &str) -> Result<Password, (String, String)> {
    text.parse().map_err(|_| match text.len() {
        0 => ("is empty".to_owned(), "write 1-80 octets, or remove it".to_owned()),
        length if length > Password::LONGEST => (
            format!("has {length} octets"),
            format!("TCP-MD5 takes at most {} (RFC 2385)", Password::LONGEST),
        ),
        _ => (
            format!("is {}, which stands for one that is not shown", Password::SHOWN),
            "write the password itself".to_owned(),
        ),
    })
}

/// An IPv4 address.
pub(crate) fn ipv4(text: &str) -> Result<Ipv4Addr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.parse::<IpNet>() {
        Ok(IpNet::V4(net)) => because(
            "an address with a prefix length where only the address belongs",
            format!("write \"{}\"", net.addr()),
        ),
        _ if text.parse::<IpAddr>().is_ok() => because("an IPv6 address", "write an IPv4 address"),
        _ => Err(None),
    }
}

/// An IPv4 or IPv6 address.
pub(crate) fn ip(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().or_else(|_| ipv4(text).map(IpAddr::V4))
}

/// An address of an instance.
pub(crate) fn instance_address(text: &str) -> Result<IpAddr, Wrong> {
    match ip(text)? {
        IpAddr::V6(_) => because(
            "and IPv6 addresses of instances are not supported yet",
            "write only IPv4 addresses",
        ),
        address => Ok(address),
    }
}

/// An IPv4 prefix, host bits zero.
pub(crate) fn prefix(text: &str) -> Result<Ipv4Net, Wrong> {
    match text.parse::<IpNet>() {
        Ok(IpNet::V4(net)) if net == net.trunc() => Ok(net),
        Ok(IpNet::V4(net)) => {
            because("a prefix with bits behind its length", format!("write \"{}\"", net.trunc()))
        }
        Ok(IpNet::V6(_)) => because("an IPv6 prefix", "write an IPv4 prefix"),
        Err(_) => match text.parse::<Ipv4Addr>() {
            Ok(address) => {
                because("an address without a prefix length", format!("write \"{address}/32\""))
            }
            Err(_) => Err(None),
        },
    }
}

/// An address of a port with its on-link prefix length.
pub(crate) fn interface_address(text: &str) -> Result<IpNet, Wrong> {
    match text.parse::<IpNet>() {
        Ok(net) => Ok(net),
        Err(_) if text.parse::<IpAddr>().is_ok() => because(
            "an address without the prefix length of its link",
            format!("write for example \"{text}/{}\"", if text.contains(':') { 64 } else { 24 }),
        ),
        Err(_) => Err(None),
    }
}

/// Where to listen.
pub(crate) fn listen(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text == crate::defaults::listen_text::NONE {
        return Ok(None);
    }
    match text.parse::<IpAddr>() {
        Ok(address) => because(
            "an address without a port",
            format!("write \"{}\"", SocketAddr::new(address, 179)),
        ),
        Err(_) => text.parse().map(Some).map_err(|_| None),
    }
}

/// The MAC address of a machine.
pub(crate) fn mac(text: &str) -> Result<Mac, Wrong> {
    let mac: Mac = match text.parse() {
        Ok(mac) => mac,
        // The forms of other systems: 52-54-00-00-01-07, 5254.0000.0107.
        Err(_) => {
            let digits: String = text.chars().filter(|c| !"-.:".contains(*c)).collect();
            if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(None);
            }
            let octets: Vec<&str> = (0..6).filter_map(|i| digits.get(2 * i..2 * i + 2)).collect();
            let written = octets.join(":").to_ascii_lowercase();
            return because("a MAC address in another form", format!("write \"{written}\""));
        }
    };
    if mac == Mac::GATEWAY {
        return because("the MAC address of the gateway itself", "write the machine's own");
    }
    if !mac.is_unicast() {
        return because(
            "which no machine can have as its own",
            "write the machine's unicast MAC address",
        );
    }
    Ok(mac)
}

/// A route target.
pub(crate) fn route_target(text: &str) -> Result<RouteTarget, Wrong> {
    text.parse().map_err(|_| None)
}

/// One of a few words.
fn word<T: FromStr>(text: &str, words: &[&str]) -> Result<T, Wrong> {
    text.parse().or_else(|_| {
        let remedy = match closest(text, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                let all: Vec<String> = words.iter().map(|w| format!("\"{w}\"")).collect();
                format!("write {}", all.join(" or "))
            }
        };
        because("an unknown word here", remedy)
    })
}

/// An encapsulation.
pub(crate) fn encapsulation(text: &str) -> Result<Encapsulation, Wrong> {
    word(text, &Encapsulation::ALL.map(Encapsulation::as_str))
}

/// The role of a port.
pub(crate) fn role(text: &str) -> Result<PortRole, Wrong> {
    word(text, &PortRole::ALL.map(PortRole::as_str))
}

/// Whether queues are shared.
pub(crate) fn spread(text: &str) -> Result<Spread, Wrong> {
    word(text, &Spread::ALL.map(Spread::as_str))
}

/// An address family.
pub(crate) fn family(text: &str) -> Result<Family, Wrong> {
    word(text, &Family::ALL.map(Family::name))
}

/// An absolute path.
pub(crate) fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.contains('\0') || !text.starts_with('/') || text.ends_with('/') {
        Err(None)
    } else {
        Ok(text.into())
    }
}

/// Path of a unix socket.
pub(crate) fn socket(text: &str) -> Result<PathBuf, Wrong> {
    if text.len() > SOCKET_PATH {
        return because(
            format!("{} bytes long, and a socket's path ends at {SOCKET_PATH}", text.len()),
            format!("write a shorter path, such as \"{}\"", crate::defaults::SOCKET),
        );
    }
    path(text)
}

/// An argument for the EAL.
pub(crate) fn eal(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.contains('\0') { Err(None) } else { Ok(text.to_owned()) }
}

/// The device of a port; only its form is judged.
pub(crate) fn device(text: &str) -> Result<(), Wrong> {
    const FORMS: &str = "write a PCI address such as \"0000:3b:00.0\", a virtual device such as \
                         \"vdev:net_af_packet0,iface=eth1\", or \"env:PCIDEVICE_...\"";
    if let Some(vdev) = text.strip_prefix("vdev:") {
        let name = vdev.split(',').next().unwrap_or_default();
        let legal =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if legal && !vdev.contains('\0') {
            Ok(())
        } else {
            because("a virtual device without a name", FORMS)
        };
    }
    if let Some(variable) = text.strip_prefix("env:") {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = !variable.is_empty() && variable.bytes().all(legal);
        return if good {
            Ok(())
        } else {
            because("not the name of an environment variable", FORMS)
        };
    }
    if pci(text) {
        return Ok(());
    }
    if pci(&format!("0000:{text}")) {
        return because("a PCI address without its domain", format!("write \"0000:{text}\""));
    }
    if text.starts_with("net_") {
        return because(
            "a virtual device without `vdev:`",
            format!("write {:?}", format!("vdev:{text}")),
        );
    }
    let interface = !text.is_empty()
        && text.len() <= 15
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if interface {
        return because(
            "not a device of DPDK",
            format!(
                "write \"vdev:net_af_packet0,iface={text}\" if it is an interface of the kernel"
            ),
        );
    }
    because("not a device of DPDK", FORMS)
}

/// `dddd:bb:dd.f`
fn pci(text: &str) -> bool {
    let mut parts = text.split(':');
    let hex = |part: Option<&str>, lengths: &[usize]| {
        part.is_some_and(|p| lengths.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let (domain, bus, rest) = (parts.next(), parts.next(), parts.next());
    let Some((device, function)) = rest.and_then(|r| r.split_once('.')) else { return false };
    parts.next().is_none()
        && hex(domain, &[4, 8])
        && hex(bus, &[2])
        && hex(Some(device), &[2])
        && matches!(function.as_bytes(), [b'0'..=b'7'])
}

/// What makes two ports use the same device: the PCI address, or the name of the virtual device.
pub(crate) fn device_identity(text: &str) -> String {
    match text.strip_prefix("vdev:") {
        Some(vdev) => vdev.split(',').next().unwrap_or_default().to_owned(),
        // Each reading of a device plugin's variable takes the next of its list.
        None if text.starts_with("env:") => String::new(),
        None => text.to_ascii_lowercase(),
    }
}
