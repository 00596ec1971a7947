//! Fetching ahead: while one piece of the files is used, others are on their way, each with a request of its own. A
//! link with a long delay is filled by that, and small files do not wait for each other.
//!
//! Pieces are used in the order in which they were asked for, and taken up in that order too. So the one that is waited
//! for is always on its way, or is fetched by who waits; and what was fetched ahead, which is kept in memory, is never
//! more than a piece for each request that may be under way.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use super::fetch::{Fetch, Span};
use crate::storage::Storage;

/// Size in bytes of a piece, at most. Each costs the overhead of a request, some hundreds of bytes, and memory.
const PIECE_MAX: u64 = 1 << 20;
/// At least.
const PIECE_MIN: u64 = 256 << 10;
/// Into so many pieces all is cut, within these bounds: of a small restore that is killed no large part was ahead.
const PIECES: u64 = 256;

/// What a thread needs: its buffers are elsewhere.
const STACK_BYTES: usize = 256 << 10;

/// What is asked for, on its way, and there.
pub(super) struct Ahead<'env> {
    storage: &'env dyn Storage,
    pauses: &'env [Duration],
    parallelism: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// A piece, and its content.
type Fetched = (Span, io::Result<Vec<u8>>);

#[derive(Default)]
struct State {
    /// What is left to begin of the spans, with their numbers.
    asked: VecDeque<(u64, Span)>,
    asked_in_all: u64,
    piece_bytes: u64,
    /// Under way, by helpers or by who waits.
    begun: usize,
    /// What helpers have fetched, by span and first byte.
    fetched: BTreeMap<(u64, u64), Fetched>,
    helpers: usize,
    idle: usize,
    is_over: bool,
}

impl<'env> Ahead<'env> {
    /// With up to `parallelism` requests at a time, the one of who waits being one of them, for `total` bytes.
    pub(super) fn new(
        storage: &'env dyn Storage,
        pauses: &'env [Duration],
        parallelism: usize,
        total: u64,
    ) -> Ahead<'env> {
        Ahead {
            storage,
            pauses,
            parallelism: parallelism.max(1),
            state: Mutex::new(State {
                piece_bytes: match parallelism {
                    0 | 1 => u64::MAX,
                    _ => (total / PIECES).clamp(PIECE_MIN, PIECE_MAX),
                },
                ..State::default()
            }),
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
            let has_room = state.begun + state.fetched.len() < self.parallelism;
            let Some((number, span)) = has_room.then(|| state.begin()).flatten() else {
                state = self.wait(state);
                continue;
            };
            state.idle -= 1;
            drop(state);
            let content = self.fetch(span);
            state = self.state();
            state.begun -= 1;
            state.idle += 1;
            state.fetched.insert((number, span.from), (span, content));
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

impl State {
    /// Takes the first piece that is not begun.
    fn begin(&mut self) -> Option<(u64, Span)> {
        let (number, span) = self.asked.pop_front()?;
        self.begun += 1;
        let to = span.to.min(span.from.saturating_add(self.piece_bytes));
        if to < span.to {
            self.asked.push_front((number, Span { from: to, ..span }));
        }
        Some((number, Span { to, ..span }))
    }

    /// How many pieces there are to begin.
    fn to_begin(&self) -> u64 {
        let pieces = |(_, span): &(u64, Span)| span.bytes().div_ceil(self.piece_bytes).max(1);
        self.asked.iter().map(pieces).sum()
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
        let number = state.asked_in_all;
        state.asked_in_all += 1;
        state.asked.push_back((number, span));
        // Who waits takes up one of them. With that alone there are no helpers.
        let helpers_max = match ahead.parallelism {
            1 => 0,
            more => more,
        };
        while state.helpers < helpers_max && (state.idle as u64) + 1 < state.to_begin() {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            if thread.spawn_scoped(self.scope, || ahead.help()).is_err() {
                break;
            }
            state.helpers += 1;
            state.idle += 1;
        }
        ahead.changed.notify_all();
        Asked { number, span }
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
            left: 0,
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

/// A span that was asked for.
pub(super) struct Asked {
    number: u64,
    /// What is still to be used of it.
    span: Span,
}

/// The bytes of a span.
pub(super) struct Stream<'s, 'a, 'env> {
    ahead: &'s Ahead<'env>,
    asked: Asked,
    current: Current<'s, 'env>,
    /// How many bytes of the current piece are still to come.
    left: u64,
    progress: &'a mut dyn FnMut(u64),
}

enum Current<'s, 'env> {
    None,
    /// Fetched by a helper.
    There(Cursor<Vec<u8>>),
    /// No helper had begun it.
    Direct(
        Fetch<'env>,
        #[expect(dead_code, reason = "dropped, it counts")] Begun<'s, 'env>,
    ),
}

/// One request that is under way.
struct Begun<'s, 'env>(&'s Ahead<'env>);

impl Drop for Begun<'_, '_> {
    fn drop(&mut self) {
        self.0.state().begun -= 1;
        self.0.changed.notify_all();
    }
}

impl Stream<'_, '_, '_> {
    /// Goes on to the next piece: waits for it, or takes it up.
    fn next_piece(&mut self) -> io::Result<()> {
        let ahead = self.ahead;
        let key = (self.asked.number, self.asked.span.from);
        // What is done with gives way to it.
        self.current = Current::None;
        let mut state = ahead.state();
        let (span, current) = loop {
            if let Some((span, content)) = state.fetched.remove(&key) {
                ahead.changed.notify_all();
                break (span, Current::There(Cursor::new(content?)));
            }
            let is_next = |(number, span): &(u64, Span)| (*number, span.from) == key;
            let has_room = state.begun < ahead.parallelism;
            if has_room
                && state.asked.front().is_some_and(is_next)
                && let Some((_, span)) = state.begin()
            {
                let fetch = Fetch::new(ahead.storage, span, ahead.pauses);
                break (span, Current::Direct(fetch, Begun(ahead)));
            }
            state = ahead.wait(state);
        };
        drop(state);
        self.left = span.bytes();
        self.asked.span.from = span.to;
        self.current = current;
        Ok(())
    }
}

impl Read for Stream<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.current {
                Current::None => 0,
                Current::There(content) => content.read(bytes)?,
                Current::Direct(fetch, _) => fetch.read(bytes)?,
            };
            if count > 0 || bytes.is_empty() {
                self.left = self.left.saturating_sub(count as u64);
                (self.progress)(count as u64);
                return Ok(count);
            }
            // The file ends within a piece, whatever follows.
            let is_begun = !matches!(self.current, Current::None);
            if self.left > 0 || is_begun && self.asked.span.bytes() == 0 {
                return Ok(0);
            }
            self.next_piece()?;
        }
    }
}
