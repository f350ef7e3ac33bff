//! DPDK's arguments, and the thread it starts on.

use std::ffi::{CStr, CString, c_char};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::sharing::leftovers;
use crate::sharing::process::Part;
use crate::{cpu, signals};

/// An address range that AddressSanitizer and the usual places of shared libraries leave free.
const BASE_ADDRESS: &str = "--base-virtaddr=0x200000000000";

/// It takes milliseconds, or seconds where much memory is to be looked at.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts DPDK and SPDK's part on top of it; the error is what DPDK said.
///
/// DPDK pins the thread that starts it to a core and its own threads inherit the signal mask, so it
/// starts on a thread made for that, with all signals blocked: the program's threads keep their affinity
/// and its signal handlers run where they always did.
pub(super) fn start(hugepages: bool, megabytes: u32, pci: bool, part: Part) -> Result<(), String> {
    let arguments = arguments(hugepages, megabytes, pci, part)?;
    let (sender, result) = mpsc::channel();
    let starter = thread::Builder::new().name("dpdk-start".to_owned()).spawn(move || {
        signals::block();
        // Nobody waits any more if this fails.
        let _ = sender.send(run(&arguments, !hugepages));
    });
    starter.map_err(|e| format!("no thread to start DPDK on ({e})"))?;
    // A member waits for locks in memory that it shares; one that was killed may have held them.
    result.recv_timeout(PATIENCE).unwrap_or_else(|why| match why {
        RecvTimeoutError::Timeout => Err(format!("DPDK has not started within {} s", PATIENCE.as_secs())),
        RecvTimeoutError::Disconnected => Err("starting DPDK panicked".to_owned()),
    })
}

fn arguments(hugepages: bool, megabytes: u32, pci: bool, part: Part) -> Result<Vec<CString>, String> {
    let mut list = vec![
        "nvme-spdk".to_owned(),
        // DPDK wants a core to call its main one; any will do, whatever its number (DPDK's own end at 127).
        format!("--lcores=0@{}", cpu::first_allowed()),
        "--no-telemetry".to_owned(),
        // Physical addresses do with an IOMMU and without: vfio-pci maps them, and uio_pci_generic knows no others.
        format!("--iova-mode={}", if pci { "pa" } else { "va" }),
        BASE_ADDRESS.to_owned(),
        "--log-level=lib.eal:4".to_owned(),
    ];
    if !pci {
        list.push("--no-pci".to_owned());
    }
    let prefix = |owner| format!("--file-prefix={}", leftovers::prefix(owner));
    // Memory goes back to the system in the pieces it came in.
    let in_pieces = "--match-allocations".to_owned();
    match part {
        // No files in /run and /dev/hugepages: nothing can be left behind.
        Part::Alone => list.push("--no-shconf".to_owned()),
        Part::Owner => list.extend([prefix(std::process::id()), "--proc-type=primary".to_owned()]),
        Part::Member(owner) => list.extend([prefix(owner), "--proc-type=secondary".to_owned()]),
    }
    match part {
        Part::Alone if hugepages => list.extend(["--in-memory".to_owned(), in_pieces]),
        // 0 would be as much as DPDK likes.
        Part::Alone => list.extend(["--no-huge".to_owned(), "-m".to_owned(), megabytes.max(1).to_string()]),
        Part::Owner => list.push(in_pieces),
        Part::Member(_) => {}
    }
    list.into_iter().map(|text| CString::new(text).map_err(|e| e.to_string())).collect()
}

fn run(arguments: &[CString], legacy_memory: bool) -> Result<(), String> {
    // DPDK reorders the array, which is why it gets one of its own; the strings stay where they are.
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    let count = i32::try_from(argv.len()).map_err(|e| e.to_string())?;
    argv.push(std::ptr::null_mut());
    let mut said: [c_char; 1024] = [0; 1024];
    // SAFETY: argv holds `count` pointers to strings that outlive the call, DPDK does not write to them,
    // and the shim writes at most `said.len()` bytes, NUL-terminated.
    let (rc, said) = unsafe {
        let rc =
            spdk_sys::shim_env_init(count, argv.as_mut_ptr(), legacy_memory, said.as_mut_ptr(), said.len());
        (rc, CStr::from_ptr(said.as_ptr()))
    };
    if rc == 0 {
        return Ok(());
    }
    let said = said.to_string_lossy();
    let lines: Vec<&str> =
        said.lines().map(|line| line.trim_start_matches("EAL: ")).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() { Err(format!("DPDK returned {rc}")) } else { Err(lines.join("; ")) }
}
