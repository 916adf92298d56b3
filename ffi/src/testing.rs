//! Support for tests that need EAL (feature `testing`): EAL starts once per process, so each such test re-executes itself
//! in a process of its own, and plain `cargo test` works.

use std::env;
use std::process::Command;

use crate::Eal;

const MARK: &str = "DPDK_TEST_IN_OWN_PROCESS";

/// Runs `body` in a process of its own: the running test binary, with this one test. `test` is the full path of the test
/// function inside its crate, such as `tests::round_trip`.
///
/// # Panics
/// If that process fails; its output is part of the message.
#[allow(clippy::expect_used)] // WHY: a test that cannot start its process has failed
pub fn own_process(test: &str, body: impl FnOnce()) {
    if env::var(MARK).is_ok_and(|running| running == test) {
        return body();
    }
    let program = env::current_exe().expect("the test knows its own program");
    let output = Command::new(program)
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .output()
        .expect("the test can start itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 passed") && output.status.success(), "{test}:\n{text}\n{errors}");
}

/// EAL without hugepages, PCI, files or log output.
///
/// # Panics
/// If EAL does not start.
#[allow(clippy::expect_used)] // WHY: a test without EAL has failed
pub fn eal(memory_mb: u32) -> Eal {
    let memory = memory_mb.to_string();
    let lcores = format!("--lcores=0@({})", crate::lcore::allowed_text());
    let arguments = [
        "--no-huge",
        "-m",
        &memory,
        "--no-pci",
        "--no-telemetry",
        "--no-shconf",
        "--iova-mode=va",
        "--log-level=*:error",
        &lcores,
    ];
    Eal::init(&arguments.map(String::from)).expect("EAL starts without hugepages")
}

/// Moves the calling thread, and all that it starts, into a new network namespace that ends with the process. False without
/// the privilege to do so.
pub fn own_namespace() -> bool {
    // WHY: the standard library has no unshare.
    // SAFETY: concerns only the calling thread's namespace.
    unsafe { libc::unshare(libc::CLONE_NEWNET) == 0 }
}

/// Goes on as user nobody, for good. False if this process could not.
pub fn become_nobody() -> bool {
    // WHY: the standard library changes users only for children.
    // SAFETY: changes the credentials of this process and nothing else.
    unsafe {
        libc::setresgid(65534, 65534, 65534) == 0 && libc::setresuid(65534, 65534, 65534) == 0
    }
}

/// Runs a command such as `ip link set v0 up` in the namespace of the calling thread.
///
/// # Panics
/// If it fails.
#[allow(clippy::expect_used)] // WHY: the test cannot go on without
pub fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let status = Command::new(program).args(words).status();
    assert!(status.is_ok_and(|status| status.success()), "{command}");
}
