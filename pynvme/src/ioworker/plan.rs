//! The arguments of `Namespace.ioworker`: checked as the original does, in its order and words.

use std::ops::Range;
use std::time::Duration;

use nvme_spdk::{IoSize, Pattern, Step, Workload};
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyRange};

use crate::convert::{Int, ensure};

/// What a script asks for.
pub(crate) struct Request<'py> {
    pub io_size: Option<Bound<'py, PyAny>>,
    pub step: Option<Int<i64>>,
    pub align: Option<Bound<'py, PyAny>>,
    pub random: Option<Bound<'py, PyAny>>,
    pub read_percentage: u32,
    pub op_percentage: Option<Bound<'py, PyDict>>,
    pub time: u64,
    pub qdepth: i64,
    pub region: Range<u64>,
    pub iops: u32,
    pub io_count: u64,
    pub lba_start: u64,
    pub qprio: u8,
    pub distribution: Option<Bound<'py, PyAny>>,
    pub ptype: u32,
    pub pvalue: u32,
    pub io_sequence: Option<Bound<'py, PyAny>>,
    pub fw_debug: bool,
    pub output_io_per_second: Option<Bound<'py, PyAny>>,
    pub output_percentile_latency: Option<Bound<'py, PyDict>>,
    pub output_cmdlog_list: Option<Bound<'py, PyList>>,
}

/// A request that can be tried.
pub(super) struct Plan<'py> {
    /// What is wrong with it only shows when the worker is closed.
    pub workload: Result<Workload, String>,
    /// Opcodes and their percentages.
    pub operations: Bound<'py, PyDict>,
}

/// Opcodes and their percentages: as the script has them, and as the worker wants them.
type Operations<'py> = (Bound<'py, PyDict>, Vec<(u8, u8)>);

/// 1000 hours; without a time a worker runs for so long.
const LONGEST: u64 = 1000 * 3600;

/// The most commands of which the last can be had.
const MOST_KEPT: usize = 1 << 20;

/// Above this, a pace is no limit.
const UNLIMITED: u32 = 1_000_000;

/// The whole namespace, unless a region is given.
const EVERYWHERE: Range<u64> = 0..u64::MAX;

/// NLB is a field of 16 bits.
const SIZES: u32 = 0x10000;

impl<'py> Request<'py> {
    /// What raises here raises where the worker is made.
    pub(super) fn plan(&self, py: Python<'py>, namespace: &nvme_spdk::Namespace) -> PyResult<Plan<'py>> {
        let most = i64::from(namespace.controller().max_queue_entries());
        ensure((2..=1024).contains(&self.qdepth), "qdepth should be in [2, 1024]")?;
        ensure(self.qdepth <= most, "qdepth is larger than specification")?;
        ensure(self.region.start < self.region.end, "region end is not included")?;
        ensure(self.time <= LONGEST, "worker needs a rest :)")?;
        ensure(self.read_percentage <= 100, "read percentage is less than 100")?;
        ensure(self.iops == 0 || i64::from(self.iops) >= self.qdepth, "iops must be larger than qdepth")?;
        let (operations, shares) = self.operations(py)?;
        let random = self.random(py)?;
        let io_count = self.io_count(py, random)?;
        let mut sizes = self.sizes()?;
        let aligns = self.aligns(sizes.len())?;
        if let Some(list) = &self.output_cmdlog_list {
            let room = list.len();
            ensure((1..MOST_KEPT).contains(&room), "output_cmdlog_list has room for 1 to 1048575 commands")?;
        }
        for (size, align) in sizes.iter_mut().zip(&aligns) {
            *size = size.align(*align);
        }
        let sequence = self.sequence()?;
        let distribution = self.distribution.as_ref().map(integers).transpose()?;
        let refusal = self.refusal(&sizes, &aligns, random, distribution.as_deref());

        // As the original draws it: scripts that set the seed of `random` get the same commands again.
        let seed: f64 = py.import("random")?.call_method0("random")?.extract()?;
        let mut workload = Workload::new()
            .io_sizes(sizes)
            .random_percentage(random)
            .operations(shares)
            .queue_depth(self.qdepth as u16)
            .priority(self.qprio)
            .region(self.region.clone())
            .start_at(self.lba_start)
            .time(Duration::from_secs(if self.time > 0 { self.time } else { LONGEST }))
            .pattern(self.pattern())
            .seed((seed * f64::from(u32::MAX)) as u64)
            .keep_last(self.output_cmdlog_list.as_ref().map_or(0, |list| list.len()))
            .count_microseconds(self.output_percentile_latency.is_some());
        if let Some(Int(step)) = self.step {
            workload = workload.step(step);
        }
        if io_count > 0 {
            workload = workload.io_count(io_count);
        }
        if (1..=UNLIMITED).contains(&self.iops) {
            workload = workload.iops(self.iops);
        }
        if let Some(weights) = distribution {
            workload = workload.distribution(weights);
        }
        if let Some(steps) = sequence {
            workload = workload.sequence(steps);
        }
        Ok(Plan { workload: refusal.map_or(Ok(workload), |why| Err(why.to_owned())), operations })
    }

    fn operations(&self, py: Python<'py>) -> PyResult<Operations<'py>> {
        let operations = match &self.op_percentage {
            Some(operations) => operations.clone(),
            None => {
                let operations = PyDict::new(py);
                operations.set_item(2, self.read_percentage)?;
                operations.set_item(1, 100 - self.read_percentage)?;
                operations
            }
        };
        let mut shares = Vec::new();
        let mut sum = 0_i64;
        for (opcode, share) in operations.iter() {
            let (Int(opcode), Int(share)) = (opcode.extract::<Int<u8>>()?, share.extract::<Int<u32>>()?);
            sum += i64::from(share);
            shares.push((opcode, u8::try_from(share).unwrap_or(u8::MAX)));
        }
        ensure(sum == 100, "op_percentage definition error")?;
        Ok((operations, shares))
    }

    fn random(&self, py: Python<'py>) -> PyResult<u8> {
        let Some(value) = &self.random else { return Ok(100) };
        if value.is(PyBool::new(py, true)) {
            return Ok(100);
        }
        let percentage = value.extract::<Int<i64>>();
        let Int(percentage) =
            percentage.map_err(|_| PyAssertionError::new_err("lba_random is a percentage, int"))?;
        ensure((0..=100).contains(&percentage), "lba_random is a percentage, 0-100")?;
        Ok(percentage as u8)
    }

    fn region_len(&self) -> u64 {
        self.region.end - self.region.start
    }

    /// Without anything else that ends it, a sequential worker on a given region fills that once.
    fn io_count(&self, py: Python<'py>, random: u8) -> PyResult<u64> {
        let stops = self.time > 0 || self.io_count > 0 || self.io_sequence.is_some();
        if stops {
            return Ok(self.io_count);
        }
        let fills = random == 0 && self.region.end != EVERYWHERE.end;
        match self.single_size()? {
            Some(size) if fills => {
                ensure(size > 0, "io_size cannot be 0")?;
                let count = self.region_len().div_ceil(u64::from(size));
                let text = "fill region with io count: %d";
                py.import("logging")?.call_method1("info", (text, count))?;
                Ok(count)
            }
            _ => Err(PyAssertionError::new_err("when to stop the ioworker?")),
        }
    }

    /// The size, if there is only one.
    fn single_size(&self) -> PyResult<Option<u32>> {
        let Some(size) = &self.io_size else { return Ok(Some(8)) };
        let several = size.is_instance_of::<PyList>()
            || size.is_instance_of::<PyRange>()
            || size.is_instance_of::<PyDict>();
        if several { Ok(None) } else { Ok(Some(size.extract::<Int<u32>>()?.0)) }
    }

    fn sizes(&self) -> PyResult<Vec<IoSize>> {
        let long_step = || {
            ensure(
                self.step.is_none_or(|Int(step)| step.unsigned_abs() < 0x8000),
                "io size or step is too large",
            )
        };
        let several = match (self.single_size()?, &self.io_size) {
            (Some(size), _) => {
                long_step()?;
                ensure(size > 0, "io_size cannot be 0")?;
                let clipped = size.min(u32::try_from(self.region_len()).unwrap_or(u32::MAX));
                return Ok(vec![IoSize::new(clipped)]);
            }
            (None, Some(several)) => several,
            (None, None) => return Ok(Vec::new()),
        };
        let sizes = match several.cast::<PyDict>() {
            Ok(weights) => weights
                .iter()
                .map(|(size, weight)| {
                    Ok(IoSize::new(size.extract::<Int<u32>>()?.0).weight(weight.extract::<Int<u32>>()?.0))
                })
                .collect::<PyResult<Vec<_>>>()?,
            Err(_) => integers(several)?.into_iter().map(IoSize::new).collect(),
        };
        let largest = sizes.iter().map(IoSize::blocks).max();
        let Some(largest) = largest else { return Err(PyAssertionError::new_err("io_size has no size")) };
        ensure(u64::from(largest) < self.region_len(), "region is smaller than IO")?;
        long_step()?;
        ensure(sizes.iter().all(|size| size.blocks() > 0), "io_size cannot be 0")?;
        Ok(sizes)
    }

    fn aligns(&self, sizes: usize) -> PyResult<Vec<u32>> {
        let aligns = match &self.align {
            None => vec![1; sizes],
            Some(list) if list.is_instance_of::<PyList>() => integers(list)?,
            Some(align) => vec![align.extract::<Int<u32>>()?.0],
        };
        ensure(aligns.iter().all(|align| *align > 0), "lba_align cannot be 0")?;
        Ok(aligns)
    }

    fn sequence(&self) -> PyResult<Option<Vec<Step>>> {
        type Row = (Int<u64>, Int<u8>, Int<u64>, Int<u32>);
        let Some(rows) = &self.io_sequence else { return Ok(None) };
        let steps = rows.try_iter()?.map(|row| {
            let (at, opcode, lba, blocks): Row = row?.extract()?;
            Ok(Step { at: Duration::from_micros(at.0), opcode: opcode.0, lba: lba.0, blocks: blocks.0 })
        });
        steps.collect::<PyResult<Vec<_>>>().map(Some)
    }

    fn pattern(&self) -> Pattern {
        match (self.ptype, self.pvalue) {
            (0, 0) => Pattern::Zeros,
            (0, _) => Pattern::Ones,
            (32, dword) => Pattern::Dword(dword),
            (0xbeef, percent) => Pattern::Random { percent: u8::try_from(percent).unwrap_or(u8::MAX) },
            _ => Pattern::Zeros,
        }
    }

    /// What the original finds only when the worker runs.
    fn refusal(
        &self,
        sizes: &[IoSize],
        aligns: &[u32],
        random: u8,
        distribution: Option<&[u32]>,
    ) -> Option<&'static str> {
        let weights: u64 = sizes.iter().map(|size| u64::from(size.relative_weight())).sum();
        let large =
            sizes.iter().map(IoSize::blocks).chain(aligns.iter().copied()).any(|blocks| blocks >= SIZES);
        let sections = distribution.unwrap_or_default();
        let sum: u64 = sections.iter().map(|weight| u64::from(*weight)).sum();
        let distributed = distribution.is_some();
        let rules = [
            (aligns.len() == sizes.len(), "size and align not match"),
            (weights <= 10_000, "please simplify the io_size ratios"),
            (!large, "io_size is a 16bit-field in commands"),
            (!distributed || self.region == EVERYWHERE, "distribution has to be on the full region"),
            (!distributed || sections.len() == 100, "distribution on 100 equal sections"),
            (!distributed || sum == 10_000, "distribute 10000 IO on 100 sections"),
            (!distributed || random == 100, "distribution has to be all random IO"),
            (self.io_sequence.is_none() || self.iops == 0, "run sequence instead of fixed iops workload"),
        ];
        rules.into_iter().find(|(good, _)| !good).map(|(_, why)| why)
    }
}

fn integers(values: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    values.try_iter()?.map(|value| Ok(value?.extract::<Int<u32>>()?.0)).collect()
}
