//! What consoles see of this process through the JSON-RPC server.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvme_spdk::rpc::Server;
use nvme_spdk::{Command, Data, DmaBuf, IoSize, IoWorker, Workload};
use serde_json::{Value, json};
use support::{connect, eventually};

/// A server in a folder of its own.
struct Console {
    path: PathBuf,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Console {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nvme.sock");
        let server = Server::start(&path).expect("nobody else serves there");
        Console { path, _server: server, _folder: folder }
    }

    /// One connection per call, as editors do it; the answer has to come as one piece.
    fn call(&self, method: &str, params: Value) -> Value {
        let mut stream = connect_to(&self.path);
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = vec![0; 65536];
        let len = stream.read(&mut answer).expect("it answers");
        assert_eq!(answer[len - 1], b'\n');
        serde_json::from_slice(&answer[..len]).expect("a whole answer")
    }

    /// Identifiers of the queues as they are shown.
    fn queues(&self) -> Vec<u64> {
        let answer = self.call("list_all_qpair", json!([]));
        let rows = answer["result"].as_array().expect("a list");
        rows.iter().map(|row| row["qid"].as_u64().expect("a number")).collect()
    }

    fn handle(&self, qid: u64) -> u64 {
        let answer = self.call("list_all_qpair", json!([]));
        let rows = answer["result"].as_array().expect("a list");
        let row = rows.iter().find(|row| row["qid"] == qid).expect("such a queue");
        row["qpair"].as_u64().expect("a number")
    }
}

fn connect_to(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    stream
}

#[test]
fn the_life_cycle_of_queues() {
    let console = Console::new();
    assert_eq!(console.queues(), [0; 0]);
    let controller = connect();
    assert_eq!(console.queues(), [1]);
    let namespace = controller.namespace(1).expect("namespace 1");
    let first = controller.create_qpair(8).expect("a queue pair");
    let _second = controller.create_qpair(8).expect("a queue pair");
    assert_eq!(console.queues(), [1, 2, 3]);
    let worker = IoWorker::start(&namespace, &Workload::new()).expect("a worker");
    assert_eq!(console.queues(), [1, 2, 3, 4]);
    worker.finish();
    worker.join();
    assert_eq!(console.queues(), [1, 2, 3]);
    first.delete().expect("it is let go");
    assert_eq!(console.queues(), [1, 3]);
    controller.close();
    assert_eq!(console.queues(), [0; 0]);
    // Handles of it are left, and closing again changes nothing.
    controller.close();
    let again = connect();
    assert_eq!(console.queues(), [1]);
    drop(again);
    assert_eq!(console.queues(), [0; 0]);
}

#[test]
fn controllers_stand_in_the_order_they_were_opened() {
    let console = Console::new();
    let first = connect();
    let second = connect();
    let _queue = first.create_qpair(8).expect("a queue pair");
    assert_eq!(console.queues(), [1, 2, 1]);
    let answer = console.call("list_all_qpair", Value::Null);
    let row = &answer["result"][0];
    assert_eq!(row["ctrlr"], "127.0.0.1");
    let model = row["model"].as_str().expect("a text");
    assert_eq!((model.len(), model.trim_end()), (40, first.identify().model_number().as_str()));
    drop(first);
    // The queue pair keeps its controller open.
    assert_eq!(console.queues(), [1, 2, 1]);
    second.close();
    assert_eq!(console.queues(), [1, 2]);
}

#[test]
fn outstanding_commands_and_those_of_a_busy_worker() {
    let console = Console::new();
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(256).expect("a queue pair");
    let outstanding = |qid: u64| {
        let answer = console.call("list_all_qpair", json!([]));
        let rows = answer["result"].as_array().expect("a list").clone();
        rows.iter().find(|row| row["qid"] == qid).expect("such a queue")["outstanding"]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(outstanding(2), 0);
    let buffer = DmaBuf::new(512).expect("memory");
    // Nobody polls, so they stay outstanding whatever the target does.
    for _ in 0..5 {
        namespace.submit_read(&qpair, &buffer, 0, 0, 1).expect("room");
    }
    assert_eq!(outstanding(2), 5);
    for _ in 0..200 {
        namespace.submit_read(&qpair, &buffer, 0, 0, 1).expect("room");
    }
    assert_eq!(outstanding(2), 100);
    eventually("all have completed", || {
        let _ = qpair.poll();
        outstanding(2) == 0
    });

    // The worker holds its queue pair all the time; nothing waits for it.
    let worker = IoWorker::start(&namespace, &Workload::new().queue_depth(32)).expect("a worker");
    let mut most = 0;
    eventually("commands of the worker are seen", || {
        most = most.max(outstanding(3));
        most > 0
    });
    let begin = Instant::now();
    for _ in 0..50 {
        most = most.max(outstanding(3));
    }
    assert!(most <= 31, "{most}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(
        !console.call("get_cmdlog", json!([console.handle(3)]))["result"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    drop(worker);
}

#[test]
fn traffic_counts_what_reads_and_writes_the_namespace() {
    let console = Console::new();
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("memory");
    let traffic = || console.call("get_iostat", json!([]))["result"].clone();
    traffic();
    assert_eq!(traffic(), json!([0, 0]));

    namespace.write(&qpair, &buffer, 0, 8).expect("written");
    namespace.read(&qpair, &buffer, 0, 1).expect("read");
    namespace.submit_read(&qpair, &buffer, 0, 0, 2).expect("room");
    qpair.wait(Duration::from_secs(5)).expect("it answers");
    assert_eq!(traffic(), json!([4096 + 512 + 1024, 3]));
    assert_eq!(traffic(), json!([0, 0]));

    let raw = Command::read(1, 0, 8);
    qpair.execute(&raw, Some(Data::from(&buffer))).expect("it answers");
    controller.execute(&Command::get_features(7), None).expect("it answers");
    assert_eq!(traffic(), json!([0, 0]), "raw commands do not count");

    // Of a queue that is gone when it is asked.
    let workload = Workload::new().io_count(1000).io_size(8).region(0..8000).random_percentage(0);
    let report = IoWorker::start(&namespace, &workload).expect("a worker").join();
    assert_eq!(traffic(), json!([report.bytes, report.ios]));
}

#[test]
fn the_log_of_a_queue() {
    let console = Console::new();
    let controller = connect();
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let namespace = controller.namespace(1).expect("namespace 1");
    let buffer = DmaBuf::new(512).expect("memory");
    let handle = console.handle(2);
    for lba in 0..200 {
        namespace.read(&qpair, &buffer, lba, 1).expect("read");
    }
    let answer = console.call("get_cmdlog", json!([handle]));
    let texts = answer["result"].as_array().expect("a list");
    assert_eq!(texts.len(), 256);
    let text = |index: usize| texts[index].as_str().expect("a text");
    assert!(text(0)[26..].starts_with(" [cmd001: Read]\n0x"), "{}", text(0));
    assert!(
        text(0).ends_with(", 0x000000c7, 0x00000000\n0x00000000, 0x00000000, 0x00000000, 0x00000000"),
        "{}",
        text(0)
    );
    assert!(text(1)[26..].starts_with(": [cpl: SUCCESS] \n0x"), "{}", text(1));
    assert!(text(1).ends_with('\n') && text(254).contains("[cmd128: Read]"));

    let admin = console.call("get_cmdlog", json!([console.handle(1)]))["result"].to_string();
    assert!(admin.contains("Identify") && admin.contains("Fabrics Command"), "{admin}");

    qpair.delete().expect("it is let go");
    let gone = json!({"code": -32602, "message": "Invalid parameters"});
    assert_eq!(console.call("get_cmdlog", json!([handle]))["error"], gone);
    controller.create_qpair(8).expect("a queue pair");
    assert_eq!(console.call("get_cmdlog", json!([handle]))["error"], gone, "handles are not used again");
}

#[test]
fn counters_and_what_is_new_of_a_busy_worker() {
    let console = Console::new();
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    // Aligned, so that no command is cut short by the end of the namespace and all of them have 4096 bytes.
    let workload = Workload::new().io_sizes([IoSize::new(8).align(8)]).queue_depth(32);
    let worker = IoWorker::start(&namespace, &workload).expect("a worker");
    let queue = || {
        let answer = console.call("nvme_queues", json!(null))["result"].clone();
        assert_eq!(answer["controllers"][0]["address"], "127.0.0.1");
        let rows = answer["queues"].as_array().expect("a list").clone();
        rows.into_iter().find(|row| row["qid"] == 1).expect("the worker's")
    };
    let number = |value: &Value| value.as_u64().expect("a number");
    let first = queue();
    assert_eq!(first["depth"], 32);
    assert!(number(&first["in_flight"]) <= 31);
    eventually("it goes on", || number(&queue()["completed"]) > number(&first["completed"]) + 10_000);
    let second = queue();
    let news = |watched: Value| {
        let since = json!([[second["queue"], second["completed"], watched]]);
        console.call("nvme_cmdlog_since", json!({"queues": since, "most": 50}))["result"]["queues"][0].clone()
    };
    let (mut watched, mut looks) = (json!([]), 0);
    for _ in 0..50 {
        // The log is overtaken all the time, and each row is whole.
        let found = news(watched);
        let rows = found["commands"].as_array().expect("a list");
        assert!(rows.len() <= 50 + 31);
        watched = found["in_flight"].clone();
        // Overtaken altogether, while others had the processor.
        if rows.is_empty() {
            continue;
        }
        looks += 1;
        let numbers: Vec<_> = rows.iter().map(|row| number(&row[0])).collect();
        assert!(numbers.is_sorted_by(|a, b| a > b) && numbers[0] < number(&found["next"]));
        for row in rows {
            assert!(row[2].as_str().is_some_and(|sqe| sqe.len() == 128 && sqe.starts_with("02")));
            assert_eq!(row[3].is_null(), row[4].is_null());
        }
    }
    assert!(looks > 0);
    worker.finish();
    let report = worker.join();
    assert_eq!((report.errors, report.bytes), (0, report.ios * 4096));
    assert_eq!(news(json!([])), Value::Null);
}

#[test]
fn failures_are_counted_and_kept() {
    let console = Console::new();
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("memory");
    namespace.read(&qpair, &buffer, 1 << 40, 1).expect_err("there is no such block");
    for _ in 0..2 * nvme_spdk::CMDLOG_CAPACITY {
        namespace.read(&qpair, &buffer, 0, 1).expect("read");
    }
    let handle = console.handle(2);
    let params = json!({"queues": [[handle, 0, []]], "status": "failed"});
    let found = console.call("nvme_cmdlog_since", params)["result"]["queues"][0].clone();
    let rows = found["commands"].as_array().expect("a list");
    assert_eq!(rows.len(), 1);
    // Number 0 is Connect. SC 80h in bits 24:17 of dword 3.
    assert_eq!((&rows[0][0], &rows[0][4].as_str().expect("bytes")[28..]), (&json!(1), "0001"));
    let counted = console.call("nvme_queues", json!([]))["result"]["queues"][1].clone();
    assert_eq!((&counted["failed"], &counted["in_flight"]), (&json!(1), &json!(0)));
}

#[test]
fn several_requests_in_any_pieces_and_answers_byte_for_byte() {
    let console = Console::new();
    let requests = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"list_all_qpair","params":[]}"#,
        r#"{"jsonrpc":"2.0","method":"list_all_qpair"}{"id":"x","method":"none"}"#,
        "\n[] ",
        r#"{"jsonrpc":"2.0","id":2.5,"method":"get_cmdlog","params":[0]}{]"#,
    );
    let answers = concat!(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"Invalid Request\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":2.5,\"error\":{\"code\":-32602,\"message\":\"Invalid parameters\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}\n",
    );
    for size in [1, 7, 64, 4096] {
        let mut stream = connect_to(&console.path);
        for chunk in requests.as_bytes().chunks(size) {
            stream.write_all(chunk).expect("it reads");
            if size < 64 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers and hangs up");
        assert_eq!(text, answers, "in pieces of {size}");
    }
}

#[test]
fn nobody_holds_up_anybody() {
    let console = Console::new();
    // More than it keeps connections, silent, and one in the middle of a request.
    let mut silent: Vec<_> = (0..100).map(|_| connect_to(&console.path)).collect();
    silent[99].write_all(br#"{"jsonrpc":"2.0","id":1,"#).expect("it reads");
    // And one that never takes its answers.
    let mut stalled = connect_to(&console.path);
    stalled.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let request = br#"{"id":1,"method":"list_all_qpair"}"#.repeat(1000);
    let mut sent = 0;
    while stalled.write(&request).is_ok() && sent < 1 << 24 {
        sent += request.len();
    }
    assert!(sent < 1 << 24, "it keeps reading what it cannot answer");

    let begin = Instant::now();
    for _ in 0..500 {
        assert_eq!(console.queues(), [0; 0]);
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    // The latest of the silent ones are still there.
    silent[99].write_all(br#""method":"list_all_qpair"}"#).expect("it reads");
    let mut answer = [0; 100];
    assert!(silent[99].read(&mut answer).expect("it answers") > 0);
}

#[test]
fn waiting_takes_no_time() {
    let console = Console::new();
    let _silent = connect_to(&console.path);
    let used = || {
        // SAFETY: the structure is plain, and the call fills it in.
        unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        }
    };
    assert_eq!(console.queues(), [0; 0]);
    let before = used();
    std::thread::sleep(Duration::from_millis(500));
    let spent = used() - before;
    assert!(spent < Duration::from_millis(50), "{spent:?}");
}

#[test]
fn dropping_it_removes_the_socket_and_ends_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nvme.sock");
    let server = Server::start(&path).expect("a server");
    let error = Server::start(&path).expect_err("there is one").to_string();
    assert!(error.starts_with("rpc fail to get the sock"), "{error}");
    let mut client = connect_to(&path);
    client.write_all(b"[]").expect("it reads");
    assert!(client.read(&mut [0; 1024]).expect("it answers") > 0);
    let begin = Instant::now();
    drop(server);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(client.read(&mut [0; 16]).expect("the end, no error"), 0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
    let nowhere = Server::start(folder.path().join("missing/nvme.sock")).expect_err("no such folder");
    let source =
        std::error::Error::source(&nowhere).and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound), "{nowhere}");
    assert!(nowhere.to_string().contains("make that folder"), "{nowhere}");
    let server = Server::start(&path).expect("the place is free");
    let beside = Server::start_beside(&path).expect("a path of this process alone");
    assert_eq!(beside.path(), folder.path().join(format!("nvme.sock.{}", std::process::id())));
    connect_to(beside.path());
    drop((server, beside));
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
