//! top shows what another process does.

use std::time::Duration;

use serde_json::Value;

use crate::tool::{eventually, id, tool};

#[test]
fn a_running_worker_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nvme.sock").display().to_string();
    let perf = tool("perf").args(["-q", "12", "-o", "4096", "-w", "randread", "-t", "60"]);
    let perf = perf.args([format!("--serve={socket}"), "-r".to_owned(), format!("{} ns:1", id())]).start();
    let look = |json: &[&str]| {
        tool("top").args(["--once", "--interval", "0.3", "--socket", &socket]).args(json).end()
    };
    // An interval that the worker was busy in: it takes a moment to connect, and may have to wait for its turn.
    let mut found = Value::Null;
    let busy = |found: &Value| {
        let worker = found["queues"].as_array()?.iter().find(|queue| queue["qid"] == 1)?;
        let (iops, mb) = (worker["iops"].as_f64()?, worker["mb_per_second"].as_f64()?);
        // Counts and bytes are of about the same time.
        (iops > 1000.0 && (mb * 1e6 / iops / 4096.0 - 1.0).abs() < 0.1).then(|| worker.clone())
    };
    eventually("the worker is seen", || {
        found = serde_json::from_str(&look(&["--json"]).out).unwrap_or_default();
        busy(&found).is_some()
    });
    assert_eq!(found["controllers"][0]["model"], "nvme-spdk embedded target");
    let worker = busy(&found).expect("it is");
    let number = |name: &str| worker[name].as_f64().expect("a number");
    assert_eq!((number("depth"), number("failed")), (13.0, 0.0));
    assert!((0.0..=12.0).contains(&number("in_flight")), "{worker}");

    eventually("the worker is seen as text", || {
        let done = look(&[]);
        assert_eq!(done.code, 0, "{done:?}");
        let mut lines = done.out.lines();
        let first = lines.next().expect("a line");
        assert!(first.starts_with(&socket) && first.contains(" in flight, over "), "{first}");
        assert!(done.out.contains("\n127.0.0.1 nvme-spdk embedded target\n"), "{}", done.out);
        let row = lines.find(|line| line.trim_start().starts_with("1 ")).expect("a row");
        let columns: Vec<f64> = row.split_whitespace().map(|text| text.parse().expect("a number")).collect();
        assert_eq!((columns.len(), columns[1]), (7, 13.0));
        columns[3] > 1000.0 && columns[4] > 0.0
    });

    // It goes on looking until the process has ended.
    let watching = tool("top").args(["--interval", "0.1", "--socket", &socket]).start();
    std::thread::sleep(Duration::from_millis(2000));
    drop(perf);
    let done = watching.end_within(Duration::from_secs(15));
    assert!(done.code == 3 && done.err.contains("the process has ended"), "{done:?}");
    assert!(done.out.matches("nvme-spdk embedded target").count() >= 2, "{done:?}");
}
