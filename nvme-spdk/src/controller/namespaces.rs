//! Which namespaces a controller has.

use super::{Controller, OWN_COMMAND};
use crate::error::{Error, Result};
use crate::identify::IdentifyNamespace;

/// Active Namespace ID list (NVMe base specification, "Identify Command", CNS 02h): identifiers above that of the
/// command, as many as fit.
const ACTIVE: u8 = 0x02;
const LISTED: usize = 1024;
/// More than any controller has; what comes behind is left out, so that a list without an end has one.
const MOST: u32 = 1 << 20;

impl Controller {
    /// The identifiers of the namespaces that are active, ascending. Controllers of before NVMe 1.1 have no list of
    /// them; they are asked one by one. The first 1048576 are listed, or asked.
    ///
    /// # Errors
    /// [`Error::Command`] if the controller refuses to continue its list; those of [`execute`](Self::execute)
    /// and [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn active_namespaces(&self) -> Result<Vec<u32>> {
        let mut unknown = false;
        let active = collect(|above| match self.identify_data(ACTIVE, above, OWN_COMMAND) {
            Err(Error::Command { .. }) if above == 0 => {
                unknown = true;
                Ok(Vec::new())
            }
            other => other,
        })?;
        if unknown { self.with_blocks() } else { Ok(active) }
    }

    /// Those whose size is not zero.
    fn with_blocks(&self) -> Result<Vec<u32>> {
        let mut active = Vec::new();
        for nsid in 1..=self.identify().number_of_namespaces().min(MOST) {
            match self.identify_data(0x00, nsid, OWN_COMMAND) {
                Ok(data) if IdentifyNamespace::from_bytes(&data).size() > 0 => active.push(nsid),
                Ok(_) | Err(Error::Command { .. }) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(active)
    }
}

/// All that is listed, given the part of the list above an identifier.
fn collect(mut list_above: impl FnMut(u32) -> Result<Vec<u8>>) -> Result<Vec<u32>> {
    let mut active = Vec::new();
    loop {
        let above = active.last().copied().unwrap_or(0);
        let list = list_above(above)?;
        let (ids, _) = list.as_chunks::<4>();
        let ids = ids.iter().map(|id| u32::from_le_bytes(*id));
        // A list that does not go up would never end.
        let found: Vec<u32> = ids.take_while(|&id| id != 0).filter(|&id| id > above).collect();
        let whole = found.len() < LISTED;
        active.extend(found);
        if whole || active.len() >= MOST as usize {
            return Ok(active);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ids: impl IntoIterator<Item = u32>) -> Result<Vec<u8>> {
        let mut bytes: Vec<u8> = ids.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.resize(4 * LISTED, 0);
        Ok(bytes)
    }

    #[test]
    fn a_list_goes_on_where_the_one_before_ended() {
        let all: Vec<u32> = (1..=2500).collect();
        let active = collect(|above| list(all.iter().copied().filter(|id| *id > above).take(LISTED)));
        assert_eq!(active.unwrap(), all);
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million identifiers take too long there")]
    fn a_list_that_never_ends_does() {
        let upwards = |above: u32| list(above + 1..=above + LISTED as u32);
        assert_eq!(collect(upwards).unwrap().len(), MOST as usize);
        let again = |above: u32| list([above + 1; LISTED]);
        assert_eq!(collect(again).unwrap().len(), MOST as usize);
        assert_eq!(collect(|_| list([7; LISTED])).unwrap(), [7; LISTED]);
    }
}
