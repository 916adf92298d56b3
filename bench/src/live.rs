//! Real ports: what arrives is forwarded, and statistics are printed as testpmd prints them, so that a generator outside can
//! drive this program.

use std::time::{Duration, Instant};

use crate::forward::{self, Window, fill};
use crate::loops::Loops;
use crate::options::Options;
use crate::plane::{Plane, PortCounts};
use crate::world::World;

/// Buffers where nothing is replayed.
const MBUFS: u32 = 32_767;

/// Forwards for `--rounds` times `--duration`.
pub fn run(options: &Options) -> Result<(), String> {
    let devices = options.devices();
    if options.mode.is_plain() {
        let mut loops = Loops::start(options, &devices, MBUFS)?;
        return statistics(options, &mut loops);
    }
    let [_, _] = devices[..] else {
        return Err(format!(
            "{} devices: --mode {} needs two, the fabric port first, then the gateway port",
            devices.len(),
            options.mode.name()
        ));
    };
    let mut plane = Plane::start(options, &devices, MBUFS * u32::from(options.nb_cores))?;
    let seconds = fill(&mut plane, &World::new(options.into()))?;
    println!("tables loaded in {seconds:.2} s");
    let result = statistics(options, &mut plane);
    plane.stop();
    result
}

/// Something that forwards and counts.
trait Forwarder {
    /// What happens in some time.
    fn window(&mut self, time: Duration) -> Window;
    /// What the ports counted from their start.
    fn ports(&mut self) -> Result<Vec<PortCounts>, String>;
}

impl Forwarder for Plane {
    fn window(&mut self, time: Duration) -> Window {
        forward::window(self, time, 0)
    }

    fn ports(&mut self) -> Result<Vec<PortCounts>, String> {
        Plane::ports(self)
    }
}

impl Forwarder for Loops {
    fn window(&mut self, time: Duration) -> Window {
        Loops::window(self, time, 0)
    }

    fn ports(&mut self) -> Result<Vec<PortCounts>, String> {
        Ok(Loops::ports(self))
    }
}

fn statistics(options: &Options, forwarder: &mut impl Forwarder) -> Result<(), String> {
    let total = Duration::from_secs_f64(options.duration * f64::from(options.rounds));
    let end = Instant::now() + total;
    let period = match options.stats_period {
        0.0 => total,
        seconds => Duration::from_secs_f64(seconds),
    };
    let mut before = forwarder.ports()?;
    loop {
        let start = Instant::now();
        let left = end.saturating_duration_since(start);
        if left.is_zero() {
            return Ok(());
        }
        let window = forwarder.window(period.min(left));
        let ports = forwarder.ports()?;
        let seconds = start.elapsed().as_secs_f64();
        if options.json {
            forward::say(&(&ports, &window))?;
        } else {
            println!("{}", text(&ports, &before, &window, seconds));
        }
        before = ports;
    }
}

/// Port and forward statistics in the words of testpmd.
fn text(ports: &[PortCounts], before: &[PortCounts], window: &Window, seconds: f64) -> String {
    let mut lines = Vec::new();
    for (index, (port, old)) in ports.iter().zip(before).enumerate() {
        let rate = |now: u64, old: u64| (now.saturating_sub(old)) as f64 / seconds;
        lines.push(format!(
            "  ######################## NIC statistics for port {index}  ########################\n  \
             RX-packets: {:<10} RX-missed: {:<10} RX-bytes:  {}\n  RX-errors: {}\n  RX-nombuf:  {}\n  \
             TX-packets: {:<10} TX-errors: {:<10} TX-bytes:  {}\n\n  Throughput (since last show)\n  \
             Rx-pps: {:>12.0}          Rx-bps: {:>12.0}\n  Tx-pps: {:>12.0}          Tx-bps: {:>12.0}",
            port.rx_packets,
            port.missed,
            port.rx_bytes,
            port.rx_errors,
            port.no_mbuf,
            port.tx_packets,
            port.tx_errors,
            port.tx_bytes,
            rate(port.rx_packets, old.rx_packets),
            rate(port.rx_bytes, old.rx_bytes) * 8.0,
            rate(port.tx_packets, old.tx_packets),
            rate(port.tx_bytes, old.tx_bytes) * 8.0,
        ));
    }
    let drops: u64 = window.drops.iter().map(|(_, count)| count).sum();
    lines.push(format!(
        "  Forward statistics (since last show)\n  RX-packets: {} TX-packets: {} dropped: {drops} \
         packets/burst: {:.1}",
        window.received,
        window.sent,
        window.received as f64 / window.bursts.max(1) as f64
    ));
    lines.extend(
        window.drops.iter().map(|(reason, count)| format!("  dropped as {reason}: {count}")),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_period_and_counts_of_all_time() {
        let counts =
            |rx_packets| PortCounts { rx_packets, rx_bytes: rx_packets * 60, ..Default::default() };
        let drops = vec![("unknown-vlan".to_string(), 7)];
        let window = Window { received: 64, bursts: 2, drops, ..Window::default() };
        let text = text(&[counts(3000)], &[counts(1000)], &window, 2.0);
        let has = |part: &str| assert!(text.contains(part), "{part} in {text}");
        has("RX-packets: 3000");
        has("Rx-pps:         1000");
        has("Rx-bps:       480000");
        has("dropped: 7 packets/burst: 32.0");
        has("dropped as unknown-vlan: 7");
    }
}
