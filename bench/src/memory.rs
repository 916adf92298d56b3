//! Huge pages for a run: taken if they are to be had, given back afterwards. All programs of a run get the same kind of memory.

use std::fs;

use dpdk::Pool;

use crate::forward::mbufs;
use crate::options::Options;

const PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
/// Beside the pools of the run: others may take some meanwhile, and EAL rounds.
const MARGIN_MIB: u32 = 256;

/// EAL memory that one process of a run needs, MiB.
pub fn process_mib(options: &Options) -> u32 {
    let room = options.mbuf_size() - dpdk::HEADROOM;
    (Pool::memory(mbufs(options), room) * 6 / 5 / (1 << 20)) as u32 + 64
}

/// Huge pages that were reserved for a run; given back when this goes.
pub struct HugePages {
    before: Option<u64>,
}

impl HugePages {
    /// As [`HugePages::reserve`], for `processes` with these options, which say so if they have to do without.
    pub fn for_processes(options: &mut Options, processes: u32) -> (HugePages, bool) {
        let (pages, huge) = HugePages::reserve(process_mib(options) * processes);
        if !huge && !options.eal.iter().any(|word| word == "--no-huge") {
            options.eal.push("--no-huge".into());
        }
        (pages, huge)
    }

    /// Sees to it that `mib` of huge pages are free. False in the second place if they are not to be had: then every program
    /// has to do with plain memory.
    pub fn reserve(mib: u32) -> (HugePages, bool) {
        let need = mib + MARGIN_MIB;
        let free = dpdk::eal::free_hugepages_mb();
        if free >= need {
            return (HugePages { before: None }, true);
        }
        let present =
            fs::read_to_string(PAGES).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(present) = present else { return (HugePages { before: None }, false) };
        let more = u64::from(need - free).div_ceil(2);
        let _ = fs::write(PAGES, (present + more).to_string());
        let pages = HugePages { before: Some(present) };
        let enough = dpdk::eal::free_hugepages_mb() >= need;
        (pages, enough)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = fs::write(PAGES, before.to_string());
        }
    }
}
