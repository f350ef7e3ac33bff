//! The open controllers of this process, for consoles that show what it does.
//!
//! What is listed here is shared with the controller and never keeps it open: whoever looks gets the logs of
//! queues, and takes no lock that a queue's driver holds for long.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::cmdlog::CmdLog;
use crate::qpair::IoLane;

/// The live I/O queues of a controller in the order they were created, those of workers included.
pub(crate) type Lanes = Mutex<Vec<Arc<IoLane>>>;

struct Open {
    traddr: String,
    model: String,
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

/// Lists a controller until it is [removed](remove). Its queues are what `lanes` holds whenever somebody looks.
pub(crate) fn add(traddr: String, model: String, admin: &Arc<CmdLog>, lanes: &Arc<Lanes>) {
    OPEN.lock().push(Open { traddr, model, admin: Arc::clone(admin), lanes: Arc::clone(lanes) });
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
        let lanes = self.lanes.lock();
        let queues = std::iter::once(&self.admin).chain(lanes.iter().map(|lane| lane.log()));
        Listed {
            traddr: self.traddr.clone(),
            model: self.model.clone(),
            queues: queues.map(Arc::clone).collect(),
        }
    }
}
