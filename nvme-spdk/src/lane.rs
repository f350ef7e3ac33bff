//! One queue pair as its users share it: SPDK's handle and the commands in flight, behind one lock.
//!
//! SPDK wants a queue pair driven by one thread at a time. The lock is held for single calls, never while
//! user code runs, so that several threads can use a queue in turn; a worker holds it for its whole run.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::clock::{self, Ticks};
use crate::cmdlog::CmdLog;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::observer::Scope;
use crate::pending::Drive;
use crate::queue::{Completed, Data, Queue, Token};
use crate::registry::Lanes;
use crate::status::Status;
use crate::waiting::{Waiting, Watch};
use crate::{deadline, fork, interrupt, log, names, wait};

/// SPDK's side of a queue pair.
pub(crate) trait Handle: Send {
    /// Hands one command to SPDK; the argument comes back to the completion function.
    fn submit(
        &self,
        command: *mut spdk_sys::spdk_nvme_cmd,
        data: *mut c_void,
        len: u32,
        argument: *mut c_void,
    ) -> c_int;
    /// Lets SPDK look for completions; negative when the queue pair is broken.
    fn poll(&self, most: u32) -> i32;
    /// Completes what is outstanding as aborted, where SPDK has not done that when the queue pair broke.
    fn abort(&self);
    /// Whether nobody answers at the device's registers any more, which no poll would ever say.
    fn is_gone(&self) -> bool;
    /// Completes what is outstanding and frees it, as dropping it does; the second time nothing is left to do. False if
    /// the device has not let go of the queue: it may go on using the memory of its commands.
    fn free(&mut self) -> bool;
    /// What is sent by SPDK itself meanwhile belongs to this log.
    fn scope(_log: &Arc<CmdLog>) -> Option<Scope> {
        None
    }
}

/// What a command counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything; not counted.
    Raw,
    /// A read or write of a namespace: it counts as traffic of the queue.
    Transfer,
}

/// Who gets the completion of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taker {
    /// Whoever takes the next one.
    Next,
    /// Who has sent it, and waits in the same call.
    Caller,
    /// The future that stands for it.
    Future,
}

/// The handle and what is in flight on it. The handle is freed first: that calls back into the queue.
pub(crate) struct Link<H: Handle> {
    pub handle: H,
    pub queue: Queue,
    /// SPDK said that nothing will come any more.
    pub broken: bool,
    /// When commands are next looked through for those that take too long.
    next_look: Ticks,
    limit: Arc<CommandTimeout>,
    /// How often futures have looked for completions.
    looks: u64,
    /// When the registers are next looked at, where a device can go away without a word.
    next_watch: Option<Ticks>,
}

impl<H: Handle> Drop for Link<H> {
    fn drop(&mut self) {
        self.free();
    }
}

/// How long a command may take before it is reported as timed out; shared by the queues of a controller.
#[derive(Debug, Default)]
pub(crate) struct CommandTimeout {
    /// 0 for ever.
    ticks: AtomicU64,
    /// The same, as it was set.
    nanoseconds: AtomicU64,
}

impl CommandTimeout {
    pub(crate) fn set(&self, timeout: Option<Duration>) {
        let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.nanoseconds.store(timeout.map_or(0, nanoseconds), Ordering::Relaxed);
        self.ticks.store(timeout.map_or(0, |timeout| Ticks::of(timeout).max(1)), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        match self.nanoseconds.load(Ordering::Relaxed) {
            0 => None,
            nanoseconds => Some(Duration::from_nanos(nanoseconds)),
        }
    }
}

/// How often a device's registers are looked at.
const WATCH: Duration = Duration::from_millis(100);

/// How often commands are looked through: a command is reported at most so much too late.
const LOOK: Duration = Duration::from_millis(1);

pub(crate) struct Lane<H: Handle> {
    qid: u16,
    log: Arc<CmdLog>,
    link: Mutex<Option<Link<H>>>,
    waiting: Waiting,
    /// Asks whoever holds the lock for long to let go.
    stop: AtomicBool,
    /// The link was freed.
    freed: AtomicBool,
    /// It was, and the device may go on using the memory of its commands.
    in_doubt: AtomicBool,
    /// The I/O queues of the controller: their commands may hold blocks that a command here waits for.
    neighbours: Weak<Lanes>,
}

/// How long a lock may be held by someone else; single calls take microseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(20);

impl<H: Handle> Lane<H> {
    pub(crate) fn new(qid: u16, log: Arc<CmdLog>, link: Link<H>, neighbours: Weak<Lanes>) -> Self {
        let (link, waiting) = (Mutex::new(Some(link)), Waiting::default());
        let [stop, freed, in_doubt] = [const { AtomicBool::new(false) }; 3];
        Lane { qid, log, link, waiting, stop, freed, in_doubt, neighbours }
    }

    pub(crate) fn qid(&self) -> u16 {
        self.qid
    }

    pub(crate) fn log(&self) -> &Arc<CmdLog> {
        &self.log
    }

    /// The link, for one call into SPDK or for a worker's run.
    pub(crate) fn lock(&self) -> Result<MappedMutexGuard<'_, Link<H>>> {
        fork::check()?;
        let what = || format!("queue {} in use by another thread", self.qid);
        let guard = match self.link.try_lock() {
            Some(guard) => guard,
            None => wait::until(what, PATIENCE, || Ok(self.link.try_lock_for(SLICE)))?,
        };
        let link = MutexGuard::try_map(guard, Option::as_mut).map_err(|_| self.gone())?;
        self.abandon_given_up(&link);
        Ok(link)
    }

    /// The lock alone, also of a queue that is gone; not interrupted, for what has to be done. None if another thread
    /// does not let go of it.
    pub(crate) fn hold(&self) -> Option<impl Sized + '_> {
        self.link.try_lock_for(PATIENCE)
    }

    #[inline]
    fn abandon_given_up(&self, link: &Link<H>) {
        if self.waiting.has_given_up() {
            self.waiting.each_given_up(|token| link.queue.abandon(token));
        }
    }

    /// Whether the link is gone.
    pub(crate) fn is_freed(&self) -> bool {
        self.freed.load(Ordering::Acquire)
    }

    /// Whether whoever holds the lock for long should let go.
    pub(crate) fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Completes what is outstanding and frees SPDK's queue pair; the second time nothing is left to do.
    /// False if someone would not let go of it within `patience`.
    pub(crate) fn free(&self, patience: Duration) -> bool {
        self.ask_to_stop();
        let Some(mut guard) = self.link.try_lock_for(patience) else {
            return false;
        };
        let scope = H::scope(&self.log);
        let link = guard.take();
        if link.is_some_and(|mut link| !link.free()) {
            self.in_doubt.store(true, Ordering::Relaxed);
        }
        self.freed.store(true, Ordering::Release);
        drop((scope, guard));
        self.waiting.call_all();
        self.waiting.wake();
        true
    }

    /// Whether the device may go on using the memory of commands although the link was freed.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// Goes on with another link after the first was freed.
    pub(crate) fn install(&self, link: Link<H>) {
        self.stop.store(false, Ordering::Relaxed);
        let mut place = self.link.lock();
        *place = Some(link);
        self.freed.store(false, Ordering::Release);
    }

    fn gone(&self) -> Error {
        Error::QpairDead { qid: self.qid, state: "deleted" }
    }

    pub(crate) fn submit(&self, kind: Kind, command: &Command, data: Option<Data>) -> Result<Token> {
        self.send(kind, command, data, Taker::Next)
    }

    fn send(&self, kind: Kind, command: &Command, data: Option<Data>, taker: Taker) -> Result<Token> {
        let link = self.lock()?;
        let _scope = H::scope(&self.log);
        let bytes = data.as_ref().map_or(0, Data::len);
        // SPDK would take it, and keep it until the queue pair is freed.
        if link.broken {
            return Err(Error::QpairDead { qid: self.qid, state: "disconnected" });
        }
        let token = link.send(command, data, taker != Taker::Next)?;
        if taker == Taker::Future {
            link.queue.promise(token);
        }
        if kind == Kind::Transfer {
            self.log.traffic().count(bytes as u64);
        }
        Ok(token)
    }

    /// Looks for completions once. How many wait to be taken; an error only when nothing waits and nothing
    /// will come.
    pub(crate) fn poll(&self) -> Result<usize> {
        let mut link = self.lock()?;
        let scope = H::scope(&self.log);
        link.poll(0);
        self.call(&link);
        let (ready, broken, parked) = (link.queue.ready(), link.broken, link.queue.has_parked());
        drop((scope, link));
        self.waiting.wake();
        match ready {
            0 if broken => Err(Error::QpairDead { qid: self.qid, state: "disconnected" }),
            0 if parked => {
                self.poll_neighbours();
                Ok(0)
            }
            ready => Ok(ready),
        }
    }

    /// Calls the futures whose commands have news.
    fn call(&self, link: &Link<H>) {
        while let Some(index) = link.queue.next_called() {
            self.waiting.call(index);
        }
        if link.broken {
            self.waiting.call_all();
        }
    }

    /// Polls the other queues of the controller as far as nobody drives them: whoever waits for a parked command
    /// would wait for ever if nobody looked after the queue that holds its blocks. What completes there stays
    /// there until it is taken.
    pub(crate) fn poll_neighbours(&self) {
        let Some(lanes) = self.neighbours.upgrade() else { return };
        let lanes = lanes.lock().clone();
        for lane in lanes {
            if let Some(link) = lane.link.try_lock().as_deref_mut().and_then(Option::as_mut) {
                link.poll(0);
            }
        }
    }

    /// Sends a command whose answer nobody waits for, if nobody uses the queue just now, and the one that was sent so
    /// before has its answer; never waits. Returns the one that has none yet.
    pub(crate) fn send_unattended(&self, command: &Command, before: Option<Token>) -> Option<Token> {
        let Some(mut guard) = self.link.try_lock_for(SLICE) else { return before };
        let link = guard.as_mut().filter(|link| !link.broken)?;
        let _scope = H::scope(&self.log);
        link.poll(0);
        if let Some(before) = before.filter(|before| link.queue.knows(*before)) {
            return Some(before);
        }
        let token = link.send(command, None, true).ok()?;
        link.queue.abandon(token);
        link.poll(0);
        Some(token)
    }

    /// Polls until something can be taken, at most `timeout`; returns how much, 0 when the time is over.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<usize> {
        let what = || format!("a command on queue {}", self.qid);
        interrupt::before(what)?;
        match wait::until(what, timeout, || self.poll().map(|ready| (ready > 0).then_some(ready))) {
            Err(Error::Timeout { .. }) => Ok(0),
            other => other,
        }
    }

    pub(crate) fn next(&self) -> Result<Option<Completed>> {
        Ok(self.lock()?.queue.next())
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.lock().map_or(0, |link| link.queue.outstanding())
    }

    pub(crate) fn latest_cid(&self) -> Result<u16> {
        Ok(self.lock()?.queue.latest_cid())
    }

    pub(crate) fn latest_latency(&self) -> Result<Duration> {
        Ok(clock::duration(self.lock()?.queue.latest_ticks()))
    }

    /// Sends one command and waits for it. When that takes too long, the command and its buffer stay with
    /// the controller, and its completion is dropped when it comes.
    pub(crate) fn execute(
        &self,
        kind: Kind,
        command: &Command,
        data: Option<Data>,
        timeout: Duration,
    ) -> Result<Completed> {
        let what =
            || format!("{} (opcode {:#04x}) on queue {}", self.name_of(command), command.opcode, self.qid);
        interrupt::before(what)?;
        let token = self.send(kind, command, data, Taker::Caller)?;
        let answer = wait::until(what, timeout, || {
            let mut link = self.lock()?;
            let scope = H::scope(&self.log);
            if link.queue.knows(token) {
                link.poll(0);
            }
            let answer = self.answer(&link, token);
            let parked = link.queue.has_parked();
            self.call(&link);
            drop((scope, link));
            self.waiting.wake();
            if matches!(answer, Ok(None)) && parked {
                self.poll_neighbours();
            }
            answer
        });
        if answer.is_err() {
            match self.lock() {
                Ok(link) => link.queue.abandon(token),
                Err(_) => self.waiting.give_up(token),
            }
        }
        answer
    }

    /// What has become of an awaited command.
    fn answer(&self, link: &Link<H>, token: Token) -> Result<Option<Completed>> {
        if !link.queue.knows(token) {
            return Err(self.gone());
        }
        let answer = link.queue.take(token);
        // A command that SPDK aborted because the connection broke was not answered by anybody.
        let answered =
            answer.as_ref().is_some_and(|done| done.completion.status() != Status::ABORTED_SQ_DELETION);
        if link.broken && !answered {
            return Err(Error::QpairDead { qid: self.qid, state: "disconnected" });
        }
        Ok(answer)
    }

    /// Sends a command whose completion goes to a future.
    pub(crate) fn start(&self, kind: Kind, command: &Command, data: Option<Data>) -> Result<Token> {
        self.send(kind, command, data, Taker::Future)
    }

    /// Looks for completions, unless another future of the same queue has done it since this one was here, and
    /// for its own. Called under the lock.
    fn look(&self, link: &mut Link<H>, token: Token, looks: &mut Option<u64>) -> Result<Option<Completed>> {
        if link.queue.knows(token) && looks.is_none_or(|looks| looks == link.looks) {
            link.poll(0);
            link.looks += 1;
        }
        *looks = Some(link.looks);
        let answer = self.answer(link, token)?;
        if answer.is_none() && link.queue.is_overdue(token) {
            let what = format!("a command on queue {}", self.qid);
            return Err(deadline::timed_out(what, link.limit.get().unwrap_or_default()));
        }
        Ok(answer)
    }

    fn name_of(&self, command: &Command) -> &'static str {
        if self.qid == 0 { names::admin_command(command.opcode) } else { names::io_command(command.opcode) }
    }
}

impl<H: Handle> Drive for Lane<H> {
    fn drive(&self, token: Token, watch: &mut Watch, context: &mut Context<'_>) -> Poll<Result<Completed>> {
        fork::check()?;
        let mut guard = self.link.try_lock();
        let answer = match guard.as_deref_mut() {
            // Whoever holds it is not waited for.
            None => Ok(None),
            Some(None) => Err(self.gone()),
            Some(Some(link)) => {
                let _scope = H::scope(&self.log);
                self.look(link, token, &mut watch.looks)
            }
        };
        let answer = answer.transpose();
        // Under the lock, so that nobody finds the completion of a future that is about to sleep.
        let (stay, former) = match answer {
            None => (Some(self.waiting.stay(token, watch, context.waker())), None),
            Some(_) => (None, self.waiting.leave(token)),
        };
        let (looked, mut parked) = (guard.is_some(), false);
        if let Some(Some(link)) = guard.as_deref_mut() {
            if matches!(answer, Some(Err(_))) {
                link.queue.abandon(token);
            }
            self.abandon_given_up(link);
            self.call(link);
            parked = link.queue.has_parked();
        }
        drop(guard);
        drop(former);
        self.waiting.wake();
        if parked {
            self.poll_neighbours();
        }
        if stay.is_some_and(|stay| stay.again || !looked) {
            context.waker().wake_by_ref();
        }
        answer.map_or(Poll::Pending, Poll::Ready)
    }

    fn give_up(&self, token: Token) {
        if fork::forked() {
            return;
        }
        let former = self.waiting.leave(token);
        self.waiting.give_up(token);
        match self.link.try_lock().as_deref() {
            Some(Some(link)) => self.abandon_given_up(link),
            Some(None) => self.waiting.each_given_up(|_| {}),
            // Left to the next one who takes the lock.
            None => {}
        }
        drop(former);
        self.waiting.wake();
    }
}

impl<H: Handle> Link<H> {
    pub(crate) fn new(handle: H, queue: Queue, limit: Arc<CommandTimeout>) -> Self {
        let next_look = Ticks::default();
        Link { handle, queue, broken: false, next_look, limit, looks: 0, next_watch: None }
    }

    /// Frees the handle. False, the first time, if the device may still use the memory of commands: what of that the
    /// queue has stays allocated for ever.
    fn free(&mut self) -> bool {
        let done = self.handle.free();
        if !done {
            self.queue.leave_buffers();
        }
        done
    }

    /// For a device that can be pulled out.
    pub(crate) fn watched(mut self) -> Self {
        self.next_watch = Some(Ticks::default());
        self
    }

    pub(crate) fn send(&self, command: &Command, data: Option<Data>, awaited: bool) -> Result<Token> {
        self.queue.submit(command, data, awaited, &|command, data, len, argument| {
            self.handle.submit(command, data, len, argument)
        })
    }

    /// As [`send`](Self::send) for commands nobody awaits, without keeping the buffer.
    ///
    /// # Safety
    /// The data must stay valid until the command's completion is taken or this link is dropped.
    #[inline]
    pub(crate) unsafe fn send_unowned(&self, command: &Command, address: *mut u8, len: u32) -> Result<Token> {
        // SAFETY: as the caller promises; dropping the link frees SPDK's queue pair.
        unsafe {
            self.queue.submit_unowned(command, address, len, &|command, data, len, argument| {
                self.handle.submit(command, data, len, argument)
            })
        }
    }

    #[inline]
    pub(crate) fn poll(&mut self, most: u32) {
        if !self.broken && (self.handle.poll(most) < 0 || self.is_gone()) {
            self.broken = true;
            // SPDK reports every command it aborts.
            log::quietly(|| self.handle.abort());
        }
        if self.queue.has_parked() {
            self.queue
                .retry(&|command, data, len, argument| self.handle.submit(command, data, len, argument));
        }
        match self.limit.ticks.load(Ordering::Relaxed) {
            0 => {}
            limit => self.expire(limit),
        }
    }

    #[inline]
    fn is_gone(&mut self) -> bool {
        let Some(next) = self.next_watch else { return false };
        let now = Ticks::now();
        if now < next {
            return false;
        }
        self.next_watch = Some(now.after(WATCH));
        self.handle.is_gone()
    }

    #[inline]
    fn expire(&mut self, limit: u64) {
        let now = Ticks::now();
        if now >= self.next_look {
            self.next_look = now.after(LOOK);
            self.queue.expire(now, limit);
        }
    }
}
