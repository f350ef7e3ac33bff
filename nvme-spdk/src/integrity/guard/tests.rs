use proptest::prelude::*;

use super::*;
use crate::buffer::DmaBuf;

fn completion(status: Status) -> Completion {
    let status_and_phase = u16::from(status.sct) << 9 | u16::from(status.sc) << 1;
    Completion { status_and_phase, ..Default::default() }
}

const OK: Completion = Completion { cdw0: 0, cdw1: 0, sqhd: 0, sqid: 0, cid: 0, status_and_phase: 0 };
const SIZE: u32 = 512;

fn guard() -> (Guard, Arc<super::super::Attachment>) {
    let tables = Arc::new(Tables::default());
    let attachment = tables.attach(1, 100, SIZE).unwrap();
    (Guard::new(tables), attachment)
}

/// A buffer that holds these bytes.
fn buffer(data: &[u8]) -> DmaBuf {
    let buffer = DmaBuf::on_heap(data.len().max(1));
    buffer.write(0, data);
    buffer
}

fn claim(guard: &Guard, command: &Command, data: &[u8]) -> Option<Claim> {
    let buffer = buffer(data);
    // SAFETY: the buffer is alive, and has as many bytes.
    unsafe { guard.claim(command, buffer.at(0), data.len()) }
}

fn settle(guard: &Guard, claim: &Claim, opcode: u8, cpl: &Completion, data: &[u8]) -> Option<Mismatch> {
    let buffer = buffer(data);
    // SAFETY: the buffer is alive, and has as many bytes.
    unsafe { guard.settle(claim, opcode, cpl, buffer.at(0), data.len()) }
}

/// Sends and completes a command at once.
fn run(guard: &Guard, command: &Command, cpl: &Completion, data: &[u8]) -> Option<Mismatch> {
    let claimed = claim(guard, command, data).expect("not locked");
    settle(guard, &claimed, command.opcode, cpl, data)
}

fn block(lba: u64, fill: u8) -> [u8; SIZE as usize] {
    let mut block = [fill; SIZE as usize];
    block[..8].copy_from_slice(&lba.to_le_bytes());
    block
}

fn dsm(ranges: &[(u64, u32)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (lba, blocks) in ranges {
        data.extend([0; 4]);
        data.extend(blocks.to_le_bytes());
        data.extend(lba.to_le_bytes());
    }
    data
}

#[test]
fn a_locked_block_blocks_and_completion_frees_it() {
    let (guard, _attachment) = guard();
    let data = [0; 8 * SIZE as usize];
    let first = claim(&guard, &Command::write(1, 10, 8), &data).unwrap();
    assert!(claim(&guard, &Command::read(1, 17, 1), &data).is_none());
    assert!(claim(&guard, &Command::read(1, 3, 8), &data).is_none());
    // The refused one left no lock behind.
    let before = claim(&guard, &Command::read(1, 3, 7), &data).unwrap();
    settle(&guard, &before, 2, &OK, &data);
    settle(&guard, &first, 1, &OK, &data);
    assert!(claim(&guard, &Command::read(1, 17, 1), &data).is_some());
}

#[test]
fn other_namespaces_and_commands_are_left_alone() {
    let (guard, _attachment) = guard();
    let data = [0; SIZE as usize];
    let _held = claim(&guard, &Command::write(1, 0, 1), &data).unwrap();
    for command in [Command::write(2, 0, 1), Command::flush(1), Command::flush(u32::MAX)] {
        assert!(matches!(claim(&guard, &command, &data), Some(Claim::Nothing)));
    }
    // Behind the table nothing is locked.
    assert!(claim(&guard, &Command::write(1, 100, 1), &data).is_some());
    assert!(claim(&guard, &Command::write(1, 100, 1), &data).is_some());
}

#[test]
fn what_was_written_is_verified_once_that_is_on() {
    let (guard, attachment) = guard();
    let good = block(5, 7);
    assert_eq!(run(&guard, &Command::write(1, 5, 1), &OK, &good), None);
    let stale = block(5, 8);
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &stale), None, "not enabled");
    attachment.table().enable(true);
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &good), None);
    assert!(matches!(
        run(&guard, &Command::read(1, 5, 1), &OK, &stale),
        Some(Mismatch::Checksum { lba: 5, .. })
    ));
    assert!(matches!(
        run(&guard, &Command::read(1, 5, 1), &OK, &block(6, 7)),
        Some(Mismatch::Block { lba: 5, found: 6 })
    ));
    // Of a block that was never written nothing is expected.
    assert_eq!(run(&guard, &Command::read(1, 6, 1), &OK, &stale), None);
    // A read that failed has no data to verify.
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &completion(Status::new(2, 0x81)), &stale), None);
}

#[test]
fn failed_writes_change_nothing_and_uncorrectable_always_does() {
    let (guard, attachment) = guard();
    attachment.table().enable(true);
    let (old, new) = (block(5, 1), block(5, 2));
    let failed = completion(Status::new(0, 0x06));
    run(&guard, &Command::write(1, 5, 1), &OK, &old);
    run(&guard, &Command::write(1, 5, 1), &failed, &new);
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &old), None);
    run(&guard, &Command::range(4, 1, 5, 1), &failed, &[]);
    assert!(attachment.table().is_uncorrectable(5));
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &old), Some(Mismatch::Uncorrectable { lba: 5 }));
    run(&guard, &Command::write(1, 5, 1), &OK, &new);
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &new), None);
    run(&guard, &Command::range(8, 1, 5, 1), &OK, &[]);
    assert_eq!(run(&guard, &Command::read(1, 5, 1), &OK, &old), None);
}

#[test]
fn a_block_whose_write_was_aborted_holds_either() {
    let (guard, attachment) = guard();
    attachment.table().enable(true);
    let [first, second, third, foreign] = [1, 2, 3, 4].map(|fill| block(5, fill));
    let read = |data: &[u8]| run(&guard, &Command::read(1, 5, 1), &OK, data);
    let write = |status, data: &[u8]| run(&guard, &Command::write(1, 5, 1), &completion(status), data);
    // Of a block that was never written nothing is known, whatever was to be written.
    write(Status::ABORTED_SQ_DELETION, &second);
    assert_eq!(read(&foreign), None);
    write(Status::SUCCESS, &first);
    for status in [Status::ABORTED_SQ_DELETION, Status::ABORTED_BY_REQUEST, Status::TRANSIENT_TRANSPORT_ERROR]
    {
        write(status, &second);
        for possible in [&first, &second, &first] {
            assert_eq!(read(possible), None);
        }
        assert!(matches!(read(&foreign), Some(Mismatch::Checksum { lba: 5, .. })));
        assert!(read(&third).is_some());
    }
    // The next one that succeeds leaves no doubt.
    write(Status::SUCCESS, &second);
    assert_eq!(read(&second), None);
    assert!(read(&first).is_some());
    // What may be one of three is not known.
    write(Status::ABORTED_SQ_DELETION, &first);
    write(Status::ABORTED_SQ_DELETION, &third);
    for possible in [&first, &second, &third] {
        assert_eq!(read(possible), None);
    }
    // What was to be zeroed may be anything that is plausible.
    write(Status::SUCCESS, &first);
    run(&guard, &Command::range(8, 1, 5, 1), &completion(Status::ABORTED_SQ_DELETION), &[]);
    assert_eq!(read(&second), None);
    // Nor does a doubt survive the table's contents.
    write(Status::SUCCESS, &first);
    write(Status::ABORTED_SQ_DELETION, &second);
    attachment.table().clear();
    write(Status::SUCCESS, &first);
    assert!(read(&second).is_some());
}

#[test]
fn deallocation_forgets_every_range_and_its_overlaps_do_not_block_it() {
    let (guard, attachment) = guard();
    attachment.table().enable(true);
    for lba in 0..20 {
        run(&guard, &Command::write(1, lba, 1), &OK, &block(lba, 1));
    }
    let data = dsm(&[(2, 4), (4, 3), (10, 1), (10, 1)]);
    let command = Command::io(9, 1).cdw10(3).cdw11(4);
    run(&guard, &command, &OK, &data);
    for lba in 0..20 {
        let gone = (2..7).contains(&lba) || lba == 10;
        let found = run(&guard, &Command::read(1, lba, 1), &OK, &block(lba, 9));
        assert_eq!(found.is_none(), gone, "{lba}");
    }
    // Nothing stays locked.
    assert!(claim(&guard, &Command::range(8, 1, 0, 100), &[]).is_some());
}

#[test]
fn a_table_lives_as_long_as_its_namespace_and_commands_in_flight() {
    let tables = Arc::new(Tables::default());
    let first = tables.attach(1, 100, SIZE).unwrap();
    let guard = Guard::new(Arc::clone(&tables));
    let data = block(0, 1);
    let in_flight = claim(&guard, &Command::write(1, 0, 1), &data).unwrap();
    assert!(Arc::ptr_eq(&first, &tables.attach(1, 50, SIZE).unwrap()), "shared while held");
    drop(first);
    let second = tables.attach(1, 100, SIZE).unwrap();
    // The new table knows of no lock.
    let other = claim(&guard, &Command::write(1, 0, 1), &data).unwrap();
    settle(&guard, &in_flight, 1, &OK, &data);
    settle(&guard, &other, 1, &OK, &data);
    drop(second);
    assert!(matches!(claim(&guard, &Command::write(1, 0, 1), &data), Some(Claim::Nothing)));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no memory that is taken when it is used")]
fn a_huge_table_takes_no_memory_until_it_is_used() {
    let resident = || -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    let tables = Arc::new(Tables::default());
    let attachment = tables.attach(1, (16_u64 << 40) / 512, SIZE).unwrap();
    let guard = Guard::new(tables);
    for lba in [0, 1 << 30, (16_u64 << 40) / 512 - 1] {
        run(&guard, &Command::write(1, lba, 1), &OK, &block(lba, 1));
    }
    attachment.table().enable(true);
    assert!(run(&guard, &Command::read(1, 1 << 30, 1), &OK, &block(1 << 30, 2)).is_some());
    assert!(resident() - before < 16 << 20, "{} bytes", resident() - before);
    attachment.table().clear();
    assert_eq!(run(&guard, &Command::read(1, 1 << 30, 1), &OK, &block(1 << 30, 2)), None);
}

proptest! {
    #[test]
    fn joined_ranges_cover_the_same_blocks_once(ranges in prop::collection::vec((0_u64..60, 0_u64..12), 0..20)) {
        let mut expected = [false; 80];
        for (lba, blocks) in &ranges {
            expected[*lba as usize..(lba + blocks) as usize].fill(true);
        }
        let mut found = [0; 80];
        for (lba, blocks) in joined(ranges) {
            found[lba as usize..(lba + blocks) as usize].iter_mut().for_each(|count| *count += 1);
        }
        prop_assert_eq!(expected.map(u32::from), found);
    }

    #[test]
    fn whatever_is_claimed_is_given_back(commands in prop::collection::vec((0_u8..10, 0_u64..110, 1_u32..20), 1..60)) {
        let (guard, _attachment) = guard();
        let data = dsm(&[(5, 10), (50, 3)]);
        let mut held = Vec::new();
        for (opcode, lba, blocks) in commands {
            let mut command = Command::range(opcode, 1, lba, blocks);
            if opcode == 9 {
                command = command.cdw10(1);
            }
            match claim(&guard, &command, &data) {
                Some(claimed) => held.push((opcode, claimed)),
                None => {
                    if let Some((opcode, claimed)) = held.pop() {
                        settle(&guard, &claimed, opcode, &OK, &data);
                    }
                }
            }
        }
        for (opcode, claimed) in held {
            settle(&guard, &claimed, opcode, &OK, &data);
        }
        prop_assert!(claim(&guard, &Command::range(8, 1, 0, 100), &[]).is_some());
    }
}
