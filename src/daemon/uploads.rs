//! The threads that talk to storages, so that no database's thread ever waits for one.
//!
//! The queue is bounded by nature: each destination has at most one task in it.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Event;
use crate::database::Mark;
use crate::replica::{Shape, Upload, settle};
use crate::storage::Storage;

/// Something to do with a storage.
pub(super) struct Task {
    /// The storage.
    pub(super) storage: Arc<dyn Storage>,
    /// What to do.
    pub(super) action: Action,
    /// Who hears how it went.
    pub(super) reply: Sender<Event>,
}

/// What to do with a storage.
pub(super) enum Action {
    /// Find out where the replica stands.
    Settle {
        /// The database it is for.
        database: Shape,
        /// The TXID it is remembered at.
        remembered: Option<Mark>,
    },
    /// Write files.
    Upload(Upload),
}

/// The pool: a task that finds no thread waiting for it gets a new one. So a storage that hangs holds up nobody
/// else, and there are never more threads than destinations.
#[derive(Clone, Default)]
pub(super) struct Uploads(Arc<Pool>);

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    added: Condvar,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    waiting: usize,
}

impl Uploads {
    /// Puts a task into the queue.
    pub(super) fn add(&self, task: Task) {
        let mut queue = self.0.queue();
        queue.tasks.push_back(task);
        if queue.waiting >= queue.tasks.len() {
            self.0.added.notify_one();
            return;
        }
        drop(queue);
        let pool = Arc::clone(&self.0);
        if let Err(error) = super::spawn("upload", move || pool.work()) {
            // Those that run will come to it.
            log::error!("cannot start another thread for uploads: {error}");
        }
    }
}

impl Pool {
    fn work(&self) {
        loop {
            let Task {
                storage,
                action,
                reply,
            } = self.next();
            let event = match action {
                Action::Settle {
                    database,
                    remembered,
                } => Event::Settled(settle(&*storage, database, remembered)),
                Action::Upload(upload) => Event::Uploaded(upload.run(&*storage)),
            };
            // The view inside the upload is gone by now, so whoever hears of it finds its connection free.
            let _ = reply.send(event);
        }
    }

    fn next(&self) -> Task {
        let mut queue = self.queue();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                return task;
            }
            queue.waiting += 1;
            queue = self
                .added
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
