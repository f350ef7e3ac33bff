//! Commands as futures, on the embedded target: on several executors, dropped and deleted in every order.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::executor::LocalPool;
use futures::future::{Either, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::LocalSpawnExt;
use nvme_spdk::{
    Command, Controller, Data, DmaBuf, Error, Mismatch, Namespace, Pending, Qpair, Status, Target,
};
use support::{Stopped, connect, connect_to, target};

const BLOCK: usize = 512;
const PATIENCE: Duration = Duration::from_secs(20);

fn qpair(controller: &Controller, depth: u16) -> Qpair {
    controller.create_qpair(depth).expect("a queue pair")
}

fn block() -> DmaBuf {
    DmaBuf::new(BLOCK).expect("a buffer")
}

fn start_read(qpair: &Qpair, lba: u64) -> Pending {
    qpair.start(&Command::read(1, lba, 1), Some(Data::from(&block()))).expect("room")
}

/// Polls a future once.
fn poll(future: &mut Pending) -> Poll<nvme_spdk::Result<nvme_spdk::Completed>> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A current-thread runtime of tokio.
fn tokio_here() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// Writes a number to each of some blocks, reads them all back, and compares: as many at a time as the queue holds.
async fn write_and_read(namespace: &Namespace, qpair: &Qpair, first: u64, count: u64) {
    let buffers: Vec<_> = (0..count).map(|_| block()).collect();
    let blocks = || (first..).zip(&buffers);
    let writes = blocks().map(|(lba, buffer)| {
        buffer.write(16, &(lba * 7).to_le_bytes());
        namespace.start_write(qpair, buffer, 0, lba, 1).expect("room")
    });
    for written in join_all(writes).await {
        written.expect("an answer").success().expect("a write");
    }
    buffers.iter().for_each(|buffer| buffer.fill(0..BLOCK, 0));
    let reads = blocks().map(|(lba, buffer)| namespace.start_read(qpair, buffer, 0, lba, 1).expect("room"));
    for (read, (lba, buffer)) in join_all(reads).await.into_iter().zip(blocks()) {
        let done = read.expect("an answer").success().expect("a read");
        assert_eq!(done.command.slba(), lba);
        assert_eq!(buffer.to_vec(16..24), (lba * 7).to_le_bytes());
    }
    assert_eq!(qpair.outstanding(), 0);
}

#[test]
fn any_executor_drives_many_at_a_time() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("address space");
    assert!(namespace.verify(true));
    let qpair = qpair(&controller, 128);
    // One or two in a task, and as many as the queue holds; join_all polls up to 30 directly.
    for count in [1, 2, 30, 127] {
        pollster::block_on(write_and_read(&namespace, &qpair, 1000, count));
        futures::executor::block_on(write_and_read(&namespace, &qpair, 2000, count));
        tokio_here().block_on(write_and_read(&namespace, &qpair, 3000, count));
    }
    assert!(matches!(qpair.next_completion(), Ok(None)), "none is left for anybody else");
}

#[test]
fn tasks_of_many_threads_share_a_queue() {
    let controller = connect();
    let namespace = Arc::new(controller.namespace(1).expect("namespace 1"));
    let qpair = Arc::new(qpair(&controller, 256));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let tasks = (0..8_u64).map(|task| {
            let (namespace, qpair) = (Arc::clone(&namespace), Arc::clone(&qpair));
            tokio::spawn(async move {
                for round in 0..100 {
                    let lba = 4096 + task * 64 + round % 64;
                    let buffer = block();
                    buffer.write(0, &(lba ^ round).to_le_bytes());
                    let written = namespace.start_write(&qpair, &buffer, 0, lba, 1).expect("room");
                    written.await.expect("an answer").success().expect("a write");
                    let read = namespace.start_read(&qpair, &buffer, 0, lba, 1).expect("room");
                    read.await.expect("an answer").success().expect("a read");
                    assert_eq!(buffer.to_vec(0..8), (lba ^ round).to_le_bytes());
                }
            })
        });
        for task in join_all(tasks).await {
            task.expect("no panic");
        }
    });
    assert_eq!(qpair.outstanding(), 0);
}

#[test]
fn tasks_of_one_thread_share_a_queue() {
    let controller = connect();
    let qpair = Arc::new(qpair(&controller, 64));
    let mut pool = LocalPool::new();
    for task in 0..40 {
        let qpair = Arc::clone(&qpair);
        let reads = async move {
            for lba in 0..50 {
                start_read(&qpair, task + lba).await.expect("an answer").success().expect("a read");
            }
        };
        pool.spawner().spawn_local(reads).expect("the pool runs");
    }
    pool.run();
    assert_eq!(qpair.outstanding(), 0);
}

#[test]
fn a_task_may_hold_futures_back_while_it_awaits_another() {
    let controller = connect();
    let qpair = qpair(&controller, 64);
    let all = async {
        let mut stream: FuturesUnordered<_> = (0..32).map(|lba| start_read(&qpair, lba)).collect();
        while let Some(read) = stream.next().await {
            read.expect("an answer").success().expect("a read");
            // The stream, one of whose futures looked for completions so far, is not polled meanwhile.
            for lba in 0..3 {
                start_read(&qpair, lba).await.expect("an answer").success().expect("a read");
            }
        }
    };
    tokio_here().block_on(async { tokio::time::timeout(PATIENCE, all).await.expect("nobody is held up") });
}

#[test]
fn the_loser_of_a_select_is_given_up() {
    let controller = connect();
    let qpair = qpair(&controller, 64);
    tokio_here().block_on(async {
        for lba in 0..200 {
            let (first, second) = (pin!(start_read(&qpair, lba)), pin!(start_read(&qpair, lba + 1)));
            let (Either::Left((read, _)) | Either::Right((read, _))) = select(first, second).await;
            read.expect("an answer").success().expect("a read");
        }
        // What an executor has for it limits the time of a command.
        let stopped = Stopped::new(target());
        let late = tokio::time::timeout(Duration::from_millis(30), start_read(&qpair, 0)).await;
        assert!(late.is_err(), "{late:?}");
        drop(stopped);
        start_read(&qpair, 0).await.expect("an answer").success().expect("a read");
    });
    support::eventually("those given up are answered", || qpair.poll().is_ok() && qpair.outstanding() == 0);
}

#[test]
fn a_buffer_stays_until_the_device_is_done_with_it() {
    let controller = connect();
    let qpair = qpair(&controller, 64);
    let stopped = Stopped::new(target());
    for lba in 0..60 {
        let mut read =
            qpair.start(&Command::read(1, lba, 8), Some(Data::from(&DmaBuf::new(4096).unwrap()))).unwrap();
        assert!(poll(&mut read).is_pending());
    }
    assert_eq!(qpair.outstanding(), 60, "the futures are gone, the commands are not");
    // Whoever gets the memory of the dropped buffers would find the device's data in it.
    let others: Vec<_> = (0..60).map(|_| DmaBuf::new(4096).expect("a buffer")).collect();
    others.iter().for_each(|other| other.fill(0..4096, 0x5a));
    drop(stopped);
    support::eventually("the device is done", || qpair.poll().is_ok() && qpair.outstanding() == 0);
    assert!(others.iter().all(|other| other.to_vec(0..4096) == [0x5a; 4096]));
}

#[test]
fn a_buffer_is_lent_again_when_its_future_is_ready() {
    let controller = connect();
    let qpair = qpair(&controller, 4);
    let mut buffer = block();
    let read = qpair.start(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("room");
    assert!(buffer.get_mut().is_none(), "the command has it");
    pollster::block_on(read).expect("an answer");
    assert!(buffer.get_mut().is_some());
}

#[test]
fn a_deleted_queue_pair_ends_its_futures() {
    let controller = connect();
    for dropped in [false, true] {
        let qpair = qpair(&controller, 16);
        let stopped = Stopped::new(target());
        let mut reads: Vec<_> = (0..15).map(|lba| start_read(&qpair, lba)).collect();
        assert!(matches!(
            qpair.start(&Command::flush(1), None),
            Err(Error::QueueFull { outstanding: 15, .. })
        ));
        reads.iter_mut().for_each(|read| assert!(poll(read).is_pending()));
        if dropped {
            drop(qpair)
        } else {
            qpair.delete().expect("it goes")
        };
        drop(stopped);
        for end in pollster::block_on(join_all(reads)) {
            assert!(matches!(end, Err(Error::QpairDead { state: "deleted", .. })), "{end:?}");
        }
    }
}

#[test]
fn closing_or_resetting_the_controller_ends_its_futures() {
    for close in [false, true] {
        let controller = connect();
        let qpair = qpair(&controller, 16);
        let reads: Vec<_> = (0..8).map(|lba| start_read(&qpair, lba)).collect();
        // It stays with the controller: no event occurs.
        let event = controller.start(&Command::admin(0x0c), None).expect("room");
        let mut event = pin!(event);
        assert!(event.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        if close {
            controller.close()
        } else {
            controller.reset().expect("it comes back")
        };
        for end in pollster::block_on(join_all(reads)) {
            assert!(matches!(end, Err(Error::QpairDead { state: "deleted", .. })), "{end:?}");
        }
        let end = pollster::block_on(event);
        assert!(matches!(end, Err(Error::Dead { .. })), "{end:?}");
        if !close {
            let features = controller.start(&Command::get_features(7), None).expect("room");
            pollster::block_on(features).expect("an answer").success().expect("Get Features");
        }
    }
}

/// Panics when it is woken, once it is armed.
#[derive(Default)]
struct Mine {
    armed: AtomicBool,
}

impl Wake for Mine {
    fn wake(self: Arc<Self>) {
        assert!(!self.armed.load(Ordering::Relaxed), "a waker panics, as this test wants it");
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let controller = connect();
    let queues: Vec<_> = (0..3).map(|_| qpair(&controller, 16)).collect();
    let stopped = Stopped::new(target());
    let mut reads: Vec<_> =
        queues.iter().flat_map(|queue| (0..4).map(|lba| start_read(queue, lba))).collect();
    let mine = Arc::new(Mine::default());
    let waker = Waker::from(Arc::clone(&mine));
    for read in &mut reads {
        assert!(Pin::new(read).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    mine.armed.store(true, Ordering::Relaxed);
    controller.close();
    mine.armed.store(false, Ordering::Relaxed);
    drop(stopped);
    assert!(queues.iter().all(Qpair::is_deleted), "none outlives the controller");
    for end in pollster::block_on(join_all(reads)) {
        assert!(matches!(end, Err(Error::QpairDead { state: "deleted", .. })), "{end:?}");
    }
}

#[test]
fn a_target_that_dies_ends_the_futures() {
    let target = Target::start().expect("the embedded target starts");
    let controller = connect_to(target.address());
    let qpair = qpair(&controller, 16);
    let stopped = Stopped::new(&target);
    let reads: Vec<_> = (0..15).map(|lba| start_read(&qpair, lba)).collect();
    let features = controller.start(&Command::get_features(7), None).expect("room");
    support::signal(target.pid(), libc::SIGKILL);
    std::mem::forget(stopped);
    let all = async { futures::future::join(join_all(reads), features).await };
    let (reads, features) =
        tokio_here().block_on(async { tokio::time::timeout(PATIENCE, all).await.expect("they end") });
    assert!(
        reads.iter().all(|end| matches!(end, Err(Error::QpairDead { state: "disconnected", .. }))),
        "{reads:?}"
    );
    assert!(matches!(features, Err(Error::Dead { .. })), "{features:?}");
    assert!(matches!(qpair.start(&Command::flush(1), None), Err(Error::QpairDead { .. })));
}

#[test]
fn the_command_timeout_of_the_controller_ends_a_future() {
    let controller = connect();
    let qpair = qpair(&controller, 8);
    let limit = Duration::from_millis(50);
    controller.set_command_timeout(Some(limit));
    let stopped = Stopped::new(target());
    let reads = join_all((0..3).map(|lba| start_read(&qpair, lba)));
    for end in pollster::block_on(reads) {
        assert!(matches!(end, Err(Error::Timeout { timeout, .. }) if timeout == limit), "{end:?}");
    }
    assert_eq!(qpair.outstanding(), 3, "they keep their places");
    drop(stopped);
    support::eventually("they are answered", || qpair.poll().is_ok() && qpair.outstanding() == 0);
}

#[test]
fn a_verified_read_says_what_is_wrong() {
    let (controller, other) = (connect(), connect());
    let (qpair, others) = (qpair(&controller, 8), qpair(&other, 8));
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("address space");
    assert!(namespace.verify(true));
    let buffer = DmaBuf::new(8 * BLOCK).expect("a buffer");
    pollster::block_on(async {
        namespace.start_write(&qpair, &buffer, 0, 9000, 8)?.await?.success()?;
        namespace.start_read(&qpair, &buffer, 0, 9000, 8)?.await?.success()?;
        others.start(&Command::write(1, 9003, 1), Some(Data::from(&block())))?.await?.success()?;
        let done = namespace.start_read(&qpair, &buffer, 0, 9000, 8)?.await?;
        assert!(matches!(done.mismatch, Some(Mismatch::Checksum { lba: 9003, .. })), "{done:?}");
        let failed = done.success().expect_err("not what was written");
        assert!(matches!(failed, Error::Command { status: Status::DATA_MISMATCH, .. }), "{failed}");
        Ok::<(), Error>(())
    })
    .expect("answers");
}

#[test]
fn futures_on_the_same_block_take_turns() {
    let controller = connect();
    let (one, two) = (qpair(&controller, 64), qpair(&controller, 64));
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("address space");
    assert!(namespace.verify(true));
    let buffers: Vec<_> = (0..40).map(|_| block()).collect();
    let writes = buffers
        .iter()
        .enumerate()
        .map(|(at, buffer)| namespace.start_write([&one, &two][at % 2], buffer, 0, 77, 1).expect("room"));
    for written in pollster::block_on(join_all(writes)) {
        written.expect("an answer").success().expect("a write");
    }
    let last = namespace.start_read(&one, &block(), 0, 77, 1).expect("room");
    pollster::block_on(last).expect("an answer").success().expect("what was written");
}

#[test]
fn futures_and_tokens_and_calls_do_not_mix_up_their_completions() {
    let controller = connect();
    let qpair = qpair(&controller, 64);
    let mut tokens = Vec::new();
    let mut futures = Vec::new();
    for lba in 0..30 {
        futures.push(start_read(&qpair, 2 * lba));
        tokens
            .push(qpair.submit(&Command::read(1, 2 * lba + 1, 1), Some(Data::from(&block()))).expect("room"));
    }
    qpair.execute(&Command::flush(1), None).expect("an answer");
    for (place, done) in pollster::block_on(join_all(futures)).into_iter().enumerate() {
        assert_eq!(done.expect("an answer").command.slba(), 2 * place as u64);
    }
    while qpair.outstanding() > 0 {
        qpair.wait(PATIENCE).expect("completions");
        while let Some(done) = qpair.next_completion().expect("the queue is alive") {
            tokens.retain(|token| *token != done.token);
            assert_eq!(done.command.slba() % 2, 1);
        }
    }
    assert!(tokens.is_empty());
}

#[test]
fn everything_is_dropped_in_any_order() {
    // Each number says at which step which thing goes: a future, the queue pair, the namespace, the controller.
    for order in 0..24 {
        let controller = connect();
        let mut things: Vec<Option<Box<dyn std::any::Any>>> = Vec::new();
        {
            let qpair = qpair(&controller, 32);
            let namespace = controller.namespace(1).expect("namespace 1");
            let reads: Vec<_> =
                (0..20).map(|lba| namespace.start_read(&qpair, &block(), 0, lba, 1).unwrap()).collect();
            things.push(Some(Box::new(reads)));
            things.push(Some(Box::new(qpair)));
            things.push(Some(Box::new(controller.start(&Command::admin(0x0c), None).expect("room"))));
            things.push(Some(Box::new((namespace, controller))));
        }
        let (mut left, mut number) = (vec![0, 1, 2, 3], order);
        while !left.is_empty() {
            let next = left.remove(number % left.len());
            number /= left.len() + 1;
            things[next] = None;
        }
    }
}
