//! A few threads for each group of storages that share a server, so that many databases neither open a connection
//! each nor wait for the slowest of them.
//!
//! Within a group jobs begin in the order they came, except that long ones (full copies) never have more than
//! half of its threads: a small sync always finds one before long. A job belongs to an owner, which has at most one
//! at a time; so the queue is bounded by nature, and an owner's jobs cannot overtake each other.
//! A thread that finds nothing to do for a while ends.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most threads of a group. Servers answer a few requests at once gladly, and each costs a connection and
/// its buffers.
const THREADS_MAX: usize = 4;
/// The most of them that may be at a long job.
const LONG_MAX: usize = THREADS_MAX / 2;
/// How long a thread waits for the next job: longer than the usual pause between two syncs.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Something to do.
pub(super) struct Job {
    /// Whose it is: each has at most one job at a time.
    pub(super) owner: Owner,
    /// It takes long.
    pub(super) long: bool,
    /// Does it, and gives what tells its owner. That is called when the thread is free again.
    pub(super) run: Box<dyn FnOnce() -> Reply + Send>,
}

/// Whose a job is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    /// The storage, by a number of its own.
    pub(super) storage: usize,
    /// The one of its two owners whose jobs may overtake those of the other.
    pub(super) beside: bool,
}

/// Tells a job's owner how it went.
pub(super) type Reply = Box<dyn FnOnce()>;

/// The groups.
pub(super) struct Pool {
    groups: Mutex<HashMap<String, Arc<Group>>>,
    idle: Duration,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::with_idle(IDLE_MAX)
    }
}

impl Pool {
    fn with_idle(idle: Duration) -> Pool {
        Pool {
            groups: Mutex::default(),
            idle,
        }
    }

    /// Puts a job into the queue of a group. Never waits for one.
    ///
    /// # Errors
    /// When the group has no thread and none could be started; then the job was dropped.
    pub(super) fn add(&self, group: String, job: Job) -> io::Result<()> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = Arc::clone(groups.entry(group).or_default());
        drop(groups);
        let mut state = group.lock();
        debug_assert!(!state.has_job_of(job.owner), "one job an owner");
        let owner = job.owner;
        state.queue.push_back(job);
        if state.waiting >= state.startable() {
            group.added.notify_one();
            return Ok(());
        }
        if state.threads == THREADS_MAX {
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let (working, idle) = (Arc::clone(&group), self.idle);
        super::spawn("upload", move || working.work(idle)).or_else(|error| {
            let mut state = group.lock();
            state.threads -= 1;
            if state.threads > 0 {
                // Those that run will come to it.
                return Ok(());
            }
            state.queue.retain(|job| job.owner != owner);
            Err(error)
        })
    }
}

#[derive(Default)]
struct Group {
    state: Mutex<State>,
    added: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// How many of them have nothing to do.
    waiting: usize,
    /// Owner of each job that is being done, and whether it is a long one.
    running: Vec<(Owner, bool)>,
}

impl State {
    fn has_job_of(&self, owner: Owner) -> bool {
        let queued = self.queue.iter().any(|job| job.owner == owner);
        queued || self.running.iter().any(|(other, _)| *other == owner)
    }

    /// How many more long jobs may begin.
    fn room_for_long(&self) -> usize {
        LONG_MAX.saturating_sub(self.running.iter().filter(|(_, long)| *long).count())
    }

    /// How many of those in the queue could begin, were there threads enough.
    fn startable(&self) -> usize {
        let long = self.queue.iter().filter(|job| job.long).count();
        self.queue.len() - long + long.min(self.room_for_long())
    }

    /// The first one that may begin.
    fn take(&mut self) -> Option<Job> {
        let room = self.room_for_long() > 0;
        let first = self.queue.iter().position(|job| room || !job.long)?;
        let job = self.queue.remove(first)?;
        self.running.push((job.owner, job.long));
        Some(job)
    }
}

impl Group {
    fn work(&self, idle: Duration) {
        while let Some(Job { owner, run, .. }) = self.next(idle) {
            let reply = run();
            self.lock().running.retain(|(other, _)| *other != owner);
            // Only now, for the owner may have its next job at once.
            reply();
        }
    }

    /// The next job; none after a while without one, and then this thread is not counted any more.
    fn next(&self, idle: Duration) -> Option<Job> {
        let mut state = self.lock();
        let mut waited = false;
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if waited {
                state.threads -= 1;
                return None;
            }
            state.waiting += 1;
            let (again, timeout) = self
                .added
                .wait_timeout(state, idle)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.waiting -= 1;
            waited = timeout.timed_out();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Waits until the other end of this is dropped.
    fn wait_for(released: Receiver<()>) {
        assert!(released.recv().is_err());
    }

    /// A pool whose jobs are counted while they run.
    struct Bench {
        pool: Pool,
        at_once: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        done: Sender<usize>,
        ended: Receiver<usize>,
    }

    impl Bench {
        fn new() -> Bench {
            let (done, ended) = channel();
            Bench {
                pool: Pool::with_idle(Duration::from_millis(50)),
                at_once: Arc::default(),
                most: Arc::default(),
                done,
                ended,
            }
        }

        /// Adds a job that ends when `until` says so.
        fn add(&self, owner: usize, long: bool, until: impl FnOnce() + Send + 'static) {
            let (at_once, most) = (Arc::clone(&self.at_once), Arc::clone(&self.most));
            let done = self.done.clone();
            let run = Box::new(move || {
                let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                until();
                at_once.fetch_sub(1, Ordering::SeqCst);
                Box::new(move || done.send(owner).unwrap()) as Reply
            });
            let owner = Owner {
                storage: owner,
                beside: false,
            };
            let job = Job { owner, long, run };
            self.pool.add("server".to_string(), job).unwrap();
        }

        fn next_ended(&self) -> usize {
            self.ended.recv_timeout(PATIENCE).unwrap()
        }

        fn threads(&self) -> usize {
            let groups = self.pool.groups.lock().unwrap();
            groups.values().map(|group| group.lock().threads).sum()
        }
    }

    #[test]
    fn small_syncs_get_past_full_copies_that_hang() {
        const STUCK: usize = 5;
        let bench = Bench::new();
        let mut stuck = Vec::new();
        for owner in 0..STUCK {
            let (release, released) = channel::<()>();
            bench.add(owner, true, move || wait_for(released));
            stuck.push(release);
        }
        for _round in 0..5 {
            for owner in STUCK..12 {
                bench.add(owner, false, || {
                    std::thread::sleep(Duration::from_millis(2));
                });
            }
            let mut through: Vec<usize> = (STUCK..12).map(|_| bench.next_ended()).collect();
            through.sort();
            assert_eq!(through, (STUCK..12).collect::<Vec<_>>());
        }
        assert_eq!(bench.most.load(Ordering::SeqCst), THREADS_MAX);
        // Those that were waiting for a place.
        drop(stuck);
        let mut last: Vec<usize> = (0..STUCK).map(|_| bench.next_ended()).collect();
        last.sort();
        assert_eq!(last, (0..STUCK).collect::<Vec<_>>());
        assert_eq!(bench.most.load(Ordering::SeqCst), THREADS_MAX);
    }

    #[test]
    fn jobs_begin_in_the_order_they_came() {
        let bench = Bench::new();
        let mut held = Vec::new();
        for owner in 0..THREADS_MAX {
            let (release, released) = channel::<()>();
            bench.add(owner, false, move || wait_for(released));
            held.push(release);
        }
        let (begin, begun) = channel();
        for owner in 10..30 {
            let begin = begin.clone();
            bench.add(owner, owner % 3 == 0, move || begin.send(owner).unwrap());
        }
        // One thread alone does them all.
        held.pop();
        let order: Vec<usize> = (10..30)
            .map(|_| begun.recv_timeout(PATIENCE).unwrap())
            .collect();
        assert_eq!(order, (10..30).collect::<Vec<_>>());
    }

    #[test]
    fn idle_threads_end_and_come_back() {
        let bench = Bench::new();
        for round in 0..2 {
            for owner in 0..6 {
                bench.add(owner, false, || {});
            }
            for _ in 0..6 {
                bench.next_ended();
            }
            let deadline = Instant::now() + PATIENCE;
            while bench.threads() > 0 {
                assert!(Instant::now() < deadline, "round {round}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn groups_do_not_wait_for_each_other() {
        let bench = Bench::new();
        let mut held = Vec::new();
        for owner in 0..THREADS_MAX + 2 {
            let (release, released) = channel::<()>();
            bench.add(owner, false, move || wait_for(released));
            held.push(release);
        }
        let done = bench.done.clone();
        let run = Box::new(move || Box::new(move || done.send(99).unwrap()) as Reply);
        let job = Job {
            owner: Owner {
                storage: 99,
                beside: true,
            },
            long: true,
            run,
        };
        bench.pool.add("another".to_string(), job).unwrap();
        assert_eq!(bench.next_ended(), 99);
    }
}
