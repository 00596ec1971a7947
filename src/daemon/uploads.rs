//! What is asked of storages, by the threads of a pool, so that no database's thread ever waits for one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::Event;
use super::database::OutletId;
use super::pool::{Job, Owner, Pool, Reply};
use crate::database::Mark;
use crate::replica::{
    Footing, SettleError, Shape, Survey, Surveyed, Title, Upload, UploadResult, settle,
};
use crate::storage::{FileName, Storage, StorageError};

/// Something to do with a storage.
pub(super) struct Task {
    /// The storage: each destination has its own.
    pub(super) storage: Arc<dyn Storage>,
    /// What to do.
    pub(super) action: Action,
    /// Which of a database's destinations it is for.
    pub(super) outlet: OutletId,
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
        /// What entitles it to go on there.
        title: Title,
    },
    /// Write files.
    Upload {
        /// Which.
        upload: Upload,
        /// Whether they take as long as every page does.
        long: bool,
    },
    /// Write a snapshot, while syncs go past it.
    Snapshot(Upload),
    /// Find out what levels lack.
    Survey(Survey),
    /// Delete files, in this order.
    Delete(Vec<FileName>),
}

/// What a storage has answered.
pub(super) enum Answer {
    /// Where the replica stands.
    Settled(Result<Footing, SettleError>),
    /// An upload has ended.
    Uploaded(UploadResult),
    /// That of a snapshot beside the syncs has.
    SnapshotUploaded(UploadResult),
    /// What levels lack was found out.
    Surveyed(Result<Surveyed, StorageError>),
    /// Files were deleted.
    Deleted(Vec<FileName>, Result<(), StorageError>),
}

/// The way to the pool.
#[derive(Clone, Default)]
pub(super) struct Uploads(Arc<Pool>);

impl Uploads {
    /// Has a task done. Each destination may have one at a time, and a snapshot besides.
    pub(super) fn add(&self, task: Task) {
        let Task {
            storage,
            action,
            outlet,
            reply,
        } = task;
        let (group, location) = (storage.group(), storage.location());
        let refused = action.refused();
        let answer = reply.clone();
        let job = Job {
            owner: Owner {
                storage: Arc::as_ptr(&storage).cast::<()>() as usize,
                beside: matches!(action, Action::Snapshot(_)),
            },
            long: action.is_long(),
            run: Box::new(move || {
                let answer = Event::Answered(outlet, perform(&*storage, action));
                // The storage and the upload's hold on its view are gone by now. Whoever is told may have ended.
                Box::new(move || drop(reply.send(answer))) as Reply
            }),
        };
        if let Err(error) = self.0.add(group, job) {
            let refusal = refused(no_thread(location, error));
            let _ = answer.send(Event::Answered(outlet, refusal));
        }
    }
}

impl Action {
    fn is_long(&self) -> bool {
        match self {
            Action::Upload { long, .. } => *long,
            Action::Snapshot(_) => true,
            Action::Settle { .. } | Action::Survey(_) | Action::Delete(_) => false,
        }
    }

    /// What its owner is told if it could not even be begun.
    fn refused(&self) -> fn(StorageError) -> Answer {
        match self {
            Action::Settle { .. } => |error| Answer::Settled(Err(error.into())),
            Action::Upload { .. } => |error| Answer::Uploaded(UploadResult::not_begun(error)),
            Action::Snapshot(_) => |error| Answer::SnapshotUploaded(UploadResult::not_begun(error)),
            Action::Survey(_) => |error| Answer::Surveyed(Err(error)),
            Action::Delete(_) => |error| Answer::Deleted(Vec::new(), Err(error)),
        }
    }
}

fn perform(storage: &dyn Storage, action: Action) -> Answer {
    match action {
        Action::Settle {
            database,
            remembered,
            title,
        } => Answer::Settled(settle(storage, database, remembered, title)),
        Action::Upload { upload, .. } => Answer::Uploaded(upload.run(storage)),
        Action::Snapshot(upload) => Answer::SnapshotUploaded(upload.run(storage)),
        Action::Survey(survey) => Answer::Surveyed(survey.run(storage)),
        Action::Delete(files) => {
            let result = storage.delete(&files);
            Answer::Deleted(files, result)
        }
    }
}

fn no_thread(location: String, source: io::Error) -> StorageError {
    StorageError::Io {
        operation: "start a thread for",
        location,
        source,
    }
}
