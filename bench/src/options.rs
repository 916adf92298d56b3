//! What a run is asked for: the words of testpmd where it has them.

use clap::{Parser, ValueEnum};
use engine::seam::Encapsulation;
use wire::Mac;

/// Ethernet frame check sequence, bytes: the names of frame sizes count it, as testpmd's do; buffers and files do not.
pub const FCS: usize = 4;

/// Measures the data plane: the product's own workers, pipeline and tables between two ports.
///
/// EAL options come first, then `--`, then these. Without a device (`-a`, `--vdev`) the ports are replay files made for the
/// run; with devices, the first is the fabric port and the second the gateway port, and what arrives is forwarded.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "vrouter-bench",
    version,
    override_usage = "vrouter-bench [EAL options] -- [options]"
)]
pub struct Options {
    /// What is done with a packet.
    #[arg(long, value_enum, default_value_t = Mode::Encap)]
    pub mode: Mode,
    /// How packets travel to other PEs.
    #[arg(long, value_enum, default_value_t = Encap::Udp)]
    pub encap: Encap,
    /// IP version of the inner packets.
    #[arg(long, value_enum, default_value_t = Family::V4)]
    pub family: Family,
    /// Frame on the side of the instances, bytes with FCS; `imix` is 7 of 64, 4 of 570 and 1 of 1518.
    #[arg(long, value_enum, default_value_t = Frame::Small)]
    pub frame: Frame,
    /// Flows, spread evenly over routes and instances, in shuffled order.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub flows: u32,
    /// VRFs.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub vrfs: u16,
    /// Routes into tunnels, over all VRFs.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub routes: u32,
    /// Instances, one VLAN each [default: one per VRF; two for `--mode local`].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub instances: Option<u16>,
    /// Packets per burst, of both sides; the product's own default.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub burst: u16,
    /// Descriptors per queue.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(64..=16384))]
    pub descriptors: u16,
    /// Bytes of a packet buffer, headroom of 128 included [default: what the frames need, at least 2176].
    #[arg(long, value_parser = clap::value_parser!(u16).range(256..=16512))]
    pub mbuf_size: Option<u16>,
    /// Workers, one CPU each: the last ones that the process may use.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub nb_cores: u16,
    /// Receive queues (and transmit queues) of a port [default: one per worker].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub rx_queues: Option<u16>,
    /// Route changes a second while forwarding.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub churn: u32,
    /// Seconds per round; with real ports the run takes as many rounds, in one.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub duration: f64,
    /// Rounds of each program, in turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1001))]
    pub rounds: u32,
    /// Seconds between statistics with real ports; 0 prints them at the end alone.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub stats_period: f64,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Runs this program on the same files, in turn, and prints net cost and ratios.
    #[arg(long, value_enum)]
    pub against: Option<Rival>,
    /// MAC of the fabric's next hop, for real ports.
    #[arg(long, value_parser = mac)]
    pub eth_peer: Option<Mac>,
    /// Seed of prefixes, flows and their order.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Compares output with the oracle and times nothing.
    #[arg(long)]
    pub check_only: bool,
    /// Runs the standard profiles and writes summary.json, a table and charts to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub standard: Option<std::path::PathBuf>,
    /// With `--standard`: only these profiles, such as `hot,mid`.
    #[arg(long, value_delimiter = ',', requires = "standard")]
    pub only: Vec<String>,
    /// Times nothing: sends `--packets` packets of one path over heap buffers, for an instruction counter.
    #[arg(long, value_enum)]
    pub ir: Option<crate::ir::Path>,
    /// Packets for `--ir`.
    #[arg(long, default_value_t = 64_000, value_parser = clap::value_parser!(u32).range(64..))]
    pub packets: u32,
    /// Breaks the pipeline, to show that this program notices.
    #[cfg(feature = "fault-injection")]
    #[arg(long, value_enum)]
    pub fault: Option<Fault>,
    /// The part that this process plays in a run.
    #[arg(long, hide = true, value_enum)]
    pub part: Option<Part>,
    /// Directory with the files of the run.
    #[arg(long, hide = true)]
    pub files: Option<std::path::PathBuf>,
    /// Every n-th burst is timed by pass.
    #[arg(long, hide = true, default_value_t = 0)]
    pub sample_bursts: u32,
    /// Options for EAL, as given before `--`.
    #[arg(skip)]
    pub eal: Vec<String>,
}

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// VLAN in on the gateway port, tunnel out on the fabric port.
    Encap,
    /// Tunnel in, route lookup in the VRF of the label, VLAN out.
    Decap,
    /// Both at once.
    Both,
    /// VLAN in, another VLAN out on the same port.
    Local,
    /// Nothing: sent on the other port as it came.
    Io,
    /// Source and destination MAC change places; sent on the other port.
    Macswap,
}

impl Mode {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Encap => "encap",
            Mode::Decap => "decap",
            Mode::Both => "both",
            Mode::Local => "local",
            Mode::Io => "io",
            Mode::Macswap => "macswap",
        }
    }

    /// Whether the product's pipeline is not in it.
    pub const fn is_plain(self) -> bool {
        matches!(self, Mode::Io | Mode::Macswap)
    }
}

/// How packets travel to other PEs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encap {
    /// MPLSoUDP.
    Udp,
    /// MPLSoGRE.
    Gre,
}

impl Encap {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Encap::Udp => "udp",
            Encap::Gre => "gre",
        }
    }
}

impl From<Encap> for Encapsulation {
    fn from(encap: Encap) -> Encapsulation {
        match encap {
            Encap::Udp => Encapsulation::MplsOverUdp,
            Encap::Gre => Encapsulation::MplsOverGre,
        }
    }
}

/// IP version of the inner packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

impl Family {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Family::V4 => "4",
            Family::V6 => "6",
        }
    }
}

/// Frames on the side of the instances, one 802.1Q tag and the FCS included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Frame {
    /// 64 bytes; with IPv6 inside 70, as its headers need them.
    #[value(name = "64")]
    Small,
    /// 7 of 64, 4 of 570, 1 of 1518 bytes.
    Imix,
    /// 1500 bytes.
    #[value(name = "1500")]
    Large,
    /// 9000 bytes.
    #[value(name = "9000")]
    Jumbo,
}

impl Frame {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Frame::Small => "64",
            Frame::Imix => "imix",
            Frame::Large => "1500",
            Frame::Jumbo => "9000",
        }
    }

    /// Bytes of the n-th frame without FCS.
    pub const fn length(self, number: u32) -> usize {
        let with_fcs = match self {
            Frame::Small => 64,
            Frame::Imix => match number % 12 {
                0..=6 => 64,
                7..=10 => 570,
                _ => 1518,
            },
            Frame::Large => 1500,
            Frame::Jumbo => 9000,
        };
        with_fcs - FCS
    }

    /// The longest of them.
    pub const fn longest(self) -> usize {
        self.length(11)
    }
}

/// A program to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// `dpdk-testpmd`, forwarding `io` and `macswap`.
    Testpmd,
}

/// The part that a process plays in a run; the first one has none and directs the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The product, or this program's own io and macswap.
    Forward,
    /// The product, for its output to be compared.
    Check,
    /// The product with several workers, for the order of its output to be looked at.
    Order,
    /// The product with pairs of paths, of which one is lost.
    Pic,
    /// The product, filled by the agent's compiler.
    Load,
}

/// A way in which the pipeline is made wrong.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Another label than the route's.
    WrongLabel,
    /// Outer IPv4 checksum off by one.
    WrongChecksum,
    /// Any source address passes.
    SkippedSourceCheck,
    /// A tenth more instructions, or more.
    Slow,
}

#[cfg(feature = "fault-injection")]
impl From<Fault> for engine::fault::Fault {
    fn from(fault: Fault) -> engine::fault::Fault {
        match fault {
            Fault::WrongLabel => engine::fault::Fault::WrongLabel,
            Fault::WrongChecksum => engine::fault::Fault::WrongChecksum,
            Fault::SkippedSourceCheck => engine::fault::Fault::SkippedSourceCheck,
            Fault::Slow => engine::fault::Fault::Slow,
        }
    }
}

impl Options {
    /// Takes the command line apart: what stands before `--` is EAL's, where there is a `--`.
    pub fn from_command_line() -> Options {
        let words: Vec<String> = std::env::args().collect();
        Options::from_words(&words).unwrap_or_else(|error| error.exit())
    }

    /// As [`Options::from_command_line`], from `words`, the program's name first.
    pub fn from_words(words: &[String]) -> Result<Options, clap::Error> {
        let split = words.iter().position(|word| word == "--");
        let eal = split.map_or(&[][..], |split| &words[1..split]).to_vec();
        let own = split.map_or(&words[1.min(words.len())..], |split| &words[split + 1..]);
        let name = std::iter::once("vrouter-bench");
        let mut options = Options::try_parse_from(name.chain(own.iter().map(String::as_str)))?;
        options.eal = eal;
        options.validate().map_err(|message| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{message}\n"))
        })?;
        Ok(options)
    }

    fn validate(&self) -> Result<(), String> {
        let least =
            if self.mode == Mode::Local { 2 * u32::from(self.vrfs) } else { self.vrfs.into() };
        if u32::from(self.instances()) < least {
            return Err(format!(
                "--instances {}: {} VRFs need {least} of them{}",
                self.instances(),
                self.vrfs,
                if self.mode == Mode::Local { ", two to talk to each other in each" } else { "" }
            ));
        }
        if self.routes < u32::from(self.vrfs) {
            return Err(format!("--routes {}: fewer than the {} VRFs", self.routes, self.vrfs));
        }
        let room = usize::from(self.mbuf_size()) - usize::from(dpdk::HEADROOM);
        if room < self.longest_frame() {
            return Err(format!(
                "--mbuf-size {}: leaves {room} bytes after the headroom, the frames need {}",
                self.mbuf_size(),
                self.longest_frame()
            ));
        }
        if self.against.is_some() && !self.devices().is_empty() {
            return Err(
                "--against: two programs cannot share a device; leave out -a and --vdev".into()
            );
        }
        if self.rx_queues() > self.nb_cores && self.mode.is_plain() {
            return Err("--rx-queues: more than --nb-cores has nobody to poll it".into());
        }
        Ok(())
    }

    /// Instances, given or not.
    pub fn instances(&self) -> u16 {
        let each = if self.mode == Mode::Local { 2 } else { 1 };
        self.instances.unwrap_or(self.vrfs.saturating_mul(each))
    }

    /// Queues of a port in each direction.
    pub fn rx_queues(&self) -> u16 {
        self.rx_queues.unwrap_or(self.nb_cores)
    }

    /// The longest frame on any port, bytes without FCS.
    pub fn longest_frame(&self) -> usize {
        // On the fabric the tag goes and Ethernet stays: 32 bytes for the outer headers.
        crate::frames::inner_length(self.family, self.frame.longest()) + 14 + 32
    }

    /// Bytes of a packet buffer with its headroom.
    pub fn mbuf_size(&self) -> u16 {
        let wanted = (self.longest_frame() + 8).next_multiple_of(1024).max(2048);
        self.mbuf_size.unwrap_or(wanted as u16 + dpdk::HEADROOM)
    }

    /// The devices named before `--`, fabric port first, as the configuration of the product writes them.
    pub fn devices(&self) -> Vec<String> {
        self.eal_apart().0
    }

    /// The rest of EAL's options.
    pub fn plain_eal(&self) -> Vec<String> {
        self.eal_apart().1
    }

    fn eal_apart(&self) -> (Vec<String>, Vec<String>) {
        let (mut devices, mut rest) = (Vec::new(), Vec::new());
        let mut words = self.eal.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (word.as_str(), None),
            };
            let prefix = match name {
                "-a" | "--allow" => "",
                "--vdev" => "vdev:",
                _ => {
                    rest.push(word.clone());
                    continue;
                }
            };
            if let Some(value) = value.or_else(|| words.next().cloned()) {
                devices.push(format!("{prefix}{value}"));
            }
        }
        (devices, rest)
    }

    /// The options of a child with another part: its own world, from the same numbers.
    pub fn to_words(&self, part: Part, files: &std::path::Path) -> Vec<String> {
        let name = |part: Part| part.to_possible_value().map(|value| value.get_name().to_string());
        let mut words = self.plain_eal();
        words.push("--".into());
        let mut add = |option: &str, value: String| words.extend([format!("--{option}"), value]);
        add("mode", self.mode.name().into());
        add("encap", self.encap.name().into());
        add("family", self.family.name().into());
        add("frame", self.frame.name().into());
        add("flows", self.flows.to_string());
        add("vrfs", self.vrfs.to_string());
        add("routes", self.routes.to_string());
        add("instances", self.instances().to_string());
        add("burst", self.burst.to_string());
        add("descriptors", self.descriptors.to_string());
        add("mbuf-size", self.mbuf_size().to_string());
        add("nb-cores", self.nb_cores.to_string());
        add("rx-queues", self.rx_queues().to_string());
        add("churn", self.churn.to_string());
        add("seed", self.seed.to_string());
        add("sample-bursts", self.sample_bursts.to_string());
        add("files", files.display().to_string());
        add("part", name(part).unwrap_or_default());
        #[cfg(feature = "fault-injection")]
        if let Some(fault) = self.fault.and_then(|fault| fault.to_possible_value()) {
            add("fault", fault.get_name().to_string());
        }
        words
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value),
        _ => Err("a number of seconds from 0 to 86400".into()),
    }
}

fn mac(text: &str) -> Result<Mac, String> {
    text.parse().map_err(|_| "a MAC such as 02:00:00:00:00:01".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        Options::from_words(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn eal_options_and_devices_stand_before_the_dashes() {
        let options = parse(
            "vrouter-bench -l 0,1 -a 0000:3b:00.0 --vdev=net_null0,no-rx=1 --no-huge -- --mode decap",
        )
        .unwrap();
        assert_eq!(options.devices(), ["0000:3b:00.0", "vdev:net_null0,no-rx=1"]);
        assert_eq!(options.plain_eal(), ["-l", "0,1", "--no-huge"]);
        assert_eq!(options.mode, Mode::Decap);
        assert!(parse("vrouter-bench --mode both").unwrap().eal.is_empty());
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_the_reason() {
        for (text, reason) in [
            ("x --vrfs 10 --instances 9", "10 VRFs need 10"),
            ("x --mode local --vrfs 10 --instances 19", "two to talk to each other"),
            ("x --vrfs 10 --routes 9", "fewer than the 10 VRFs"),
            ("x --frame 1500 --mbuf-size 384", "leaves 256 bytes"),
            ("x -a 3b:00.0 -- --against testpmd", "cannot share a device"),
            ("x --duration -1", "unexpected argument"),
            ("x --duration 1e9", "from 0 to 86400"),
            ("x --burst 65", "65"),
            ("x --instances 4095", "4095"),
            ("x --mode sideways", "sideways"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_child_gets_the_same_world() {
        let options =
            parse("x --no-huge -- --mode both --family 6 --vrfs 7 --flows 9 --seed 3").unwrap();
        let words = options.to_words(Part::Check, std::path::Path::new("/tmp/x"));
        let words: Vec<String> = std::iter::once("x".into()).chain(words).collect();
        let child = Options::from_words(&words).unwrap();
        assert_eq!(child.part, Some(Part::Check));
        assert_eq!((child.mode, child.family, child.vrfs), (Mode::Both, Family::V6, 7));
        assert_eq!((child.flows, child.seed, child.eal), (9, 3, vec!["--no-huge".to_string()]));
    }

    #[test]
    fn imix_is_seven_four_one() {
        let lengths: Vec<usize> = (0..12).map(|n| Frame::Imix.length(n)).collect();
        assert_eq!(lengths.iter().filter(|length| **length == 60).count(), 7);
        assert_eq!(lengths.iter().filter(|length| **length == 566).count(), 4);
        assert_eq!(lengths.iter().filter(|length| **length == 1514).count(), 1);
    }
}
