//! Workers that load a namespace.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::Namespace;
use crate::convert::Int;
use crate::ioworker::IoWorker;

#[pymethods]
impl Namespace {
    /// Makes a worker that loads the namespace from a thread of its own; start it with start() or `with`.
    ///
    /// Parameters
    /// ----------
    /// io_size : int, range, list or dict
    ///     Blocks per command. Of a range or list, all sizes are equally likely; a dict has their weights.
    /// lba_step : int, optional
    ///     Blocks between the beginnings of sequential commands, also 0 or negative. Without it, they follow each
    ///     other.
    /// lba_align : int or list, optional
    ///     Commands begin at multiples of this, for each size in turn; 1 by default.
    /// lba_random : bool or int
    ///     Percentage of commands at random places.
    /// read_percentage : int
    ///     Percentage of reads; the others write.
    /// op_percentage : dict, optional
    ///     Opcodes and their percentages; replaced by the counts when the worker is closed.
    /// time : int
    ///     Seconds after which it ends.
    /// qdepth : int
    ///     Depth of its queue pair, 2 to 1024; one command less is in flight.
    /// region_start, region_end : int
    ///     The blocks it stays in, region_end excluded. A sequential worker that nothing else ends fills them once.
    /// iops : int
    ///     Commands per second at most; 0 for full speed.
    /// io_count : int
    ///     Commands after which it ends.
    /// lba_start : int
    ///     Where sequential commands begin.
    /// qprio : int
    ///     Priority class of its queue: 0 urgent, 1 high, 2 medium, 3 low.
    /// distribution : list, optional
    ///     Of 10000 random commands, how many go to each of 100 equal sections of the namespace.
    /// ptype, pvalue : int
    ///     What is written, as in Buffer().
    /// io_sequence : list, optional
    ///     Rows of (microseconds, opcode, first block, number of blocks): exactly these commands are sent, in this
    ///     order and not before their time.
    /// fw_debug : bool
    ///     On an error close() ends the process at once, so that nothing disturbs the device.
    /// output_io_per_second : list, optional
    ///     An empty list, filled with the completions of each second.
    /// output_percentile_latency : dict, optional
    ///     Percentiles, filled with the microseconds within which so many commands completed.
    /// output_cmdlog_list : list, optional
    ///     Its places are filled with the commands that completed last, as (first block, number of blocks, opcode),
    ///     newest at the end.
    ///
    /// Returns
    /// -------
    /// _IOWorker
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     For arguments out of range. What is only found when the worker starts is a warning of close().
    #[pyo3(
        signature = (
            io_size=None, lba_step=None, lba_align=None, lba_random=None, read_percentage=Int(100),
            op_percentage=None, time=Int(0), qdepth=Int(64), region_start=Int(0), region_end=Int(u64::MAX),
            iops=Int(0), io_count=Int(0), lba_start=Int(0), qprio=Int(0), distribution=None, ptype=Int(0xbeef),
            pvalue=Int(100), io_sequence=None, fw_debug=false, output_io_per_second=None,
            output_percentile_latency=None, output_cmdlog_list=None
        ),
        text_signature = "($self, io_size=8, lba_step=None, lba_align=None, lba_random=True, read_percentage=100, \
            op_percentage=None, time=0, qdepth=64, region_start=0, region_end=0xffffffffffffffff, iops=0, \
            io_count=0, lba_start=0, qprio=0, distribution=None, ptype=0xbeef, pvalue=100, io_sequence=None, \
            fw_debug=False, output_io_per_second=None, output_percentile_latency=None, output_cmdlog_list=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn ioworker<'py>(
        &self,
        py: Python<'py>,
        io_size: Option<Bound<'py, PyAny>>,
        lba_step: Option<Int<i64>>,
        lba_align: Option<Bound<'py, PyAny>>,
        lba_random: Option<Bound<'py, PyAny>>,
        read_percentage: Int<u32>,
        op_percentage: Option<Bound<'py, PyDict>>,
        time: Int<u64>,
        qdepth: Int<i64>,
        region_start: Int<u64>,
        region_end: Int<u64>,
        iops: Int<u32>,
        io_count: Int<u64>,
        lba_start: Int<u64>,
        qprio: Int<u8>,
        distribution: Option<Bound<'py, PyAny>>,
        ptype: Int<u32>,
        pvalue: Int<u32>,
        io_sequence: Option<Bound<'py, PyAny>>,
        fw_debug: bool,
        output_io_per_second: Option<Bound<'py, PyAny>>,
        output_percentile_latency: Option<Bound<'py, PyDict>>,
        output_cmdlog_list: Option<Bound<'py, PyList>>,
    ) -> PyResult<Bound<'py, IoWorker>> {
        let request = crate::ioworker::Request {
            io_size,
            step: lba_step,
            align: lba_align,
            random: lba_random,
            read_percentage: read_percentage.0,
            op_percentage,
            time: time.0,
            qdepth: qdepth.0,
            region: region_start.0..region_end.0,
            iops: iops.0,
            io_count: io_count.0,
            lba_start: lba_start.0,
            qprio: qprio.0,
            distribution,
            ptype: ptype.0,
            pvalue: pvalue.0,
            io_sequence,
            fw_debug,
            output_io_per_second,
            output_percentile_latency,
            output_cmdlog_list,
        };
        let namespace = self.tracked.lock().as_ref().unwrap_or(&self.inner).clone();
        Bound::new(py, IoWorker::new(py, &namespace, request)?)
    }
}
