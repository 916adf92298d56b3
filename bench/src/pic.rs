//! A tunnel end lost under a million routes. Routes lead to groups of two paths; the way to one end is taken away, and every
//! packet must take the other path as soon as the op is acknowledged.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use engine::drops::Drop;
use engine::seam::{GroupId, Nexthop, NexthopId, Op};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::forward::{self, mbufs};
use crate::options::Options;
use crate::plane::Plane;
use crate::world::{World, pe_address, spine, vrf_id};

const ROUNDS: u32 = 25;
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);

/// What it took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lost {
    /// From the op to the first packet that saw it, each time.
    pub seen: Vec<f64>,
    /// From the op to its acknowledgement by every worker, each time.
    pub acknowledged: Vec<f64>,
    /// Tunnel ends in all.
    pub ends: u32,
}

/// Runs it in this process.
pub fn run(options: &Options, directory: &Path) -> Result<Lost, String> {
    let world = World::new(options.into());
    let devices = files::ports(options, directory).map(|port| format!("vdev:{port}"));
    let mut plane = Plane::start(options, &devices, mbufs(options))?;
    plane.send(world.structure())?;
    plane.send(groups(&world))?;
    plane.commit()?;
    plane.send(world.routes.iter().map(|route| Op::RouteSet {
        vrf: vrf_id(route.vrf),
        prefix: route.prefix,
        nexthop: group_nexthop(&world, route.site),
    }))?;
    plane.commit()?;

    let mut lost = Lost { ends: world.pes(), ..Lost::default() };
    thread::sleep(LOOK);
    for _ in 0..ROUNDS {
        lost.acknowledged.push(other_path(&mut plane)?);
        lost.seen.push(no_path(&mut plane)?);
    }
    plane.stop();
    Ok(lost)
}

/// One end of a group is lost: microseconds to the acknowledgement. No packet may be.
fn other_path(plane: &mut Plane) -> Result<f64, String> {
    let before = plane.watch().workers();
    let start = Instant::now();
    plane.send([way(0, false)])?;
    plane.commit()?;
    let microseconds = start.elapsed().as_secs_f64() * 1e6;
    thread::sleep(LOOK);
    plane.send([way(0, true)])?;
    plane.commit()?;
    let happened = forward::summary(&plane.since(&before), 1);
    if let Some((reason, count)) = happened.drops.first() {
        return Err(format!("{count} packets were dropped as {reason} while a path was left"));
    }
    if happened.sent == 0 {
        return Err("nothing was sent".into());
    }
    Ok(microseconds)
}

/// The same with the other end gone before, so that packets show when they see it: they have no path left. Microseconds to the
/// first of them.
fn no_path(plane: &mut Plane) -> Result<f64, String> {
    plane.send([way(1, false)])?;
    plane.commit()?;
    let unresolved = |plane: &Plane| {
        let workers = plane.watch().workers();
        workers.iter().map(|worker| worker.drops[Drop::UnresolvedNexthop.index()]).sum::<u64>()
    };
    let before = unresolved(plane);
    let start = Instant::now();
    plane.ask([way(0, false)])?;
    while unresolved(plane) == before {
        if start.elapsed() > PATIENCE {
            return Err("no packet went through the tunnel ends that were taken away".into());
        }
        thread::yield_now();
    }
    let microseconds = start.elapsed().as_secs_f64() * 1e6;
    plane.commit()?;
    plane.send([way(0, true), way(1, true)])?;
    plane.commit()?;
    thread::sleep(LOOK);
    Ok(microseconds)
}

/// A group for each site: its own end first, the next one's second.
fn groups(world: &World) -> impl Iterator<Item = Op> {
    let sites = world.tunnel_nexthops();
    (0..sites).flat_map(move |site| {
        let group = GroupId(site + 1);
        let path = |place: u8, site: u32| Op::PathSet {
            group,
            place,
            nexthop: world.nexthop(0, site % sites),
        };
        let nexthop = Nexthop::Group(group);
        [
            path(0, site),
            path(1, site + 1),
            Op::NexthopSet { id: group_nexthop(world, site), nexthop },
        ]
    })
}

/// Next hops of groups follow those of tunnels.
fn group_nexthop(world: &World, site: u32) -> NexthopId {
    NexthopId(world.nexthop(0, site).0 + world.tunnel_nexthops())
}

/// The way to a tunnel end comes or goes.
fn way(pe: u32, present: bool) -> Op {
    let prefix = Ipv4Net::from(pe_address(pe));
    match present {
        true => Op::UnderlayRouteSet { prefix, via: spine(pe) },
        false => Op::UnderlayRouteDel { prefix },
    }
}
