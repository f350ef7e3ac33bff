//! How long commands took: a histogram that is small, and fast to count in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies of many commands, to three significant digits.
#[derive(Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
}

const MICROSECOND: u64 = 1000;

/// Differences below this are not counted.
const FASTEST: u64 = 64;

/// Anything slower is counted as this.
const SLOWEST: u64 = 3_600_000_000_000;

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(FASTEST, SLOWEST, 3).expect("the bounds are in range");
        Latency { histogram }
    }
}

impl Latency {
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The shortest; zero if none was counted.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.histogram.min())
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// The average; zero if none was counted.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.histogram.mean() as u64)
    }

    /// That within which `percentile` percent of the commands completed, 0 to 100.
    pub fn percentile(&self, percentile: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_percentile(percentile))
    }

    /// Adds what another worker counted.
    ///
    /// # Panics
    /// Never: all have the same bounds.
    pub fn merge(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    /// The latency at percentiles that come closer and closer to 100: pairs of both, from the shortest latency to the
    /// longest. Between a percentile and the one half as far from 100 there are `steps` of them.
    pub fn percentiles(&self, steps: u32) -> Vec<(f64, Duration)> {
        let iterated = self.histogram.iter_quantiles(steps.max(1));
        let percentiles = iterated.map(|step| step.quantile_iterated_to() * 100.0);
        percentiles.map(|percentile| (percentile, self.percentile(percentile))).collect()
    }

    /// How many took from one latency to the next, in steps of which `steps` make a factor of two: the lower and the
    /// upper bound and the count, from the shortest to the longest.
    pub fn histogram(&self, steps: u32) -> Vec<(Duration, Duration, u64)> {
        if self.count() == 0 {
            return Vec::new();
        }
        let factor = 2_f64.powf(1.0 / f64::from(steps.max(1)));
        let mut from = Duration::ZERO;
        let counts = self.histogram.iter_log(MICROSECOND, factor).map(|step| {
            let to = Duration::from_nanos(step.value_iterated_to() + 1);
            (std::mem::replace(&mut from, to), to, step.count_since_last_iteration())
        });
        counts.skip_while(|(_, _, count)| *count == 0).collect()
    }

    /// How many took from one power of two of microseconds to the next: pairs of the upper bound and the
    /// count, from the shortest to the longest.
    pub fn octaves(&self) -> Vec<(Duration, u64)> {
        let steps = self.histogram.iter_log(MICROSECOND, 2.0);
        let counts = steps.map(|step| {
            (Duration::from_nanos(step.value_iterated_to() + 1), step.count_since_last_iteration())
        });
        let all: Vec<_> = counts.collect();
        let first = all.iter().position(|(_, count)| *count > 0).unwrap_or(0);
        let last = all.iter().rposition(|(_, count)| *count > 0).map_or(0, |at| at + 1);
        all[first..last].to_vec()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latency({} commands, mean {:?}, max {:?})", self.count(), self.mean(), self.max())
    }
}

impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let microseconds = |span: Duration| span.as_nanos() as f64 / 1000.0;
        let mut map = BTreeMap::from([
            ("min_us".to_owned(), microseconds(self.min())),
            ("mean_us".to_owned(), microseconds(self.mean())),
            ("max_us".to_owned(), microseconds(self.max())),
        ]);
        for percentile in [50.0, 90.0, 99.0, 99.9, 99.99] {
            map.insert(format!("p{percentile}_us"), microseconds(self.percentile(percentile)));
        }
        map.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANY: usize = if cfg!(miri) { 50 } else { 500 };

    #[test]
    fn nothing_counted_is_zero_everywhere() {
        let latency = Latency::default();
        assert_eq!((latency.min(), latency.mean(), latency.max()), Default::default());
        assert_eq!(latency.percentile(99.0), Duration::ZERO);
        assert!(latency.octaves().iter().all(|(_, count)| *count == 0));
    }

    #[test]
    fn it_is_small() {
        let histogram = Latency::default().histogram;
        assert!(histogram.distinct_values() * size_of::<u64>() < 256 << 10);
    }

    proptest! {
        #[test]
        fn percentiles_agree_with_sorted_latencies(
            mut raw in prop::collection::vec(1_u64..10_000_000_000, 1..MANY), percentile in 0.0_f64..=100.0,
        ) {
            let mut latency = Latency::default();
            raw.iter().for_each(|nanoseconds| latency.record(*nanoseconds));
            raw.sort_unstable();
            let rank = (percentile / 100.0 * raw.len() as f64).ceil().max(1.0) as usize;
            // A rounding error may decide for the neighbour.
            let near = |at: usize| {
                let (exact, found) = (raw[at] as f64, latency.percentile(percentile).as_nanos() as f64);
                (found - exact).abs() <= exact / 1000.0 + FASTEST as f64
            };
            prop_assert!(near(rank - 1) || near(rank.min(raw.len() - 1)));
            let mean = raw.iter().sum::<u64>() as f64 / raw.len() as f64;
            prop_assert!((latency.mean().as_nanos() as f64 - mean).abs() <= mean / 1000.0 + FASTEST as f64);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of samples, all of safe code")]
    fn percentiles_end_with_the_longest_and_rise() {
        let mut latency = Latency::default();
        (1..=10_000_u64).for_each(|microseconds| latency.record(microseconds * 1000));
        let points = latency.percentiles(4);
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1) && points.len() < 100, "{points:?}");
        assert_eq!(points.last().unwrap(), &(100.0, latency.max()));
        for (percentile, at) in &points {
            assert_eq!(*at, latency.percentile(*percentile));
        }
        // The last of the counters has more than one of the ten thousand.
        assert!(points.iter().any(|(percentile, _)| (99.8..100.0).contains(percentile)), "{points:?}");
        assert_eq!(Latency::default().percentiles(4), []);
    }

    #[test]
    fn a_histogram_holds_every_command_once_without_gaps() {
        let mut latency = Latency::default();
        for nanoseconds in [500, 1500, 1600, 3000, 1_000_000, 1_000_000, u64::MAX] {
            latency.record(nanoseconds);
        }
        let bars = latency.histogram(8);
        assert_eq!(bars.iter().map(|(_, _, count)| count).sum::<u64>(), 7);
        assert!(bars.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert!(bars.first().unwrap().2 > 0 && bars.last().unwrap().2 > 0, "{bars:?}");
        let (from, to, _) = bars[bars.len() / 2];
        let factor = to.as_secs_f64() / from.as_secs_f64();
        assert!((1.05..1.15).contains(&factor), "{from:?} to {to:?}");
        assert_eq!(Latency::default().histogram(8), []);
    }

    #[test]
    fn octaves_hold_every_command_once() {
        let mut latency = Latency::default();
        for nanoseconds in [500, 1500, 1600, 3000, 1_000_000, u64::MAX] {
            latency.record(nanoseconds);
        }
        let octaves = latency.octaves();
        assert_eq!(octaves.iter().map(|(_, count)| count).sum::<u64>(), 6);
        assert!(octaves.first().unwrap().1 > 0 && octaves.last().unwrap().1 > 0);
    }
}
