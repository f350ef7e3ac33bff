//! Which namespaces a controller has.

use super::{Controller, OWN_COMMAND};
use crate::error::{Error, Result};
use crate::identify::IdentifyNamespace;

/// Active Namespace ID list (NVMe base specification, "Identify Command", CNS 02h): identifiers above that of the
/// command, as many as fit.
const ACTIVE: u8 = 0x02;
const LISTED: usize = 1024;

impl Controller {
    /// The identifiers of the namespaces that are active, ascending. Controllers of before NVMe 1.1 have no list of
    /// them; they are asked one by one.
    ///
    /// # Errors
    /// [`Error::Command`] if the controller refuses to continue its list; those of [`execute`](Self::execute)
    /// and [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn active_namespaces(&self) -> Result<Vec<u32>> {
        let mut active = Vec::new();
        loop {
            let above = active.last().copied().unwrap_or(0);
            let list = match self.identify_data(ACTIVE, above, OWN_COMMAND) {
                Err(Error::Command { .. }) if active.is_empty() => return self.with_blocks(),
                other => other?,
            };
            let ids = list.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]));
            // A list that does not go up would never end.
            let found: Vec<u32> = ids.take_while(|&id| id != 0).filter(|&id| id > above).collect();
            let whole = found.len() < LISTED;
            active.extend(found);
            if whole {
                return Ok(active);
            }
        }
    }

    /// Those whose size is not zero.
    fn with_blocks(&self) -> Result<Vec<u32>> {
        let mut active = Vec::new();
        for nsid in 1..=self.identify().number_of_namespaces() {
            match self.identify_data(0x00, nsid, OWN_COMMAND) {
                Ok(data) if IdentifyNamespace::from_bytes(&data).size() > 0 => active.push(nsid),
                Ok(_) | Err(Error::Command { .. }) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(active)
    }
}
