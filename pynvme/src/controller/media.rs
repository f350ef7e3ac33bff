//! Admin commands that change what is on the medium or which firmware runs.

use std::path::PathBuf;

use nvme_spdk::{Command, Data, DmaBuf, admin_opcode};
use pyo3::prelude::*;

use super::{Controller, send};
use crate::admin::info;
use crate::buffer::Buffer;
use crate::convert::{Int, OptionalInt, ensure};
use crate::errors;
use crate::progress::{Progress, Told};

const FIRMWARE_COMMIT: u8 = 0x10;
const FIRMWARE_DOWNLOAD: u8 = 0x11;
const DEVICE_SELF_TEST: u8 = 0x14;

/// Bytes of a firmware image sent at a time.
const CHUNK: usize = 4096;

#[pymethods]
impl Controller {
    /// Format NVM, the command alone (NVMe Base Specification, Format NVM command). Namespace.format() also
    /// brings the namespace up to date.
    ///
    /// Parameters
    /// ----------
    /// lbaf : int
    ///     LBA format, 0 to 15.
    /// ses : int
    ///     Secure erase setting, 0 to 7: 0 none, 1 user data, 2 cryptographic.
    /// nsid : int
    ///     The namespace; 0xffffffff for all.
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
        signature = (lbaf=Int(0), ses=Int(0), nsid=Int(1), cb=None),
        text_signature = "($self, lbaf=0, ses=0, nsid=1, cb=None)"
    )]
    pub(crate) fn format<'py>(
        slf: Bound<'py, Self>,
        lbaf: Int<u32>,
        ses: Int<u32>,
        nsid: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        ensure(ses.0 < 8, "invalid format ses")?;
        ensure(lbaf.0 < 16, "invalid format lbaf")?;
        let command = Command::admin(admin_opcode::FORMAT_NVM).nsid(nsid.0).cdw10(ses.0 << 9 | lbaf.0);
        send(slf, &command, None, None, cb)
    }

    /// Sanitize (NVMe Base Specification, Sanitize command). When it has started, nothing is expected of any
    /// block of any namespace any more.
    ///
    /// Parameters
    /// ----------
    /// option : int
    ///     Dword 10: 1 exit failure mode, 2 block erase, 3 overwrite, 4 crypto erase, and its flags.
    /// pattern : int
    ///     Overwrite pattern, 32 bits.
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
        signature = (option=Int(2), pattern=Int(0), cb=None),
        text_signature = "($self, option=2, pattern=0, cb=None)"
    )]
    fn sanitize<'py>(
        slf: Bound<'py, Self>,
        option: Int<u32>,
        pattern: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(admin_opcode::SANITIZE).cdw10(option.0).cdw11(pattern.0);
        send(slf, &command, None, None, cb)
    }

    /// Device Self-test (NVMe Base Specification, Device Self-test command).
    ///
    /// Parameters
    /// ----------
    /// stc : int
    ///     Self-test code: 1 short, 2 extended, 15 abort.
    /// nsid : int
    ///     The namespace to include; 0 none, 0xffffffff all.
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
        signature = (stc=Int(1), nsid=Int(u32::MAX), cb=None),
        text_signature = "($self, stc=1, nsid=0xffffffff, cb=None)"
    )]
    fn dst<'py>(
        slf: Bound<'py, Self>,
        stc: Int<u32>,
        nsid: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        send(slf, &Command::admin(DEVICE_SELF_TEST).nsid(nsid.0).cdw10(stc.0), None, None, cb)
    }

    /// One piece of a firmware image (NVMe Base Specification, Firmware Image Download command).
    ///
    /// Parameters
    /// ----------
    /// buf : Buffer
    ///     The piece.
    /// offset : int
    ///     Where it belongs in the image, in bytes, a multiple of 4.
    /// size : int, optional
    ///     Bytes, a multiple of 4; the length of the buffer if left out.
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
    #[pyo3(signature = (buf, offset, size=None, cb=None))]
    fn fw_download<'py>(
        slf: Bound<'py, Self>,
        buf: Bound<'py, Buffer>,
        offset: Int<u32>,
        size: OptionalInt<usize>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let len = buf.get().memory().len();
        let size = size.map_or(len, |size| size.0);
        ensure(size <= len, format!("{size} bytes of firmware do not fit into a buffer of {len}"))?;
        let command = download_command(u32::try_from(size)?, offset.0);
        send(slf, &command, Some(buf), None, cb)
    }

    /// Firmware Commit (NVMe Base Specification, Firmware Commit command).
    ///
    /// Parameters
    /// ----------
    /// slot : int
    ///     Firmware slot, 0 to 7; 0 lets the controller choose.
    /// action : int
    ///     Commit action, 0 to 7.
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
    #[pyo3(signature = (slot, action, cb=None))]
    fn fw_commit<'py>(
        slf: Bound<'py, Self>,
        slot: Int<u32>,
        action: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        send(slf, &commit_command(slot.0, action.0)?, None, None, cb)
    }

    /// Downloads a firmware image from a file and commits it; waits for each step (NVMe Base Specification,
    /// Firmware Update Process).
    ///
    /// Parameters
    /// ----------
    /// filename : str
    ///     The image.
    /// slot, action : int
    ///     Where and how to commit it, as for fw_commit().
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the file cannot be read.
    /// TimeoutError
    ///     When the controller does not answer in time.
    #[pyo3(
        signature = (filename, slot=Int(0), action=Int(1)),
        text_signature = "($self, filename, slot=0, action=1)"
    )]
    fn downfw(&self, py: Python<'_>, filename: PathBuf, slot: Int<u32>, action: Int<u32>) -> PyResult<()> {
        let commit = commit_command(slot.0, action.0)?;
        let image = std::fs::read(&filename)?;
        let (slot, name) = (slot.0, filename.display());
        info(py, &format!("download firmware image {name} to slot {slot} and activate"))?;
        let buffer = DmaBuf::new(CHUNK).map_err(errors::usual)?;
        let mut progress = Progress::begin();
        for (index, chunk) in image.chunks(CHUNK).enumerate() {
            let (sent, size) = (index * CHUNK, image.len());
            progress.step(py, || Told {
                what: "Firmware Image Download".to_owned(),
                fraction: Some(sent as f64 / size as f64),
                text: format!("{sent} of {size} bytes"),
            })?;
            // The last piece goes out whole: what is behind the image's end is left from the one before.
            buffer.write(0, chunk);
            let command = download_command(CHUNK as u32, u32::try_from(index * CHUNK)?);
            self.admin.execute(py, &command, Some(Data::from(&buffer)), self.timeout())?;
        }
        drop(progress);
        self.admin.execute(py, &commit, None, self.timeout())?;
        info(py, "download firmware completed")
    }
}

fn download_command(size: u32, offset: u32) -> Command {
    Command::admin(FIRMWARE_DOWNLOAD).cdw10((size >> 2).wrapping_sub(1)).cdw11(offset >> 2)
}

fn commit_command(slot: u32, action: u32) -> PyResult<Command> {
    ensure(slot < 8, format!("invalid fw slot: {slot}"))?;
    ensure(action < 8, format!("invalid fw commit action: {action}"))?;
    Ok(Command::admin(FIRMWARE_COMMIT).cdw10(action << 3 | slot))
}
