//! Route changes through the ring while packets flow, and the same work done where no worker sees it, to compare with.

use std::thread;
use std::time::{Duration, Instant};

use engine::seam::Op;

use crate::forward::{Window, summary};
use crate::plane::Plane;
use crate::tables::Private;
use crate::world::{World, vrf_id};

/// Changes are sent this often.
const STEP: Duration = Duration::from_millis(1);

/// An endless series of changes: routes go to another site and back.
pub struct Churn {
    /// Each route with its two next hops.
    changes: Vec<[Op; 2]>,
    next: usize,
    per_second: u32,
    private: Private,
}

impl Churn {
    /// Changes `per_second` routes of the world a second.
    pub fn new(world: &World, per_second: u32) -> Churn {
        let sites = world.tunnel_nexthops() / u32::from(world.shape.vrfs);
        let changes = world.routes.iter().map(|route| {
            [(route.site + 1) % sites, route.site].map(|site| Op::RouteSet {
                vrf: vrf_id(route.vrf),
                prefix: route.prefix,
                nexthop: world.nexthop(route.vrf, site),
            })
        });
        let changes = changes.collect();
        Churn { changes, next: 0, per_second, private: Private::new(world) }
    }

    /// Changes the product's routes for some time.
    pub fn changing(&mut self, plane: &mut Plane, time: Duration) -> Result<Window, String> {
        self.paced(plane, time, |_, plane, ops| plane.offer(ops.iter().copied()))
    }

    /// Makes the same changes to tables of its own.
    pub fn busy(&mut self, plane: &mut Plane, time: Duration) -> Result<Window, String> {
        self.paced(plane, time, |private, _, ops| {
            let made = ops.iter().filter(|op| private.apply(op).is_ok()).count();
            private.settle();
            made
        })
    }

    fn paced(
        &mut self,
        plane: &mut Plane,
        time: Duration,
        mut act: impl FnMut(&mut Private, &mut Plane, &[Op]) -> usize,
    ) -> Result<Window, String> {
        let (start, from, before) = (Instant::now(), dpdk::cycles(), plane.watch().workers());
        let mut made = 0;
        let mut ops = Vec::new();
        while start.elapsed() < time {
            let due = (start.elapsed().as_secs_f64() * f64::from(self.per_second)) as u64;
            ops.clear();
            ops.extend((made..due).map(|ahead| self.change((ahead - made) as usize)));
            let done = act(&mut self.private, plane, &ops);
            self.next += done;
            made += done as u64;
            thread::sleep(STEP);
        }
        let (now, end) = (plane.since(&before), dpdk::cycles());
        // Nothing of this run is left in the ring for the next.
        plane.commit()?;
        Ok(Window { changes: made, ..summary(&now, end.wrapping_sub(from)) })
    }

    fn change(&self, ahead: usize) -> Op {
        let at = self.next + ahead;
        self.changes[at % self.changes.len()][at / self.changes.len() % 2]
    }
}
