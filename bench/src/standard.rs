//! The standard profiles: what `make bench` runs, what each of them must reach, and the charts beside them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::chart::{self, Line, Point};
use crate::contest;
use crate::files::Scratch;
use crate::options::{Encap, Family, Mode, Options, Rival};
use crate::single::{self, NO_VERDICT, Report};
use crate::summary::{Entry, Verdict};
use crate::{outside, special, summary};

/// Rounds and seconds for a point of a chart.
const POINT: (u32, f64) = (3, 0.3);

/// A profile that is measured against testpmd.
struct Profile {
    name: &'static str,
    /// Net cost at most; `None`: judged by something else.
    must: Option<f64>,
    encap: Encap,
    family: Family,
    vrfs: u16,
    routes: u32,
    flows: u32,
    mbuf_size: Option<u16>,
}

const PLAIN: Profile = Profile {
    name: "",
    must: None,
    encap: Encap::Udp,
    family: Family::V4,
    vrfs: 1,
    routes: 1000,
    flows: 1000,
    mbuf_size: None,
};

const PROFILES: &[Profile] = &[
    Profile { name: "hot", must: Some(1.5), ..PLAIN },
    Profile { name: "gre", encap: Encap::Gre, ..PLAIN },
    Profile { name: "mid", must: Some(2.3), vrfs: 256, routes: 100_000, flows: 100_000, ..PLAIN },
    Profile {
        name: "v6",
        must: Some(3.0),
        family: Family::V6,
        routes: 100_000,
        flows: 100_000,
        ..PLAIN
    },
    Profile {
        name: "big",
        must: Some(4.5),
        vrfs: 4094,
        routes: 1_000_000,
        flows: 1_000_000,
        mbuf_size: Some(384),
        ..PLAIN
    },
];

/// A profile of its own kind.
type Run = fn(&Options) -> Result<Entry, String>;

/// The other profiles: see [`special`].
const SPECIAL: &[(&str, Run)] = &[
    ("churn", special::churn),
    ("load", special::load),
    ("pic", special::pic),
    ("cores2", special::cores2),
    ("oneq", special::oneq),
    ("io", io),
    ("outside", outside::run),
];

/// Names of all profiles, and of the parts that are none.
pub fn names() -> impl Iterator<Item = &'static str> {
    let profiles = PROFILES.iter().map(|profile| profile.name);
    profiles.chain(SPECIAL.iter().map(|(name, _)| *name)).chain(["charts"])
}

/// Runs them and writes what they gave to `directory`.
pub fn run(options: &Options, directory: &Path) -> Result<ExitCode, String> {
    if let Some(unknown) = options.only.iter().find(|name| names().all(|known| known != **name)) {
        let known: Vec<&str> = names().collect();
        return Err(format!("--only {unknown}: there are {}", known.join(", ")));
    }
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let start = Instant::now();
    let mut entries = Vec::new();
    for profile in PROFILES.iter().filter(|profile| wanted(profile.name)) {
        for mode in [Mode::Encap, Mode::Decap] {
            add(&mut entries, compared(&profile.options(options, mode), profile));
        }
    }
    for (_, run) in SPECIAL.iter().filter(|(name, _)| wanted(name)) {
        add(&mut entries, run(options));
    }
    // What there is so far stays should the rest fail or be ended.
    summary::write(directory, &entries, "")?;
    if wanted("charts") {
        summary::write(directory, &entries, &charts(options, directory)?)?;
    }
    println!("{}", summary::table(&entries));
    println!("{:.0} s; written to {}", start.elapsed().as_secs_f64(), directory.display());
    Ok(code(&entries))
}

/// A missed or broken must weighs more than a missing verdict.
fn code(entries: &[Entry]) -> ExitCode {
    let any = |verdict| entries.iter().any(|entry| entry.verdict == verdict);
    if any(Verdict::Fail) {
        ExitCode::FAILURE
    } else if any(Verdict::None) {
        NO_VERDICT.into()
    } else {
        ExitCode::SUCCESS
    }
}

/// A profile that could not run has failed; the others go on.
fn add(entries: &mut Vec<Entry>, outcome: Result<Entry, String>) {
    let entry = outcome.unwrap_or_else(Entry::broken);
    println!("{}", entry.line());
    entries.push(entry);
}

impl Profile {
    fn options(&self, options: &Options, mode: Mode) -> Options {
        Options {
            mode,
            encap: self.encap,
            family: self.family,
            vrfs: self.vrfs,
            routes: self.routes,
            flows: self.flows,
            instances: None,
            mbuf_size: self.mbuf_size,
            against: Some(Rival::Testpmd),
            ..options.clone()
        }
    }
}

fn compared(options: &Options, profile: &Profile) -> Result<Entry, String> {
    println!("# {} {} ...", profile.name, options.mode.name());
    let named = |error: String| format!("{} {}: {error}", profile.name, options.mode.name());
    let scratch = Scratch::new().map_err(|error| named(error.to_string()))?;
    let checked = single::check(options, &scratch).map_err(named)?;
    let mut report = single::measure(options, &scratch).map_err(named)?;
    report.checked = Some(checked);
    single::print(&report);
    let mut entry = entry(profile.name, &report);
    if profile.name == "gre" {
        special::judge_gre(&mut entry, options.mode).map_err(named)?;
    } else if let (Some(must), Some(cost)) = (profile.must, report.figures.net_cost) {
        entry.judge("net cost", cost, must);
    }
    if !report.outcome.steady() && profile.name != "gre" {
        entry.verdict = Verdict::None;
        entry.note = format!("testpmd io moved by {:.0} %", report.outcome.io.spread() * 100.0);
    }
    Ok(entry)
}

/// This program's own io against testpmd's: what it measures with is no handicap and no gift.
fn io(options: &Options) -> Result<Entry, String> {
    println!("# io ...");
    let named = |error: String| format!("io: {error}");
    let options = PLAIN.options(options, Mode::Io);
    let scratch = Scratch::new().map_err(|error| named(error.to_string()))?;
    let report = single::measure(&options, &scratch).map_err(named)?;
    let mut entry = entry("io", &report);
    let apart = report.outcome.ours.median() / report.outcome.io.median() - 1.0;
    entry.judge("difference to testpmd io", apart.abs(), 0.15);
    if !report.outcome.steady() {
        entry.verdict = Verdict::None;
    }
    Ok(entry)
}

fn entry(profile: &str, report: &Report) -> Entry {
    Entry {
        profile: profile.into(),
        figures: report.figures.clone(),
        report: serde_json::to_value(report).ok(),
        ..Entry::default()
    }
}

/// Its name, its values, and how one is set.
type Axis = (&'static str, &'static [u32], fn(&mut Options, u32));

const AXES: &[Axis] = &[
    ("routes", &[1000, 10_000, 100_000, 1_000_000], |options, value| options.routes = value),
    ("vrfs", &[1, 16, 256, 4094], |options, value| {
        // Every VRF has some routes and flows.
        (options.routes, options.flows) = (16_384, 16_384);
        options.vrfs = value as u16;
    }),
    ("flows", &[1000, 10_000, 100_000, 1_000_000], |options, value| {
        options.flows = value;
        options.mbuf_size = Some(384);
    }),
];

/// Net cost against routes, VRFs and flows, each alone. The Markdown that shows them.
fn charts(options: &Options, directory: &Path) -> Result<String, String> {
    let mut shown = String::new();
    for (axis, values, set) in AXES {
        let mut lines = Vec::new();
        for mode in [Mode::Encap, Mode::Decap] {
            let points = values.iter().map(|value| {
                let mut options = PLAIN.options(options, mode);
                (options.rounds, options.duration) = POINT;
                set(&mut options, *value);
                let point = point(f64::from(*value), &options);
                let doubt = if point.sure { "" } else { ", testpmd io did not stand still" };
                println!("chart {axis} {value} {}: net cost {:.2}{doubt}", mode.name(), point.y);
                point
            });
            lines.push(Line { name: mode.name().into(), points: points.collect() });
        }
        let file = format!("net-cost-{axis}.svg");
        let text = chart::svg(&format!("Net cost against {axis}"), axis, "net cost", &lines);
        std::fs::write(directory.join(&file), text).map_err(|error| format!("{file}: {error}"))?;
        shown +=
            &format!("![Net cost against {axis}]({file})\n\n{}\n", summary::points(axis, &lines));
    }
    Ok(shown)
}

/// One point. A failure is none, said on standard error: it must not cost the rest of a long run.
fn point(x: f64, options: &Options) -> Point {
    let outcome = Scratch::new()
        .map_err(|error| error.to_string())
        .and_then(|scratch| contest::run(options, &scratch));
    match outcome {
        Ok(outcome) => {
            Point { x, y: outcome.net_cost().unwrap_or(f64::NAN), sure: outcome.steady() }
        }
        Err(error) => {
            eprintln!("vrouter-bench: a point of a chart: {error}");
            Point { x, y: f64::NAN, sure: false }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_must_fails_and_a_restless_baseline_passes_nothing() {
        let entry = |verdict| Entry { verdict, ..Entry::default() };
        let of = |verdicts: &[Verdict]| {
            let entries: Vec<Entry> = verdicts.iter().map(|verdict| entry(*verdict)).collect();
            format!("{:?}", code(&entries))
        };
        let is = |code: ExitCode| format!("{code:?}");
        assert_eq!(of(&[Verdict::Pass, Verdict::Pass]), is(ExitCode::SUCCESS));
        assert_eq!(of(&[Verdict::Pass, Verdict::None]), is(ExitCode::from(75)));
        assert_eq!(of(&[Verdict::None, Verdict::Fail]), is(ExitCode::FAILURE));
    }

    #[test]
    fn an_unknown_profile_is_refused_with_the_known_ones() {
        let words = ["x", "--standard", "/nonexistent", "--only", "hot,warm"];
        let options = Options::from_words(&words.map(String::from)).unwrap();
        let error = run(&options, Path::new("/nonexistent")).unwrap_err();
        assert!(error.contains("warm: there are hot, gre"), "{error}");
    }
}
