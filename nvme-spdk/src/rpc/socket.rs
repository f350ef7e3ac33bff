//! The socket in the file system: whose it is, and that only one process serves there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

/// What is wrong, what to do about it, and what the system said.
#[derive(Debug)]
pub(super) struct Problem {
    pub why: String,
    pub remedy: &'static str,
    pub source: Option<io::Error>,
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Only the owner may read and write, which for a socket means connect.
const MODE: u32 = 0o600;

/// The socket's file, under the lock that keeps others from replacing it. Both are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    _forks: [NotInForks; 2],
    // Dropped last: nobody else makes a socket before this one is removed.
    _lock: Lock,
}

impl Place {
    /// Makes the socket, in place of one that a dead process has left.
    pub(super) fn take(path: &Path) -> Result<(Place, UnixListener), Problem> {
        let failed = |e: io::Error| Problem {
            why: e.to_string(),
            remedy: "remove what is left there, or name another path with NVME_RPC_SOCKET (empty for no server)",
            source: Some(e),
        };
        let lock = Lock::take(path)?;
        let listener = bind(path).map_err(failed)?;
        let file = fs::symlink_metadata(path).map_err(failed)?;
        let forks = [lock.file.as_raw_fd(), listener.as_raw_fd()].map(NotInForks::new);
        let place =
            Place { path: path.to_owned(), file: (file.dev(), file.ino()), _forks: forks, _lock: lock };
        Ok((place, listener))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = |found: &fs::Metadata| (found.dev(), found.ino()) == self.file;
        if fs::symlink_metadata(&self.path).as_ref().is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        // Whoever made it held the lock that is ours now.
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other("there is a file that is no socket")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let socket = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM, None)?));
    // Linux gives the file the mode of the socket, so that it is closed to others from the first moment on.
    socket.set_permissions(Permissions::from_mode(MODE))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    let listen = || {
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        if let Some((user, group)) = invoking_user() {
            lchown(path, Some(user), group)?;
        }
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)
    };
    if let Err(e) = listen() {
        let _ = fs::remove_file(path);
        return Err(e);
    }
    Ok(UnixListener::from(OwnedFd::from(socket)))
}

/// Where a process serves that has to leave the path to another one.
pub(super) fn beside(path: &Path, pid: u32) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(format!(".{pid}"));
    PathBuf::from(beside)
}

/// Removes what processes that were killed have left [beside](beside) a path.
pub(super) fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    let Ok(found) = fs::read_dir(folder) else { return };
    for entry in found.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|found| pid_of(found, name)) else { continue };
        let left = beside(path, pid);
        // Nobody has the lock of a dead process; the lock file goes with ours.
        if !Path::new(&format!("/proc/{pid}")).exists()
            && let Ok(_lock) = Lock::take(&left)
            && fs::symlink_metadata(&left).is_ok_and(|found| found.file_type().is_socket())
        {
            let _ = fs::remove_file(&left);
        }
    }
}

/// From `nvme.sock.123` or `nvme.sock.123.lock`.
fn pid_of(found: &str, name: &str) -> Option<u32> {
    let rest = found.strip_prefix(name)?.strip_prefix('.')?;
    rest.strip_suffix(".lock").unwrap_or(rest).parse().ok()
}

/// Who called sudo, if anybody did: an editor that runs without privileges is to connect.
fn invoking_user() -> Option<(u32, Option<u32>)> {
    // SAFETY: no precondition.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let number = |name| std::env::var(name).ok()?.parse().ok();
    Some((number("SUDO_UID")?, number("SUDO_GID")))
}

/// The lock file, held as long as this lives and removed with it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Lock, Problem> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        // Each round that fails means that somebody else has just come or gone.
        for _ in 0..100 {
            match Self::attempt(&path) {
                Ok(Some(file)) => return Ok(Lock { path, file }),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => {
                    let remedy = match e.kind() {
                        io::ErrorKind::NotFound => {
                            "make that folder, or name another path with NVME_RPC_SOCKET (empty for no server)"
                        }
                        _ => {
                            "remove it if its process is gone, or name another path with NVME_RPC_SOCKET (empty for \
                             no server)"
                        }
                    };
                    let why = format!("{}: {e}", path.display());
                    return Err(Problem { why, remedy, source: Some(e) });
                }
            }
        }
        Err(Problem {
            why: "another process serves there".to_owned(),
            remedy: "end the other one, or name another path with NVME_RPC_SOCKET (empty for no server)",
            source: None,
        })
    }

    fn attempt(path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        // Not created by the same call: in folders such as /var/tmp the kernel refuses even root to open for
        // creation what belongs to somebody else.
        let file = match options.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match options.create_new(true).mode(MODE).open(path) {
                    Ok(file) => {
                        file.set_permissions(Permissions::from_mode(MODE))?;
                        if let Some((user, group)) = invoking_user() {
                            fchown(&file, Some(user), group)?;
                        }
                        file
                    }
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                    Err(e) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        };
        let held = file.metadata()?;
        if !held.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The one who held it before may have removed the file: then this lock keeps nobody out.
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == (held.dev(), held.ino());
        Ok(fs::symlink_metadata(path).is_ok_and(same).then_some(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Descriptors that a fork of this process must not keep: it would hold the lock, and let consoles wait at a
/// socket where nobody listens, long after this process is gone.
static NOT_IN_FORKS: [AtomicI32; 16] = [const { AtomicI32::new(NONE) }; 16];
const NONE: RawFd = -1;

/// As long as this lives, forks of the process close their copy of a descriptor.
#[derive(Debug)]
struct NotInForks(Option<&'static AtomicI32>);

impl NotInForks {
    fn new(descriptor: RawFd) -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // SAFETY: the function is plain, never goes away, and does in the child only what is allowed there.
            unsafe { libc::pthread_atfork(None, None, Some(close_in_fork)) };
        });
        // With more servers than places the fork keeps a copy, which harms little.
        NotInForks(NOT_IN_FORKS.iter().find(|place| {
            place.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        }))
    }
}

impl Drop for NotInForks {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(NONE, Ordering::Relaxed);
        }
    }
}

unsafe extern "C" fn close_in_fork() {
    for place in &NOT_IN_FORKS {
        let descriptor = place.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: it is open, and what owns it here is never dropped (Server does not in a fork).
            unsafe { libc::close(descriptor) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_files_are_the_owners_alone_and_go_with_the_place() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        let (place, _listener) = Place::take(&path).unwrap();
        assert_eq!((mode(&path), mode(&folder.path().join("a.sock.lock"))), (0o600, 0o600));
        UnixStream::connect(&path).unwrap();
        drop(place);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn there_is_one_at_a_time_and_the_next_one_follows() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        let (place, _listener) = Place::take(&path).unwrap();
        assert!(Place::take(&path).unwrap_err().why.contains("another process"));
        drop(place);
        let (place, _listener) = Place::take(&path).unwrap();
        drop(place);
    }

    #[test]
    fn what_a_dead_process_left_is_replaced() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        fs::write(folder.path().join("a.sock.lock"), "").unwrap();
        assert!(UnixStream::connect(&path).is_err());
        let (_place, _listener) = Place::take(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_dead_processes_left_beside_is_swept() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        // No process has a number that high.
        let dead = beside(&path, u32::MAX);
        let (own, _listener) = Place::take(&beside(&path, std::process::id())).unwrap();
        let (_, _listener_too) = Place::take(&path).unwrap();
        drop(UnixListener::bind(&dead).unwrap());
        fs::write(format!("{}.lock", dead.display()), "").unwrap();
        fs::write(format!("{}.lock", beside(&path, u32::MAX - 1).display()), "").unwrap();
        for name in ["a.sock.x", "a.sock.1.2", "b.sock.4294967295", "a.socket"] {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        let count = || fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(count(), 2 + 3 + 4);
        sweep(&path);
        assert_eq!(count(), 2 + 4, "the socket of this process and what is no socket stay");
        drop(own);
        assert_eq!(count(), 4);
        sweep(Path::new("/no/such/folder/a.sock"));
        sweep(Path::new("/"));
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        fs::write(&path, "precious").unwrap();
        assert!(Place::take(&path).unwrap_err().why.contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        // A link in place of the lock is not followed.
        let elsewhere = folder.path().join("b.sock");
        std::os::unix::fs::symlink(&path, folder.path().join("b.sock.lock")).unwrap();
        Place::take(&elsewhere).unwrap_err();
        // Nor does anything disappear that somebody put in the socket's place.
        let taken = folder.path().join("c.sock");
        let (place, _listener) = Place::take(&taken).unwrap();
        fs::remove_file(&taken).unwrap();
        fs::write(&taken, "precious").unwrap();
        drop(place);
        assert_eq!(fs::read(&taken).unwrap(), b"precious");
    }

    #[test]
    fn paths_that_cannot_be() {
        for path in ["/no/such/folder/a.sock".to_owned(), format!("/tmp/{}", "a".repeat(200))] {
            Place::take(Path::new(&path)).unwrap_err();
            assert!(!Path::new(&format!("{path}.lock")).exists());
        }
    }
}
