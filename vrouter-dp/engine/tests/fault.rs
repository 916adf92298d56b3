//! Each fault changes what it says, and nothing once it is taken back. One test: a fault holds for the whole process.
#![cfg(feature = "fault-injection")]
#![cfg(test)]

use engine::drops::Drop;
use engine::fault::{self, Fault};
use engine::lab::{GATEWAY, Lab};
use engine::{Buf, HeapBuf, Verdict};

/// 10.1.0.7, or another of its neighbours, to 10.9.0.9: into the MPLSoUDP tunnel with label 300.
fn frame(source: u8, checksum: [u8; 2]) -> HeapBuf {
    let mut bytes = vec![0, 0, 0x5e, 0, 1, 0, 0x52, 0x54, 0, 0, 1, 7, 0x81, 0, 0, 0x6b, 8, 0];
    bytes.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, checksum[0], checksum[1]]);
    bytes.extend([10, 1, 0, source, 10, 9, 0, 9, 16, 0, 32, 0, 0, 8, 0, 0]);
    HeapBuf::new(&bytes)
}

fn sent(fault: Option<Fault>) -> Vec<u8> {
    fault::set(fault);
    let mut lab = Lab::new().expect("the world");
    let (out, verdict) = lab.receive_one(GATEWAY, frame(7, [0x66, 0xb8]));
    assert!(matches!(verdict, Some(Verdict::Tx { .. })), "{verdict:?}");
    out.data().to_vec()
}

#[test]
fn each_fault_does_what_it_says() {
    let good = sent(None);
    let differs = |fault| {
        let bad = sent(Some(fault));
        let at: Vec<usize> = (0..good.len()).filter(|at| good[*at] != bad[*at]).collect();
        at
    };
    assert!(differs(Fault::WrongLabel).iter().all(|at| (42..45).contains(at)));
    assert!(!differs(Fault::WrongLabel).is_empty());
    assert!(differs(Fault::WrongChecksum).iter().all(|at| (24..26).contains(at)));
    assert!(!differs(Fault::WrongChecksum).is_empty());
    assert_eq!(differs(Fault::Slow), [0usize; 0]);
    for (fault, expected) in [(None, true), (Some(Fault::SkippedSourceCheck), false)] {
        fault::set(fault);
        let mut lab = Lab::new().expect("the world");
        let (_, verdict) = lab.receive_one(GATEWAY, frame(8, [0x66, 0xb7]));
        let spoofed = matches!(verdict, Some(Verdict::Drop { reason: Drop::SpoofedAddress, .. }));
        assert_eq!(spoofed, expected, "{verdict:?}");
    }
    assert_eq!(sent(None), good);
}
