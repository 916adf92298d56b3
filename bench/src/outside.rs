//! The check from outside: `vrouterd run` with static routes on the ports of a run, watched by `vrctl` alone, against what this
//! program says of the same.

use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::child::{Child, WARM_UP, signal};
use crate::contest::{Series, cycles};
use crate::files::{self, Scratch};
use crate::forward::mbufs;
use crate::memory::HugePages;
use crate::operator;
use crate::options::{Mode, Options};
use crate::plane::worker_cpus;
use crate::summary::{Entry, Figures};
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(30);
/// How far the two may be apart.
const APART: f64 = 0.15;

/// Rounds of `vrouterd` and of this program in turn.
pub fn run(options: &Options) -> Result<Entry, String> {
    println!("# outside ...");
    compare(options).map_err(|error| format!("outside: {error}"))
}

fn compare(options: &Options) -> Result<Entry, String> {
    let mut options = Options {
        mode: Mode::Encap,
        against: None,
        vrfs: 1,
        routes: 1000,
        flows: 1000,
        instances: None,
        ..options.clone()
    };
    let scratch = Scratch::new().map_err(|error| error.to_string())?;
    let directory = scratch.part("profile").map_err(|error| error.to_string())?;
    let world = World::new((&options).into());
    files::write(&options, &world, &directory).map_err(|error| format!("replay files: {error}"))?;
    let (_pages, _) = HugePages::for_processes(&mut options, 2);
    let product = Product::start(&options, &world, &directory)?;
    product.signal("STOP")?;
    let (mut ours, ready) = Child::forwarding(&options, &directory)?;
    ours.pause()?;
    let time = Duration::from_secs_f64(options.duration);
    let (mut inside, mut outside) = (Series::default(), Series::default());
    for _ in 0..options.rounds {
        ours.resume()?;
        let window = ours.window(&options)?;
        ours.pause()?;
        inside.0.push(ready.hz as f64 / cycles(&options, &window)? / 1e6);
        product.signal("CONT")?;
        thread::sleep(WARM_UP);
        outside.0.push(product.rate(time)? / 1e6);
        product.signal("STOP")?;
    }
    let mut entry = Entry {
        profile: "outside".into(),
        figures: Figures { mpps: outside.median(), ..Figures::of(&options, &outside) },
        note: format!(
            "vrouterd, by port counters of vrctl over wall clock: {:.2} Mpps; vrouter-bench {:.2} Mpps",
            outside.median(),
            inside.median()
        ),
        ..Entry::default()
    };
    let apart = (outside.median() / inside.median() - 1.0).abs();
    entry.judge("difference of the rates", apart, APART);
    Ok(entry)
}

/// A running `vrouterd`.
struct Product {
    process: Process,
    vrctl: PathBuf,
    socket: PathBuf,
}

impl Product {
    fn start(options: &Options, world: &World, directory: &Path) -> Result<Product, String> {
        let ports = files::ports(options, directory);
        let cpus = worker_cpus(options.nb_cores)?;
        let eal: Vec<String> = options.plain_eal();
        let text = format!(
            "{}\n[dataplane]\nworkers = {cpus:?}\nburst = {}\ndescriptors = {}\nmbufs = {}\neal = {eal:?}\n",
            operator::config(world, &ports, directory, true),
            options.burst,
            options.descriptors,
            mbufs(options),
        );
        let file = directory.join("vrouterd.toml");
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let log = directory.join("vrouterd.log");
        let out = std::fs::File::create(&log).map_err(|error| error.to_string())?;
        let process = Command::new(beside("vrouterd")?)
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .map_err(|error| format!("vrouterd: {error}"))?;
        let socket = directory.join("api.sock");
        let mut product = Product { process, vrctl: beside("vrctl")?, socket };
        product.ready().map_err(|error| {
            format!("{error}\n{}", std::fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(product)
    }

    fn ready(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("vrouterd ended: {status}"));
            }
            let status = self.ask(&["status"]);
            if status.is_ok_and(|status| status["ready"] == true) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(format!("vrouterd was not ready within {} s", PATIENCE.as_secs()))
    }

    fn ask(&self, words: &[&str]) -> Result<Value, String> {
        let output = Command::new(&self.vrctl)
            .arg("--socket")
            .arg(&self.socket)
            .args(words)
            .arg("--json")
            .output()
            .map_err(|error| format!("vrctl: {error}"))?;
        // `status` of a node that is not ready ends with 4, and says why.
        serde_json::from_slice(&output.stdout).map_err(|error| format!("vrctl: {error}"))
    }

    /// Packets a second that left on the fabric port.
    fn rate(&self, time: Duration) -> Result<f64, String> {
        let sent = || -> Result<(Instant, u64), String> {
            let ports = self.ask(&["port", "list"])?;
            let rows = ports.as_array().ok_or("vrctl port list: no rows")?;
            let row = rows.iter().find(|row| row["name"] == "fabric");
            let count = row.and_then(|row| row["tx_packets"].as_u64());
            Ok((Instant::now(), count.ok_or("vrctl port list: no port fabric")?))
        };
        let (start, before) = sent()?;
        thread::sleep(time);
        let (end, after) = sent()?;
        Ok((after - before) as f64 / (end - start).as_secs_f64())
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        signal(self.process.id(), name)
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.signal("CONT");
        let _ = self.signal("TERM");
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program of the same build.
fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not built: cargo build --release -p vrouter-agent -p vrctl", path.display()))
}
