//! Tables of the engine without the service thread: for counting instructions, and for work that no worker sees.

use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::seam::{Op, Refusal};
use engine::table::{AdjacencyId, Port, PortRole, Tables, TablesWriter};
use wire::Mac;

use crate::world::{FABRIC, GATEWAY, World, spine, tunnel};

/// Tables filled with a world.
pub struct Private {
    pub tables: Arc<Tables>,
    writer: TablesWriter,
}

impl Private {
    /// The ports have these MACs: [`Private::MAC`].
    pub const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    /// Filled with all of `world`. What the world's numbers do not allow is left out, as the product refuses it.
    pub fn new(world: &World) -> Private {
        let (tables, writer) = Tables::new(1);
        let mut private = Private { tables, writer };
        // A refusal shows as a drop in the check of whoever uses these tables.
        let _ = private.ports();
        for op in world.structure().chain(world.route_ops()) {
            let _ = private.apply(&op);
        }
        let _ = private.resolve(world);
        private
    }

    /// Ends a generation and frees what went with it.
    pub fn settle(&mut self) {
        self.writer.publish();
        self.writer.reclaim();
    }

    fn ports(&mut self) -> Result<(), Refusal> {
        for (id, role) in [(FABRIC, PortRole::Fabric), (GATEWAY, PortRole::Gateway)] {
            self.writer.port_set(id, Port { role, mac: Self::MAC, mtu: 9000 })?;
        }
        Ok(())
    }

    fn resolve(&mut self, world: &World) -> Result<(), Refusal> {
        let mut adjacencies: Vec<Ipv4Addr> = Vec::new();
        for pe in 0..world.pes() {
            let id = adjacencies.iter().position(|known| *known == spine(pe));
            let id = match id {
                Some(id) => AdjacencyId(id as u32),
                None => {
                    let id = AdjacencyId(adjacencies.len() as u32);
                    self.writer.adjacency_set(id, FABRIC, Some(world.spine_mac(pe)))?;
                    adjacencies.push(spine(pe));
                    id
                }
            };
            self.writer.tunnel_via(tunnel(pe), Some(id))?;
        }
        Ok(())
    }

    /// One change, as the service thread makes it.
    pub fn apply(&mut self, op: &Op) -> Result<(), Refusal> {
        let writer = &mut self.writer;
        match *op {
            Op::TunnelAddressSet { address } => {
                writer.tunnel_address_set(address);
                Ok(())
            }
            Op::PortAddressSet { port, address } => writer.port_address_set(port, address),
            Op::TunnelSet { tunnel, remote, encapsulation } => {
                writer.tunnel_set(tunnel, remote, encapsulation)
            }
            Op::VrfSet { vrf } => writer.vrf_set(vrf),
            Op::VifSet { vif, port, vlan, vrf, mac } => writer.vif_set(vif, port, vlan, vrf, mac),
            Op::VifAddressSet { vif, address } => writer.vif_address_set(vif, address),
            Op::NexthopSet { id, nexthop } => writer.nexthop_set(id, nexthop),
            Op::RouteSet { vrf, prefix, nexthop } => writer.route_set(vrf, prefix, nexthop),
            Op::LabelSet { label, target } => writer.label_set(label, target),
            // The underlay is the service thread's: see `resolve`.
            _ => Ok(()),
        }
    }
}
