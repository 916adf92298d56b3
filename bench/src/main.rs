//! `vrouter-bench`: what the pipeline costs per packet, on fresh bytes every packet and with its output checked.
//!
//! The product's own pipeline and tables run on heap buffers, one core, in rounds that alternate with a baseline doing nothing but
//! the copy that makes a packet fresh. Reported: cycles per packet over the baseline, median of the rounds, and the ratio to the
//! baseline. Absolute rates of a shared machine say little; compare ratios of one run.

mod slot;
mod world;

use clap::Parser;
use engine::seam::{Encapsulation, WorkerId};
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
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "{:<22} {:>10} {:>10} {:>8}   (cycles per packet, median of {} rounds)",
        "path", "baseline", "pipeline", "ratio", arguments.rounds
    );
    for encapsulation in [Encapsulation::MplsOverUdp, Encapsulation::MplsOverGre] {
        let profile = Profile {
            encapsulation,
            frame: usize::from(arguments.frame),
            routes: arguments.routes,
        };
        for outwards in [true, false] {
            if let Err(error) = run(&arguments, &profile, outwards) {
                eprintln!("vrouter-bench: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn run(arguments: &Arguments, profile: &Profile, outwards: bool) -> Result<(), String> {
    let (tables, _writer) = world::tables(profile).map_err(|refusal| refusal.to_string())?;
    let mut worker = WorkerState::new(&tables, WorkerId(0)).ok_or("no reader")?;
    let port = if outwards { GATEWAY } else { FABRIC };
    let make = if outwards { world::outbound } else { world::inbound };
    let templates: Vec<Vec<u8>> =
        (0..profile.routes.min(4096)).map(|flow| make(profile, flow)).collect();
    let grown = check(&mut worker, port, &templates, profile, outwards)?;

    let mut buffers: Vec<Slot> = (0..pipeline::BATCH).map(|_| Slot::default()).collect();
    let mut verdicts = Vec::with_capacity(pipeline::BATCH);
    let (mut baseline, mut full) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        baseline.push(round(arguments.packets, &templates, &mut buffers, |_| {}));
        full.push(round(arguments.packets, &templates, &mut buffers, |batch| {
            pipeline::process(&mut worker, port, batch, &mut verdicts);
            std::hint::black_box(&verdicts);
        }));
    }
    let (baseline, full) = (median(baseline), median(full));
    let name = match (profile.encapsulation, outwards) {
        (Encapsulation::MplsOverUdp, true) => "MPLSoUDP encapsulation",
        (Encapsulation::MplsOverUdp, false) => "MPLSoUDP decapsulation",
        (Encapsulation::MplsOverGre, true) => "MPLSoGRE encapsulation",
        (Encapsulation::MplsOverGre, false) => "MPLSoGRE decapsulation",
    };
    println!(
        "{name:<22} {baseline:>10.1} {:>10.1} {:>8.2}   {grown:+} bytes",
        full - baseline,
        full / baseline
    );
    Ok(())
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
    port: engine::seam::PortId,
    templates: &[Vec<u8>],
    profile: &Profile,
    outwards: bool,
) -> Result<isize, String> {
    let mut grown = 0;
    for (flow, template) in templates.iter().enumerate() {
        let mut packets = [Slot::default()];
        packets[0].refill(template);
        let mut verdicts = Vec::new();
        pipeline::process(worker, port, &mut packets, &mut verdicts);
        let expected_port = if outwards { FABRIC } else { GATEWAY };
        if !matches!(verdicts[..], [Verdict::Tx { port, .. }] if port == expected_port) {
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
