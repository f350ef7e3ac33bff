//! Time in ticks of the processor's counter: what is stamped on every command costs a few nanoseconds.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local};

/// A moment, in ticks of the time stamp counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticks(pub u64);

/// How ticks relate to seconds and to the calendar; read once, when the environment has started.
#[derive(Debug, Clone, Copy)]
struct Rate {
    hz: u64,
    /// Nanoseconds per tick, as a fixed-point number with 32 bits behind the point: a multiplication
    /// per command instead of a division.
    nanoseconds: u64,
    anchor: Ticks,
    anchor_time: SystemTime,
}

impl Rate {
    const fn new(hz: u64, anchor: Ticks, anchor_time: SystemTime) -> Self {
        let nanoseconds = ((1_000_000_000_u128 << 32) / hz as u128) as u64;
        Rate { hz, nanoseconds, anchor, anchor_time }
    }
}

/// Holds before the environment has started, when nothing is measured yet.
const UNKNOWN: Rate = Rate::new(1_000_000_000, Ticks(0), SystemTime::UNIX_EPOCH);

static RATE: OnceLock<Rate> = OnceLock::new();

/// Called once the environment runs: SPDK knows the counter's frequency from then on.
pub(crate) fn init(hz: u64) {
    RATE.get_or_init(|| Rate::new(hz, Ticks::now(), SystemTime::now()));
}

#[inline]
fn rate() -> &'static Rate {
    RATE.get().unwrap_or(&UNKNOWN)
}

impl Ticks {
    /// The counter now.
    #[inline]
    pub fn now() -> Self {
        #[cfg(miri)]
        {
            // Miri runs no foreign code and has no counter.
            Ticks(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64))
        }
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            // SAFETY: rdtsc has no precondition.
            Ticks(unsafe { core::arch::x86_64::_rdtsc() })
        }
        #[cfg(not(any(target_arch = "x86_64", miri)))]
        {
            // SAFETY: spdk_get_ticks has no precondition: it reads the processor's counter.
            Ticks(unsafe { spdk_sys::spdk_get_ticks() })
        }
    }

    /// Ticks in a span of time.
    pub fn of(span: Duration) -> u64 {
        let hz = u128::from(rate().hz);
        u64::try_from(span.as_nanos() * hz / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// This moment and a span later.
    pub fn after(self, span: Duration) -> Self {
        Ticks(self.0.saturating_add(Self::of(span)))
    }

    /// Ticks since an earlier moment.
    #[inline]
    pub fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment as wall clock time, to within the drift between the two clocks.
    pub fn wall_clock(self) -> SystemTime {
        let rate = rate();
        if self >= rate.anchor {
            rate.anchor_time + duration(self.since(rate.anchor))
        } else {
            rate.anchor_time - duration(rate.anchor.since(self))
        }
    }
}

/// A moment in local time, as it stands in every log: `2020-06-07 22:57:10.123456`.
pub fn local_time(moment: SystemTime) -> impl fmt::Display {
    DateTime::<Local>::from(moment).format("%Y-%m-%d %H:%M:%S%.6f")
}

/// Ticks in a second.
pub(crate) fn ticks_per_second() -> u64 {
    rate().hz
}

/// A number of ticks as a duration.
pub fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(nanoseconds(ticks))
}

/// A number of ticks in nanoseconds.
#[inline]
pub fn nanoseconds(ticks: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(rate().nanoseconds)) >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_survive_the_round_trip() {
        for millis in [0_u64, 1, 10, 1000, 86_400_000] {
            let span = Duration::from_millis(millis);
            let back = duration(Ticks::of(span));
            assert!(span.abs_diff(back) <= Duration::from_micros(1), "{span:?} came back as {back:?}");
        }
    }

    #[test]
    fn a_span_too_long_saturates() {
        assert_eq!(Ticks(5).after(Duration::MAX), Ticks(u64::MAX));
    }
}
