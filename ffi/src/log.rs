//! What DPDK says while one of its calls runs, so that an error can quote it instead of a number alone.

use std::ffi::c_char;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use crate::error::Log;

/// A memory stream that lives for ever: a DPDK thread that still holds it after a capture writes into it harmlessly.
struct Stream {
    file: *mut libc::FILE,
    // The stream library keeps the addresses of these two, so they stand in a leaked box.
    buffer: *mut Memory,
}

struct Memory {
    text: *mut c_char,
    size: libc::size_t,
}

// WHY: the stream is made by one thread and used by others, one at a time under the mutex.
// SAFETY: stdio streams may be used from any thread; the pointers are to leaked memory.
unsafe impl Send for Stream {}

static STREAM: Mutex<Option<Stream>> = Mutex::new(None);

const KEPT: usize = 2000; // bytes: an error message, not a log

/// Runs `call` and returns its result with what DPDK logged meanwhile.
pub(crate) fn capture<R>(call: impl FnOnce() -> R) -> (R, Log) {
    let mut guard = STREAM.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        *guard = open();
    }
    let Some(stream) = guard.as_ref() else { return (call(), Log::default()) };
    // WHY: what an earlier capture left must not be read as this one's.
    // SAFETY: `file` is an open stream that is never closed.
    unsafe {
        libc::rewind(stream.file);
        dpdk_sys::rte_openlog_stream(stream.file.cast());
    }
    let result = call();
    // WHY: back to DPDK's own stream (stderr and syslog); then read what was written.
    // SAFETY: the stream is open; after fflush `text` points to `size` bytes. A thread that writes at this moment could move
    // the buffer, so the stream's own lock is held while it is copied.
    let text = unsafe {
        dpdk_sys::rte_openlog_stream(ptr::null_mut());
        flockfile(stream.file);
        libc::fflush(stream.file);
        let memory = &*stream.buffer;
        let bytes = if memory.text.is_null() {
            Vec::new()
        } else {
            std::slice::from_raw_parts(memory.text.cast::<u8>(), memory.size).to_vec()
        };
        funlockfile(stream.file);
        bytes
    };
    let start = text.len().saturating_sub(KEPT);
    (result, Log(String::from_utf8_lossy(&text[start..]).into_owned()))
}

fn open() -> Option<Stream> {
    let buffer = Box::into_raw(Box::new(Memory { text: ptr::null_mut(), size: 0 }));
    // WHY: DPDK logs to a stdio stream and to nothing else.
    // SAFETY: both addresses are those of a leaked box and stay valid for ever.
    let file = unsafe { libc::open_memstream(&raw mut (*buffer).text, &raw mut (*buffer).size) };
    if file.is_null() { None } else { Some(Stream { file, buffer }) }
}

// WHY: the libc package does not declare these two of POSIX.
// SAFETY: the signatures are those of stdio.h.
unsafe extern "C" {
    fn flockfile(file: *mut libc::FILE);
    fn funlockfile(file: *mut libc::FILE);
}
