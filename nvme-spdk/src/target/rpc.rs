//! One call to SPDK's JSON-RPC server.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn call(socket: &Path, method: &str, params: Value) -> Result<Value> {
    let failed = |why: String, source| Error::Target {
        why: format!("its RPC method {method} failed: {why}"),
        remedy: "check the method and its parameters, and that the target still runs".to_owned(),
        source,
    };
    let answer = exchange(socket, method, params).map_err(|e| failed(e.to_string(), Some(e)))?;
    match (answer.get("result"), answer.get("error")) {
        (Some(result), _) => Ok(result.clone()),
        (None, Some(error)) => {
            Err(failed(error["message"].as_str().unwrap_or("without a message").to_owned(), None))
        }
        (None, None) => Err(failed(format!("it answered {answer}"), None)),
    }
}

fn exchange(socket: &Path, method: &str, params: Value) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    if !params.is_null() {
        request["params"] = params;
    }
    stream.write_all(request.to_string().as_bytes())?;
    // The answer has no length: it is complete when it parses.
    let mut text = Vec::new();
    let mut chunk = [0; 16384];
    loop {
        let count = stream.read(&mut chunk)?;
        text.extend_from_slice(&chunk[..count]);
        match serde_json::from_slice(&text) {
            Ok(answer) => return Ok(answer),
            Err(e) if e.is_eof() && count > 0 => {}
            Err(e) => return Err(e.into()),
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
