#!/usr/bin/env python3
"""Makes the replicas in this folder with the real Litestream 0.3.13, and notes what it restores from them.

Usage: make.py LITESTREAM_0_3_13 [LITESTREAM_0_5]. The second, where it is given, has to restore the same.
"""
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLD, NEW = sys.argv[1], (sys.argv[2:] or [None])[0]
# The files get times of their own, since version control keeps none: one each ten seconds, in the order they came.
BEGIN, STEP = 1_700_000_000, 10
AGE = "age1s3cqcks5genc6ru8chl0hkkd04zmxvczsvdxq99ekffe4gmvjpzsedk23c"


class Litestream:
    """Litestream 0.3 at work on one database."""

    def __init__(self, work, **replica):
        settings = {"type": "file", "path": str(work / "replica"), "sync-interval": "50ms", **replica}
        config = {"dbs": [{"path": str(work / "db"), "monitor-interval": "50ms", "checkpoint-interval": "1h",
                           "min-checkpoint-page-count": 30, "replicas": [settings]}]}
        (work / "litestream.yml").write_text(json.dumps(config))
        self.work = work
        log = open(work / "log", "ab")
        self.process = subprocess.Popen([OLD, "replicate", "-config", work / "litestream.yml"], stdout=log, stderr=log)
        time.sleep(0.6)

    def stop(self):
        time.sleep(0.4)
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def connect(work, page_size=4096):
    db = sqlite3.connect(work / "db", isolation_level=None)
    db.execute(f"PRAGMA page_size={page_size}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    return db


def note(db, count, text="a note on line {}", pause=0.12):
    for number in range(count):
        db.execute("INSERT INTO notes(text) VALUES (?)", (text.format(number),))
        time.sleep(pause)


def everyday(work):
    """Many indexes, a large transaction, a VACUUM, a restart, a generation that ended, two snapshots in the newest."""
    db = connect(work)
    db.execute("CREATE TABLE notes(id INTEGER PRIMARY KEY, text)")
    program = Litestream(work)
    note(db, 12)
    program.stop()
    # Nobody looks while the WAL starts over: a new generation.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    note(db, 2)
    program = Litestream(work)
    note(db, 10)
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<900) "
               "INSERT INTO notes(text) SELECT 'the same words in every row, for compression ' || i FROM n")
    note(db, 12)
    program.stop()
    program = Litestream(work, **{"snapshot-interval": "1500ms"})
    note(db, 8)
    db.execute("DELETE FROM notes WHERE id > 20")
    db.execute("VACUUM")
    note(db, 12)
    db.execute("BEGIN")
    note(db, 3, pause=0.01)
    db.execute("ROLLBACK")
    note(db, 2)
    program.stop()


def pages_512(work):
    """Pages of 512 bytes, with incremental vacuum: the database shrinks and grows within one index."""
    db = connect(work, 512)
    db.execute("PRAGMA auto_vacuum=2")
    db.execute("VACUUM")
    db.execute("CREATE TABLE notes(id INTEGER PRIMARY KEY, text)")
    program = Litestream(work)
    for turn in range(3):
        note(db, 5, "turn %d line {} " % turn + "x" * 200)
        db.execute("DELETE FROM notes WHERE id % 3 > 0")
        db.execute("PRAGMA incremental_vacuum")
        note(db, 2)
    program.stop()


def pages_65536(work):
    """Pages of 65536 bytes."""
    db = connect(work, 65536)
    db.execute("CREATE TABLE notes(id INTEGER PRIMARY KEY, text)")
    program = Litestream(work)
    note(db, 6)
    program.stop()


def only_a_snapshot(work):
    """What is left where the first WAL segment never arrived."""
    db = connect(work)
    db.execute("CREATE TABLE notes(id INTEGER PRIMARY KEY, text)")
    note(db, 3, pause=0)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    program = Litestream(work)
    program.stop()
    for path in (work / "replica").rglob("*.wal.lz4"):
        path.unlink()


def encrypted(work):
    """Encrypted with age."""
    db = connect(work)
    db.execute("CREATE TABLE notes(id INTEGER PRIMARY KEY, text)")
    program = Litestream(work, age={"recipients": [AGE]})
    note(db, 2)
    program.stop()


def restored(program, work, config, arguments):
    output = work / "restored"
    for suffix in ("", "-wal", "-shm", ".tmp", ".tmp-wal", ".tmp-shm"):
        Path(f"{output}{suffix}").unlink(missing_ok=True)
    if "0.5" in subprocess.run([program, "version"], capture_output=True, text=True).stdout:
        source = [f"file://{work}/replica"]
    else:
        source = ["-config", config, work / "db"]
    command = [program, "restore", "-o", output, *arguments, *source]
    done = subprocess.run(command, capture_output=True, text=True)
    if not output.exists():
        return None, done.stdout + done.stderr
    return hashlib.sha256(output.read_bytes()).hexdigest(), ""


def replica(make):
    name = make.__name__
    work = Path(tempfile.mkdtemp(prefix="generations-"))
    make(work)
    target = HERE / name
    shutil.rmtree(target, ignore_errors=True)
    files = [path for path in (work / "replica").rglob("*") if path.is_file()]
    files.sort(key=lambda path: path.stat().st_mtime_ns)
    listed = []
    for number, path in enumerate(files):
        second = BEGIN + number * STEP
        os.utime(path, (second, second))
        listed.append({"path": str(path.relative_to(work / "replica")), "second": second})
    shutil.copytree(work / "replica", target)
    states = []
    config = work / "litestream.yml"
    for second in [*(entry["second"] for entry in listed), None]:
        when = [] if second is None else [
            "-timestamp", datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")]
        digest, why = restored(OLD, work, config, when)
        if NEW:
            other, its = restored(NEW, work, config, when)
            if other != digest:
                print(name, second, "the two differ:", digest, why.strip()[-150:], "|", other, its.strip()[-150:])
        states.append({"second": second, "sha256": digest})
    shutil.rmtree(work)
    return {"name": name, "about": make.__doc__, "files": listed, "states": states}


made = [replica(make) for make in (everyday, pages_512, pages_65536, only_a_snapshot, encrypted)]
(HERE / "manifest.json").write_text(json.dumps({"made_by": "Litestream 0.3.13", "replicas": made}, indent=1) + "\n")
