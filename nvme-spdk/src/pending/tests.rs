//! Futures on a device that does what the test says, polled by an executor that only polls who was woken.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::buffer::DmaBuf;
use crate::cmdlog::CmdLog;
use crate::command::{Command, Completion};
use crate::error::Error;
use crate::lane::{CommandTimeout, Handle, Kind, Lane, Link};
use crate::queue::{Data, Queue, on_complete};
use crate::status::Status;

/// What the device holds, and what it will answer when it is polled: the arguments of the callbacks.
#[derive(Default)]
struct Device {
    held: Mutex<Vec<usize>>,
    answered: Mutex<Vec<usize>>,
    polls: AtomicUsize,
    /// What it says to a command, and to a poll.
    refuses: AtomicI32,
    broken: AtomicBool,
    /// It does not say that it has deleted the queue.
    silent: AtomicBool,
}

struct Fake(Arc<Device>);

fn complete(slots: &Mutex<Vec<usize>>, completion: Completion) {
    for slot in std::mem::take(&mut *slots.lock()) {
        // SAFETY: the queue is alive, and the pointer came from it.
        unsafe { on_complete(slot as *mut c_void, (&raw const completion).cast()) };
    }
}

fn aborted() -> Completion {
    Completion::default().with_status(Status::ABORTED_SQ_DELETION)
}

impl Handle for Fake {
    fn submit(
        &self,
        _: *mut spdk_sys::spdk_nvme_cmd,
        _: *mut c_void,
        _: u32,
        argument: *mut c_void,
    ) -> c_int {
        let rc = self.0.refuses.load(Ordering::Relaxed);
        if rc == 0 {
            self.0.held.lock().push(argument.expose_provenance());
        }
        rc
    }

    fn poll(&self, _: u32) -> i32 {
        self.0.polls.fetch_add(1, Ordering::Relaxed);
        complete(&self.0.answered, Completion::default());
        if self.0.broken.load(Ordering::Relaxed) { -libc::ENXIO } else { 0 }
    }

    fn abort(&self) {
        complete(&self.0.held, aborted());
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn free(&mut self) -> bool {
        complete(&self.0.answered, aborted());
        complete(&self.0.held, aborted());
        !self.0.silent.load(Ordering::Relaxed)
    }
}

/// A task: whether it was woken, and how often.
#[derive(Default)]
struct Flag {
    woken: AtomicBool,
    times: AtomicUsize,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.times.fetch_add(1, Ordering::Relaxed);
    }
}

impl Flag {
    fn times(&self) -> usize {
        self.times.load(Ordering::Relaxed)
    }
}

struct Task {
    future: Pending,
    flag: Arc<Flag>,
}

impl Task {
    fn poll(&mut self) -> Poll<Result<Completed>> {
        self.flag.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.flag));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.flag.woken.load(Ordering::Relaxed)
    }
}

struct World {
    lane: Arc<Lane<Fake>>,
    device: Arc<Device>,
    limit: Arc<CommandTimeout>,
}

impl World {
    fn new(outstanding: u16) -> Self {
        let (device, limit, log) = (Arc::<Device>::default(), Arc::default(), Arc::new(CmdLog::new(1)));
        let queue = Queue::new(1, outstanding, Arc::clone(&log), false, &Arc::default());
        let link = Link::new(Fake(Arc::clone(&device)), queue, Arc::clone(&limit));
        World { lane: Arc::new(Lane::new(1, log, link, Weak::new())), device, limit }
    }

    fn start(&self) -> Result<Task> {
        let token = self.lane.start(Kind::Raw, &Command::flush(1), None)?;
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), ..Flag::default() });
        Ok(Task { future: Pending::new(Arc::clone(&self.lane) as _, token), flag })
    }

    fn tasks(&self, count: usize) -> Vec<Task> {
        (0..count).map(|_| self.start().unwrap()).collect()
    }

    /// The device has done the `nth` command it holds.
    fn answer(&self, nth: usize) {
        let slot = self.device.held.lock().remove(nth);
        self.device.answered.lock().push(slot);
    }
}

/// Polls every task that is woken, in turn; those that are ready are taken out.
fn round(tasks: &mut Vec<Task>) -> Vec<Result<Completed>> {
    let mut ready = Vec::new();
    tasks.retain_mut(|task| match task.is_woken().then(|| task.poll()) {
        Some(Poll::Ready(answer)) => {
            ready.push(answer);
            false
        }
        _ => true,
    });
    ready
}

fn woken(tasks: &[Task]) -> usize {
    tasks.iter().filter(|task| task.is_woken()).count()
}

#[test]
fn one_drives_and_the_others_sleep() {
    let world = World::new(64);
    let mut tasks = world.tasks(64);
    for _ in 0..3 {
        assert!(round(&mut tasks).is_empty());
    }
    assert_eq!(woken(&tasks), 1);
    let polls = world.device.polls.load(Ordering::Relaxed);
    for _ in 0..100 {
        round(&mut tasks);
        assert_eq!(woken(&tasks), 1);
    }
    assert_eq!(world.device.polls.load(Ordering::Relaxed), polls + 100, "each round looks once");

    world.answer(40);
    world.answer(50);
    let ready = round(&mut tasks).len();
    assert_eq!(woken(&tasks), 3 - ready, "those whose completions came");
    assert_eq!(ready + round(&mut tasks).len(), 2);
    assert_eq!((woken(&tasks), world.lane.outstanding()), (1, 62));
}

#[test]
fn each_completion_costs_a_few_wakes_however_many_wait() {
    let many = if cfg!(miri) { 20 } else { 200 };
    let world = World::new(many);
    let mut tasks = world.tasks(many.into());
    let flags: Vec<_> = tasks.iter().map(|task| Arc::clone(&task.flag)).collect();
    while !tasks.is_empty() {
        if !world.device.held.lock().is_empty() {
            world.answer(0);
        }
        round(&mut tasks);
    }
    let wakes: usize = flags.iter().map(|flag| flag.times()).sum();
    assert!(wakes < 5 * usize::from(many), "{wakes} wakes for {many} completions");
}

#[test]
fn the_next_one_drives_when_the_driver_ends() {
    let world = World::new(8);
    let mut tasks = world.tasks(8);
    for _ in 0..3 {
        round(&mut tasks);
    }
    while let Some(driver) = tasks.iter().position(Task::is_woken) {
        drop(tasks.remove(driver));
        assert_eq!(woken(&tasks), usize::from(!tasks.is_empty()));
        for _ in 0..3 {
            round(&mut tasks);
        }
    }
    assert!(tasks.is_empty());
    assert_eq!(world.lane.outstanding(), 8, "the device still has them");
    complete(&world.device.held, Completion::default());
    assert_eq!(world.lane.outstanding(), 0);
}

#[test]
fn a_driver_that_is_kept_and_not_polled_loses_its_place() {
    let world = World::new(2);
    let mut kept = world.start().unwrap();
    assert!(kept.poll().is_pending());
    let mut tasks = world.tasks(1);
    for _ in 0..5 {
        round(&mut tasks);
        assert_eq!(woken(&tasks), 1);
    }
    world.answer(1);
    assert_eq!(round(&mut tasks).len(), 1);
    assert!(kept.is_woken());
}

#[test]
fn futures_of_one_task_look_once_in_a_round() {
    let world = World::new(32);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut futures: Vec<_> = world.tasks(32).into_iter().map(|task| task.future).collect();
    let all = |futures: &mut Vec<Pending>| {
        let mut context = Context::from_waker(&waker);
        futures.retain_mut(|future| Pin::new(future).poll(&mut context).is_pending());
    };
    all(&mut futures);
    let polls = world.device.polls.load(Ordering::Relaxed);
    for _ in 0..50 {
        flag.woken.store(false, Ordering::Relaxed);
        all(&mut futures);
        assert!(flag.woken.load(Ordering::Relaxed));
    }
    assert_eq!(world.device.polls.load(Ordering::Relaxed), polls + 50);
    while !futures.is_empty() {
        world.answer(0);
        all(&mut futures);
    }
}

#[test]
fn whoever_polls_the_queue_wakes_the_futures() {
    let world = World::new(4);
    let mut tasks = world.tasks(3);
    for _ in 0..3 {
        round(&mut tasks);
    }
    let sleeper = tasks.iter().rposition(|task| !task.is_woken()).unwrap();
    world.answer(sleeper);
    assert_eq!(world.lane.poll().unwrap(), 0, "it is for the future alone");
    assert!(tasks[sleeper].is_woken());
    assert!(tasks[sleeper].poll().is_ready());
    world.answer(0);
    world.lane.execute(Kind::Raw, &Command::flush(1), None, Duration::from_millis(1)).unwrap_err();
    assert!(tasks[0].poll().is_ready());
}

#[test]
fn a_deleted_queue_ends_its_futures() {
    let world = World::new(8);
    let mut tasks = world.tasks(8);
    for _ in 0..3 {
        round(&mut tasks);
    }
    assert!(world.lane.free(Duration::ZERO));
    assert_eq!(woken(&tasks), 8);
    for answer in round(&mut tasks) {
        assert!(matches!(answer, Err(Error::QpairDead { qid: 1, state: "deleted" })), "{answer:?}");
    }
    assert!(tasks.is_empty());
}

#[test]
fn a_broken_queue_ends_its_futures() {
    let world = World::new(8);
    let mut tasks = world.tasks(8);
    for _ in 0..3 {
        round(&mut tasks);
    }
    world.device.broken.store(true, Ordering::Relaxed);
    let mut ends = round(&mut tasks);
    ends.extend(round(&mut tasks));
    assert_eq!(ends.len(), 8);
    assert!(ends.iter().all(|end| matches!(end, Err(Error::QpairDead { state: "disconnected", .. }))));
    assert_eq!(world.lane.outstanding(), 0);
    assert!(matches!(world.start(), Err(Error::QpairDead { .. })));
}

#[test]
fn a_command_timeout_ends_a_future_and_the_command_keeps_its_place() {
    let world = World::new(2);
    let mut tasks = world.tasks(2);
    world.answer(0);
    let first = round(&mut tasks);
    assert!(first[0].is_ok(), "{first:?}");
    // Not earlier: the first may have taken as long, on a busy machine.
    world.limit.set(Some(Duration::from_millis(3)));
    let mut late = Vec::new();
    while late.is_empty() {
        assert_eq!(woken(&tasks), 1);
        late = round(&mut tasks);
    }
    assert!(matches!(late[0], Err(Error::Timeout { timeout, .. }) if timeout == Duration::from_millis(3)));
    assert_eq!(world.lane.outstanding(), 1);
    world.answer(0);
    assert_eq!(world.lane.poll().unwrap(), 0, "nobody waits for it any more");
    assert_eq!(world.lane.outstanding(), 0);
}

#[test]
fn a_refused_command_leaves_nothing() {
    let world = World::new(1);
    world.device.refuses.store(-libc::ENOMEM, Ordering::Relaxed);
    assert!(matches!(world.start(), Err(Error::Submit { .. })));
    world.device.refuses.store(0, Ordering::Relaxed);
    let task = world.start().unwrap();
    assert!(matches!(world.start(), Err(Error::QueueFull { .. })));
    assert_eq!(world.lane.outstanding(), 1);
    drop(task);
}

#[test]
fn a_future_does_not_wait_for_the_lock() {
    let world = World::new(4);
    let mut task = world.start().unwrap();
    let other = world.start().unwrap();
    let link = world.lane.lock().unwrap();
    assert!(task.poll().is_pending());
    assert!(task.is_woken(), "it tries again");
    drop(other);
    drop(link);
    world.answer(1);
    world.answer(0);
    assert!(task.poll().is_ready());
    assert_eq!(world.lane.outstanding(), 0, "what was dropped meanwhile is given up");
}

#[test]
#[cfg_attr(miri, ignore = "leaves memory behind, on purpose")]
fn a_device_that_does_not_answer_keeps_the_memory() {
    for silent in [false, true] {
        let world = World::new(2);
        let mut buffer = DmaBuf::on_heap(512);
        let read = Command::read(1, 0, 1);
        world.lane.submit(Kind::Raw, &read, Some(Data::from(&buffer))).unwrap();
        world.device.silent.store(silent, Ordering::Relaxed);
        assert!(world.lane.free(Duration::ZERO));
        assert_eq!(world.lane.is_in_doubt(), silent);
        assert_eq!(buffer.get_mut().is_none(), silent);
    }
}

#[test]
#[should_panic(expected = "not polled after it was ready")]
fn a_future_is_ready_once() {
    let world = World::new(1);
    let mut task = world.start().unwrap();
    world.answer(0);
    assert!(task.poll().is_ready());
    let _ = task.poll();
}

/// What may happen, with a number to choose by.
#[derive(Debug, Clone, Copy)]
enum Event {
    Start,
    /// A woken task is polled.
    Run(usize),
    /// Any task is polled: another of its futures was woken.
    Poll(usize),
    Answer(usize),
    Drop(usize),
    /// Somebody polls the queue.
    Look,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Start),
        12 => any::<usize>().prop_map(Event::Run),
        2 => any::<usize>().prop_map(Event::Poll),
        4 => any::<usize>().prop_map(Event::Answer),
        1 => any::<usize>().prop_map(Event::Drop),
        1 => Just(Event::Look),
    ]
}

proptest! {
    /// Whatever has happened: no future is forgotten as long as woken tasks are polled, and nothing is left.
    #[test]
    fn every_future_ends(events in prop::collection::vec(event(), 0..if cfg!(miri) { 40 } else { 400 }), deleted: bool) {
        let world = World::new(16);
        let mut tasks: Vec<Task> = Vec::new();
        for event in events {
            let nth = |number: usize, of: usize| (of > 0).then(|| number % of);
            match event {
                Event::Start => tasks.extend(world.start().ok()),
                Event::Run(number) => {
                    let woken: Vec<_> = (0..tasks.len()).filter(|at| tasks[*at].is_woken()).collect();
                    if let Some(at) = nth(number, woken.len())
                        && tasks[woken[at]].poll().is_ready()
                    {
                        tasks.remove(woken[at]);
                    }
                }
                Event::Poll(number) => {
                    if let Some(at) = nth(number, tasks.len())
                        && tasks[at].poll().is_ready()
                    {
                        tasks.remove(at);
                    }
                }
                Event::Answer(number) => {
                    let held = world.device.held.lock().len();
                    nth(number, held).into_iter().for_each(|at| world.answer(at));
                }
                Event::Drop(number) => {
                    nth(number, tasks.len()).into_iter().for_each(|at| drop(tasks.remove(at)));
                }
                Event::Look => drop(world.lane.poll()),
            }
            prop_assert!(tasks.is_empty() || woken(&tasks) > 0, "everybody sleeps");
        }
        if deleted {
            world.lane.free(Duration::ZERO);
        } else {
            while !world.device.held.lock().is_empty() {
                world.answer(0);
            }
        }
        let mut tokens = BTreeSet::new();
        for _ in 0..5 {
            for answer in round(&mut tasks) {
                prop_assert_eq!(answer.is_err(), deleted);
                tokens.extend(answer.map(|done| format!("{:?}", done.token)));
            }
        }
        prop_assert!(tasks.is_empty(), "{} futures never end", tasks.len());
        world.lane.poll().ok();
        prop_assert_eq!(world.lane.outstanding(), 0);
    }
}
