//! The handles that exist, and what the steps of a program do with them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nvme_spdk::{
    Address, Command, ConnectOptions, Controller, Data, DmaBuf, Error, IoWorker, Namespace, Pending, Qpair,
    Result, Workload, admin_opcode,
};
use proptest::sample::Index;

use crate::program::{Kind, Place, Program, Step};

pub struct World {
    address: Address,
    options: ConnectOptions,
    controllers: Vec<Controller>,
    namespaces: Vec<Namespace>,
    queues: Vec<Arc<Qpair>>,
    buffers: Vec<DmaBuf>,
    workers: Vec<IoWorker>,
    futures: Vec<Pending>,
    elsewhere: Vec<JoinHandle<()>>,
}

/// The handle that an index means; `None` when there is none of its kind.
fn pick<T>(list: &[T], at: Index) -> Option<&T> {
    (!list.is_empty()).then(|| at.get(list))
}

fn take<T>(list: &mut Vec<T>, at: Index) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(at.index(list.len())))
}

/// What is closed, full, too small or of another controller says so; and on a busy machine SPDK gives a target up after two seconds. One that
/// was killed or stopped refuses in more ways.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Dead { .. }
            | Error::QpairDead { .. }
            | Error::QueueFull { .. }
            | Error::BufferTooSmall { .. }
            | Error::Timeout { .. }
            | Error::Open { .. }
            | Error::QpairCreate { .. }
            | Error::InvalidArgument { .. }
    )
}

impl World {
    pub fn new(address: Address, options: ConnectOptions) -> Self {
        World {
            address,
            options,
            controllers: Vec::new(),
            namespaces: Vec::new(),
            queues: Vec::new(),
            buffers: Vec::new(),
            workers: Vec::new(),
            futures: Vec::new(),
            elsewhere: Vec::new(),
        }
    }

    /// Runs a program, with `trouble` after so many of its steps. Errors are no failure: what is dead says so.
    pub fn run(mut self, program: &Program, trouble_at: usize, trouble: impl FnOnce()) {
        let (before, after) = program.steps.split_at(trouble_at.min(program.steps.len()));
        for step in before {
            if let Err(why) = self.step(step) {
                assert!(is_expected(&why), "{step:?}: {why}");
            }
        }
        trouble();
        for step in after {
            let _whatever_trouble_makes_of_it = self.step(step);
        }
        for (kind, at, place) in &program.end {
            self.drop_one(*kind, *at, *place);
        }
        for thread in std::mem::take(&mut self.elsewhere) {
            thread.join().expect("no panic");
        }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        self.perform(step).unwrap_or(Ok(()))
    }

    /// `None` if there is no handle for it.
    fn perform(&mut self, step: &Step) -> Option<Result<()>> {
        let controller = |at: &Index| pick(&self.controllers, *at);
        let queue = |at: &Index| pick(&self.queues, *at);
        let done = match step {
            Step::Connect => {
                Controller::connect(&self.address, self.options.clone()).map(|new| self.controllers.push(new))
            }
            Step::CloneController(at) => {
                let clone = controller(at)?.clone();
                self.controllers.push(clone);
                Ok(())
            }
            Step::Close(at) => {
                controller(at)?.close();
                Ok(())
            }
            Step::Reset(at) => controller(at)?.reset(),
            Step::CommandTimeout(at, milliseconds) => {
                let timeout = (*milliseconds > 0).then(|| Duration::from_millis(*milliseconds));
                controller(at)?.set_command_timeout(timeout);
                Ok(())
            }
            Step::OpenNamespace(at) => controller(at)?.namespace(1).map(|new| self.namespaces.push(new)),
            Step::Track(at) => {
                let tracked = pick(&self.namespaces, *at)?.clone().track(Some(1000));
                tracked.map(|tracked| {
                    tracked.verify(true);
                    self.namespaces.push(tracked);
                })
            }
            Step::CloneNamespace(at) => {
                let clone = pick(&self.namespaces, *at)?.clone();
                self.namespaces.push(clone);
                Ok(())
            }
            Step::CreateQueue(at, depth) => {
                controller(at)?.create_qpair(*depth).map(|new| self.queues.push(Arc::new(new)))
            }
            Step::ShareQueue(at) => {
                let shared = Arc::clone(queue(at)?);
                self.queues.push(shared);
                Ok(())
            }
            Step::DeleteQueue(at) => queue(at)?.delete(),
            Step::NewBuffer(bytes) => DmaBuf::new(*bytes).map(|new| self.buffers.push(new)),
            Step::CloneBuffer(at) => {
                let clone = pick(&self.buffers, *at)?.clone();
                self.buffers.push(clone);
                Ok(())
            }
            Step::Read { namespace, queue: at, buffer, lba, blocks, keep } => {
                let (namespace, queue) = (pick(&self.namespaces, *namespace)?, queue(at)?);
                let memory = pick(&self.buffers, *buffer)?;
                let sent = namespace.submit_read(queue, memory, 0, *lba, *blocks).map(drop);
                self.keep(*keep, *buffer);
                sent
            }
            Step::Write { namespace, queue: at, buffer, lba, blocks, keep } => {
                let (namespace, queue) = (pick(&self.namespaces, *namespace)?, queue(at)?);
                let memory = pick(&self.buffers, *buffer)?;
                let sent = namespace.submit_write(queue, memory, 0, *lba, *blocks).map(drop);
                self.keep(*keep, *buffer);
                sent
            }
            Step::Flush(at) => queue(at)?.submit(&Command::flush(1), None).map(drop),
            Step::StartRead(at, lba) => {
                let queue = queue(at)?;
                let read = DmaBuf::new(512)
                    .and_then(|buffer| queue.start(&Command::read(1, *lba, 1), Some(Data::from(&buffer))));
                read.map(|new| self.futures.push(new))
            }
            Step::StartEventRequest(at) => {
                let request = controller(at)?.start(&Command::async_event_request(), None);
                request.map(|new| self.futures.push(new))
            }
            Step::PollFuture(at) => {
                let mut future = take(&mut self.futures, *at)?;
                match Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(end) => end.map(drop),
                    Poll::Pending => {
                        self.futures.push(future);
                        Ok(())
                    }
                }
            }
            Step::Identify(at, buffer) => {
                let data = Data::from(pick(&self.buffers, *buffer)?);
                controller(at)?.submit(&Command::identify(1, 0), Some(data)).map(drop)
            }
            Step::EventRequest(at) => {
                let request = Command::admin(admin_opcode::ASYNC_EVENT_REQUEST);
                controller(at)?.submit(&request, None).map(drop)
            }
            Step::Execute(at, milliseconds) => {
                let timeout = Duration::from_millis(*milliseconds);
                queue(at)?.execute_within(&Command::flush(1), None, timeout).map(drop)
            }
            Step::ExecuteAdmin(at, milliseconds) => {
                let timeout = Duration::from_millis(*milliseconds);
                controller(at)?.execute_within(&Command::get_features(7), None, timeout).map(drop)
            }
            Step::Poll(at) => queue(at)?.poll().map(drop),
            Step::Take(at) => queue(at)?.next_completion().map(drop),
            Step::PollAdmin(at) => controller(at)?.poll().map(drop),
            Step::TakeAdmin(at) => controller(at)?.next_completion().map(drop),
            Step::StartWorker(at, commands) => {
                let workload = Workload::new().io_count(*commands).region(0..64).read_percentage(50);
                IoWorker::start(pick(&self.namespaces, *at)?, &workload).map(|new| self.workers.push(new))
            }
            Step::FinishWorker(at) => {
                pick(&self.workers, *at)?.finish();
                Ok(())
            }
            Step::JoinWorker(at) => {
                let worker = take(&mut self.workers, *at)?;
                // One whose target is silent is dropped.
                worker.wait(Duration::from_secs(2)).map(|()| drop(worker.join()))
            }
            Step::UseElsewhere(at, buffer) => {
                let (queue, buffer) = (Arc::clone(queue(at)?), pick(&self.buffers, *buffer)?.clone());
                self.elsewhere.push(thread::spawn(move || use_for_a_while(&queue, &buffer)));
                Ok(())
            }
            Step::Drop(kind, at, place) => {
                self.drop_one(*kind, *at, *place);
                Ok(())
            }
        };
        Some(done)
    }

    fn keep(&mut self, keep: bool, buffer: Index) {
        if !keep {
            take(&mut self.buffers, buffer);
        }
    }

    fn drop_one(&mut self, kind: Kind, at: Index, place: Place) {
        match kind {
            Kind::Controller => self.let_go(|world| &mut world.controllers, at, place),
            Kind::Namespace => self.let_go(|world| &mut world.namespaces, at, place),
            Kind::Queue => self.let_go(|world| &mut world.queues, at, place),
            Kind::Buffer => self.let_go(|world| &mut world.buffers, at, place),
            Kind::Worker => self.let_go(|world| &mut world.workers, at, place),
            Kind::Future => self.let_go(|world| &mut world.futures, at, place),
        }
    }

    fn let_go<T: Send + 'static>(
        &mut self,
        list: impl Fn(&mut Self) -> &mut Vec<T>,
        at: Index,
        place: Place,
    ) {
        match (take(list(self), at), place) {
            (Some(handle), Place::Elsewhere) => self.elsewhere.push(thread::spawn(move || drop(handle))),
            (handle, _) => drop(handle),
        }
    }
}

/// As long as it lives, but not for long.
fn use_for_a_while(queue: &Qpair, buffer: &DmaBuf) {
    for lba in 0..20 {
        if queue.submit(&Command::read(1, lba, 1), Some(Data::from(buffer))).is_err()
            || queue.poll().is_err()
            || queue.next_completion().is_err()
        {
            return;
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("controllers", &self.controllers.len())
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}
