//! Worker threads: ordinary threads, pinned to a CPU by us and registered with EAL, so that pool caches work in them.
//!
//! The set of workers thus comes from the configuration, and EAL's own `-l` names only its main thread.

use std::any::Any;
use std::io;
use std::mem;
use std::sync::mpsc;
use std::thread;

use crate::Eal;
use crate::error::{Errno, LcoreError};

/// Where the running thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lcore {
    /// EAL's number for this thread: index of its pool caches.
    pub id: u32,
    /// The CPU that it is pinned to.
    pub cpu: usize,
}

/// A running worker thread.
#[derive(Debug)]
pub struct LcoreHandle<T> {
    thread: thread::JoinHandle<Option<T>>, // None only if it never reached the work, and then `spawn` failed
    lcore: Lcore,
}

impl<T> LcoreHandle<T> {
    /// Waits for the end of the work; `Err` is the panic it ended with.
    pub fn join(self) -> Result<T, Box<dyn Any + Send>> {
        self.thread
            .join()?
            .ok_or_else(|| Box::new("the thread did not start") as Box<dyn Any + Send>)
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn lcore(&self) -> Lcore {
        self.lcore
    }
}

/// Starts a thread pinned to `cpu` and registered with EAL; returns once it runs there. It is unregistered when `work`
/// returns or panics.
pub fn spawn<T, F>(_eal: Eal, cpu: usize, name: &str, work: F) -> Result<LcoreHandle<T>, LcoreError>
where
    F: FnOnce(Lcore) -> T + Send + 'static,
    T: Send + 'static,
{
    let (report, started) = mpsc::sync_channel(1);
    let label = name.to_string();
    let body = move || {
        let entered = enter(cpu, &label);
        let registered = match entered {
            Ok(registered) => registered,
            Err(error) => {
                let _ = report.send(Err(error));
                return None;
            }
        };
        let _ = report.send(Ok(registered.0));
        Some(work(registered.0))
    };
    let builder = thread::Builder::new().name(name.to_string());
    let thread = builder
        .spawn(body)
        .map_err(|source| LcoreError::Spawn { name: name.to_string(), source })?;
    let lcore = started.recv().map_err(|_| LcoreError::Died(name.to_string()))??;
    Ok(LcoreHandle { thread, lcore })
}

/// The CPUs that this process may use (taskset, cgroup), ascending.
pub fn allowed() -> Vec<usize> {
    affinity().unwrap_or_default()
}

/// Unregisters the thread when it ends, by return or by panic.
struct Registered(Lcore);

fn enter(cpu: usize, name: &str) -> Result<Registered, LcoreError> {
    let name = || name.to_string();
    let allowed = allowed_text();
    pin(&[cpu]).map_err(|source| LcoreError::Pin { name: name(), cpu, allowed, source })?;
    // WHY: without an lcore id a thread has no pool caches.
    // SAFETY: EAL is up (`spawn` took an Eal); this thread is not registered yet.
    if unsafe { dpdk_sys::rte_thread_register() } < 0 {
        return Err(LcoreError::Register { name: name(), errno: Errno::last() });
    }
    // WHY: the id is a thread-local of libdpdk.
    // SAFETY: reads an int.
    let id = unsafe { dpdk_sys::vr_lcore_id() };
    Ok(Registered(Lcore { id, cpu }))
}

impl Drop for Registered {
    fn drop(&mut self) {
        // WHY: the lcore id becomes free for another thread.
        // SAFETY: this thread registered itself (the value never leaves it: it is a local of the thread's body).
        unsafe { dpdk_sys::rte_thread_unregister() }
    }
}

pub(crate) fn affinity() -> io::Result<Vec<usize>> {
    // WHY: which CPUs a thread may use is the kernel's to say.
    // SAFETY: all-zero is a valid cpu_set_t, and its size is passed along; CPU_ISSET stays within CPU_SETSIZE.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect())
    }
}

/// Pins the calling thread to these CPUs: for threads that are no workers and must keep off the workers' CPUs.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    // WHY: the standard library cannot pin threads.
    // SAFETY: all-zero is a valid cpu_set_t; CPU_SET is kept within CPU_SETSIZE; 0 is the calling thread.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for &cpu in cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(cpu, &mut set);
        }
        match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Lets sleeps of the calling thread end when they are over: the kernel otherwise adds up to 50 us, to wake several threads at
/// once. Costs a timer interrupt per sleep.
pub fn exact_sleeps() -> io::Result<()> {
    // WHY: the standard library has no prctl.
    // SAFETY: concerns the calling thread alone; the argument is a number of nanoseconds.
    match unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn allowed_text() -> String {
    let cpus: Vec<String> = allowed().iter().map(usize::to_string).collect();
    if cpus.is_empty() { "0".into() } else { cpus.join(",") }
}
