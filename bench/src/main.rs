//! `vrouter-bench`: what the data plane does with packets, as fast as it can: the product's own workers, pipeline and tables on
//! replay ports or real ones, with its output checked, and testpmd beside it.
//!
//! - [`options`]: the command line. [`world`], [`frames`]: the network of a run, its frames, and what must become of them.
//! - [`check`]: the output against the oracle. [`forward`], [`plane`], [`loops`]: the process that forwards.
//! - [`contest`], [`child`], [`testpmd`]: rounds in turn. [`single`]: one run as a person asks for it.
//! - [`live`]: real ports.
//! - [`standard`], [`special`], [`outside`], [`summary`], [`chart`]: the profiles of `make bench`.
//! - [`ir`]: for instruction counters.

mod capture;
mod chart;
mod check;
mod child;
mod churn;
mod contest;
mod files;
mod forward;
mod frames;
mod ir;
mod live;
mod loading;
mod loops;
mod memory;
mod operator;
mod options;
mod order;
mod outside;
mod pic;
mod plane;
mod single;
mod slot;
mod special;
mod standard;
mod summary;
mod tables;
mod testpmd;
mod world;

use std::process::ExitCode;

use options::{Options, Part};

fn main() -> ExitCode {
    let options = Options::from_command_line();
    #[cfg(feature = "fault-injection")]
    engine::fault::set(options.fault.map(Into::into));
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vrouter-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, String> {
    if let Some(path) = options.ir {
        let packets = ir::run(path, options.packets)?;
        println!("{packets} packets: {}", path.name());
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(part), Some(files)) = (options.part, &options.files) {
        play(options, part, files)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(directory) = &options.standard {
        return standard::run(options, directory);
    }
    if !options.devices().is_empty() {
        live::run(options)?;
        return Ok(ExitCode::SUCCESS);
    }
    single::run(options)
}

/// Plays a part in the run of another process of this program.
fn play(options: &Options, part: Part, files: &std::path::Path) -> Result<(), String> {
    match part {
        Part::Forward => forward::run(options, files),
        Part::Check => {
            let world = world::World::new(options.into());
            forward::say(&check::run(options, &world, files)?)
        }
        Part::Order => forward::say(&order::run(options, files)?),
        Part::Pic => forward::say(&pic::run(options, files)?),
        Part::Load => forward::say(&loading::run(options, files)?),
    }
}
