//! EAL: started once per process, never cleaned up before the process ends.
//!
//! [`Eal::arguments`] makes the argument list: hugepages where there are free ones, plain memory otherwise; no telemetry
//! socket, no shared configuration, one lcore (the calling thread, left on the CPUs that it may use): workers are threads
//! of our own that register ([`crate::lcore`]), so the set of them comes from the configuration and not from EAL.

use std::ffi::{CString, c_char};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{EalError, Errno, Log};
use crate::lcore;
use crate::log;

/// Proof that EAL is up. Copy it to whatever makes pools, ports or lcores.
#[derive(Clone, Copy, Debug)]
pub struct Eal(());

/// What the argument list depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EalPlan {
    /// MiB of memory that pools and queues will need.
    pub memory_mb: u32,
    /// PCI addresses of the ports; empty means that the PCI bus is left alone.
    pub pci: Vec<String>,
    /// Free hugepage memory in MiB, as [`free_hugepages_mb`] finds it.
    pub hugepages_mb: u32,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts EAL with these arguments (without the program name). The CPU affinity of the calling thread is kept.
    pub fn init(arguments: &[String]) -> Result<Eal, EalError> {
        let mut owned = vec![CString::from(c"vrouter")];
        for argument in arguments {
            let text = CString::new(argument.as_str());
            owned.push(text.map_err(|_| EalError::BadArgument(argument.clone()))?);
        }
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::AlreadyStarted);
        }
        // EAL permutes the array and may keep pointers into it: both live as long as the process.
        let pointers: Vec<*mut c_char> = owned.into_iter().map(CString::into_raw).collect();
        let pointers = pointers.leak();
        let affinity = lcore::affinity();
        let (code, log) = log::capture(|| {
            // WHY: this starts DPDK.
            // SAFETY: argc and argv describe leaked, NUL-terminated, writable strings; called once (STARTED).
            unsafe { dpdk_sys::rte_eal_init(pointers.len() as i32, pointers.as_mut_ptr()) }
        });
        let errno = Errno::last();
        if let Ok(cpus) = affinity {
            let _ = lcore::pin(&cpus); // EAL pins its main thread to one CPU unless told otherwise.
        }
        if code < 0 { Err(diagnose(arguments, errno, log)) } else { Ok(Eal(())) }
    }

    /// The argument list: `extra` (the operator's, which win) and what they leave open.
    pub fn arguments(plan: &EalPlan, extra: &[String]) -> Vec<String> {
        let given = |names: &[&str]| {
            extra.iter().any(|argument| {
                names.iter().any(|name| {
                    argument == name
                        || argument.strip_prefix(name).is_some_and(|rest| {
                            rest.starts_with('=') || (name.len() == 2 && !rest.is_empty())
                        })
                })
            })
        };
        let mut list = Vec::new();
        let mut add = |argument: &str| list.push(argument.to_string());
        if !given(&["--log-level"]) {
            add("--log-level=*:error");
        }
        if !given(&["--no-telemetry", "--telemetry"]) {
            add("--no-telemetry");
        }
        if !given(&["-l", "-c", "--lcores"]) {
            add(&format!("--lcores=0@({})", lcore::allowed_text()));
        }
        let memory_given = given(&["--in-memory", "--huge-dir", "--file-prefix", "--legacy-mem"]);
        let enough = plan.hugepages_mb >= plan.memory_mb.max(1);
        if given(&["--no-huge"]) || (!memory_given && !enough) {
            // Without hugepages EAL refuses --in-memory, and takes all of its memory at once.
            for option in ["--no-huge", "--no-shconf"] {
                if !given(&[option]) {
                    add(option);
                }
            }
            if !given(&["-m", "--socket-mem"]) {
                add("-m");
                add(&plan.memory_mb.max(64).to_string());
            }
        } else if !memory_given {
            add("--in-memory");
        }
        if !given(&["-a", "--allow", "-b", "--block", "--no-pci"]) {
            if plan.pci.is_empty() {
                add("--no-pci");
            }
            for address in &plan.pci {
                add("-a");
                add(address);
            }
        }
        if plan.pci.is_empty() && !given(&["--iova-mode"]) {
            add("--iova-mode=va");
        }
        list.extend(extra.iter().cloned());
        list
    }

    /// [`Eal::arguments`] for this machine as it is, with nothing said by the operator.
    pub fn default_args(memory_mb: u32, pci: &[String]) -> Vec<String> {
        let plan = EalPlan { memory_mb, pci: pci.to_vec(), hugepages_mb: free_hugepages_mb() };
        Self::arguments(&plan, &[])
    }
}

/// Free hugepage memory of all sizes and sockets, MiB. 0 as well where the kernel has none.
pub fn free_hugepages_mb() -> u32 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    let free = sizes.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count = fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
        Some(kib * count.trim().parse::<u64>().ok()? / 1024)
    });
    free.sum::<u64>().min(u64::from(u32::MAX)) as u32
}

/// The time stamp counter: for busy accounting and latency, in units of 1/[`hz`] s.
#[inline]
pub fn cycles() -> u64 {
    // WHY: reading the counter is an instruction of each architecture, which DPDK knows.
    // SAFETY: no precondition, no memory touched.
    unsafe { dpdk_sys::vr_cycles() }
}

/// Ticks of [`cycles`] per second; measured by EAL when it starts.
pub fn hz(_eal: Eal) -> u64 {
    // WHY: EAL measured it.
    // SAFETY: reads a variable of EAL, which is up.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}

fn diagnose(arguments: &[String], errno: Errno, log: Log) -> EalError {
    let hugepages = !arguments.iter().any(|argument| argument == "--no-huge");
    let said = |text: &str| log.0.contains(text);
    if hugepages && free_hugepages_mb() == 0 {
        return EalError::NoHugepages { log };
    }
    match errno.0 {
        libc::EINVAL => EalError::Arguments { arguments: arguments.to_vec(), log },
        libc::EACCES | libc::EPERM if hugepages && said("hugepage") => {
            EalError::NoHugepages { log }
        }
        libc::EACCES | libc::EPERM => EalError::Permission { log },
        libc::ENOMEM => EalError::NoMemory { log },
        _ if said("ermission denied") => EalError::Permission { log },
        _ if said("annot allocate memory") || said("annot init memory") => {
            EalError::NoMemory { log }
        }
        _ => EalError::Other { errno, log },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(hugepages_mb: u32) -> EalPlan {
        EalPlan { memory_mb: 200, pci: vec![], hugepages_mb }
    }

    #[test]
    fn hugepages_where_enough_are_free() {
        let list = Eal::arguments(&plan(200), &[]);
        assert!(list.contains(&"--in-memory".into()));
        assert!(!list.contains(&"--no-huge".into()));
        let list = Eal::arguments(&plan(199), &[]);
        assert!(list.windows(2).any(|pair| pair == ["-m", "200"]));
        assert!(!list.contains(&"--in-memory".into()), "EAL refuses the two together");
    }

    #[test]
    fn what_the_operator_says_wins() {
        let extra: Vec<String> = ["--no-huge", "-m", "64", "-l", "1", "--log-level=lib.eal:debug"]
            .map(Into::into)
            .into();
        let list = Eal::arguments(&plan(4096), &extra);
        assert!(!list.contains(&"--in-memory".into()));
        assert!(!list.iter().any(|argument| argument.starts_with("--lcores")));
        assert!(!list.contains(&"--log-level=*:error".into()));
        assert!(list.ends_with(&extra));
        assert_eq!(list.iter().filter(|argument| *argument == "-m").count(), 1);
        assert!(list.contains(&"--no-shconf".into()), "no files are left behind");
    }

    #[test]
    fn only_the_ports_of_the_configuration_are_probed() {
        let pci = EalPlan { pci: vec!["0000:3b:00.0".into()], ..plan(0) };
        let list = Eal::arguments(&pci, &[]);
        assert!(list.windows(2).any(|pair| pair == ["-a", "0000:3b:00.0"]));
        assert!(!list.contains(&"--no-pci".into()));
        assert!(Eal::arguments(&plan(0), &[]).contains(&"--no-pci".into()));
    }
}
