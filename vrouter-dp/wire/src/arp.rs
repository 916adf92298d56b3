//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Mac, Malformed, eth, fixed_header};

/// Asks who has an address.
pub const REQUEST: u16 = 1;
/// Tells who has an address.
pub const REPLY: u16 = 2;

/// An ARP packet: 28 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Arp {
    hardware: U16,
    protocol: U16,
    hardware_length: u8,
    protocol_length: u8,
    operation: U16,
    /// MAC of the sender.
    pub sender_mac: Mac,
    sender: [u8; 4],
    /// MAC of the target; not meaningful in a request.
    pub target_mac: Mac,
    target: [u8; 4],
}

fixed_header!(Arp, 28);

impl Arp {
    /// `Version` unless hardware is Ethernet and protocol IPv4, with their address lengths.
    #[inline]
    pub fn check(&self) -> Result<(), Malformed> {
        let expected = (1, eth::IPV4, 6, 4);
        let found =
            (self.hardware.get(), self.protocol.get(), self.hardware_length, self.protocol_length);
        if found == expected { Ok(()) } else { Err(Malformed::Version) }
    }

    /// [`REQUEST`], [`REPLY`] or something else.
    pub const fn operation(&self) -> u16 {
        self.operation.get()
    }

    /// Address of the sender; 0.0.0.0 in a probe (RFC 5227).
    pub const fn sender(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(self.sender)
    }

    /// Address asked for or answered to.
    pub const fn target(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(self.target)
    }

    /// A packet with all fields.
    pub const fn new(
        operation: u16,
        sender_mac: Mac,
        sender: Ipv4Addr,
        target_mac: Mac,
        target: Ipv4Addr,
    ) -> Arp {
        Arp {
            hardware: U16::new(1),
            protocol: U16::new(eth::IPV4),
            hardware_length: 6,
            protocol_length: 4,
            operation: U16::new(operation),
            sender_mac,
            sender: sender.octets(),
            target_mac,
            target: target.octets(),
        }
    }

    /// Who has `target`? Tell `sender`.
    pub const fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Arp {
        Arp::new(REQUEST, sender_mac, sender, Mac([0; 6]), target)
    }

    /// The answer to `self`: the address asked for is at `mac`.
    pub const fn reply(&self, mac: Mac) -> Arp {
        Arp::new(REPLY, mac, self.target(), self.sender_mac, self.sender())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_BYTES: [u8; 28] = [
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 10, 1,
        0, 7, 0, 0, 0, 0, 0, 0, 10, 1, 0, 1,
    ];

    #[test]
    fn request_and_reply_byte_by_byte() {
        let mac = Mac([0x52, 0x54, 0, 0, 1, 7]);
        let (asked, me) = (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 7));
        assert_eq!(Arp::request(mac, me, asked).as_bytes(), REQUEST_BYTES);
        let (arp, rest) = Arp::parse(&REQUEST_BYTES).unwrap();
        assert!(rest.is_empty());
        arp.check().unwrap();
        assert_eq!((arp.operation(), arp.sender(), arp.target()), (REQUEST, me, asked));
        let reply = arp.reply(Mac::GATEWAY);
        assert_eq!(
            reply.as_bytes(),
            [
                0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x00,
                10, 1, 0, 1, 0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 10, 1, 0, 7
            ]
        );
    }

    #[test]
    fn other_hardware_is_refused() {
        for (at, value) in [(1, 6u8), (2, 0x86), (4, 8), (5, 16)] {
            let mut bytes = REQUEST_BYTES;
            bytes[at] = value;
            assert_eq!(Arp::parse(&bytes).unwrap().0.check(), Err(Malformed::Version));
        }
        assert_eq!(Arp::parse(&REQUEST_BYTES[..27]).unwrap_err(), Malformed::Truncated);
    }
}
