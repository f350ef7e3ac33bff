//! How a controller is connected.

use std::sync::Mutex;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::features::Feature;
use crate::secret::{DHCHAP_KEY, Secret, TLS_PSK};
use crate::transport::Address;

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
    pub(crate) type_of_service: Option<u8>,
    pub(crate) io_queues: u16,
    pub(crate) reconnect_for: Duration,
    pub(crate) timeout: Duration,
    pub(crate) tls_psk: Option<Secret>,
    pub(crate) dhchap_key: Option<Secret>,
    pub(crate) dhchap_controller_key: Option<Secret>,
    pub(crate) zero_copy_send: Option<bool>,
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
            tls_psk: None,
            dhchap_key: None,
            dhchap_controller_key: None,
            zero_copy_send: None,
        }
    }
}

impl ConnectOptions {
    /// The defaults: the last subsystem that discovery lists, no digests, no keep-alive, one try of 10
    /// seconds.
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

    /// The host identifier, 16 bytes (NVMe base specification, "Host Identifier"); by default a random one
    /// for the process.
    pub fn host_id(mut self, id: [u8; 16]) -> Self {
        self.host_id = Some(id);
        self
    }

    /// CRC-32C over PDU headers (NVMe/TCP specification, "Header Digest"). A target that does not do them is refused; with
    /// an installed SPDK, whose internals are not known, it is up to SPDK.
    pub fn header_digest(mut self, on: bool) -> Self {
        self.header_digest = on;
        self
    }

    /// CRC-32C over PDU data (NVMe/TCP specification, "Data Digest"). A target that does not do them is refused; with
    /// an installed SPDK, whose internals are not known, it is up to SPDK.
    pub fn data_digest(mut self, on: bool) -> Self {
        self.data_digest = on;
        self
    }

    /// The keep-alive timeout the controller is told (KATO), in steps of a millisecond, of which there is one at least;
    /// zero, the default, switches keep-alive off. A Keep Alive command is sent twice in that time, whatever this
    /// program does meanwhile, unless the one before is not answered yet (NVMe base specification, "Keep Alive").
    pub fn keep_alive(mut self, timeout: Duration) -> Self {
        self.keep_alive = if timeout.is_zero() { timeout } else { timeout.max(Duration::from_millis(1)) };
        self
    }

    /// The priority of the sockets' packets, 0 to 6 (`SO_PRIORITY`); 0, the default, leaves it alone. The
    /// kernel gives higher ones to privileged processes only: others cannot connect with them and get
    /// [`Error::Open`].
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

    /// The most that connecting, creating a queue pair or accessing a register may take; 10 seconds by
    /// default. On PCIe the steps of connecting have bounds of their own, see
    /// [`connect`](super::Controller::connect).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Encrypts all connections with TLS 1.3 and this pre-shared key, in the interchange format
    /// `NVMeTLSkey-1:01:<Base64>:` (NVMe TCP Transport Specification, "PSK Interchange Format"). It belongs to a
    /// pair of names, so [`subnqn`](Self::subnqn) and [`hostnqn`](Self::hostnqn) are given as well.
    ///
    /// Connecting fails with [`Error::InvalidArgument`] if the key is malformed, and with [`Error::Unsupported`]
    /// where SPDK lacks [`Feature::TlsPsk`].
    pub fn tls_psk(mut self, key: impl Into<String>) -> Self {
        self.tls_psk = Some(Secret::new(key));
        self
    }

    /// Authenticates this host when the controller asks for it, with this key in the representation
    /// `DHHC-1:01:<Base64>:` (NVMe base specification, "DH-HMAC-CHAP"). The controller has it under the name of
    /// this host, so [`hostnqn`](Self::hostnqn) is given as well.
    ///
    /// Connecting fails with [`Error::InvalidArgument`] if the key is malformed, and with [`Error::Unsupported`]
    /// where SPDK lacks [`Feature::DhChap`].
    pub fn dhchap_key(mut self, key: impl Into<String>) -> Self {
        self.dhchap_key = Some(Secret::new(key));
        self
    }

    /// Has the controller authenticate itself, too, with this key in the same representation; only together with
    /// [`dhchap_key`](Self::dhchap_key).
    pub fn dhchap_controller_key(mut self, key: impl Into<String>) -> Self {
        self.dhchap_controller_key = Some(Secret::new(key));
        self
    }

    /// Whether the kernel sends data from where it lies instead of copying it (`MSG_ZEROCOPY`). SPDK never does so
    /// on the loopback. Without a choice, SPDK's default stays.
    ///
    /// SPDK has one such setting in a process: it is made whenever this controller opens a connection, and holds for
    /// those of others that are opened at the same time. Connecting fails with [`Error::Unsupported`] if it is to be
    /// on where SPDK lacks [`Feature::ZeroCopySend`].
    pub fn zero_copy_send(mut self, on: bool) -> Self {
        self.zero_copy_send = Some(on);
        self
    }

    /// Whether secrets are well-formed, go together, and SPDK has a use for them.
    pub(crate) fn check_secrets(&self, address: &Address) -> Result<()> {
        for (secret, format) in [
            (&self.tls_psk, &TLS_PSK),
            (&self.dhchap_key, &DHCHAP_KEY),
            (&self.dhchap_controller_key, &DHCHAP_KEY),
        ] {
            secret.as_ref().map_or(Ok(()), |secret| secret.check(format))?;
        }
        let (tls, authentication) = (self.tls_psk.is_some(), self.dhchap_key.is_some());
        if self.dhchap_controller_key.is_some() && !authentication {
            return Err(Error::InvalidArgument(
                "a controller authenticates itself only to a host that does so, too: give dhchap_key as well"
                    .to_owned(),
            ));
        }
        if !tls && !authentication {
            return Ok(());
        }
        if let Address::Pcie(function) = address {
            return Err(Error::Unsupported(format!(
                "TLS and DH-HMAC-CHAP are of NVMe/TCP; {function} is a PCI function: leave them out"
            )));
        }
        if self.hostnqn.is_none() {
            return Err(Error::InvalidArgument(
                "a target finds a host's key by the host's name: give hostnqn, as the target knows it"
                    .to_owned(),
            ));
        }
        for (wanted, feature) in [(tls, Feature::TlsPsk), (authentication, Feature::DhChap)] {
            if wanted {
                feature.require()?;
            }
        }
        Ok(())
    }

    /// Before a connection is opened: SPDK takes this setting when it makes a socket.
    pub(crate) fn set_up_sockets(&self) -> Result<()> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let Some(on) = self.zero_copy_send else { return Ok(()) };
        if on {
            Feature::ZeroCopySend.require()?;
        }
        let _guard = ONE_AT_A_TIME.lock();
        // SAFETY: writes nothing if it is so already, and one flag otherwise; writers take turns.
        match unsafe { spdk_sys::shim_zero_copy_set(on) } {
            0 => Ok(()),
            rc => Err(Error::Unsupported(format!(
                "SPDK cannot be told whether to send without copying (it returned {rc}): leave zero_copy_send out"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PSK: &str = "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:";
    const KEY: &str = "DHHC-1:01:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    #[track_caller]
    fn refused(options: &ConnectOptions, address: &str, word: &str) {
        let error = options.check_secrets(&address.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn secrets_that_do_not_go_together() {
        let options = ConnectOptions::new;
        assert!(options().check_secrets(&"0000:01:00.0".parse().unwrap()).is_ok());
        refused(&options().tls_psk("secret"), "10.0.0.1", "TLS pre-shared key");
        refused(&options().dhchap_key(PSK), "10.0.0.1", "DH-HMAC-CHAP key");
        refused(&options().dhchap_controller_key(KEY), "10.0.0.1", "give dhchap_key as well");
        refused(&options().tls_psk(PSK), "0000:01:00.0", "PCI function");
        refused(&options().tls_psk(PSK), "10.0.0.1", "give hostnqn");
        refused(&options().dhchap_key(KEY).dhchap_controller_key(KEY), "10.0.0.1", "give hostnqn");
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = ConnectOptions::new().tls_psk(PSK).dhchap_key(KEY).dhchap_controller_key(KEY);
        let shown = format!("{options:?}");
        assert!(!shown.contains("MDAx") && !shown.contains("ia6z"), "{shown}");
    }
}
