//! Commands as futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::queue::{Completed, Token};
use crate::waiting::Watch;

#[cfg(test)]
mod tests;

/// The completion of a command that was sent with [`Qpair::start`](crate::Qpair::start),
/// [`Controller::start`](crate::Controller::start) or one of their like, once it has come.
///
/// Any executor can poll it: there is no thread and no runtime behind it. As SPDK has to be polled, so does the
/// queue: a poll looks for the completions of the queue once, without waiting, wakes the futures whose completions
/// have come, and, as long as its own has not, wakes itself. Of all the futures of a queue only one does the latter;
/// the others sleep. When that one ends, the next one takes over.
///
/// * The command is on its way already. It holds its buffer until the controller has answered.
/// * Dropping the future gives the command up: its completion is discarded when it comes. Until then it keeps
///   its buffer and its place in the queue. This never waits.
/// * If the queue pair is deleted, or the controller closed or reset, the future ends with
///   [`Error::QpairDead`](crate::Error::QpairDead) or [`Error::Dead`](crate::Error::Dead).
/// * If the controller has a [command timeout](crate::Controller::set_command_timeout), the future ends with
///   [`Error::Timeout`](crate::Error::Timeout) after that, and the command is given up. There is none by default; what
///   an executor has for the purpose does as well.
/// * An error status is no error: it is in the completion. See [`Completed::success`].
///
/// # Sharing a queue among tasks
///
/// A future that was polled is to be polled when it is woken, or dropped. A task that does neither, because it holds
/// a stream of futures while it waits for something else, may hold up the other tasks that wait for the same queue,
/// as with a mutex. Give each such task a queue pair of its own, which is faster anyway, or have something call
/// [`Qpair::poll`](crate::Qpair::poll) meanwhile.
#[must_use = "the command is given up when its future is dropped"]
pub struct Pending {
    /// `None` when it has come.
    queue: Option<Arc<dyn Drive>>,
    token: Token,
    watch: Watch,
}

/// A queue that futures wait for.
pub(crate) trait Drive: Send + Sync {
    /// Looks whether the command has completed, and arranges for the future to be polled again if it has not.
    fn drive(&self, token: Token, watch: &mut Watch, context: &mut Context<'_>) -> Poll<Result<Completed>>;
    /// Nobody waits for the command any more.
    fn give_up(&self, token: Token);
}

impl Pending {
    pub(crate) fn new(queue: Arc<dyn Drive>, token: Token) -> Self {
        Pending { queue: Some(queue), token, watch: Watch::default() }
    }

    /// Names the command: [`Completed::token`] will be the same.
    pub fn token(&self) -> Token {
        self.token
    }
}

impl Future for Pending {
    type Output = Result<Completed>;

    /// # Panics
    /// If it was ready before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Pending { queue, token, watch } = self.get_mut();
        let answer =
            queue.as_ref().expect("a future is not polled after it was ready").drive(*token, watch, context);
        if answer.is_ready() {
            *queue = None;
        }
        answer
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.give_up(self.token);
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.queue.is_some() { "waiting" } else { "ready" };
        write!(f, "Pending({:?}, {state})", self.token)
    }
}
