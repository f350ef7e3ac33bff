//! Random programs: what somebody may do with handles, in whatever order.

use proptest::prelude::*;
use proptest::sample::Index;

/// One step. An [`Index`] picks one of the handles that exist when the step is reached; without any, the step is
/// left out.
#[derive(Debug, Clone)]
pub enum Step {
    Connect,
    CloneController(Index),
    Close(Index),
    Reset(Index),
    CommandTimeout(Index, u64),
    OpenNamespace(Index),
    /// Remembers checksums; reads are verified.
    Track(Index),
    CloneNamespace(Index),
    CreateQueue(Index, u16),
    ShareQueue(Index),
    DeleteQueue(Index),
    NewBuffer(usize),
    CloneBuffer(Index),
    /// Without waiting; the buffer stays, or is dropped in flight.
    Read {
        namespace: Index,
        queue: Index,
        buffer: Index,
        lba: u64,
        blocks: u32,
        keep: bool,
    },
    Write {
        namespace: Index,
        queue: Index,
        buffer: Index,
        lba: u64,
        blocks: u32,
        keep: bool,
    },
    Flush(Index),
    /// A command as a future; its buffer is dropped at once.
    StartRead(Index, u64),
    /// A future that keeps its controller open, and seldom ends.
    StartEventRequest(Index),
    PollFuture(Index),
    /// Identify into a buffer.
    Identify(Index, Index),
    EventRequest(Index),
    /// Waits for its answer, but perhaps not for long.
    Execute(Index, u64),
    ExecuteAdmin(Index, u64),
    Poll(Index),
    Take(Index),
    PollAdmin(Index),
    TakeAdmin(Index),
    StartWorker(Index, u64),
    FinishWorker(Index),
    JoinWorker(Index),
    /// The queue is driven by another thread for some commands.
    UseElsewhere(Index, Index),
    Drop(Kind, Index, Place),
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Controller,
    Namespace,
    Queue,
    Buffer,
    Worker,
    Future,
}

/// Where a handle is dropped.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    Here,
    /// On another thread, which is waited for at the end only.
    Elsewhere,
}

pub fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Controller),
        Just(Kind::Namespace),
        Just(Kind::Queue),
        Just(Kind::Buffer),
        Just(Kind::Worker),
        Just(Kind::Future),
    ]
}

pub fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Here), Just(Place::Elsewhere)]
}

fn one() -> impl Strategy<Value = Index> {
    any::<Index>()
}

fn transfer() -> impl Strategy<Value = (Index, Index, Index, u64, u32, bool)> {
    // Few blocks, so that commands meet where a namespace is tracked.
    (one(), one(), one(), 0_u64..32, 1_u32..9, any::<bool>())
}

fn patience() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), Just(200)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Connect),
        1 => one().prop_map(Step::CloneController),
        1 => one().prop_map(Step::Close),
        1 => one().prop_map(Step::Reset),
        1 => (one(), 0_u64..3).prop_map(|(at, milliseconds)| Step::CommandTimeout(at, milliseconds)),
        3 => one().prop_map(Step::OpenNamespace),
        2 => one().prop_map(Step::Track),
        1 => one().prop_map(Step::CloneNamespace),
        5 => (one(), 2_u16..40).prop_map(|(at, depth)| Step::CreateQueue(at, depth)),
        1 => one().prop_map(Step::ShareQueue),
        1 => one().prop_map(Step::DeleteQueue),
        3 => (1_usize..12_000).prop_map(Step::NewBuffer),
        1 => one().prop_map(Step::CloneBuffer),
        8 => transfer().prop_map(|(namespace, queue, buffer, lba, blocks, keep)| Step::Read {
            namespace, queue, buffer, lba, blocks, keep,
        }),
        8 => transfer().prop_map(|(namespace, queue, buffer, lba, blocks, keep)| Step::Write {
            namespace, queue, buffer, lba, blocks, keep,
        }),
        2 => one().prop_map(Step::Flush),
        8 => (one(), 0_u64..32).prop_map(|(at, lba)| Step::StartRead(at, lba)),
        1 => one().prop_map(Step::StartEventRequest),
        6 => one().prop_map(Step::PollFuture),
        2 => (one(), one()).prop_map(|(at, buffer)| Step::Identify(at, buffer)),
        1 => one().prop_map(Step::EventRequest),
        2 => (one(), patience()).prop_map(|(at, milliseconds)| Step::Execute(at, milliseconds)),
        2 => (one(), patience()).prop_map(|(at, milliseconds)| Step::ExecuteAdmin(at, milliseconds)),
        5 => one().prop_map(Step::Poll),
        3 => one().prop_map(Step::Take),
        1 => one().prop_map(Step::PollAdmin),
        1 => one().prop_map(Step::TakeAdmin),
        2 => (one(), 1_u64..500).prop_map(|(at, commands)| Step::StartWorker(at, commands)),
        1 => one().prop_map(Step::FinishWorker),
        1 => one().prop_map(Step::JoinWorker),
        2 => (one(), one()).prop_map(|(queue, buffer)| Step::UseElsewhere(queue, buffer)),
        8 => (kind(), one(), place()).prop_map(|(kind, at, place)| Step::Drop(kind, at, place)),
    ]
}

/// A program and the order in which what is left at its end is dropped.
#[derive(Debug, Clone)]
pub struct Program {
    pub steps: Vec<Step>,
    pub end: Vec<(Kind, Index, Place)>,
}

pub fn program(most: usize) -> impl Strategy<Value = Program> {
    let end = prop::collection::vec((kind(), one(), place()), 0..24);
    (prop::collection::vec(step(), 1..most), end).prop_map(|(steps, end)| {
        // Without a controller nothing happens, and without the rest little.
        let begin = [
            Step::Connect,
            Step::OpenNamespace(first()),
            Step::CreateQueue(first(), 16),
            Step::NewBuffer(8192),
        ];
        Program { steps: begin.into_iter().chain(steps).collect(), end }
    })
}

fn first() -> Index {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    any::<Index>().new_tree(&mut runner).expect("an index").current()
}
