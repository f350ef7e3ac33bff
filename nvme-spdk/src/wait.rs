//! Waiting for something that has to be polled.

use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::timed_out;
use crate::error::{Error, Result};
use crate::interrupt;

/// How long to poll without a pause: what answers at all mostly answers within this.
const SPIN: Duration = Duration::from_millis(2);
/// Between polls afterwards, so that a wait for something slow does not take a core from the rest.
const PAUSE: Duration = Duration::from_micros(50);
/// How often to ask for interrupts: asking may be expensive.
const LOOK: Duration = Duration::from_millis(1);

/// Polls `step` until it has an answer, fails, or `timeout` is over.
pub(crate) fn until<T>(
    what: impl Fn() -> String,
    timeout: Duration,
    mut step: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut next_look = LOOK;
    loop {
        if let Some(answer) = step()? {
            return Ok(answer);
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(timed_out(what(), timeout));
        }
        if waited >= next_look {
            next_look = waited + LOOK;
            if interrupt::pending() {
                return Err(Error::Interrupted { what: what() });
            }
        }
        if waited > SPIN {
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut calls = 0;
        let answer = until(
            || "it".to_owned(),
            Duration::from_secs(5),
            || {
                calls += 1;
                Ok((calls == 3).then_some(calls))
            },
        );
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn silence_is_an_error_that_names_what_was_awaited() {
        let error =
            until(|| "the answer".to_owned(), Duration::from_millis(5), || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().starts_with("the answer did not finish within 5ms"), "{error}");
    }
}
