//! Whether the packets of a flow stay in order when several workers share a port: every packet has its number within its flow,
//! at full load.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capture::{Reader, Writer};
use crate::files::{FABRIC_REPLAY_MAC, sent};
use crate::forward::fill;
use crate::frames::{Maker, Side, fill_checksum};
use crate::options::Options;
use crate::plane::Plane;
use crate::world::World;

/// Flows, and packets of each before its numbers start again.
const FLOWS: u32 = 32;
const NUMBERS: u16 = 256;
/// Where the inner packet begins: in a tunnel over GRE, and behind a VLAN tag.
const IN_GRE: usize = 42;
const IN_VLAN: usize = 18;
const TIME: Duration = Duration::from_millis(500);
const MBUFS: u32 = 16_383;

/// What was found: all in order, else it is an error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Order {
    pub frames: u64,
    pub flows: usize,
    /// Packets that each worker received.
    pub received: Vec<u64>,
}

/// Decapsulates GRE for a while and looks at all that came out.
pub fn run(options: &Options, directory: &Path) -> Result<Order, String> {
    let options = Options { flows: FLOWS, ..options.clone() };
    let world = World::new((&options).into());
    let replay = directory.join("numbered.pcap");
    write(&world, &replay).map_err(|error| format!("replay files: {error}"))?;
    let out = sent(directory, Side::Gateway);
    let devices = [
        format!("vdev:net_pcap0,rx_pcap={},infinite_rx=1", replay.display()),
        format!("vdev:net_pcap1,tx_pcap={}", out.display()),
    ];
    let mut plane = Plane::start(&options, &devices, MBUFS)?;
    fill(&mut plane, &world)?;
    // From here on no packet may be missing. Until then one worker may have seen more of the tables than the other.
    let before = plane.watch().workers();
    let settled = before.iter().map(|worker| worker.tx).sum();
    thread::sleep(TIME);
    let received = plane.since(&before).iter().map(|worker| worker.rx + worker.handed_in).collect();
    plane.stop();
    let (frames, flows) = check(&out, settled)?;
    Ok(Order { frames, flows, received })
}

fn write(world: &World, path: &Path) -> std::io::Result<()> {
    let maker = Maker::new(world, FABRIC_REPLAY_MAC);
    let mut writer = Writer::create(path)?;
    for number in 0..NUMBERS {
        for flow in 0..FLOWS {
            let mut frame = maker.incoming(Side::Fabric, &world.flow(flow));
            frame[IN_GRE + 4..IN_GRE + 6].copy_from_slice(&number.to_be_bytes());
            fill_checksum(&mut frame[IN_GRE..IN_GRE + 20]);
            writer.frame(&frame)?;
        }
    }
    writer.finish().map(|_| ())
}

/// Frames and flows of a capture in which every flow is in order to the last frame, and complete from frame `settled` on.
fn check(path: &Path, settled: u64) -> Result<(u64, usize), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut reader = Reader::open(path).map_err(failed)?;
    // By flow: the number that comes next, and the place of the frame before.
    let mut flows: HashMap<u16, (u16, u64)> = HashMap::new();
    let mut frames = 0;
    while let Some(frame) = reader.next().map_err(failed)? {
        // Other than IPv4: the node's own.
        if frame.len() < IN_VLAN + 28 || frame[16..18] != [0x08, 0x00] {
            continue;
        }
        let word = |at: usize| u16::from_be_bytes([frame[IN_VLAN + at], frame[IN_VLAN + at + 1]]);
        let (number, flow) = (word(4), word(22));
        let last = flows.insert(flow, ((number + 1) % NUMBERS, frames));
        let (wanted, place) = last.unwrap_or((number, 0));
        // Behind by less than half of all numbers: it was overtaken. Ahead: others are missing.
        let ahead = (number + NUMBERS - wanted) % NUMBERS;
        let wrong = match ahead {
            0 => None,
            ahead if ahead >= NUMBERS / 2 => Some("overtaken"),
            _ => (place >= settled).then_some("missing"),
        };
        if let Some(what) = wrong {
            return Err(format!(
                "frame {frames}: {what}: packet {number} of flow {flow}, {wanted} was next"
            ));
        }
        frames += 1;
    }
    if flows.len() != FLOWS as usize {
        return Err(format!("{} of {FLOWS} flows came out", flows.len()));
    }
    if frames <= settled {
        return Err(format!(
            "{frames} frames came out, {settled} of them before the tables were complete"
        ));
    }
    Ok((frames, flows.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_packets_that_change_places_are_found() {
        let path = std::env::temp_dir().join(format!("vrouter-order-{}.pcap", std::process::id()));
        let frame = |flow: u16, number: u16| {
            let mut frame = vec![0; 60];
            frame[12..18].copy_from_slice(&[0x81, 0, 0, 1, 8, 0]);
            frame[22..24].copy_from_slice(&number.to_be_bytes());
            frame[40..42].copy_from_slice(&flow.to_be_bytes());
            frame
        };
        let outcome = |change: fn(&mut Vec<(u16, u16)>)| {
            let mut frames: Vec<_> =
                (0..300).flat_map(|turn| (0..32).map(move |flow| (flow, turn % NUMBERS))).collect();
            change(&mut frames);
            let mut writer = Writer::create(&path).unwrap();
            frames.iter().for_each(|(flow, number)| writer.frame(&frame(*flow, *number)).unwrap());
            writer.finish().unwrap();
            check(&path, 64)
        };
        assert_eq!(outcome(|_| ()), Ok((300 * 32, 32)));
        let swapped = outcome(|frames| frames.swap(640, 672));
        assert!(swapped.unwrap_err().contains("missing: packet 21 of flow 0"));
        let first = outcome(|frames| frames.swap(0, 32));
        assert!(first.unwrap_err().contains("overtaken: packet 0 of flow 0"));
        let last = outcome(|frames| frames.swap(9536, 9568));
        assert!(last.unwrap_err().contains("of flow 0, 42 was next"));
        let lost = outcome(|frames| frames.retain(|packet| *packet != (0, 22)));
        assert!(lost.unwrap_err().contains("missing"));
        let before = outcome(|frames| {
            frames.remove(32);
        });
        assert_eq!(before, Ok((300 * 32 - 1, 32)), "before the tables were complete");
        let stopped = outcome(|frames| drop(frames.drain(9568..)));
        assert_eq!(stopped, Ok((299 * 32, 32)));
        std::fs::remove_file(&path).unwrap();
    }
}
