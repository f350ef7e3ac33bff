//! The processes that share this one's controllers: their queues are shown as if they were its own.
//!
//! Each serves at a path of its own, in the folder of the environment they share, and is asked whenever a console
//! asks this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use super::methods::LONGEST_ANSWER;
use crate::sharing::leftovers;
use crate::sharing::process::{is_alive, member_of, owner_of_this};

/// How long one of them may take for each step of an answer: consoles ask every second or so.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long all of an answer may take: nobody else is served meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// Where this process serves, if it shares another's controllers.
pub(super) fn path_of_this() -> Option<PathBuf> {
    owner_of_this().map(|owner| leftovers::folder(owner).join(format!("rpc-{}.sock", std::process::id())))
}

/// Where members serve.
#[derive(Debug)]
pub(super) struct Members {
    folder: PathBuf,
}

/// A member that serves.
#[derive(Debug)]
pub(super) struct Member {
    pid: u32,
    path: PathBuf,
}

impl Members {
    /// Those of this process.
    pub(super) fn of_this() -> Self {
        Members { folder: leftovers::folder(std::process::id()) }
    }

    #[cfg(test)]
    pub(super) fn at(folder: &std::path::Path) -> Self {
        Members { folder: folder.to_owned() }
    }

    pub(super) fn list(&self) -> Vec<Member> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
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
    pub(super) fn with(&self, handle: u64) -> Option<Member> {
        self.list().into_iter().find(|member| member.has(handle))
    }

    /// What all of them answer that do in time.
    pub(super) fn ask<T: DeserializeOwned + Send>(&self, method: &str, params: &Value) -> Vec<T> {
        let asked = self.list().into_iter().map(|member| (member, params.clone())).collect();
        ask_each(method, asked).into_iter().flatten().collect()
    }
}

/// What each of them answers to its own question. They are asked at the same time: one that is stopped holds up
/// consoles no longer than all.
pub(super) fn ask_each<T: DeserializeOwned + Send>(
    method: &str,
    asked: Vec<(Member, Value)>,
) -> Vec<Option<T>> {
    thread::scope(|scope| {
        let start = |(member, params): (Member, Value)| {
            let ask = move || member.ask(method, &params);
            thread::Builder::new().name("nvme-rpc-member".to_owned()).spawn_scoped(scope, ask).ok()
        };
        let threads: Vec<_> = asked.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread?.join().ok().flatten()).collect()
    })
}

impl Member {
    pub(super) fn has(&self, handle: u64) -> bool {
        member_of(handle) == Some(self.pid)
    }

    /// What it answers; `None` if it does not in time.
    pub(super) fn ask<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Option<T> {
        let mut stream = self.connect().ok()?;
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        stream.write_all(request.to_string().as_bytes()).ok()?;
        let mut line = String::new();
        let answer = InTime { stream, end: Instant::now() + LONGEST }.take(LONGEST_ANSWER as u64);
        BufReader::new(answer).read_line(&mut line).ok()?;
        let mut answer: Value = serde_json::from_str(&line).ok()?;
        serde_json::from_value(answer.get_mut("result")?.take()).ok()
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // On Linux this is also how long connecting may take, where those wait whom a stopped process does not accept.
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&SockAddr::unix(&self.path)?)?;
        Ok(UnixStream::from(OwnedFd::from(socket)))
    }
}

/// What comes drop by drop comes in time each time.
struct InTime {
    stream: UnixStream,
    end: Instant,
}

impl Read for InTime {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if Instant::now() >= self.end {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.read(into)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    use super::*;

    /// Init, which is always there, and this process.
    fn two_members() -> (tempfile::TempDir, [PathBuf; 2], Members) {
        let folder = tempfile::tempdir().unwrap();
        let paths = [1, std::process::id()].map(|pid| folder.path().join(format!("rpc-{pid}.sock")));
        let members = Members::at(folder.path());
        (folder, paths, members)
    }

    #[test]
    fn who_is_there() {
        let (folder, paths, members) = two_members();
        let _listeners = paths.each_ref().map(|path| UnixListener::bind(path).unwrap());
        for name in ["rpc-4294967295.sock", "rpc-1.sock.lock", "rpc-1.sock.1", "rpc-.sock", "config"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let pids: Vec<_> = members.list().iter().map(|member| member.pid).collect();
        assert_eq!(pids, [1, std::process::id()]);
        assert_eq!(members.with(1 << 24 | 5).map(|member| member.pid), Some(1));
        assert!(members.with(5).is_none());
    }

    #[test]
    fn one_that_is_stopped_is_not_waited_for() {
        let (_folder, [stopped, answers], members) = two_members();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let address = SockAddr::unix(&stopped).unwrap();
        socket.bind(&address).unwrap();
        socket.listen(0).unwrap();
        // It accepts nobody, and there is no place left to wait in.
        let waiting = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        waiting.connect(&address).unwrap();

        let listener = UnixListener::bind(answers).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                drop(stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[4096,1]}\n"));
            }
        });
        let (told, heard) = mpsc::channel();
        let begin = Instant::now();
        // The answering thread may have to wait for its turn for longer than anybody waits for an answer.
        let ask = move || members.ask::<[u64; 2]>("get_iostat", &Value::Null);
        thread::spawn(move || told.send((0..10).map(|_| ask()).find(|answers| !answers.is_empty())));
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(Some(vec![[4096, 1]])));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    #[test]
    fn one_that_drips_is_not_waited_for() {
        let (_folder, [drips, _], members) = two_members();
        let listener = UnixListener::bind(drips).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let (told, heard) = mpsc::channel();
        thread::spawn(move || told.send(members.ask::<[u64; 2]>("get_iostat", &Value::Null)));
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(vec![]));
    }
}
