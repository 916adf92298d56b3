//! How long a frame a port carries uncut. Drivers are silent about it: some cut, some drop without a count, so it is known
//! here and a port that would lose frames of its MTU refuses to start.
//!
//! Frame lengths count from the destination MAC to the last payload byte, one 802.1Q tag included, without FCS.

use std::fmt;

use crate::device::argument;

/// Ethernet header and one 802.1Q tag.
const L2: u32 = 14 + 4;

/// The longest frame (one tag included) and what sets the limit. As text: what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameLimit {
    /// net_af_packet: one slot of the kernel's ring.
    RingSlot { max_frame: u32, framesz: u32 },
    /// net_af_packet: the arguments of its ring do not fit together.
    RingArguments { framesz: u32, blocksz: u32 },
    /// net_af_xdp: one UMEM frame.
    Umem { max_frame: u32 },
    /// One packet buffer.
    Buffer { max_frame: u32 },
    /// What the device says of itself.
    Device { max_frame: u32 },
}

impl FrameLimit {
    /// The longest frame, one tag included, bytes.
    pub fn max_frame(&self) -> u32 {
        match *self {
            FrameLimit::RingArguments { .. } => 0,
            FrameLimit::RingSlot { max_frame, .. }
            | FrameLimit::Umem { max_frame }
            | FrameLimit::Buffer { max_frame }
            | FrameLimit::Device { max_frame } => max_frame,
        }
    }

    /// The largest MTU that this carries.
    pub fn max_mtu(&self) -> u32 {
        self.max_frame().saturating_sub(L2)
    }
}

impl fmt::Display for FrameLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frame, mtu) = (self.max_frame(), self.max_mtu());
        match self {
            FrameLimit::RingSlot { framesz, .. } => write!(
                f,
                "net_af_packet cuts frames above {frame} bytes with framesz={framesz}: add \
                 blocksz=65536,framesz=16384,framecnt=512 to the device, or set an MTU of at most {mtu}"
            ),
            FrameLimit::RingArguments { framesz, blocksz } => write!(
                f,
                "net_af_packet needs a blocksz that is a multiple of framesz and of the page size; {blocksz} and {framesz} \
                 are not: write blocksz=65536,framesz=16384,framecnt=512"
            ),
            FrameLimit::Umem { .. } => write!(
                f,
                "net_af_xdp drops frames above {frame} bytes (one UMEM frame): set an MTU of at most {mtu}, or use \
                 net_af_packet or the NIC's own driver"
            ),
            FrameLimit::Buffer { .. } => write!(
                f,
                "a packet buffer holds {frame} bytes: make the buffers larger, or set an MTU of at most {mtu}"
            ),
            FrameLimit::Device { .. } => {
                write!(f, "the device carries {frame} bytes: set an MTU of at most {mtu}")
            }
        }
    }
}

/// Length of the longest frame that an MTU allows: Ethernet header, one 802.1Q tag, payload.
pub fn frame_of(mtu: u16) -> u32 {
    u32::from(mtu) + L2
}

/// The limit of a port: `driver` as DPDK names it (`net_af_packet`), `arguments` of the device, `data_room` of the pool's
/// buffers after the headroom, and the device's own maxima (`max_rx_pktlen` with FCS, `max_mtu`; 0 when it says nothing).
pub fn frame_limit(
    driver: &str,
    arguments: &str,
    data_room: u16,
    max_rx_pktlen: u32,
    max_mtu: u16,
) -> FrameLimit {
    let buffer = FrameLimit::Buffer { max_frame: u32::from(data_room) };
    let own = match driver {
        "net_af_packet" => ring_slot(arguments),
        // The kernel keeps XDP_PACKET_HEADROOM before the frame.
        "net_af_xdp" => FrameLimit::Umem {
            max_frame: u32::from(data_room)
                .saturating_sub(XDP_HEADROOM)
                .min(device_frame(max_rx_pktlen, max_mtu)),
        },
        // Whatever they report, only the buffers count.
        _ if !has_own_mtu(driver) => return buffer,
        _ => FrameLimit::Device { max_frame: device_frame(max_rx_pktlen, max_mtu) },
    };
    if own.max_frame() < buffer.max_frame() { own } else { buffer }
}

/// The data room (after the headroom) that a pool needs for a device with this MTU: whole frames, in the 1 KiB steps that
/// NICs count buffers in, and what net_af_packet insists on for its framesz.
pub fn data_room(device: &crate::Device, mtu: u16) -> u16 {
    // 8 more: some drivers reckon with two tags.
    let mut room = (frame_of(mtu) + 8).next_multiple_of(1024).max(2048);
    if device.driver() == Some("net_af_packet") {
        room = room.max(number(device.arguments(), "framesz", FRAMESZ).next_multiple_of(1024));
    }
    if device.driver() == Some("net_af_xdp") {
        // A buffer with all its headers must stay within a page: no coarse rounding.
        room = (frame_of(mtu) + XDP_HEADROOM).next_multiple_of(64).max(2048);
    }
    room.min(63 * 1024) as u16
}

/// Whether the driver has an MTU that means something: those over kernel interfaces, files and memory do not, and some of
/// them refuse any.
pub(crate) fn has_own_mtu(driver: &str) -> bool {
    !matches!(
        driver,
        "net_af_packet"
            | "net_af_xdp"
            | "net_memif"
            | "net_null"
            | "net_pcap"
            | "net_ring"
            | "net_tap"
    )
}

const FRAMESZ: u32 = 2048; // the driver's default
const BLOCKSZ: u32 = 4096;
const XDP_HEADROOM: u32 = 256;

/// TPACKET_V2 puts the MAC header 66 bytes into a slot: its own header (32), sockaddr_ll (20), the MAC header's space (16),
/// aligned to 16, less the MAC header's length (14). The outer tag travels beside the bytes, so it costs no room.
const TPACKET_OVERHEAD: u32 = 66;

fn ring_slot(arguments: &str) -> FrameLimit {
    match ring_arguments(arguments) {
        Ok(framesz) => {
            let max_frame = (framesz + 4).saturating_sub(TPACKET_OVERHEAD);
            FrameLimit::RingSlot { max_frame, framesz }
        }
        Err(limit) => limit,
    }
}

/// The framesz of a net_af_packet device, if its ring can be made.
pub(crate) fn ring_arguments(arguments: &str) -> Result<u32, FrameLimit> {
    let framesz = number(arguments, "framesz", FRAMESZ);
    let blocksz = number(arguments, "blocksz", BLOCKSZ);
    if framesz == 0 || !blocksz.is_multiple_of(framesz) || !blocksz.is_multiple_of(4096) {
        return Err(FrameLimit::RingArguments { framesz, blocksz });
    }
    Ok(framesz)
}

fn device_frame(max_rx_pktlen: u32, max_mtu: u16) -> u32 {
    let by_length = if max_rx_pktlen == 0 { u32::MAX } else { max_rx_pktlen.saturating_sub(4) };
    let by_mtu = if max_mtu == 0 { u32::MAX } else { u32::from(max_mtu) + L2 };
    by_length.min(by_mtu)
}

fn number(arguments: &str, key: &str, default: u32) -> u32 {
    argument(arguments, key).map_or(default, |value| value.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn af_packet_cuts_at_its_slot() {
        let limit = frame_limit("net_af_packet", "iface=v0", 9216, 1514, 0);
        assert_eq!(limit.max_frame(), 1986, "tagged; 1982 untagged");
        assert_eq!(limit.max_mtu(), 1968);
        assert!(limit.to_string().contains("framesz=16384"));
        let limit =
            frame_limit("net_af_packet", "iface=v0,blocksz=65536,framesz=16384", 9216, 1514, 0);
        assert_eq!(limit, FrameLimit::Buffer { max_frame: 9216 });
        assert!(frame_limit("net_af_packet", "framesz=16384", 16384, 0, 0).max_frame() == 0);
        assert!(frame_limit("net_af_packet", "framesz=x", 16384, 0, 0).max_frame() == 0);
    }

    #[test]
    fn devices_and_buffers() {
        assert_eq!(frame_limit("net_ixgbe", "", 10240, 15872, 0).max_frame(), 10240);
        assert_eq!(frame_limit("net_ixgbe", "", 16384, 15872, 0).max_frame(), 15868);
        assert_eq!(frame_limit("net_e1000_igb_vf", "", 10240, 16383, 1500).max_frame(), 1518);
        assert_eq!(
            frame_limit("net_af_xdp", "iface=x", 2048, 3560, 3542).max_frame(),
            1792,
            "seen"
        );
        assert_eq!(frame_limit("net_tap", "", 2048, 1522, 65535).max_frame(), 2048);
    }

    #[test]
    fn room_for_the_mtu() {
        let room = |text: &str, mtu| data_room(&Device::parse(text).unwrap(), mtu);
        assert_eq!(room("0000:3b:00.0", 1500), 2048);
        assert_eq!(room("0000:3b:00.0", 9000), 9216);
        assert_eq!(room("vdev:net_af_packet0,iface=x,blocksz=65536,framesz=16384", 9000), 16384);
        for mtu in 576..=9216 {
            assert!(u32::from(room("3b:00.0", mtu)) >= frame_of(mtu));
        }
    }
}
