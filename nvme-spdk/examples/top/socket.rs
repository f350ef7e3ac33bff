//! JSON-RPC over a Unix socket: a request, a line as the answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::end::Result;

pub struct Socket {
    stream: BufReader<UnixStream>,
}

/// It answers at once, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer; none has a tenth of that.
const LONGEST: usize = 1 << 20;

impl Socket {
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(|why| {
            format!(
                "no process serves at {}: {why}; start one (perf --serve, a Python script, nvme_spdk::rpc::Server), or \
                 say with --socket where it does",
                path.display()
            )
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Socket { stream: BufReader::new(stream) })
    }

    pub fn call<T: DeserializeOwned>(&mut self, method: &str) -> Result<T> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
        let asked = self.stream.get_mut().write_all(request.to_string().as_bytes());
        let line = match asked.and_then(|()| self.line()) {
            Ok(line) if line.is_empty() => return Err("the process has ended".into()),
            Ok(line) => line,
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => {
                return Err("the process has ended".into());
            }
            Err(why) => return Err(format!("no answer from the process within {PATIENCE:?}: {why}").into()),
        };
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer.get_mut("result") {
            Some(result) => Ok(serde_json::from_value(result.take())?),
            None => Err(format!("the process answers {}; is it older than this tool?", line.trim()).into()),
        }
    }

    /// All of it has to come in time, and to have an end.
    fn line(&mut self) -> io::Result<String> {
        let end = Instant::now() + PATIENCE;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let come = self.stream.fill_buf()?;
            if come.is_empty() {
                break;
            }
            let count = come.iter().position(|byte| *byte == b'\n').map_or(come.len(), |at| at + 1);
            line.extend_from_slice(&come[..count]);
            self.stream.consume(count);
            if line.len() > LONGEST || Instant::now() > end {
                return Err(io::Error::other("its answer does not end"));
            }
        }
        String::from_utf8(line).map_err(io::Error::other)
    }
}
