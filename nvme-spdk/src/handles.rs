//! What may cross threads, and why; the compiler checks it.
//!
//! | type | why it is `Send` and `Sync` |
//! |---|---|
//! | [`Controller`], [`Namespace`], [`Qpair`], [`Pending`] | SPDK ties nothing to a thread, it wants one at a time: every call into it is made under the lock of its lane (`lane.rs`) |
//! | [`DmaBuf`], [`Data`] | their bytes are copied in and out through raw pointers; a reference to them needs the only handle (`buffer.rs`) |
//! | [`CmdLog`] | made of atomics: its queue writes, consoles read (`cmdlog`) |
//! | [`IoWorker`] | the thread of a worker owns its queue pair; the handle has atomics and a channel |
//! | [`Target`], [`rpc::Server`], [`pci::Function`] | they hold descriptors of the kernel, and what is not is behind a lock |
//! | [`Command`], [`Completion`], [`Completed`], [`Error`], … | plain values |
//!
//! Futures of blocking calls would not do: [`Pending`] is `Unpin` and `'static` besides, so that it can be spawned on
//! any executor, of one thread or many.
//!
//! `Queue` and `Slot`, which SPDK points to, are `!Sync` on purpose: they are only reached through a lane.

use crate::*;

const fn any_thread<T: Send + Sync + 'static>() {}
const fn spawned<T: std::future::Future<Output = Result<Completed>> + Send + Sync + Unpin + 'static>() {}
const fn unwinds<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}

const _: () = {
    any_thread::<Controller>();
    any_thread::<Namespace>();
    any_thread::<Qpair>();
    any_thread::<DmaBuf>();
    any_thread::<Data>();
    any_thread::<Token>();
    any_thread::<CmdLog>();
    any_thread::<CmdLogEntry>();
    any_thread::<IoWorker>();
    any_thread::<Workload>();
    any_thread::<IoSize>();
    any_thread::<Step>();
    any_thread::<Io>();
    any_thread::<Report>();
    any_thread::<Latency>();
    any_thread::<Failure>();
    any_thread::<Record>();
    any_thread::<Target>();
    any_thread::<TargetBuilder>();
    any_thread::<OpenController>();
    any_thread::<DiscoveryEntry>();
    any_thread::<SubsystemKind>();
    any_thread::<Discovered>();
    any_thread::<rpc::Server>();
    any_thread::<pci::Function>();
    any_thread::<pci::Slot>();
    any_thread::<pci::Bus>();
    any_thread::<pci::Capability>();
    any_thread::<pci::ExtendedCapability>();
    any_thread::<pci::Msi>();
    any_thread::<pci::MsiX>();
    any_thread::<pci::MsixTable>();
    any_thread::<pci::BarOffset>();
    any_thread::<pci::Message>();
    any_thread::<pci::Process>();
    any_thread::<pci::Usage>();
    any_thread::<pci::IommuGroup>();

    any_thread::<Address>();
    any_thread::<PciAddress>();
    any_thread::<TransportId>();
    any_thread::<AddressError>();
    any_thread::<ConnectOptions>();
    any_thread::<QpairOptions>();
    any_thread::<EnvOptions>();
    any_thread::<Env>();
    any_thread::<Memory>();
    any_thread::<Hugepages>();
    any_thread::<Feature>();
    any_thread::<IdentifyController>();
    any_thread::<IdentifyNamespace>();
    any_thread::<LbaFormat>();
    any_thread::<SmartLog>();
    any_thread::<ErrorLogEntry>();
    any_thread::<FirmwareSlotLog>();
    any_thread::<SanitizeLog>();
    any_thread::<SanitizeState>();
    any_thread::<SelfTestLog>();
    any_thread::<SelfTestResult>();
    any_thread::<decode::Decoded>();
    any_thread::<decode::Field>();
    any_thread::<decode::Value>();
    any_thread::<decode::Kind>();
    any_thread::<decode::Queue>();
    any_thread::<decode::UnknownKind>();

    any_thread::<Pattern>();
    any_thread::<DsmRange>();
    any_thread::<CopyRange>();
    any_thread::<CommitAction>();
    any_thread::<SanitizeAction>();
    any_thread::<SecureErase>();
    any_thread::<SelfTest>();
    any_thread::<ZoneAction>();
    any_thread::<Command>();
    any_thread::<Completion>();
    any_thread::<Completed>();
    any_thread::<Outcome>();
    any_thread::<Status>();
    any_thread::<Mismatch>();
    any_thread::<Error>();

    spawned::<Pending>();

    unwinds::<Command>();
    unwinds::<Completed>();
};

/// Has one implementation for a type that is not `Sync`, and two, which is ambiguous, for one that is.
trait NotSync<A> {
    const CHECKED: () = ();
}
impl<T: ?Sized> NotSync<()> for T {}
impl<T: ?Sized + Sync> NotSync<u8> for T {}
const _: () = <queue::Queue as NotSync<_>>::CHECKED;
