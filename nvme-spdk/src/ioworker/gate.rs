//! Workers that are started together begin together.
//!
//! Starting one takes about a millisecond, most of it for its queue pair, and scripts start them one after the
//! other. So a worker that is ready holds on for a moment, to see whether another one is being started, and if so
//! waits for that.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::Ticks;

/// How long a worker looks around for another one.
const LINGER: Duration = Duration::from_micros(300);
/// The longest it waits for others.
const LONGEST: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_micros(20);

/// The gate of this process.
pub(super) static GATE: Gate = Gate::new();

pub(super) struct Gate {
    /// Workers that are being started and not yet ready.
    starting: AtomicUsize,
    /// Workers that wait here.
    waiting: AtomicUsize,
    /// When somebody came last.
    latest: AtomicU64,
}

/// A worker that is being started; also one that fails counts only as long as that takes.
pub(super) struct Starting<'a>(&'a Gate);

impl Gate {
    const fn new() -> Self {
        Gate { starting: AtomicUsize::new(0), waiting: AtomicUsize::new(0), latest: AtomicU64::new(0) }
    }

    pub(super) fn starting(&self) -> Starting<'_> {
        self.starting.fetch_add(1, Ordering::AcqRel);
        Starting(self)
    }

    /// Holds a worker that is ready until no other one is being started. Where there are already as many as
    /// `cores` nothing is gained by waiting.
    pub(super) fn pass(&self, ready: Starting<'_>, cores: usize) {
        let came = Ticks::now();
        self.latest.fetch_max(came.0, Ordering::AcqRel);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        drop(ready);
        let (linger, longest) = (Ticks::of(LINGER), Ticks::of(LONGEST));
        loop {
            let now = Ticks::now();
            let quiet = self.starting.load(Ordering::Acquire) == 0
                && now.since(Ticks(self.latest.load(Ordering::Acquire))) >= linger;
            let full = self.waiting.load(Ordering::Acquire) >= cores;
            if quiet || full || now.since(came) >= longest {
                break;
            }
            thread::sleep(PAUSE);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.starting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_first_waits_for_the_second() {
        let gate = Gate::new();
        let (first, second) = (gate.starting(), gate.starting());
        let (gate, begin) = (&gate, Instant::now());
        thread::scope(|scope| {
            let passed = scope.spawn(move || {
                gate.pass(first, 16);
                begin.elapsed()
            });
            thread::sleep(Duration::from_millis(10));
            gate.pass(second, 16);
            assert!(passed.join().unwrap() >= Duration::from_millis(10));
        });
        assert_eq!((gate.starting.load(Ordering::Relaxed), gate.waiting.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn nobody_waits_for_ever_or_where_there_is_no_core() {
        let gate = Gate::new();
        let slow = gate.starting();
        gate.pass(gate.starting(), 2);
        let begin = Instant::now();
        gate.pass(gate.starting(), 1);
        assert!(begin.elapsed() < LONGEST);
        drop(slow);
    }
}
