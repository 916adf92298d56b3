//! Numbers that other PEs know us by: labels, and the indexes of route distinguishers.
//!
//! Promise: an owner has the same number after a restart and after any reordering of the configuration. The preferred number is a
//! hash of the owner's name, and what was really given out is kept in the state file. A freed number rests: another PE's
//! stale route must not deliver into a stranger's VRF. Only its last owner may have it back before. An unwritable state
//! file is a warning: numbers are then stable as far as their hashes do not collide.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use wire::Label;

/// Who has a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Name of the VRF.
    pub vrf: String,
    /// Name of the instance; `None`: the VRF itself. An instance that moves to another VRF is another owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Owner {
    /// A VRF.
    pub fn vrf(name: &str) -> Self {
        Owner { vrf: name.to_owned(), instance: None }
    }

    /// An instance in a VRF.
    pub fn instance(vrf: &str, name: &str) -> Self {
        Owner { vrf: vrf.to_owned(), instance: Some(name.to_owned()) }
    }

    /// FNV-1a over both names, which never contain a zero byte: the same on every machine and in every release.
    fn hash(&self) -> u64 {
        let bytes =
            self.vrf.bytes().chain([0]).chain(self.instance.iter().flat_map(|name| name.bytes()));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}

/// Seconds since 1970, so that a rest goes on over a restart of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unix(pub u64);

impl Unix {
    /// The wall clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Unix(since.as_secs())
    }
}

/// A number that rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resting {
    /// Who had it last.
    pub owner: Owner,
    /// When it is free again.
    pub until: Unix,
}

/// Numbers of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    first: u32,
    last: u32,
    taken: BTreeMap<u32, Owner>,
    by_owner: BTreeMap<Owner, u32>,
    resting: BTreeMap<u32, Resting>,
}

impl Numbers {
    /// Numbers of `first..=last`, none taken.
    pub fn new(first: u32, last: u32) -> Self {
        Numbers {
            first,
            last,
            taken: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            resting: BTreeMap::new(),
        }
    }

    /// Gives every owner a number and frees those of all others, which then rest for `quarantine` seconds. Owners that have a
    /// number keep it; the order of `owners` does not matter. The result lists owners for whom none was left.
    pub fn assign(
        &mut self,
        owners: impl IntoIterator<Item = Owner>,
        quarantine: u32,
        now: Unix,
    ) -> Vec<Owner> {
        let mut new = BTreeMap::new();
        for owner in owners {
            new.insert(owner, ());
        }
        let until = Unix(now.0 + u64::from(quarantine));
        for (number, owner) in &self.taken {
            if !new.contains_key(owner) {
                self.resting.insert(*number, Resting { owner: owner.clone(), until });
            }
        }
        self.taken.retain(|_, owner| new.contains_key(owner));
        self.by_owner.retain(|owner, _| new.contains_key(owner));
        self.resting.retain(|_, resting| resting.until > now);
        let returning: BTreeMap<Owner, u32> =
            self.resting.iter().map(|(number, resting)| (resting.owner.clone(), *number)).collect();
        new.retain(|owner, ()| !self.by_owner.contains_key(owner));
        new.into_keys().filter(|owner| !self.take(owner, &returning)).collect()
    }

    fn take(&mut self, owner: &Owner, returning: &BTreeMap<Owner, u32>) -> bool {
        let Some(number) = returning.get(owner).copied().or_else(|| self.free_number(owner)) else {
            return false;
        };
        self.resting.remove(&number);
        self.taken.insert(number, owner.clone());
        self.by_owner.insert(owner.clone(), number);
        true
    }

    /// The first free number from the preferred one on, going round once.
    fn free_number(&self, owner: &Owner) -> Option<u32> {
        let size = u64::from(self.last - self.first) + 1;
        let start = owner.hash() % size;
        let free =
            |number: &u32| !self.taken.contains_key(number) && !self.resting.contains_key(number);
        (0..size)
            .filter_map(|step| u32::try_from((start + step) % size).ok())
            .map(|n| self.first + n)
            .find(free)
    }

    /// The number of an owner.
    pub fn of(&self, owner: &Owner) -> Option<u32> {
        self.by_owner.get(owner).copied()
    }

    /// Numbers in use.
    pub fn taken(&self) -> impl Iterator<Item = (u32, &Owner)> {
        self.taken.iter().map(|(number, owner)| (*number, owner))
    }

    /// Numbers that still rest at `now`, with the seconds left.
    pub fn resting(&self, now: Unix) -> impl Iterator<Item = (u32, &Owner, u64)> {
        self.resting
            .iter()
            .filter(move |(_, resting)| resting.until > now)
            .map(move |(number, resting)| (*number, &resting.owner, resting.until.0 - now.0))
    }

    fn saved(&self) -> SavedNumbers {
        SavedNumbers {
            taken: self.taken.iter().map(|(number, owner)| (*number, owner.clone())).collect(),
            resting: self
                .resting
                .iter()
                .map(|(number, resting)| (*number, resting.clone()))
                .collect(),
        }
    }

    /// Takes over what a file says, leaving out what is out of range or there twice.
    fn restore(&mut self, saved: SavedNumbers) {
        let legal = self.first..=self.last;
        for (number, owner) in saved.taken {
            let new = !self.taken.contains_key(&number) && !self.by_owner.contains_key(&owner);
            if legal.contains(&number) && new {
                self.by_owner.insert(owner.clone(), number);
                self.taken.insert(number, owner);
            }
        }
        for (number, resting) in saved.resting {
            if legal.contains(&number) && !self.taken.contains_key(&number) {
                self.resting.insert(number, resting);
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedNumbers {
    taken: Vec<(u32, Owner)>,
    resting: Vec<(u32, Resting)>,
}

/// The state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    labels: SavedNumbers,
    rd_indexes: SavedNumbers,
}

const VERSION: u32 = 1;

/// Labels and RD indexes of one node, with their file.
#[derive(Debug)]
pub struct Identities {
    /// Labels: one for each instance and one for each VRF.
    pub labels: Numbers,
    /// Second half of the RD of each VRF (RFC 4364 4.2, type 1).
    pub rd_indexes: Numbers,
    file: PathBuf,
    warning: Option<String>,
}

impl Identities {
    /// Reads the state file; a missing one is an empty one. What cannot be read is a warning, and the file is kept beside.
    pub fn load(file: &Path) -> Self {
        let mut identities = Identities {
            labels: Numbers::new(Label::MIN.value(), Label::MAX.value()),
            rd_indexes: Numbers::new(1, u32::from(u16::MAX)),
            file: file.to_owned(),
            warning: None,
        };
        match read(file) {
            Ok(Some(saved)) => {
                identities.labels.restore(saved.labels);
                identities.rd_indexes.restore(saved.rd_indexes);
            }
            Ok(None) => {}
            Err(error) => {
                let kept = file.with_extension("json.unreadable");
                let _ = fs::rename(file, &kept);
                let text = format!("state file {}: {error}; labels start anew", file.display());
                tracing::warn!("{text}");
                identities.warning = Some(text);
            }
        }
        identities
    }

    /// What an operator should know about the file.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Gives numbers to all owners, and writes the file if that changed anything. Owners left without are named.
    pub fn assign(
        &mut self,
        vrfs: &[Owner],
        instances: &[Owner],
        quarantine: u32,
        now: Unix,
    ) -> Vec<String> {
        let before = (self.labels.clone(), self.rd_indexes.clone());
        let all = vrfs.iter().chain(instances).cloned();
        let no_label = self.labels.assign(all, quarantine, now);
        let no_index = self.rd_indexes.assign(vrfs.iter().cloned(), quarantine, now);
        if before.0 != self.labels || before.1 != self.rd_indexes {
            self.save();
        }
        let name = |owner: &Owner| owner.instance.clone().unwrap_or_else(|| owner.vrf.clone());
        let labels = no_label.iter().map(|owner| format!("no label left for {}", name(owner)));
        let indexes =
            no_index.iter().map(|o| format!("no route distinguisher left for VRF {}", o.vrf));
        labels.chain(indexes).collect()
    }

    fn save(&mut self) {
        let saved = Saved {
            version: VERSION,
            labels: self.labels.saved(),
            rd_indexes: self.rd_indexes.saved(),
        };
        self.warning = write(&self.file, &saved).err().map(|error| {
            let path = self.file.display();
            let text = format!(
                "state file {path} cannot be written: {error}; labels may change over a restart \
                 (make its directory writable, or set [router] state-file)"
            );
            tracing::warn!("{text}");
            text
        });
    }
}

fn read(file: &Path) -> io::Result<Option<Saved>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_slice(&text)?;
    if saved.version != VERSION {
        return Err(io::Error::other(format!("version {} is not {VERSION}", saved.version)));
    }
    Ok(Some(saved))
}

/// The file holds the old or the new state at any moment, also over a power cut.
fn write(file: &Path, saved: &Saved) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let temporary = file.with_extension("json.new");
    let mut new = File::create(&temporary)?;
    new.write_all(&serde_json::to_vec(saved)?)?;
    new.sync_all()?;
    fs::rename(&temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers::new(16, 1_048_575)
    }

    fn owners(names: &[&str]) -> Vec<Owner> {
        names.iter().map(|name| Owner::instance("Public", name)).collect()
    }

    #[test]
    fn order_and_company_do_not_change_a_number() {
        let (mut one, mut other) = (numbers(), numbers());
        assert!(one.assign(owners(&["a", "b", "c"]), 300, Unix(0)).is_empty());
        other.assign(owners(&["c"]), 300, Unix(0));
        other.assign(owners(&["d", "c", "b", "a"]), 300, Unix(0));
        for owner in owners(&["a", "b", "c"]) {
            assert_eq!(one.of(&owner), other.of(&owner));
        }
    }

    #[test]
    fn a_freed_number_rests_and_only_its_owner_gets_it_back() {
        let mut numbers = Numbers::new(16, 17);
        numbers.assign(owners(&["a", "b"]), 300, Unix(1000));
        let a = numbers.of(&owners(&["a"])[0]);
        numbers.assign(owners(&["b"]), 300, Unix(1000));
        assert_eq!(
            numbers.resting(Unix(1100)).map(|(n, _, left)| (Some(n), left)).collect::<Vec<_>>(),
            [(a, 200)]
        );
        assert_eq!(numbers.assign(owners(&["b", "c"]), 300, Unix(1299)), owners(&["c"]));
        let mut back = numbers.clone();
        assert!(back.assign(owners(&["a", "b"]), 300, Unix(1299)).is_empty());
        assert_eq!(back.of(&owners(&["a"])[0]), a);
        assert!(numbers.assign(owners(&["b", "c"]), 300, Unix(1300)).is_empty());
        assert_eq!(numbers.of(&owners(&["c"])[0]), a);
    }

    #[test]
    fn an_instance_that_changes_vrf_gets_another_label() {
        let mut numbers = numbers();
        numbers.assign([Owner::instance("A", "x")], 300, Unix(0));
        let old = numbers.of(&Owner::instance("A", "x"));
        numbers.assign([Owner::instance("B", "x")], 300, Unix(0));
        assert_ne!(numbers.of(&Owner::instance("B", "x")), old);
    }

    #[test]
    fn the_file_keeps_numbers_and_rests_over_a_restart() {
        let directory = std::env::temp_dir().join(format!("vrouter-labels-{}", std::process::id()));
        let file = directory.join("below/gw1.json");
        let mut first = Identities::load(&file);
        let vrf = [Owner::vrf("Public")];
        first.assign(&vrf, &owners(&["a", "b"]), 300, Unix(1000));
        first.assign(&vrf, &owners(&["b"]), 300, Unix(1000));
        let second = Identities::load(&file);
        assert_eq!((&first.labels, &first.rd_indexes), (&second.labels, &second.rd_indexes));
        assert_eq!(second.labels.resting(Unix(1000)).count(), 1);
        assert_eq!(second.warning(), None);

        fs::write(&file, "{ not json").unwrap();
        assert!(Identities::load(&file).warning().unwrap().contains("start anew"));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn an_unwritable_file_is_a_warning_only() {
        let mut identities = Identities::load(Path::new("/proc/nowhere/gw1.json"));
        assert!(identities.assign(&[Owner::vrf("Public")], &[], 300, Unix(0)).is_empty());
        assert!(identities.warning().unwrap().contains("cannot be written"));
        assert!(identities.labels.of(&Owner::vrf("Public")).is_some());
    }
}
