//! One call to SPDK's JSON-RPC server.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, Result};
use crate::interrupt;

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a step waits before somebody asks whether to give up.
const SLICE: Duration = Duration::from_millis(50);

pub(super) fn call(socket: &Path, method: &str, params: Value) -> Result<Value> {
    let failed = |why: String, source| Error::Target {
        why: format!("its RPC method {method} failed: {why}"),
        remedy: "check the method and its parameters, and that the target still runs".to_owned(),
        source,
    };
    let answer = exchange(socket, method, params).map_err(|e| match e.kind() {
        ErrorKind::Interrupted => Error::Interrupted { what: format!("RPC method {method} of the target") },
        _ => failed(e.to_string(), Some(e)),
    })?;
    match (answer.get("result"), answer.get("error")) {
        (Some(result), _) => Ok(result.clone()),
        (None, Some(error)) => {
            Err(failed(error["message"].as_str().unwrap_or("without a message").to_owned(), None))
        }
        (None, None) => Err(failed(format!("it answered {answer}"), None)),
    }
}

fn exchange(path: &Path, method: &str, params: Value) -> io::Result<Value> {
    let end = Instant::now() + TIMEOUT;
    let (socket, address) = (Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?);
    socket.set_read_timeout(Some(SLICE))?;
    // On Linux also for connecting, where those wait whom a stopped process does not accept.
    socket.set_write_timeout(Some(SLICE))?;
    patiently(end, || socket.connect(&address))?;
    let mut stream = UnixStream::from(OwnedFd::from(socket));

    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if !params.is_null() {
        request["params"] = params;
    }
    let request = request.to_string().into_bytes();
    let mut sent = 0;
    while sent < request.len() {
        sent += patiently(end, || stream.write(&request[sent..]))?;
    }
    // The answer has no length: it is complete when it parses.
    let mut text = Vec::new();
    let mut chunk = [0; 16384];
    loop {
        let count = patiently(end, || stream.read(&mut chunk))?;
        text.extend_from_slice(&chunk[..count]);
        match serde_json::from_slice(&text) {
            Ok(answer) => return Ok(answer),
            Err(e) if e.is_eof() && count > 0 => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Repeats a step that waits for a slice at most until it is done, unless time is over or somebody gives up: that alone
/// is [`ErrorKind::Interrupted`].
fn patiently<T>(end: Instant, mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        if interrupt::pending() {
            return Err(ErrorKind::Interrupted.into());
        }
        if Instant::now() >= end {
            return Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {TIMEOUT:?}")));
        }
        match step() {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn an_error_keeps_what_the_system_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = call(&folder.path().join("rpc.sock"), "bdev_get_bdevs", Value::Null).unwrap_err();
        assert!(error.to_string().contains("bdev_get_bdevs failed: No such file"), "{error}");
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(ErrorKind::NotFound));
    }
}
