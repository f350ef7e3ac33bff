//! Commands at even intervals. A late one does not move the schedule: what a pause delayed is caught up, and
//! nothing is ever sent ahead of its time.

use crate::clock::{Ticks, ticks_per_second};

/// When the next command is due.
pub(crate) struct Pace {
    /// In ticks, with 32 bits behind the point; none for full speed.
    interval: Option<u128>,
    due: u128,
}

impl Pace {
    pub(super) fn new(iops: Option<u32>) -> Self {
        let interval = iops.map(|iops| (u128::from(ticks_per_second()) << 32) / u128::from(iops));
        Pace { interval, due: 0 }
    }

    /// Starts the clock; the first command is due an interval later.
    pub(super) fn begin(&mut self, start: Ticks) {
        self.due = (u128::from(start.0) << 32) + self.interval.unwrap_or(0);
    }

    /// Whether there is a schedule.
    pub(super) fn is_set(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether the next command is due; if so, the one after it is asked about next.
    #[inline]
    pub(super) fn is_due(&mut self, now: Ticks) -> bool {
        let Some(interval) = self.interval else { return true };
        if u128::from(now.0) << 32 < self.due {
            return false;
        }
        self.due += interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAST: u32 = if cfg!(miri) { 600 } else { 60_000 };

    /// How many commands are sent by a worker that looks at these moments, after each of them.
    fn sent(iops: u32, moments: &[u64]) -> Vec<u64> {
        let start = Ticks(1 << 40);
        let mut pace = Pace::new(Some(iops));
        pace.begin(start);
        let mut sent = 0;
        let mut look = |moment: &u64| {
            while pace.is_due(Ticks(start.0 + moment)) {
                sent += 1;
            }
            sent
        };
        moments.iter().map(&mut look).collect()
    }

    proptest! {
        #[test]
        fn exact_at_every_moment(iops in 1..FAST, mut moments in prop::collection::vec(0_u64..2_000_000_000, 1..20)) {
            moments.sort_unstable();
            let hz = ticks_per_second();
            for (moment, sent) in moments.iter().zip(sent(iops, &moments)) {
                let exact = u128::from(*moment) * u128::from(iops) / u128::from(hz);
                // Never ahead; the fraction that 32 bits lose makes up less than one command in years.
                prop_assert!(u128::from(sent) >= exact && u128::from(sent) <= exact + 1);
            }
        }
    }

    #[test]
    fn the_last_command_of_a_second_belongs_to_it() {
        let hz = ticks_per_second();
        let all = [1, 3, 7, 10, 1000, 12_345, 333_333];
        // Miri takes half a millisecond for each command.
        for iops in all.into_iter().take(if cfg!(miri) { 4 } else { all.len() }) {
            assert_eq!(sent(iops, &[hz]), [u64::from(iops)]);
            assert_eq!(sent(iops, &[hz / 3, hz, 5 * hz]).last(), Some(&(5 * u64::from(iops))));
        }
    }

    #[test]
    fn a_year_later_still_exact() {
        let hz = ticks_per_second();
        let year = 365 * 86_400 * hz;
        let iops = if cfg!(miri) { 50 } else { 50_000 };
        let mut pace = Pace::new(Some(iops));
        pace.begin(Ticks(0));
        // As if it had kept up until a second before.
        let before = u128::from(year - hz) * u128::from(iops) / u128::from(hz);
        pace.due += pace.interval.unwrap() * before;
        let sent = std::iter::repeat(Ticks(year)).take_while(|now| pace.is_due(*now)).count();
        assert!(sent.abs_diff(iops as usize) <= 1, "{sent}");
    }
}
