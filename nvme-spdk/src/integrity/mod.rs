//! Data integrity: every block that is written is remembered, every block that is read can be checked.
//!
//! A namespace may have a table with a checksum per block. Commands of every queue keep it up to date when they
//! complete, and verify what they read. So that a checksum always belongs to the data that is on the medium, the
//! blocks of a command are locked while it is with the controller, and a command that meets a lock waits in its
//! queue. This holds for whatever goes through this process; what others write is found as a mismatch.

mod checksum;
mod content;
mod doubt;
mod guard;
mod stamp;
mod table;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::fork::forked;
use crate::transport::PciAddress;

pub use checksum::Mismatch;
pub(crate) use guard::{Claim, Guard};
pub(crate) use stamp::{share_tokens, skip_tokens, stamp, stamps};
pub(crate) use table::Table;

/// The tables of one controller, by namespace.
#[derive(Default)]
pub(crate) struct Tables {
    shared: Option<Shared>,
    /// Changes with every change of the list: queues keep copies of it.
    version: AtomicU32,
    list: Mutex<Vec<Entry>>,
}

/// How the processes that share a controller find its tables.
struct Shared {
    controller: PciAddress,
    /// Whose they are; `None` for this process's.
    owner: Option<u32>,
}

struct Entry {
    nsid: u32,
    table: Arc<Table>,
    attachment: Weak<Attachment>,
}

/// As long as one of these is held the namespace has its table.
pub(crate) struct Attachment {
    tables: Arc<Tables>,
    table: Arc<Table>,
}

impl Tables {
    /// The tables of a controller that processes share: those of its owner, which `None` says this process is.
    pub(crate) fn shared(controller: PciAddress, owner: Option<u32>) -> Self {
        Tables { shared: Some(Shared { controller, owner }), ..Tables::default() }
    }

    /// The table of a namespace; a new one unless somebody holds it already.
    pub(crate) fn attach(
        self: &Arc<Self>,
        nsid: u32,
        blocks: u64,
        lba_size: u32,
    ) -> io::Result<Arc<Attachment>> {
        let mut list = self.list.lock();
        let held = list.iter().find(|entry| entry.nsid == nsid).and_then(|entry| entry.attachment.upgrade());
        if let Some(held) = held {
            return Ok(held);
        }
        let table = match &self.shared {
            None => Table::new(blocks, lba_size)?,
            Some(shared) => shared.table(nsid, blocks, lba_size)?,
        };
        let table = Arc::new(table);
        let attachment = Arc::new(Attachment { tables: Arc::clone(self), table: Arc::clone(&table) });
        list.retain(|entry| entry.nsid != nsid);
        list.push(Entry { nsid, table, attachment: Arc::downgrade(&attachment) });
        self.changed();
        Ok(attachment)
    }

    /// Forgets the contents of all of them.
    pub(crate) fn clear(&self) {
        for entry in &*self.list.lock() {
            entry.table.clear();
        }
    }

    /// Gives back the locks of processes that died with some; no command is in flight.
    pub(crate) fn unlock_all(&self) {
        for entry in &*self.list.lock() {
            entry.table.unlock_all();
        }
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }
}

impl Shared {
    fn table(&self, nsid: u32, blocks: u64, lba_size: u32) -> io::Result<Table> {
        let name = format!("table:{}:{nsid}", self.controller);
        match self.owner {
            None => Table::shared(&name, blocks, lba_size),
            // Where the owner knows nothing of the namespace there is nothing to share.
            Some(owner) => Table::find(owner, &name).map_or_else(|| Table::new(blocks, lba_size), Ok),
        }
    }
}

impl Attachment {
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if forked() {
            return;
        }
        // By the time this runs somebody may have attached anew, with another table.
        self.tables.list.lock().retain(|entry| !Arc::ptr_eq(&entry.table, &self.table));
        self.tables.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::tests::a_child_can;

    #[test]
    #[cfg_attr(miri, ignore = "forks")]
    fn a_child_lets_go_although_the_list_was_locked_when_it_was_forked() {
        let tables = Arc::new(Tables::default());
        let mut attachment = Some(tables.attach(1, 8, 512).expect("memory"));
        let locked = tables.list.lock();
        assert!(a_child_can(|| drop(attachment.take())));
        drop(locked);
    }
}
