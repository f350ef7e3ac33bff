//! top shows what another process does.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::tool::{id, tool};

#[test]
fn a_running_worker_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nvme.sock").display().to_string();
    let perf = tool("perf").args(["-q", "12", "-o", "4096", "-w", "randread", "-t", "60"]);
    let perf = perf.args([format!("--serve={socket}"), "-r".to_owned(), format!("{} ns:1", id())]).start();
    let look = |json: &[&str]| {
        tool("top").args(["--once", "--interval", "0.3", "--socket", &socket]).args(json).end()
    };
    // It takes a moment to connect.
    let start = Instant::now();
    let found = loop {
        let done = look(&["--json"]);
        let found: Value = serde_json::from_str(&done.out).unwrap_or_default();
        if found["queues"].as_array().is_some_and(|queues| queues.iter().any(|queue| queue["qid"] == 1)) {
            break found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{done:?}");
    };
    assert_eq!(found["controllers"][0]["model"], "nvme-spdk embedded target");

    // Both are of one interval that the worker was busy in.
    let found: Value = serde_json::from_str(&look(&["--json"]).out).expect("JSON");
    let worker =
        found["queues"].as_array().expect("a list").iter().find(|queue| queue["qid"] == 1).expect("it");
    let number = |name: &str| worker[name].as_f64().expect("a number");
    assert_eq!((number("depth"), number("failed")), (13.0, 0.0));
    assert!((1.0..=12.0).contains(&number("in_flight")), "{worker}");
    assert!(number("iops") > 100.0, "{worker}");
    let bytes = number("mb_per_second") * 1e6 / number("iops");
    assert!((bytes / 4096.0 - 1.0).abs() < 0.1, "{worker}");

    let done = look(&[]);
    assert_eq!(done.code, 0, "{done:?}");
    let mut lines = done.out.lines();
    assert!(
        lines.next().is_some_and(|line| line.starts_with(&socket) && line.contains(" in flight, over 0."))
    );
    assert!(done.out.contains("\n127.0.0.1 nvme-spdk embedded target\n"), "{}", done.out);
    let row = lines.find(|line| line.trim_start().starts_with("1 ")).expect("a row");
    let columns: Vec<f64> = row.split_whitespace().map(|text| text.parse().expect("a number")).collect();
    assert_eq!((columns.len(), columns[1]), (7, 13.0));
    assert!(columns[3] > 100.0 && columns[4] > 0.0, "{row}");

    // It goes on looking until the process has ended.
    let watching = tool("top").args(["--interval", "0.1", "--socket", &socket]).start();
    std::thread::sleep(Duration::from_millis(2000));
    drop(perf);
    let done = watching.end_within(Duration::from_secs(15));
    assert!(done.code == 3 && done.err.contains("the process has ended"), "{done:?}");
    assert!(done.out.matches("nvme-spdk embedded target").count() >= 2, "{done:?}");
}
