//! Ethernet II and the 802.1Q tag.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Mac, Malformed, VlanId, fixed_header};

/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Ethertype of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// Ethertype of an 802.1ad service tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Ethertype of MPLS unicast, also the protocol of MPLS in GRE (RFC 4023).
pub const MPLS: u16 = 0x8847;

/// The Ethernet header: 14 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ethernet {
    /// Who it is for.
    pub destination: Mac,
    /// Who sent it.
    pub source: Mac,
    ethertype: U16,
}

fixed_header!(Ethernet, 14);

impl Ethernet {
    /// A header.
    pub const fn new(destination: Mac, source: Mac, ethertype: u16) -> Ethernet {
        Ethernet { destination, source, ethertype: U16::new(ethertype) }
    }

    /// What follows the header.
    #[inline]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype.get()
    }
}

/// MACs and VLAN of a frame with one tag, whatever its priority, to be compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkKey([u64; 2]);

impl LinkKey {
    /// Like that of no frame.
    pub const NONE: LinkKey = LinkKey([u64::MAX; 2]);
    /// Bits of the second half that are not priority and drop eligibility.
    const COMPARED: u64 = u64::from_ne_bytes([255, 255, 255, 255, 255, 255, 0x0f, 255]);

    /// Of a frame from `source` to `destination` in `vlan`.
    #[inline]
    pub const fn new(destination: Mac, source: Mac, vlan: VlanId) -> LinkKey {
        let [a, b, c, d, e, f] = destination.0;
        let [g, h, i, j, k, l] = source.0;
        let [tpid, tci] = [VLAN.to_be_bytes(), vlan.value().to_be_bytes()];
        let back = [i, j, k, l, tpid[0], tpid[1], tci[0], tci[1]];
        LinkKey([u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(back)])
    }

    /// The VLAN id, 12 bits, if there is a tag.
    #[inline(always)]
    pub const fn vlan(self) -> u16 {
        let [.., a, b] = self.0[1].to_ne_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Of a frame with its tag in place, if it has one.
    #[inline(always)]
    pub fn tagged(header: &[u8; TaggedEthernet::LEN]) -> LinkKey {
        let [a, b, c, d, e, f, g, h, back @ .., _, _] = *header;
        let front = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        LinkKey([front, u64::from_ne_bytes(back) & LinkKey::COMPARED])
    }

    /// Of a frame whose tag was taken out: this was its tag control information.
    #[inline(always)]
    pub fn bare(header: &[u8; Ethernet::LEN], tci: u16) -> LinkKey {
        let [a, b, c, d, e, f, g, h, i, j, k, l, _, _] = *header;
        let ([m, n], [o, p]) = (VLAN.to_be_bytes(), tci.to_be_bytes());
        let back = u64::from_ne_bytes([i, j, k, l, m, n, o, p]);
        LinkKey([u64::from_ne_bytes([a, b, c, d, e, f, g, h]), back & LinkKey::COMPARED])
    }
}

/// Who a frame is for, as a number to compare with [`destination_bits`]. `Truncated` if there are fewer than 8 bytes.
#[inline]
pub fn destination(frame: &[u8]) -> Result<u64, Malformed> {
    let bytes: &[u8; 8] = frame.first_chunk().ok_or(Malformed::Truncated)?;
    Ok(u64::from_le_bytes(*bytes) & 0xffff_ffff_ffff)
}

/// A MAC as a number of 48 bits.
pub const fn destination_bits(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// What follows the ethertype 0x8100: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Tag {
    tci: U16,
    ethertype: U16,
}

fixed_header!(Tag, 4);

impl Tag {
    /// Tag control information: priority (3 bits), drop eligible (1 bit), VLAN id (12 bits).
    #[inline]
    pub const fn tci(&self) -> u16 {
        self.tci.get()
    }

    /// What follows the tag.
    #[inline]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype.get()
    }
}

/// An Ethernet header with one tag: 18 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TaggedEthernet {
    /// Who it is for.
    pub destination: Mac,
    /// Who sent it.
    pub source: Mac,
    tpid: U16,
    tag: Tag,
}

fixed_header!(TaggedEthernet, 18);

impl TaggedEthernet {
    /// A header with priority 0.
    pub const fn new(destination: Mac, source: Mac, vlan: VlanId, ethertype: u16) -> Self {
        let tag = Tag { tci: U16::new(vlan.value()), ethertype: U16::new(ethertype) };
        TaggedEthernet { destination, source, tpid: U16::new(VLAN), tag }
    }

    /// Sets what follows the header.
    #[inline]
    pub const fn set_ethertype(&mut self, ethertype: u16) {
        self.tag.ethertype = U16::new(ethertype);
    }

    /// The tag.
    pub const fn tag(&self) -> &Tag {
        &self.tag
    }
}

/// The VLAN id of tag control information; `None` for a priority tag (0) and for the reserved 4095.
#[inline]
pub const fn vlan_of(tci: u16) -> Option<VlanId> {
    VlanId::new(tci & 0x0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_frame_byte_by_byte() {
        let frame = [
            0x00, 0x00, 0x5e, 0x00, 0x01, 0x00, 0x52, 0x54, 0x00, 0x00, 0x01, 0x07, 0x81, 0x00,
            0xe0, 0x6b, 0x08, 0x06, 0xaa,
        ];
        let (eth, rest) = Ethernet::parse(&frame).unwrap();
        assert_eq!(eth.destination, Mac::GATEWAY);
        let key = LinkKey::new(Mac::GATEWAY, eth.source, VlanId::new(107).unwrap());
        assert_eq!((LinkKey::tagged(frame.first_chunk().unwrap()), key.vlan()), (key, 107));
        let bare: [u8; 14] = std::array::from_fn(|at| frame[if at < 12 { at } else { at + 4 }]);
        assert_eq!(LinkKey::bare(&bare, 0xe06b), key, "whatever the priority, wherever the tag");
        for byte in (0..14).chain([15]) {
            let mut other = frame;
            other[byte] ^= 1;
            assert_ne!(LinkKey::tagged(other.first_chunk().unwrap()), key, "byte {byte}");
        }
        assert_ne!(LinkKey::tagged(&[0xff; 18]), LinkKey::NONE, "no frame is like that");
        assert_eq!(destination(&frame), Ok(destination_bits(Mac::GATEWAY)));
        assert_eq!(destination(&frame[..7]), Err(Malformed::Truncated));
        assert_eq!(eth.source.to_string(), "52:54:00:00:01:07");
        assert_eq!(eth.ethertype(), VLAN);
        let (tag, rest) = Tag::parse(rest).unwrap();
        assert_eq!(vlan_of(tag.tci()).map(VlanId::value), Some(107));
        assert_eq!(tag.ethertype(), ARP);
        assert_eq!(rest, [0xaa]);
        assert_eq!(Ethernet::parse(&frame[..13]).unwrap_err(), Malformed::Truncated);

        let mut built =
            TaggedEthernet::new(Mac::GATEWAY, eth.source, VlanId::new(107).unwrap(), ARP);
        built.tag.tci = U16::new(0xe06b);
        assert_eq!(built.as_bytes(), &frame[..18]);
    }

    #[test]
    fn priority_tags_have_no_vlan() {
        assert_eq!(vlan_of(0xe000), None);
        assert_eq!(vlan_of(0x0fff), None);
        assert_eq!(vlan_of(0x1001).map(VlanId::value), Some(1));
    }
}
