//! One session: a child process that is connected to a server, and a thread that reads what it says.
//!
//! Any number of callers have requests under way at once; an answer goes to who asked, by its number. The thread is
//! the one that knows whether the session lives: it sees the child end, and ends it when an answer stays out for
//! too long, or what comes is not the protocol. After that every caller is told, and the child has been waited for.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::packet::{Answer, Incoming, Kind, Packet, Status};
use super::program::Prepared;
use crate::storage::http::{Pace, Traffic};

/// How much of what the child complains of is kept: the end of it.
const COMPLAINT_BYTES: usize = 4 << 10;
/// What is read from the child at once.
const PIECE_BYTES: usize = 64 << 10;
/// How often the thread looks at the time.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 500_000_000,
};
/// How long a session that nobody uses is kept. Much longer, and a router on the way may forget it without a word;
/// something that keeps it alive would cost more on a metered link than a new one.
const IDLE: Duration = Duration::from_secs(120);
/// How long a child may take to end of itself once its input is closed.
const GRACE: Duration = Duration::from_millis(300);

/// What came to a request: an answer, or none because the session is over.
type Reply = (u32, Option<Answer>);

/// Why a session is over.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// What was seen, in words.
    pub(super) seen: String,
    /// The last of what the child said on its standard error.
    pub(super) complaint: String,
}

/// What all connections of a process have in common.
#[derive(Clone)]
pub(super) struct Wire {
    /// How fast bytes may go.
    pub(super) pace: Option<Arc<Pace>>,
    /// What is counted.
    pub(super) traffic: Arc<Traffic>,
}

/// A session. It ends when it is dropped.
pub(super) struct Session {
    shared: Arc<Shared>,
    input: Mutex<Option<ChildStdin>>,
    pub(super) extensions: Vec<String>,
    wire: Option<Wire>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u32, Sender<Reply>>,
    last_id: u32,
    /// When a byte last went either way.
    moved: Option<Instant>,
    /// The child's process group, until it is waited for.
    group: Option<Pid>,
    opening: Option<Sender<Vec<String>>>,
    end: Option<End>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        if let Some(group) = self.state().group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn wait_for_end(&self) -> End {
        let mut state = self.state();
        loop {
            if let Some(end) = &state.end {
                return end.clone();
            }
            let waited = self.ended.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Session {
    /// Starts `prepared` and waits for the server's first packet. No step may take longer than `patience`.
    ///
    /// # Errors
    /// When it cannot be started (the outer one), or no session comes of it.
    pub(super) fn open(
        prepared: &mut Prepared,
        patience: Duration,
        wire: Option<Wire>,
    ) -> io::Result<Result<Arc<Session>, End>> {
        let mut child = prepared.command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (opening, opened) = channel();
        let shared = Arc::new(Shared::default());
        *shared.state() = State {
            moved: Some(Instant::now()),
            group: Some(Pid::from_child(&child)),
            opening: Some(opening),
            ..State::default()
        };
        let (tell, told) = channel::<Weak<Session>>();
        let reader = Reader {
            shared: Arc::clone(&shared),
            output,
            errors: Some(errors),
            complaint: VecDeque::new(),
            patience,
            session: told,
            traffic: wire.as_ref().map(|wire| Arc::clone(&wire.traffic)),
        };
        let mut child = Ending(child);
        let run = {
            let shared = Arc::clone(&shared);
            move || {
                let end = reader.run();
                let mut state = shared.state();
                // Before its number can be another process's.
                let group = state.group.take();
                drop(state);
                child.end(group);
                state = shared.state();
                state.opening = None;
                for (id, asker) in state.waiting.drain() {
                    let _ = asker.send((id, None));
                }
                state.end = Some(end);
                shared.ended.notify_all();
            }
        };
        thread::Builder::new()
            .name("sftp".to_owned())
            .stack_size(128 << 10)
            .spawn(run)?;
        let mut session = Session {
            shared,
            input: Mutex::new(Some(input)),
            extensions: Vec::new(),
            wire,
        };
        // If it cannot be written, the thread sees why.
        let _ = session.write(&prepared.greeting);
        let Ok(extensions) = opened.recv() else {
            return Ok(Err(session.shared.wait_for_end()));
        };
        session.extensions = extensions;
        let session = Arc::new(session);
        let _ = tell.send(Arc::downgrade(&session));
        Ok(Ok(session))
    }

    /// Why it is over, if it is.
    pub(super) fn end(&self) -> Option<End> {
        self.shared.state().end.clone()
    }

    /// Whether the server offers this extension.
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|offered| offered == extension)
    }

    /// Ends it as an accident would.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        self.shared.kill();
        let _ = self.shared.wait_for_end();
    }

    fn send(&self, packet: Packet, asker: &Sender<Reply>) -> Result<u32, End> {
        let id = {
            let mut state = self.shared.state();
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            state.last_id = state.last_id.wrapping_add(1);
            let id = state.last_id;
            state.moved = Some(Instant::now());
            state.waiting.insert(id, asker.clone());
            id
        };
        match self.write(&packet.finish(id)) {
            Ok(()) => Ok(id),
            Err(_) => {
                // The child does not read any more. The thread may know more, and may have to be helped.
                self.shared.kill();
                Err(self.shared.wait_for_end())
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(wire) = &self.wire {
            if let Some(pace) = &wire.pace {
                pace.wait_for(bytes.len());
            }
            wire.traffic.add(&|counts| {
                counts.bytes_up += bytes.len() as u64;
                match bytes.get(4) {
                    Some(&kind) if kind == Kind::Write as u8 => counts.puts += 1,
                    Some(&kind) if kind == Kind::Read as u8 => counts.gets += 1,
                    Some(&kind) if kind == Kind::ReadDirectory as u8 => counts.lists += 1,
                    Some(&kind) if kind == Kind::Stat as u8 => counts.heads += 1,
                    _ => counts.others += 1,
                }
            });
        }
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(bytes)?;
        self.shared.state().moved = Some(Instant::now());
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its input closes, and so it ends; the thread sees to it that it does, and waits for it.
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A child that is killed, with all it started, and waited for.
struct Ending(Child);

impl Ending {
    fn end(&mut self, group: Option<Pid>) {
        let deadline = Instant::now() + GRACE;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // What it has started, a jump host's connection, ends with it. There may be nobody left.
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// What the thread works with.
struct Reader {
    shared: Arc<Shared>,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    complaint: VecDeque<u8>,
    patience: Duration,
    /// Tells what is being read for, once it is open.
    session: Receiver<Weak<Session>>,
    traffic: Option<Arc<Traffic>>,
}

impl Reader {
    fn run(mut self) -> End {
        let seen = self.read_all();
        // What it says at its end comes at about the same time.
        let deadline = Instant::now() + GRACE;
        while self.errors.is_some() && Instant::now() < deadline {
            let tick = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            if matches!(self.wait(&tick), Ok((_, true))) {
                self.read_complaint();
            }
        }
        let complaint: Vec<u8> = self.complaint.into();
        End {
            seen,
            complaint: String::from_utf8_lossy(&complaint).into_owned(),
        }
    }

    /// Reads until there is nothing more to be expected, and tells why.
    fn read_all(&mut self) -> String {
        let mut was_open = false;
        let mut incoming = Incoming::default();
        let mut piece = vec![0; PIECE_BYTES];
        let mut session: Option<Weak<Session>> = None;
        loop {
            let (output, errors) = match self.wait(&TICK) {
                Ok(ready) => ready,
                Err(error) => return format!("the SSH client cannot be waited for: {error}"),
            };
            if errors {
                self.read_complaint();
                if super::diagnosis::asks_for_ever(self.complaint.make_contiguous()) {
                    return "the SSH client asks a question".to_owned();
                }
            }
            if output {
                match self.output.read(&mut piece) {
                    Ok(0) => return "the SSH client ended".to_owned(),
                    Ok(count) => {
                        if let Some(traffic) = &self.traffic {
                            traffic.add(&|counts| counts.bytes_down += count as u64);
                        }
                        incoming.take(&piece[..count]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return format!("the SSH client cannot be read from: {error}"),
                }
                loop {
                    match incoming.next() {
                        Ok(Some((id, answer))) => self.deliver(id, answer, &mut was_open),
                        Ok(None) => break,
                        Err(_) if was_open => {
                            return "the server does not keep to the protocol".to_owned();
                        }
                        Err(_) => {
                            return format!(
                                "the server sends other text before SFTP begins ({:?}): see to it that the shell's \
                                 start files there print nothing",
                                incoming.text()
                            );
                        }
                    }
                }
                continue;
            }
            session = session.or_else(|| self.session.try_recv().ok());
            let state = self.shared.state();
            let still = state.moved.map_or(Duration::ZERO, |moved| moved.elapsed());
            let is_awaited = !state.waiting.is_empty() || state.opening.is_some();
            if is_awaited && still > self.patience {
                return format!("no answer came within {} s", self.patience.as_secs());
            }
            // One is the link's. Whoever takes another looks for an end after that, under the same lock.
            let users = session.as_ref().map_or(2, Weak::strong_count);
            let limit = if users == 0 { GRACE } else { IDLE };
            if !is_awaited && users < 2 && still > limit {
                return self.rest(state);
            }
        }
    }

    /// Ends the session because nobody uses it, which everybody sees who would from now on.
    fn rest(&self, mut state: MutexGuard<'_, State>) -> String {
        let seen = "nobody used the connection".to_owned();
        state.end = Some(End {
            seen: seen.clone(),
            complaint: String::new(),
        });
        seen
    }

    /// Waits until there is something to read; gives where.
    fn wait(&self, limit: &Timespec) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.output, PollFlags::IN)];
        if let Some(errors) = &self.errors {
            fds.push(PollFd::from_borrowed_fd(errors.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, Some(limit)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let ready = |index: usize| {
            let fd: Option<&PollFd<'_>> = fds.get(index);
            fd.is_some_and(|fd| !fd.revents().is_empty())
        };
        Ok((ready(0), ready(1)))
    }

    fn read_complaint(&mut self) {
        let mut piece = [0; 1024];
        let read = self.errors.as_mut().map(|errors| errors.read(&mut piece));
        match read {
            Some(Ok(count)) if count > 0 => {
                self.complaint.extend(&piece[..count]);
                let surplus = self.complaint.len().saturating_sub(COMPLAINT_BYTES);
                self.complaint.drain(..surplus);
            }
            _ => self.errors = None,
        }
    }

    fn deliver(&self, id: u32, answer: Answer, was_open: &mut bool) {
        let mut state = self.shared.state();
        state.moved = Some(Instant::now());
        if let Answer::Version(extensions) = answer {
            *was_open = true;
            if let Some(opening) = state.opening.take() {
                let _ = opening.send(extensions);
            }
            return;
        }
        // Nobody waits for an answer to what was given up.
        if let Some(asker) = state.waiting.remove(&id) {
            let _ = asker.send((id, Some(answer)));
        }
    }
}

/// Why a request was not answered with what was asked for.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server says no.
    Status(Status),
    /// The session is over; the request may have been heard.
    Over(End),
    /// There is no session.
    Unreachable(String),
    /// There will be none until somebody changes something.
    Refused(String),
}

/// The requests of one caller.
pub(super) struct Calls {
    pub(super) session: Arc<Session>,
    to: Sender<Reply>,
    from: Receiver<Reply>,
    /// The session is over. That is told once for each request that was under way, and there may have been one alone.
    is_over: Cell<bool>,
}

impl Calls {
    pub(super) fn new(session: Arc<Session>) -> Calls {
        let (to, from) = channel();
        Calls {
            session,
            to,
            from,
            is_over: Cell::new(false),
        }
    }

    /// Sends a request, and gives its number.
    pub(super) fn send(&self, packet: Packet) -> Result<u32, Failure> {
        self.session.send(packet, &self.to).map_err(Failure::Over)
    }

    /// Sends a request whose answer is of no interest.
    pub(super) fn send_and_forget(&self, packet: Packet) {
        let _ = self.session.send(packet, &channel().0);
    }

    /// The next answer to any of the requests under way, of which there must be one. Once the session is over there is
    /// none any more, and this fails however often it is called.
    pub(super) fn next(&self) -> Result<(u32, Answer), Failure> {
        if !self.is_over.get()
            && let Ok((id, Some(answer))) = self.from.recv()
        {
            return Ok((id, answer));
        }
        self.is_over.set(true);
        Err(Failure::Over(self.session.shared.wait_for_end()))
    }

    /// Sends requests at once and gives the answers in their order. None may be under way.
    pub(super) fn ask_all(&self, packets: Vec<Packet>) -> Result<Vec<Answer>, Failure> {
        let ids: Result<Vec<u32>, Failure> = packets
            .into_iter()
            .map(|packet| self.send(packet))
            .collect();
        let ids = ids?;
        let mut answers = vec![Answer::Data(Vec::new()); ids.len()];
        for _ in 0..ids.len() {
            let (id, answer) = self.next()?;
            if let Some(index) = ids.iter().position(|asked| *asked == id) {
                answers[index] = answer;
            }
        }
        Ok(answers)
    }

    /// Sends one request and gives its answer.
    pub(super) fn ask(&self, packet: Packet) -> Result<Answer, Failure> {
        self.send(packet)?;
        Ok(self.next()?.1)
    }

    /// Sends one request that is answered with nothing but its success.
    pub(super) fn done(&self, packet: Packet) -> Result<(), Failure> {
        done(self.ask(packet)?)
    }
}

/// Whether the answer tells of success.
pub(super) fn done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Status(status) if status.code == 0 => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// The failure that an answer of another kind than the expected one is.
pub(super) fn unexpected(answer: Answer) -> Failure {
    Failure::Status(match answer {
        Answer::Status(status) if status.code != 0 => status,
        _ => Status {
            code: super::status::FAILURE,
            message: "an answer that does not fit the question".to_owned(),
        },
    })
}

/// The handle that an answer gives.
pub(super) fn handle(answer: Answer) -> Result<Vec<u8>, Failure> {
    match answer {
        Answer::Handle(handle) => Ok(handle),
        other => Err(unexpected(other)),
    }
}
