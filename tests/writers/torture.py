"""A writer that does everything SQLite allows, and notes every state: torture.py DATABASE NOTES SEED SECONDS

Runs beside others of its kind for SECONDS, or until a SIGTERM; with SECONDS 0 it only notes the state there is. The
directory NOTES holds `states`, a line for each state the database ever had (number of the commit, SHA-256 of the
whole image), and `lock`, which is held around each commit and its note. The byte in `lock` is 1 from before a commit
until it is noted, so when a writer is killed between the two, the next one notes the state it finds first.

The database has the table `progress` with one row, the number of the last commit.

TORTURE_SYNCHRONOUS fixes that pragma. TORTURE_SPILLS=no keeps pages out of the WAL until the commit: rolled back to a
savepoint after a spill, SQLite before 3.42 writes commits that it does not recover after a crash, and what was
written back of them corrupts the database.
"""
import contextlib
import fcntl
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

database, notes, seed, seconds = sys.argv[1:5]
chance = random.Random(int(seed))
running = True
# What the database may grow to: small enough to be noted whole after each commit.
BYTES_MAX = 1 << 20


def end(*_):
    global running
    running = False


@contextlib.contextmanager
def noted(db):
    """Holds all other writers off, and notes the state at the end."""
    with open(os.path.join(notes, "lock"), "r+b", buffering=0) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if lock.read(1) == b"1":
            note(db)
        os.pwrite(lock.fileno(), b"1", 0)
        yield
        note(db)
        os.pwrite(lock.fileno(), b"0", 0)


def note(db):
    image = db.serialize()
    number = db.execute("SELECT number FROM progress").fetchone()[0]
    with open(os.path.join(notes, "states"), "a") as states:
        states.write(f"{number} {hashlib.sha256(image).hexdigest()}\n")


def connect():
    db = sqlite3.connect(database, timeout=30, isolation_level=None)
    mode = chance.choice(["OFF", "NORMAL", "FULL"])
    db.execute(f"PRAGMA synchronous = {os.environ.get('TORTURE_SYNCHRONOUS', mode)}")
    db.execute(f"PRAGMA wal_autocheckpoint = {chance.choice([0, 5, 100, 1000])}")
    db.execute(f"PRAGMA journal_size_limit = {chance.choice([-1, -1, 0, 1000, 100000])}")
    if os.environ.get("TORTURE_SPILLS") == "no":
        db.execute("PRAGMA cache_spill = OFF")
    else:
        db.execute(f"PRAGMA cache_size = {chance.choice([1, 10, 2000])}")
    return db


def body(pages):
    return chance.randbytes(chance.choice([chance.randrange(200), chance.randrange(1, pages * page_size)]))


def rows(db):
    """How many rows a transaction is about."""
    few = chance.random() < 0.8
    return chance.randrange(1, 6) if few else chance.randrange(5, 200)


def change(db):
    """One statement."""
    kind = chance.randrange(10)
    table = chance.choice(["a", "b"])
    if kind < 5:
        for _ in range(rows(db)):
            db.execute(f"INSERT INTO {table}(body) VALUES(?)", (body(3),))
    elif kind < 7:
        db.execute(
            f"UPDATE {table} SET body = ? WHERE id IN (SELECT id FROM {table} ORDER BY random() LIMIT ?)",
            (body(1), rows(db)),
        )
    elif kind < 9:
        db.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY random() LIMIT ?)", (rows(db),))
    else:
        name = f"extra{chance.randrange(3)}"
        db.execute(f"DROP TABLE IF EXISTS {name}")
        if chance.random() < 0.7:
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM {table} LIMIT {rows(db)}")


def savepoint(db, depth=0):
    db.execute(f"SAVEPOINT s{depth}")
    for _ in range(chance.randrange(1, 4)):
        change(db)
    if depth < 2 and chance.random() < 0.4:
        savepoint(db, depth + 1)
    if chance.random() < 0.5:
        db.execute(f"ROLLBACK TO s{depth}")
        if chance.random() < 0.5:
            change(db)
    db.execute(f"RELEASE s{depth}")


def transaction(db):
    db.execute("BEGIN IMMEDIATE")
    for _ in range(chance.randrange(1, 4)):
        chance.choice([change, change, savepoint])(db)
    if size(db) > BYTES_MAX:
        for table in ["a", "b"]:
            db.execute(f"DELETE FROM {table} WHERE id % 3 <> 0")
        for number in range(3):
            db.execute(f"DROP TABLE IF EXISTS extra{number}")
    if chance.random() < 0.1:
        db.execute("PRAGMA incremental_vacuum(20)")
    if chance.random() < 0.15:
        db.execute("ROLLBACK")
        return
    db.execute("UPDATE progress SET number = number + 1")
    db.execute("COMMIT")


def size(db):
    return db.execute("PRAGMA page_count").fetchone()[0] * page_size


def commits(db):
    with noted(db):
        transaction(db)
    return db


def vacuum(db):
    with noted(db):
        if chance.random() < 0.2:
            db.execute(f"PRAGMA auto_vacuum = {chance.choice([0, 1, 2])}")
        db.execute("VACUUM")
    return db


def shell(db):
    """A transaction by another program, which comes and goes."""
    sql = f"""
        BEGIN IMMEDIATE;
        INSERT INTO a(body) VALUES(randomblob({chance.randrange(1, 3 * page_size)}));
        UPDATE b SET body = hex(randomblob(50)) WHERE id % 7 = {chance.randrange(7)};
        UPDATE progress SET number = number + 1;
        {chance.choice(["COMMIT", "COMMIT", "ROLLBACK"])};"""
    with noted(db):
        subprocess.run(["sqlite3", "-bail", "-batch", "-cmd", ".timeout 30000", database, sql], check=True, timeout=60)
    return db


def checkpoint(db):
    db.execute(f"PRAGMA busy_timeout = {chance.choice([0, 100, 2000])}")
    try:
        db.execute(f"PRAGMA wal_checkpoint({chance.choice(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})").fetchall()
    except sqlite3.OperationalError as error:
        # In the middle of another's checkpoint.
        if "locked" not in str(error):
            raise
    db.execute("PRAGMA busy_timeout = 30000")
    return db


def read(db):
    """A long reader, which keeps checkpoints from finishing."""
    db.execute("BEGIN")
    db.execute("SELECT count(*), sum(length(body)) FROM a").fetchall()
    rest(chance.random() * chance.choice([0.1, 2]))
    db.execute("COMMIT")
    return db


def reopen(db):
    db.close()
    return connect()


def rest(seconds):
    until = time.monotonic() + seconds
    while running and time.monotonic() < until:
        time.sleep(0.01)


signal.signal(signal.SIGTERM, end)
os.makedirs(notes, exist_ok=True)
with open(os.path.join(notes, "lock"), "a"):
    pass
db = connect()
page_size = db.execute("PRAGMA page_size").fetchone()[0]
if float(seconds) == 0:
    with noted(db):
        pass
    sys.exit()
print("going", flush=True)
until = time.monotonic() + float(seconds)
deeds = [commits] * 20 + [vacuum, shell, checkpoint, checkpoint, read, reopen]
while running and time.monotonic() < until:
    db = chance.choice(deeds)(db)
    rest(chance.choice([0, 0, 0.01, 0.05, 0.2]))
