//! What `interrupt::set_check` ends.

use std::cell::Cell;
use std::time::{Duration, Instant};

use nvme_spdk::{Command, DmaBuf, Error, Pattern, Qpair, Result, Target, interrupt};
use support::{Stopped, connect, connect_to};

thread_local! {
    /// The check is one of the process; the tests are threads.
    static STOP: Cell<bool> = const { Cell::new(false) };
}

fn queue(target: Option<&Target>) -> Qpair {
    interrupt::set_check(|| STOP.get());
    let controller = target.map_or_else(connect, |target| connect_to(target.address()));
    controller.create_qpair(2).expect("a queue pair")
}

/// Asks to stop, and calls until something says that it has.
fn ends(call: impl FnMut() -> Result<()>) {
    STOP.set(true);
    let start = Instant::now();
    let in_time = |_: &_| start.elapsed() < Duration::from_secs(10);
    let error = std::iter::repeat_with(call).take_while(in_time).find_map(Result::err);
    STOP.set(false);
    assert!(matches!(error, Some(Error::Interrupted { .. })), "{error:?}");
}

fn flush(qpair: &Qpair) -> Result<()> {
    qpair.execute(&Command::flush(1), None).map(drop)
}

#[test]
fn a_wait_for_silence() {
    let target = Target::start().expect("the embedded target starts");
    let qpair = queue(Some(&target));
    let _stopped = Stopped::new(&target);
    ends(|| flush(&qpair));
}

#[test]
fn a_call_of_a_target_that_is_stopped() {
    let target = Target::start().expect("the embedded target starts");
    drop(queue(None));
    let _stopped = Stopped::new(&target);
    ends(|| target.rpc("spdk_get_version", serde_json::Value::Null).map(drop));
}

#[test]
fn a_register_behind_a_full_queue() {
    let target = Target::start().expect("the embedded target starts");
    drop(queue(None));
    let controller = connect_to(target.address());
    let _stopped = Stopped::new(&target);
    while controller.submit(&Command::get_features(0x07), None).is_ok() {}
    ends(|| controller.read_register(0x1c).map(drop));
}

#[test]
fn buffers_that_are_filled() {
    drop(queue(None));
    let buffer = DmaBuf::new(1 << 20).expect("memory");
    ends(|| buffer.fill_with(Pattern::Random { percent: 100 }));
    ends(|| buffer.fill_with(Pattern::Dword(7)));
}

#[test]
fn commands_that_are_answered_at_once() {
    let qpair = queue(None);
    ends(|| flush(&qpair));
    // One that was under way is answered all the same.
    while qpair.outstanding() > 0 {
        qpair.poll().expect("a queue pair");
    }
    flush(&qpair).expect("nobody asks any more");
    let controller = connect();
    ends(|| controller.get_feature(0x07, 0).map(drop));
}

#[test]
fn waits_for_what_is_there() {
    let qpair = queue(None);
    qpair.submit(&Command::flush(1), None).expect("room for one");
    assert_eq!(qpair.wait(Duration::from_secs(5)).expect("an answer"), 1);
    ends(|| qpair.wait(Duration::from_secs(5)).map(drop));
    assert!(qpair.next_completion().expect("a queue pair").is_some(), "it is still there");
}
