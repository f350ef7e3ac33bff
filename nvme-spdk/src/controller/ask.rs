//! What a controller tells when it is asked: identify data, features and log pages. Each call sends admin commands,
//! and waits for them.

use super::{Controller, OWN_COMMAND};
use crate::buffer::DmaBuf;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::log_page::{ErrorLogEntry, FirmwareSlotLog, SanitizeLog, SelfTestLog, SmartLog};
use crate::queue::Data;

/// Stands for every namespace where a command names one (NVMe base specification, "Namespace Identifier").
pub const ALL_NAMESPACES: u32 = u32::MAX;

/// The log pages that have a structure here.
mod lid {
    pub const ERROR: u8 = 0x01;
    pub const SMART: u8 = 0x02;
    pub const FIRMWARE: u8 = 0x03;
    pub const CHANGED_NAMESPACES: u8 = 0x04;
    pub const SELF_TEST: u8 = 0x06;
    pub const SANITIZE: u8 = 0x81;
}

/// How many identifiers a list of namespaces holds.
const LIST: usize = 1024;

/// What one Get Log Page asks for at most: more than a page need not be supported by every controller's MDTS.
const CHUNK: usize = 4096;

impl Controller {
    /// Identify with a Controller or Namespace Structure value `cns` (NVMe base specification, "Identify command"): the
    /// 4096 bytes it returns. `nsid` is the namespace, or 0 where there is none to name.
    ///
    /// # Errors
    /// [`Error::Command`] with the status if the controller refuses; those of [`execute`](Self::execute) and
    /// [`DmaBuf::new`].
    pub fn identify_bytes(&self, cns: u8, nsid: u32) -> Result<Vec<u8>> {
        self.identify_data(cns, nsid, OWN_COMMAND)
    }

    /// The current value of a feature: dword 0 of the completion of Get Features (NVMe base specification, "Get Features
    /// command"). [`decode::feature_value`](crate::decode::feature_value) says what it means. `nsid` is 0 for a feature
    /// of the controller.
    ///
    /// ```no_run
    /// # use nvme_spdk::{ConnectOptions, Controller};
    /// # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
    /// let queues = controller.get_feature(0x07, 0)?;
    /// println!("{} submission queues", (queues & 0xffff) + 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`identify_bytes`](Self::identify_bytes).
    pub fn get_feature(&self, fid: u8, nsid: u32) -> Result<u32> {
        self.ask(&Command::get_features(fid).nsid(nsid), None, || format!("Get Features {fid:02X}h"))
    }

    /// The data structure of a feature that has one, `bytes` bytes of it;
    /// [`decode::feature_data`](crate::decode::feature_data) says what it means.
    ///
    /// # Errors
    /// As [`identify_bytes`](Self::identify_bytes); [`Error::InvalidArgument`] for 0 bytes.
    pub fn get_feature_data(&self, fid: u8, nsid: u32, bytes: usize) -> Result<Vec<u8>> {
        let buffer = DmaBuf::new(bytes)?;
        let command = Command::get_features(fid).nsid(nsid);
        self.ask(&command, Some(Data::from(&buffer)), || format!("Get Features {fid:02X}h"))?;
        Ok(buffer.to_vec(0..bytes))
    }

    /// Sets a feature to what goes into dword 11 (NVMe base specification, "Set Features command"), until the next reset;
    /// returns dword 0 of the completion, which is where Number of Queues says what was granted.
    ///
    /// # Errors
    /// As [`identify_bytes`](Self::identify_bytes).
    pub fn set_feature(&self, fid: u8, nsid: u32, value: u32) -> Result<u32> {
        self.ask(&Command::set_features(fid, value).nsid(nsid), None, || format!("Set Features {fid:02X}h"))
    }

    /// `bytes` bytes, a multiple of 4, of log page `lid` (NVMe base specification, "Get Log Page command"), from its
    /// beginning on, in as many commands as it takes. `nsid` is [`ALL_NAMESPACES`] for a log of the controller.
    /// [`decode::log_page`](crate::decode::log_page) says what they mean.
    ///
    /// # Errors
    /// As [`identify_bytes`](Self::identify_bytes); [`Error::InvalidArgument`] for 0 bytes, no multiple of 4, or
    /// more than there is memory for.
    pub fn log_page(&self, lid: u8, nsid: u32, bytes: usize) -> Result<Vec<u8>> {
        if bytes == 0 || !bytes.is_multiple_of(4) {
            let why = format!("a log page is read in multiples of 4 bytes, not {bytes}");
            return Err(Error::InvalidArgument(why));
        }
        let mut log = Vec::new();
        // A length that a device told may be any.
        log.try_reserve_exact(bytes).map_err(|_| {
            Error::InvalidArgument(format!("a log page of {bytes} bytes does not fit into memory"))
        })?;
        let buffer = DmaBuf::new(CHUNK.min(bytes))?;
        while log.len() < bytes {
            let len = CHUNK.min(bytes - log.len());
            let command = Command::get_log_page(lid, nsid, log.len() as u64, len as u32);
            self.ask(&command, Some(Data::new(&buffer, 0, len)?), || format!("Get Log Page {lid:02X}h"))?;
            log.extend(buffer.to_vec(0..len));
        }
        Ok(log)
    }

    /// The SMART / Health Information log, of the controller if `nsid` is [`ALL_NAMESPACES`], or of a namespace where
    /// the controller keeps one for each.
    ///
    /// ```no_run
    /// # use nvme_spdk::{ALL_NAMESPACES, ConnectOptions, Controller};
    /// # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
    /// let smart = controller.smart_log(ALL_NAMESPACES)?;
    /// println!("{} % used, {} bytes written", smart.percentage_used(), smart.bytes_written());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn smart_log(&self, nsid: u32) -> Result<SmartLog> {
        Ok(SmartLog::from_bytes(&self.log_page(lid::SMART, nsid, SmartLog::SIZE)?))
    }

    /// The Error Information log: the newest `most` entries, or as many as the controller keeps (Identify Controller,
    /// ELPE); those that are not in use are left out.
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn error_log(&self, most: usize) -> Result<Vec<ErrorLogEntry>> {
        let kept = usize::from(self.identify().error_log_entries()) + 1;
        let bytes = self.log_page(lid::ERROR, ALL_NAMESPACES, most.clamp(1, kept) * ErrorLogEntry::SIZE)?;
        let entries = bytes.chunks_exact(ErrorLogEntry::SIZE).take(most).map(ErrorLogEntry::from_bytes);
        Ok(entries.filter(ErrorLogEntry::is_used).collect())
    }

    /// The Firmware Slot Information log.
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn firmware_log(&self) -> Result<FirmwareSlotLog> {
        let bytes = self.log_page(lid::FIRMWARE, ALL_NAMESPACES, FirmwareSlotLog::SIZE)?;
        Ok(FirmwareSlotLog::from_bytes(&bytes))
    }

    /// The namespaces that have changed since this was asked last: the Changed Attached Namespace List log.
    /// [`ALL_NAMESPACES`] alone stands for more than 1024.
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn changed_namespaces(&self) -> Result<Vec<u32>> {
        Ok(identifiers(&self.log_page(lid::CHANGED_NAMESPACES, ALL_NAMESPACES, 4 * LIST)?))
    }

    /// The Device Self-test log.
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn self_test_log(&self) -> Result<SelfTestLog> {
        Ok(SelfTestLog::from_bytes(&self.log_page(lid::SELF_TEST, ALL_NAMESPACES, SelfTestLog::SIZE)?))
    }

    /// The Sanitize Status log.
    ///
    /// # Errors
    /// As [`log_page`](Self::log_page).
    pub fn sanitize_log(&self) -> Result<SanitizeLog> {
        Ok(SanitizeLog::from_bytes(&self.log_page(lid::SANITIZE, ALL_NAMESPACES, SanitizeLog::SIZE)?))
    }

    fn ask(&self, command: &Command, data: Option<Data>, what: impl FnOnce() -> String) -> Result<u32> {
        let completion = self.execute(command, data)?.completion;
        match completion.is_success() {
            true => Ok(completion.cdw0),
            false => Err(Error::Command { what: what(), status: completion.status() }),
        }
    }
}

/// A list of namespace identifiers, which ends with its first 0.
fn identifiers(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().take(LIST).map(|word| u32::from_le_bytes(*word)).take_while(|nsid| *nsid != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_its_first_zero() {
        assert!(identifiers(&[]).is_empty());
        assert_eq!(identifiers(&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]), [1, 256]);
        assert_eq!(identifiers(&[9; 5000]).len(), LIST);
    }
}
