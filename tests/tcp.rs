//! What only NVMe/TCP has: names, address families, keep-alive, type of service, patience.

use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::Duration;

use nvme_spdk::{Address, ConnectOptions, Controller, DISCOVERY_NQN, Error, Target, admin_opcode};
use support::proxy::{H2C_DATA, Proxy, Spoil};
use support::{connect_to, eventually, target, timed};

fn port_of(target: &Target) -> u16 {
    match target.address() {
        Address::Tcp { port, .. } => *port,
        other => panic!("{other}"),
    }
}

#[test]
fn a_name() {
    let controller = connect_to(&Address::tcp("localhost", port_of(target())));
    assert_eq!(controller.subnqn(), target().subnqn());
}

#[test]
fn ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let target =
        Target::builder().megabytes(16).listen(Ipv6Addr::LOCALHOST.into()).start().expect("a target");
    assert!(target.address().to_string().starts_with("[::1]:"), "{}", target.address());
    let controller = connect_to(target.address());
    assert!(controller.namespace(1).expect("namespace 1").blocks() > 0);
    assert!(controller.create_qpair(8).is_ok());
}

#[test]
fn connect_has_its_data_in_the_capsule() {
    let proxy = Proxy::new(target().address());
    // There is nothing to spoil: no data is sent on request.
    proxy.spoil(Spoil::Header(H2C_DATA, 0));
    let controller = connect_to(proxy.address());
    drop(controller.create_qpair(8).expect("a queue pair"));
    assert_eq!(proxy.spoiled(), 0);
}

#[test]
fn keep_alive_goes_on_while_the_program_does_something_else() {
    let options = ConnectOptions::new().keep_alive(Duration::from_millis(600));
    let controller = Controller::connect(target().address(), options).expect("a connection");
    // How many were sent, and how many of them succeeded.
    let counted = || {
        let entries = controller.cmdlog().newest(100);
        let sent: Vec<_> =
            entries.iter().filter(|entry| entry.command.opcode == admin_opcode::KEEP_ALIVE).collect();
        let answers = sent.iter().filter_map(|entry| entry.completed);
        (sent.len(), answers.filter(|(completion, _)| completion.is_success()).count())
    };
    let (sent, took) = timed(|| {
        eventually("four were answered", || counted().1 >= 4);
        counted().0
    });
    // About two in each period.
    assert!(sent <= 3 + took.as_millis() as usize / 250, "{sent} in {took:?}");
    // Far less than what a connection without that option has.
    assert!(took < Duration::from_secs(10), "{took:?}");
    // A reset begins anew, with the same timeout.
    controller.reset().expect("a reset");
    let before = controller.cmdlog().total();
    let ((), took) = timed(|| eventually("it goes on", || controller.cmdlog().total() > before + 2));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_discovery_controller_says_what_it_is() {
    let options = ConnectOptions::new().subnqn(DISCOVERY_NQN);
    let discovery = Controller::connect(target().address(), options).expect("a discovery controller");
    assert_eq!(discovery.identify().subnqn(), DISCOVERY_NQN);
    assert_eq!(discovery.version(), discovery.read_register(8).expect("VS"));
    assert_eq!(discovery.max_io_queues(), 0);
    for reset in [false, true] {
        if reset {
            discovery.reset().expect("it is connected again");
        }
        let refused = discovery.create_qpair(16).expect_err("it has no I/O queues").to_string();
        assert!(refused.starts_with("a discovery controller"), "{refused}");
    }
}

#[test]
fn as_many_queues_as_asked_for() {
    let options = ConnectOptions::new().io_queues(3);
    let controller = Controller::connect(target().address(), options).expect("a connection");
    assert_eq!(controller.max_io_queues(), 3);
    let queues: Vec<_> = (0..3).map(|_| controller.create_qpair(4).expect("a queue pair")).collect();
    assert!(matches!(controller.create_qpair(4), Err(Error::QpairCreate { .. })));
    drop(queues);
}

/// The types of service of this process's connections to a port, as `ss` would show them.
fn types_of_service(port: u16) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten() {
        let fd: i32 = entry.file_name().to_string_lossy().parse().expect("a number");
        let mut peer = libc::sockaddr_in { sin_family: 0, ..unsafe_zeroed() };
        let mut len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // SAFETY: the results go to locals of the sizes named.
        let rc = unsafe { libc::getpeername(fd, (&raw mut peer).cast(), &mut len) };
        if rc != 0 || i32::from(peer.sin_family) != libc::AF_INET || u16::from_be(peer.sin_port) != port {
            continue;
        }
        let (mut value, mut len) = (0, size_of::<i32>() as libc::socklen_t);
        // SAFETY: as above.
        let rc = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_IP, libc::IP_TOS, (&raw mut value).cast(), &mut len)
        };
        assert_eq!(rc, 0);
        found.push(value);
    }
    found
}

fn unsafe_zeroed() -> libc::sockaddr_in {
    // SAFETY: zeros are a valid address structure.
    unsafe { std::mem::zeroed() }
}

#[test]
fn type_of_service_of_every_connection() {
    let target = Target::builder().megabytes(16).start().expect("a target");
    let port = port_of(&target);
    let plain = connect_to(target.address());
    assert_eq!(types_of_service(port), [0]);
    let options = ConnectOptions::new().type_of_service(0x48);
    let controller = Controller::connect(target.address(), options).expect("a connection");
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let mut found = types_of_service(port);
    found.sort_unstable();
    assert_eq!(found, [0, 0x48, 0x48]);
    drop((plain, qpair));
}

#[test]
fn patience_outlasts_a_restart() {
    let target = Target::builder().megabytes(16).start().expect("a target");
    let port = port_of(&target);
    let address = target.address().clone();
    target.stop();

    let impatient = ConnectOptions::new().timeout(Duration::from_secs(2));
    let (result, took) = timed(|| Controller::connect(&address, impatient.clone()));
    assert!(matches!(result, Err(Error::Connect { .. })), "{result:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        Target::builder().megabytes(16).port(port).start().expect("a target")
    });
    let patient = impatient.reconnect_for(Duration::from_secs(20));
    let controller = Controller::connect(&address, patient).expect("it came back");
    let target = later.join().expect("no panic");
    target.stop();
    let later = thread::spawn(move || Target::builder().megabytes(16).port(port).start().expect("a target"));
    controller.reset().expect("it came back");
    assert!(controller.namespace(1).is_ok());
    drop(later.join());

    // And it ends.
    let patient =
        ConnectOptions::new().timeout(Duration::from_millis(500)).reconnect_for(Duration::from_secs(1));
    let (result, took) = timed(|| Controller::connect(&address, patient));
    assert!(matches!(result, Err(Error::Connect { .. })), "{result:?}");
    assert!((1000..6000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn an_address_that_is_not_ours() {
    let elsewhere: IpAddr = "192.0.2.1".parse().expect("an address");
    let error = Target::builder().listen(elsewhere).start().expect_err("not an address of this host");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}
