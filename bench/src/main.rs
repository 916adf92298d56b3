//! `vrouter-bench`: what the pipeline costs per packet, on fresh bytes every packet and with its output checked.
//!
//! The product's own pipeline and tables run on heap buffers, one core, in rounds that alternate with a baseline doing nothing but
//! the copy that makes a packet fresh. Reported: cycles per packet over the baseline, median of the rounds, and the ratio to the
//! baseline. Absolute rates of a shared machine say little; compare ratios of one run.
//!
//! With `--ir PATH` nothing is timed: one path forwards a fixed number of packets, for an instruction counter. The work to be
//! counted is all inside one function:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*counted_burst*' vrouter-bench --ir encap --packets 64000
//! ```

mod slot;
mod world;

use clap::{Parser, ValueEnum};
use engine::seam::{Encapsulation, PortId, WorkerId};
use engine::table::TablesWriter;
use engine::{Buf, Verdict, WorkerState, pipeline};

use slot::Slot;
use world::{FABRIC, GATEWAY, Profile};

/// Measures the pipeline of the data plane.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Frame of the instance, bytes without FCS.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(64..=9000))]
    frame: u16,
    /// Routes, and as many flows.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    routes: u32,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(3..=101))]
    rounds: u32,
    /// Packets per round.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(64..))]
    packets: u32,
    /// Times nothing: sends the packets of one path, for an instruction counter.
    #[arg(long)]
    ir: Option<Path>,
}

/// A way through the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Path {
    /// VLAN in, MPLSoUDP out.
    Encap,
    /// MPLSoUDP in, route lookup in the VRF of the label, VLAN out.
    Decap,
    /// VLAN in, another VLAN out.
    Local,
    /// VLAN in, MPLSoGRE out.
    EncapGre,
    /// MPLSoGRE in, route lookup in the VRF of the label, VLAN out.
    DecapGre,
}

impl Path {
    const fn encapsulation(self) -> Encapsulation {
        match self {
            Path::EncapGre | Path::DecapGre => Encapsulation::MplsOverGre,
            Path::Encap | Path::Decap | Path::Local => Encapsulation::MplsOverUdp,
        }
    }

    const fn receives(self) -> PortId {
        match self {
            Path::Decap | Path::DecapGre => FABRIC,
            Path::Encap | Path::EncapGre | Path::Local => GATEWAY,
        }
    }

    const fn sends(self) -> PortId {
        match self {
            Path::Encap | Path::EncapGre => FABRIC,
            Path::Decap | Path::DecapGre | Path::Local => GATEWAY,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Path::Encap => "MPLSoUDP encapsulation",
            Path::Decap => "MPLSoUDP decapsulation",
            Path::Local => "instance to instance",
            Path::EncapGre => "MPLSoGRE encapsulation",
            Path::DecapGre => "MPLSoGRE decapsulation",
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(path) = arguments.ir {
        if let Err(error) = count(&arguments, path) {
            eprintln!("vrouter-bench: {error}");
            std::process::exit(1);
        }
        return;
    }
    println!(
        "{:<22} {:>10} {:>10} {:>8}   (cycles per packet, median of {} rounds)",
        "path", "baseline", "pipeline", "ratio", arguments.rounds
    );
    for path in Path::value_variants() {
        if let Err(error) = run(&arguments, *path) {
            eprintln!("vrouter-bench: {error}");
            std::process::exit(1);
        }
    }
}

/// A worker and the frames of one path, checked.
struct Set {
    worker: WorkerState,
    _writer: TablesWriter,
    templates: Vec<Vec<u8>>,
    buffers: Vec<Slot>,
    grown: isize,
}

fn prepare(arguments: &Arguments, path: Path) -> Result<Set, String> {
    let profile = Profile {
        encapsulation: path.encapsulation(),
        frame: usize::from(arguments.frame),
        routes: arguments.routes,
    };
    let (tables, writer) = world::tables(&profile).map_err(|refusal| refusal.to_string())?;
    let mut worker = WorkerState::new(&tables, WorkerId(0)).ok_or("no reader")?;
    let make = match path {
        Path::Encap | Path::EncapGre => world::outbound,
        Path::Decap | Path::DecapGre => world::inbound,
        Path::Local => world::across,
    };
    let templates: Vec<Vec<u8>> =
        (0..profile.routes.min(4096)).map(|flow| make(&profile, flow)).collect();
    let grown = check(&mut worker, path, &templates, &profile)?;
    let buffers = (0..pipeline::BATCH).map(|_| Slot::default()).collect();
    Ok(Set { worker, _writer: writer, templates, buffers, grown })
}

fn run(arguments: &Arguments, path: Path) -> Result<(), String> {
    let Set { mut worker, templates, mut buffers, grown, _writer } = prepare(arguments, path)?;
    let mut verdicts = Vec::with_capacity(pipeline::BATCH);
    let (mut baseline, mut full) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        baseline.push(round(arguments.packets, &templates, &mut buffers, |_| {}));
        full.push(round(arguments.packets, &templates, &mut buffers, |batch| {
            counted_burst(&mut worker, path.receives(), batch, &mut verdicts);
        }));
    }
    let (baseline, full) = (median(baseline), median(full));
    let name = path.name();
    println!(
        "{name:<22} {baseline:>10.1} {:>10.1} {:>8.2}   {grown:+} bytes",
        full - baseline,
        full / baseline
    );
    Ok(())
}

/// Sends the packets of one path and says how many were counted.
fn count(arguments: &Arguments, path: Path) -> Result<(), String> {
    let Set { mut worker, templates, mut buffers, _writer, .. } = prepare(arguments, path)?;
    let mut verdicts = Vec::with_capacity(pipeline::BATCH);
    let mut packets = 0;
    round(arguments.packets, &templates, &mut buffers, |batch| {
        packets += batch.len();
        counted_burst(&mut worker, path.receives(), batch, &mut verdicts);
    });
    println!("{packets} packets: {}", path.name());
    Ok(())
}

/// A burst as a worker sends it through the pipeline: what instruction counters look at.
#[inline(never)]
fn counted_burst(
    worker: &mut WorkerState,
    port: PortId,
    batch: &mut [Slot],
    verdicts: &mut Vec<Verdict>,
) {
    pipeline::process(worker, port, batch, verdicts);
    worker.quiesce();
    std::hint::black_box(&verdicts);
}

/// One round: cycles per packet, each batch freshly copied from the templates.
fn round(
    packets: u32,
    templates: &[Vec<u8>],
    buffers: &mut [Slot],
    mut work: impl FnMut(&mut [Slot]),
) -> f64 {
    let (mut next, mut done) = (0, 0);
    let start = dpdk::cycles();
    while done < packets {
        for buffer in buffers.iter_mut() {
            buffer.refill(&templates[next]);
            next = if next + 1 == templates.len() { 0 } else { next + 1 };
        }
        work(buffers);
        done += buffers.len() as u32;
    }
    dpdk::cycles().wrapping_sub(start) as f64 / f64::from(done)
}

/// Sends every template once and checks what comes out; how many bytes a frame grew by.
fn check(
    worker: &mut WorkerState,
    path: Path,
    templates: &[Vec<u8>],
    profile: &Profile,
) -> Result<isize, String> {
    let mut grown = 0;
    for (flow, template) in templates.iter().enumerate() {
        let mut packets = [Slot::default()];
        packets[0].refill(template);
        let mut verdicts = Vec::new();
        pipeline::process(worker, path.receives(), &mut packets, &mut verdicts);
        if !matches!(verdicts[..], [Verdict::Tx { port, .. }] if port == path.sends()) {
            return Err(format!("flow {flow}: {verdicts:?} instead of a transmission"));
        }
        let out = packets[0].data();
        grown = out.len() as isize - template.len() as isize;
        // The inner packet is the last part of both: equal but for TTL and checksum.
        let inner = profile.frame - 18;
        let (before, after) = (&template[template.len() - inner..], &out[out.len() - inner..]);
        let changed = (0..inner).filter(|at| before[*at] != after[*at]);
        if !changed.clone().all(|at| matches!(at, 8 | 10 | 11)) || after[8] != before[8] - 1 {
            return Err(format!("flow {flow}: the inner packet came out changed"));
        }
    }
    Ok(grown)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
