//! A speaker for the lab: peers by arguments, routes and questions by lines on standard input.
//!
//! ```text
//! bgp-speak --asn 64512 --router-id 10.255.0.1 [--listen 10.255.0.1:179] \
//!           --peer 10.255.0.2,asn=64512,port=1790,local=10.255.0.1,families=vpnv4+ipv4[,passive][,multihop][,hold=9]
//! announce vpnv4 64512:1 10.1.1.0/24 label 1001 nexthop 10.255.0.1 rt target:64512:100 encap 13
//! announce ipv4 - 10.9.0.0/16 nexthop 10.255.0.1
//! announce evpn 64512:1 mac=52:54:00:00:00:01,10.1.1.1 label 1001 nexthop 10.255.0.1 rt target:64512:100 encap 8
//!     also: multicast=10.255.0.1 (nothing beside it), prefix=10.1.0.0/16
//! imports target:64512:100 [...]
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
use bgp::types::{EvpnRoute, ExtCommunity, LabelField, MacAddress, Route};
use bgp::wire::{Binding, EvpnBinding, Nlri};
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
        ["imports", targets @ ..] => {
            let targets: Result<_, _> = targets.iter().map(|target| target.parse()).collect();
            handle.set_imports(targets?).await?;
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
        Update::FamilyDisabled { peer, family, reason } => {
            println!("disabled {peer} {family} {reason}");
        }
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
    let route = match (rd, prefix.split_once('=')) {
        (Some(rd), Some((kind, rest))) => Route::Evpn(rd, evpn(kind, rest)?),
        (None, Some(_)) => return Err("an EVPN route has a distinguisher".into()),
        (rd, None) => Route::to(rd, prefix.parse()?),
    };
    if route.family() == family.parse()? { Ok(route) } else { Err("not of that family".into()) }
}

fn evpn(kind: &str, rest: &str) -> Result<EvpnRoute, Failure> {
    let tag = 0;
    Ok(match kind {
        "mac" => {
            let (mac, ip) = rest.split_once(',').ok_or("mac=MAC,ADDRESS")?;
            let octets: Result<Vec<u8>, _> =
                mac.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect();
            let mac = MacAddress(octets?.try_into().map_err(|_| "six octets of MAC address")?);
            EvpnRoute::MacIp { tag, mac, ip: Some(ip.parse()?) }
        }
        "multicast" => EvpnRoute::Multicast { tag, originator: rest.parse()? },
        "prefix" => EvpnRoute::Prefix { tag, prefix: rest.parse()? },
        _ => return Err("mac, multicast or prefix".into()),
    })
}

fn label(route: &Route, label: u32) -> Binding {
    match route {
        Route::Evpn(..) => Binding::Evpn(Box::new(EvpnBinding {
            label: LabelField::mpls(label),
            ..EvpnBinding::default()
        })),
        _ => Binding::Label(label),
    }
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
            "label" => route.nlri.binding = label(&route.nlri.route, value.parse()?),
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
