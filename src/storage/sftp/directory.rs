//! Directories of a server: looked through, made and removed. A listing is read a packet of names at a time, and asks
//! ahead once it is seen to be long.

use super::packet::{Answer, Kind, Name, Packet};
use super::session::{Calls, Failure, done, handle, unexpected};
use super::status;

/// How many parts of a long listing are asked for at once.
const AHEAD: usize = 8;
/// A server that gives so many names at once has more.
const LONG: usize = 50;
/// How many files are removed at once.
const REMOVED_AT_ONCE: usize = 64;
/// Directories in directories that are removed; ours are two.
const DEPTH_MAX: u32 = 8;

/// Calls `each` for every name in the directory `path` but `.` and `..`; none where there is no such directory.
pub(super) fn look_through(
    calls: &Calls,
    path: &str,
    each: &mut dyn FnMut(Name),
) -> Result<(), Failure> {
    let paths = [path.to_owned()];
    look_through_all(calls, &paths, &mut |_, name| each(name)).map_err(|(_, failure)| failure)
}

/// The same for several, of which most may not exist: opened all at once, read in this order. `each` and errors are
/// given which it is.
pub(super) fn look_through_all(
    calls: &Calls,
    paths: &[String],
    each: &mut dyn FnMut(usize, Name),
) -> Result<(), (usize, Failure)> {
    let open = |path: &String| Packet::request(Kind::OpenDirectory).string(path.as_bytes());
    let opened = calls
        .ask_all(paths.iter().map(open).collect())
        .map_err(|failure| (0, failure))?;
    let mut result = Ok(());
    for (which, opened) in opened.into_iter().enumerate() {
        let looked = there(handle(opened)).and_then(|handle| {
            let Some(handle) = handle else {
                return Ok(());
            };
            // There are servers that look for the directory only now.
            let read = match result {
                Ok(()) => there(read_names(calls, &handle, &mut |name| each(which, name))),
                Err(_) => Ok(None),
            };
            calls.send_and_forget(Packet::request(Kind::Close).string(&handle));
            read.map(|_| ())
        });
        result = result.and(looked.map_err(|failure| (which, failure)));
    }
    result
}

/// None if it is missing.
fn there<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Err(failure) if status::is_missing(&failure) => Ok(None),
        result => result.map(Some),
    }
}

fn read_names(calls: &Calls, handle: &[u8], each: &mut dyn FnMut(Name)) -> Result<(), Failure> {
    // Not every server can read on before it has read; the first answer tells whether it matters.
    let mut ahead = 1;
    let mut under_way = 0;
    loop {
        while under_way < ahead {
            calls.send(Packet::request(Kind::ReadDirectory).string(handle))?;
            under_way += 1;
        }
        let (_, answer) = calls.next()?;
        under_way -= 1;
        match answer {
            Answer::Names(names) => {
                // Answers of parts that were asked for at once come in any order, which does not matter.
                if names.len() >= LONG && calls.session.offers("posix-rename@openssh.com") {
                    ahead = AHEAD;
                }
                names
                    .into_iter()
                    .filter(|name| name.name != "." && name.name != "..")
                    .for_each(&mut *each);
            }
            Answer::Status(status) if status.code == status::END_OF_FILE => {
                ahead = 0;
                if under_way == 0 {
                    return Ok(());
                }
            }
            other => {
                for _ in 0..under_way {
                    calls.next()?;
                }
                return Err(unexpected(other));
            }
        }
        if ahead == 0 && under_way == 0 {
            return Ok(());
        }
    }
}

/// Makes the directory `path` and those above it, for this user alone; those that are there are fine.
pub(super) fn make(calls: &Calls, path: &str) -> Result<(), Failure> {
    let make = |path: &str| {
        let make = Packet::request(Kind::MakeDirectory).string(path.as_bytes());
        calls.done(make.mode(0o700))
    };
    let Err(failure) = make(path) else {
        return Ok(());
    };
    let above = path.trim_end_matches('/').rsplit_once('/');
    match above {
        Some((above, _)) if status::is_missing(&failure) && !above.is_empty() => {
            self::make(calls, above)?;
            // Somebody else may have made it just now.
            make(path).or_else(|failure| is_there(calls, path, failure))
        }
        _ => is_there(calls, path, failure),
    }
}

/// Success if `path` is a directory, else `failure`.
fn is_there(calls: &Calls, path: &str, failure: Failure) -> Result<(), Failure> {
    let stat = Packet::request(Kind::Stat).string(path.as_bytes());
    match calls.ask(stat)? {
        Answer::Attributes(attributes)
            if attributes.is_directory() || attributes.mode.is_none() =>
        {
            Ok(())
        }
        _ => Err(failure),
    }
}

/// The request to remove a file.
pub(super) fn removal(path: &str) -> Packet {
    Packet::request(Kind::Remove).string(path.as_bytes())
}

/// Removes files, the first ones first; those that are gone are fine. After an error gives which it was.
pub(super) fn remove(calls: &Calls, paths: &[String]) -> Result<(), (String, Failure)> {
    for batch in paths.chunks(REMOVED_AT_ONCE) {
        let answers = calls
            .ask_all(batch.iter().map(|path| removal(path)).collect())
            .map_err(|failure| (batch[0].clone(), failure))?;
        for (path, answer) in batch.iter().zip(answers) {
            match done(answer) {
                Err(failure) if !status::is_missing(&failure) => {
                    return Err((path.clone(), failure));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes the directory `path` with all that is in it; links are not followed.
pub(super) fn remove_all(calls: &Calls, path: &str) -> Result<(), (String, Failure)> {
    remove_down_to(calls, path, DEPTH_MAX)
}

fn remove_down_to(calls: &Calls, path: &str, depth: u32) -> Result<(), (String, Failure)> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    let looked = look_through(calls, path, &mut |name: Name| {
        let inside = format!("{path}/{}", name.name);
        match name.attributes.is_directory() && depth > 0 {
            true => directories.push(inside),
            false => files.push(inside),
        }
    });
    looked.map_err(|failure| (path.to_owned(), failure))?;
    remove(calls, &files)?;
    for directory in directories {
        remove_down_to(calls, &directory, depth - 1)?;
    }
    match remove_empty(calls, path) {
        Err(failure) if !status::is_missing(&failure) => Err((path.to_owned(), failure)),
        _ => Ok(()),
    }
}

/// Removes a directory that must be empty.
pub(super) fn remove_empty(calls: &Calls, path: &str) -> Result<(), Failure> {
    calls.done(Packet::request(Kind::RemoveDirectory).string(path.as_bytes()))
}
