//! What queues have counted, and what that makes per second.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The answer to `nvme_queues`.
#[derive(Debug, Clone, Deserialize)]
pub struct Counts {
    /// Microseconds since 1970.
    now: u64,
    controllers: Vec<Controller>,
    queues: Vec<Queue>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Controller {
    address: String,
    model: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Queue {
    /// Names the queue as long as the process lives.
    queue: u64,
    controller: usize,
    qid: u16,
    depth: u32,
    in_flight: u64,
    completed: u64,
    failed: u64,
    bytes: u64,
}

/// What happened between two looks.
#[derive(Debug, Serialize)]
pub struct Rates {
    seconds: f64,
    controllers: Vec<Controller>,
    queues: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    controller: usize,
    qid: u16,
    depth: u32,
    in_flight: u64,
    iops: f64,
    mb_per_second: f64,
    completed: u64,
    failed: u64,
}

impl Rates {
    pub fn between(before: &Counts, now: Counts) -> Self {
        let seconds = (now.now.saturating_sub(before.now) as f64 / 1e6).max(1e-6);
        let rows = now.queues.into_iter().map(|queue| {
            // One that is new has counted all of it since.
            let old = before.queues.iter().find(|old| old.queue == queue.queue);
            let (ios, bytes) = old.map_or((0, 0), |old| (old.completed, old.bytes));
            Row {
                controller: queue.controller,
                qid: queue.qid,
                depth: queue.depth,
                in_flight: queue.in_flight,
                iops: queue.completed.saturating_sub(ios) as f64 / seconds,
                mb_per_second: queue.bytes.saturating_sub(bytes) as f64 / 1e6 / seconds,
                completed: queue.completed,
                failed: queue.failed,
            }
        });
        Rates { seconds, queues: rows.collect(), controllers: now.controllers }
    }

    pub fn text(&self, path: &Path) -> String {
        let sum =
            |count: fn(&Row) -> f64| self.queues.iter().filter(|row| row.qid != 0).map(count).sum::<f64>();
        let mut text = format!(
            "{}: {:.0} IOPS, {:.1} MB/s, {} in flight, over {:.1} s\n",
            path.display(),
            sum(|row| row.iops),
            sum(|row| row.mb_per_second),
            sum(|row| row.in_flight as f64),
            self.seconds
        );
        if self.controllers.is_empty() {
            text.push_str("no controller is open\n");
        }
        for (index, controller) in self.controllers.iter().enumerate() {
            let _ = writeln!(text, "\n{} {}", controller.address, controller.model);
            let _ = writeln!(
                text,
                "{:>7} {:>6} {:>9} {:>10} {:>10} {:>14} {:>8}",
                "queue", "depth", "in flight", "IOPS", "MB/s", "completed", "failed"
            );
            for row in self.queues.iter().filter(|row| row.controller == index) {
                let name = if row.qid == 0 { "admin".to_owned() } else { row.qid.to_string() };
                let Row { depth, in_flight, iops, mb_per_second, completed, failed, .. } = row;
                let _ = writeln!(
                    text,
                    "{name:>7} {depth:>6} {in_flight:>9} {iops:>10.0} {mb_per_second:>10.1} {completed:>14} {failed:>8}"
                );
            }
        }
        text
    }
}
