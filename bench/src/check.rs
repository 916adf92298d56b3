//! The output of the product compared with the oracle, byte for byte, before anything is timed.
//!
//! The frames come once, through pipes that the ports read like capture files: so the tables are complete before the first one
//! arrives. A worker waits in the read meanwhile, which holds up no op. What the ports sent is read back from their captures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use engine::drops::Drop;
use serde::{Deserialize, Serialize};

use crate::capture::{Reader, Writer};
use crate::files;
use crate::frames::{Case, Expect, Longest, Maker, Side, difference, hex, sides};
use crate::options::{Mode, Options};
use crate::plane::Plane;
use crate::world::World;

/// Flows that are checked at most; of more flows an even sample.
const SAMPLE: u32 = 65_536;
/// Packets of each flow: the second must take the port of the first.
const ROUNDS: u32 = 2;
/// Buffers of a check.
const MBUFS: u32 = 16_383;

/// What a check found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// Frames that came out and were right.
    pub frames: u64,
    /// Drops that were called for, by reason.
    pub drops: Vec<(String, u64)>,
    /// Different UDP source ports of tunnels.
    pub source_ports: usize,
}

/// Runs the check in this process.
pub fn run(options: &Options, world: &World, directory: &Path) -> Result<Checked, String> {
    let sides = sides(options.mode);
    let gates = sides
        .iter()
        .map(|side| Gate::open(files::pipe(directory, *side)))
        .collect::<Result<Vec<_>, _>>()?;
    let devices = files::checked_ports(options, directory).map(|port| format!("vdev:{port}"));
    let mut plane = Plane::start(options, &devices, MBUFS)?;
    plane.send(world.structure())?;
    plane.send(world.route_ops())?;
    // Applied in order: when this is answered, all of them are.
    let fabric = plane.macs()?.first().copied().ok_or("the data plane has no port")?;
    let maker = Maker::new(world, fabric);
    let longest = Longest::new(world);
    let cases: Vec<Vec<Case>> =
        sides.iter().map(|side| cases(&maker, *side, world, &longest)).collect();
    let sent: usize = cases.iter().map(Vec::len).sum();
    // All of them before any is waited for: a worker reads the pipes in turn.
    let writers: Vec<_> =
        gates.into_iter().zip(&cases).map(|(gate, cases)| gate.pass(cases)).collect();
    writers.into_iter().try_for_each(written)?;
    wait_for(&plane, sent as u64)?;
    let figures = plane.watch().workers();
    plane.stop();

    let mut checked = Checked::default();
    let mut ports = HashMap::new();
    // A check that was skipped shows here by its name; in the comparison only by the frames that it shifts.
    checked.drops = drops(&cases.concat(), |reason| {
        figures.iter().map(|figures| figures.drops[reason.index()]).sum()
    })?;
    for (side, cases) in sides.iter().zip(&cases) {
        let out = match (options.mode, side) {
            (Mode::Local, side) => *side,
            (_, Side::Fabric) => Side::Gateway,
            (_, Side::Gateway) => Side::Fabric,
        };
        checked.frames += compare(&files::sent(directory, out), cases, &mut ports)?;
    }
    checked.source_ports = entropy(&ports)?;
    Ok(checked)
}

/// The frames of one side: flows in their order, and one frame for each thing that must be dropped.
fn cases(maker: &Maker<'_>, side: Side, world: &World, longest: &Longest) -> Vec<Case> {
    let order = world.order();
    let step = order.len().div_ceil(SAMPLE as usize);
    let flows: Vec<u32> = order.into_iter().step_by(step).collect();
    let mut cases = Vec::with_capacity(flows.len() * ROUNDS as usize + 8);
    for _ in 0..ROUNDS {
        cases.extend(flows.iter().map(|number| {
            let flow = world.flow(*number);
            let expect = maker.outgoing(side, &flow, longest);
            Case { frame: maker.incoming(side, &flow), expect }
        }));
        if let Some(first) = flows.first() {
            cases.extend(maker.spoiled(side, &world.flow(*first)));
        }
    }
    cases
}

/// Compares what a port sent with what it had to send, in order.
fn compare(path: &Path, cases: &[Case], ports: &mut HashMap<u32, u16>) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut reader = Reader::open(path).map_err(failed)?;
    let mut wanted = cases.iter().filter(|case| matches!(case.expect, Expect::Out { .. }));
    let mut frames = 0;
    while let Some(out) = reader.next().map_err(failed)? {
        if is_our_own(&out) {
            continue;
        }
        let Some(case) = wanted.next() else {
            return Err(format!("one frame too many came out: {}", hex(&out)));
        };
        if let Some(difference) = difference(&case.expect, &out, ports) {
            return Err(format!("frame {frames}: {difference}\n  came in  {}", hex(&case.frame)));
        }
        frames += 1;
    }
    match wanted.next() {
        None => Ok(frames),
        Some(case) => Err(format!(
            "frame {frames} did not come out, nor any after it\n  came in  {}",
            hex(&case.frame)
        )),
    }
}

/// ARP requests and ICMP errors are the node's; flows are UDP.
fn is_our_own(frame: &[u8]) -> bool {
    let tagged = frame.get(12..14) == Some(&[0x81, 0x00]);
    let kind = if tagged { 16 } else { 12 };
    match frame.get(kind..kind + 2) {
        Some([0x08, 0x06]) => true,
        Some([0x08, 0x00]) if tagged => frame.get(18 + 9) == Some(&1),
        Some([0x86, 0xdd]) if tagged => frame.get(18 + 6) == Some(&58),
        // In a tunnel: behind UDP and label, or GRE and label.
        Some([0x08, 0x00]) => {
            let inner = if frame.get(23) == Some(&17) { 46 } else { 42 };
            match frame.get(inner).map(|byte| byte >> 4) {
                Some(6) => frame.get(inner + 6) == Some(&58),
                _ => frame.get(inner + 9) == Some(&1),
            }
        }
        _ => false,
    }
}

/// Compares the drops with those called for.
fn drops(cases: &[Case], counted: impl Fn(Drop) -> u64) -> Result<Vec<(String, u64)>, String> {
    let mut found = Vec::new();
    for reason in Drop::ALL {
        let called =
            |case: &&Case| matches!(case.expect, Expect::Drop(wanted) if wanted == *reason);
        let wanted = cases.iter().filter(called).count() as u64;
        let counted = counted(*reason);
        if counted != wanted {
            let frame = cases.iter().find(called).map(|case| format!(": {}", hex(&case.frame)));
            return Err(format!(
                "{counted} packets were dropped as {}, {wanted} had to be{}",
                reason.slug(),
                frame.unwrap_or_default()
            ));
        }
        if counted > 0 {
            found.push((reason.slug().to_string(), counted));
        }
    }
    Ok(found)
}

/// Whether many flows have many source ports: half of what even chance would give is enough.
fn entropy(ports: &HashMap<u32, u16>) -> Result<usize, String> {
    let mut different: Vec<u16> = ports.values().copied().collect();
    different.sort_unstable();
    different.dedup();
    let fair = 16_384.0 * (1.0 - (1.0 - 1.0 / 16_384.0f64).powi(ports.len() as i32));
    if (different.len() as f64) < fair / 2.0 {
        return Err(format!(
            "{} flows have only {} source ports between them",
            ports.len(),
            different.len()
        ));
    }
    Ok(different.len())
}

fn wait_for(plane: &Plane, frames: u64) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(60);
    let received = || plane.watch().workers().iter().map(|worker| worker.rx).sum::<u64>();
    while received() < frames {
        if let Some(thread) = plane.died() {
            return Err(format!("{thread} of the data plane died"));
        }
        if Instant::now() > end {
            return Err(format!("{} of {frames} frames were received in 60 s", received()));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A pipe whose reader gets a capture file: the header at once, the frames when they may come.
struct Gate {
    frames: mpsc::Sender<Vec<Vec<u8>>>,
    writer: Writing,
}

/// A thread that writes to a pipe.
type Writing = thread::JoinHandle<std::io::Result<()>>;

impl Gate {
    fn open(path: PathBuf) -> Result<Gate, String> {
        let made = Command::new("mkfifo").arg(&path).status();
        if !made.is_ok_and(|status| status.success()) {
            return Err(format!("{}: mkfifo failed", path.display()));
        }
        let (frames, receiver) = mpsc::channel::<Vec<Vec<u8>>>();
        let writer = thread::spawn(move || {
            let mut writer = Writer::create(&path)?;
            for frame in receiver.into_iter().flatten() {
                writer.frame(&frame)?;
            }
            writer.finish().map(|_| ())
        });
        Ok(Gate { frames, writer })
    }

    /// Lets the frames go; they are in the pipe when the thread ends.
    fn pass(self, cases: &[Case]) -> Writing {
        let frames = cases.iter().map(|case| case.frame.clone()).collect();
        // A writer that is gone says why when it is joined.
        let _ = self.frames.send(frames);
        self.writer
    }
}

fn written(writer: Writing) -> Result<(), String> {
    match writer.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("writing to a port: {error}")),
        Err(_) => Err("writing to a port failed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Encap, Family};
    use crate::world::tests::world;
    use wire::Mac;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn made() -> Vec<Case> {
        let world = world(Mode::Decap, Encap::Udp, Family::V4, 2, 2);
        cases(&Maker::new(&world, MAC), Side::Fabric, &world, &Longest::new(&world))
    }

    fn expected(cases: &[Case]) -> Vec<Vec<u8>> {
        let out = |case: &Case| match &case.expect {
            Expect::Out { frame, .. } => Some(frame.clone()),
            Expect::Drop(_) => None,
        };
        cases.iter().filter_map(out).collect()
    }

    fn outcome(name: &str, cases: &[Case], out: &[Vec<u8>]) -> Result<u64, String> {
        let path = std::env::temp_dir().join(format!("vrouter-{name}-{}.pcap", std::process::id()));
        let mut writer = Writer::create(&path).unwrap();
        out.iter().for_each(|frame| writer.frame(frame).unwrap());
        writer.finish().unwrap();
        let outcome = compare(&path, cases, &mut HashMap::new());
        std::fs::remove_file(&path).unwrap();
        outcome
    }

    #[test]
    fn right_frames_pass_and_lost_foreign_or_changed_ones_do_not() {
        let cases = made();
        let right = expected(&cases);
        assert_eq!(outcome("right", &cases, &right), Ok(1000));
        assert!(outcome("lost", &cases, &right[1..]).is_err());
        assert!(outcome("end", &cases, &right[..999]).unwrap_err().contains("did not come out"));
        let more = [&right[..], &right[..1]].concat();
        assert!(outcome("more", &cases, &more).unwrap_err().contains("too many"));
        let mut changed = right.clone();
        changed[7][20] ^= 1;
        assert!(outcome("changed", &cases, &changed).unwrap_err().contains("frame 7"));
    }

    #[test]
    fn every_spoiled_frame_calls_for_its_drop_and_no_other() {
        let cases = made();
        let right = |reason| match reason {
            Drop::TtlExceeded
            | Drop::InnerChecksum
            | Drop::TunnelSource
            | Drop::OuterChecksum
            | Drop::InvalidLabel => 2,
            _ => 0,
        };
        assert_eq!(drops(&cases, right).unwrap().len(), 5);
        let missed = drops(&cases, |reason| right(reason).saturating_sub(1)).unwrap_err();
        assert!(missed.contains("1 packets were dropped as"), "{missed}");
        assert!(
            drops(&cases, |reason| right(reason) + u64::from(reason == Drop::NoRoute)).is_err()
        );
    }

    #[test]
    fn one_port_for_all_flows_is_no_entropy() {
        let same: HashMap<u32, u16> = (0..1000).map(|flow| (flow, 50_000)).collect();
        assert!(entropy(&same).is_err());
        let spread: HashMap<u32, u16> =
            (0..1000).map(|flow| (flow, 49_152 + flow as u16 * 7)).collect();
        assert_eq!(entropy(&spread), Ok(1000));
        assert_eq!(entropy(&HashMap::new()), Ok(0));
    }
}
