//! The underlay as the service thread sees it: addresses of the fabric ports, static routes, and through which neighbour the
//! remote end of each tunnel is reached. On-link first, then the longest static route whose next hop is on-link.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
pub struct Underlay {
    /// Where our tunnels start and end.
    pub tunnel_address: Option<Ipv4Addr>,
    addresses: Vec<(PortId, Ipv4Net)>,
    routes: BTreeMap<Ipv4Net, Ipv4Addr>,
    /// Routes of each length: lengths that do not occur cost nothing.
    lengths: [u32; 33],
    tunnels: HashMap<TunnelId, Tunnel>,
    /// Tunnels by their far end, so that a change of a prefix looks at those inside it alone.
    ends: BTreeSet<(Ipv4Addr, TunnelId)>,
    /// Tunnels behind each neighbour, so that a change costs what stands behind it and not a look at every tunnel.
    behind: HashMap<Key, HashSet<TunnelId>>,
    /// Neighbours that lost their last tunnel.
    left: Vec<Key>,
    /// Where ways may have changed since the last [`Underlay::resolve`].
    changed: Vec<Ipv4Net>,
}

impl Default for Underlay {
    fn default() -> Self {
        Underlay {
            tunnel_address: None,
            addresses: Vec::new(),
            routes: BTreeMap::new(),
            lengths: [0; 33],
            tunnels: HashMap::new(),
            ends: BTreeSet::new(),
            behind: HashMap::new(),
            left: Vec::new(),
            changed: Vec::new(),
        }
    }
}

impl Underlay {
    /// Adds an address with its on-link prefix.
    pub fn add_address(&mut self, port: PortId, address: Ipv4Net) {
        if !self.addresses.contains(&(port, address)) {
            self.addresses.push((port, address));
            self.link_changed(address);
        }
    }

    /// Removes an address.
    pub fn remove_address(&mut self, port: PortId, address: Ipv4Net) {
        self.addresses.retain(|known| *known != (port, address));
        self.link_changed(address);
    }

    /// A link came or went: with it the ways to what is on it, and by the routes through it.
    fn link_changed(&mut self, link: Ipv4Net) {
        let through = self.routes.iter().filter(|(_, via)| link.contains(*via));
        self.changed.extend(through.map(|(prefix, _)| *prefix).chain([link.trunc()]));
    }

    /// Addresses of a port.
    pub fn addresses(&self, port: PortId) -> impl Iterator<Item = Ipv4Net> {
        self.addresses.iter().filter(move |(on, _)| *on == port).map(|(_, address)| *address)
    }

    /// Adds or replaces a static route.
    pub fn add_route(&mut self, prefix: Ipv4Net, via: Ipv4Addr) {
        let prefix = prefix.trunc();
        let old = self.routes.insert(prefix, via);
        if old.is_none() {
            self.lengths[usize::from(prefix.prefix_len())] += 1;
        }
        if old != Some(via) {
            self.changed.push(prefix);
        }
    }

    /// Removes a static route; false if there was none.
    pub fn remove_route(&mut self, prefix: Ipv4Net) -> bool {
        let prefix = prefix.trunc();
        let known = self.routes.remove(&prefix).is_some();
        if known {
            self.lengths[usize::from(prefix.prefix_len())] -= 1;
            self.changed.push(prefix);
        }
        known
    }

    /// Adds or replaces a tunnel and finds its way.
    pub fn add_tunnel(&mut self, tunnel: TunnelId, remote: Ipv4Addr) {
        let via = self.way(remote);
        let old = self.tunnels.insert(tunnel, Tunnel { remote, via });
        if let Some(old) = old {
            self.ends.remove(&(old.remote, tunnel));
        }
        self.ends.insert((remote, tunnel));
        self.moved(tunnel, old.and_then(|old| old.via), via);
    }

    /// Removes a tunnel.
    pub fn remove_tunnel(&mut self, tunnel: TunnelId) {
        if let Some(old) = self.tunnels.remove(&tunnel) {
            self.ends.remove(&(old.remote, tunnel));
            self.moved(tunnel, old.via, None);
        }
    }

    fn moved(&mut self, tunnel: TunnelId, old: Option<Key>, new: Option<Key>) {
        if old == new {
            return;
        }
        if let Some(new) = new {
            self.behind.entry(new).or_default().insert(tunnel);
        }
        if let Some(old) = old
            && let Some(behind) = self.behind.get_mut(&old)
        {
            behind.remove(&tunnel);
            if behind.is_empty() {
                self.behind.remove(&old);
                self.left.push(old);
            }
        }
    }

    /// A tunnel.
    pub fn tunnel(&self, tunnel: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(&tunnel)
    }

    /// All tunnels, in no order.
    pub fn tunnels(&self) -> impl Iterator<Item = (&TunnelId, &Tunnel)> {
        self.tunnels.iter()
    }

    /// Tunnels to this far end.
    pub fn tunnels_to(&self, remote: Ipv4Addr) -> impl Iterator<Item = TunnelId> {
        let all = (remote, TunnelId(0))..=(remote, TunnelId(u32::MAX));
        self.ends.range(all).map(|(_, tunnel)| *tunnel)
    }

    /// Tunnels that leave through this neighbour.
    pub fn tunnels_via(&self, key: Key) -> impl Iterator<Item = TunnelId> {
        self.behind.get(&key).into_iter().flatten().copied()
    }

    /// The neighbours that lost their last tunnel since the last call, and got none again.
    pub fn take_left(&mut self) -> Vec<Key> {
        let mut left = std::mem::take(&mut self.left);
        left.retain(|key| !self.behind.contains_key(key));
        left
    }

    /// Finds the ways of the tunnels again whose far end lies where addresses or routes changed. Returns the tunnels whose
    /// neighbour changed.
    pub fn resolve(&mut self) -> Vec<TunnelId> {
        let changed = Ipv4Net::aggregate(&std::mem::take(&mut self.changed));
        let inside = |net: Ipv4Net| {
            let (first, last) = (net.network(), net.broadcast());
            self.ends.range((first, TunnelId(0))..=(last, TunnelId(u32::MAX)))
        };
        let ways: Vec<(TunnelId, Option<Key>, Option<Key>)> = changed
            .into_iter()
            .flat_map(inside)
            .filter_map(|(remote, id)| Some((*id, self.tunnels.get(id)?.via, self.way(*remote))))
            .filter(|(_, old, new)| old != new)
            .collect();
        for (id, old, new) in &ways {
            if let Some(tunnel) = self.tunnels.get_mut(id) {
                tunnel.via = *new;
            }
            self.moved(*id, *old, *new);
        }
        ways.into_iter().map(|(id, ..)| id).collect()
    }

    /// The neighbour through which `remote` is reached.
    pub fn way(&self, remote: Ipv4Addr) -> Option<Key> {
        self.on_link(remote).or_else(|| {
            let used = |length: &u8| self.lengths[usize::from(*length)] > 0;
            let mut lengths = (0..=32u8).rev().filter(used);
            lengths.find_map(|length| {
                let prefix = Ipv4Net::new(remote, length).ok()?.trunc();
                self.on_link(*self.routes.get(&prefix)?)
            })
        })
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
            let expected = via.map(|via| Key::Underlay(PortId(0), ip(via)));
            assert_eq!(u.tunnel(TunnelId(id)).unwrap().via, expected);
        }
        assert_eq!(u.resolve(), []);
        u.remove_route("0.0.0.0/0".parse().unwrap());
        assert_eq!(u.resolve(), [TunnelId(3)]);
        assert_eq!(u.tunnel(TunnelId(3)).unwrap().via, None);
        assert_eq!(u.resolve(), []);
        u.add_route("198.51.100.0/24".parse().unwrap(), ip("192.0.2.253"));
        assert!(u.changed.is_empty(), "the same again, as after a restart of the agent");
        assert!(!u.remove_route("0.0.0.0/0".parse().unwrap()));
        assert_eq!(u.source_for(PortId(0), ip("192.0.2.9")), Some(ip("192.0.2.1")));
        assert_eq!(u.source_for(PortId(0), ip("10.0.0.1")), None);
        assert_eq!(u.way(ip("192.0.2.1")), None, "our own address is nobody's tunnel end");
    }

    #[test]
    fn a_neighbour_is_left_with_its_last_tunnel() {
        let mut u = Underlay::default();
        u.add_address(PortId(0), "192.0.2.1/24".parse().unwrap());
        u.add_route("198.51.100.0/24".parse().unwrap(), ip("192.0.2.253"));
        let (one, two) = (TunnelId(1), TunnelId(2));
        let key = |address| Key::Underlay(PortId(0), ip(address));
        let via = |u: &Underlay, address| {
            let mut tunnels: Vec<_> = u.tunnels_via(key(address)).collect();
            tunnels.sort_unstable();
            tunnels
        };
        u.add_tunnel(one, ip("198.51.100.1"));
        u.add_tunnel(two, ip("198.51.100.2"));
        u.add_tunnel(two, ip("198.51.100.2"));
        assert_eq!(via(&u, "192.0.2.253"), [one, two]);
        u.remove_tunnel(one);
        assert_eq!(u.take_left(), []);
        u.add_tunnel(two, ip("192.0.2.9"));
        assert_eq!(via(&u, "192.0.2.9"), [two]);
        assert_eq!(u.take_left(), [key("192.0.2.253")]);
        assert_eq!(u.take_left(), []);
        // Left and found again before anybody looked: it stays.
        u.remove_tunnel(two);
        u.add_tunnel(one, ip("192.0.2.9"));
        assert_eq!(u.take_left(), []);
        u.remove_address(PortId(0), "192.0.2.1/24".parse().unwrap());
        assert_eq!(u.resolve(), [one]);
        assert_eq!(u.take_left(), [key("192.0.2.9")]);
    }
}
