//! Mark and sweep: after the agent restarted, what it does not set again goes.

use super::TablesWriter;
use crate::seam::Refusal;

impl TablesWriter {
    /// Marks every object that came from the agent as stale. Nothing else changes; setting an object again freshens it.
    pub fn resync(&mut self) {
        self.mark = self.mark.wrapping_add(1);
    }

    /// Removes every object that is still stale, those that refer to others first.
    ///
    /// A stale object that a fresh one refers to stays: the agent owes us the op that would let it go. Returns how many such
    /// there are.
    pub fn sweep(&mut self) -> usize {
        let mark = self.mark;
        let mut kept = 0;
        let mut settle = |result: Result<(), Refusal>| kept += usize::from(result.is_err());

        let routes = self.vrfs.iter().flat_map(|(vrf, row)| {
            let stale = row.routes.iter().filter(|(_, route)| route.mark != mark);
            stale.map(|(prefix, _)| (*vrf, prefix))
        });
        for (vrf, prefix) in routes.collect::<Vec<_>>() {
            settle(self.route_del(vrf, prefix));
        }
        let labels = self.labels.iter().filter(|(_, row)| row.mark != mark);
        for label in labels.map(|(label, _)| *label).collect::<Vec<_>>() {
            settle(self.label_del(label));
        }
        let nexthops = self.nexthops.iter().filter(|(_, row)| row.mark != mark);
        for id in nexthops.map(|(id, _)| *id).collect::<Vec<_>>() {
            settle(self.nexthop_del(id));
        }
        let tunnels = self.tunnels.iter().filter(|(_, row)| row.mark != mark);
        for id in tunnels.map(|(id, _)| *id).collect::<Vec<_>>() {
            settle(self.tunnel_del(id));
        }
        let addresses = self.vifs.iter().flat_map(|(id, row)| {
            let marked = row.vif.addresses.iter().zip(&row.address_marks);
            marked.filter(|(_, set)| **set != mark).map(|(address, _)| (*id, *address))
        });
        for (vif, address) in addresses.collect::<Vec<_>>() {
            settle(self.vif_address_del(vif, address));
        }
        let vifs = self.vifs.iter().filter(|(_, row)| row.mark != mark);
        for id in vifs.map(|(id, _)| *id).collect::<Vec<_>>() {
            settle(self.vif_del(id));
        }
        let vrfs = self.vrfs.iter().filter(|(_, row)| row.mark != mark);
        for id in vrfs.map(|(id, _)| *id).collect::<Vec<_>>() {
            settle(self.vrf_del(id));
        }
        let sources = self.sources.iter();
        let sources = sources.filter(|(_, row)| row.configured.is_some_and(|set| set != mark));
        for prefix in sources.map(|(prefix, _)| prefix).collect::<Vec<_>>() {
            settle(self.tunnel_source_del(prefix));
        }
        let ports = self.port_addresses.iter().filter(|(_, set)| **set != mark);
        for (port, address) in ports.map(|(key, _)| *key).collect::<Vec<_>>() {
            settle(self.port_address_del(port, address));
        }
        kept
    }
}
