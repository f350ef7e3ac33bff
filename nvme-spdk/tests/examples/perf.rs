//! The figures of perf add up, and are those of the target.

use std::time::Duration;

use crate::tool::{counted, eventually, id, tool};

/// The five columns behind the last colon of a line.
fn columns(line: &str) -> [f64; 5] {
    let (_, numbers) = line.rsplit_once(':').expect("a colon");
    let numbers: Vec<f64> = numbers.split_whitespace().map(|text| text.parse().expect("a number")).collect();
    numbers.try_into().expect("five")
}

/// The counts in the histograms.
fn histogram(out: &str) -> u64 {
    let (_, histograms) = out.split_once("Latency histogram").expect("there is one");
    let counts = histograms.lines().filter_map(|line| line.rsplit_once('(')?.1.strip_suffix(')'));
    counts.map(|count| count.trim().parse::<u64>().expect("a number")).sum()
}

#[test]
fn columns_add_up_and_the_histogram_has_every_command() {
    let before = counted();
    let run = tool("perf").args(["-q", "16", "-o", "4096", "-w", "randread", "-t", "1", "-LL", "-r", &id()]);
    let done = run.end();
    assert_eq!(done.code, 0, "{}", done.err);
    let after = counted();
    let rows: Vec<_> =
        done.out.lines().filter(|line| line.starts_with("TCP  (addr:127.0.0.1 subnqn:")).collect();
    assert_eq!(rows.len(), 2, "a row for each namespace\n{}", done.out);
    assert!(rows[0].contains("NSID 1 from core ") && rows[1].contains("NSID 2 from core "));
    let (first, second) = (columns(rows[0]), columns(rows[1]));
    let total = columns(done.out.lines().find(|line| line.starts_with("Total ")).expect("a total"));
    for one in [first, second, total] {
        let [iops, mib, average, min, max] = one;
        assert!((mib - iops * 4096.0 / 1048576.0).abs() < 0.02, "{one:?}");
        assert!(0.0 < min && min <= average && average <= max, "{one:?}");
    }
    assert!((total[0] - first[0] - second[0]).abs() < 0.05, "{total:?}");
    assert_eq!((total[3], total[4]), (first[3].min(second[3]), first[4].max(second[4])));
    // Each command once, in the histograms as on the target.
    let reads = after.0 - before.0;
    assert_eq!((histogram(&done.out), after.1 - before.1), (reads, 0));
    // It ran for a second, and for as long as what was in flight at the end took.
    assert!(total[0] <= reads as f64 * 1.02, "{total:?} of {reads}");
    assert_eq!(done.out.matches("Summary latency data for TCP").count(), 2);
    for cutoff in [" 50.00000% : ", " 99.99900% : "] {
        assert_eq!(done.out.matches(cutoff).count(), 2, "{}", done.out);
    }
}

#[test]
fn a_mix_on_several_queues_after_a_warm_up() {
    let before = counted();
    let run = [
        "-q", "9", "-o", "8192", "-w", "randrw", "-M", "70", "-t", "0.7", "-a", "0.3", "-P", "2", "-U", "1",
        "-LL", "-S", "5",
    ];
    let done = tool("perf").args(run).args(["-c", "0x1", "-r", &format!("{} ns:1", id())]).end();
    assert_eq!(done.code, 0, "{}", done.err);
    let (reads, writes) = (counted().0 - before.0, counted().1 - before.1);
    let share = reads as f64 / (reads + writes) as f64;
    assert!((0.6..0.8).contains(&share), "{share}");
    // The warm-up is in the target's counters alone.
    let measured = histogram(&done.out);
    assert!(measured < reads + writes && measured > 0, "{measured} of {}", reads + writes);
    assert_eq!(done.out.matches("NSID 1 from core  0: ").count(), 1, "both queues in one row\n{}", done.out);
}

#[test]
fn queues_run_where_they_are_told() {
    let run = ["-q", "4", "-o", "512", "-w", "read", "-t", "60", "-P", "2", "-c", "[0]"];
    let running = tool("perf").args(run).args(["-r", &format!("{} ns:1", id())]).start();
    eventually("both run on CPU 0", || running.cpus_of("ioworker-") == ["0", "0"]);
    running.interrupt();
    assert_eq!(running.end_within(Duration::from_secs(15)).code, 130);
}

/// Which CPUs this thread and what it starts may run on.
fn allow(cpus: &[usize]) -> Vec<usize> {
    // SAFETY: a zeroed set is an empty one; the calls read and fill sets that are there, of their size.
    unsafe {
        let (mut set, mut before): (libc::cpu_set_t, libc::cpu_set_t) = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&before), &mut before), 0);
        if !cpus.is_empty() {
            cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
            assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
        }
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &before)).collect()
    }
}

#[test]
fn the_only_cpu_there_is_does() {
    let only = *allow(&[]).last().expect("this one");
    let id = id();
    let before = allow(&[only]);
    let running = tool("perf").args(["-q", "4", "-o", "512", "-w", "read", "-t", "60", "-r", &id]).start();
    allow(&before);
    let there = only.to_string();
    eventually("its queues run there", || {
        let cpus = running.cpus_of("ioworker-");
        !cpus.is_empty() && cpus.iter().all(|cpu| *cpu == there)
    });
    running.interrupt();
    assert_eq!(running.end_within(Duration::from_secs(15)).code, 130);
}
