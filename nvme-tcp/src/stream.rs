//! A connection: bytes and PDUs in both directions, with a bound on every wait.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::error::{Error, Result};
use crate::pdu::{CommonHeader, Frame, Layout, ParseError, Pdu};
use crate::record::{Direction, Recording, What};

/// How a connection is made and used.
#[derive(Debug, Clone)]
pub struct Options {
    /// For making the connection, name resolution included.
    pub connect_timeout: Duration,
    /// For sending: a peer that does not read stops it.
    pub send_timeout: Duration,
    /// Keep a [`Recording`].
    pub record: bool,
    /// SO_SNDBUF, to see a peer that does not read sooner.
    pub send_buffer: Option<usize>,
    /// Asked about ten times a second during waits; `true` ends them with [`Error::Interrupted`].
    pub check: Option<fn() -> bool>,
    /// A PDU that claims more bytes than this is malformed, and not waited for.
    pub longest_pdu: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            record: true,
            send_buffer: None,
            check: None,
            longest_pdu: 16 << 20,
        }
    }
}

/// How the peer ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// With a FIN, after whole PDUs.
    Cleanly,
    /// With a FIN, in the middle of a PDU.
    Midway,
    /// With a RST.
    Reset,
}

/// What comes of waiting for a PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A PDU.
    Pdu {
        /// It.
        pdu: Pdu,
        /// As it came.
        bytes: Vec<u8>,
    },
    /// Bytes that are none. Where the next one begins is a guess.
    Malformed {
        /// Why.
        error: ParseError,
        /// What came.
        bytes: Vec<u8>,
    },
    /// Nothing any more.
    Closed(Closed),
    /// Nothing yet; what has come of a PDU is kept for the next call.
    Timeout,
}

impl Received {
    fn size(&self) -> usize {
        match self {
            Received::Pdu { bytes, .. } | Received::Malformed { bytes, .. } => bytes.len(),
            Received::Closed(_) | Received::Timeout => 0,
        }
    }
}

/// A TCP connection to a target.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    options: Options,
    sending: Layout,
    receiving: Layout,
    /// Received and not yet handed out.
    inbox: Vec<u8>,
    closed: Option<Closed>,
    recording: Option<Recording>,
    /// When [`Options::check`] was asked.
    looked: Instant,
}

/// How long a wait goes without looking at [`Options::check`].
const SLICE: Duration = Duration::from_millis(100);
/// How long what has come already may take to be read when the time is over.
const GRACE: Duration = Duration::from_millis(100);
/// What is collected at most from a peer that never ends: PDUs and bytes.
const MOST: (usize, usize) = (1 << 16, 64 << 20);
/// What a call takes from the socket at most.
const CHUNK: usize = 64 << 10;

impl Connection {
    /// Connects to an IPv4 or IPv6 address or the name of a host, of which all addresses are tried.
    ///
    /// # Errors
    /// [`Error::Resolve`], [`Error::Connect`], [`Error::Timeout`], [`Error::Interrupted`].
    pub fn open(host: &str, port: u16, options: Options) -> Result<Self> {
        let what = format!("connecting to {host}, port {port}");
        let (end, timeout) = (after(options.connect_timeout), options.connect_timeout);
        let (sender, receiver) = mpsc::channel();
        // getaddrinfo has no timeout: a thread that is left behind ends when the resolver gives up.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        std::thread::spawn(move || sender.send(connect(&host, port, end)));
        let stream = loop {
            match receiver.recv_timeout(SLICE.min(end.saturating_duration_since(Instant::now()))) {
                Ok(stream) => break stream?,
                Err(_) if Instant::now() >= end => return Err(Error::Timeout { what, timeout }),
                Err(_) => options.look(&what)?,
            }
        };
        Self::over(stream, options)
    }

    /// Over a connection that exists, of either side.
    ///
    /// # Errors
    /// [`Error::Io`] if the socket refuses its options.
    pub fn over(stream: TcpStream, options: Options) -> Result<Self> {
        let set_up = || -> io::Result<Recording> {
            stream.set_nodelay(true)?;
            if let Some(bytes) = options.send_buffer {
                SockRef::from(&stream).set_send_buffer_size(bytes)?;
            }
            Ok(Recording::new(stream.local_addr()?, stream.peer_addr()?))
        };
        let mut recording =
            set_up().map_err(|source| Error::Io { what: "setting up the connection".to_owned(), source })?;
        recording.add(Direction::Sent, What::Open);
        let recording = options.record.then_some(recording);
        let (sending, receiving) = (Layout::default(), Layout::default());
        let (inbox, closed, looked) = (Vec::new(), None, Instant::now());
        Ok(Connection { stream, options, sending, receiving, inbox, closed, recording, looked })
    }

    /// How PDUs are laid out that [`send`](Self::send) sends.
    pub fn layout(&self) -> Layout {
        self.sending
    }

    /// What was agreed on: from here on PDUs are sent and expected with these digests and alignments.
    pub fn set_layouts(&mut self, sending: Layout, receiving: Layout) {
        (self.sending, self.receiving) = (sending, receiving);
    }

    /// Sends a PDU as the specification wants it.
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes).
    pub fn send(&mut self, pdu: &Pdu) -> Result<()> {
        let bytes = pdu.to_bytes(&self.sending);
        self.send_bytes(&bytes)
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes).
    pub fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        self.send_bytes(&frame.to_bytes())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`Error::Send`] if the peer has closed the connection, [`Error::Timeout`] if it does not read,
    /// [`Error::Interrupted`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let (end, total) = (after(self.options.send_timeout), bytes.len());
        let mut sent = 0;
        while sent < total {
            // Not only when the peer keeps it waiting: what is taken at once may never end.
            self.look("sending")?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("sending {total} bytes (the peer took {sent})");
                return Err(Error::Timeout { what, timeout: self.options.send_timeout });
            }
            let result = self
                .stream
                .set_write_timeout(Some(left.min(SLICE)))
                .and_then(|()| self.stream.write(&bytes[sent..]));
            match result {
                Ok(count) => {
                    self.record(Direction::Sent, What::Data(bytes[sent..sent + count].to_vec()));
                    sent += count;
                }
                Err(error) if is_wait(&error) => {}
                Err(source) => return Err(Error::Send { sent, total, source }),
            }
        }
        Ok(())
    }

    /// Sends bytes in pieces of `piece`, each a segment of its own, with a pause after each.
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes).
    pub fn send_in_pieces(&mut self, bytes: &[u8], piece: usize, pause: Duration) -> Result<()> {
        for piece in bytes.chunks(piece.max(1)) {
            self.send_bytes(piece)?;
            let end = after(pause);
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(SLICE));
                self.options.look("sending in pieces")?;
            }
        }
        Ok(())
    }

    /// Waits for the next PDU, all of which has to come within the timeout.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Io`] if the network fails in a way that is no end of the connection.
    pub fn receive(&mut self, timeout: Duration) -> Result<Received> {
        let end = after(timeout);
        let last = end + GRACE;
        loop {
            if let Some(received) = self.take() {
                return Ok(received);
            }
            if let Some(closed) = self.closed {
                return Ok(Received::Closed(closed));
            }
            let now = Instant::now();
            let came = self.fill(end.saturating_duration_since(now))?;
            // What is there already is taken, but not what comes drop by drop.
            if now >= if came { last } else { end } {
                return Ok(self.take().unwrap_or(Received::Timeout));
            }
        }
    }

    /// Collects what comes until the peer ends the connection. The last item is `Closed`, or `Timeout` if it does
    /// not: within the timeout, or within 65536 PDUs or 64 MiB.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_until_closed(&mut self, timeout: Duration) -> Result<Vec<Received>> {
        let end = after(timeout);
        let last = end + GRACE;
        let (mut all, mut bytes) = (Vec::new(), 0);
        while all.len() < MOST.0 && bytes < MOST.1 && (all.is_empty() || Instant::now() < last) {
            let received = self.receive(end.saturating_duration_since(Instant::now()))?;
            bytes += received.size();
            let over = matches!(received, Received::Closed(_) | Received::Timeout);
            all.push(received);
            if over {
                return Ok(all);
            }
        }
        all.push(Received::Timeout);
        Ok(all)
    }

    /// Ends what this side sends (FIN); receiving goes on.
    ///
    /// # Errors
    /// [`Error::Io`] if the connection has ended already.
    pub fn finish(&mut self) -> Result<()> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|source| Error::Io { what: "half-closing the connection".to_owned(), source })?;
        self.record(Direction::Sent, What::Finish);
        Ok(())
    }

    /// Closes the connection (FIN, or RST if something was received and not taken).
    pub fn close(mut self) -> Option<Recording> {
        self.record(Direction::Sent, What::Finish);
        self.recording.take()
    }

    /// Ends the connection at once (RST, by SO_LINGER 0).
    ///
    /// # Errors
    /// [`Error::Io`] if the socket refuses SO_LINGER.
    pub fn reset(mut self) -> Result<Option<Recording>> {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .map_err(|source| Error::Io { what: "setting SO_LINGER".to_owned(), source })?;
        self.record(Direction::Sent, What::Reset);
        Ok(self.recording.take())
    }

    /// What went over it so far, unless [`Options::record`] is off.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// This side.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The next PDU of the inbox, if it is complete.
    fn take(&mut self) -> Option<Received> {
        let header = CommonHeader::read(*self.inbox.first_chunk()?);
        let (plen, most) = (header.plen as usize, self.options.longest_pdu);
        if plen < CommonHeader::SIZE || header.plen > most {
            // Nothing says where the next PDU begins.
            let bytes = std::mem::take(&mut self.inbox);
            let error = ParseError {
                pdu: "PDU",
                field: "PLEN",
                value: header.plen.into(),
                expected: format!("8 to {most:#x}"),
                section: "PDU Common Header",
            };
            return Some(Received::Malformed { error, bytes });
        }
        if self.inbox.len() < plen {
            return None;
        }
        let bytes: Vec<u8> = self.inbox.drain(..plen).collect();
        Some(match Pdu::parse(&bytes, &self.receiving) {
            Ok(pdu) => Received::Pdu { pdu, bytes },
            Err(error) => Received::Malformed { error, bytes },
        })
    }

    /// Reads once, for a slice of time at most; whether something came.
    fn fill(&mut self, left: Duration) -> Result<bool> {
        self.look("receiving")?;
        let mut chunk = vec![0; CHUNK];
        // A timeout of zero means none at all.
        let slice = left.clamp(Duration::from_millis(1), SLICE);
        let result = self.stream.set_read_timeout(Some(slice)).and_then(|()| self.stream.read(&mut chunk));
        match result {
            Ok(0) => {
                let midway = !self.inbox.is_empty();
                self.closed = Some(if midway { Closed::Midway } else { Closed::Cleanly });
                self.record(Direction::Received, What::Finish);
            }
            Ok(count) => {
                chunk.truncate(count);
                // It is kept, and had room for the most that could have come.
                chunk.shrink_to_fit();
                self.inbox.extend(&chunk);
                self.record(Direction::Received, What::Data(chunk));
            }
            Err(error) if is_wait(&error) => return Ok(false),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                self.closed = Some(Closed::Reset);
                self.record(Direction::Received, What::Reset);
            }
            Err(source) => return Err(Error::Io { what: "receiving".to_owned(), source }),
        }
        Ok(true)
    }

    /// Asks whether to give up, if nobody has for a while.
    fn look(&mut self, what: &str) -> Result<()> {
        if self.looked.elapsed() < SLICE {
            return Ok(());
        }
        self.looked = Instant::now();
        self.options.look(what)
    }

    fn record(&mut self, direction: Direction, what: What) {
        if let Some(recording) = &mut self.recording {
            recording.add(direction, what);
        }
    }
}

impl Options {
    fn look(&self, what: &str) -> Result<()> {
        match self.check {
            Some(check) if check() => Err(Error::Interrupted { what: what.to_owned() }),
            _ => Ok(()),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn connect(host: &str, port: u16, end: Instant) -> Result<TcpStream> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|source| Error::Resolve { host: host.to_owned(), source })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect { address: format!("{host}, port {port}"), source: last })
}

/// The moment that is so far away; a century for "never".
pub(crate) fn after(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3_000_000_000))
}
