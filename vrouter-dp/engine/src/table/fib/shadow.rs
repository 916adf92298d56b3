//! The routes of one trie as they were asked for: what the trie alone cannot tell is which prefix was covered by which.

use hashbrown::HashMap;
use ipnet::Ipv4Net;

/// Routes by prefix, with one `T` each.
#[derive(Debug)]
pub struct Shadow<T> {
    routes: HashMap<(u32, u8), T>,
    /// Routes of each length, so that lengths that do not occur cost nothing.
    lengths: [u32; 33],
}

impl<T> Default for Shadow<T> {
    fn default() -> Self {
        Shadow { routes: HashMap::new(), lengths: [0; 33] }
    }
}

impl<T> Shadow<T> {
    /// Adds or replaces; returns what was there.
    pub fn insert(&mut self, prefix: Ipv4Net, value: T) -> Option<T> {
        let old = self.routes.insert(key(prefix), value);
        if old.is_none() {
            self.lengths[usize::from(prefix.prefix_len())] += 1;
        }
        old
    }

    /// Removes; returns what was there.
    pub fn remove(&mut self, prefix: Ipv4Net) -> Option<T> {
        let old = self.routes.remove(&key(prefix))?;
        self.lengths[usize::from(prefix.prefix_len())] -= 1;
        Some(old)
    }

    /// What stands at exactly this prefix.
    pub fn exact(&self, prefix: Ipv4Net) -> Option<&T> {
        self.routes.get(&key(prefix))
    }

    /// The longest route that covers `prefix` and is shorter, with its length.
    pub fn covering(&self, prefix: Ipv4Net) -> Option<(u8, &T)> {
        let address = prefix.network().to_bits();
        let candidates = (0..prefix.prefix_len()).rev();
        candidates.filter(|length| self.lengths[usize::from(*length)] > 0).find_map(|length| {
            let network = address & mask(length);
            self.routes.get(&(network, length)).map(|value| (length, value))
        })
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Every route, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, &T)> {
        self.routes.iter().map(|((address, length), value)| {
            (Ipv4Net::new_assert((*address).into(), *length), value)
        })
    }
}

fn key(prefix: Ipv4Net) -> (u32, u8) {
    (prefix.network().to_bits(), prefix.prefix_len())
}

const fn mask(length: u8) -> u32 {
    match length {
        0 => 0,
        _ => u32::MAX << (32 - length),
    }
}
