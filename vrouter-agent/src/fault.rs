//! Faults on purpose, to show that they are survived. Only with the feature `fault-injection`.

/// Panics in the task that calls it.
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn panic_in(task: &str) -> ! {
    panic!("injected into the {task} task")
}
