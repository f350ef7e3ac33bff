//! Questions to a controller: what it answers, and what it refuses.

use std::time::Duration;

use nvme_spdk::{Command, Completion, Controller, Data, DmaBuf, decode};
use serde::Serialize;

use crate::end::Result;

/// What one command of this tool asks for at most; every controller takes it.
const PAGE: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(10);

/// A structure with the bytes it was decoded from.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Its identifier among those of its kind: CNS, FID, LID, offset.
    pub id: u32,
    #[serde(flatten)]
    pub decoded: decode::Decoded,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// What a controller did not answer, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    pub what: String,
    pub status: String,
}

pub struct Ask<'a> {
    pub controller: &'a Controller,
    pub refused: Vec<Refused>,
}

impl<'a> Ask<'a> {
    pub fn new(controller: &'a Controller) -> Self {
        Ask { controller, refused: Vec::new() }
    }

    /// The completion and the data of a command; `None`, and a note, if the controller refuses it.
    pub fn command(
        &mut self,
        what: impl Into<String>,
        command: &Command,
        bytes: usize,
    ) -> Result<Option<(Completion, Vec<u8>)>> {
        let buffer = (bytes > 0).then(|| DmaBuf::new(bytes)).transpose()?;
        let completed = self.controller.execute_within(command, buffer.as_ref().map(Data::from), PATIENCE)?;
        let completion = completed.completion;
        if !completion.is_success() {
            self.refused.push(Refused { what: what.into(), status: completion.status().to_string() });
            return Ok(None);
        }
        Ok(Some((completion, buffer.map_or_else(Vec::new, |buffer| buffer.to_vec(0..bytes)))))
    }

    /// A data structure of Identify, of a namespace or 0, for a command set where there is a choice.
    pub fn identify(&mut self, cns: u8, nsid: u32, csi: u8) -> Result<Option<Found>> {
        let command = Command::identify(cns, nsid).cdw11(u32::from(csi) << 24);
        let what = decode::identify_of(csi, cns, &[]).name.into_owned();
        let answer = self.command(what, &command, nvme_spdk::IDENTIFY_SIZE)?;
        Ok(answer.map(|(_, bytes)| Found {
            id: cns.into(),
            decoded: decode::identify_of(csi, cns, &bytes),
            bytes,
        }))
    }

    /// `bytes` of a log page. What is asked for does not clear asynchronous events.
    pub fn log(&mut self, page: Log, bytes: usize) -> Result<Option<Vec<u8>>> {
        const RETAIN_EVENT: u32 = 1 << 15;
        let name = decode::log_page(page.lid, &[]).name;
        let mut all = Vec::with_capacity(bytes);
        while all.len() < bytes {
            let some = (bytes - all.len()).min(PAGE);
            let mut command = Command::get_log_page(page.lid, page.nsid, all.len() as u64, some as u32);
            command.cdw10 |= RETAIN_EVENT | u32::from(page.specific) << 8;
            command.cdw11 |= u32::from(page.identifier) << 16;
            match self.command(format!("log page {:02X}h, {name}", page.lid), &command, some)? {
                Some((_, data)) => all.extend(data),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }
}

/// Which log page.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    pub lid: u8,
    pub nsid: u32,
    /// Log Specific Field (LSP).
    pub specific: u8,
    /// Log Specific Identifier (LSI): an endurance group.
    pub identifier: u16,
}

impl Log {
    /// That of the controller.
    pub const fn of_controller(lid: u8) -> Self {
        Log { lid, nsid: u32::MAX, specific: 0, identifier: 0 }
    }
}
