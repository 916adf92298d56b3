//! A speaker for the lab: peers by arguments, routes and questions by lines on standard input.
//!
//! ```text
//! bgp-speak --asn 64512 --router-id 10.255.0.1 [--listen 10.255.0.1:179] \
//!           --peer 10.255.0.2,asn=64512,port=1790,local=10.255.0.1,families=vpnv4+ipv4[,passive][,multihop][,hold=9]
//! announce vpnv4 64512:1 10.1.1.0/24 label 1001 nexthop 10.255.0.1 rt target:64512:100 encap 13
//! announce ipv4 - 10.9.0.0/16 nexthop 10.255.0.1
//! withdraw vpnv4 64512:1 10.1.1.0/24
//! summary | routes vpnv4 received|best|advertised [PEER] | refresh PEER vpnv4 | peers [PEER...] | wait SECONDS | quit
//! ```
//!
//! News of routes and sessions are printed as they come, one line each.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use bgp::io::{Driver, Handle};
use bgp::speaker::{OriginatedRoute, PeerConfig, RouteQuery, SpeakerConfig, Update, Which};
use bgp::types::{ExtCommunity, Route};
use bgp::wire::{Binding, Nlri};
use tokio::io::{AsyncBufReadExt, BufReader};

type Failure = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (mut asn, mut router_id, mut listen, mut peers) = (None, None, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match option.as_str() {
            "--asn" => asn = Some(value.parse()?),
            "--router-id" => router_id = Some(value.parse()?),
            "--listen" => listen = Some(value.parse()?),
            "--peer" => peers.push(peer(&value)?),
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let config = SpeakerConfig {
        asn: asn.ok_or("--asn is missing")?,
        router_id: router_id.ok_or("--router-id is missing")?,
    };
    let (handle, mut updates) = Driver::spawn(config, listen);
    handle.set_peers(peers).await?;
    let printer = tokio::spawn(async move {
        while let Some(update) = updates.recv().await {
            print(&update);
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["quit"] => break,
            words => {
                if let Err(error) = obey(&handle, words).await {
                    println!("error: {error}");
                }
            }
        }
    }
    handle.shutdown().await;
    printer.await?;
    Ok(())
}

async fn obey(handle: &Handle, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["announce", family, rd, prefix, rest @ ..] => {
            handle.originate(route(family, rd, prefix, rest)?).await?;
        }
        ["withdraw", family, rd, prefix] => {
            handle.withdraw(key(family, rd, prefix)?).await?;
        }
        ["fill", count, next_hop] => {
            for n in 0..count.parse::<u32>()? {
                let [_, a, b, c] = n.to_be_bytes();
                let prefix = format!("10.{a}.{b}.{c}/32");
                let label = (16 + n % 100_000).to_string();
                let target = format!("target:64512:{}", n % 100);
                let rest = ["label", &label, "nexthop", next_hop, "rt", &target, "encap", "13"];
                handle.originate(route("vpnv4", "64512:1", &prefix, &rest)?).await?;
            }
        }
        ["summary"] => {
            for peer in handle.summary().await? {
                println!("{peer:?}");
            }
        }
        ["routes", family, which, peer @ ..] => {
            let which = match *which {
                "received" => Which::Received,
                "best" => Which::Best,
                "advertised" => Which::Advertised,
                _ => return Err("received, best or advertised".into()),
            };
            let peer = peer.first().map(|peer| peer.parse()).transpose()?;
            let query = RouteQuery { family: family.parse()?, which, peer };
            for route in handle.routes(query).await? {
                println!("{route:?}");
            }
            println!("end of routes");
        }
        ["refresh", peer, family] => handle.refresh(peer.parse()?, family.parse()?).await?,
        ["peers", wanted @ ..] => {
            let peers: Result<Vec<PeerConfig>, Failure> = wanted.iter().map(|w| peer(w)).collect();
            handle.set_peers(peers?).await?;
        }
        ["wait", seconds] => {
            tokio::time::sleep(Duration::from_secs_f64(seconds.parse()?)).await;
        }
        _ => return Err("no such command".into()),
    }
    Ok(())
}

fn print(update: &Update) {
    match update {
        Update::Best { route, path } => {
            let family = route.family();
            match path {
                Some(path) => println!(
                    "best {family} {route} from {} via {} {:?} {:?} path [{}] ({})",
                    path.peer,
                    path.attributes.next_hop,
                    path.binding,
                    path.attributes.ext_communities,
                    path.attributes.as_path,
                    path.reason
                ),
                None => println!("gone {family} {route}"),
            }
        }
        Update::EndOfRib { peer, family } => println!("end-of-rib {peer} {family}"),
        Update::SessionUp { peer } => println!("up {peer}"),
        Update::SessionDown { peer, reason } => println!("down {peer} {reason}"),
    }
}

fn peer(text: &str) -> Result<PeerConfig, Failure> {
    let mut parts = text.split(',');
    let address: IpAddr = parts.next().unwrap_or_default().parse()?;
    let mut peer = PeerConfig::new(address, bgp::types::Asn(0));
    for part in parts {
        match part.split_once('=').unwrap_or((part, "")) {
            ("asn", value) => peer.asn = value.parse()?,
            ("port", value) => peer.port = value.parse()?,
            ("local", value) => peer.local_address = Some(value.parse()?),
            ("hold", value) => peer.hold_time = value.parse()?,
            ("passive", "") => peer.passive = true,
            ("multihop", "") => peer.multihop = true,
            ("families", value) => {
                peer.families = value.split('+').map(str::parse).collect::<Result<_, _>>()?;
            }
            (other, _) => return Err(format!("unknown part {other} of a peer").into()),
        }
    }
    Ok(peer)
}

fn key(family: &str, rd: &str, prefix: &str) -> Result<Route, Failure> {
    let rd = if rd == "-" { None } else { Some(rd.parse()?) };
    let route = Route::to(rd, prefix.parse()?);
    if route.family() == family.parse()? { Ok(route) } else { Err("not of that family".into()) }
}

fn route(
    family: &str,
    rd: &str,
    prefix: &str,
    mut rest: &[&str],
) -> Result<OriginatedRoute, Failure> {
    let nlri = Nlri::plain(key(family, rd, prefix)?);
    let mut route = OriginatedRoute::new(nlri, IpAddr::from([0, 0, 0, 0]));
    while let [word, value, more @ ..] = rest {
        match *word {
            "label" => route.nlri.binding = Binding::Label(value.parse()?),
            "nexthop" => route.next_hop = value.parse()?,
            "rt" => route.route_targets.push(value.parse()?),
            "encap" => route.ext_communities.push(ExtCommunity::encapsulation(value.parse()?)),
            "local-pref" => route.local_pref = Some(value.parse()?),
            "med" => route.med = Some(value.parse()?),
            other => return Err(format!("unknown word {other}").into()),
        }
        rest = more;
    }
    Ok(route)
}
