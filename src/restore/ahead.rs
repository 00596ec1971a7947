//! Fetching ahead: while one piece of the files is used, others are on their way, each with a request of its own. A link
//! with a long delay is filled by that, and small files do not wait for each other.
//!
//! Pieces are used in the order in which they were asked for, and taken up in that order too. So the one that is waited
//! for is always on its way, or is fetched by who waits; and what was fetched ahead, which is kept in memory, is never
//! more than a piece for each helper thread.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use super::fetch::{Fetch, Span};
use crate::storage::Storage;

/// Size in bytes of a piece. Each costs the overhead of a request, some hundreds of bytes, and memory.
const PIECE_BYTES: u64 = 1 << 20;

/// What a thread needs: its buffers are elsewhere.
const STACK_BYTES: usize = 256 << 10;

/// What is asked for, on its way, and there.
pub(super) struct Ahead<'env> {
    storage: &'env dyn Storage,
    pauses: &'env [Duration],
    helpers_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Not begun, with their numbers.
    asked: VecDeque<(u64, Span)>,
    asked_in_all: u64,
    /// Pieces that helpers have begun.
    begun: usize,
    /// What they have fetched. With those begun, no more than there may be helpers.
    fetched: BTreeMap<u64, io::Result<Vec<u8>>>,
    helpers: usize,
    idle: usize,
    is_over: bool,
}

impl<'env> Ahead<'env> {
    /// With up to `parallelism` requests at a time, the one of who waits being one of them.
    pub(super) fn new(
        storage: &'env dyn Storage,
        pauses: &'env [Duration],
        parallelism: usize,
    ) -> Ahead<'env> {
        Ahead {
            storage,
            pauses,
            helpers_max: parallelism.saturating_sub(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Lets `work` fetch with helpers, which end with it.
    pub(super) fn run<T>(&self, work: impl FnOnce(&Fetcher<'_, '_, 'env>) -> T) -> T {
        thread::scope(|scope| {
            let fetcher = Fetcher { ahead: self, scope };
            let result = work(&fetcher);
            drop(fetcher);
            result
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.changed.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// What a helper does.
    fn help(&self) {
        let mut state = self.state();
        while !state.is_over {
            let has_room = state.begun + state.fetched.len() < self.helpers_max;
            let Some((number, span)) = has_room.then(|| state.asked.pop_front()).flatten() else {
                state.idle += 1;
                state = self.wait(state);
                state.idle -= 1;
                continue;
            };
            state.begun += 1;
            drop(state);
            let content = self.fetch(span);
            state = self.state();
            state.begun -= 1;
            state.fetched.insert(number, content);
            self.changed.notify_all();
        }
    }

    fn fetch(&self, span: Span) -> io::Result<Vec<u8>> {
        let bytes = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
        // One byte more, which a file that is longer than it was listed has.
        let mut content = Vec::with_capacity(bytes + 1);
        let mut fetch = Fetch::new(self.storage, span, self.pauses).take(span.bytes() + 1);
        fetch.read_to_end(&mut content)?;
        Ok(content)
    }
}

/// The handle by which to fetch. Dropped, no helper begins anything more.
pub(super) struct Fetcher<'scope, 'ahead, 'env> {
    ahead: &'scope Ahead<'env>,
    scope: &'scope Scope<'scope, 'ahead>,
}

impl<'scope, 'env> Fetcher<'scope, '_, 'env> {
    /// Asks for `span`. What is asked for has to be read to its end in the order of asking, or not at all any more.
    pub(super) fn ask(&self, span: Span) -> Asked {
        let ahead = self.ahead;
        let mut state = ahead.state();
        let first = state.asked_in_all;
        let mut from = span.from;
        while from < span.to || from == span.from {
            let to = match ahead.helpers_max {
                0 => span.to,
                _ => span.to.min(from + PIECE_BYTES),
            };
            let number = state.asked_in_all;
            state.asked.push_back((number, Span { from, to, ..span }));
            state.asked_in_all += 1;
            from = to;
            if from == span.from {
                break;
            }
        }
        // Who waits takes up one of them.
        while state.helpers < ahead.helpers_max && state.asked.len() > state.idle + 1 {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            if thread.spawn_scoped(self.scope, || ahead.help()).is_err() {
                break;
            }
            state.helpers += 1;
            state.idle += 1;
        }
        ahead.changed.notify_all();
        Asked {
            next: first,
            end: state.asked_in_all,
        }
    }

    /// The bytes of what was asked for. `progress` is told how many each read gave.
    pub(super) fn stream<'a>(
        &self,
        asked: Asked,
        progress: &'a mut dyn FnMut(u64),
    ) -> Stream<'scope, 'a, 'env> {
        Stream {
            ahead: self.ahead,
            asked,
            current: Current::None,
            progress,
        }
    }
}

impl Drop for Fetcher<'_, '_, '_> {
    fn drop(&mut self) {
        self.ahead.state().is_over = true;
        self.ahead.changed.notify_all();
    }
}

/// A span that was asked for: the numbers of its pieces.
pub(super) struct Asked {
    next: u64,
    end: u64,
}

/// The bytes of a span.
pub(super) struct Stream<'s, 'a, 'env> {
    ahead: &'s Ahead<'env>,
    asked: Asked,
    current: Current<'env>,
    progress: &'a mut dyn FnMut(u64),
}

enum Current<'env> {
    None,
    /// Fetched by a helper.
    There(Cursor<Vec<u8>>),
    /// No helper had begun it.
    Direct(Fetch<'env>),
}

impl<'env> Stream<'_, '_, 'env> {
    /// Waits for the piece `number`, or takes it up.
    fn piece(&self, number: u64) -> io::Result<Current<'env>> {
        let ahead = self.ahead;
        let mut state = ahead.state();
        loop {
            if let Some(content) = state.fetched.remove(&number) {
                ahead.changed.notify_all();
                return Ok(Current::There(Cursor::new(content?)));
            }
            if state
                .asked
                .front()
                .is_some_and(|(first, _)| *first == number)
                && let Some((_, span)) = state.asked.pop_front()
            {
                return Ok(Current::Direct(Fetch::new(
                    ahead.storage,
                    span,
                    ahead.pauses,
                )));
            }
            state = ahead.wait(state);
        }
    }
}

impl Read for Stream<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.current {
                Current::None => 0,
                Current::There(content) => content.read(bytes)?,
                Current::Direct(fetch) => fetch.read(bytes)?,
            };
            if count > 0 || bytes.is_empty() {
                (self.progress)(count as u64);
                return Ok(count);
            }
            if self.asked.next == self.asked.end {
                return Ok(0);
            }
            self.current = self.piece(self.asked.next)?;
            self.asked.next += 1;
        }
    }
}
