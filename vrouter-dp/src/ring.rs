//! Bounded single-producer single-consumer byte rings: how frames cross between a worker and the service thread without either
//! touching the other's memory pool. A record is a fixed header and the bytes of a frame; what does not fit is refused whole.

use rtrb::{Consumer, Producer, RingBuffer};

/// Length of the header in front of every record: two bytes of length, then what the user of the ring puts there.
pub const HEADER: usize = 16;
const META: usize = HEADER - 2;

/// Fixed-size description that travels with the bytes.
pub type Meta = [u8; META];

/// Longest frame that a ring carries; a jumbo frame with its tags.
pub const MAX_FRAME: usize = 9728;

/// The producing end.
pub struct Sender(Producer<u8>);

/// The consuming end.
pub struct Receiver(Consumer<u8>);

/// A ring of `bytes` bytes in all.
pub fn ring(bytes: usize) -> (Sender, Receiver) {
    let (producer, consumer) = RingBuffer::new(bytes);
    (Sender(producer), Receiver(consumer))
}

impl Sender {
    /// Copies a record into the ring; false, and nothing written, if it does not fit.
    pub fn push(&mut self, meta: &Meta, frame: &[u8]) -> bool {
        let Ok(length) = u16::try_from(frame.len()) else { return false };
        if frame.len() > MAX_FRAME {
            return false;
        }
        let Ok(mut chunk) = self.0.write_chunk(HEADER + frame.len()) else { return false };
        let (first, second) = chunk.as_mut_slices();
        let parts: [&[u8]; 3] = [&length.to_le_bytes(), meta, frame];
        let mut at = 0;
        for part in parts {
            copy_in(first, second, at, part);
            at += part.len();
        }
        chunk.commit_all();
        true
    }
}

impl Receiver {
    /// Takes the next record: its bytes go to `frame` (cleared first), its header comes back.
    pub fn pop(&mut self, frame: &mut Vec<u8>) -> Option<Meta> {
        let mut header = [0u8; HEADER];
        {
            let chunk = self.0.read_chunk(HEADER).ok()?;
            let (first, second) = chunk.as_slices();
            copy_out(first, second, 0, &mut header);
        }
        let length = usize::from(u16::from_le_bytes([header[0], header[1]]));
        // Records are committed whole, so a visible header means a visible frame.
        let chunk = self.0.read_chunk(HEADER + length).ok()?;
        let (first, second) = chunk.as_slices();
        frame.clear();
        frame.resize(length, 0);
        copy_out(first, second, HEADER, frame);
        chunk.commit_all();
        let mut meta = [0u8; META];
        meta.copy_from_slice(&header[2..]);
        Some(meta)
    }

    /// Nothing to take.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn copy_in(first: &mut [u8], second: &mut [u8], at: usize, part: &[u8]) {
    let head = first.len().saturating_sub(at).min(part.len());
    if head > 0 {
        first[at..at + head].copy_from_slice(&part[..head]);
    }
    if head < part.len() {
        let start = (at + head) - first.len();
        second[start..start + part.len() - head].copy_from_slice(&part[head..]);
    }
}

fn copy_out(first: &[u8], second: &[u8], at: usize, part: &mut [u8]) {
    let head = first.len().saturating_sub(at).min(part.len());
    if head > 0 {
        part[..head].copy_from_slice(&first[at..at + head]);
    }
    if head < part.len() {
        let start = (at + head) - first.len();
        let rest = part.len() - head;
        part[head..].copy_from_slice(&second[start..start + rest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_every_wrap_position_and_a_full_ring_refuses_whole() {
        let (mut tx, mut rx) = ring(300);
        let mut out = Vec::new();
        for round in 0..5_000usize {
            let frame: Vec<u8> = (0..round % 97).map(|i| (i + round) as u8).collect();
            let meta = [(round % 251) as u8; META];
            if !tx.push(&meta, &frame) {
                while rx.pop(&mut out).is_some() {}
                assert!(tx.push(&meta, &frame));
            }
            if round % 3 == 0 {
                continue;
            }
            let mut last = None;
            while let Some(m) = rx.pop(&mut out) {
                last = Some((m, out.clone()));
            }
            assert_eq!(last, Some((meta, frame)));
        }
        let (mut tx, mut rx) = ring(HEADER + 10);
        assert!(!tx.push(&[0; META], &[0; 11]));
        assert!(tx.push(&[7; META], &[9; 10]));
        assert!(!tx.push(&[0; META], &[]));
        assert_eq!(rx.pop(&mut out), Some([7; META]));
        assert_eq!(out, vec![9; 10]);
        assert_eq!(rx.pop(&mut out), None);
    }
}
