//! Handles dropped in any order, in flight or not: nothing crashes, hangs or is left behind.
//!
//! Random programs (`program.rs`) are carried out (`world.rs`) against one target; at the end of each, when every
//! handle is dropped, this process has the DMA memory, descriptors and threads it had before, and the target its
//! connections. `PROPTEST_CASES` has it try more programs than the few seconds of a usual run allow.
//!
//! A program that fails is shown, shortened, with the seed that `PROPTEST_RNG_SEED` takes to repeat the run. One that
//! crashes or hangs cannot be: it stands in the file that is named on the standard error at the start.

mod program;
mod world;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nvme_spdk::{ConnectOptions, Env, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use support::{Stopped, eventually, is_alive, signal};

use program::{Program, program};
use world::World;

/// What a program must give back.
#[derive(Debug)]
struct Held {
    dma_memory: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let entries = |folder: &str| fs::read_dir(folder).expect("this process").count();
        Held {
            dma_memory: Env::get().expect("it runs").memory_in_use(),
            descriptors: open_files().iter().filter(|file| !is_heap(file)).count(),
            threads: entries("/proc/self/task"),
        }
    }

    /// Whether nothing has been added since. There may be less: a thread is listed for a moment after its end.
    fn no_more_than(&self, before: &Held) -> bool {
        self.dma_memory <= before.dma_memory
            && self.descriptors <= before.descriptors
            && self.threads <= before.threads
    }
}

/// What the descriptors of this process lead to.
fn open_files() -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("this process").flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// Whether this is a page of DPDK's heap, which keeps what it has grown by.
fn is_heap(file: &Path) -> bool {
    file.to_string_lossy().starts_with("/memfd:seg_")
}

/// What a target has without connections: it listens at its port and for RPC.
const IDLE_SOCKETS: usize = 2;

/// The connections that a target has, and its own sockets.
fn sockets(target: &Target) -> usize {
    let folder = format!("/proc/{}/fd", target.pid());
    let is_socket = |link: &Path| link.to_string_lossy().starts_with("socket:");
    let links =
        fs::read_dir(folder).expect("the target").flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|link| is_socket(link)).count()
}

/// All queue pairs that a controller grants.
fn every_queue_can_be_created(target: &Target) {
    let controller = support::connect_to(target.address());
    let queues: Vec<_> = (0..controller.max_io_queues()).map(|_| controller.create_qpair(16)).collect();
    for queue in queues {
        queue.expect("none was left behind");
    }
}

/// Waits for what still is on its way out, and says what stays.
fn given_back(before: &Held) {
    let start = Instant::now();
    while !Held::now().no_more_than(before) {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "left behind: {:?}, was {before:?}; open are {:?}",
            Held::now(),
            open_files()
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends this process when a program takes too long; otherwise nobody would ever know which one.
struct Watchdog;

/// When the program at hand must be over; none between programs.
static DUE: Mutex<Option<Instant>> = Mutex::new(None);

impl Watchdog {
    fn begin(limit: Duration) -> Self {
        *DUE.lock().expect("nobody panics with it") = Some(Instant::now() + limit);
        Watchdog
    }

    fn watch() {
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_secs(1));
                let due = *DUE.lock().expect("nobody panics with it");
                if due.is_some_and(|due| Instant::now() > due) {
                    say("a program hangs");
                    std::process::abort();
                }
            }
        });
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *DUE.lock().expect("nobody panics with it") = None;
    }
}

/// To the standard error itself: what the test harness captures is lost with a crash.
fn say(what: &str) {
    writeln!(std::io::stderr(), "drops: {what}").expect("a standard error");
}

/// Tries programs of up to `most` steps.
fn try_programs(name: &str, cases: u32, most: usize, run: impl Fn(&Program, Index)) {
    let given = |variable| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let seed = given("PROPTEST_RNG_SEED").unwrap_or_else(|| now ^ u64::from(std::process::id()) << 32);
    let config = ProptestConfig {
        cases: given("PROPTEST_CASES").map_or(cases, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 30,
        ..ProptestConfig::default()
    };
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("drops-{name}.txt"));
    say(&format!("{name}: seed {seed}, the program at hand is in {}", file.display()));
    let result = TestRunner::new(config).run(&(program(most), any::<Index>()), |(program, index)| {
        fs::write(&file, format!("{program:#?}\n{index:?}\n")).expect("a place for it");
        let _watched = Watchdog::begin(Duration::from_secs(120));
        run(&program, index);
        Ok(())
    });
    match result {
        Ok(()) => fs::remove_file(&file).expect("it was written"),
        Err(TestError::Fail(why, program)) => {
            panic!("{why} with PROPTEST_RNG_SEED={seed}, at the shortest:\n{program:#?}")
        }
        Err(why) => panic!("{why}"),
    }
}

fn small_target() -> Target {
    Target::builder().megabytes(16).start().expect("the embedded target starts")
}

/// What the first use of everything takes for good is taken, and the watchdog there.
fn warm_up(target: &Target) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(Watchdog::watch);
    let controller = support::connect_to(target.address());
    let namespace = controller.namespace(1).expect("namespace 1");
    let workload = nvme_spdk::Workload::new().io_count(10);
    nvme_spdk::IoWorker::start(&namespace, &workload).expect("a worker").join();
}

#[test]
fn whatever_the_order_nothing_is_left() {
    let target = small_target();
    warm_up(&target);
    let closed = || eventually("the target has closed its side", || sockets(&target) <= IDLE_SOCKETS);
    closed();
    let options = ConnectOptions::new().timeout(Duration::from_secs(20));
    try_programs("orders", 40, 60, |program, _| {
        let before = Held::now();
        World::new(target.address().clone(), options.clone()).run(program, usize::MAX, || {});
        given_back(&before);
        closed();
    });
    every_queue_can_be_created(&target);
}

#[test]
fn a_target_that_dies_on_the_way() {
    warm_up(&small_target());
    let options = ConnectOptions::new().timeout(Duration::from_secs(2));
    try_programs("death", 4, 40, |program, index| {
        let before = Held::now();
        let target = small_target();
        let kill = || {
            signal(target.pid(), libc::SIGKILL);
            eventually("the target is gone", || !is_alive(target.pid()));
        };
        let at = index.index(program.steps.len() + 1);
        World::new(target.address().clone(), options.clone()).run(program, at, kill);
        drop(target);
        given_back(&before);
    });
}

#[test]
fn a_target_that_falls_silent_on_the_way() {
    warm_up(&small_target());
    // Every connection of a program may have to wait for so long, and every queue for its goodbye.
    let options = ConnectOptions::new().timeout(Duration::from_millis(300));
    try_programs("silence", 2, 16, |program, index| {
        let before = Held::now();
        let target = small_target();
        let mut stopped = None;
        let at = index.index(program.steps.len() + 1);
        World::new(target.address().clone(), options.clone())
            .run(program, at, || stopped = Some(Stopped::new(&target)));
        drop((stopped, target));
        given_back(&before);
    });
}
