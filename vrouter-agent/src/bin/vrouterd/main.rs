//! `vrouterd`: the agent and the data plane in one process.

mod doctor;
mod plane;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use config::Config;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use vrouter_agent::api::socket::Socket;
use vrouter_agent::run::{Agent, Options};
use vrouter_dp::Running;

/// Joins an MPLS overlay to the world outside it.
#[derive(Parser)]
#[command(name = "vrouterd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Forwards until SIGTERM or SIGINT; SIGHUP reads FILE again. VROUTER_LOG sets what is logged (default: info).
    Run {
        /// Configuration.
        file: PathBuf,
    },
    /// Checks a configuration and starts nothing.
    Check {
        /// Configuration.
        file: PathBuf,
    },
    /// Checks this machine, and what FILE needs of it; names the command that repairs each finding.
    Doctor {
        /// Configuration.
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { file } => run(&file),
        Command::Check { file } => load(&file).map(|_| println!("{}: ok", file.display())),
        Command::Doctor { file } => return doctor::run(file.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            for error in errors {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Reads and checks a configuration; on failure everything that is wrong with it.
fn load(file: &Path) -> Result<Config, Vec<String>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| vec![format!("{name}: {error}")])?;
    config::load(&text, &name).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn run(file: &Path) -> Result<(), Vec<String>> {
    let started = Instant::now();
    let config = load(file)?;
    log();
    let one = |error: String| vec![error];
    let socket = Socket::bind(&config.api.socket).map_err(|error| one(error.to_string()))?;
    let dataplane = vrouter_dp::start(&plane::config(&config)).map_err(|error| {
        let hint = format!("`vrouterd doctor {}` looks for the cause", file.display());
        vec![error.to_string(), hint]
    })?;
    for note in &dataplane.notes {
        tracing::warn!("{note}");
    }
    let plan = plane::plan(&dataplane.plan);
    let (ops, events, running) = dataplane.split();
    let agent = Agent::start(Options {
        config,
        file: file.to_owned(),
        socket,
        ops,
        events,
        plan,
        started,
        on_forwarding: Box::new(|| tell(&[NotifyState::Ready])),
    });
    match agent {
        Ok(agent) => serve(agent, running).map_err(one),
        Err(error) => {
            running.stop();
            Err(vec![format!("the agent's thread: {error}")])
        }
    }
}

fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("VROUTER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .init();
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Waits for signals, then stops: first the agent, so that peers are told, then the ports.
fn serve(agent: Agent, running: Running) -> Result<(), String> {
    let waited = wait(&agent, &running);
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    agent.stop();
    running.stop();
    waited
}

fn wait(agent: &Agent, running: &Running) -> Result<(), String> {
    let said = |error: io::Error| format!("signals: {error}");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
    runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate()).map_err(said)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(said)?;
        let mut reload = signal(SignalKind::hangup()).map_err(said)?;
        loop {
            tokio::select! {
                _ = stop.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = reload.recv() => agent.reload(),
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if agent.ended() {
                        return Err("the agent's thread ended; see the log".into());
                    }
                    if let Some(thread) = running.ended() {
                        return Err(format!("{thread} of the data plane ended; see the log"));
                    }
                }
            }
        }
    })
}
