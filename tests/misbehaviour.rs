//! Addresses that lead nowhere and targets that do not answer: an error in time, and nobody else waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nvme_spdk::{Address, Command, ConnectOptions, Controller, Data, DmaBuf, Error, Status, Target};
use support::{
    Stopped, closed_port, connect, connect_to, eventually, is_alive, signal, silent_port, target, timed,
};

const TIMEOUT: Duration = Duration::from_millis(1500);
/// On a loaded machine a thread may have to wait for its turn.
const GRACE: Duration = Duration::from_secs(4);

/// For what nobody answers; what is answered has the time that a connection has by default.
fn options() -> ConnectOptions {
    ConnectOptions::new().timeout(TIMEOUT)
}

/// The error of a connection that must fail, and must fail in time.
fn refused(address: &Address, options: ConnectOptions) -> Error {
    let (result, took) = timed(|| Controller::connect(address, options));
    let error = result.expect_err("nothing is there");
    assert!(took < TIMEOUT + GRACE, "{took:?}: {error}");
    error
}

#[test]
fn a_closed_port_is_refused_at_once() {
    let error = refused(&closed_port(), options());
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("start the target"), "{error}");
}

#[test]
fn an_unknown_host_says_so() {
    let error = refused(&Address::tcp("no-such-host.invalid", 4420), options());
    assert!(matches!(error, Error::Resolve { .. } | Error::Timeout { .. }), "{error}");
}

#[test]
fn an_unknown_subsystem_names_the_subsystem() {
    let nqn = "nqn.2014-08.org.example:nobody";
    let error = refused(target().address(), ConnectOptions::new().subnqn(nqn));
    assert!(matches!(error, Error::ConnectRefused { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(nqn) && text.contains("check the NQN"), "{text}");
    assert!(text.contains("CONNECT INVALID PARAMETERS (01/82)"), "{text}");

    for bad in ["", &"x".repeat(224), "a\0b"] {
        let error = refused(target().address(), options().subnqn(bad));
        assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
    }
}

#[test]
fn too_little_time_is_no_refusal() {
    for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(100)] {
        for _ in 0..10 {
            let error = refused(target().address(), options().timeout(timeout));
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
        }
    }
}

#[test]
fn a_port_that_accepts_and_never_answers() {
    let error = refused(&silent_port(), options());
    assert!(matches!(error, Error::Timeout { .. } | Error::Open { .. }), "{error}");
    let error = refused(&silent_port(), options().subnqn("nqn.2014-08.org.example:silent"));
    assert!(matches!(error, Error::Timeout { .. } | Error::Open { .. }), "{error}");
}

#[test]
fn an_address_that_swallows_everything() {
    // TEST-NET-1, which is routed nowhere; where there is no route at all it is refused at once.
    let error = refused(&Address::tcp("192.0.2.1", 4420), options());
    assert!(matches!(error, Error::Timeout { .. } | Error::Connect { .. }), "{error}");
}

#[test]
fn a_port_that_speaks_something_else() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = Address::tcp("127.0.0.1", listener.local_addr().expect("its address").port());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
        }
    });
    let error = refused(&address, ConnectOptions::new());
    assert!(error.to_string().contains("NVMe/TCP"), "{error}");
}

#[test]
fn a_port_that_closes_instead_of_answering_connect() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = Address::tcp("127.0.0.1", listener.local_addr().expect("its address").port());
    thread::spawn(move || {
        // ICResp with a MAXH2CDATA of 128 KiB.
        let mut response = [0; 128];
        (response[0], response[2], response[4], response[14]) = (1, 128, 128, 2);
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 128];
            let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(&response));
            // The common header of the capsule.
            let _ = stream.read_exact(&mut request[..8]);
        }
    });
    // Nobody has refused.
    let error = refused(&address, ConnectOptions::new().subnqn("nqn.2014-08.org.example:closing"));
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

#[test]
fn a_target_stopped_while_connecting() {
    let target = Target::start().expect("a target");
    let stopped = Stopped::new(&target);
    let error = refused(target.address(), options());
    assert!(matches!(error, Error::Timeout { .. } | Error::Open { .. }), "{error}");
    drop(stopped);
    Controller::connect(target.address(), ConnectOptions::new()).expect("it goes on");
}

#[test]
fn a_target_stopped_while_creating_a_queue() {
    let target = Target::start().expect("a target");
    // It holds for the connection, which is answered, as well.
    let timeout = 2 * TIMEOUT;
    let controller = Controller::connect(target.address(), options().timeout(timeout)).expect("a controller");
    let stopped = Stopped::new(&target);
    let (result, took) = timed(|| controller.create_qpair(16));
    let error = result.expect_err("nothing answers");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(took < timeout + GRACE, "{took:?}");
    // What it was asked on the way makes the controller useless; that is said, and at once.
    let (result, took) = timed(|| controller.create_qpair(16));
    assert!(result.is_err() && took < timeout, "{result:?} after {took:?}");
    drop(stopped);
    connect_to(target.address());
}

#[test]
fn a_target_stopped_while_waiting() {
    let target = Target::start().expect("a target");
    let controller = connect_to(target.address());
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    let stopped = Stopped::new(&target);
    let (result, took) =
        timed(|| qpair.execute_within(&Command::read(1, 0, 1), Some(Data::from(&buffer)), TIMEOUT));
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert!(took < TIMEOUT + GRACE, "{took:?}");
    let (result, took) = timed(|| controller.execute_within(&Command::get_features(7), None, TIMEOUT));
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert!(took < TIMEOUT + GRACE, "{took:?}");
    drop(stopped);

    // Both commands are answered late; nobody waits for them, and the queues work on.
    let done = qpair.execute(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("an answer");
    assert!(done.completion.is_success());
    assert_eq!(qpair.outstanding(), 0, "the abandoned command has freed its place");
    controller.execute(&Command::get_features(7), None).expect("an answer");
}

#[test]
fn a_stopped_target_is_closed_in_time() {
    let target = Target::start().expect("a target");
    let controller = connect_to(target.address());
    let qpair = controller.create_qpair(16).expect("a queue pair");
    qpair.submit(&Command::flush(1), None).expect("room");
    let _stopped = Stopped::new(&target);
    let ((), took) = timed(|| controller.close());
    assert!(took < Duration::from_secs(2) + GRACE, "{took:?}");
    assert!(matches!(qpair.submit(&Command::flush(1), None), Err(Error::QpairDead { .. })));
}

#[test]
fn a_killed_target_fails_its_queues() {
    let target = Target::start().expect("a target");
    let controller = connect_to(target.address());
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let stopped = Stopped::new(&target);
    let token = qpair.submit(&Command::flush(1), None).expect("room");
    qpair.poll().expect("it is on its way");
    std::mem::forget(stopped);
    target.stop();

    qpair.wait(TIMEOUT + GRACE).expect("the outstanding command is aborted");
    let done = qpair.next_completion().expect("the queue exists").expect("its completion");
    assert_eq!((done.token, done.completion.status()), (token, nvme_spdk::Status::ABORTED_SQ_DELETION));
    let error = qpair.execute(&Command::flush(1), None).unwrap_err();
    assert!(matches!(error, Error::QpairDead { .. }), "{error}");
    let error = controller.execute(&Command::get_features(7), None).unwrap_err();
    assert!(matches!(error, Error::Dead { .. }), "{error}");
    assert!(error.to_string().contains("check that the target is alive"), "{error}");
}

#[test]
fn nobody_else_waits_for_a_target_that_does_not_answer() {
    // A machine with other work holds up one of them, but hardly each.
    let rounds: Vec<_> = (0..3).map(|_| slowest_round()).take_while(|slowest| *slowest >= TIMEOUT).collect();
    assert!(rounds.len() < 3, "one round each took {rounds:?}");
}

/// How long the slowest round of everything takes while others wait.
fn slowest_round() -> Duration {
    let healthy = connect();
    let qpair = healthy.create_qpair(16).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");

    let sick = Target::start().expect("a target");
    let open = Controller::connect(sick.address(), options().timeout(2 * TIMEOUT)).expect("a controller");
    let stopped = Stopped::new(&sick);
    let over = Arc::new(AtomicBool::new(false));
    let connecting = thread::spawn({
        let (over, silent) = (Arc::clone(&over), silent_port());
        move || {
            let errors = [
                Controller::connect(sick.address(), options()).map(drop),
                open.create_qpair(8).map(drop),
                Controller::connect(&silent, options()).map(drop),
            ];
            over.store(true, Ordering::Relaxed);
            (sick, errors.map(|result| result.expect_err("it does not answer")))
        }
    });

    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        qpair.execute(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("a read");
        healthy.execute(&Command::get_features(7), None).expect("Get Features");
        healthy.read_register(0x1c).expect("CSTS");
        drop(healthy.create_qpair(4).expect("a queue pair"));
        drop(connect());
        slowest = slowest.max(start.elapsed());
        rounds += 1;
    }
    let (sick, _errors) = connecting.join().expect("no panic");
    drop(stopped);
    drop(sick);
    assert!(rounds >= 4, "{rounds} rounds while others waited");
    slowest
}

/// A target that dies with unread commands resets the connection; then sending fails first, not receiving.
#[test]
fn what_was_sent_to_a_target_that_died_is_aborted() {
    let target = Target::start().expect("a target");
    let controller = connect_to(target.address());
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    let read = || qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("a read");
    let features = || controller.submit(&Command::get_features(7), None).expect("Get Features");
    signal(target.pid(), libc::SIGSTOP);
    read();
    features();
    assert_eq!((qpair.poll().expect("no answer"), controller.poll().expect("no answer")), (0, 0));
    signal(target.pid(), libc::SIGKILL);
    eventually("the target is gone", || !is_alive(target.pid()));
    thread::sleep(Duration::from_millis(50));
    read();
    features();
    for next in
        [&(|| qpair.wait(TIMEOUT + GRACE).and_then(|_| qpair.next_completion())) as &dyn Fn() -> _, &|| {
            controller.wait(TIMEOUT + GRACE).and_then(|_| controller.next_completion())
        }]
    {
        for _ in 0..2 {
            let completed = next().expect("a completion").expect("one at least");
            assert_eq!(completed.completion.status(), Status::ABORTED_SQ_DELETION);
        }
        next().expect_err("nothing comes any more");
    }
    // SPDK would keep it for ever.
    let late = qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer)));
    assert!(matches!(late, Err(Error::QpairDead { .. })), "{late:?}");
}

#[test]
fn keep_alive_commands_do_not_pile_up() {
    let target = Target::start().expect("a target");
    let options = options().keep_alive(Duration::from_nanos(1));
    let controller = Controller::connect(target.address(), options).expect("a controller");
    let _stopped = Stopped::new(&target);
    // A hundred would go out in this time, as often as they are sent to one that answers.
    thread::sleep(Duration::from_millis(500));
    let newest = controller.cmdlog().newest(1000);
    let open = newest.iter().filter(|entry| entry.command.opcode == 0x18 && entry.completed.is_none());
    assert_eq!(open.count(), 1);
    let error =
        controller.execute_within(&Command::get_features(7), None, TIMEOUT).expect_err("nobody answers");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}
