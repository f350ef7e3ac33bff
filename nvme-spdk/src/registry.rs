//! The open controllers of this process, for consoles and reports that show what it does.
//!
//! What is listed here is shared with the controller and never keeps it open: whoever looks gets the logs of
//! queues, and takes no lock that a queue's driver holds for long.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cmdlog::CmdLog;
use crate::identify::IdentifyController;
use crate::qpair::IoLane;
use crate::transport::Address;

/// The live I/O queues of a controller in the order they were created, those of workers included.
pub(crate) type Lanes = Mutex<Vec<Arc<IoLane>>>;

/// What a controller says about itself now: it changes with a reset.
pub(crate) type Identity = Box<dyn Fn() -> IdentifyController + Send + Sync>;

struct Open {
    address: Address,
    identity: Identity,
    admin: Arc<CmdLog>,
    lanes: Arc<Lanes>,
}

static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

/// An open controller as others see it: its address, its model number, and the logs of its queues, the admin
/// queue's first.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub traddr: String,
    pub model: String,
    pub queues: Vec<Arc<CmdLog>>,
}

/// A controller that this process has open, as [`open_controllers`] found it.
#[derive(Clone)]
#[non_exhaustive]
pub struct OpenController {
    /// Where it is.
    pub address: Address,
    /// What it says about itself; all zero on PCIe before it is initialised.
    pub identify: IdentifyController,
    /// The command logs of its queues: the admin queue's first, those of workers included.
    pub queues: Vec<Arc<CmdLog>>,
}

impl fmt::Debug for OpenController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenController({}, {} queues)", self.address, self.queues.len())
    }
}

/// The controllers that this process has open, in the order they were opened. None of them is kept open by this.
pub fn open_controllers() -> Vec<OpenController> {
    let looked = OPEN.lock();
    let open = looked.iter().map(|open| OpenController {
        address: open.address.clone(),
        identify: (open.identity)(),
        queues: open.queues(),
    });
    open.collect()
}

/// Lists a controller until it is [removed](remove). Its queues are what `lanes` holds whenever somebody looks.
pub(crate) fn add(address: Address, identity: Identity, admin: &Arc<CmdLog>, lanes: &Arc<Lanes>) {
    OPEN.lock().push(Open { address, identity, admin: Arc::clone(admin), lanes: Arc::clone(lanes) });
}

/// Takes the controller with these queues off the list; one that is not listed is no error.
pub(crate) fn remove(lanes: &Arc<Lanes>) {
    OPEN.lock().retain(|open| !Arc::ptr_eq(&open.lanes, lanes));
}

/// The open controllers in the order they were opened.
pub(crate) fn list() -> Vec<Listed> {
    OPEN.lock().iter().map(Open::look).collect()
}

impl Open {
    fn look(&self) -> Listed {
        Listed {
            traddr: self.address.traddr(),
            model: (self.identity)().model_number(),
            queues: self.queues(),
        }
    }

    fn queues(&self) -> Vec<Arc<CmdLog>> {
        let lanes = self.lanes.lock();
        let queues = std::iter::once(&self.admin).chain(lanes.iter().map(|lane| lane.log()));
        queues.map(Arc::clone).collect()
    }
}
