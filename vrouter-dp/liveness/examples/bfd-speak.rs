//! One BFD session over one hop, for the lab: what happens to it is printed, one line each.
//!
//! ```text
//! bfd-speak --local 192.0.2.1 --peer 192.0.2.4 --interval 50 --multiplier 3
//! disable | enable | interval MILLISECONDS | quit      by lines on standard input
//! ```

use std::error::Error;
use std::io::{self, BufRead, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use liveness::bfd::{Config, Outcome, Session};
use socket2::{Domain, Protocol, Socket, Type};
use wire::bfd::{Bfd, SINGLE_HOP};
use zerocopy::IntoBytes;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let (mut local, mut peer, mut interval, mut multiplier) = (None, None, 50u32, 3u8);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match option.as_str() {
            "--local" => local = Some(value.parse::<IpAddr>()?),
            "--peer" => peer = Some(value.parse::<IpAddr>()?),
            "--interval" => interval = value.parse()?,
            "--multiplier" => multiplier = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let (local, peer) = (local.ok_or("--local is missing")?, peer.ok_or("--peer is missing")?);
    // RFC 5881 4, 5: to port 3784 from one of 49152-65535, with a TTL of 255.
    let heard = socket(SocketAddr::new(local, SINGLE_HOP))?;
    let spoken = socket(SocketAddr::new(local, 49_152))?;
    let interval = NonZeroU32::new(interval * 1000).ok_or("an interval of 0")?;
    let config = Config {
        discriminator: NonZeroU32::MIN,
        desired_min_tx: interval,
        required_min_rx: interval.get(),
        multiplier: NonZeroU8::new(multiplier).ok_or("a multiplier of 0")?,
        passive: false,
    };
    let start = Instant::now();
    let mut session = Session::new(config, start.elapsed());
    let lines = lines();
    let mut buffer = [0; 64];
    loop {
        let wait = session.next().map(|at| at.saturating_sub(start.elapsed()));
        let most = Duration::from_millis(20);
        heard
            .set_read_timeout(Some(wait.unwrap_or(most).clamp(Duration::from_micros(100), most)))?;
        let outcome = match heard.recv_from(&mut buffer) {
            Ok((length, from)) if from.ip() == peer => match Bfd::checked(&buffer[..length]) {
                Ok(packet) => session.receive(packet, start.elapsed()),
                Err(error) => {
                    println!("malformed: {error}");
                    Outcome::default()
                }
            },
            Ok(_) => Outcome::default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Outcome::default()
            }
            // The other side is not there yet.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Outcome::default(),
            Err(error) => return Err(error.into()),
        };
        let to = SocketAddr::new(peer, SINGLE_HOP);
        tell(&spoken, to, outcome, start.elapsed());
        let outcome = session.on_time(start.elapsed());
        tell(&spoken, to, outcome, start.elapsed());
        if let Ok(line) = lines.try_recv() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let now = start.elapsed();
            let outcome = match words.as_slice() {
                ["quit"] => return Ok(()),
                ["disable"] => session.disable(now),
                ["enable"] => session.enable(now),
                ["interval", value] => {
                    let value = NonZeroU32::new(value.parse::<u32>()? * 1000).ok_or("0")?;
                    session.set_timing(value, value.get(), config.multiplier, now);
                    Outcome::default()
                }
                _ => return Err(format!("what is {line:?}?").into()),
            };
            tell(&spoken, to, outcome, now);
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_ttl_v4(255)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tell(socket: &UdpSocket, to: SocketAddr, outcome: Outcome, now: Duration) {
    if let Some(change) = outcome.change {
        let (from, to) = (change.from.name(), change.to.name());
        println!("{} {from} -> {to} {}", now.as_millis(), change.diagnostic.name());
    }
    if let Some(packet) = outcome.packet {
        // A packet that cannot be sent is a packet lost.
        let _ = socket.send_to(packet.as_bytes(), to);
    }
}

fn lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
