//! Options of connections that not every SPDK has.

use std::fs;
use std::mem;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::RawFd;

use nvme_spdk::{Address, ConnectOptions, Controller, DmaBuf, Error, Feature};
use serde_json::json;
use support::target;

const PSK: &str = "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:";
const KEY: &str = "DHHC-1:01:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

fn named() -> ConnectOptions {
    ConnectOptions::new().subnqn(target().subnqn()).hostnqn("nqn.2014-08.org.example:host")
}

/// Without the feature, the error says which SPDK has it.
#[track_caller]
fn refused(options: ConnectOptions, feature: Feature, since: &str) {
    if !feature.is_supported() {
        let error = Controller::connect(target().address(), options).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        assert!(error.to_string().contains(nvme_spdk::spdk_version()), "{error}");
        assert!(error.to_string().contains(since), "{error}");
    }
}

#[test]
fn a_malformed_secret_is_refused_and_not_repeated() {
    for options in [named().tls_psk("my secret"), named().dhchap_key("my secret")] {
        let error = Controller::connect(target().address(), options).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
        assert!(!error.to_string().contains("my secret"), "{error}");
    }
}

#[test]
fn tls_needs_an_spdk_that_has_it() {
    refused(named().tls_psk(PSK), Feature::TlsPsk, "v23.05 or newer");
    let nameless = ConnectOptions::new().hostnqn("nqn.2014-08.org.example:host").tls_psk(PSK);
    let error = Controller::connect(target().address(), nameless).unwrap_err().to_string();
    assert!(error.contains("give subnqn") || !Feature::TlsPsk.is_supported(), "{error}");
}

#[test]
fn discovery_needs_it_as_well() {
    let error = nvme_spdk::discover(target().address(), &named().tls_psk("my secret")).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
}

#[test]
fn authentication_that_a_target_does_not_ask_for() {
    let options = named().dhchap_key(KEY).dhchap_controller_key(KEY);
    if Feature::DhChap.is_supported() {
        Controller::connect(target().address(), options).expect("nobody asks for a key");
    } else {
        refused(options, Feature::DhChap, "v24.05 or newer");
    }
}

/// An address of this machine that is not on the loopback, if it has one; nothing is sent there.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// What SO_ZEROCOPY is on each of this process's connections to a port.
fn zero_copy_of_connections_to(port: u16) -> Vec<bool> {
    let peer_port = |fd: RawFd| {
        // SAFETY: plain integers, for which zero is a value.
        let mut peer: libc::sockaddr_in = unsafe { mem::zeroed() };
        let mut size = mem::size_of_val(&peer) as libc::socklen_t;
        // SAFETY: at most `size` bytes are written.
        let rc = unsafe { libc::getpeername(fd, (&raw mut peer).cast(), &mut size) };
        (rc == 0 && i32::from(peer.sin_family) == libc::AF_INET).then(|| u16::from_be(peer.sin_port))
    };
    let zero_copy = |fd: RawFd| {
        let (mut on, mut size) = (0_i32, 4);
        // SAFETY: an integer and its size.
        let rc = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, (&raw mut on).cast(), &mut size)
        };
        (rc == 0).then_some(on != 0)
    };
    let names = fs::read_dir("/proc/self/fd").expect("/proc").flatten().map(|entry| entry.file_name());
    let fds = names.filter_map(|name| name.to_str()?.parse().ok());
    fds.filter(|fd| peer_port(*fd) == Some(port)).filter_map(zero_copy).collect()
}

#[test]
fn sends_without_copying() {
    let copying = named().zero_copy_send(false);
    Controller::connect(target().address(), copying).expect("every SPDK can copy");
    refused(named().zero_copy_send(true), Feature::ZeroCopySend, "v21.04 or newer");
    if Feature::ZeroCopySend.is_supported() {
        where_spdk_does_so();
    }
}

fn where_spdk_does_so() {
    let Some(ip) = outer_address() else {
        eprintln!("this machine has no address but the loopback, on which SPDK never sends without copying");
        return;
    };
    let port = TcpListener::bind((ip, 0)).and_then(|free| free.local_addr()).expect("a free port").port();
    let listen =
        json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": ip.to_string(), "trsvcid": port.to_string()});
    let params = json!({"nqn": target().subnqn(), "listen_address": listen});
    target().rpc("nvmf_subsystem_add_listener", params).expect("a second listener");
    let address = Address::tcp(ip.to_string(), port);

    for on in [true, false, true] {
        let options = ConnectOptions::new().subnqn(target().subnqn()).zero_copy_send(on);
        let controller = Controller::connect(&address, options).expect("a connection");
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(16).expect("a queue pair");
        assert_eq!(zero_copy_of_connections_to(port), [on, on]);

        let buffer = DmaBuf::new(64 << 10).expect("a buffer");
        let data: Vec<u8> = (0..64_usize << 10).map(|n| (n / 7) as u8 ^ u8::from(on)).collect();
        buffer.write(0, &data);
        namespace.write(&qpair, &buffer, 64, 128).expect("a write");
        buffer.fill(0..64 << 10, 0);
        namespace.read(&qpair, &buffer, 64, 128).expect("a read");
        assert!(buffer.to_vec(0..64 << 10) == data, "what was written is not what is read");
    }
}
