//! The commands of the Zoned Namespace command set.

use nvme_spdk::Command;
use pyo3::prelude::*;

use super::Namespace;
use super::commands::no_buffer;
use crate::buffer::Buffer;
use crate::convert::{Flag, Int, OptionalInt, ensure};
use crate::qpair::Qpair;

const ZONE_MANAGEMENT_SEND: u8 = 0x79;
const ZONE_MANAGEMENT_RECEIVE: u8 = 0x7a;

#[pymethods]
impl Namespace {
    /// Reports zones (Zoned Namespace Command Set Specification, Zone Management Receive command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     Where the report goes.
    /// slba : int
    ///     The first block of the first zone to report.
    /// dwords : int, optional
    ///     Dwords to read; the whole buffer if left out.
    /// extended : bool
    ///     Report Zones with its extended data structure, or without.
    /// state : int
    ///     Zone state to report; 0 for all.
    /// partial : bool
    ///     Count only the zones that the buffer has room for.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (
            qpair, buf, slba=Int(0), dwords=None, extended=Flag(true), state=Int(0), partial=Flag(true), cb=None
        ),
        text_signature = "($self, qpair, buf, slba=0, dwords=None, extended=True, state=0, partial=True, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn zns_mgmt_receive<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        slba: Int<u64>,
        dwords: OptionalInt<u32>,
        extended: Flag,
        state: Int<u8>,
        partial: Flag,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let Some(buf) = buf else { return Err(no_buffer("no buffer allocated")) };
        let dwords = dwords.map_or((buf.get().memory().len() / 4) as u32, |dwords| dwords.0);
        ensure(dwords > 0, "cannot read empty data")?;
        let command = zone_command(ZONE_MANAGEMENT_RECEIVE, self.nsid(), slba.0)
            .cdw12(dwords - 1)
            .cdw13(u32::from(partial.0) << 16 | u32::from(state.0) << 8 | u32::from(extended.0));
        self.submit(qpair, &command, buf.get().raw_data().map(Some), cb)
    }

    /// Changes the state of zones (Zoned Namespace Command Set Specification, Zone Management Send command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer or None
    ///     Data, where the action has some.
    /// slba : int
    ///     The first block of the zone.
    /// action : int
    ///     1 close, 2 finish, 3 open, 4 reset, 5 offline, 0x10 set zone descriptor extension.
    /// all : bool
    ///     All zones instead of one.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, buf, slba=Int(0), action=Int(0), all=Flag(false), cb=None),
        text_signature = "($self, qpair, buf, slba=0, action=0, all=False, cb=None)"
    )]
    fn zns_mgmt_send<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        slba: Int<u64>,
        action: Int<u8>,
        all: Flag,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = zone_command(ZONE_MANAGEMENT_SEND, self.nsid(), slba.0)
            .cdw13(u32::from(all.0) << 8 | u32::from(action.0));
        let data = buf.map(|buf| buf.get().raw_data()).transpose();
        self.submit(qpair, &command, data, cb)
    }
}

fn zone_command(opcode: u8, nsid: u32, slba: u64) -> Command {
    Command::io(opcode, nsid).cdw10(slba as u32).cdw11((slba >> 32) as u32)
}
