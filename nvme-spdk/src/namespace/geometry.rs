//! What a namespace is like: how many blocks of which format.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::identify::{IdentifyNamespace, LbaFormat};

const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a format changes; all clones of a namespace see it. What every command asks for has a place of its own.
pub(super) struct Geometry {
    identify: RwLock<IdentifyNamespace>,
    blocks: AtomicU64,
    /// Bytes of data per block, and above them those of metadata.
    block: AtomicU64,
}

impl Geometry {
    /// As the controller says.
    pub(super) fn read(controller: &Controller, nsid: u32) -> Result<Self> {
        let identify = identify(controller, nsid)?;
        Ok(Geometry {
            blocks: identify.size().into(),
            block: packed(identify.format()).into(),
            identify: RwLock::new(identify),
        })
    }

    /// As the controller says now.
    pub(super) fn refresh(&self, controller: &Controller, nsid: u32) -> Result<()> {
        let identify = identify(controller, nsid)?;
        self.blocks.store(identify.size(), Ordering::Relaxed);
        self.block.store(packed(identify.format()), Ordering::Relaxed);
        *self.identify.write() = identify;
        Ok(())
    }

    pub(super) fn identify(&self) -> IdentifyNamespace {
        self.identify.read().clone()
    }

    /// Blocks, and bytes of data per block, of one and the same format.
    pub(super) fn extent(&self) -> (u64, u32) {
        let identify = self.identify.read();
        (identify.size(), identify.format().data_size)
    }

    #[inline]
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Bytes of data and of metadata per block.
    #[inline]
    pub(super) fn block(&self) -> (u32, u16) {
        let packed = self.block.load(Ordering::Relaxed);
        (packed as u32, (packed >> 32) as u16)
    }
}

fn packed(format: LbaFormat) -> u64 {
    u64::from(format.metadata_size) << 32 | u64::from(format.data_size)
}

/// Identify of a namespace that can be used.
fn identify(controller: &Controller, nsid: u32) -> Result<IdentifyNamespace> {
    let most = controller.identify().number_of_namespaces();
    let missing = |why: String| Err(Error::NoNamespace { nsid, why });
    if nsid == 0 || nsid > most {
        return missing(format!("the controller has identifiers 1 to {most}"));
    }
    let bytes = match controller.identify_data(0x00, nsid, IDENTIFY_TIMEOUT) {
        Err(Error::Command { status, .. }) => return missing(format!("Identify answers {status}")),
        other => other?,
    };
    let identify = IdentifyNamespace::from_bytes(&bytes);
    if identify.size() == 0 {
        return missing("it is not active".to_owned());
    }
    if identify.format().data_size < 512 {
        return missing(format!("its LBA format says blocks of {} bytes", identify.format().data_size));
    }
    Ok(identify)
}
