//! How a controller is connected.

use std::time::Duration;

/// Options of [`Controller::connect`](super::Controller::connect).
///
/// ```
/// use std::time::Duration;
/// use nvme_spdk::ConnectOptions;
///
/// let options = ConnectOptions::new()
///     .subnqn("nqn.2026-01.io.example:disk1")
///     .data_digest(true)
///     .timeout(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    pub(crate) subnqn: Option<String>,
    pub(crate) hostnqn: Option<String>,
    pub(crate) host_id: Option<[u8; 16]>,
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
    pub(crate) keep_alive: Duration,
    pub(crate) priority: u8,
    pub(crate) type_of_service: Option<u8>,
    pub(crate) io_queues: u16,
    pub(crate) reconnect_for: Duration,
    pub(crate) timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            subnqn: None,
            hostnqn: None,
            host_id: None,
            header_digest: false,
            data_digest: false,
            keep_alive: Duration::ZERO,
            priority: 0,
            type_of_service: None,
            io_queues: 0,
            reconnect_for: Duration::ZERO,
            timeout: Duration::from_secs(10),
        }
    }
}

impl ConnectOptions {
    /// The defaults: the last subsystem that discovery lists, no digests, no keep-alive, 10 seconds.
    pub fn new() -> Self {
        Self::default()
    }

    /// The NVMe Qualified Name of the subsystem, up to 223 bytes (NVMe base specification, "NVMe Qualified
    /// Names"). Without it, the discovery controller is asked.
    pub fn subnqn(mut self, nqn: impl Into<String>) -> Self {
        self.subnqn = Some(nqn.into());
        self
    }

    /// The name this host gives itself, up to 223 bytes; by default one made from a random UUID.
    pub fn hostnqn(mut self, nqn: impl Into<String>) -> Self {
        self.hostnqn = Some(nqn.into());
        self
    }

    /// The host identifier; by default a random one for the process.
    pub fn host_id(mut self, id: [u8; 16]) -> Self {
        self.host_id = Some(id);
        self
    }

    /// Asks for CRC-32C over PDU headers (NVMe/TCP specification, "Header Digest").
    pub fn header_digest(mut self, on: bool) -> Self {
        self.header_digest = on;
        self
    }

    /// Asks for CRC-32C over PDU data (NVMe/TCP specification, "Data Digest").
    pub fn data_digest(mut self, on: bool) -> Self {
        self.data_digest = on;
        self
    }

    /// The keep-alive timeout the controller is told (KATO), in steps of a millisecond; zero, the default, switches
    /// keep-alive off. A Keep Alive command is sent twice in that time, whatever this program does meanwhile (NVMe
    /// base specification, "Keep Alive").
    pub fn keep_alive(mut self, timeout: Duration) -> Self {
        self.keep_alive = timeout;
        self
    }

    /// The priority of the sockets' packets, 0 to 6 (`SO_PRIORITY`).
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// The type of service of the packets that go out (`IP_TOS`, of IPv6 the traffic class): DSCP in the upper six
    /// bits. It is set on each connection once that stands; the handshake goes out without.
    pub fn type_of_service(mut self, value: u8) -> Self {
        self.type_of_service = Some(value);
        self
    }

    /// How many I/O queue pairs the controller is asked for, 1 to 65534 (NVMe base specification, "Number of Queues");
    /// 0, the default, asks for 1024. It may grant less, see
    /// [`max_io_queues`](super::Controller::max_io_queues).
    pub fn io_queues(mut self, count: u16) -> Self {
        self.io_queues = count;
        self
    }

    /// How long connecting and [resetting](super::Controller::reset) go on trying as long as nobody answers or the
    /// subsystem is not there: a target that restarts needs a while. Each try takes [`timeout`](Self::timeout) at
    /// most. Zero, the default, tries once.
    pub fn reconnect_for(mut self, patience: Duration) -> Self {
        self.reconnect_for = patience;
        self
    }

    /// The most that connecting, creating a queue pair or accessing a register may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
