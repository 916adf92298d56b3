//! Which CPUs get a worker, where the configuration leaves it open; read from what the kernel says of the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// CPUs of the machine that this process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// CPU -> (NUMA node if known, lowest CPU of the same core).
    cpus: BTreeMap<u16, (Option<u16>, u16)>,
}

/// CPUs for workers, and why these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Ascending, or as the configuration has them.
    pub cpus: Vec<u16>,
    /// In words for the operator.
    pub reason: String,
}

impl Machine {
    /// This machine, of which `allowed` may be used.
    pub fn look(allowed: &[u16]) -> Machine {
        let cpus = allowed.iter().map(|cpu| {
            let directory = format!("/sys/devices/system/cpu/cpu{cpu}");
            let first = fs::read_to_string(format!("{directory}/topology/thread_siblings_list"))
                .ok()
                .and_then(|list| list.split(['-', ',']).next()?.trim().parse().ok());
            (*cpu, (node_of(Path::new(&directory)), first.unwrap_or(*cpu)))
        });
        Machine { cpus: cpus.collect() }
    }

    /// NUMA node of a CPU.
    pub fn node(&self, cpu: u16) -> Option<u16> {
        self.cpus.get(&cpu).and_then(|(node, _)| *node)
    }

    /// One worker for each port, as far as there are cores, one of which stays free for everything else; on one or two CPUs one
    /// worker on the last. `nodes` are those of the ports: workers go to the node of most of them first.
    pub fn choose(&self, nodes: &[Option<u16>]) -> Choice {
        let all = self.cpus.len();
        if all <= 2 {
            let cpus = self.cpus.keys().next_back().copied().into_iter().collect();
            let reason = format!("one worker, on the last of {all} CPUs");
            return Choice { cpus, reason };
        }
        let home = most(nodes);
        // One CPU of each core, those on the node of the ports first, then from the highest number down.
        let mut cores: BTreeMap<u16, u16> = BTreeMap::new();
        for (cpu, (_, core)) in &self.cpus {
            cores.insert(*core, *cpu);
        }
        let count = nodes.len().clamp(1, cores.len().saturating_sub(1).max(1));
        let mut candidates: Vec<u16> = cores.into_values().collect();
        candidates.sort_by_key(|cpu| (home.is_some() && self.node(*cpu) != home, u16::MAX - cpu));
        let mut cpus: Vec<u16> = candidates.into_iter().take(count).collect();
        cpus.sort_unstable();
        let near = match home {
            Some(node) if cpus.iter().all(|cpu| self.node(*cpu) == home) => {
                format!(" on NUMA node {node}, as the ports")
            }
            _ => String::new(),
        };
        let reason = format!(
            "one worker for each of {} ports, of {all} CPUs a core left for the rest{near}",
            nodes.len()
        );
        Choice { cpus, reason }
    }
}

/// NUMA node of a port's device, if it is a PCI device of a machine with several.
pub fn node_of_port(device: &dpdk::Device) -> Option<u16> {
    if !device.is_pci() {
        return None;
    }
    let file = format!("/sys/bus/pci/devices/{}/numa_node", device.name());
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The node whose directory stands in that of the CPU.
fn node_of(cpu: &Path) -> Option<u16> {
    let entries = fs::read_dir(cpu).ok()?.flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
        .next()
}

fn most(nodes: &[Option<u16>]) -> Option<u16> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    nodes.iter().flatten().for_each(|node| *counts.entry(*node).or_default() += 1);
    counts.into_iter().max_by_key(|(node, count)| (*count, u16::MAX - node)).map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPUs on nodes, `siblings` threads a core, numbered as Linux does: all first threads, then all second ones.
    fn machine(cores: u16, siblings: u16, nodes: u16) -> Machine {
        let cpus = (0..cores * siblings).map(|cpu| {
            let core = cpu % cores;
            (cpu, (Some(core * nodes / cores), core))
        });
        Machine { cpus: cpus.collect() }
    }

    #[test]
    fn small_machines_have_one_worker_beside_everything_else() {
        assert_eq!(machine(1, 1, 1).choose(&[None; 2]).cpus, [0]);
        assert_eq!(machine(2, 1, 1).choose(&[None; 4]).cpus, [1]);
        assert_eq!(machine(1, 2, 1).choose(&[None; 4]).cpus, [1]);
        assert!(Machine::default().choose(&[None]).cpus.is_empty());
    }

    #[test]
    fn a_worker_for_each_port_on_cores_of_its_own() {
        assert_eq!(machine(4, 1, 1).choose(&[None; 2]).cpus, [2, 3]);
        assert_eq!(machine(4, 1, 1).choose(&[None; 8]).cpus, [1, 2, 3]);
        // Two threads a core: never both, and a core stays free.
        assert_eq!(machine(4, 2, 1).choose(&[None; 8]).cpus, [5, 6, 7]);
        assert_eq!(machine(2, 2, 1).choose(&[None; 2]).cpus, [3]);
    }

    #[test]
    fn workers_are_near_the_ports_where_there_is_room() {
        let two = machine(8, 1, 2);
        let choice = two.choose(&[Some(0), Some(0), Some(1)]);
        assert_eq!(choice.cpus, [1, 2, 3]);
        assert!(choice.reason.ends_with("on NUMA node 0, as the ports"), "{}", choice.reason);
        assert_eq!(two.choose(&[Some(1); 2]).cpus, [6, 7]);
        let choice = two.choose(&[Some(0); 6]);
        assert_eq!(choice.cpus, [0, 1, 2, 3, 6, 7]);
        assert!(!choice.reason.contains("NUMA"));
    }

    #[test]
    fn this_machine_is_read() {
        let allowed = crate::allowed_cpus();
        let machine = Machine::look(&allowed);
        assert_eq!(machine.cpus.keys().copied().collect::<Vec<_>>(), allowed);
    }
}
