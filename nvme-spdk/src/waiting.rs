//! Who waits for which command of a queue, and which of them looks for completions.
//!
//! SPDK has to be polled. Of all futures of a queue one drives: it wakes itself, so that its executor polls it again
//! and again, and looks for the completions of all of them. The others sleep until theirs have come. When the
//! driver ends, the next one drives.
//!
//! A driver that its task does not poll any more, but keeps, would hold up the others. So whoever is polled wakes
//! itself once to see whether the driver looks, and takes its place if it does not.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use crate::queue::Token;

/// The futures of one queue. Its lock is held for moments, within the queue's lock or without; wakers, which run code
/// of others, are called and dropped outside both; cloned they are inside.
#[derive(Default)]
pub(crate) struct Waiting {
    room: Mutex<Room>,
    /// Whether something is in [`Room::called`]: without futures nobody takes the lock.
    called: AtomicBool,
    /// Whether something is in [`Room::given_up`].
    given_up: AtomicBool,
}

#[derive(Default)]
struct Room {
    /// By the place of the command in its queue.
    seats: Vec<Option<Seat>>,
    driver: Option<Token>,
    /// How often a driver was polled.
    rounds: u64,
    /// Those to be woken.
    called: VecDeque<Waker>,
    /// Commands whose futures were dropped, until somebody has the queue's lock.
    given_up: Vec<Token>,
}

struct Seat {
    token: Token,
    /// Taken when it is called.
    waker: Option<Waker>,
}

/// What a future remembers of its last poll.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// While it waits for a sign of the driver: the driver's rounds at the beginning.
    since: Option<u64>,
    /// How often futures of the queue had looked for completions by then.
    pub looks: Option<u64>,
}

/// What is to be done for a future that stays, once no lock is held.
pub(crate) struct Stay {
    /// It wakes itself.
    pub again: bool,
    /// Its former waker is dropped.
    _former: Option<Waker>,
}

impl Waiting {
    /// A future that was polled stays.
    pub(crate) fn stay(&self, token: Token, watch: &mut Watch, waker: &Waker) -> Stay {
        let mut room = self.room.lock();
        let drives = match room.driver {
            None => true,
            Some(driver) => {
                driver == token || watch.since == Some(room.rounds) || room.waits_with(driver, waker)
            }
        };
        let again = if drives {
            room.driver = Some(token);
            room.rounds += 1;
            watch.since = None;
            true
        } else {
            // The second time in a row it has seen the driver at work.
            watch.since = if watch.since.is_none() { Some(room.rounds) } else { None };
            watch.since.is_some()
        };
        Stay { again, _former: room.sit(token, waker) }
    }

    /// A future ends: its command has completed, or it is dropped. If it was the driver, the next one is called.
    /// Returns its waker, to be dropped once no lock is held.
    #[must_use]
    pub(crate) fn leave(&self, token: Token) -> Option<Waker> {
        let mut room = self.room.lock();
        let seat = room.seats.get_mut(token.index())?.take_if(|seat| seat.token == token)?;
        if room.driver == Some(token) {
            room.pass_on(token.index());
        }
        self.called.store(!room.called.is_empty(), Ordering::Relaxed);
        seat.waker
    }

    /// The command in this place has news.
    pub(crate) fn call(&self, index: usize) {
        let mut room = self.room.lock();
        room.call(index);
        self.called.store(!room.called.is_empty(), Ordering::Relaxed);
    }

    /// All commands have: the queue is gone.
    pub(crate) fn call_all(&self) {
        let mut room = self.room.lock();
        room.driver = None;
        for index in 0..room.seats.len() {
            room.call(index);
        }
        self.called.store(!room.called.is_empty(), Ordering::Relaxed);
    }

    /// Wakes those that were called, unless another thread does. No lock of the queue may be held.
    ///
    /// A waker that panics has said so to the panic hook. Whoever happened to find the completion, or deletes the queue,
    /// goes on: others are still to be woken, other queues to be deleted.
    #[inline]
    pub(crate) fn wake(&self) {
        while self.called.load(Ordering::Relaxed)
            && let Some(waker) = self.next_called()
        {
            let _panic_of_another_task = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    #[cold]
    fn next_called(&self) -> Option<Waker> {
        let mut room = self.room.lock();
        let next = room.called.pop_front();
        self.called.store(!room.called.is_empty(), Ordering::Relaxed);
        next
    }

    /// A future was dropped; whoever has the queue's lock is to give up its command.
    pub(crate) fn give_up(&self, token: Token) {
        let mut room = self.room.lock();
        room.given_up.push(token);
        self.given_up.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The commands whose futures were dropped meanwhile; called under the queue's lock.
    #[cold]
    pub(crate) fn each_given_up(&self, abandon: impl Fn(Token)) {
        let mut room = self.room.lock();
        self.given_up.store(false, Ordering::Relaxed);
        room.given_up.drain(..).for_each(abandon);
    }
}

impl Room {
    /// Whether a future is polled by the same task as another one: then that one need not wake it, too.
    fn waits_with(&self, other: Token, waker: &Waker) -> bool {
        let seat = self.seats.get(other.index()).and_then(Option::as_ref).filter(|seat| seat.token == other);
        seat.and_then(|seat| seat.waker.as_ref()).is_some_and(|other| other.will_wake(waker))
    }

    fn sit(&mut self, token: Token, waker: &Waker) -> Option<Waker> {
        let index = token.index();
        if self.seats.len() <= index {
            self.seats.resize_with(index + 1, || None);
        }
        let seat = self.seats[index].get_or_insert(Seat { token, waker: None });
        seat.token = token;
        if seat.waker.as_ref().is_some_and(|former| former.will_wake(waker)) {
            return None;
        }
        seat.waker.replace(waker.clone())
    }

    fn call(&mut self, index: usize) {
        let Some(seat) = self.seats.get_mut(index).and_then(Option::as_mut) else { return };
        let token = seat.token;
        self.called.extend(seat.waker.take());
        if self.driver == Some(token) {
            self.pass_on(index);
        }
    }

    /// The driver in this place ends: the next one behind it is called, and drives.
    fn pass_on(&mut self, index: usize) {
        self.driver = None;
        let sleeps = |seat: &Option<Seat>| seat.as_ref().is_some_and(|seat| seat.waker.is_some());
        let (before, behind) = self.seats.split_at(index.min(self.seats.len()));
        let next = behind.iter().position(sleeps).map(|place| index + place);
        let next = next.or_else(|| before.iter().position(sleeps));
        if let Some(seat) = next.and_then(|next| self.seats[next].as_mut()) {
            self.driver = Some(seat.token);
            self.called.extend(seat.waker.take());
        }
    }
}
