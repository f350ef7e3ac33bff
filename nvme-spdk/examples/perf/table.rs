//! What was measured, in the columns of SPDK's perf.

use std::fmt::Write;
use std::time::Duration;

use nvme_spdk::Latency;

use crate::load::Row;

const LINE: &str = "========================================================";

/// Percentiles of a summary.
const CUTOFFS: [f64; 15] =
    [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99, 99.999, 99.9999, 99.99999];

/// Steps of a histogram that make a factor of two.
const STEPS: u32 = 16;

pub fn text(rows: &[Row], latency: u8) -> String {
    let mut text = String::new();
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0) + 13;
    let _ = writeln!(text, "{LINE}\n{:>1$}", "Latency(us)", width + 47);
    let _ = writeln!(
        text,
        "{:width$}: {:>10} {:>10} {:>10} {:>10} {:>10}",
        "Device Information", "IOPS", "MiB/s", "Average", "min", "max"
    );
    let (mut all, mut iops, mut bytes) = (Latency::default(), 0.0, 0.0);
    for row in rows.iter().filter(|row| row.ios > 0) {
        let name = format!("{:1$} from core {2:2}", row.name, width - 13, row.core);
        let _ = writeln!(text, "{name}: {}", columns(row.iops, row.bytes_per_second, &row.latency));
        all.merge(&row.latency);
        iops += row.iops;
        bytes += row.bytes_per_second;
    }
    let _ = writeln!(text, "{LINE}\n{:width$}: {}\n", "Total", columns(iops, bytes, &all));
    if latency > 0 {
        rows.iter().for_each(|row| summary(&mut text, row));
    }
    if latency > 1 {
        rows.iter().for_each(|row| histogram(&mut text, row));
    }
    text
}

fn columns(iops: f64, bytes: f64, latency: &Latency) -> String {
    format!(
        "{iops:10.2} {:10.2} {:10.2} {:10.2} {:10.2}",
        bytes / f64::from(1 << 20),
        microseconds(latency.mean()),
        microseconds(latency.min()),
        microseconds(latency.max())
    )
}

fn microseconds(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1000.0
}

fn summary(text: &mut String, row: &Row) {
    let _ = writeln!(text, "Summary latency data for {} from core {}:\n{LINE}", row.name, row.core);
    for percentile in CUTOFFS {
        let within = microseconds(row.latency.percentile(percentile));
        let _ = writeln!(text, "{percentile:9.5}% : {within:9.3}us");
    }
    text.push('\n');
}

fn histogram(text: &mut String, row: &Row) {
    let _ = writeln!(text, "Latency histogram for {} from core {}:\n{LINE}", row.name, row.core);
    let _ = writeln!(text, "       Range in us     Cumulative    IO count");
    let mut so_far = 0;
    for (from, to, count) in row.latency.histogram(STEPS) {
        so_far += count;
        let percent = so_far as f64 * 100.0 / row.latency.count() as f64;
        let (from, to) = (microseconds(from), microseconds(to));
        if count > 0 {
            let _ = writeln!(text, "{from:9.3} - {to:9.3}: {percent:9.4}%  ({count:9})");
        }
    }
    text.push('\n');
}
