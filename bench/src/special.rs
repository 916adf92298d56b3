//! The standard profiles that are not a comparison with testpmd: two runs of the product against each other, or a time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::Child;
use crate::contest::{Series, cycles};
use crate::files::{self, Scratch};
use crate::forward::{Ready, Window};
use crate::loading::Loaded;
use crate::memory::{HugePages, process_mib};
use crate::options::{Encap, Mode, Options, Part};
use crate::order::Order;
use crate::pic::Lost;
use crate::summary::{Entry, Figures, Verdict};
use crate::world::World;
use crate::{contest, ir};

/// Route changes a second of `churn`.
const CHANGES: u32 = 50_000;
/// Rounds of two workers are so many times shorter, and as many times as many.
const SHORTER: u32 = 3;
/// What `churn` shows of a window, and whether it is judged.
type ChurnTime = (&'static str, bool, fn(&Window) -> u64);
const CHURN_TIMES: &[ChurnTime] = &[
    ("burst p50", false, |window| window.service.p50),
    ("p99", false, |window| window.service.p99),
    ("p99.9", true, |window| window.service.p999),
    ("longest", false, |window| window.service.longest),
    ("gap p99.9", false, |window| window.gaps.p999),
    ("longest", true, |window| window.gaps.longest),
];
/// Packets for counting instructions.
const COUNTED: u32 = 64_000;

/// The files of a run, and huge pages for `processes` of it.
struct Prepared {
    options: Options,
    scratch: Scratch,
    _pages: HugePages,
}

fn prepare(options: &Options, processes: u32) -> Result<Prepared, String> {
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let mut options = Options { against: None, ..options.clone() };
    let (pages, _) = HugePages::for_processes(&mut options, processes);
    Ok(Prepared { options, scratch, _pages: pages })
}

fn write(options: &Options, scratch: &Scratch, part: &str) -> Result<std::path::PathBuf, String> {
    let text = |error: std::io::Error| format!("replay files: {error}");
    let directory = scratch.part(part).map_err(text)?;
    files::write(options, &World::new(options.into()), &directory).map_err(text)?;
    Ok(directory)
}

/// 50,000 route changes a second against the same thread as busy without them.
pub fn churn(options: &Options) -> Result<Entry, String> {
    println!("# churn ...");
    let named = |error: String| format!("churn: {error}");
    let options = Options {
        mode: Mode::Encap,
        vrfs: 256,
        routes: 100_000,
        flows: 100_000,
        instances: None,
        churn: CHANGES,
        sample_bursts: 1,
        ..options.clone()
    };
    let Prepared { options, scratch, _pages } = prepare(&options, 1).map_err(named)?;
    let directory = write(&options, &scratch, "profile").map_err(named)?;
    let (mut child, ready) = Child::forwarding(&options, &directory).map_err(named)?;
    let milliseconds = (options.duration * 1000.0) as u64;
    let (mut busy, mut changing): (Vec<Window>, Vec<Window>) = Default::default();
    for _ in 0..options.rounds {
        busy.push(child.ask(&format!("busy {milliseconds}")).map_err(named)?);
        changing.push(child.ask(&format!("churn {milliseconds}")).map_err(named)?);
    }
    judge_churn(&options, &ready, &busy, &changing).map_err(named)
}

fn judge_churn(
    options: &Options,
    ready: &Ready,
    busy: &[Window],
    changing: &[Window],
) -> Result<Entry, String> {
    let cost = |windows: &[Window]| -> Result<Series, String> {
        windows.iter().map(|window| cycles(options, window)).collect::<Result<_, _>>().map(Series)
    };
    let (before, after) = (cost(busy)?, cost(changing)?);
    let changes: u64 = changing.iter().map(|window| window.changes).sum();
    let rate = changes as f64 / (options.duration * changing.len() as f64);
    let median = |windows: &[Window], of: fn(&Window) -> u64| {
        Series(windows.iter().map(|window| of(window) as f64).collect()).median()
    };
    let micros = |cycles: f64| cycles * 1e6 / ready.hz.max(1) as f64;
    let mut worst: f64 = 0.0;
    let mut note = format!(
        "{rate:.0} changes a second, {:.1} cycles a packet with them and {:.1} without; us with / without, medians:",
        after.median(),
        before.median()
    );
    for (name, judged, of) in CHURN_TIMES {
        let (with, without) = (median(changing, *of), median(busy, *of));
        note += &format!(" {name} {:.2} / {:.2},", micros(with), micros(without));
        if without == 0.0 {
            return Err("no burst was timed".into());
        }
        if *judged {
            worst = worst.max(with / without);
        }
    }
    let mut entry = Entry {
        profile: "churn".into(),
        figures: Figures { cycles_per_packet: after.median(), ..Figures::of(options, &after) },
        note: note.trim_end_matches(',').into(),
        ..Entry::default()
    };
    entry.judge("p99.9 burst and worst gap, against no changes", worst, 1.5);
    if rate < 0.9 * f64::from(CHANGES) {
        entry.verdict = Verdict::Fail;
    }
    Ok(entry)
}

/// A million routes from the agent's compiler to the packets.
pub fn load(options: &Options) -> Result<Entry, String> {
    println!("# load ...");
    let named = |error: String| format!("load: {error}");
    let options = Options {
        mode: Mode::Encap,
        vrfs: 256,
        routes: 1_000_000,
        flows: 100_000,
        instances: None,
        ..options.clone()
    };
    let Prepared { options, scratch, _pages } = prepare(&options, 1).map_err(named)?;
    let directory = write(&options, &scratch, "profile").map_err(named)?;
    let child = Child::start(&options, Part::Load, &directory).map_err(named)?;
    let loaded: Loaded = child.finish().map_err(named)?;
    let series = Series(loaded.seconds);
    let mut entry = Entry {
        profile: "load".into(),
        figures: Figures::of(&options, &series),
        note: format!(
            "{} routes into {} VRFs while a worker forwards, seconds each time: {:.2?}; taken away in {:.2?}",
            options.routes, options.vrfs, series.0, loaded.withdrawn
        ),
        ..Entry::default()
    };
    entry.judge("seconds to the last worker", series.median(), 1.0);
    Ok(entry)
}

/// A tunnel end lost under a million routes.
pub fn pic(options: &Options) -> Result<Entry, String> {
    println!("# pic ...");
    let named = |error: String| format!("pic: {error}");
    let options = Options {
        mode: Mode::Encap,
        routes: 1_000_000,
        flows: 4096,
        instances: None,
        ..options.clone()
    };
    let Prepared { options, scratch, _pages } = prepare(&options, 1).map_err(named)?;
    let directory = write(&options, &scratch, "profile").map_err(named)?;
    let child = Child::start(&options, Part::Pic, &directory).map_err(named)?;
    let lost: Lost = child.finish().map_err(named)?;
    let (seen, acknowledged) = (Series(lost.seen), Series(lost.acknowledged));
    let most = |series: &Series| series.0.iter().copied().fold(0.0, f64::max);
    let mut entry = Entry {
        profile: "pic".into(),
        figures: Figures::of(&options, &seen),
        note: format!(
            "one op takes away the way to one of {} tunnel ends, {} routes lead to path groups: seen by packets after {:.0} us \
             (median; worst {:.0}), acknowledged for every worker after {:.0} us (worst {:.0}); no packet dropped while a path is left",
            lost.ends,
            options.routes,
            seen.median(),
            most(&seen),
            acknowledged.median(),
            most(&acknowledged)
        ),
        ..Entry::default()
    };
    entry.judge("milliseconds until packets see it", seen.median() / 1000.0, 1.0);
    Ok(entry)
}

/// Two workers with a queue each against one.
pub fn cores2(options: &Options) -> Result<Entry, String> {
    println!("# cores2 ...");
    let one = Options { nb_cores: 1, rx_queues: Some(1), ..plain(options) };
    let two = Options { nb_cores: 2, rx_queues: Some(2), ..one.clone() };
    duel("cores2", &one, &two, 1.7).map_err(|error| format!("cores2: {error}"))
}

/// Two workers on one queue of GRE against one.
pub fn oneq(options: &Options) -> Result<Entry, String> {
    println!("# oneq ...");
    let named = |error: String| format!("oneq: {error}");
    let one = Options {
        mode: Mode::Decap,
        encap: Encap::Gre,
        nb_cores: 1,
        rx_queues: Some(1),
        ..plain(options)
    };
    let two = Options { nb_cores: 2, ..one.clone() };
    let mut entry = duel("oneq", &one, &two, 1.2).map_err(named)?;
    let scratch = Scratch::new().map_err(|error| named(error.to_string()))?;
    let directory = scratch.part("order").map_err(|error| named(error.to_string()))?;
    let order: Order =
        Child::start(&two, Part::Order, &directory).and_then(Child::finish).map_err(named)?;
    entry.note += &format!(
        "; {} frames of {} flows in order, received by the workers: {:?}",
        order.frames, order.flows, order.received
    );
    Ok(entry)
}

fn plain(options: &Options) -> Options {
    Options {
        mode: Mode::Encap,
        vrfs: 1,
        routes: 1000,
        flows: 1000,
        instances: None,
        ..options.clone()
    }
}

/// Rounds of two set-ups of the product in turn; the second must be `least` times as fast.
fn duel(name: &str, one: &Options, two: &Options, least: f64) -> Result<Entry, String> {
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let (_pages, huge) = HugePages::reserve(process_mib(one) + process_mib(two));
    let mut sides = Vec::new();
    for (part, options) in [("one", one), ("two", two)] {
        let mut options =
            Options { duration: options.duration / f64::from(SHORTER), ..options.clone() };
        if !huge {
            options.eal.push("--no-huge".into());
        }
        let directory = write(&options, &scratch, part)?;
        let (mut child, ready) = Child::forwarding(&options, &directory)?;
        child.pause()?;
        sides.push((options, child, ready, Series::default()));
    }
    let mut handed = 0;
    // Two workers leave no CPU to anything else, which shows in single rounds: more and shorter ones for the median.
    for _ in 0..one.rounds * SHORTER {
        for (options, child, _, series) in &mut sides {
            child.resume()?;
            let window = child.window(options)?;
            child.pause()?;
            series.0.push(cycles(options, &window)? / f64::from(options.nb_cores));
            handed += window.handed;
        }
    }
    let [(_, _, _, slow), (options, _, ready, fast)] = &sides[..] else {
        return Err("two sides".into());
    };
    Ok(compare(name, options, ready, slow, fast, least, handed))
}

/// Both in cycles per packet of wall time.
fn compare(
    name: &str,
    options: &Options,
    ready: &Ready,
    slow: &Series,
    fast: &Series,
    least: f64,
    handed: u64,
) -> Entry {
    let rate = |series: &Series| ready.hz as f64 / series.median() / 1e6;
    let mut entry = Entry {
        profile: name.into(),
        figures: Figures {
            mpps: rate(fast),
            cycles_per_packet: fast.median() * f64::from(options.nb_cores),
            ..Figures::of(options, fast)
        },
        note: format!(
            "one worker {:.1} Mpps, two {:.1} Mpps; {handed} packets handed over",
            rate(slow),
            rate(fast)
        ),
        ..Entry::default()
    };
    entry.judge_least("rate of two workers to one", slow.median() / fast.median(), least);
    if slow.spread() > contest::STEADY {
        entry.verdict = Verdict::None;
        entry.note += &format!("; one worker moved by {:.0} %", slow.spread() * 100.0);
    }
    entry
}

/// GRE may cost as many instructions per packet as UDP and 2 % more.
pub fn judge_gre(entry: &mut Entry, mode: Mode) -> Result<(), String> {
    let (gre, udp) = match mode {
        Mode::Decap => (ir::Path::DecapGre, ir::Path::Decap),
        _ => (ir::Path::EncapGre, ir::Path::Encap),
    };
    let (gre, udp) = (instructions(gre)?, instructions(udp)?);
    entry.note = format!("{gre:.1} instructions a packet over GRE, {udp:.1} over UDP");
    entry.judge("instructions a packet to MPLSoUDP's", gre / udp, 1.02);
    Ok(())
}

/// Instructions per packet of a path, by callgrind.
fn instructions(path: ir::Path) -> Result<f64, String> {
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let out = scratch.part("ir").map_err(|error| error.to_string())?.join("callgrind");
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_burst*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--ir", path.name(), "--packets", &COUNTED.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !status.success() {
        return Err(format!("counting the instructions of {}: {status}", path.name()));
    }
    total(&out).map(|total| total / f64::from(COUNTED))
}

fn total(out: &Path) -> Result<f64, String> {
    let text = fs::read_to_string(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| "callgrind gave no sum".into())
}
