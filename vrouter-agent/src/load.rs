//! The route path without sessions and sockets, for benchmarks and tests: routes go in as BGP would bring them, and take the way
//! of every route: import, compiler, ring, tables, acknowledgement.
//!
//! ```ignore
//! let (ops, events, running) = vrouter_dp::start(&plane)?.split();
//! let mut carried = Carried::new(config, ops, events, Instant::now());
//! let mut core = Core::new(&mut carried, Instant::now(), Unix::now());
//! load::settle(&mut core, patience)?;                   // what the configuration asks for
//! load::learn(&mut core, peer, routes);                 // import knows them; nothing is compiled yet
//! let visible_after = load::settle(&mut core, patience)?; // from the compiler to the last worker
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bgp::rib::Reason;
use bgp::speaker::{BestPath, Update};
use bgp::types::{ExtCommunity, RouteDistinguisher, RouteTarget};
use bgp::wire::{Binding, PathAttributes};
use engine::seam::Gen;
use ipnet::Ipv4Net;
use wire::Label;

use crate::core::Core;
use crate::run::SOON;

/// A VPN route of another PE, offered in MPLS over UDP and GRE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Distinguisher.
    pub rd: RouteDistinguisher,
    /// Destination.
    pub prefix: Ipv4Net,
    /// Decides which VRFs take it in.
    pub target: RouteTarget,
    /// Tunnel address of the PE.
    pub pe: Ipv4Addr,
    /// Label that the PE advertised.
    pub label: Label,
}

/// The data plane had not acknowledged everything in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data plane acknowledged generation {} in time, not {}", acked.0, last.0)]
pub struct Stuck {
    /// The last generation acknowledged.
    pub acked: Gen,
    /// The last one made.
    pub last: Gen,
}

/// Tells the core that `peer` has these routes.
pub fn learn(core: &mut Core<'_>, peer: IpAddr, routes: impl IntoIterator<Item = Route>) {
    let mut shared: HashMap<(Ipv4Addr, RouteTarget), Arc<PathAttributes>> = HashMap::new();
    for Route { rd, prefix, target, pe, label } in routes {
        let attributes = shared.entry((pe, target)).or_insert_with(|| {
            let mut attributes = PathAttributes::new(pe.into());
            attributes.ext_communities = vec![
                target.into(),
                ExtCommunity::encapsulation(13),
                ExtCommunity::encapsulation(2),
            ];
            Arc::new(attributes)
        });
        let (attributes, binding) = (Arc::clone(attributes), Binding::Label(label.value()));
        let path = BestPath { peer, binding, attributes, reason: Reason::OnlyPath };
        core.on_update(best(rd, prefix, Some(path)));
    }
}

/// Tells the core that nobody has these routes any more.
pub fn forget(
    core: &mut Core<'_>,
    routes: impl IntoIterator<Item = (RouteDistinguisher, Ipv4Net)>,
) {
    routes.into_iter().for_each(|(rd, prefix)| core.on_update(best(rd, prefix, None)));
}

fn best(rd: RouteDistinguisher, prefix: Ipv4Net, path: Option<BestPath>) -> Update {
    Update::Best { route: bgp::types::Route::Vpnv4(rd, prefix), path }
}

/// Works as the agent's thread does, with its pauses, until every worker has seen all that the core knows. Returns how long
/// that took.
///
/// # Errors
/// It takes longer than `patience`.
pub fn settle(core: &mut Core<'_>, patience: Duration) -> Result<Duration, Stuck> {
    let started = Instant::now();
    loop {
        let now = Instant::now();
        core.poll(now);
        let passed = started.elapsed();
        if !core.busy() {
            return Ok(passed);
        }
        if passed > patience {
            let (acked, last) = core.generations();
            return Err(Stuck { acked, last });
        }
        if !core.eager() {
            thread::sleep(SOON);
        }
    }
}
