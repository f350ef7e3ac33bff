//! The bookkeeping of a queue, with a device that does what the test says.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::buffer::DmaBuf;
use crate::command::{admin_opcode, nvm_opcode};
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

/// As [`Device`], with memory access: a Read finds its block's number in every byte.
#[derive(Default)]
struct Memory {
    held: RefCell<Vec<(Command, *mut u8, u32, *mut c_void)>>,
}

impl Memory {
    fn send(&self) -> impl Fn(*mut spdk_sys::spdk_nvme_cmd, *mut c_void, u32, *mut c_void) -> c_int {
        |command, data, len, slot| {
            // SAFETY: the queue's own copy of the command.
            let command = unsafe { *command.cast::<Command>() };
            self.held.borrow_mut().push((command, data.cast(), len, slot));
            0
        }
    }

    fn complete(&self, nth: usize, status: Status) {
        let (command, data, len, slot) = self.held.borrow_mut().swap_remove(nth);
        if command.opcode == nvm_opcode::READ && status.is_success() {
            // SAFETY: a command in flight has its memory.
            unsafe { data.write_bytes(command.slba() as u8, len as usize) };
        }
        let completion = failed(u16::from(status.sct), u16::from(status.sc));
        // SAFETY: the queue of the test is alive, and the pointer came from it.
        unsafe { on_complete(slot, (&raw const completion).cast()) };
    }

    fn submit_and_take(&self, queue: &Queue) {
        queue.submit(&Command::flush(1), None, false, &self.send()).unwrap();
        self.complete(0, Status::SUCCESS);
        queue.next().unwrap();
    }

    /// What SPDK does when a queue pair is freed.
    fn abort_all(&self) {
        while !self.held.borrow().is_empty() {
            self.complete(0, Status::ABORTED_SQ_DELETION);
        }
    }
}

#[test]
fn a_command_in_flight_owns_its_buffer() {
    let (queue, device) = (queue(2), Memory::default());
    let mut kept = DmaBuf::on_heap(512);
    let read = |lba, buffer: &DmaBuf| {
        queue.submit(&Command::read(1, lba, 1), Some(Data::from(buffer)), false, &device.send()).unwrap()
    };
    read(7, &kept);
    read(8, &DmaBuf::on_heap(512));
    assert!(kept.get_mut().is_none(), "a command has it");
    device.complete(1, Status::SUCCESS);
    device.complete(0, Status::SUCCESS);
    assert!(kept.get_mut().is_none(), "its completion was not taken");
    while queue.next().is_some() {}
    assert_eq!(kept.get_mut().unwrap(), [7; 512]);
}

#[test]
fn an_aborted_command_has_its_buffer_until_the_queue_ends() {
    // On PCIe SPDK says 00/07 where over a fabric it says 00/08.
    for status in [Status::ABORTED_BY_REQUEST, Status::ABORTED_SQ_DELETION] {
        for pcie in [false, true] {
            let (mut queue, device) = (queue(1), Memory::default());
            if pcie {
                queue = queue.of_pcie();
            }
            let mut kept = DmaBuf::on_heap(512);
            let read = || {
                queue.submit(&Command::read(1, 0, 1), Some(Data::from(&kept)), false, &device.send()).unwrap()
            };
            read();
            device.complete(0, status);
            assert_eq!(queue.next().unwrap().completion.status(), status);
            device.submit_and_take(&queue);
            assert_eq!(kept.get_mut().is_none(), pcie, "the device may not know yet");
            drop(queue);
            assert!(kept.get_mut().is_some());
        }
    }
}

#[test]
fn the_memory_of_a_queue_is_lent_until_it_is_deleted() {
    let queue = Queue::new(0, 2, Arc::new(CmdLog::new(1)), false, &Arc::default()).of_pcie();
    let device = Memory::default();
    let mut memory = DmaBuf::on_heap(512);
    let execute = |opcode, qid, data: Option<&DmaBuf>, status| {
        let command = Command::admin(opcode).cdw10(qid);
        queue.submit(&command, data.map(Data::from), false, &device.send()).unwrap();
        device.complete(0, status);
        queue.next().unwrap();
    };
    let (create, delete) = (admin_opcode::CREATE_IO_SQ, admin_opcode::DELETE_IO_SQ);
    let invalid = Status::new(1, 1);

    execute(create, 3, Some(&memory), invalid);
    assert!(memory.get_mut().is_some(), "the queue was not created");
    execute(create, 3, Some(&memory), Status::SUCCESS);
    for (opcode, qid, status) in
        [(delete, 4, Status::SUCCESS), (delete, 3, invalid), (admin_opcode::DELETE_IO_CQ, 3, Status::SUCCESS)]
    {
        execute(opcode, qid, None, status);
        assert!(memory.get_mut().is_none(), "the device has it");
    }
    execute(delete, 3, None, Status::SUCCESS);
    assert!(memory.get_mut().is_some());

    execute(create, 3, Some(&memory), Status::SUCCESS);
    execute(create, 3, Some(&DmaBuf::on_heap(512)), Status::SUCCESS);
    assert!(memory.get_mut().is_some(), "after a reset, another took its place");

    // Its deletion before is seen after it was created anew.
    let send = |opcode, data: Option<&DmaBuf>, awaited| {
        let command = Command::admin(opcode).cdw10(3);
        let token = queue.submit(&command, data.map(Data::from), awaited, &device.send()).unwrap();
        device.complete(0, Status::SUCCESS);
        token
    };
    send(delete, None, false);
    let created = send(create, Some(&memory), true);
    queue.take(created).unwrap();
    queue.next().unwrap();
    assert!(memory.get_mut().is_none(), "the device has it");
}

#[derive(Debug, Clone)]
enum Step {
    Submit { lba: u64, write: bool, awaited: bool, keep: bool },
    Complete(Index, bool),
    Next,
    Take(Index),
    Abandon(Index),
    Expire,
    Retry,
    DropBuffer(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        // Few blocks, of a tracked namespace: commands wait for each other.
        4 => (0_u64..4, any::<[bool; 3]>()).prop_map(|(lba, [write, awaited, keep])| {
            Step::Submit { lba, write, awaited, keep }
        }),
        3 => (index(), any::<bool>()).prop_map(|(at, good)| Step::Complete(at, good)),
        2 => Just(Step::Next),
        1 => index().prop_map(Step::Take),
        1 => index().prop_map(Step::Abandon),
        1 => Just(Step::Expire),
        2 => Just(Step::Retry),
        1 => index().prop_map(Step::DropBuffer),
    ]
}

proptest! {
    /// Miri says whether memory is used that is not there any more, or left behind.
    #[test]
    fn whatever_happens_every_slot_comes_back(
        steps in prop::collection::vec(step(), 0..if cfg!(miri) { 25 } else { 100 }),
    ) {
        let tables = Arc::new(Tables::default());
        let attachment = tables.attach(1, 4, 512).unwrap();
        attachment.table().enable(true);
        let queue = Queue::new(1, 6, Arc::new(CmdLog::new(1)), false, &tables);
        let device = Memory::default();
        let (mut buffers, mut tokens) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Submit { lba, write, awaited, keep } => {
                    let buffer = DmaBuf::on_heap(512);
                    let command = if write { Command::write(1, lba, 1) } else { Command::read(1, lba, 1) };
                    let data = Some(Data::from(&buffer));
                    if let Ok(token) = queue.submit(&command, data, awaited, &device.send()) {
                        tokens.push(token);
                    }
                    buffers.extend(keep.then_some(buffer));
                }
                Step::Complete(at, good) => {
                    let count = device.held.borrow().len();
                    if count > 0 {
                        device.complete(at.index(count), if good { Status::SUCCESS } else { Status::new(2, 0x81) });
                    }
                }
                Step::Next => drop(queue.next()),
                Step::Take(at) if !tokens.is_empty() => drop(queue.take(*at.get(&tokens))),
                Step::Abandon(at) if !tokens.is_empty() => queue.abandon(*at.get(&tokens)),
                Step::Expire => queue.expire(Ticks::now().after(std::time::Duration::from_secs(1)), 0),
                Step::Retry => queue.retry(&device.send()),
                Step::DropBuffer(at) if !buffers.is_empty() => drop(buffers.swap_remove(at.index(buffers.len()))),
                Step::Take(_) | Step::Abandon(_) | Step::DropBuffer(_) => {}
            }
        }
        device.abort_all();
        prop_assert!(!queue.is_held());
        tokens.into_iter().for_each(|token| queue.abandon(token));
        while queue.has_parked() {
            queue.retry(&device.send());
            device.abort_all();
        }
        while queue.next().is_some() {}
        prop_assert_eq!(queue.outstanding(), 0);
        // It keeps the buffers of abandoned commands that were aborted.
        drop(queue);
        prop_assert!(buffers.iter_mut().all(|buffer| buffer.get_mut().is_some()), "a slot keeps a buffer");
    }
}

#[test]
#[cfg_attr(miri, ignore = "it has 4 GiB")]
fn a_buffer_no_command_can_transfer_is_refused_as_a_whole() {
    let (queue, device) = (queue(1), Memory::default());
    let mut large = DmaBuf::on_heap(1 << 32);
    let whole = queue.submit(&Command::read(1, 0, 1), Some(Data::from(&large)), false, &device.send());
    assert!(
        matches!(&whole, Err(Error::InvalidArgument(why)) if why.contains("4294967296 bytes")),
        "{whole:?}"
    );
    assert!(large.get_mut().is_some(), "the queue has not kept it");
    let most = Data::new(&large, 1, u32::MAX as usize).unwrap();
    queue.submit(&Command::read(1, 0, 1), Some(most), false, &device.send()).unwrap();
    device.complete(0, Status::SUCCESS);
}
