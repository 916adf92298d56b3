//! `dpdk-testpmd`, driven through its own command line on standard input.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{PASSES, WARM_UP};
use crate::forward::mbufs;
use crate::frames::replay_frames;
use crate::options::{Mode, Options};
use crate::plane::worker_cpus;

/// How long it may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether enough frames have come.
const LOOK: Duration = Duration::from_millis(10);

/// A running testpmd, not forwarding.
pub struct Testpmd {
    process: Child,
    commands: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What came and was not looked at yet.
    text: String,
    command: String,
    ports: usize,
    /// Packets from its start until the last look.
    received: u64,
}

/// What it does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nothing.
    Io,
    /// Source and destination MAC change places.
    Macswap,
}

impl Testpmd {
    /// Starts it on these ports with the buffers, queues, burst and CPUs of the run.
    pub fn start(options: &Options, ports: &[String]) -> Result<Testpmd, String> {
        let arguments = arguments(options, ports)?;
        let command = format!("dpdk-testpmd {}", arguments.join(" "));
        // Into a pipe it would keep its answers for a while.
        let mut process = Command::new("stdbuf")
            .args(["-oL", "dpdk-testpmd"])
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("dpdk-testpmd (Debian: package dpdk-dev or dpdk): {error}"))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (commands, mut answers) = pipes.ok_or("a process without pipes")?;
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = answers.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let ports = ports.len();
        let mut testpmd =
            Testpmd { process, commands, output, text: String::new(), command, ports, received: 0 };
        testpmd.until("testpmd> ", 1)?;
        Ok(testpmd)
    }

    /// As a person would start it.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Packets a second that all ports received, by its own clock, with warm-up and window as long as for
    /// [`crate::child::Child::window`].
    pub fn measure(&mut self, forward: Forward, options: &Options) -> Result<f64, String> {
        let mode = match forward {
            Forward::Io => "io",
            Forward::Macswap => "macswap",
        };
        self.say(&format!("set fwd {mode}"))?;
        self.until("packet forwarding mode", 1)?;
        self.counters()?;
        self.say("start")?;
        let frames = u64::from(replay_frames(options));
        self.window(WARM_UP, frames)?;
        let rate = self.window(Duration::from_secs_f64(options.duration), PASSES * frames)?;
        self.say("stop")?;
        self.until("Done.", 1)?;
        Ok(rate)
    }

    /// Packets a second over some time, and longer until so many have come.
    fn window(&mut self, time: Duration, frames: u64) -> Result<f64, String> {
        let end = Instant::now() + PATIENCE;
        let (mut packets, mut seconds) = (0, 0.0);
        let mut pause = time;
        loop {
            thread::sleep(pause);
            let before = self.received;
            let rate = self.counters()?;
            let came = self.received - before;
            if came == 0 || rate == 0.0 || Instant::now() > end {
                return Err("dpdk-testpmd forwarded nothing, or too little".into());
            }
            packets += came;
            seconds += came as f64 / rate;
            if packets >= frames {
                return Ok(packets as f64 / seconds);
            }
            pause = LOOK;
        }
    }

    /// Received packets a second of all ports since the last call.
    fn counters(&mut self) -> Result<f64, String> {
        self.say("show port stats all")?;
        let text = self.until("Tx-pps:", self.ports)?;
        self.received = sum(&text, "RX-packets:") as u64;
        Ok(sum(&text, "Rx-pps:"))
    }

    fn say(&mut self, command: &str) -> Result<(), String> {
        writeln!(self.commands, "{command}").map_err(|error| format!("dpdk-testpmd: {error}"))
    }

    /// What it prints until `mark` has come `times` times.
    fn until(&mut self, mark: &str, times: usize) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some((at, _)) = self.text.match_indices(mark).nth(times - 1) {
                let rest = self.text.split_off(at + mark.len());
                return Ok(std::mem::replace(&mut self.text, rest));
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("dpdk-testpmd did not say \"{mark}\": {}", self.tail()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("`{}` ended: {}", self.command, self.tail()));
                }
            }
        }
    }

    fn tail(&self) -> String {
        let from = self.text.len().saturating_sub(600);
        self.text.get(from..).unwrap_or_default().to_string()
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn arguments(options: &Options, ports: &[String]) -> Result<Vec<String>, String> {
    let workers = worker_cpus(options.nb_cores)?;
    // Its main thread only reads commands; it shares the first CPU if all are taken.
    let mut lcores = String::from("--lcores=0@0");
    for (index, cpu) in workers.iter().enumerate() {
        lcores += &format!(",{}@{cpu}", index + 1);
    }
    let mut list = vec![lcores];
    list.extend(memory(options));
    list.extend(["--no-pci", "--no-telemetry", "--iova-mode=va"].map(String::from));
    list.extend(ports.iter().map(|port| format!("--vdev={port}")));
    list.extend(["--", "-i", "--forward-mode=io"].map(String::from));
    // One port sends what it receives itself, two send what the other receives.
    let topology = if options.mode == Mode::Local { "loop" } else { "paired" };
    list.push(format!("--port-topology={topology}"));
    list.push(format!("--burst={}", options.burst));
    list.push(format!("--rxd={0}", options.descriptors));
    list.push(format!("--txd={0}", options.descriptors));
    list.push(format!("--rxq={0}", options.rx_queues()));
    list.push(format!("--txq={0}", options.rx_queues()));
    list.push(format!("--mbuf-size={}", options.mbuf_size()));
    list.push(format!("--total-num-mbufs={}", mbufs(options)));
    list.push("--mbcache=256".into());
    list.push(format!("--nb-cores={}", options.nb_cores));
    Ok(list)
}

/// EAL's memory: huge pages where the product takes them, plain memory where it does not.
fn memory(options: &Options) -> Vec<String> {
    let own = options.plain_eal();
    if own.iter().any(|word| word == "--no-huge") {
        let need = crate::memory::process_mib(options).to_string();
        let list = ["--no-huge", "--no-shconf", "-m", &need];
        return list.map(String::from).to_vec();
    }
    vec!["--in-memory".into()]
}

/// Sum of the figures behind `name`.
fn sum(text: &str, name: &str) -> f64 {
    text.split(name)
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_all_ports_are_added() {
        let text = "port 0\n  Rx-pps:            5          Rx-bps:            0\n  Tx-pps:     168\n\
                    port 1\n  Rx-pps:     17412849          Rx-bps:   8358167976\n  Tx-pps:";
        assert_eq!(sum(text, "Rx-pps:"), 17_412_854.0);
        assert_eq!(sum("testpmd> ", "Rx-pps:"), 0.0);
    }

    #[test]
    fn the_command_has_the_same_burst_buffers_and_queues() {
        let words = ["x", "--no-huge", "--", "--mbuf-size", "384", "--burst", "16"];
        let options = Options::from_words(&words.map(String::from)).unwrap();
        let list = arguments(&options, &["net_null0,no-rx=1".into()]).unwrap().join(" ");
        for part in ["--mbuf-size=384", "--burst=16", "--rxd=1024", "--vdev=net_null0,no-rx=1"] {
            assert!(list.contains(part), "{part} in {list}");
        }
        assert!(list.contains("--no-huge --no-shconf -m "), "{list}");
    }
}
