//! How to use this crate, from getting SPDK to many commands at a time.
//!
//! 1. [Getting SPDK](#getting-spdk)
//! 2. [A first program](#a-first-program)
//! 3. [Buffers, and who owns them](#buffers-and-who-owns-them)
//! 4. [Three ways to send commands](#three-ways-to-send-commands)
//! 5. [Asking a controller](#asking-a-controller)
//! 6. [Data integrity](#data-integrity)
//! 7. [Load](#load)
//! 8. [Errors](#errors)
//! 9. [Threads and processes](#threads-and-processes)
//! 10. [Testing without an SSD](#testing-without-an-ssd)
//! 11. [Logging](#logging)
//! 12. [Environment variables](#environment-variables)
//! 13. [What a device does with memory](#what-a-device-does-with-memory)
//! 14. [What does not compile](#what-does-not-compile)
//! 15. [Going around this crate](#going-around-this-crate)
//!
//! # Getting SPDK
//!
//! `spdk-sys` links SPDK and DPDK. Its build script takes the first it finds of: a built SPDK tree named by `SPDK_DIR`, a
//! system SPDK that pkg-config knows, and the tree under `vendor/` of this project's repository. If there is none, it
//! says which command to run. [`spdk_version`](crate::spdk_version) tells at run time which one it was;
//! what that one cannot do ends with [`Error::Unsupported`](crate::Error::Unsupported), which says why.
//!
//! SPDK starts by itself, once per process, with the first buffer or controller.
//! [`Env::start`](crate::Env::start) starts it with options of yours before that. Hugepages and root are
//! needed for PCIe only: without them, DMA memory is ordinary memory, and NVMe/TCP works all the same. That
//! is the default, [`Memory::Auto`](crate::Memory::Auto): hugepages as root where there are enough, else up
//! to 1024 MiB of ordinary memory, which is taken as it is used.
//!
//! For PCIe, as root: reserve hugepages of 2 MiB (`echo 512 > /proc/sys/vm/nr_hugepages`), and give the
//! function to a driver that leaves it to processes, `vfio-pci` or `uio_pci_generic`, as
//! [`pci::Function::bind`](crate::pci::Function::bind) does. A function that the kernel's driver has is never
//! taken from it without being asked.
//!
//! # A first program
//!
//! ```no_run
//! use nvme_spdk::{ConnectOptions, Controller, DmaBuf};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // "0000:01:00.0" is a PCI function, anything else the host of an NVMe/TCP target.
//!     let address = "192.168.1.7:4420".parse()?;
//!     let controller = Controller::connect(&address, ConnectOptions::new())?;
//!     println!("{}", controller.identify().model_number());
//!
//!     let namespace = controller.namespace(1)?;
//!     let qpair = controller.create_qpair(64)?;
//!     let buffer = DmaBuf::new(8 * namespace.lba_size() as usize)?;
//!     buffer.write(0, b"hello world");
//!     namespace.write(&qpair, &buffer, 0, 8)?;
//!     namespace.read(&qpair, &buffer, 0, 8)?;
//!     assert_eq!(buffer.to_vec(0..11), b"hello world");
//!     Ok(())
//! }
//! ```
//!
//! A [`Controller`](crate::Controller) is a handle that can be cloned; it is closed with its last handle, and queue pairs
//! and namespaces are handles, too. Everything can be dropped in any order.
//!
//! # Buffers, and who owns them
//!
//! Data is transferred without a copy, from and to [`DmaBuf`](crate::DmaBuf)s. A command in flight owns a clone of its
//! buffer's handle, so that memory is never freed under DMA, however the buffer, the queue pair or the future that
//! belongs to it are dropped. The other side of it: while a command is in flight, its bytes may change at any
//! moment. They are therefore copied in and out ([`read`](crate::DmaBuf::read), [`write`](crate::DmaBuf::write)), and lent
//! as a slice to a sole owner only, by [`get_mut`](crate::DmaBuf::get_mut), when no command has them.
//!
//! [`Data`](crate::Data) is the part of a buffer that a command transfers; `Data::from(&buffer)` is all of it.
//!
//! # Three ways to send commands
//!
//! | style | calls | good for |
//! |---|---|---|
//! | blocking | [`Qpair::execute`](crate::Qpair::execute), [`Namespace::read`](crate::Namespace::read), [`Controller::execute`](crate::Controller::execute) | one command at a time: setting up, asking, tests |
//! | tokens | [`Qpair::submit`](crate::Qpair::submit), [`poll`](crate::Qpair::poll), [`next_completion`](crate::Qpair::next_completion) | many in flight, from a loop of your own: no allocation, no waker, the least time per command |
//! | futures | [`Qpair::start`](crate::Qpair::start), [`Namespace::start_read`](crate::Namespace::start_read), [`Controller::start`](crate::Controller::start) | many in flight, from code that is `async` already, on any executor |
//!
//! They can be mixed on one queue pair: a completion goes to where its command came from.
//!
//! With tokens, the token says which command a completion is of, and its [`index`](crate::Token::index) is
//! good for what is kept per command: on a new queue commands have the places 0, 1, 2 and so on, and a place
//! is free again when the completion is taken. (With a [command
//! timeout](crate::Controller::set_command_timeout), a completion may also say
//! [`Outcome::TimedOut`](crate::Outcome::TimedOut): such a command keeps its place and its buffer, and comes
//! once more if the controller completes it after all.)
//!
//! ```no_run
//! # use nvme_spdk::{ConnectOptions, Controller, DmaBuf};
//! # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
//! let (namespace, qpair) = (controller.namespace(1)?, controller.create_qpair(33)?);
//! let bytes = 8 * namespace.lba_size() as usize;
//! let buffers = (0..32).map(|_| DmaBuf::new(bytes)).collect::<Result<Vec<_>, _>>()?;
//! let mut lba = 0;
//! for buffer in &buffers {
//!     namespace.submit_read(&qpair, buffer, 0, lba, 8)?;
//!     lba += 8;
//! }
//! while lba + 8 <= namespace.blocks() {
//!     qpair.poll()?;
//!     while let Some(done) = qpair.next_completion()? {
//!         let done = done.success()?;
//!         // Its place is free again, and so is its buffer.
//!         namespace.submit_read(&qpair, &buffers[done.token.index()], 0, lba, 8)?;
//!         lba += 8;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With futures, the command is on its way when the call has returned; the [`Pending`](crate::Pending) stands for its
//! completion. There is no thread behind it, and no runtime: whoever polls it looks at the queue.
//!
//! ```no_run
//! # use nvme_spdk::{DmaBuf, Namespace, Qpair, Result};
//! async fn copy(namespace: &Namespace, qpair: &Qpair, from: u64, to: u64) -> Result<()> {
//!     let buffer = DmaBuf::new(8 * namespace.lba_size() as usize)?;
//!     namespace.start_read(qpair, &buffer, 0, from, 8)?.await?.success()?;
//!     namespace.start_write(qpair, &buffer, 0, to, 8)?.await?.success()?;
//!     Ok(())
//! }
//! ```
//!
//! Dropping a future gives its command up, so `select` and the timeouts of executors work as they should. See
//! [`Pending`](crate::Pending) for what else holds, and for tasks that share a queue.
//!
//! Commands are built by [`Command`](crate::Command): by a constructor of the command's name, or field by field.
//!
//! ```
//! use nvme_spdk::{Command, decode};
//!
//! let write = Command::write(1, 0x1000, 8).force_unit_access();
//! let vendor = Command::admin(0xc1).nsid(1).cdw10(0x1234);
//! assert_eq!(vendor.dwords()[10], 0x1234);
//! println!("{:#}", decode::command(&write, decode::Queue::Io));
//! ```
//!
//! # Asking a controller
//!
//! [`Controller::identify`](crate::Controller::identify) and [`Namespace::identify`](crate::Namespace::identify) have what
//! was read when they were opened. [`smart_log`](crate::Controller::smart_log),
//! [`error_log`](crate::Controller::error_log) and their like return log pages as structures, with units;
//! [`get_feature`](crate::Controller::get_feature), [`set_feature`](crate::Controller::set_feature) and
//! [`identify_bytes`](crate::Controller::identify_bytes) whatever else there is. [`decode`](crate::decode) shows all of
//! it, and every command and completion, to people.
//!
//! ```
//! use nvme_spdk::{SmartLog, decode};
//!
//! let mut bytes = [0; SmartLog::SIZE];
//! bytes[1..3].copy_from_slice(&310_u16.to_le_bytes());
//! assert_eq!(SmartLog::from_bytes(&bytes).temperature(), Some(37));
//! assert!(decode::log_page(0x02, &bytes).to_string().contains("37 °C"));
//! ```
//!
//! # Data integrity
//!
//! A [tracked](crate::Namespace::track) namespace has a checksum of each block that was written, by whatever
//! command on whichever queue of this controller. With [`verify`](crate::Namespace::verify) switched on, each
//! read is compared, and one that is wrong completes with
//! [`Status::DATA_MISMATCH`](crate::Status::DATA_MISMATCH) and a [`Mismatch`](crate::Mismatch) that says
//! where.
//!
//! ```no_run
//! # use nvme_spdk::{ConnectOptions, Controller, DmaBuf};
//! # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
//! # let qpair = controller.create_qpair(8)?;
//! let namespace = controller.namespace(1)?.track(None)?;
//! namespace.verify(true);
//! let buffer = DmaBuf::new(namespace.lba_size() as usize)?;
//! namespace.write(&qpair, &buffer, 0, 1)?;
//! // An error if this is not what was written.
//! namespace.read(&qpair, &buffer, 0, 1)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Load
//!
//! An [`IoWorker`](crate::IoWorker) sends a [`Workload`](crate::Workload) from a thread and a queue pair of its own, at
//! the full speed of one processor, and returns a [`Report`](crate::Report) with latencies.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use nvme_spdk::{ConnectOptions, Controller, IoWorker, Workload};
//! # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
//! let workload = Workload::new().io_size(8).read_percentage(70).time(Duration::from_secs(10));
//! let report = IoWorker::start(&controller.namespace(1)?, &workload)?.join();
//! println!("{} commands, 99 % within {:?}", report.ios, report.latency.percentile(99.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! There is one type, [`Error`](crate::Error), whose text says what was tried, what happened and what to do. What a
//! controller answers is no error to begin with: `execute`, completions and futures return the status in the
//! completion, as a test may want it; [`Completed::success`](crate::Completed::success) and the calls that stand for a
//! purpose, such as [`Namespace::read`](crate::Namespace::read), make [`Error::Command`](crate::Error::Command) of it.
//!
//! Calls that wait have a bound. Connecting, creating queue pairs and registers end with
//! [`Error::Timeout`](crate::Error::Timeout) after
//! [`ConnectOptions::timeout`](crate::ConnectOptions::timeout), blocking commands after theirs, 10 seconds
//! where none is given. [`interrupt`](crate::interrupt) ends such waits from outside.
//!
//! Two things have no bound of their own. [`IoWorker::join`](crate::IoWorker::join) waits for as long as its
//! workload says; [`IoWorker::wait`](crate::IoWorker::wait) has one. Commands sent with `submit` or `start`
//! may take for ever, and a future that is awaited with them, unless there is a [command
//! timeout](crate::Controller::set_command_timeout).
//!
//! # Threads and processes
//!
//! Every handle is `Send` and `Sync`. A queue pair is used by one thread at a time, under a lock that is held for
//! single calls: sharing one is safe, a queue pair per thread or task is fast.
//!
//! Several processes can share a PCIe controller: one opens it, its children attach to it; NVMe/TCP needs nothing for
//! that, each connects for itself. A process that was forked, and not started anew, cannot use SPDK, and is told so
//! by [`Error::Forked`](crate::Error::Forked).
//!
//! # Testing without an SSD
//!
//! [`Target::start`](crate::Target::start) runs SPDK's own NVMe/TCP target on the loopback, with namespaces in memory:
//!
//! ```no_run
//! use nvme_spdk::{ConnectOptions, Controller, Target};
//!
//! let target = Target::builder().namespaces(2).megabytes(64).start()?;
//! let controller = Controller::connect(target.address(), ConnectOptions::new())?;
//! assert_eq!(controller.active_namespaces()?, [1, 2]);
//! # Ok::<(), nvme_spdk::Error>(())
//! ```
//!
//! Its program is SPDK's `nvmf_tgt`: that of the tree this crate was built with, one in `PATH`, or the one
//! that `NVMF_TGT` names.
//!
//! # Logging
//!
//! What a program may want to know beside errors goes out as events of [`tracing`](https://docs.rs/tracing).
//! Without a subscriber, such as that of `tracing-subscriber`, nothing is printed. Nothing is logged per
//! command: for that, each queue has its [`CmdLog`](crate::CmdLog).
//!
//! | target | level | what |
//! |---|---|---|
//! | `nvme_spdk` and its modules | error | data of a verified read that is wrong, with the completion as the controller sent it; handles that were dropped and could not be deleted or closed; a worker that cannot send; a JSON-RPC server that ends |
//! | | warn | ordinary memory for want of hugepages; controllers that cannot be shared; processes that died without closing one they shared; a driver that could not be given back to a function |
//! | | info | verification switched on or off; a shared controller that its owner closes |
//! | `spdk` | as SPDK's | what SPDK and DPDK say, with the fields `file`, `line` and `func`; SPDK's notices are info, with `notice` |
//! | | debug | the same during calls whose failure becomes an error of this crate |
//!
//! Events come while locks of this crate are held: a subscriber must not call into it.
//!
//! # Environment variables
//!
//! | variable | read by | what it says |
//! |---|---|---|
//! | `NVME_MEMORY_MB` | starting SPDK with [`Memory::Auto`](crate::Memory::Auto), where there are no hugepages | MiB of ordinary memory at most, 1024 otherwise |
//! | `NVME_SHARING` | starting SPDK as root with hugepages | `0`: PCIe controllers are not shared with [other processes](crate::Env::owner) |
//! | `NVME_RPC_SOCKET` | [`rpc::default_path`](crate::rpc::default_path) | where to serve consoles; empty for nowhere |
//! | `SUDO_UID`, `SUDO_GID` | [`rpc::Server::start`](crate::rpc::Server::start) as root | whose the socket is |
//! | `NVMF_TGT` | [`TargetBuilder::start`](crate::TargetBuilder::start) | the program of the embedded target |
//! | `SPDK_DIR`, `PATH` | [`TargetBuilder::start`](crate::TargetBuilder::start) without `NVMF_TGT` | an SPDK tree with the program in `build/bin`; folders to look in |
//! | `TMPDIR` | [`TargetBuilder::start`](crate::TargetBuilder::start) | where the target has its configuration, log and RPC socket |
//!
//! The build reads `SPDK_DIR`, `SPDK_NO_PKG_CONFIG`, `PKG_CONFIG`, `PKG_CONFIG_PATH`, `LIBCLANG_PATH` and
//! `DOCS_RS`: see `spdk-sys`.
//!
//! # What a device does with memory
//!
//! A PCIe device reads and writes memory by itself (DMA), at addresses and over lengths that commands and
//! registers give it. No compiler sees that. The functions here are safe functions all the same, because this
//! is a test driver: it sends what it is told to, wrong commands included. What the types promise is that the
//! data of a command is neither freed nor lent while it is in flight. The rest is up to whoever builds the
//! commands.
//!
//! Over NVMe/TCP there is no DMA. SPDK copies what arrives, and compares its length with the data of the
//! command first. The rest of this section is about PCIe.
//!
//! **Without an IOMMU an address is any memory of the machine**, that of the kernel and of other programs
//! included. With one, and the function bound to `vfio-pci`, a device reaches the DMA memory of this process
//! and of those that share its environment, which may still be the wrong buffer.
//!
//! | computes lengths itself | sends what it gets |
//! |---|---|
//! | [`Namespace::read`](crate::Namespace::read), `write`, `submit_read`, `submit_write`, `start_read`, `start_write`, `deallocate` | [`Namespace::submit`](crate::Namespace::submit), [`Namespace::start`](crate::Namespace::start) |
//! | [`Controller::identify_bytes`](crate::Controller::identify_bytes), [`log_page`](crate::Controller::log_page) and what returns structures | [`Controller::execute`](crate::Controller::execute), `submit`, `start`; [`get_feature_data`](crate::Controller::get_feature_data), whose length is the caller's |
//! | [`IoWorker`](crate::IoWorker), for commands that transfer their blocks, and Dataset Management | [`Qpair::execute`](crate::Qpair::execute), `submit`, `start` |
//!
//! * A command describes to the device the pages of its [`Data`](crate::Data), and no more. One that
//!   transfers more than that, because its number of blocks or dwords says so, goes on where nobody said.
//! * Without data, the data pointer is sent as it stands in [`Command::dptr`](crate::Command), and so is
//!   always the metadata pointer: an address of yours, or 0, which is an address, too.
//!   [`DmaBuf::physical_address`](crate::DmaBuf::physical_address) tells those of a buffer, which has to be
//!   kept until the command has completed: the command does not know of it.
//! * Create I/O Submission Queue and Create I/O Completion Queue tell the device where their data *begins*:
//!   the queue is one contiguous piece from there on, and in use until it is deleted. So long, or until the
//!   controller is reset or closed, the controller keeps a clone of the buffer; that of Doorbell Buffer Config
//!   likewise.
//! * Lengths that are computed are blocks times [`Namespace::lba_size`](crate::Namespace::lba_size), which is
//!   that of opening the namespace, or of the last [`refresh`](crate::Namespace::refresh). A format to larger
//!   blocks makes it wrong until then: use [`format_nvm`](crate::Namespace::format_nvm), or
//!   [`formatted`](crate::Namespace::formatted) after a format by other means, with no command in flight
//!   meanwhile.
//! * Metadata is not in those lengths: reads, writes and workers of a namespace that has any are refused. With
//!   [extended LBAs](crate::IdentifyNamespace::extended_lba) each block transfers more than its data; separate
//!   metadata goes to and from the metadata pointer. Build such commands yourself, with data that is long enough
//!   and `mptr` set.
//! * Registers say where queues are, and how large a page is: see
//!   [`Controller::write_register`](crate::Controller::write_register). Configuration space says where
//!   registers and messages of interrupts are: see [`pci::Function::write`](crate::pci::Function::write).
//! * The checksums of a tracked namespace are computed when a completion is found, of writes as well. Leave a
//!   buffer alone while a command has it, or data is called wrong that is not.
//! * A device that does not answer when a queue pair is deleted may still use the data of its commands. It is
//!   kept from accessing memory until it is initialised anew; the other queue pairs of its controller end, too.
//! * A device that goes on writing after it has completed a command is broken, and only an IOMMU helps.
//!
//! # What does not compile
//!
//! The bytes of a buffer cannot be held while a command takes it:
//!
//! ```compile_fail,E0502
//! # use nvme_spdk::{Command, Data, DmaBuf, Qpair};
//! fn write(qpair: &Qpair, mut buffer: DmaBuf) {
//!     let bytes = buffer.get_mut().unwrap();
//!     let done = qpair.execute(&Command::write(1, 0, 1), Some(Data::from(&buffer)));
//!     bytes[0] = 1;
//! }
//! ```
//!
//! A completion is taken once:
//!
//! ```compile_fail,E0382
//! # use nvme_spdk::{Command, Qpair};
//! async fn flush(qpair: &Qpair) -> nvme_spdk::Result<()> {
//!     let pending = qpair.start(&Command::flush(1), None)?;
//!     pending.await?;
//!     pending.await?;
//!     Ok(())
//! }
//! ```
//!
//! A command whose future is dropped at once is a mistake, with warnings as errors:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use nvme_spdk::{Command, Qpair};
//! fn flush(qpair: &Qpair) -> nvme_spdk::Result<()> {
//!     qpair.start(&Command::flush(1), None)?;
//!     Ok(())
//! }
//! ```
//!
//! So is a field that is set in a copy of a command, and thereby lost:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use nvme_spdk::{Command, Qpair};
//! fn flush(qpair: &Qpair) -> nvme_spdk::Result<()> {
//!     let command = Command::flush(1);
//!     command.cdw10(1);
//!     qpair.execute(&command, None)?.success()?;
//!     Ok(())
//! }
//! ```
//!
//! What is meant can be said:
//!
//! ```
//! #![deny(unused_must_use)]
//! # use nvme_spdk::{Command, Qpair};
//! fn flush(qpair: &Qpair) -> nvme_spdk::Result<()> {
//!     let _ = qpair.start(&Command::flush(1), None)?;
//!     let command = Command::flush(1);
//!     let _ = command.cdw10(1);
//!     qpair.execute(&command, None)?.success()?;
//!     Ok(())
//! }
//! ```
//!
//! A worker or target is gone when it has been joined or stopped:
//!
//! ```compile_fail,E0382
//! # fn twice(worker: nvme_spdk::IoWorker) {
//! worker.join();
//! worker.finish();
//! # }
//! ```
//!
//! Errors matched as if there would never be a new one:
//!
//! ```compile_fail,E0004
//! fn is_timeout(error: &nvme_spdk::Error) -> bool {
//!     match error {
//!         nvme_spdk::Error::Timeout { .. } => true,
//!         nvme_spdk::Error::Interrupted { .. } => false,
//!     }
//! }
//! ```
//!
//! A reserved value where the specification has a list:
//!
//! ```compile_fail,E0308
//! let sanitize = nvme_spdk::Command::sanitize(7);
//! ```
//!
//! # Going around this crate
//!
//! [`raw`](crate::raw) lends SPDK's own handles, for what there is no call for here. Its functions are `unsafe`; nothing
//! else in this crate asks for that, or has an SPDK type or a raw pointer in its signature.
