//! Files of the kernel: short texts to read, and orders that are given by writing, each within a bound.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use crate::error::Error;
use crate::interrupt;

/// What stands in a file, without the line's end.
pub(super) fn text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// The names in a folder, in order.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The last part of where a link leads: how the kernel names a driver or a group.
pub(super) fn link_name(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// How often whoever waits asks whether to give up.
const SLICE: Duration = Duration::from_millis(20);

/// Writes to a file of the kernel, which does what it is told before the write returns. That may take for ever: a
/// driver may wait until whoever has the function open lets go of it. So a thread of its own does the waiting.
pub(super) fn order(path: &Path, text: &str, patience: Duration) -> io::Result<()> {
    let (sender, receiver) = bounded(1);
    let (path, text) = (path.to_owned(), text.to_owned());
    thread::Builder::new().name("pci-order".to_owned()).spawn(move || {
        // Never created: a file that is missing is something this kernel or this function cannot do.
        let file = OpenOptions::new().write(true).truncate(true).open(&path);
        drop(sender.send(file.and_then(|mut file| file.write_all(text.as_bytes()))));
    })?;
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the writing thread panicked"));
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Timeout) if interrupt::pending() => {
                return Err(ErrorKind::Interrupted.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The error for an order or a question that failed.
pub(super) fn explain(function: String, what: &str, error: io::Error, patience: Duration) -> Error {
    let remedy = match error.kind() {
        // Said by nobody else: a signal alone makes no call fail here.
        ErrorKind::Interrupted => return Error::Interrupted { what: format!("{function}: {what}") },
        ErrorKind::TimedOut => {
            return Error::Timeout {
                what: format!("{function}: {what}"),
                timeout: patience,
                remedy: "end the processes that have the function open (as root: fuser -v /dev/uio* /dev/vfio/*), \
                         and see the kernel's log: dmesg",
            };
        }
        ErrorKind::PermissionDenied => {
            "run as root; if it is root already, the kernel is locked down (see /sys/kernel/security/lockdown): \
             switch Secure Boot off"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "sysfs is mounted read-only, as in a container: run outside it, or in a privileged one"
        }
        ErrorKind::NotFound => "this kernel or this function has no such control; see lspci -vv",
        _ => "see the kernel's log: dmesg",
    };
    Error::Pci {
        function,
        what: what.to_owned(),
        why: error.to_string(),
        remedy: remedy.to_owned(),
        source: Some(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_blocks_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unbind");
        // Opening a FIFO for writing waits for a reader, as unbinding waits for who has the function open.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let start = Instant::now();
        let error = order(&path, "1", Duration::from_millis(50)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        let error =
            explain("PCI function 0000:01:00.0".to_owned(), "unbinding it", error, Duration::from_millis(50));
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("PCI function 0000:01:00.0: unbinding it did not finish within 50ms"),
            "{text}"
        );
        // A reader lets the thread end.
        assert_eq!(text_of(&path), "1");
    }

    fn text_of(path: &Path) -> String {
        super::text(path).unwrap()
    }

    #[test]
    fn an_error_keeps_what_the_kernel_said() {
        let said = io::Error::from_raw_os_error(libc::EBUSY);
        let error = explain("PCI function 0000:01:00.0".to_owned(), "resetting it", said, Duration::ZERO);
        assert_eq!(
            error.to_string(),
            "PCI function 0000:01:00.0: resetting it: Device or resource busy (os error 16); see the kernel's log: dmesg"
        );
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::EBUSY));
    }

    #[test]
    fn an_order_creates_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = order(&folder.path().join("reset"), "1", Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(names(folder.path()).unwrap(), Vec::<String>::new());
    }
}
