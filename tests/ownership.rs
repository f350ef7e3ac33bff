//! Handles in every order: nothing is freed under a command in flight, nothing outlives what it needs.

use std::thread;
use std::time::Duration;

use nvme_spdk::{Command, Controller, Data, DmaBuf, Error, IoWorker, Namespace, Qpair, Token, Workload};
use support::{Stopped, connect, target};

#[test]
fn handles_cross_threads() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<Controller>();
    everywhere::<Namespace>();
    everywhere::<Qpair>();
    everywhere::<DmaBuf>();
    everywhere::<Token>();
    everywhere::<IoWorker>();
    everywhere::<nvme_spdk::Target>();
    everywhere::<nvme_spdk::CmdLog>();
}

#[test]
fn a_buffer_dropped_in_flight_stays_until_the_device_is_done() {
    let controller = connect();
    let qpair = controller.create_qpair(64).expect("a queue pair");
    let stopped = Stopped::new(target());
    for lba in 0..60 {
        let buffer = DmaBuf::new(4096).expect("a buffer");
        qpair.submit(&Command::read(1, lba, 8), Some(Data::from(&buffer))).expect("room");
        qpair.poll().expect("it is on its way");
    }
    // Whoever gets the memory of the dropped buffers would find the device's data in it.
    let others: Vec<_> = (0..60).map(|_| DmaBuf::new(4096).expect("a buffer")).collect();
    for other in &others {
        other.fill(0..4096, 0x5a);
    }
    drop(stopped);
    while qpair.outstanding() > 0 {
        qpair.wait(Duration::from_secs(5)).expect("completions");
        while let Some(done) = qpair.next_completion().expect("the queue is alive") {
            assert!(done.completion.is_success());
        }
    }
    assert!(others.iter().all(|other| other.to_vec(0..4096) == [0x5a; 4096]));
}

#[test]
fn the_bytes_are_lent_to_a_sole_owner_only() {
    let controller = connect();
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let mut buffer = DmaBuf::new(512).expect("a buffer");
    assert_eq!(buffer.get_mut().expect("nobody else has it").len(), 512);
    qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("room");
    assert!(buffer.get_mut().is_none(), "a command has it");
    qpair.wait(Duration::from_secs(5)).expect("a completion");
    qpair.next_completion().expect("the queue is alive").expect("a completion");
    assert!(buffer.get_mut().is_some(), "the command is done");
}

#[test]
fn handles_keep_what_they_need() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(4).expect("a queue pair");
    drop(controller);
    let buffer = DmaBuf::new(512).expect("a buffer");
    namespace.read(&qpair, &buffer, 0, 1).expect("the controller is still open");
    drop(namespace);
    qpair.execute(&Command::flush(1), None).expect("still open");
}

#[test]
fn every_order_of_dropping_with_commands_in_flight() {
    for order in 0..24 {
        let controller = connect();
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(16).expect("a queue pair");
        let buffer = DmaBuf::new(4096).expect("a buffer");
        for lba in 0..10 {
            namespace.submit_read(&qpair, &buffer, 0, lba, 8).expect("room");
        }
        if order % 2 == 0 {
            qpair.poll().expect("on their way");
        }
        let mut things: [Option<Box<dyn std::any::Any>>; 4] = [
            Some(Box::new(controller)),
            Some(Box::new(namespace)),
            Some(Box::new(qpair)),
            Some(Box::new(buffer)),
        ];
        let mut left: Vec<usize> = (0..4).collect();
        let mut code = order;
        while !left.is_empty() {
            let next = left.remove(code % left.len());
            code /= 4 - left.len().min(3);
            things[next] = None;
        }
    }
}

#[test]
fn closing_makes_every_handle_say_so() {
    let controller = connect();
    let other_handle = controller.clone();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("room");
    controller.close();
    controller.close();
    assert!(other_handle.is_closed() && qpair.is_deleted());
    let dead = |result: Result<(), Error>| {
        let error = result.expect_err("it is closed");
        assert!(matches!(error, Error::Dead { .. } | Error::QpairDead { .. }), "{error}");
    };
    dead(other_handle.execute(&Command::get_features(7), None).map(drop));
    dead(other_handle.submit(&Command::get_features(7), None).map(drop));
    dead(other_handle.poll().map(drop));
    dead(other_handle.read_register(0x1c).map(drop));
    dead(other_handle.create_qpair(4).map(drop));
    dead(other_handle.namespace(1).map(drop));
    dead(qpair.submit(&Command::flush(1), None).map(drop));
    dead(qpair.poll().map(drop));
    dead(qpair.next_completion().map(drop));
    dead(namespace.read(&qpair, &buffer, 0, 1).map(drop));
    dead(IoWorker::start(&namespace, &Workload::new()).map(drop));
    qpair.delete().expect("it is let go");
}

#[test]
fn closing_while_others_use_it() {
    for _ in 0..5 {
        let controller = connect();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let controller = controller.clone();
                thread::spawn(move || {
                    let buffer = DmaBuf::new(512).expect("a buffer");
                    loop {
                        let Ok(qpair) = controller.create_qpair(8) else { return };
                        for _ in 0..20 {
                            let read = qpair.execute(&Command::read(1, 0, 1), Some(Data::from(&buffer)));
                            let admin = controller.execute(&Command::get_features(7), None);
                            if read.is_err() || admin.is_err() {
                                return;
                            }
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        controller.close();
        for thread in threads {
            thread.join().expect("errors, not panics");
        }
    }
}

#[test]
fn threads_take_turns_on_one_queue() {
    let controller = connect();
    let qpair = std::sync::Arc::new(controller.create_qpair(32).expect("a queue pair"));
    let threads: Vec<_> = (0..4_u64)
        .map(|number| {
            let (qpair, controller) = (std::sync::Arc::clone(&qpair), controller.clone());
            thread::spawn(move || {
                let buffer = DmaBuf::new(512).expect("a buffer");
                for round in 0..200_u64 {
                    let lba = number * 1000 + round;
                    buffer.write(0, &lba.to_le_bytes());
                    let data = Some(Data::from(&buffer));
                    let wrote = qpair.execute(&Command::write(1, lba, 1), data.clone()).expect("a write");
                    assert_eq!(wrote.command.slba(), lba, "everybody gets his own completion");
                    buffer.fill(0..512, 0);
                    qpair.execute(&Command::read(1, lba, 1), data).expect("a read");
                    assert_eq!(buffer.to_vec(0..8), lba.to_le_bytes());
                    let features = controller.execute(&Command::get_features(7), None).expect("Get Features");
                    assert_eq!(features.command.opcode, 0x0a);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}
