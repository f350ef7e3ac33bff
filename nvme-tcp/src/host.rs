//! A minimal host: well-formed conversations, step by step, to build misbehaviour upon.

use std::time::{Duration, Instant};

use crate::command::{Command, ConnectData, Sgl};
use crate::completion::Completion;
use crate::error::{Error, Result};
use crate::pdu::{CapsuleCmd, DataPdu, ICReq, ICResp, Layout, Pdu, R2T};
use crate::stream::{Connection, Received, after};

/// What a host says about itself, and to whom.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The subsystem to connect to.
    pub subnqn: String,
    /// Its own name.
    pub hostnqn: String,
    /// Its own identifier.
    pub hostid: [u8; 16],
    /// Keep Alive Timeout of the admin queue; zero for none.
    pub keep_alive: Duration,
    /// What [`Host::initialise`] asks for.
    pub icreq: ICReq,
    /// For each answer of the target; all that a command transfers is one.
    pub timeout: Duration,
}

impl HostOptions {
    /// For a subsystem: no digests, no alignment, one R2T at a time.
    pub fn new(subnqn: impl Into<String>) -> Self {
        HostOptions {
            subnqn: subnqn.into(),
            hostnqn: "nqn.2026-01.org.nvme-spdk:wire".to_owned(),
            hostid: *b"nvme-tcp on wire",
            keep_alive: Duration::ZERO,
            icreq: ICReq::default(),
            timeout: Duration::from_secs(5),
        }
    }
}

/// The data of a command that goes to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// Nothing goes there.
    None,
    /// In the capsule.
    InCapsule(&'a [u8]),
    /// When the controller asks, by R2T.
    OnRequest(&'a [u8]),
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its completion.
    pub completion: Completion,
    /// What it read.
    pub data: Vec<u8>,
    /// How the controller asked for what it wrote.
    pub r2ts: Vec<R2T>,
    /// Whether the SUCCESS flag of the last C2HData PDU took the place of a response capsule.
    pub success_flag: bool,
}

/// A connection that speaks: one queue of a controller.
#[derive(Debug)]
pub struct Host {
    /// For everything that is not well-formed.
    pub connection: Connection,
    options: HostOptions,
    icresp: ICResp,
}

/// CNTLID for any controller (dynamic controller model).
const ANY: u16 = 0xFFFF;
/// Controller Capabilities; its TO counts half seconds.
const CAP: u32 = 0x00;
const HALF_SECOND: Duration = Duration::from_millis(500);
/// Controller Configuration: 64-byte submission and 16-byte completion entries, enabled.
const CC: u32 = 0x14;
const CC_ENABLE: u32 = 0x0046_0001;
const CSTS: u32 = 0x1C;
/// More than any transfer this host asks for; an R2T beyond is a violation.
const LONGEST: usize = 64 << 20;

impl Host {
    /// On a fresh connection; nothing is sent.
    pub fn new(connection: Connection, options: HostOptions) -> Self {
        Host { connection, options, icresp: ICResp::default() }
    }

    /// What the controller answered to ICReq; defaults until then.
    pub fn icresp(&self) -> ICResp {
        self.icresp
    }

    /// Exchanges ICReq and ICResp ("Transport Specific Initialization").
    ///
    /// # Errors
    /// As [`Connection::send`], and if anything but an ICResp comes.
    pub fn initialise(&mut self) -> Result<ICResp> {
        let request = self.options.icreq;
        self.connection.send(&Pdu::ICReq(request))?;
        match self.next("an ICResp", after(self.options.timeout))? {
            Pdu::ICResp(response) => {
                self.agree(&request, &response);
                Ok(response)
            }
            other => Err(unexpected(&other, "an ICResp")),
        }
    }

    /// From here on speaks as `request` and `response` agree.
    pub fn agree(&mut self, request: &ICReq, response: &ICResp) {
        let [header_digest, data_digest] = [response.dgst & 1 != 0, response.dgst & 2 != 0];
        let layout = |alignment| Layout { header_digest, data_digest, alignment };
        self.connection.set_layouts(layout(response.cpda), layout(request.hpda));
        self.icresp = *response;
    }

    /// The Connect capsule of a queue, `entries` deep; `cntlid` is `None` for an admin queue. SQSIZE, one less
    /// than `entries`, has 16 bits: more than 65536 entries cannot be said.
    pub fn connect_pdu(&self, cid: u16, qid: u16, entries: u32, cntlid: Option<u16>) -> Pdu {
        let kato = if qid == 0 { self.options.keep_alive.as_millis() } else { 0 };
        let kato = u32::try_from(kato).unwrap_or(u32::MAX);
        let command = Command::connect(cid, qid, entries.wrapping_sub(1) as u16, kato);
        let data = ConnectData {
            hostid: self.options.hostid,
            cntlid: cntlid.unwrap_or(ANY),
            subnqn: self.options.subnqn.clone(),
            hostnqn: self.options.hostnqn.clone(),
        };
        Pdu::CapsuleCmd(CapsuleCmd { sqe: command.bytes(), data: data.to_bytes() })
    }

    /// A Keep Alive capsule.
    pub fn keep_alive_pdu(&self, cid: u16) -> Pdu {
        Pdu::CapsuleCmd(CapsuleCmd { sqe: Command::keep_alive(cid).bytes(), data: Vec::new() })
    }

    /// Connects the queue; returns the controller's identifier (CNTLID).
    ///
    /// # Errors
    /// [`Error::Status`] if the target refuses, and as [`wait`](Self::wait).
    pub fn connect(&mut self, cid: u16, qid: u16, entries: u32, cntlid: Option<u16>) -> Result<u16> {
        let pdu = self.connect_pdu(cid, qid, entries, cntlid);
        self.connection.send(&pdu)?;
        let outcome = self.wait(cid, &[])?;
        let completion = succeeded(outcome.completion, || format!("Connect of queue {qid}"))?;
        Ok(completion.result() as u16)
    }

    /// Reads a property of the controller.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn property_get(&mut self, cid: u16, offset: u32, eight_bytes: bool) -> Result<u64> {
        let outcome = self.execute(Command::property_get(cid, offset, eight_bytes), Data::None)?;
        let completion = succeeded(outcome.completion, || format!("Property Get of {offset:#x}"))?;
        Ok(completion.result())
    }

    /// Writes a property of the controller.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn property_set(&mut self, cid: u16, offset: u32, value: u32) -> Result<()> {
        let outcome = self.execute(Command::property_set(cid, offset, value), Data::None)?;
        succeeded(outcome.completion, || format!("Property Set of {offset:#x}")).map(drop)
    }

    /// Enables the controller and waits until it is ready: as long as CAP.TO allows, if that is longer than the
    /// timeout of this host.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it does not become ready; as [`connect`](Self::connect).
    pub fn enable(&mut self, cid: u16) -> Result<()> {
        let allowed = HALF_SECOND * (self.property_get(cid, CAP, true)? >> 24 & 0xFF) as u32;
        let timeout = self.options.timeout.max(allowed);
        self.property_set(cid, CC, CC_ENABLE)?;
        let end = after(timeout);
        while self.property_get(cid, CSTS, false)? & 1 == 0 {
            if Instant::now() > end {
                let what = "enabling the controller (CSTS.RDY)".to_owned();
                return Err(Error::Timeout { what, timeout });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Identify: 4096 bytes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn identify(&mut self, cid: u16, cns: u8, nsid: u32) -> Result<Vec<u8>> {
        let outcome = self.execute(Command::identify(cid, cns, nsid), Data::None)?;
        succeeded(outcome.completion, || format!("Identify, CNS {cns:#x}"))?;
        Ok(outcome.data)
    }

    /// Sends a command and waits for its completion, answering R2Ts on the way. The data pointer is set to fit
    /// the data, if there is any; else it stays as it is.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn execute(&mut self, command: Command, data: Data<'_>) -> Result<Outcome> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (command, inside, later): (_, &[u8], &[u8]) = match data {
            Data::None => (command, &[], &[]),
            Data::InCapsule(bytes) => {
                (command.sgl(Sgl::InCapsule { offset: 0, length: length(bytes) }), bytes, &[])
            }
            Data::OnRequest(bytes) => (command.sgl(Sgl::Transport { length: length(bytes) }), &[], bytes),
        };
        let capsule = CapsuleCmd { sqe: command.bytes(), data: inside.to_vec() };
        self.connection.send(&Pdu::CapsuleCmd(capsule))?;
        self.wait(command.cid(), later)
    }

    /// Waits for the completion of a command that was sent, answering its R2Ts with parts of `data` and collecting
    /// what it reads.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Terminated`], [`Error::Malformed`], [`Error::Timeout`], and [`Error::Unexpected`] for PDUs of other
    /// commands, R2Ts beyond the data, or data with gaps.
    pub fn wait(&mut self, cid: u16, data: &[u8]) -> Result<Outcome> {
        let expected = "the completion of the command";
        let end = after(self.options.timeout);
        let (mut read, mut r2ts) = (Vec::new(), Vec::new());
        loop {
            match self.next(expected, end)? {
                Pdu::CapsuleResp(response) if Completion::from(response.cqe).cid() == cid => {
                    let completion = response.cqe.into();
                    return Ok(Outcome { completion, data: read, r2ts, success_flag: false });
                }
                Pdu::C2HData(pdu) if pdu.cccid == cid && fits(&pdu, read.len()) => {
                    read.extend(&pdu.data);
                    if pdu.success {
                        let completion = Completion::success(cid);
                        return Ok(Outcome { completion, data: read, r2ts, success_flag: true });
                    }
                }
                Pdu::R2T(r2t) if r2t.cccid == cid => {
                    let Some(part) = asked_for(&r2t, data) else {
                        return Err(unexpected(&Pdu::R2T(r2t), "an R2T within the data of the command"));
                    };
                    for pdu in pieces(self.icresp.maxh2cdata, r2t, part) {
                        // Each is taken in time; all of them may take for ever.
                        if end.saturating_duration_since(Instant::now()).is_zero() {
                            return Err(self.timed_out("sending what an R2T asks for"));
                        }
                        self.connection.send(&pdu)?;
                    }
                    r2ts.push(r2t);
                }
                other => return Err(unexpected(&other, expected)),
            }
        }
    }

    /// The H2CData PDUs that answer an R2T with these bytes, none longer than MAXH2CDATA.
    pub fn data_pdus(&self, r2t: &R2T, bytes: &[u8]) -> Vec<Pdu> {
        pieces(self.icresp.maxh2cdata, *r2t, bytes).collect()
    }

    fn timed_out(&self, what: &str) -> Error {
        Error::Timeout { what: what.to_owned(), timeout: self.options.timeout }
    }

    fn next(&mut self, expected: &str, end: Instant) -> Result<Pdu> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // However much there is that is not the answer.
            return Err(self.timed_out(&format!("waiting for {expected}")));
        }
        match self.connection.receive(left)? {
            Received::Pdu { pdu: Pdu::C2HTermReq(term), .. } => {
                let expected = expected.to_owned();
                Err(Error::Terminated { fes: term.fes, fei: term.fei, expected })
            }
            Received::Pdu { pdu, .. } => Ok(pdu),
            Received::Malformed { error, .. } => Err(error.into()),
            Received::Closed(how) => {
                Err(Error::Closed { how: format!("{how:?}"), expected: expected.to_owned() })
            }
            Received::Timeout => Err(self.timed_out(&format!("waiting for {expected}"))),
        }
    }
}

/// The H2CData PDUs with these bytes, none longer than `maxh2cdata`.
fn pieces(maxh2cdata: u32, r2t: R2T, bytes: &[u8]) -> impl Iterator<Item = Pdu> {
    let most = match maxh2cdata as usize {
        0 => LONGEST,
        most => most,
    };
    let count = bytes.len().div_ceil(most);
    bytes.chunks(most).enumerate().map(move |(index, piece)| {
        Pdu::H2CData(DataPdu {
            cccid: r2t.cccid,
            ttag: r2t.ttag,
            datao: r2t.r2to.wrapping_add(u32::try_from(index * most).unwrap_or(u32::MAX)),
            data: piece.to_vec(),
            last: index + 1 == count,
            success: false,
        })
    })
}

/// Data comes in order ("Controller to Host Command Data Buffer Transfers").
fn fits(pdu: &DataPdu, received: usize) -> bool {
    pdu.datao as usize == received && received + pdu.data.len() <= LONGEST
}

fn asked_for<'a>(r2t: &R2T, data: &'a [u8]) -> Option<&'a [u8]> {
    let begin = r2t.r2to as usize;
    let part = data.get(begin..begin.checked_add(r2t.r2tl as usize)?)?;
    (!part.is_empty()).then_some(part)
}

fn succeeded(completion: Completion, what: impl FnOnce() -> String) -> Result<Completion> {
    if completion.is_success() { Ok(completion) } else { Err(Error::Status { what: what(), completion }) }
}

fn unexpected(pdu: &Pdu, expected: &str) -> Error {
    Error::Unexpected { received: pdu.to_string(), expected: expected.to_owned() }
}
