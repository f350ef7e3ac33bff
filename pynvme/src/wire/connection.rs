//! `nvme.wire.Connection`, and what comes out of it.

use std::cell::RefCell;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use nvme_spdk::Address;
use nvme_tcp::{self as wire, Data, Direction, Host, HostOptions, ICReq, Options, Received, Recording};
use parking_lot::ReentrantMutex;
use pyo3::exceptions::{PyConnectionError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::frame::Frame;
use super::pdu::{Malformed, Pdu};

/// The connection has ended. ``how``: "cleanly", "midway" through a PDU, or by a "reset".
#[pyclass(frozen, get_all, module = "nvme.wire")]
pub(crate) struct Closed {
    /// How.
    how: &'static str,
}

#[pymethods]
impl Closed {
    fn __repr__(&self) -> String {
        format!("<closed {}>", self.how)
    }
}

/// What came of a command.
#[pyclass(frozen, get_all, module = "nvme.wire")]
pub(crate) struct Outcome {
    /// Status Code Type.
    sct: u8,
    /// Status Code.
    sc: u8,
    /// Dwords 0 and 1 of the completion.
    result: u64,
    /// Submission Queue Head Pointer; None if no response capsule came.
    sqhd: Option<u16>,
    /// What it read.
    data: Py<PyBytes>,
    /// The R2T PDUs with which the controller asked for what it wrote.
    r2ts: Vec<Py<Pdu>>,
    /// Whether the SUCCESS flag of C2HData took the place of a response capsule.
    success_flag: bool,
}

#[pymethods]
impl Outcome {
    /// The status as "00/02", status code type first.
    #[getter]
    fn status(&self) -> String {
        format!("{:02x}/{:02x}", self.sct, self.sc)
    }

    fn __repr__(&self) -> String {
        format!("<outcome {}>", self.status())
    }
}

impl Outcome {
    fn new(py: Python<'_>, outcome: &wire::Outcome) -> PyResult<Self> {
        let r2ts = outcome.r2ts.iter().map(|r2t| Py::new(py, Pdu::from(wire::Pdu::R2T(*r2t))));
        Ok(Outcome {
            sct: outcome.completion.sct(),
            sc: outcome.completion.sc(),
            result: outcome.completion.result(),
            sqhd: (!outcome.success_flag).then(|| outcome.completion.sqhd()),
            data: PyBytes::new(py, &outcome.data).unbind(),
            r2ts: r2ts.collect::<PyResult<_>>()?,
            success_flag: outcome.success_flag,
        })
    }
}

enum State {
    Open(Box<Host>),
    Ended(Option<Recording>),
}

/// A TCP connection to an NVMe/TCP target: one queue, with every step in your hands.
///
/// Nothing is sent by itself. initialise(), connect(), enable() hold the usual conversation; send() and receive()
/// do anything else. Every byte is recorded, see write_capture().
///
/// Parameters
/// ----------
/// address : str
///     Host and port, as "192.168.1.7:4420" or "[2001:db8::1]:4420".
/// subnqn, hostnqn : str
///     For connect().
/// hpda, dgst, maxr2t : int
///     What initialise() asks for: dgst 1 for header digests, 2 for data digests, 3 for both.
/// kato : int
///     Keep Alive Timeout in milliseconds.
/// timeout : float
///     Seconds; the bound of every wait.
/// send_buffer : int, optional
///     SO_SNDBUF.
///
/// Raises
/// ------
/// ConnectionError
///     When nothing accepts the connection.
/// TimeoutError
///     When it takes too long.
#[pyclass(frozen, module = "nvme.wire")]
pub(crate) struct Connection {
    /// One call at a time; a signal handler of Python's may make another one within a call that waits.
    state: ReentrantMutex<RefCell<State>>,
    timeout: Duration,
}

fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map(|duration| duration.min(Duration::from_secs(86_400)))
        .map_err(|e| PyValueError::new_err(format!("{value} is no timeout in seconds: {e}")))
}

impl Connection {
    /// Without the GIL, which somebody may hold who waits for this lock.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Host) -> wire::Result<T> + Send,
    ) -> PyResult<T> {
        let done = self.locked(py, |state| match state {
            State::Open(host) => Some(act(host)),
            State::Ended(_) => None,
        });
        let ended = || PyConnectionError::new_err("this side closed the connection; make another one");
        done?.ok_or_else(ended)?.map_err(super::error)
    }

    fn recorded(&self, py: Python<'_>) -> PyResult<Option<Recording>> {
        self.locked(py, |state| match state {
            State::Open(host) => host.connection.recording().cloned(),
            State::Ended(recording) => recording.clone(),
        })
    }

    fn bytes<'py>(&self, py: Python<'py>, direction: Direction) -> PyResult<Bound<'py, PyBytes>> {
        let recording = self.recorded(py)?;
        Ok(PyBytes::new(py, &recording.map(|recording| recording.bytes(direction)).unwrap_or_default()))
    }

    fn locked<T: Send>(&self, py: Python<'_>, act: impl FnOnce(&mut State) -> T + Send) -> PyResult<T> {
        let done = py.detach(|| {
            let state = self.state.lock();
            state.try_borrow_mut().ok().map(|mut state| act(&mut state))
        });
        done.ok_or_else(|| {
            PyRuntimeError::new_err(
                "a signal handler came in the middle of a call of this connection, which it cannot use before that \
                 has ended; let the handler set a flag, or raise",
            )
        })
    }

    fn end(
        &self,
        py: Python<'_>,
        how: impl FnOnce(wire::Connection) -> wire::Result<Option<Recording>> + Send,
    ) -> PyResult<()> {
        let done = self.locked(py, |state| match std::mem::replace(state, State::Ended(None)) {
            State::Open(host) => how(host.connection).map(|recording| *state = State::Ended(recording)),
            ended => {
                *state = ended;
                Ok(())
            }
        });
        done?.map_err(super::error)
    }
}

fn to_python(py: Python<'_>, received: Received) -> PyResult<Option<Py<PyAny>>> {
    Ok(match received {
        Received::Pdu { pdu, .. } => Some(Py::new(py, Pdu::from(pdu))?.into_any()),
        Received::Malformed { error, bytes } => {
            Some(Py::new(py, Malformed::new(py, &error, &bytes))?.into_any())
        }
        Received::Closed(how) => {
            let how = match how {
                wire::Closed::Cleanly => "cleanly",
                wire::Closed::Midway => "midway",
                wire::Closed::Reset => "reset",
            };
            Some(Py::new(py, Closed { how })?.into_any())
        }
        Received::Timeout => None,
    })
}

fn command(sqe: &[u8]) -> PyResult<wire::Command> {
    let bytes = <[u8; 64]>::try_from(sqe)
        .map_err(|_| PyValueError::new_err(format!("a command has 64 bytes, not {}", sqe.len())))?;
    Ok(bytes.into())
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(
        signature = (
            address, subnqn="", hostnqn=None, *, hpda=0, dgst=0, maxr2t=0, kato=0, timeout=5.0, send_buffer=None
        )
    )]
    #[allow(clippy::too_many_arguments, reason = "all but the first are named")]
    fn new(
        py: Python<'_>,
        address: &str,
        subnqn: &str,
        hostnqn: Option<String>,
        hpda: u8,
        dgst: u8,
        maxr2t: u32,
        kato: u32,
        timeout: f64,
        send_buffer: Option<usize>,
    ) -> PyResult<Self> {
        let parsed: Result<Address, _> = address.parse();
        let Ok(Address::Tcp { host, port }) = parsed else {
            return Err(PyValueError::new_err(format!("{address:?} is no host[:port]")));
        };
        let timeout = seconds(timeout)?;
        let mut said = HostOptions::new(subnqn);
        said.hostnqn = hostnqn.unwrap_or(said.hostnqn);
        said.keep_alive = Duration::from_millis(kato.into());
        said.icreq = ICReq { pfv: 0, hpda, dgst, maxr2t };
        said.timeout = timeout;
        let options = Options {
            connect_timeout: timeout,
            send_timeout: timeout,
            send_buffer,
            check: Some(crate::errors::interrupted),
            ..Options::default()
        };
        let connection = py.detach(|| wire::Connection::open(&host, port, options)).map_err(super::error)?;
        let state = State::Open(Box::new(Host::new(connection, said)));
        Ok(Connection { state: ReentrantMutex::new(RefCell::new(state)), timeout })
    }

    /// Sends bytes, a Frame, or a Pdu (laid out as agreed with the target).
    ///
    /// Raises
    /// ------
    /// ConnectionError
    ///     When the target has closed the connection.
    /// TimeoutError
    ///     When it does not read.
    fn send(&self, py: Python<'_>, what: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(pdu) = what.cast::<Pdu>() {
            let pdu = pdu.get().inner.clone();
            return self.with(py, |host| host.connection.send(&pdu));
        }
        // In place: gigabytes take seconds to copy.
        if let Ok(bytes) = what.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            return self.with(py, |host| host.connection.send_bytes(bytes));
        }
        let bytes = match what.cast::<Frame>() {
            Ok(frame) => frame.borrow().inner.to_bytes(),
            Err(_) => what
                .extract::<Vec<u8>>()
                .map_err(|_| PyTypeError::new_err("only bytes, Frame and Pdu can be sent"))?,
        };
        self.with(py, |host| host.connection.send_bytes(&bytes))
    }

    /// Sends bytes in pieces, each a segment of its own, with a pause of some seconds after each.
    #[pyo3(signature = (data, piece=1, pause=0.0))]
    fn send_in_pieces(&self, py: Python<'_>, data: Vec<u8>, piece: usize, pause: f64) -> PyResult<()> {
        let pause = seconds(pause)?;
        self.with(py, |host| host.connection.send_in_pieces(&data, piece, pause))
    }

    /// Waits for the next PDU.
    ///
    /// Returns
    /// -------
    /// Pdu, Malformed, Closed or None
    ///     None if nothing came in time.
    #[pyo3(signature = (timeout=None))]
    fn receive(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let timeout = timeout.map_or(Ok(self.timeout), seconds)?;
        to_python(py, self.with(py, |host| host.connection.receive(timeout))?)
    }

    /// Collects what comes until the target ends the connection: the last item is Closed then. It is None if it has
    /// not done so in time, or has sent 65536 PDUs or 64 MiB more.
    #[pyo3(signature = (timeout=None))]
    fn receive_until_closed(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<Option<Py<PyAny>>>> {
        let timeout = timeout.map_or(Ok(self.timeout), seconds)?;
        let all = self.with(py, |host| host.connection.receive_until_closed(timeout))?;
        all.into_iter().map(|received| to_python(py, received)).collect()
    }

    /// Lays a PDU out as agreed with the target.
    fn frame(&self, py: Python<'_>, pdu: &Bound<'_, Pdu>) -> PyResult<Frame> {
        let pdu = pdu.get();
        self.with(py, |host| Ok(Frame { inner: pdu.inner.frame(&host.connection.layout()) }))
    }

    /// Exchanges ICReq and ICResp; returns the latter.
    fn initialise(&self, py: Python<'_>) -> PyResult<Pdu> {
        let response = self.with(py, Host::initialise)?;
        Ok(wire::Pdu::ICResp(response).into())
    }

    /// From here on speaks as an ICReq and an ICResp agree.
    fn agree(&self, py: Python<'_>, icreq: &Bound<'_, Pdu>, icresp: &Bound<'_, Pdu>) -> PyResult<()> {
        let (wire::Pdu::ICReq(request), wire::Pdu::ICResp(response)) =
            (icreq.get().inner.clone(), icresp.get().inner.clone())
        else {
            return Err(PyTypeError::new_err("an ICReq and an ICResp are needed, in this order"));
        };
        self.with(py, |host| {
            host.agree(&request, &response);
            Ok(())
        })
    }

    /// The Connect capsule of a queue.
    #[pyo3(signature = (cid=0, qid=0, entries=32, cntlid=None))]
    fn connect_pdu(
        &self,
        py: Python<'_>,
        cid: u16,
        qid: u16,
        entries: u32,
        cntlid: Option<u16>,
    ) -> PyResult<Pdu> {
        self.with(py, |host| Ok(host.connect_pdu(cid, qid, entries, cntlid).into()))
    }

    /// Connects the queue; returns the identifier of the controller, which its I/O queues have to give.
    ///
    /// Raises
    /// ------
    /// ProtocolError
    ///     With the status, if the target refuses.
    #[pyo3(signature = (cid=0, qid=0, entries=32, cntlid=None))]
    fn connect(
        &self,
        py: Python<'_>,
        cid: u16,
        qid: u16,
        entries: u32,
        cntlid: Option<u16>,
    ) -> PyResult<u16> {
        self.with(py, |host| host.connect(cid, qid, entries, cntlid))
    }

    /// Reads a property of the controller.
    #[pyo3(signature = (offset, eight_bytes=false, cid=0))]
    fn property_get(&self, py: Python<'_>, offset: u32, eight_bytes: bool, cid: u16) -> PyResult<u64> {
        self.with(py, |host| host.property_get(cid, offset, eight_bytes))
    }

    /// Writes a property of the controller.
    #[pyo3(signature = (offset, value, cid=0))]
    fn property_set(&self, py: Python<'_>, offset: u32, value: u32, cid: u16) -> PyResult<()> {
        self.with(py, |host| host.property_set(cid, offset, value))
    }

    /// Enables the controller and waits until it is ready; CAP.TO may be longer than the timeout.
    #[pyo3(signature = (cid=0))]
    fn enable(&self, py: Python<'_>, cid: u16) -> PyResult<()> {
        self.with(py, |host| host.enable(cid))
    }

    /// Identify data, 4096 bytes.
    #[pyo3(signature = (cns, nsid=0, cid=0))]
    fn identify<'py>(&self, py: Python<'py>, cns: u8, nsid: u32, cid: u16) -> PyResult<Bound<'py, PyBytes>> {
        let data = self.with(py, |host| host.identify(cid, cns, nsid))?;
        Ok(PyBytes::new(py, &data))
    }

    /// Sends a command and waits for its completion, answering R2Ts on the way.
    ///
    /// Parameters
    /// ----------
    /// sqe : bytes
    ///     See Command. Its data pointer is set to fit the data, if there is any.
    /// in_capsule, on_request : bytes, optional
    ///     Data that goes to the controller, in the capsule or when it asks.
    #[pyo3(signature = (sqe, in_capsule=None, on_request=None))]
    fn execute(
        &self,
        py: Python<'_>,
        sqe: Vec<u8>,
        in_capsule: Option<Vec<u8>>,
        on_request: Option<Vec<u8>>,
    ) -> PyResult<Outcome> {
        let command = command(&sqe)?;
        let data = match (&in_capsule, &on_request) {
            (Some(bytes), None) => Data::InCapsule(bytes),
            (None, Some(bytes)) => Data::OnRequest(bytes),
            (None, None) => Data::None,
            _ => return Err(PyValueError::new_err("data goes in the capsule or on request, not both")),
        };
        Outcome::new(py, &self.with(py, |host| host.execute(command, data))?)
    }

    /// Waits for the completion of a command that was sent, answering its R2Ts from ``data``.
    #[pyo3(signature = (cid, data=Vec::new()), text_signature = "($self, cid, data=b'')")]
    fn wait(&self, py: Python<'_>, cid: u16, data: Vec<u8>) -> PyResult<Outcome> {
        Outcome::new(py, &self.with(py, |host| host.wait(cid, &data))?)
    }

    /// The H2CData PDUs that answer an R2T with these bytes, none longer than MAXH2CDATA.
    fn data_pdus(&self, py: Python<'_>, r2t: &Bound<'_, Pdu>, data: Vec<u8>) -> PyResult<Vec<Pdu>> {
        let wire::Pdu::R2T(r2t) = r2t.get().inner.clone() else {
            return Err(PyTypeError::new_err("an R2T is needed"));
        };
        let pdus = self.with(py, |host| Ok(host.data_pdus(&r2t, &data)))?;
        Ok(pdus.into_iter().map(Pdu::from).collect())
    }

    /// Ends what this side sends (FIN); receiving goes on.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |host| host.connection.finish())
    }

    /// Closes the connection (FIN); closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, |connection| Ok(connection.close()))
    }

    /// Ends the connection at once (RST).
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, wire::Connection::reset)
    }

    /// All bytes this side sent so far.
    #[getter]
    fn sent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, Direction::Sent)
    }

    /// All bytes the target sent so far, as far as they were received.
    #[getter]
    fn received<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, Direction::Received)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }
}

/// Writes what went over some connections as pcapng, for Wireshark.
///
/// Parameters
/// ----------
/// path : str or os.PathLike
/// connections : list of Connection
///     Open or closed.
#[pyfunction]
pub(crate) fn write_capture(py: Python<'_>, path: PathBuf, connections: Vec<Py<Connection>>) -> PyResult<()> {
    let recorded = connections.iter().filter_map(|connection| connection.get().recorded(py).transpose());
    let recordings = recorded.collect::<PyResult<Vec<_>>>()?;
    let written = py.detach(|| {
        let mut file = BufWriter::new(File::create(&path)?);
        wire::capture::write(&mut file, &recordings.iter().collect::<Vec<_>>())
    });
    written.map_err(|e| PyOSError::new_err(format!("cannot write {}: {e}", path.display())))
}
