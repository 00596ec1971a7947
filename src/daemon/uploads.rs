//! The threads that talk to storages, so that no database's thread ever waits for one.
//!
//! The queue is bounded by nature: each destination has at most one task in it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::Event;
use crate::replica::{Shape, Upload, settle};
use crate::storage::Storage;
use crate::units::Txid;

/// How many storages are worked on at once.
const THREADS: usize = 2;

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
        remembered: Option<Txid>,
    },
    /// Write files.
    Upload(Upload),
}

/// The pool's entrance.
#[derive(Clone)]
pub(super) struct Uploads(Sender<Task>);

impl Uploads {
    /// Starts the threads. They end when the last entrance is dropped.
    pub(super) fn start() -> io::Result<Uploads> {
        let (entrance, tasks) = channel::<Task>();
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..THREADS {
            let tasks = Arc::clone(&tasks);
            super::spawn("upload", move || work(&tasks))?;
        }
        Ok(Uploads(entrance))
    }

    /// Puts a task into the queue.
    pub(super) fn add(&self, task: Task) {
        // Fails only if the threads have panicked, and then the process is about to abort.
        let _ = self.0.send(task);
    }
}

fn work(tasks: &Mutex<Receiver<Task>>) {
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Task {
            storage,
            action,
            reply,
        }) = next
        else {
            return;
        };
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
