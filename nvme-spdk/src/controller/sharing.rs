//! What becomes of a PCIe controller that several processes use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Controller;
use super::inner::{Facts, Inner};
use super::pcie::CSTS_READY;
use super::registers::CSTS;
use crate::deadline::{Deadline, bounded};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::integrity::Tables;
use crate::log;
use crate::observer::Scope;
use crate::sharing::board::{Closed, Member, Owner};
use crate::sharing::process::Part;
use crate::transport::PciAddress;

/// Whether others use a controller, or this process uses another's.
pub(crate) enum Sharing {
    Alone,
    Owner {
        board: Owner,
        /// A process has died, maybe with blocks locked.
        locks_lost: AtomicBool,
    },
    Member {
        owner: u32,
        stay: Mutex<Option<Member>>,
    },
}

impl Sharing {
    /// Before a function is attached to: a member says that it comes.
    pub(super) fn of(env: &Env, function: PciAddress) -> Result<Self> {
        match env.part() {
            Part::Alone => Ok(Sharing::Alone),
            Part::Owner => match Owner::new(function) {
                Ok(board) => Ok(Sharing::Owner { board, locks_lost: AtomicBool::new(false) }),
                Err(why) => {
                    tracing::warn!("child processes cannot share {function}: {why}");
                    Ok(Sharing::Alone)
                }
            },
            Part::Member(owner) => {
                let stay = Mutex::new(Some(Member::come(owner, function)?));
                Ok(Sharing::Member { owner, stay })
            }
        }
    }

    /// The tables of its namespaces.
    pub(super) fn tables(&self, function: PciAddress) -> Tables {
        match self {
            Sharing::Alone => Tables::default(),
            Sharing::Owner { .. } => Tables::shared(function, None),
            Sharing::Member { owner, .. } => Tables::shared(function, Some(*owner)),
        }
    }

    /// Nothing of the controller is used here any more.
    pub(super) fn end(&self) {
        if let Sharing::Member { stay, .. } = self {
            *stay.lock() = None;
        }
    }
}

impl Inner {
    /// The process that has to be asked for what concerns all who use the controller.
    pub(super) fn owner(&self) -> Option<u32> {
        match self.sharing() {
            Sharing::Member { owner, .. } => Some(*owner),
            _ => None,
        }
    }

    /// Has the other processes leave; none comes as long as the result is held.
    pub(super) fn close_to_others(&self) -> Result<Option<Closed<'_>>> {
        let Sharing::Owner { board, locks_lost } = self.sharing() else { return Ok(None) };
        let closed = board.close()?;
        self.forget(board, locks_lost);
        Ok(Some(closed))
    }

    /// Takes back the queues of processes that have died.
    pub(crate) fn forget_the_dead(&self) {
        if let Sharing::Owner { board, locks_lost } = self.sharing() {
            self.forget(board, locks_lost);
        }
    }

    /// Gives back the locks of processes that have died, when nothing is in flight.
    pub(super) fn unlock_for_the_dead(&self) {
        if let Sharing::Owner { locks_lost, .. } = self.sharing()
            && locks_lost.swap(false, Ordering::Relaxed)
        {
            self.tables().unlock_all();
        }
    }

    fn forget(&self, board: &Owner, locks_lost: &AtomicBool) {
        if !board.has_dead() {
            return;
        }
        // They stay on the board until something can be done about what they left.
        let Ok(link) = self.admin().lock() else { return };
        let _scope = Scope::new(Some(self.admin().log()), None);
        for pid in board.take_dead() {
            locks_lost.store(true, Ordering::Relaxed);
            tracing::warn!("process {pid}, which shared {}, has ended without closing it", self.address());
            // SAFETY: the controller is open while its lane is locked.
            let forget = || unsafe { spdk_sys::shim_forget(link.handle.as_ptr(), pid.cast_signed()) };
            log::quietly(|| bounded(&Deadline::after(self.options().timeout), forget));
        }
    }
}

impl Controller {
    /// Joins what the owner has opened and initialised.
    pub(super) fn join(&self, owner: u32) -> Result<()> {
        let what = |why| Error::Open {
            address: self.address().to_string(),
            why,
            remedy: "let the process that opened it initialise it first".to_owned(),
        };
        if self.read_register(CSTS)? & CSTS_READY == 0 {
            return Err(what(format!("process {owner} has not initialised it")));
        }
        let link = self.inner.admin().lock().map_err(|e| self.inner.explain(e))?;
        // SAFETY: the controller is open while its lane is locked.
        let granted = unsafe { spdk_sys::shim_ctrlr_max_io_queues(link.handle.as_ptr()) };
        drop(link);
        let max_io_queues = u16::try_from(granted).unwrap_or(u16::MAX);
        self.inner.set_facts(Facts { max_io_queues, ..(*self.inner.facts()).clone() });
        self.read_identify()?;
        if let Sharing::Member { stay, .. } = self.inner.sharing()
            && let Some(member) = &*stay.lock()
        {
            let inner = Arc::downgrade(&self.inner);
            member.watch(owner, move || inner.upgrade().is_none_or(|inner| inner.leave()))?;
        }
        Ok(())
    }

    /// What concerns all processes that share the controller is for its owner to do.
    pub(super) fn only_owner(&self, what: &str) -> Result<()> {
        match self.inner.owner() {
            None => Ok(()),
            Some(owner) => Err(Error::Unsupported(format!(
                "{} is shared with process {owner}, which opened it: {what} belongs there",
                self.address()
            ))),
        }
    }
}

impl Inner {
    /// The owner wants it back: as if it was closed here. Whether nothing is left of it.
    fn leave(&self) -> bool {
        tracing::info!("{} is closed: the process that opened it resets or closes it", self.address());
        self.close();
        self.admin().is_freed()
    }
}
