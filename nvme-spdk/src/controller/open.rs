//! Opening a controller: every step bounded, every failure explained.

use std::ffi::CString;
use std::net::SocketAddr;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use zeroize::Zeroizing;

use super::inner::{Facts, WORKER_PATIENCE};
use super::registers::{CAP, VS};
use super::sharing::Sharing;
use super::{ADMIN_QUEUE_SIZE, AdminHandle, ConnectOptions, Controller, Inner, pcie};
use crate::cmdlog::CmdLog;
use crate::deadline::{Deadline, bounded, on_helper, timed_out};
use crate::discovery::{self, DISCOVERY_NQN};
use crate::env::Env;
use crate::error::{Error, Result, shorten};
use crate::identify::IdentifyController;
use crate::integrity::Tables;
use crate::lane::{CommandTimeout, Lane, Link};
use crate::log;
use crate::observer::{self, Failure, Scope};
use crate::queue::Queue;
use crate::secret::Secret;
use crate::status::Status;
use crate::transport::{self, Address};

/// The longest NVMe Qualified Name (NVMe base specification, "NVMe Qualified Names").
const LONGEST_NQN: usize = 223;

pub(super) fn connect(address: &Address, options: ConnectOptions) -> Result<Controller> {
    for nqn in [&options.subnqn, &options.hostnqn].into_iter().flatten() {
        check_nqn(nqn)?;
    }
    options.check_secrets(address)?;
    if options.tls_psk.is_some() && options.subnqn.is_none() {
        return Err(Error::InvalidArgument(
            "a TLS pre-shared key belongs to a pair of names: give subnqn as well".to_owned(),
        ));
    }
    let env = Env::get()?;
    match address {
        Address::Tcp { host, port } => connect_tcp(env, address, host, *port, options),
        Address::Pcie(function) => pcie::connect(env, address, *function, options),
    }
}

fn check_nqn(nqn: &str) -> Result<()> {
    if nqn.is_empty() || nqn.len() > LONGEST_NQN || nqn.contains('\0') {
        let shown = shorten(nqn, 60);
        return Err(Error::InvalidArgument(format!(
            "{shown:?} is no NVMe Qualified Name: those have 1 to {LONGEST_NQN} bytes, as nqn.2014-08.org.example:disk1"
        )));
    }
    Ok(())
}

fn connect_tcp(
    env: Arc<Env>,
    address: &Address,
    host: &str,
    port: u16,
    options: ConnectOptions,
) -> Result<Controller> {
    let timeout = options.timeout;
    let what = format!("connecting to {address}");
    let (address, host) = (address.clone(), host.to_owned());
    on_helper(
        move || what.clone(),
        timeout.saturating_add(options.reconnect_for),
        move |deadline| {
            patiently(&options, deadline, |deadline| {
                let (socket, subnqn) = locate(&env, &host, port, &options, deadline)?;
                let controller = open(Arc::clone(&env), &address, socket, &subnqn, &options, deadline)?;
                read_facts(&controller.inner, deadline)?;
                controller.inner.list();
                controller.inner.keep_alive()?;
                Ok(controller)
            })
        },
    )
}

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Tries for as long as the options say, while what is in the way may pass.
fn patiently<T>(
    options: &ConnectOptions,
    deadline: &Deadline,
    attempt: impl Fn(&Deadline) -> Result<T>,
) -> Result<T> {
    let patience = deadline.within(options.reconnect_for);
    loop {
        match attempt(&deadline.within(options.timeout)) {
            Err(why) if may_pass(&why) && !patience.passed() => {
                std::thread::sleep(PAUSE.min(patience.left()))
            }
            result => return result,
        }
    }
}

/// Whether it may look otherwise once the target has started.
fn may_pass(why: &Error) -> bool {
    matches!(
        why,
        Error::Connect { .. }
            | Error::ConnectRefused { .. }
            | Error::NothingDiscovered { .. }
            | Error::Open { .. }
            | Error::Timeout { .. }
            | Error::Dead { .. }
            | Error::QpairDead { .. }
    )
}

/// Where the controller is, and that somebody listens there.
fn locate(
    env: &Arc<Env>,
    host: &str,
    port: u16,
    options: &ConnectOptions,
    deadline: &Deadline,
) -> Result<(SocketAddr, String)> {
    let asked = transport::reach(host, port, deadline)?;
    let (socket, subnqn) = match &options.subnqn {
        Some(nqn) => (asked, nqn.clone()),
        None => discovery::choose(env, asked, options, deadline)?,
    };
    if socket != asked {
        transport::probe(socket, deadline)?;
    }
    Ok((socket, subnqn))
}

/// Connects a controller anew, in place.
pub(super) fn reset(inner: &Arc<Inner>) -> Result<()> {
    let Address::Tcp { host, port } = inner.address().clone() else { return pcie::reset(inner) };
    if inner.is_closed() {
        return Err(inner.dead("closed"));
    }
    let env = Env::get()?;
    let what = format!("resetting the controller at {}", inner.address());
    let inner = Arc::clone(inner);
    on_helper(
        move || what.clone(),
        inner.options().timeout.saturating_add(inner.options().reconnect_for),
        move |deadline| {
            let _guard = inner.disconnect()?;
            // It may have been closed while this waited.
            if inner.is_closed() {
                return Err(inner.dead("closed"));
            }
            let options = inner.options();
            patiently(options, deadline, |deadline| {
                let (socket, subnqn) = locate(&env, &host, port, options, deadline)?;
                let admin_log = Arc::clone(inner.admin().log());
                let (link, facts) =
                    establish(socket, &subnqn, options, deadline, &admin_log, &Parts::of(&inner))?;
                inner.reconnected(link, facts);
                read_facts(&inner, deadline).inspect_err(|_| {
                    inner.admin().free(WORKER_PATIENCE);
                })
            })
        },
    )
}

/// What outlives a connection.
#[derive(Default)]
pub(super) struct Parts {
    pub tables: Arc<Tables>,
    pub command_timeout: Arc<CommandTimeout>,
}

impl Parts {
    pub(super) fn of(inner: &Inner) -> Self {
        Parts { tables: Arc::clone(inner.tables()), command_timeout: Arc::clone(inner.command_timeout()) }
    }
}

/// Opens one controller at a socket, of which nothing is read; `subnqn` may be the discovery service's.
pub(crate) fn open(
    env: Arc<Env>,
    address: &Address,
    socket: SocketAddr,
    subnqn: &str,
    options: &ConnectOptions,
    deadline: &Deadline,
) -> Result<Controller> {
    let admin_log = Arc::new(CmdLog::new(0));
    let parts = Parts::default();
    let (link, facts) = establish(socket, subnqn, options, deadline, &admin_log, &parts)?;
    let admin = Lane::new(0, admin_log, link, Weak::new());
    let (address, options) = (address.clone(), options.clone());
    Ok(Controller { inner: Arc::new(Inner::new(env, address, options, facts, admin, parts, Sharing::Alone)) })
}

/// Connects: the admin queue, and the facts as far as they are known by then.
fn establish(
    socket: SocketAddr,
    subnqn: &str,
    options: &ConnectOptions,
    deadline: &Deadline,
    admin_log: &Arc<CmdLog>,
    parts: &Parts,
) -> Result<(Link<AdminHandle>, Facts)> {
    let discovery = subnqn == DISCOVERY_NQN;
    let text = |text: String| CString::new(text).map_err(|e| Error::InvalidArgument(e.to_string()));
    let traddr = text(socket.ip().to_string())?;
    let trsvcid = text(socket.port().to_string())?;
    let nqn = text(subnqn.to_owned())?;
    let hostnqn = text(options.hostnqn.clone().unwrap_or_else(default_hostnqn))?;
    let secret = |secret: &Option<Secret>| secret.as_ref().map(Secret::to_c);
    let tls_psk = secret(&options.tls_psk);
    let dhchap_key = secret(&options.dhchap_key);
    let dhchap_ctrlr_key = secret(&options.dhchap_controller_key);
    let pointer =
        |text: &Option<Zeroizing<Vec<u8>>>| text.as_ref().map_or(ptr::null(), |t| t.as_ptr().cast());
    options.set_up_sockets()?;
    let raw = spdk_sys::shim_ctrlr_opts {
        transport: spdk_sys::shim_transport::SHIM_TRANSPORT_TCP,
        ipv6: socket.is_ipv6(),
        discovery,
        header_digest: options.header_digest,
        data_digest: options.data_digest,
        admin_queue_size: ADMIN_QUEUE_SIZE,
        keep_alive_ms: u32::try_from(options.keep_alive.as_millis()).unwrap_or(u32::MAX),
        io_queues: options.io_queues,
        priority: i32::from(options.priority),
        traddr: traddr.as_ptr(),
        trsvcid: trsvcid.as_ptr(),
        subnqn: nqn.as_ptr(),
        hostnqn: hostnqn.as_ptr(),
        hostid: options.host_id.as_ref().map_or(ptr::null(), |id| id.as_ptr()),
        tls_psk: pointer(&tls_psk),
        dhchap_key: pointer(&dhchap_key),
        dhchap_ctrlr_key: pointer(&dhchap_ctrlr_key),
        timeout_ms: u32::try_from(deadline.left().as_millis()).unwrap_or(u32::MAX),
    };

    let scope = Scope::new(Some(admin_log), None);
    log::forget();
    let mut ctrlr = ptr::null_mut();
    let mut failed_at = spdk_sys::shim_step::SHIM_STEP_NONE;
    // SAFETY: the environment runs; all strings outlive the call; results go to locals.
    let call = || unsafe { spdk_sys::shim_ctrlr_open(&raw, &mut ctrlr, &mut failed_at) };
    let (_rc, ended) = log::quietly(|| bounded(deadline, call));
    let Some(ctrlr) = NonNull::new(ctrlr) else {
        return Err(explain(socket, subnqn, options, scope.failure(), ended || deadline.passed()));
    };
    drop(scope);

    let handle = AdminHandle::new(ctrlr, false);
    // SAFETY: just opened.
    let port = unsafe { spdk_sys::shim_tcp_local_port(ctrlr.as_ptr(), ptr::null_mut()) };
    serve_as(options, port, socket)?;
    let granted = match discovery {
        true => 0,
        // SAFETY: just opened.
        false => unsafe { spdk_sys::shim_ctrlr_max_io_queues(handle.as_ptr()) },
    };
    let (log, outstanding) = (Arc::clone(admin_log), ADMIN_QUEUE_SIZE - 1);
    let queue = Queue::new(0, outstanding, log, observer::available(), &parts.tables);
    let facts = Facts {
        socket: Some(socket),
        subnqn: subnqn.to_owned(),
        cap: 0,
        version: 0,
        max_io_queues: u16::try_from(granted).unwrap_or(u16::MAX),
        identify: IdentifyController::from_bytes(&[0; 4096]),
    };
    Ok((Link::new(handle, queue, Arc::clone(&parts.command_timeout)), facts))
}

/// Gives a connection from this port the type of service that the options name.
pub(crate) fn serve_as(options: &ConnectOptions, local_port: u16, target: SocketAddr) -> Result<()> {
    let Some(value) = options.type_of_service else { return Ok(()) };
    if local_port == 0 {
        return Err(Error::Unsupported(
            "this SPDK does not tell which socket is a queue pair's, so its type of service cannot be set: use the \
             vendored SPDK, or connect without one"
                .to_owned(),
        ));
    }
    transport::set_type_of_service(local_port, target, value).map_err(|source| Error::Connect {
        address: target.to_string(),
        source,
        remedy: "that was setting the type of service: connect without one",
    })
}

/// Reads what does not change while the controller is connected.
fn read_facts(inner: &Arc<Inner>, deadline: &Deadline) -> Result<()> {
    let controller = Controller { inner: Arc::clone(inner) };
    let cap = controller.read_register64(CAP)?;
    let version = controller.read_register(VS)?;
    let identify = IdentifyController::from_bytes(&controller.identify_data(0x01, 0, deadline.left())?);
    inner.set_facts(Facts { cap, version, identify, ..(*inner.facts()).clone() });
    Ok(())
}

/// Why opening failed, from what the controller answered, what SPDK said, and the clock.
fn explain(
    socket: SocketAddr,
    subnqn: &str,
    options: &ConnectOptions,
    failure: Option<Failure>,
    timed: bool,
) -> Error {
    if let Some(failure) = failure.filter(Failure::is_connect) {
        return connect_refused(socket, &format!("to subsystem {subnqn}"), failure);
    }
    let said = log::said();
    if timed {
        return timed_out(format!("opening the controller {subnqn} at {socket}"), options.timeout);
    }
    Error::Open {
        address: socket.to_string(),
        why: if said.is_empty() { "SPDK does not say why".to_owned() } else { format!("SPDK says: {said}") },
        remedy: "check that this is the port of an NVMe/TCP target, that the target is alive, and what its log says"
            .to_owned(),
    }
}

/// A refused Fabrics Connect, with what its status means there (NVMe over Fabrics, "Connect Response").
pub(crate) fn connect_refused(socket: SocketAddr, what: &str, failure: Failure) -> Error {
    let status = failure.completion.status();
    let remedy = match status {
        Status::CONNECT_INVALID_PARAMETERS => {
            "no such subsystem, or a parameter it does not take: check the NQN (without one, discovery finds it)"
        }
        Status { sct: 1, sc: 0x84 } => {
            "the subsystem does not allow this host: check the host NQN and its access list"
        }
        Status { sct: 1, sc: 0x81 } => {
            "the controller is busy or all its queues are taken: close other connections"
        }
        Status { sct: 1, sc: 0x83 } => "the subsystem has moved: run discovery again",
        _ => "check the configuration and the log of the target",
    };
    Error::ConnectRefused {
        address: socket.to_string(),
        what: what.to_owned(),
        status,
        remedy: remedy.to_owned(),
    }
}

/// One name per process, as a host has.
fn default_hostnqn() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("nqn.2014-08.org.nvmexpress:uuid:{}", random_uuid())).clone()
}

/// A version 4 UUID from the kernel's generator.
fn random_uuid() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "00000000-0000-4000-8000-000000000000".to_owned())
}
