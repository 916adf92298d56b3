//! Any bytes at all as frames on either port of a small world, through the whole pipeline on heap buffers.
//!
//! What must hold: one verdict for each packet, books that balance, and what is transmitted is well-formed: a good outer checksum and
//! lengths that agree on the fabric, the tag and MAC of an instance on the gateway port.

#![no_main]

use std::cell::RefCell;

use engine::lab::{FABRIC, GATEWAY, Lab, MTU};
use engine::seam::VrfId;
use engine::{Buf, HeapBuf, Verdict};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static WORLD: RefCell<Lab> = RefCell::new(Lab::new().expect("the world"));
}

fuzz_target!(|data: &[u8]| {
    // Byte 0: which port, tag in the frame or in the metadata, or a packet of our own.
    let [choice, high, low, frame @ ..] = data else { return };
    WORLD.with_borrow_mut(|world| {
        if choice & 4 != 0 {
            let mut packet = HeapBuf::new(frame);
            let verdict = world.inject(VrfId((choice >> 3 & 3).into()), &mut packet);
            assert!(
                !matches!(verdict, Verdict::Punt(_)),
                "a packet of our own came back as a punt"
            );
            // What we made ourselves is not checked again: its TTL and checksum go out as they are.
            judge(&packet, verdict, false);
        } else {
            let port = if choice & 1 == 0 { FABRIC } else { GATEWAY };
            let packet = if choice & 2 == 0 {
                HeapBuf::new(frame)
            } else {
                HeapBuf::stripped(frame, u16::from_be_bytes([*high, *low]))
            };
            let (packet, verdict) = world.receive_one(port, packet);
            judge(&packet, verdict.expect("one verdict for each packet"), true);
        }
        let (came, went) = world.balance();
        assert_eq!(came, went, "the books do not balance");
    });
});

fn judge(packet: &HeapBuf, verdict: Verdict, checked: bool) {
    let Verdict::Tx { port, vif } = verdict else { return };
    let frame = packet.data();
    if port == FABRIC {
        assert!(vif.is_none(), "an instance behind the fabric port");
        assert_eq!(&frame[12..14], &[0x08, 0x00], "ethertype on the fabric");
        outer(&frame[14..], checked);
    } else {
        assert!(vif.is_some(), "no instance behind the gateway port");
        assert_eq!(&frame[12..14], &[0x81, 0x00], "tag");
        let vlan = u16::from_be_bytes([frame[14], frame[15]]) & 0xfff;
        assert!((107..=109).contains(&vlan), "VLAN {vlan}");
        assert_eq!(&frame[..5], &[0x52, 0x54, 0, 0, 1], "MAC of an instance");
        let ethertype: &[u8] = if frame[18] >> 4 == 6 { &[0x86, 0xdd] } else { &[0x08, 0x00] };
        assert_eq!(&frame[16..18], ethertype, "ethertype behind the tag");
        inner(&frame[18..], checked);
    }
}

/// A tunnel packet of ours: every header as peers expect it, every length as long as it is.
fn outer(ip: &[u8], checked: bool) {
    assert_eq!(ip[0], 0x45, "outer header");
    assert_eq!(sum(&ip[..20]), 0xffff, "outer header checksum");
    assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len(), "outer length");
    assert!(ip.len() <= MTU.into(), "outer length {}", ip.len());
    let body = &ip[20..];
    let label = match ip[9] {
        17 => {
            assert!(u16::from_be_bytes([body[0], body[1]]) >= 49152, "UDP source port");
            assert_eq!(&body[2..4], &6635u16.to_be_bytes(), "UDP destination port");
            assert_eq!(
                usize::from(u16::from_be_bytes([body[4], body[5]])),
                body.len(),
                "UDP length"
            );
            assert_eq!(&body[6..8], &[0, 0], "UDP checksum");
            &body[8..]
        }
        47 => {
            assert_eq!(&body[..4], &[0, 0, 0x88, 0x47], "GRE header");
            &body[4..]
        }
        other => panic!("protocol {other} on the fabric"),
    };
    assert_eq!(label[2] & 1, 1, "bottom of stack");
    inner(&label[4..], checked);
}

/// The packet of an instance is whole, and its checksum fits its new TTL.
fn inner(ip: &[u8], checked: bool) {
    if ip[0] >> 4 == 6 {
        let length = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        assert!(length == ip.len() && length <= MTU.into(), "IPv6 length {length} of {}", ip.len());
        assert!(ip[7] > 0, "hop limit");
        assert!(ip[8] != 0xff && ip[24] != 0xff, "group");
        assert!(ip[24..26] != [0xfe, 0x80], "link-local");
        return;
    }
    let header = usize::from(ip[0] & 15) * 4;
    assert_eq!(ip[0] >> 4, 4, "IPv4");
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    assert!(length <= ip.len() && length <= MTU.into(), "inner length {length} of {}", ip.len());
    if checked {
        assert_eq!(sum(&ip[..header]), 0xffff, "inner header checksum");
        assert!(ip[8] > 0, "inner TTL");
    }
}

/// Ones' complement sum (RFC 1071), written the plain way.
fn sum(bytes: &[u8]) -> u16 {
    let total: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}
