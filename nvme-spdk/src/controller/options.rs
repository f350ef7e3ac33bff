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
#[must_use = "it does nothing until it is used"]
pub struct ConnectOptions {
    pub(crate) subnqn: Option<String>,
    pub(crate) hostnqn: Option<String>,
    pub(crate) host_id: Option<[u8; 16]>,
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
    pub(crate) keep_alive: Duration,
    pub(crate) priority: u8,
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

    /// The keep-alive timeout the controller is told, in steps of a millisecond; zero, the default,
    /// switches keep-alive off. Keep Alive commands are sent while the admin queue is polled.
    pub fn keep_alive(mut self, timeout: Duration) -> Self {
        self.keep_alive = timeout;
        self
    }

    /// The priority of the sockets' packets, 0 to 6 (`SO_PRIORITY`).
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// The most that connecting, creating a queue pair or accessing a register may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
