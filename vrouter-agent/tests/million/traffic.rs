//! What the worker forwards, and the judge of all that leaves it.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use vrouter_agent::load::Route;

/// A packet of the replayed file, and the route that it must take.
#[derive(Clone, Debug)]
pub struct Probe {
    pub vrf: u32,
    pub destination: Ipv4Addr,
    pub route: Route,
    /// Its route stays; that of others comes and goes.
    pub stays: bool,
}

impl Probe {
    /// The frame as the instance sends it; `number` says where it stands in the file.
    fn frame(&self, number: u16) -> Vec<u8> {
        let [high, low] = (self.vrf as u16).to_be_bytes();
        let mut f = vec![0u8; 64];
        f[..6].copy_from_slice(&wire::Mac::GATEWAY.0);
        f[6..12].copy_from_slice(&[2, 0, 0, 1, high, low]);
        f[12..14].copy_from_slice(&[0x81, 0]);
        f[14..16].copy_from_slice(&((self.vrf + 1) as u16).to_be_bytes());
        f[16..18].copy_from_slice(&[8, 0]);
        let ip = &mut f[18..38];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&46u16.to_be_bytes());
        ip[4..6].copy_from_slice(&number.to_be_bytes());
        ip[8] = 64;
        ip[9] = 17;
        ip[12..16].copy_from_slice(&[10, 1, 0, 7]);
        ip[16..20].copy_from_slice(&self.destination.octets());
        let sum: u32 = ip.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        f
    }

    /// Whether a frame leaves through the tunnel of the route, with its label, for the right destination.
    fn goes_right(&self, frame: &[u8]) -> bool {
        let (outer, inner) = (&frame[14..34], &frame[46..]);
        let label = u32::from_be_bytes([frame[42], frame[43], frame[44], frame[45]]) >> 12;
        outer[16..20] == self.route.pe.octets()
            && frame[36..38] == 6635u16.to_be_bytes()
            && label == self.route.label.value()
            && inner[16..20] == self.destination.octets()
    }
}

/// Writes the file that a port replays for ever.
pub fn write(path: &Path, probes: &[Probe]) {
    let mut out = std::io::BufWriter::new(File::create(path).unwrap());
    let header: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65535, 1];
    header.iter().for_each(|word| out.write_all(&word.to_le_bytes()).unwrap());
    for (number, probe) in (0..).zip(probes) {
        let frame = probe.frame(number);
        let record = [0, 0, frame.len() as u32, frame.len() as u32];
        record.iter().for_each(|word| out.write_all(&word.to_le_bytes()).unwrap());
        out.write_all(&frame).unwrap();
    }
}

/// Reads every packet that leaves, from a named pipe that the port writes as a capture.
///
/// The worker keeps the order of the file, so that what is missing between two packets was dropped. A packet whose route stays is
/// never missing. One whose route comes is missing until it is there for the first time, and never after; one whose route
/// goes is there until it is missing for the first time, and never after.
pub struct Judge {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Drops are judged too.
    strict: AtomicBool,
    /// Routes go; they come otherwise.
    going: AtomicBool,
    /// Packets that left.
    seen: AtomicU64,
    /// Packets that are missing between them.
    missing: AtomicU64,
    /// Packets of routes that come and go which left.
    fleeting: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// Where the port writes.
pub struct Pipe {
    path: PathBuf,
    /// As if somebody read: the port opens it without waiting.
    open: File,
}

impl Pipe {
    pub fn new(path: PathBuf) -> Pipe {
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let open = File::options().read(true).write(true).open(&path).unwrap();
        Pipe { path, open }
    }
}

impl Judge {
    /// Begins to read what the port writes, which has opened the pipe.
    pub fn of(pipe: Pipe, probes: Vec<Probe>) -> Judge {
        let capture = File::open(&pipe.path).unwrap();
        drop(pipe.open);
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = thread::spawn(move || judge(capture, &probes, &told));
        Judge { shared, thread }
    }

    /// From now on drops are judged, of packets whose routes come.
    pub fn strict(&self) {
        self.shared.strict.store(true, Ordering::SeqCst);
    }

    /// From now on routes go, or come. Everything that left before must have been judged.
    pub fn going(&self, going: bool) {
        self.shared.going.store(going, Ordering::SeqCst);
    }

    /// Packets judged so far.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// Packets found missing so far.
    pub fn missing(&self) -> u64 {
        self.shared.missing.load(Ordering::SeqCst)
    }

    /// Packets so far that left by a route that comes and goes.
    pub fn fleeting(&self) -> u64 {
        self.shared.fleeting.load(Ordering::SeqCst)
    }

    /// Fails if something went wrong.
    pub fn content(&self) {
        let wrong = self.shared.wrong.lock().unwrap();
        assert!(
            wrong.is_empty(),
            "{} packets at least went wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }

    /// All that left, once the port is closed.
    pub fn end(self) -> u64 {
        self.thread.join().unwrap();
        let wrong = self.shared.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.shared.seen.load(Ordering::SeqCst)
    }
}

fn judge(capture: File, probes: &[Probe], shared: &Shared) {
    let mut capture = BufReader::with_capacity(1 << 18, capture);
    capture.read_exact(&mut [0; 24]).unwrap();
    let mut there = vec![false; probes.len()];
    let mut next = None;
    let (mut record, mut frame) = ([0; 16], [0; 2048]);
    while capture.read_exact(&mut record).is_ok() {
        let length = u32::from_le_bytes([record[8], record[9], record[10], record[11]]) as usize;
        let frame = &mut frame[..length];
        if capture.read_exact(frame).is_err() {
            break;
        }
        let wrong = |text: String| {
            let mut all = shared.wrong.lock().unwrap();
            if all.len() < 10 {
                all.push(text);
            }
        };
        let number = usize::from(u16::from_be_bytes([frame[50], frame[51]]));
        let Some(probe) = probes.get(number).filter(|probe| probe.goes_right(frame)) else {
            wrong(format!("{number} of {:?}, as {frame:02x?}", probes.get(number)));
            continue;
        };
        let going = shared.going.load(Ordering::SeqCst);
        if shared.strict.load(Ordering::SeqCst) {
            let mut at = next.unwrap_or(number);
            while at != number {
                shared.missing.fetch_add(1, Ordering::Relaxed);
                if probes[at].stays || there[at] && !going {
                    wrong(format!("{at} is missing: {:?}", probes[at]));
                }
                there[at] = false;
                at = (at + 1) % probes.len();
            }
            if !probe.stays && !there[number] && going {
                wrong(format!("{number} is there again: {probe:?}"));
            }
            there[number] = true;
            next = Some((number + 1) % probes.len());
        }
        shared.fleeting.fetch_add(u64::from(!probe.stays), Ordering::Relaxed);
        shared.seen.fetch_add(1, Ordering::SeqCst);
    }
}
