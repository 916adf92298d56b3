//! A process of this program that plays a part in a run: started, asked, paused and ended from here.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::forward::{Ready, Window};
use crate::frames::replay_frames;
use crate::options::{Options, Part};

/// Between letting a process go on and measuring it; longer until it has received every frame of its replay once, as others had
/// the caches meanwhile.
pub const WARM_UP: Duration = Duration::from_millis(150);
/// A window is long enough for every frame of the replay so many times.
pub const PASSES: u64 = 2;

/// A process of its own, because EAL starts once in each.
pub struct Child {
    process: Process,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    paused: bool,
}

impl Child {
    /// Starts it with the options of this run.
    pub fn start(options: &Options, part: Part, files: &Path) -> Result<Child, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut process = Command::new(program)
            .args(options.to_words(part, files))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting a process: {error}"))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (commands, answers) = pipes.ok_or("a process without pipes")?;
        Ok(Child { process, commands, answers: BufReader::new(answers), paused: false })
    }

    /// Starts one that forwards, and waits until it does.
    pub fn forwarding(options: &Options, files: &Path) -> Result<(Child, Ready), String> {
        let mut child = Child::start(options, Part::Forward, files)?;
        let ready = child.answer()?;
        Ok((child, ready))
    }

    /// The next line that it says.
    pub fn answer<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(count) if count > 0 => {
                serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))
            }
            // What went wrong it has said on standard error.
            _ => {
                let status = self.process.wait().map_err(|error| error.to_string())?;
                Err(format!("a process of the run ended: {status}"))
            }
        }
    }

    /// A command, and its answer.
    pub fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T, String> {
        writeln!(self.commands, "{command}").map_err(|error| error.to_string())?;
        self.answer()
    }

    /// What it does in some time once it is warm: see [`WARM_UP`] and [`PASSES`].
    pub fn window(&mut self, options: &Options) -> Result<Window, String> {
        let frames = u64::from(replay_frames(options));
        let time = Duration::from_secs_f64(options.duration);
        let _: Window = self.ask(&format!("window {} {frames}", WARM_UP.as_millis()))?;
        self.ask(&format!("window {} {}", time.as_millis(), PASSES * frames))
    }

    /// Stops all of its threads where they are.
    pub fn pause(&mut self) -> Result<(), String> {
        self.signal("STOP")?;
        self.paused = true;
        Ok(())
    }

    /// Lets them go on.
    pub fn resume(&mut self) -> Result<(), String> {
        self.signal("CONT")?;
        self.paused = false;
        Ok(())
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        signal(self.process.id(), name)
    }

    /// Waits for its end; what it answers before is the result.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T, String> {
        let answer = self.answer()?;
        match self.process.wait() {
            Ok(status) if status.success() => Ok(answer),
            Ok(status) => Err(format!("a process of the run ended: {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Sends a signal to a process that was started here.
pub fn signal(process: u32, name: &str) -> Result<(), String> {
    // The shell has a `kill` wherever there is a shell.
    let kill = format!("kill -{name} {process}");
    match Command::new("sh").args(["-c", &kill]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("`{kill}` failed")),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.paused {
            let _ = self.signal("CONT");
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
