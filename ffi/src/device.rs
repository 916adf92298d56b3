//! The text that names a device in the configuration.

use std::env;
use std::fmt;

use crate::error::DeviceError;

/// A device: on the PCI bus, or virtual with its driver's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    name: String,
    arguments: String,
    pci: bool,
}

impl Device {
    /// Parses `0000:3b:00.0` (or `3b:00.0`; driver arguments may follow after a comma), `vdev:net_af_packet0,iface=eth1`, or
    /// `env:PCIDEVICE_...`: the first address in that variable, as the SR-IOV device plugin sets it.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        Self::parse_with(text, |name| env::var(name).ok())
    }

    fn parse_with(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, DeviceError> {
        if let Some(name) = text.strip_prefix("env:") {
            let value = variable(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| DeviceError::Environment(name.to_string()))?;
            let first = value.split(',').next().unwrap_or_default().trim();
            return Self::pci(first).ok_or_else(|| DeviceError::Unknown(first.to_string()));
        }
        if let Some(rest) = text.strip_prefix("vdev:") {
            let (name, arguments) = rest.split_once(',').unwrap_or((rest, ""));
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if name.is_empty() || !plain || rest.contains('\0') {
                return Err(DeviceError::Vdev(rest.to_string()));
            }
            return Ok(Device { name: name.into(), arguments: arguments.into(), pci: false });
        }
        Self::pci(text).ok_or_else(|| DeviceError::Unknown(text.to_string()))
    }

    fn pci(text: &str) -> Option<Self> {
        let (address, arguments) = text.split_once(',').unwrap_or((text, ""));
        let hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
            digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let (domain, rest) = match address.matches(':').count() {
            1 => ("0000", address),
            _ => address.split_once(':')?,
        };
        let (bus, slot) = rest.split_once(':')?;
        let (device, function) = slot.split_once('.')?;
        let good =
            hex(domain, 4..=8) && hex(bus, 2..=2) && hex(device, 2..=2) && hex(function, 1..=1);
        if !good || arguments.contains('\0') {
            return None;
        }
        let name = format!("{domain}:{rest}").to_ascii_lowercase();
        Some(Device { name, arguments: arguments.into(), pci: true })
    }

    /// The device as EAL names it: `0000:3b:00.0`, `net_af_packet0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What follows the name: `iface=eth1,framesz=16384`; may be empty.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    pub fn is_pci(&self) -> bool {
        self.pci
    }

    /// Name and arguments as EAL parses them.
    pub fn devargs(&self) -> String {
        match self.arguments.as_str() {
            "" => self.name.clone(),
            arguments => format!("{},{arguments}", self.name),
        }
    }

    /// The value of one driver argument.
    pub fn argument(&self, key: &str) -> Option<&str> {
        argument(&self.arguments, key)
    }

    /// The driver of a virtual device: its name without the number at the end.
    pub fn driver(&self) -> Option<&str> {
        (!self.pci).then(|| self.name.trim_end_matches(|letter: char| letter.is_ascii_digit()))
    }

    /// The kernel interface that the port sits on, whose carrier is the port's.
    pub fn interface(&self) -> Option<&str> {
        match self.driver()? {
            "net_af_packet" | "net_af_xdp" | "net_pcap" => self.argument("iface"),
            "net_tap" => self.argument("remote").or_else(|| self.argument("iface")),
            _ => None,
        }
    }
}

/// The value of `key` in `key=value,key=value`.
pub(crate) fn argument<'a>(arguments: &'a str, key: &str) -> Option<&'a str> {
    arguments
        .split(',')
        .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
        .map(|(_, value)| value)
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.pci { "" } else { "vdev:" }, self.devargs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["0000:3b:00.0", "3B:00.0"] {
            let device = Device::parse(text).unwrap();
            assert_eq!((device.name(), device.is_pci()), ("0000:3b:00.0", true));
        }
        for text in [
            "",
            "eth0",
            "0000:3b:00",
            "0000:3b:00.",
            "0000:3g:00.0",
            "vdev:",
            "vdev:,a",
            "vdev:a b",
        ] {
            assert!(Device::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn virtual_devices() {
        let device = Device::parse("vdev:net_af_packet12,iface=eth1,framesz=4096").unwrap();
        assert_eq!(device.driver(), Some("net_af_packet"));
        assert_eq!(device.interface(), Some("eth1"));
        assert_eq!(device.argument("framesz"), Some("4096"));
        assert_eq!(device.devargs(), "net_af_packet12,iface=eth1,framesz=4096");
        assert_eq!(device.to_string(), "vdev:net_af_packet12,iface=eth1,framesz=4096");
    }

    #[test]
    fn from_the_environment() {
        let device =
            Device::parse_with("env:PCIDEVICE_X", |_| Some("0000:01:10.0,0000:01:10.2".into()));
        assert_eq!(device.unwrap().name(), "0000:01:10.0");
        let missing = Device::parse_with("env:PCIDEVICE_X", |_| None);
        assert_eq!(missing, Err(DeviceError::Environment("PCIDEVICE_X".into())));
    }
}
