//! What the standard profiles gave, as JSON for programs and as a table for people.

use std::path::Path;

use serde::Serialize;

use crate::chart::{self, Line};
use crate::contest::Series;
use crate::options::Options;

/// Whether a profile reached what it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It did.
    #[serde(rename = "pass")]
    Pass,
    /// It did not, or it could not run.
    #[default]
    #[serde(rename = "fail")]
    Fail,
    /// The baseline did not stand still.
    #[serde(rename = "no verdict")]
    None,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::None => "no verdict",
        }
    }
}

/// What rounds gave; zero or `None` where it was not measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub mode: &'static str,
    pub encap: &'static str,
    /// Millions of packets a second.
    pub mpps: f64,
    /// All cores together.
    pub cycles_per_packet: f64,
    pub net_cost: Option<f64>,
    pub ratio_macswap: Option<f64>,
    pub rounds: usize,
    /// (largest - smallest) / median.
    pub spread: f64,
}

impl Figures {
    /// Of rounds with these options that gave `series`.
    pub fn of(options: &Options, series: &Series) -> Figures {
        Figures {
            mode: options.mode.name(),
            encap: options.encap.name(),
            rounds: series.0.len(),
            spread: series.spread(),
            ..Figures::default()
        }
    }
}

/// One profile and direction.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    pub profile: String,
    #[serde(flatten)]
    pub figures: Figures,
    pub verdict: Verdict,
    /// What is judged, and its bound: at most, or at least where the name says so.
    pub criterion: String,
    pub value: Option<f64>,
    pub must: Option<f64>,
    pub note: String,
    /// Everything else that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

impl Entry {
    /// A profile that could not run.
    pub fn broken(error: String) -> Entry {
        let profile = error.split([' ', ':']).next().unwrap_or_default().to_string();
        Entry { profile, note: error, ..Entry::default() }
    }

    /// `value` must be `most` or less.
    pub fn judge(&mut self, criterion: &str, value: f64, most: f64) {
        self.settle(criterion.into(), value, most, value <= most);
    }

    /// `value` must be `least` or more.
    pub fn judge_least(&mut self, criterion: &str, value: f64, least: f64) {
        self.settle(format!("{criterion}, at least"), value, least, value >= least);
    }

    fn settle(&mut self, criterion: String, value: f64, must: f64, good: bool) {
        (self.criterion, self.value, self.must) = (criterion, Some(value), Some(must));
        self.verdict = if good { Verdict::Pass } else { Verdict::Fail };
    }

    /// One line for the terminal.
    pub fn line(&self) -> String {
        format!(
            "=> {} {} {}: {} {} (must {}) {} {}",
            self.profile,
            self.figures.mode,
            self.figures.encap,
            self.criterion,
            number(self.value),
            number(self.must),
            self.verdict.name(),
            self.note
        )
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}

/// Writes `summary.json` and `summary.md`.
pub fn write(directory: &Path, entries: &[Entry], charts: &str) -> Result<(), String> {
    let json = serde_json::to_string_pretty(entries).map_err(|error| error.to_string())?;
    let markdown = format!("{}\n{charts}", table(entries));
    for (name, text) in [("summary.json", json), ("summary.md", markdown)] {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The table of `docs/performance.md`.
pub fn table(entries: &[Entry]) -> String {
    let mut text = String::from(
        "| profile | mode | encap | Mpps | cycles/packet | net cost | to macswap | spread | judged by | value | must | verdict |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for entry in entries {
        let figures = &entry.figures;
        let measured = |value: f64, digits: usize| {
            if value == 0.0 { "-".into() } else { format!("{value:.digits$}") }
        };
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            entry.profile,
            figures.mode,
            figures.encap,
            measured(figures.mpps, 1),
            measured(figures.cycles_per_packet, 1),
            number(figures.net_cost),
            number(figures.ratio_macswap),
            if figures.rounds == 0 {
                "-".into()
            } else {
                format!("{:.0} %", figures.spread * 100.0)
            },
            entry.criterion,
            number(entry.value),
            number(entry.must),
            entry.verdict.name()
        );
    }
    for entry in entries.iter().filter(|entry| !entry.note.is_empty()) {
        text += &format!("\n{} {}: {}\n", entry.profile, entry.figures.mode, entry.note);
    }
    text
}

/// A chart's points as a table.
pub fn points(axis: &str, lines: &[Line]) -> String {
    let xs = lines.first().map_or(&[][..], |line| &line.points[..]);
    let heads: Vec<String> = xs.iter().map(|point| chart::short(point.x)).collect();
    let mut text =
        format!("| {axis} | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for line in lines {
        let cells = line.points.iter().map(|point| match (point.y.is_finite(), point.sure) {
            (false, _) => "-".into(),
            (true, true) => format!("{:.1}", point.y),
            (true, false) => format!("({:.1})", point.y),
        });
        text += &format!("| {} | {} |\n", line.name, cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Point;

    #[test]
    fn a_bound_is_kept_or_missed() {
        let mut entry = Entry::default();
        assert_eq!(entry.verdict, Verdict::Fail, "nothing passes by itself");
        entry.judge("net cost", 1.5, 1.5);
        assert_eq!(entry.verdict, Verdict::Pass);
        entry.judge("net cost", 1.51, 1.5);
        assert_eq!(entry.verdict, Verdict::Fail);
        entry.judge_least("speed-up", 1.7, 1.7);
        assert_eq!(entry.verdict, Verdict::Pass);
        entry.judge_least("speed-up", f64::NAN, 1.7);
        assert_eq!(entry.verdict, Verdict::Fail);
        entry.judge("net cost", f64::NAN, 1.5);
        assert_eq!(entry.verdict, Verdict::Fail);
    }

    #[test]
    fn the_json_has_the_names_that_others_rely_on() {
        let value = serde_json::to_value(Entry::default()).unwrap();
        for name in [
            "profile",
            "mode",
            "encap",
            "mpps",
            "cycles_per_packet",
            "net_cost",
            "ratio_macswap",
            "rounds",
            "spread",
            "verdict",
        ] {
            assert!(value.get(name).is_some(), "{name}");
        }
        assert_eq!(value["verdict"], "fail");
    }

    #[test]
    fn points_without_a_verdict_stand_in_brackets() {
        let point = |x, y, sure| Point { x, y, sure };
        let points =
            vec![point(1000.0, 1.54, true), point(1e4, 2.0, false), point(1e6, f64::NAN, false)];
        let text = super::points("routes", &[Line { name: "encap".into(), points }]);
        assert_eq!(
            text,
            "| routes | 1k | 10k | 1M |\n|---|---|---|---|\n| encap | 1.5 | (2.0) | - |\n"
        );
    }

    #[test]
    fn what_could_not_run_has_failed_with_its_reason() {
        let entry = Entry::broken("mid decap: no device".into());
        assert_eq!((entry.profile.as_str(), entry.verdict), ("mid", Verdict::Fail));
        assert!(table(&[entry]).contains("no device"));
    }
}
