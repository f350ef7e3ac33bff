//! How much the queues of this process transfer, for consoles that show it as it happens.
//!
//! Only what reads and writes a namespace counts: its helpers, and workers. Raw commands do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What was sent on one queue. It counts in the [total](total) of the process, also when the queue is gone.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes: AtomicU64,
    commands: AtomicU64,
}

/// Bytes and commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub bytes: u64,
    pub commands: u64,
}

struct Sum {
    live: Vec<Arc<Traffic>>,
    /// Of queues that are gone.
    gone: Amount,
}

static SUM: Mutex<Sum> = Mutex::new(Sum { live: Vec::new(), gone: Amount { bytes: 0, commands: 0 } });

/// The traffic of all queues since the process started.
pub(crate) fn total() -> Amount {
    let sum = SUM.lock();
    sum.live.iter().fold(sum.gone, |total, traffic| total.plus(traffic.amount()))
}

impl Traffic {
    /// The counters of a queue that begins.
    pub(crate) fn begin() -> Arc<Self> {
        let traffic = Arc::new(Traffic::default());
        let mut sum = SUM.lock();
        let Sum { live, gone } = &mut *sum;
        live.retain_mut(|other| match Arc::get_mut(other) {
            // Nobody else has it any more, so it counts no further.
            Some(other) => {
                *gone = gone.plus(other.amount());
                false
            }
            None => true,
        });
        live.push(Arc::clone(&traffic));
        traffic
    }

    /// Counts a command that was sent; only the queue's driver calls this, one thread at a time.
    #[inline]
    pub(crate) fn count(&self, bytes: u64) {
        // One writer: no need to lock the bus for an addition.
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        self.commands.store(self.commands.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn amount(&self) -> Amount {
        Amount { bytes: self.bytes.load(Ordering::Relaxed), commands: self.commands.load(Ordering::Relaxed) }
    }
}

impl Amount {
    fn plus(self, other: Amount) -> Amount {
        Amount { bytes: self.bytes + other.bytes, commands: self.commands + other.commands }
    }

    /// What came on top of an earlier amount.
    pub(crate) fn since(self, earlier: Amount) -> Amount {
        Amount {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            commands: self.commands.saturating_sub(earlier.commands),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_that_are_gone_still_count_and_take_no_room() {
        let before = total();
        let rooms = || SUM.lock().live.len();
        drop(Traffic::begin());
        let taken = rooms();
        for _ in 0..100 {
            Traffic::begin().count(512);
        }
        assert!(rooms() <= taken + 1, "{} of {taken}", rooms());
        let kept = Traffic::begin();
        kept.count(4096);
        assert_eq!(kept.amount(), Amount { bytes: 4096, commands: 1 });
        assert_eq!(total().since(before), Amount { bytes: 100 * 512 + 4096, commands: 101 });
    }
}
