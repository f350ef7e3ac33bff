//! The bookkeeping of a queue, with a device that does what the test says.

use std::cell::RefCell;

use super::*;
use crate::status::Status;

/// Stands for SPDK: keeps the callback's arguments until told to complete them.
#[derive(Default)]
struct Device {
    held: RefCell<Vec<*mut c_void>>,
    refuse: Cell<c_int>,
}

impl Device {
    fn submit(&self, queue: &Queue, command: &Command, awaited: bool) -> Result<Token> {
        queue.submit(command, None, awaited, &|_, _, _, slot| {
            if self.refuse.get() == 0 {
                self.held.borrow_mut().push(slot);
            }
            self.refuse.get()
        })
    }

    fn complete(&self, nth: usize, completion: Completion) {
        let slot = self.held.borrow_mut().remove(nth);
        // SAFETY: the queue of the test is alive, and the pointer came from it.
        unsafe { on_complete(slot, (&raw const completion).cast()) };
    }
}

fn queue(outstanding: u16) -> Queue {
    Queue::new(1, outstanding, Arc::new(CmdLog::new(1)), false, &Arc::default())
}

fn failed(sct: u16, sc: u16) -> Completion {
    Completion { status_and_phase: sct << 9 | sc << 1, ..Default::default() }
}

#[test]
fn completions_come_in_the_order_of_the_device() {
    let (queue, device) = (queue(4), Device::default());
    let tokens: Vec<_> =
        (0..4).map(|lba| device.submit(&queue, &Command::read(1, lba, 1), false).unwrap()).collect();
    assert!(matches!(
        device.submit(&queue, &Command::flush(1), false),
        Err(Error::QueueFull { outstanding: 4, .. })
    ));
    device.complete(2, Completion::default());
    device.complete(0, failed(2, 0x81));
    assert_eq!(queue.ready(), 2);
    let first = queue.next().unwrap();
    assert_eq!((first.token, first.command.slba()), (tokens[2], 2));
    let second = queue.next().unwrap();
    assert_eq!((second.token, second.completion.status()), (tokens[0], Status::new(2, 0x81)));
    assert!(queue.next().is_none());
    assert_eq!(queue.outstanding(), 2);
    device.complete(0, Completion::default());
    device.complete(0, Completion::default());
}

#[test]
fn an_awaited_command_is_for_its_submitter_alone() {
    let (queue, device) = (queue(2), Device::default());
    let awaited = device.submit(&queue, &Command::read(1, 0, 1), true).unwrap();
    let other = device.submit(&queue, &Command::read(1, 1, 1), false).unwrap();
    assert!(queue.take(awaited).is_none());
    device.complete(0, Completion::default());
    device.complete(0, Completion::default());
    assert_eq!(queue.next().unwrap().token, other);
    assert!(queue.next().is_none());
    assert_eq!(queue.take(awaited).unwrap().token, awaited);
    assert!(queue.take(awaited).is_none(), "a token is good for one completion");
}

#[test]
fn an_abandoned_command_frees_its_slot_when_it_completes() {
    let (queue, device) = (queue(1), Device::default());
    let token = device.submit(&queue, &Command::read(1, 0, 1), true).unwrap();
    queue.abandon(token);
    assert!(device.submit(&queue, &Command::flush(1), false).is_err());
    device.complete(0, Completion::default());
    assert_eq!(queue.outstanding(), 0);
    let again = device.submit(&queue, &Command::flush(1), false).unwrap();
    assert_ne!(again, token);
    assert_eq!(again.index(), token.index());
    device.complete(0, Completion::default());
    queue.abandon(token);
    assert_eq!(queue.ready(), 1, "an old token touches nothing");
}

#[test]
fn a_refused_command_leaves_nothing() {
    let (queue, device) = (queue(1), Device::default());
    device.refuse.set(-libc::ENOMEM);
    assert!(matches!(device.submit(&queue, &Command::flush(1), false), Err(Error::Submit { .. })));
    device.refuse.set(-libc::ENXIO);
    assert!(matches!(device.submit(&queue, &Command::flush(1), false), Err(Error::QpairDead { .. })));
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn a_command_completed_while_it_is_refused_counts_as_sent() {
    let queue = queue(1);
    let token = queue
        .submit(&Command::flush(1), None, false, &|_, _, _, slot| {
            let completion = failed(0, 8);
            // SAFETY: the queue is alive, and the pointer came from it.
            unsafe { on_complete(slot, (&raw const completion).cast()) };
            -libc::ENXIO
        })
        .unwrap();
    assert_eq!(queue.next().unwrap().token, token);
}

#[test]
fn of_an_aborted_command_only_the_status_counts() {
    let garbage =
        Completion { cdw0: 77, sqhd: 5, status_and_phase: !(0x7ff << 1) | 8 << 1, ..Default::default() };
    let completion = trusted(garbage, 3);
    assert_eq!((completion.cdw0, completion.sqhd, completion.cid), (0, 0, 3));
    assert_eq!(completion.status(), Status::ABORTED_SQ_DELETION);
    assert!(completion.dnr() && !completion.more() && !completion.phase());
}

#[test]
fn a_queue_may_move_while_commands_are_outstanding() {
    let device = Device::default();
    let queue = queue(2);
    device.submit(&queue, &Command::read(1, 7, 1), false).unwrap();
    let moved = Box::new(queue);
    device.complete(0, Completion::default());
    assert_eq!(moved.next().unwrap().command.slba(), 7);
}
