//! What the commands of a worker transfer: one buffer per slot of its queue to write from, one for all else.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::generator::Io;
use super::workload::Workload;
use crate::buffer::DmaBuf;
use crate::command::nvm_opcode;
use crate::error::Result;
use crate::pattern::Pattern;

pub(crate) struct Buffers {
    /// For everything but Write.
    data: Option<DmaBuf>,
    write: Option<DmaBuf>,
    stride: usize,
    lba_size: u32,
}

impl Buffers {
    /// `count` buffers of `blocks` blocks, as far as the workload needs them.
    pub(super) fn new(workload: &Workload, count: usize, blocks: u32, lba_size: u32) -> Result<Self> {
        let stride = blocks.max(1) as usize * lba_size as usize;
        let pool = |needed: bool, filled: bool| -> Result<Option<DmaBuf>> {
            if !needed {
                return Ok(None);
            }
            let pool = DmaBuf::new(stride * count)?;
            if filled {
                fill(&pool, stride, workload.pattern, workload.seed);
            }
            Ok(Some(pool))
        };
        let is_write = |opcode| opcode == nvm_opcode::WRITE;
        // Opcodes with bit 0 set send data; ranges to deallocate are written for each command.
        let sends = |opcode| opcode & 1 != 0 && !is_write(opcode) && opcode != nvm_opcode::DATASET_MANAGEMENT;
        Ok(Buffers {
            write: pool(workload.uses(is_write), true)?,
            data: pool(
                workload.uses(|opcode| carries_data(opcode) && !is_write(opcode)),
                workload.uses(sends),
            )?,
            stride,
            lba_size,
        })
    }

    /// What the command in a slot transfers.
    #[inline]
    pub(super) fn of(&self, slot: usize, io: &Io) -> (*mut u8, u32) {
        let pool = match io.opcode {
            nvm_opcode::WRITE => &self.write,
            opcode if carries_data(opcode) => &self.data,
            _ => &None,
        };
        let Some(pool) = pool else { return (std::ptr::null_mut(), 0) };
        let offset = slot * self.stride;
        if io.opcode == nvm_opcode::DATASET_MANAGEMENT {
            pool.write(offset, &deallocate(io));
            return (pool.at(offset), self.lba_size);
        }
        (pool.at(offset), io.blocks * self.lba_size)
    }
}

/// Bits 1:0 of an opcode say how data is transferred; 00b is not at all.
#[inline]
pub(super) fn carries_data(opcode: u8) -> bool {
    opcode & 0x3 != 0
}

/// A Dataset Management range: context attributes, length in blocks, starting LBA.
fn deallocate(io: &Io) -> [u8; 16] {
    let mut range = [0; 16];
    range[4..8].copy_from_slice(&io.blocks.to_le_bytes());
    range[8..16].copy_from_slice(&io.lba.to_le_bytes());
    range
}

/// Fills each of the buffers in a pool. Random bytes come from the seed, so that a run can be repeated.
fn fill(pool: &DmaBuf, stride: usize, pattern: Pattern, seed: u64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut content = vec![0; stride];
    match pattern {
        Pattern::Zeros => return,
        Pattern::Ones => content.fill(0xff),
        Pattern::Dword(dword) => {
            content.chunks_exact_mut(4).for_each(|place| place.copy_from_slice(&dword.to_le_bytes()));
        }
        Pattern::Random { .. } => {}
    }
    for offset in (0..pool.len()).step_by(stride) {
        if let Pattern::Random { percent } = pattern {
            rng.fill_bytes(&mut content[..stride * usize::from(percent) / 100]);
        }
        pool.write(offset, &content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_as_the_specification_has_it() {
        let range = deallocate(&Io { opcode: 9, lba: 0x0102_0304_0506_0708, blocks: 0x0a0b });
        assert_eq!(range, [0, 0, 0, 0, 0x0b, 0x0a, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
