//! Each distinct attribute set is kept once.

use std::sync::Arc;

use hashbrown::HashSet;

use super::PathAttributes;

/// Sets in use, and some that are not any more until the next sweep.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    sets: HashSet<Arc<PathAttributes>>,
    sweep_at: usize,
}

/// Below this many sets a sweep is not worth it.
const SMALL: usize = 1024;

impl Interner {
    /// The kept set that equals `attributes`.
    pub(crate) fn intern(&mut self, attributes: PathAttributes) -> Arc<PathAttributes> {
        if let Some(kept) = self.sets.get(&attributes) {
            return Arc::clone(kept);
        }
        // Whoever else holds a set decides when it goes, so unused ones are found by looking. At
        // twice the number that survived last time, looking costs each set a constant share.
        if self.sets.len() >= self.sweep_at.max(SMALL) {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            self.sweep_at = self.sets.len() * 2;
        }
        let set = Arc::new(attributes);
        self.sets.insert(Arc::clone(&set));
        set
    }

    /// Sets held, used or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }
}
