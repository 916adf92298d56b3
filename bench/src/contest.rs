//! Rounds of the product and of testpmd in turn, on the same files and the same CPU, and what follows from them.
//!
//! Machines are noisy: an hour apart the same command differs by almost half. So only figures of one run are compared, as
//! medians over its rounds; and when the baseline itself moved by more than a fifth, the run says nothing.

use std::path::Path;

use serde::Serialize;

use crate::child::Child;
use crate::files::{self, Scratch};
use crate::forward::{Ready, Window};
use crate::memory::{HugePages, process_mib};
use crate::options::Options;
use crate::plane::PortCounts;
use crate::testpmd::{Forward, Testpmd};
use crate::world::World;

/// The baseline may differ by this much between rounds, as a part of its median.
pub const STEADY: f64 = 0.20;
/// Routes and flows of the file that macswap, the unit of cost, runs on.
const UNIT: u32 = 1000;

/// Figures of one kind over all rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// The value in the middle; of an even number, the upper one.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// (largest - smallest) / median.
    pub fn spread(&self) -> f64 {
        let (least, most) = (self.0.iter().copied(), self.0.iter().copied());
        let least = least.fold(f64::INFINITY, f64::min);
        let most = most.fold(f64::NEG_INFINITY, f64::max);
        (most - least) / self.median()
    }
}

/// What a run gave. All cycles are of the time stamp counter, per packet, summed over the cores.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The product.
    pub ours: Series,
    /// testpmd io on the same files; empty without testpmd.
    pub io: Series,
    /// testpmd macswap on the same files.
    pub macswap: Series,
    /// testpmd macswap on the file with 1,000 flows: the unit of cost.
    pub unit: Series,
    /// How testpmd was started.
    pub commands: Vec<String>,
    /// Every window of the product.
    pub windows: Vec<Window>,
    /// What its ports counted in all, fabric first.
    pub ports: Vec<PortCounts>,
    /// What the product said when it was ready.
    pub ready: Ready,
    /// Memory that the programs of the run needed, MiB: packet buffers of each, and all of the product.
    pub pool_mib: u32,
    /// Whether buffers were in huge pages.
    pub huge_pages: bool,
}

impl Outcome {
    /// Millions of packets a second.
    pub fn mpps(&self, options: &Options) -> f64 {
        self.ready.hz as f64 * f64::from(options.nb_cores) / self.ours.median() / 1e6
    }

    /// (ours - io) / macswap on the 1,000-flow file.
    pub fn net_cost(&self) -> Option<f64> {
        (!self.io.0.is_empty())
            .then(|| (self.ours.median() - self.io.median()) / self.unit.median())
    }

    /// ours / macswap on the same files.
    pub fn ratio_macswap(&self) -> Option<f64> {
        (!self.io.0.is_empty()).then(|| self.ours.median() / self.macswap.median())
    }

    /// Whether the baseline stood still enough for a verdict.
    pub fn steady(&self) -> bool {
        self.io.0.is_empty() || self.io.spread() <= STEADY
    }
}

/// Runs a contest, without testpmd if the options do not ask for it.
pub fn run(options: &Options, scratch: &Scratch) -> Result<Outcome, String> {
    let text = |error: std::io::Error| format!("replay files: {error}");
    let directory = scratch.part("profile").map_err(text)?;
    files::write(options, &World::new(options.into()), &directory).map_err(text)?;
    let unit = unit(options, scratch)?;

    let processes = 1 + 2 * u32::from(options.against.is_some());
    let mut options = options.clone();
    let (_pages, huge) = HugePages::for_processes(&mut options, processes);
    let (mut ours, ready) = Child::forwarding(&options, &directory)?;
    let mut outcome =
        Outcome { ready, pool_mib: process_mib(&options), huge_pages: huge, ..Outcome::default() };
    let mut rivals = None;
    if options.against.is_some() {
        ours.pause()?;
        rivals = Some(Rivals::start(&options, &directory, unit.as_ref())?);
    }
    for _ in 0..options.rounds {
        if rivals.is_some() {
            ours.resume()?;
        }
        let window = ours.window(&options)?;
        outcome.ours.0.push(cycles(&options, &window)?);
        outcome.windows.push(window);
        if let Some(rivals) = &mut rivals {
            ours.pause()?;
            rivals.round(&options, &mut outcome)?;
        }
    }
    ours.resume()?;
    outcome.ports = ours.ask("ports")?;
    if let Some(rivals) = rivals {
        outcome.commands = rivals.commands();
    }
    Ok(outcome)
}

/// Cycles per packet in a window, all cores together; packets that were lost make it no figure at all.
pub fn cycles(options: &Options, window: &Window) -> Result<f64, String> {
    if let Some((reason, count)) = window.drops.first() {
        return Err(format!("{count} packets were dropped as {reason} while measuring"));
    }
    if window.received == 0 {
        return Err("no packet was received".into());
    }
    Ok(window.cycles as f64 * f64::from(options.nb_cores) / window.received as f64)
}

/// The file of the unit of cost, unless that of the run is one.
fn unit(
    options: &Options,
    scratch: &Scratch,
) -> Result<Option<(Options, std::path::PathBuf)>, String> {
    let plain = Options {
        vrfs: 1,
        routes: UNIT,
        flows: UNIT,
        instances: None,
        mbuf_size: None,
        ..options.clone()
    };
    let same = options.flows == UNIT && options.mbuf_size() == plain.mbuf_size();
    if options.against.is_none() || same {
        return Ok(None);
    }
    let text = |error: std::io::Error| format!("replay files: {error}");
    let directory = scratch.part("unit").map_err(text)?;
    files::write(&plain, &World::new((&plain).into()), &directory).map_err(text)?;
    Ok(Some((plain, directory)))
}

/// testpmd on the files of the run, and on those of the unit where they are others.
struct Rivals {
    same: Testpmd,
    /// With its options.
    unit: Option<(Testpmd, Options)>,
}

impl Rivals {
    fn start(
        options: &Options,
        directory: &Path,
        unit: Option<&(Options, std::path::PathBuf)>,
    ) -> Result<Rivals, String> {
        let same = Testpmd::start(options, &files::ports(options, directory))?;
        let unit = match unit {
            None => None,
            Some((plain, directory)) => {
                let plain = Options { eal: options.eal.clone(), ..plain.clone() };
                Some((Testpmd::start(&plain, &files::ports(&plain, directory))?, plain))
            }
        };
        Ok(Rivals { same, unit })
    }

    fn round(&mut self, options: &Options, outcome: &mut Outcome) -> Result<(), String> {
        let cycles = outcome.ready.hz as f64 * f64::from(options.nb_cores);
        outcome.io.0.push(cycles / self.same.measure(Forward::Io, options)?);
        let macswap = cycles / self.same.measure(Forward::Macswap, options)?;
        outcome.macswap.0.push(macswap);
        outcome.unit.0.push(match &mut self.unit {
            Some((unit, plain)) => cycles / unit.measure(Forward::Macswap, plain)?,
            None => macswap,
        });
        Ok(())
    }

    fn commands(&self) -> Vec<String> {
        [Some(&self.same), self.unit.as_ref().map(|(unit, _)| unit)]
            .into_iter()
            .flatten()
            .map(|testpmd| testpmd.command().to_string())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series(values.to_vec())
    }

    #[test]
    fn net_cost_is_what_is_above_the_baseline_in_units() {
        let outcome = Outcome {
            ours: series(&[90.0, 300.0, 80.0]),
            io: series(&[40.0, 41.0, 39.0]),
            macswap: series(&[45.0, 44.0, 46.0]),
            unit: series(&[50.0, 50.0, 60.0]),
            ..Outcome::default()
        };
        assert_eq!(outcome.net_cost(), Some(1.0));
        assert_eq!(outcome.ratio_macswap(), Some(2.0));
        assert!(outcome.steady());
    }

    #[test]
    fn a_baseline_that_moved_by_more_than_a_fifth_is_not_steady() {
        let moved = |most| Outcome { io: series(&[40.0, 40.0, most]), ..Outcome::default() };
        assert!(moved(47.9).steady());
        assert!(!moved(48.1).steady());
        assert!(Outcome::default().steady(), "nothing to compare with");
    }

    #[test]
    fn lost_packets_are_no_figure() {
        let options = Options::from_words(&["x".into()]).unwrap();
        let window = Window { cycles: 1000, received: 10, ..Window::default() };
        assert_eq!(cycles(&options, &window), Ok(100.0));
        let drops = vec![("no-route".to_string(), 1)];
        assert!(
            cycles(&options, &Window { drops, ..window.clone() }).unwrap_err().contains("no-route")
        );
        assert!(cycles(&options, &Window { received: 0, ..window }).is_err());
    }
}
