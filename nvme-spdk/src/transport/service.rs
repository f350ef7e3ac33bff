//! The type of service of connections that SPDK made.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::SockRef;

/// Sets the type of service of this process's connection from a port of its own to a target.
///
/// SPDK does not say which file descriptor is its; a pair of ports does.
pub(crate) fn set_type_of_service(local_port: u16, target: SocketAddr, value: u8) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if !fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:")) {
            continue;
        }
        // SAFETY: borrowed for as long as this looks at it; one that is closed meanwhile answers with an error, or
        // is another socket, which the ports tell.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = SockRef::from(&socket);
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if local.map(|address| address.port()) == Some(local_port) && peer == Some(target) {
            return match target {
                SocketAddr::V4(_) => socket.set_tos_v4(u32::from(value)),
                SocketAddr::V6(_) => socket.set_tclass_v6(u32::from(value)),
            };
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "its socket is not among this process's"))
}
