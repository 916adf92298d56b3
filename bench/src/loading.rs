//! A full table through the agent's route path while a worker forwards: from the compiler to the packets.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use bgp::types::{RouteDistinguisher, RouteTarget};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use vrouter_agent::carried::Carried;
use vrouter_agent::core::Core;
use vrouter_agent::labels::Unix;
use vrouter_agent::load::{self, Route};

use crate::forward::{mbufs, summary};
use crate::options::Options;
use crate::plane::Plane;
use crate::world::{World, pe_address};
use crate::{files, operator};

const PATIENCE: Duration = Duration::from_secs(120);
const ROUNDS: u32 = 3;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// Packets must flow for this long with every route in place, none dropped.
const LOOK: Duration = Duration::from_millis(200);

/// Seconds that it took, each time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Loaded {
    pub seconds: Vec<f64>,
    pub withdrawn: Vec<f64>,
}

/// Loads and withdraws all routes of the world, three times.
pub fn run(options: &Options, directory: &Path) -> Result<Loaded, String> {
    let world = World::new(options.into());
    let ports = files::ports(options, directory);
    let text = operator::config(&world, &ports, directory, false);
    let config = config::load(&text, "bench.toml").map_err(|errors| {
        errors.first().map_or_else(|| "the configuration".into(), ToString::to_string)
    })?;
    let devices = ports.map(|port| format!("vdev:{port}"));
    let plane = Plane::start(options, &devices, mbufs(options))?;
    let (ops, events, running, watch) = plane.split();
    let mut carried = Carried::new(config, ops, events, Instant::now());
    let mut core = Core::new(&mut carried, Instant::now(), Unix::now());
    let stuck = |error: load::Stuck| error.to_string();
    load::settle(&mut core, PATIENCE).map_err(stuck)?;
    let mut loaded = Loaded::default();
    for _ in 0..ROUNDS {
        load::learn(&mut core, PEER, routes(&world)?);
        loaded.seconds.push(load::settle(&mut core, PATIENCE).map_err(stuck)?.as_secs_f64());
        let before = watch.workers();
        std::thread::sleep(LOOK);
        let moved: Vec<_> =
            watch.workers().iter().zip(&before).map(|(now, before)| now.since(before)).collect();
        let seen = summary(&moved, 1);
        if let Some((reason, count)) = seen.drops.first() {
            return Err(format!(
                "{count} packets were dropped as {reason} with all routes in place"
            ));
        }
        if seen.sent == 0 {
            return Err("nothing was sent".into());
        }
        let gone = routes(&world)?.into_iter().map(|route| (route.rd, route.prefix));
        load::forget(&mut core, gone);
        loaded.withdrawn.push(load::settle(&mut core, PATIENCE).map_err(stuck)?.as_secs_f64());
    }
    running.stop();
    Ok(loaded)
}

/// The routes of the world as a peer tells them.
fn routes(world: &World) -> Result<Vec<Route>, String> {
    let targets = (0..world.shape.vrfs)
        .map(|vrf| operator::target(vrf).parse())
        .collect::<Result<Vec<RouteTarget>, _>>()
        .map_err(|_| "a route target that is none")?;
    let route = |route: &crate::world::Route| {
        let IpNet::V4(prefix) = route.prefix else { return None };
        Some(Route {
            rd: RouteDistinguisher::ip(Ipv4Addr::new(192, 0, 2, 9), route.vrf),
            prefix,
            target: targets[usize::from(route.vrf)],
            pe: pe_address(world.pe(route.vrf, route.site)),
            label: world.remote_label(route.vrf, route.site),
        })
    };
    Ok(world.routes.iter().filter_map(route).collect())
}
