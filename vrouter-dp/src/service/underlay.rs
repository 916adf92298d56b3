//! The underlay as the service thread sees it: addresses of the fabric ports, static routes, and through which neighbour the
//! remote end of each tunnel is reached. On-link first, then the longest static route whose next hop is on-link.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use engine::seam::{PortId, TunnelId};
use ipnet::Ipv4Net;

use super::neighbor::Key;

/// A tunnel and the neighbour that it leaves through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The far end.
    pub remote: Ipv4Addr,
    /// The neighbour, if the underlay has a way to the far end.
    pub via: Option<Key>,
}

/// Addresses, routes and tunnels of the underlay.
#[derive(Default)]
pub struct Underlay {
    /// Where our tunnels start and end.
    pub tunnel_address: Option<Ipv4Addr>,
    addresses: Vec<(PortId, Ipv4Net)>,
    routes: BTreeMap<Ipv4Net, Ipv4Addr>,
    tunnels: HashMap<TunnelId, Tunnel>,
}

impl Underlay {
    /// Adds an address with its on-link prefix.
    pub fn add_address(&mut self, port: PortId, address: Ipv4Net) {
        if !self.addresses.contains(&(port, address)) {
            self.addresses.push((port, address));
        }
    }

    /// Removes an address.
    pub fn remove_address(&mut self, port: PortId, address: Ipv4Net) {
        self.addresses.retain(|known| *known != (port, address));
    }

    /// Addresses of a port.
    pub fn addresses(&self, port: PortId) -> impl Iterator<Item = Ipv4Net> {
        self.addresses.iter().filter(move |(on, _)| *on == port).map(|(_, address)| *address)
    }

    /// Adds or replaces a static route.
    pub fn add_route(&mut self, prefix: Ipv4Net, via: Ipv4Addr) {
        self.routes.insert(prefix.trunc(), via);
    }

    /// Removes a static route.
    pub fn remove_route(&mut self, prefix: Ipv4Net) {
        self.routes.remove(&prefix.trunc());
    }

    /// Adds or replaces a tunnel; it is resolved by the next [`Underlay::resolve`].
    pub fn add_tunnel(&mut self, tunnel: TunnelId, remote: Ipv4Addr) {
        let via = self
            .tunnels
            .get(&tunnel)
            .filter(|known| known.remote == remote)
            .and_then(|known| known.via);
        self.tunnels.insert(tunnel, Tunnel { remote, via });
    }

    /// Removes a tunnel.
    pub fn remove_tunnel(&mut self, tunnel: TunnelId) {
        self.tunnels.remove(&tunnel);
    }

    /// A tunnel.
    pub fn tunnel(&self, tunnel: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(&tunnel)
    }

    /// All tunnels, in no order.
    pub fn tunnels(&self) -> impl Iterator<Item = (&TunnelId, &Tunnel)> {
        self.tunnels.iter()
    }

    /// Tunnels that leave through this neighbour.
    pub fn tunnels_via(&self, key: Key) -> Vec<TunnelId> {
        self.tunnels
            .iter()
            .filter(|(_, tunnel)| tunnel.via == Some(key))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Finds the way of every tunnel again. Returns the tunnels whose neighbour changed.
    pub fn resolve(&mut self) -> Vec<TunnelId> {
        let ways: Vec<(TunnelId, Option<Key>)> =
            self.tunnels.iter().map(|(id, tunnel)| (*id, self.way(tunnel.remote))).collect();
        let mut changed = Vec::new();
        for (id, via) in ways {
            if let Some(tunnel) = self.tunnels.get_mut(&id)
                && tunnel.via != via
            {
                tunnel.via = via;
                changed.push(id);
            }
        }
        changed
    }

    /// The neighbour through which `remote` is reached.
    pub fn way(&self, remote: Ipv4Addr) -> Option<Key> {
        if let Some(key) = self.on_link(remote) {
            return Some(key);
        }
        self.routes
            .iter()
            .filter(|(prefix, _)| prefix.contains(&remote))
            .filter_map(|(prefix, via)| self.on_link(*via).map(|key| (prefix.prefix_len(), key)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, key)| key)
    }

    fn on_link(&self, address: Ipv4Addr) -> Option<Key> {
        self.addresses
            .iter()
            .filter(|(_, net)| net.contains(&address) && net.addr() != address)
            .max_by_key(|(_, net)| net.prefix_len())
            .map(|(port, _)| Key::Underlay(*port, address))
    }

    /// The address to ask from for a neighbour on `port`: ours in its subnet.
    pub fn source_for(&self, port: PortId, target: Ipv4Addr) -> Option<Ipv4Addr> {
        self.addresses(port)
            .filter(|net| net.contains(&target))
            .max_by_key(Ipv4Net::prefix_len)
            .map(|net| net.addr())
    }

    /// Whether ARP on `port` answers for `target`: an address of that port, or the tunnel address.
    pub fn is_ours(&self, port: PortId, target: Ipv4Addr) -> bool {
        self.tunnel_address == Some(target) || self.addresses(port).any(|net| net.addr() == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn tunnels_resolve_on_link_then_by_the_longest_usable_static_route() {
        let mut u = Underlay::default();
        u.add_address(PortId(0), "192.0.2.1/24".parse().unwrap());
        u.add_route("0.0.0.0/0".parse().unwrap(), ip("192.0.2.254"));
        u.add_route("198.51.100.0/24".parse().unwrap(), ip("192.0.2.253"));
        u.add_route("198.51.100.128/25".parse().unwrap(), ip("203.0.113.1"));
        for (id, remote, via) in [
            (1, "192.0.2.9", Some("192.0.2.9")),
            (2, "198.51.100.200", Some("192.0.2.253")),
            (3, "8.8.8.8", Some("192.0.2.254")),
        ] {
            u.add_tunnel(TunnelId(id), ip(remote));
            assert_eq!(u.resolve(), [TunnelId(id)]);
            let expected = via.map(|via| Key::Underlay(PortId(0), ip(via)));
            assert_eq!(u.tunnel(TunnelId(id)).unwrap().via, expected);
        }
        assert_eq!(u.resolve(), []);
        u.remove_route("0.0.0.0/0".parse().unwrap());
        assert_eq!(u.resolve(), [TunnelId(3)]);
        assert_eq!(u.tunnel(TunnelId(3)).unwrap().via, None);
        assert_eq!(u.source_for(PortId(0), ip("192.0.2.9")), Some(ip("192.0.2.1")));
        assert_eq!(u.source_for(PortId(0), ip("10.0.0.1")), None);
        assert_eq!(u.way(ip("192.0.2.1")), None, "our own address is nobody's tunnel end");
    }
}
