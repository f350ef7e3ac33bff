//! Decoders: bytes of the specification as names and values.
//!
//! | function | decodes |
//! |---|---|
//! | [`command()`] | a submission queue entry: admin, NVM, zoned and fabrics commands |
//! | [`completion()`], [`completion_of`] | a completion queue entry, by itself or as the answer to a command |
//! | [`feature_value`], [`feature_data`] | what Get Features returned |
//! | [`log_page`] | what Get Log Page returned |
//! | [`identify()`], [`identify_of`] | what Identify returned, in general or for one I/O command set |
//! | [`register()`] | the value of a controller register |
//! | [`Kind`] | any of these by its name |
//!
//! All return [`Decoded`]: a name, fields, and parts where there are entries. No bytes make them fail: fields that
//! data which ends early does not reach are left out, and values that are reserved say so. Names are those of the
//! NVMe base specification 2.1 and of its command set specifications; those of older devices are the same.
//!
//! ```
//! use nvme_spdk::{Command, Completion, decode};
//!
//! let sent = Command::get_features(0x07);
//! let answer = Completion { cdw0: 0x0003_0003, ..Default::default() };
//! println!("{:#}", decode::command(&sent, decode::Queue::Admin));
//! println!("{:#}", decode::completion_of(&sent, decode::Queue::Admin, &answer));
//! ```

mod admin;
mod command;
mod completion;
mod decoded;
mod fabrics;
mod feature;
mod identify;
mod kind;
mod layout;
mod log;
mod nvm;
mod opcode;
mod register;

pub use command::{command, command_name};
pub use completion::{completion, completion_of};
pub use decoded::{Decoded, Field, Value};
pub use feature::{feature_data, feature_value};
pub use identify::{identify, identify_of};
pub use kind::{Kind, UnknownKind};
pub use log::log_page;
pub use register::register;

/// The kind of queue a command is sent on: the same opcode means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// The admin queue.
    Admin,
    /// An I/O queue.
    Io,
}

impl Queue {
    /// The kind of the queue with this identifier: 0 is the admin queue's.
    pub const fn of(qid: u16) -> Self {
        if qid == 0 { Queue::Admin } else { Queue::Io }
    }
}
