//! The processes that share this one's controllers: their queues are shown as if they were its own.
//!
//! Each serves at a path of its own, in the folder of the environment they share, and is asked whenever a console
//! asks this process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::sharing::leftovers;
use crate::sharing::process::{is_alive, member_of, owner_of_this};

/// How long one of them may take: consoles ask every second or so.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where this process serves, if it shares another's controllers.
pub(super) fn path_of_this() -> Option<PathBuf> {
    owner_of_this().map(|owner| leftovers::folder(owner).join(format!("rpc-{}.sock", std::process::id())))
}

/// A member that serves.
pub(super) struct Member {
    pid: u32,
    path: PathBuf,
}

/// Those of this process.
pub(super) fn list() -> Vec<Member> {
    let entries = std::fs::read_dir(leftovers::folder(std::process::id())).into_iter().flatten().flatten();
    let members = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let pid = name.strip_prefix("rpc-")?.strip_suffix(".sock")?.parse().ok()?;
        Some(Member { pid, path: entry.path() })
    });
    let mut members: Vec<Member> = members.filter(|member| is_alive(member.pid)).collect();
    members.sort_by_key(|member| member.pid);
    members
}

/// The one whose log has this handle.
pub(super) fn with(handle: u64) -> Option<Member> {
    let pid = member_of(handle)?;
    list().into_iter().find(|member| member.pid == pid)
}

impl Member {
    /// What it answers; `None` if it does not in time.
    pub(super) fn ask<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Option<T> {
        let mut stream = UnixStream::connect(&self.path).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        stream.write_all(request.to_string().as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        let mut answer: Value = serde_json::from_str(&line).ok()?;
        serde_json::from_value(answer.get_mut("result")?.take()).ok()
    }
}
