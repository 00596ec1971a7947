//! How much of what is being uploaded to one server may be in memory, for all databases together.
//!
//! Whoever wants memory waits in line. Nobody waits while holding memory that it will only give back after the
//! wait, so the line always moves: what holds memory is being filled from a database or sent.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes to be shared.
pub(super) struct Memory {
    bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: u64,
    /// Tickets of those who wait, the first in line first.
    line: VecDeque<u64>,
    tickets: u64,
}

impl Memory {
    /// So many bytes.
    pub(super) fn new(bytes: u64) -> Arc<Memory> {
        Arc::new(Memory {
            bytes,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Takes `bytes` when they are free and it is its turn. More than there is at all is taken as all there is.
    pub(super) fn reserve(self: &Arc<Memory>, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.bytes);
        let mut state = self.state();
        let ticket = state.tickets;
        state.tickets += 1;
        state.line.push_back(ticket);
        while state.line.front() != Some(&ticket) || state.used + bytes > self.bytes {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.line.pop_front();
        state.used += bytes;
        // The next in line may fit in as well.
        self.changed.notify_all();
        Reservation {
            memory: Arc::clone(self),
            bytes,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that is in use until this is dropped.
pub(super) struct Reservation {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.state().used -= self.bytes;
        self.memory.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn first_come_first_served_within_the_bound() {
        let memory = Memory::new(10);
        let first = memory.reserve(7);
        let (done, order) = channel();
        let mut threads = Vec::new();
        for (number, bytes) in [(1, 9), (2, 2)] {
            let (memory, done) = (Arc::clone(&memory), done.clone());
            let before = memory.state().line.len();
            let line = Arc::clone(&memory);
            threads.push(thread::spawn(move || {
                let reservation = memory.reserve(bytes);
                assert!(memory.state().used <= 10);
                done.send(number).unwrap();
                drop(reservation);
            }));
            while line.state().line.len() == before {
                thread::yield_now();
            }
        }
        assert!(order.recv_timeout(Duration::from_millis(50)).is_err());
        drop(first);
        let got: Vec<i32> = order.iter().take(2).collect();
        assert_eq!(got, [1, 2], "the small one does not overtake");
    }

    #[test]
    fn too_much_is_all_there_is() {
        let memory = Memory::new(10);
        drop(memory.reserve(1000));
        drop(memory.reserve(10));
    }
}
