//! One run as the command line asks for it: check, rounds, timed bursts, and the figures in words or JSON.

use std::process::ExitCode;

use serde::Serialize;

use crate::check::Checked;
use crate::child::Child;
use crate::contest::{self, Outcome};
use crate::files::Scratch;
use crate::forward::Window;
use crate::memory::HugePages;
use crate::options::{Options, Part};
use crate::summary::Figures;

/// Exit code of a run whose baseline did not stand still: neither good nor bad.
pub const NO_VERDICT: u8 = 75;
/// Tries before that.
pub const TRIES: u32 = 3;
/// Every how many-th burst is timed in the rounds for that.
const SAMPLE: u32 = 16;

/// All that a run gave.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub figures: Figures,
    pub family: &'static str,
    pub frame: &'static str,
    pub flows: u32,
    pub vrfs: u16,
    pub routes: u32,
    pub instances: u16,
    pub burst: u16,
    pub cores: u16,
    pub verdict: &'static str,
    pub checked: Option<Checked>,
    pub timed: Option<Window>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Runs it and prints what it gave.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let scratch = Scratch::new().map_err(|error| format!("temporary directory: {error}"))?;
    let checked = (!options.mode.is_plain()).then(|| check(options, &scratch)).transpose()?;
    if let (true, Some(checked)) = (options.check_only, &checked) {
        println!("{}", right(checked));
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = measure(options, &scratch)?;
    report.checked = checked;
    if options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        print(&report);
    }
    Ok(if report.verdict == "no verdict" { NO_VERDICT.into() } else { ExitCode::SUCCESS })
}

/// Has the product's output compared with the oracle.
pub fn check(options: &Options, scratch: &Scratch) -> Result<Checked, String> {
    let directory =
        scratch.part("check").map_err(|error| format!("temporary directory: {error}"))?;
    let checked = Child::start(options, Part::Check, &directory)?.finish();
    let _ = std::fs::remove_dir_all(directory);
    checked
}

/// Rounds until the baseline stands still, three tries at most, then one with timed bursts.
pub fn measure(options: &Options, scratch: &Scratch) -> Result<Report, String> {
    let mut outcome = contest::run(options, scratch)?;
    for _ in 1..TRIES {
        if outcome.steady() {
            break;
        }
        outcome = contest::run(options, scratch)?;
    }
    let timed = (!options.mode.is_plain()).then(|| timed(options, scratch)).transpose()?;
    Ok(Report {
        figures: Figures {
            mpps: outcome.mpps(options),
            cycles_per_packet: outcome.ours.median(),
            net_cost: outcome.net_cost(),
            ratio_macswap: outcome.ratio_macswap(),
            ..Figures::of(options, &outcome.ours)
        },
        family: options.family.name(),
        frame: options.frame.name(),
        flows: options.flows,
        vrfs: options.vrfs,
        routes: options.routes,
        instances: options.instances(),
        burst: options.burst,
        cores: options.nb_cores,
        verdict: if outcome.steady() { "measured" } else { "no verdict" },
        checked: None,
        timed,
        outcome,
    })
}

/// A run of its own with timed bursts, so that reading the clock does not weigh on the rate.
fn timed(options: &Options, scratch: &Scratch) -> Result<Window, String> {
    let directory = scratch.part("profile").map_err(|error| error.to_string())?;
    let mut options = Options { sample_bursts: SAMPLE, ..options.clone() };
    let (_pages, _) = HugePages::for_processes(&mut options, 1);
    let (mut child, _) = Child::forwarding(&options, &directory)?;
    child.window(&options)
}

fn right(checked: &Checked) -> String {
    let drops: Vec<String> =
        checked.drops.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!(
        "checked: {} frames came out as the oracle says, {} source ports; drops as called for: {}",
        checked.frames,
        checked.source_ports,
        drops.join(", ")
    )
}

/// In words.
pub fn print(report: &Report) {
    let outcome = &report.outcome;
    println!(
        "{} {} IPv{} frame {} B: {} VRFs, {} routes, {} instances, {} flows; burst {}, {} worker(s)",
        report.figures.mode,
        report.figures.encap,
        report.family,
        report.frame,
        report.vrfs,
        report.routes,
        report.instances,
        report.flows,
        report.burst,
        report.cores
    );
    if let Some(checked) = &report.checked {
        println!("{}", right(checked));
    }
    println!(
        "memory: {} MiB of packet buffers in each program ({} pages), {} MiB in the product in all; tables loaded in {:.2} s",
        outcome.pool_mib,
        if outcome.huge_pages { "huge" } else { "plain" },
        outcome.ready.memory_mib,
        outcome.ready.load_seconds
    );
    for command in &outcome.commands {
        println!("against: {command}");
    }
    let total = outcome.windows.iter().fold(Window::default(), |sum, window| Window {
        received: sum.received + window.received,
        sent: sum.sent + window.sent,
        bursts: sum.bursts + window.bursts,
        handed: sum.handed + window.handed,
        ..sum
    });
    let packets = total.received as f64 / total.bursts.max(1) as f64;
    println!(
        "forwarded: RX-packets {} TX-packets {} dropped 0; {packets:.1} packets per burst, {} handed to another worker",
        total.received, total.sent, total.handed
    );
    for (port, name) in outcome.ports.iter().zip(["fabric", "gateway"]) {
        println!(
            "port {name:<8} RX-packets {} RX-missed {} RX-bytes {} RX-errors {} RX-nombuf {} TX-packets {} TX-bytes {} TX-errors {}",
            port.rx_packets,
            port.missed,
            port.rx_bytes,
            port.rx_errors,
            port.no_mbuf,
            port.tx_packets,
            port.tx_bytes,
            port.tx_errors
        );
    }
    let line = |name: &str, series: &contest::Series| {
        if !series.0.is_empty() {
            println!(
                "{name:<34} {:>8.1} cycles per packet, spread {:.0} % over {} rounds",
                series.median(),
                series.spread() * 100.0,
                series.0.len()
            );
        }
    };
    line("vrouter", &outcome.ours);
    line("testpmd io, same file", &outcome.io);
    line("testpmd macswap, same file", &outcome.macswap);
    line("testpmd macswap, 1,000-flow file", &outcome.unit);
    println!("rate {:.2} Mpps", report.figures.mpps);
    if let (Some(cost), Some(ratio)) = (report.figures.net_cost, report.figures.ratio_macswap) {
        println!("net cost {cost:.2}, ratio to macswap {ratio:.2}: {}", report.verdict);
    }
    if let Some(timed) = &report.timed {
        let micros = |cycles: u64| cycles as f64 * 1e6 / outcome.ready.hz.max(1) as f64;
        println!(
            "burst service time of {} timed bursts: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, longest {:.1} us",
            timed.timed,
            micros(timed.service.p50),
            micros(timed.service.p99),
            micros(timed.service.p999),
            micros(timed.service.longest)
        );
        let passes: Vec<String> =
            timed.passes.iter().map(|(name, cycles)| format!("{name} {cycles:.1}")).collect();
        println!("cycles per packet by pass (timed): {}", passes.join(", "));
    }
}
