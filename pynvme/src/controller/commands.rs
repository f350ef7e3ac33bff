//! Admin commands of every controller.

use nvme_spdk::{Command, IDENTIFY_SIZE};
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;

use super::{Controller, send};
use crate::buffer::{Buffer, field};
use crate::callback;
use crate::convert::{Int, OptionalInt, ensure};

#[pymethods]
impl Controller {
    /// Sends any admin command (NVMe Base Specification, Admin Command Set).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     Bits 15:0 of dword 0: the opcode, FUSE and PSDT.
    /// buf : Buffer, optional
    ///     Its data: ``buf.size`` bytes from ``buf.offset`` on.
    /// nsid : int
    ///     The namespace; 0 for none.
    /// cdw10, cdw11, cdw12, cdw13, cdw14, cdw15 : int
    ///     The dwords of the command.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (
            opcode, buf=None, nsid=Int(0), cdw10=Int(0), cdw11=Int(0), cdw12=Int(0), cdw13=Int(0),
            cdw14=Int(0), cdw15=Int(0), cb=None
        ),
        text_signature = "($self, opcode, buf=None, nsid=0, cdw10=0, cdw11=0, cdw12=0, cdw13=0, cdw14=0, cdw15=0, \
            cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn send_cmd<'py>(
        slf: Bound<'py, Self>,
        opcode: Int<u16>,
        buf: Option<Bound<'py, Buffer>>,
        nsid: Int<u32>,
        cdw10: Int<u32>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(opcode.0 as u8)
            .flags((opcode.0 >> 8) as u8)
            .nsid(nsid.0)
            .cdw10(cdw10.0)
            .cdw11(cdw11.0)
            .cdw12(cdw12.0)
            .cdw13(cdw13.0)
            .cdw14(cdw14.0)
            .cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Identify (NVMe Base Specification, Identify command).
    ///
    /// Parameters
    /// ----------
    /// buf : Buffer
    ///     Where the data goes, at least 4096 bytes.
    /// nsid : int
    ///     The namespace, where cns asks for one.
    /// cns : int
    ///     Controller or Namespace Structure, 8 bits: 0 a namespace, 1 the controller, 2 the active
    ///     namespaces.
    /// cntid : int
    ///     Controller identifier, 16 bits.
    /// csi : int
    ///     Command set identifier, 8 bits.
    /// nvmsetid : int
    ///     CNS specific identifier, 16 bits.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (buf, nsid=Int(0), cns=Int(1), cntid=Int(0), csi=Int(0), nvmsetid=Int(0), cb=None),
        text_signature = "($self, buf, nsid=0, cns=1, cntid=0, csi=0, nvmsetid=0, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn identify<'py>(
        slf: Bound<'py, Self>,
        buf: Bound<'py, Buffer>,
        nsid: Int<u32>,
        cns: Int<u8>,
        cntid: Int<u16>,
        csi: Int<u8>,
        nvmsetid: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        ensure(
            buf.get().memory().len() >= IDENTIFY_SIZE,
            "identify data takes 4096 bytes, the buffer has less",
        )?;
        let command = identify_command(nsid.0, cns.0, cntid.0, csi.0, nvmsetid.0);
        send(slf, &command, Some(buf), Some(IDENTIFY_SIZE), cb)
    }

    /// Sends Identify, waits for it and takes one field of the data (NVMe Base Specification, Identify
    /// command).
    ///
    /// Parameters
    /// ----------
    /// byte_end : int
    ///     The last byte of the field, as the specification names it.
    /// byte_begin : int, optional
    ///     The first; the last one if left out.
    /// type : type, optional
    ///     int, which is the default, or str.
    /// nsid, cns, cntid, csi, nvmsetid : int
    ///     As for identify().
    ///
    /// Returns
    /// -------
    /// int or str
    ///     A little-endian number, or ASCII without trailing blanks.
    ///
    /// Raises
    /// ------
    /// TimeoutError
    ///     When the controller does not answer in time.
    /// AssertionError
    ///     When called from a callback, or for another type.
    #[pyo3(
        signature = (
            byte_end, byte_begin=None, r#type=None, nsid=Int(0), cns=Int(1), cntid=Int(0), csi=Int(0),
            nvmsetid=Int(0)
        ),
        text_signature = "($self, byte_end, byte_begin=None, type=None, nsid=0, cns=1, cntid=0, csi=0, nvmsetid=0)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn id_data<'py>(
        slf: Bound<'py, Self>,
        byte_end: Int<usize>,
        byte_begin: OptionalInt<usize>,
        r#type: Option<Bound<'py, PyAny>>,
        nsid: Int<u32>,
        cns: Int<u8>,
        cntid: Int<u16>,
        csi: Int<u8>,
        nvmsetid: Int<u16>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let command = identify_command(nsid.0, cns.0, cntid.0, csi.0, nvmsetid.0);
        let (_, bytes) = slf.get().identify_data(py, &command)?;
        field(py, &bytes, byte_end.0, byte_begin.map(|begin| begin.0), r#type.as_ref())
    }

    /// Get Features (NVMe Base Specification, Get Features command). Its answer is dword 0 of the completion,
    /// which waitdone() returns.
    ///
    /// Parameters
    /// ----------
    /// fid : int
    ///     Feature identifier, 8 bits.
    /// sel : int
    ///     0 the current value, 1 the default, 2 the saved one, 3 what is supported.
    /// buf : Buffer, optional
    ///     For features with data.
    /// cdw11, cdw12, cdw13, cdw14, cdw15 : int
    ///     The other dwords of the command.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (
            fid, sel=Int(0), buf=None, cdw11=Int(0), cdw12=Int(0), cdw13=Int(0), cdw14=Int(0),
            cdw15=Int(0), cb=None
        ),
        text_signature = "($self, fid, sel=0, buf=None, cdw11=0, cdw12=0, cdw13=0, cdw14=0, cdw15=0, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn getfeatures<'py>(
        slf: Bound<'py, Self>,
        fid: Int<u32>,
        sel: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x0a).nsid(1).cdw10(sel.0 << 8 | fid.0);
        let command = command.cdw11(cdw11.0).cdw12(cdw12.0).cdw13(cdw13.0).cdw14(cdw14.0).cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Set Features (NVMe Base Specification, Set Features command).
    ///
    /// Parameters
    /// ----------
    /// fid : int
    ///     Feature identifier, 8 bits.
    /// sv : int
    ///     1 saves the value across resets and power cycles.
    /// buf : Buffer, optional
    ///     For features with data.
    /// cdw11, cdw12, cdw13, cdw14, cdw15 : int
    ///     The value, where it has no data.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (
            fid, sv=Int(0), buf=None, cdw11=Int(0), cdw12=Int(0), cdw13=Int(0), cdw14=Int(0),
            cdw15=Int(0), cb=None
        ),
        text_signature = "($self, fid, sv=0, buf=None, cdw11=0, cdw12=0, cdw13=0, cdw14=0, cdw15=0, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn setfeatures<'py>(
        slf: Bound<'py, Self>,
        fid: Int<u32>,
        sv: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x09).nsid(0xffff_ffff).cdw10(sv.0 << 31 | fid.0);
        let command = command.cdw11(cdw11.0).cdw12(cdw12.0).cdw13(cdw13.0).cdw14(cdw14.0).cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Get Log Page (NVMe Base Specification, Get Log Page command).
    ///
    /// Parameters
    /// ----------
    /// lid : int
    ///     Log page identifier, 8 bits.
    /// buf : Buffer
    ///     Where the data goes.
    /// size : int, optional
    ///     Bytes, a multiple of 4; the length of the buffer if left out.
    /// offset : int
    ///     Where in the log page to begin, in bytes, a multiple of 4.
    /// nsid : int
    ///     The namespace; 0xffffffff for the controller.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (lid, buf, size=None, offset=Int(0), nsid=Int(0xffff_ffff), cb=None),
        text_signature = "($self, lid, buf, size=None, offset=0, nsid=0xffffffff, cb=None)"
    )]
    fn getlogpage<'py>(
        slf: Bound<'py, Self>,
        lid: Int<u8>,
        buf: Bound<'py, Buffer>,
        size: OptionalInt<usize>,
        offset: Int<u128>,
        nsid: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let len = buf.get().memory().len();
        let size = size.map_or(len, |size| size.0);
        ensure(size.is_multiple_of(4), "size must be dword aligned")?;
        ensure(offset.0.is_multiple_of(4), "offset must be dword aligned")?;
        ensure((size / 4) as u64 <= 1 << 32, "32-bit field")?;
        let offset = u64::try_from(offset.0).map_err(|_| PyAssertionError::new_err("64-bit field"))?;
        ensure(size > 0 && size <= len, format!("{size} bytes of a log do not fit into a buffer of {len}"))?;
        let command = Command::get_log_page(lid.0, nsid.0, offset, u32::try_from(size)?);
        send(slf, &command, Some(buf), Some(size), cb)
    }

    /// Abort (NVMe Base Specification, Abort command).
    ///
    /// Parameters
    /// ----------
    /// cid : int
    ///     The identifier of the command to abort, 16 bits.
    /// sqid : int
    ///     The queue it was sent on; 0 is the admin queue.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (cid, sqid=Int(0), cb=None),
        text_signature = "($self, cid, sqid=0, cb=None)"
    )]
    fn abort<'py>(
        slf: Bound<'py, Self>,
        cid: Int<u16>,
        sqid: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x08).cdw10(u32::from(cid.0) << 16 | u32::from(sqid.0));
        send(slf, &command, None, None, cb)
    }

    /// Asynchronous Event Request (NVMe Base Specification, Asynchronous Event Request command). It completes
    /// when an event occurs, and waitdone() sends the next by itself.
    ///
    /// Parameters
    /// ----------
    /// cb : callable, optional
    ///     Called with each event from now on.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(signature = (cb=None))]
    fn aer<'py>(slf: Bound<'py, Self>, cb: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, Self>> {
        let callback = callback::check(cb)?;
        slf.get().admin.request_event(slf.py(), callback)?;
        Ok(slf)
    }

    /// NVMe-MI Send (NVMe Management Interface Specification, NVMe-MI Send command).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     The opcode of the NVMe Management Interface command.
    /// dword0, dword1 : int
    ///     Its request data.
    /// buf : Buffer, optional
    ///     What is sent with it.
    /// mtype : int
    ///     Message type: 1 NVMe-MI, 4 PCIe.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (opcode, dword0=Int(0), dword1=Int(0), buf=None, mtype=Int(1), cb=None),
        text_signature = "($self, opcode, dword0=0, dword1=0, buf=None, mtype=1, cb=None)"
    )]
    fn mi_send<'py>(
        slf: Bound<'py, Self>,
        opcode: Int<u32>,
        dword0: Int<u32>,
        dword1: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        mtype: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        send(slf, &mi_command(0x1d, opcode.0, dword0.0, dword1.0, mtype.0)?, buf, None, cb)
    }

    /// NVMe-MI Receive (NVMe Management Interface Specification, NVMe-MI Receive command).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     The opcode of the NVMe Management Interface command.
    /// dword0, dword1 : int
    ///     Its request data.
    /// buf : Buffer, optional
    ///     Where the response data goes.
    /// mtype : int
    ///     Message type: 1 NVMe-MI, 4 PCIe.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (opcode, dword0=Int(0), dword1=Int(0), buf=None, mtype=Int(1), cb=None),
        text_signature = "($self, opcode, dword0=0, dword1=0, buf=None, mtype=1, cb=None)"
    )]
    fn mi_receive<'py>(
        slf: Bound<'py, Self>,
        opcode: Int<u32>,
        dword0: Int<u32>,
        dword1: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        mtype: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        send(slf, &mi_command(0x1e, opcode.0, dword0.0, dword1.0, mtype.0)?, buf, None, cb)
    }

    /// Security Receive (NVMe Base Specification, Security Receive command).
    ///
    /// Parameters
    /// ----------
    /// buf : Buffer
    ///     Where the data goes.
    /// spsp : int
    ///     SP Specific, 16 bits.
    /// secp : int
    ///     Security Protocol, 8 bits.
    /// nssf : int
    ///     NVMe Security Specific Field, 8 bits.
    /// size : int, optional
    ///     Allocation length in bytes; the length of the buffer if left out.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (buf, spsp, secp=Int(1), nssf=Int(0), size=None, cb=None),
        text_signature = "($self, buf, spsp, secp=1, nssf=0, size=None, cb=None)"
    )]
    fn security_receive<'py>(
        slf: Bound<'py, Self>,
        buf: Option<Bound<'py, Buffer>>,
        spsp: Int<u32>,
        secp: Int<u8>,
        nssf: Int<u8>,
        size: OptionalInt<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        security(slf, 0x82, buf, spsp.0, secp.0, nssf.0, size, cb)
    }

    /// Security Send (NVMe Base Specification, Security Send command).
    ///
    /// Parameters
    /// ----------
    /// buf : Buffer
    ///     What is sent.
    /// spsp : int
    ///     SP Specific, 16 bits.
    /// secp : int
    ///     Security Protocol, 8 bits.
    /// nssf : int
    ///     NVMe Security Specific Field, 8 bits.
    /// size : int, optional
    ///     Allocation length in bytes; the length of the buffer if left out.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Controller
    ///     Itself, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: 127 commands are outstanding, or its data does not fit.
    #[pyo3(
        signature = (buf, spsp, secp=Int(1), nssf=Int(0), size=None, cb=None),
        text_signature = "($self, buf, spsp, secp=1, nssf=0, size=None, cb=None)"
    )]
    fn security_send<'py>(
        slf: Bound<'py, Self>,
        buf: Option<Bound<'py, Buffer>>,
        spsp: Int<u32>,
        secp: Int<u8>,
        nssf: Int<u8>,
        size: OptionalInt<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        security(slf, 0x81, buf, spsp.0, secp.0, nssf.0, size, cb)
    }
}

fn identify_command(nsid: u32, cns: u8, cntid: u16, csi: u8, nvmsetid: u16) -> Command {
    Command::identify(cns, nsid)
        .cdw10(u32::from(cntid) << 16 | u32::from(cns))
        .cdw11(u32::from(csi) << 24 | u32::from(nvmsetid))
}

/// Request type 4 is an NVMe-MI command in an admin command.
const MI_REQUEST: u32 = 4;

fn mi_command(admin: u8, opcode: u32, dword0: u32, dword1: u32, mtype: u32) -> PyResult<Command> {
    ensure(matches!(mtype, 1 | 4), format!("mtype is 1 (NVMe-MI) or 4 (PCIe), not {mtype}"))?;
    Ok(Command::admin(admin).cdw10(mtype << 11 | MI_REQUEST).cdw11(opcode).cdw12(dword0).cdw13(dword1))
}

#[expect(clippy::too_many_arguments, reason = "the signature of the original")]
fn security<'py>(
    slf: Bound<'py, Controller>,
    opcode: u8,
    buf: Option<Bound<'py, Buffer>>,
    spsp: u32,
    secp: u8,
    nssf: u8,
    size: OptionalInt<u32>,
    cb: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Controller>> {
    ensure(spsp < 65536, format!("spsp has 16 bits, {spsp} has more"))?;
    ensure(buf.is_some(), "security commands need a buffer")?;
    let len = buf.as_ref().map_or(0, |buf| buf.get().memory().len());
    let size = size.map_or(len as u64, |size| size.0.into());
    ensure(size <= len as u64, format!("{size} bytes do not fit into a buffer of {len}"))?;
    let command = Command::admin(opcode)
        .cdw10(u32::from(secp) << 24 | spsp << 8 | u32::from(nssf))
        .cdw11(u32::try_from(size)?);
    send(slf, &command, buf, None, cb)
}
