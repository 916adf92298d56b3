//! The part of a process that forwards until told otherwise: it measures windows when asked, a command and a JSON line each.
//!
//! Commands: `window MILLISECONDS FRAMES` (at least both), `ports` ([`crate::plane::PortCounts`]), `busy MILLISECONDS` and `churn MILLISECONDS` ([`crate::churn`]), `quit`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use engine::drops::Drop;
use serde::{Deserialize, Serialize};
use vrouter_dp::{Histogram, WorkerFigures, span_name};

use crate::churn::Churn;
use crate::files;
use crate::frames;
use crate::loops::Loops;
use crate::options::Options;
use crate::plane::Plane;
use crate::world::World;

/// Buffers beside those that the replay keeps: queues, caches, packets on their way.
const SPARE_MBUFS: u32 = 16_384;

/// How long a window may take until enough frames have come, and how often it is looked.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const LOOK: Duration = Duration::from_millis(1);

/// What a process says of itself once it forwards.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// Ticks of the time stamp counter per second.
    pub hz: u64,
    /// Seconds from the first op to the acknowledgement of all.
    pub load_seconds: f64,
    /// What the process has in memory, MiB.
    pub memory_mib: u64,
}

/// A distribution of times, cycles: what 50, 99 and 99.9 percent do not exceed, and the longest.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub longest: u64,
}

impl Times {
    fn of(histogram: &Histogram) -> Times {
        Times {
            p50: histogram.quantile(500_000),
            p99: histogram.quantile(990_000),
            p999: histogram.quantile(999_000),
            longest: histogram.quantile(1_000_000),
        }
    }
}

/// What happened in a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// Cycles that it took.
    pub cycles: u64,
    /// Packets that workers received.
    pub received: u64,
    /// Packets that ports took.
    pub sent: u64,
    /// Bursts that had a packet.
    pub bursts: u64,
    /// Packets passed between workers.
    pub handed: u64,
    /// Packets that were dropped, by reason.
    pub drops: Vec<(String, u64)>,
    /// Timed bursts: how many, from before receiving to after sending, and from the end of one turn to the end of the next.
    pub timed: u64,
    pub service: Times,
    pub gaps: Times,
    /// Cycles per packet of timed bursts, by pass.
    pub passes: Vec<(String, f64)>,
    /// Route changes made.
    pub changes: u64,
}

/// Buffers for a run.
pub fn mbufs(options: &Options) -> u32 {
    let wanted = frames::replay_frames(options) + SPARE_MBUFS * u32::from(options.nb_cores);
    // DPDK's pools are best at a power of two less one; large ones would waste too much.
    if wanted < 1 << 18 { wanted.next_power_of_two() - 1 } else { wanted }
}

/// Forwards until told to quit.
pub fn run(options: &Options, files: &Path) -> Result<(), String> {
    let devices = files::ports(options, files).map(|port| format!("vdev:{port}"));
    if options.mode.is_plain() {
        let loops = Loops::start(options, &devices, mbufs(options))?;
        say(&Ready { hz: loops.hz(), memory_mib: memory_mib(), ..Ready::default() })?;
        return serve(|command, time, frames| match command {
            "window" => say(&loops.window(time, frames)),
            "ports" => say(&loops.ports()),
            _ => Err(format!("no such command: {command}")),
        });
    }
    let world = World::new(options.into());
    let mut plane = Plane::start(options, &devices, mbufs(options))?;
    let seconds = fill(&mut plane, &world)?;
    let ready = Ready { hz: plane.watch().hz(), load_seconds: seconds, memory_mib: memory_mib() };
    say(&ready)?;
    let mut churn = (options.churn > 0).then(|| Churn::new(&world, options.churn));
    serve(|command, time, frames| match (command, &mut churn) {
        ("window", _) => say(&window(&plane, time, frames)),
        ("ports", _) => say(&plane.ports()?),
        ("churn", Some(churn)) => say(&churn.changing(&mut plane, time)?),
        ("busy", Some(churn)) => say(&churn.busy(&mut plane, time)?),
        _ => Err(format!("no such command: {command}")),
    })?;
    plane.stop();
    Ok(())
}

/// Fills the tables of the product; seconds that it took.
pub fn fill(plane: &mut Plane, world: &World) -> Result<f64, String> {
    let start = Instant::now();
    plane.send(world.structure())?;
    plane.commit()?;
    plane.send(world.route_ops())?;
    plane.commit()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Figures over some time, and longer until so many frames have come.
pub fn window(plane: &Plane, time: Duration, frames: u64) -> Window {
    let (start, before) = (dpdk::cycles(), plane.watch().workers());
    thread::sleep(time);
    let came = || plane.since(&before).iter().map(|worker| worker.rx).sum::<u64>();
    let end = Instant::now() + PATIENCE;
    while came() < frames && Instant::now() < end {
        thread::sleep(LOOK);
    }
    let (now, end) = (plane.since(&before), dpdk::cycles());
    summary(&now, end.wrapping_sub(start))
}

/// What workers did in `cycles`.
pub fn summary(workers: &[WorkerFigures], cycles: u64) -> Window {
    let sum = |of: fn(&WorkerFigures) -> u64| workers.iter().map(of).sum::<u64>();
    let times = Histogram::sum(workers.iter().map(|worker| &worker.burst_cycles));
    let gaps = Histogram::sum(workers.iter().map(|worker| &worker.gap_cycles));
    let timed_packets = sum(|worker| worker.timed_packets).max(1) as f64;
    let spans = 0..workers.first().map_or(0, |worker| worker.spans.len());
    let drops = Drop::ALL.iter().filter_map(|reason| {
        let count = workers.iter().map(|worker| worker.drops[reason.index()]).sum();
        (count > 0).then(|| (reason.slug().to_string(), count))
    });
    Window {
        cycles,
        received: sum(|worker| worker.rx),
        sent: sum(|worker| worker.tx),
        bursts: sum(|worker| worker.bursts),
        handed: sum(|worker| worker.handed_out),
        drops: drops.collect(),
        timed: times.total(),
        service: Times::of(&times),
        gaps: Times::of(&gaps),
        passes: spans
            .map(|span| {
                let cycles: u64 = workers.iter().map(|worker| worker.spans[span]).sum();
                (span_name(span).to_string(), cycles as f64 / timed_packets)
            })
            .collect(),
        changes: 0,
    }
}

/// Memory of this process, huge pages included, MiB.
pub fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("VmRSS:") + kib("HugetlbPages:")) / 1024
}

/// One line of JSON to whoever directs this process.
pub fn say(value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// Does what the lines on standard input say, until `quit` or their end.
pub fn serve(mut act: impl FnMut(&str, Duration, u64) -> Result<(), String>) -> Result<(), String> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        if command == "quit" {
            break;
        }
        let mut number = || {
            let word = words.next().unwrap_or("0");
            word.parse().map_err(|_| format!("not a number: {word}"))
        };
        act(command, Duration::from_millis(number()?), number()?)?;
    }
    Ok(())
}
