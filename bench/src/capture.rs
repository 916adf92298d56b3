//! Capture files in the classic pcap format, Ethernet: written for replay ports, read back from capturing ports.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

const MAGIC: u32 = 0xa1b2_c3d4;
/// With nanoseconds, as DPDK writes.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LONGEST: u32 = 65_535;
const ETHERNET: u32 = 1;

/// A capture file being written. Dropping it flushes what it can; [`Writer::finish`] says whether that worked.
pub struct Writer {
    out: BufWriter<File>,
    frames: u64,
}

impl Writer {
    /// Writes the header. `path` may be a pipe: then this waits for its reader.
    pub fn create(path: &Path) -> io::Result<Writer> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(&MAGIC.to_ne_bytes())?;
        out.write_all(&2u16.to_ne_bytes())?;
        out.write_all(&4u16.to_ne_bytes())?;
        for word in [0, 0, LONGEST, ETHERNET] {
            out.write_all(&u32::to_ne_bytes(word))?;
        }
        out.flush()?;
        Ok(Writer { out, frames: 0 })
    }

    /// Adds a frame of at most 65,535 bytes. The time of a frame is its number, microseconds.
    pub fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a frame longer than 65,535 bytes"))?;
        let (seconds, micros) = (self.frames / 1_000_000, self.frames % 1_000_000);
        for word in [seconds as u32, micros as u32, length, length] {
            self.out.write_all(&word.to_ne_bytes())?;
        }
        self.frames += 1;
        self.out.write_all(frame)
    }

    /// Ends the file; how many frames it has.
    pub fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.frames)
    }
}

/// Reads a capture file frame by frame.
pub struct Reader {
    input: BufReader<File>,
}

impl Reader {
    /// Reads the header. Only files of this machine's byte order and Ethernet are taken.
    pub fn open(path: &Path) -> io::Result<Reader> {
        let mut input = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut header = [0; 24];
        input.read_exact(&mut header)?;
        let magic = [MAGIC, MAGIC_NANOSECONDS].contains(&word(&header, 0));
        if !magic || word(&header, 20) != ETHERNET {
            return Err(io::Error::other("not a capture of Ethernet frames"));
        }
        Ok(Reader { input })
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut header = [0; 16];
        match self.input.read(&mut header[..1])? {
            0 => return Ok(None),
            _ => self.input.read_exact(&mut header[1..])?,
        }
        let length = word(&header, 8);
        if length > LONGEST || length != word(&header, 12) {
            return Err(io::Error::other("a frame that is cut or too long"));
        }
        let mut frame = vec![0; length as usize];
        self.input.read_exact(&mut frame)?;
        Ok(Some(frame))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_a_cut_file_is_an_error() {
        let path = std::env::temp_dir().join(format!("vrouter-bench-{}.pcap", std::process::id()));
        let frames = [vec![1; 60], vec![], vec![3; 9018]];
        let mut writer = Writer::create(&path).unwrap();
        frames.iter().for_each(|frame| writer.frame(frame).unwrap());
        assert!(writer.frame(&vec![0; 65_536]).is_err());
        assert_eq!(writer.finish().unwrap(), 3);
        let mut reader = Reader::open(&path).unwrap();
        for frame in &frames {
            assert_eq!(reader.next().unwrap().as_ref(), Some(frame));
        }
        assert_eq!(reader.next().unwrap(), None);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert!((0..3).map(|_| reader.next()).any(|frame| frame.is_err()));
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(Reader::open(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
