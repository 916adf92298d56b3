//! The files of a run, in a directory that goes with it: what replay ports send, and the ports made of them.

use std::io;
use std::path::{Path, PathBuf};

use crate::capture::Writer;
use crate::frames::{Maker, Side, sides};
use crate::options::Options;
use crate::world::World;
use wire::Mac;

/// MAC of the first net_pcap device of a process; the fabric port is opened first.
pub const FABRIC_REPLAY_MAC: Mac = Mac([0x02, 0x70, 0x63, 0x61, 0x70, 0x00]);

/// A directory that is removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Below the system's directory for temporary files.
    pub fn new() -> io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("vrouter-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }

    /// A directory in it.
    pub fn part(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes the replay files of a run: every flow once, shuffled, its share for each queue. Bytes of frames written.
pub fn write(options: &Options, world: &World, directory: &Path) -> io::Result<u64> {
    let maker = Maker::new(world, FABRIC_REPLAY_MAC);
    let order = world.order();
    let mut bytes = 0;
    for side in sides(options.mode) {
        let queues = options.rx_queues();
        let mut writers = (0..queues)
            .map(|queue| Writer::create(&replay(directory, *side, queue)))
            .collect::<io::Result<Vec<_>>>()?;
        for (place, number) in order.iter().enumerate() {
            let frame = maker.incoming(*side, &world.flow(*number));
            bytes += frame.len() as u64;
            writers[place % usize::from(queues)].frame(&frame)?;
        }
        for writer in writers {
            writer.finish()?;
        }
    }
    Ok(bytes)
}

/// The two ports of a run, fabric first: replay for the sides that send, and a sink that counts for the other.
pub fn ports(options: &Options, directory: &Path) -> [String; 2] {
    [Side::Fabric, Side::Gateway].map(|side| {
        let number = number(side);
        if !sides(options.mode).contains(&side) {
            return format!("net_null{number},no-rx=1");
        }
        let files: Vec<String> = (0..options.rx_queues())
            .map(|queue| format!("rx_pcap={}", replay(directory, side, queue).display()))
            .collect();
        format!("net_pcap{number},{},infinite_rx=1", files.join(","))
    })
}

/// The pipe that a port of a check receives from.
pub fn pipe(directory: &Path, side: Side) -> PathBuf {
    directory.join(format!("{}.pipe", name(side)))
}

/// The capture of what a port of a check sent.
pub fn sent(directory: &Path, side: Side) -> PathBuf {
    directory.join(format!("{}-sent.pcap", name(side)))
}

/// The two ports of a check: what they receive comes once, from pipes; what they send is kept.
pub fn checked_ports(options: &Options, directory: &Path) -> [String; 2] {
    [Side::Fabric, Side::Gateway].map(|side| {
        let mut port = format!("net_pcap{}", number(side));
        if sides(options.mode).contains(&side) {
            port += &format!(",rx_pcap={}", pipe(directory, side).display());
        }
        port + &format!(",tx_pcap={}", sent(directory, side).display())
    })
}

/// The port that a side is, in words.
pub fn name(side: Side) -> &'static str {
    match side {
        Side::Fabric => "fabric",
        Side::Gateway => "gateway",
    }
}

fn number(side: Side) -> u8 {
    match side {
        Side::Fabric => 0,
        Side::Gateway => 1,
    }
}

fn replay(directory: &Path, side: Side, queue: u16) -> PathBuf {
    directory.join(format!("{}{queue}.pcap", name(side)))
}
