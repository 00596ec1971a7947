"""The work that tests/measure has the programs replicate, and how their restores are compared with it."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time

from machine import PATIENCE, clean


def create(database):
    db = connect(database)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, at REAL, body BLOB)")
    db.execute("CREATE INDEX t_at ON t(at)")
    db.close()


def connect(database):
    db = sqlite3.connect(database, timeout=30, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def noise(count):
    return os.urandom(count)


def half_noise(count):
    """Bytes of which half can be compressed away."""
    return os.urandom(count // 2) + b"the other half " * (count // 30)


def fill(database, megabytes, body=noise):
    db = connect(database)
    for _ in range(megabytes):
        db.execute("BEGIN")
        db.executemany("INSERT INTO t(at, body) VALUES(?, ?)", ((time.time(), body(1000)) for _ in range(1000)))
        db.execute("COMMIT")
    db.close()


def commits(database, count, per_second):
    """So many small transactions, evenly spread, in a process of its own; gives the figures of its transactions."""
    return run("commits", database, count, per_second)


def imports(database, megabytes):
    """Transactions of about 1 MB, as fast as they go."""
    return run("imports", database, megabytes, 0)


def run(kind, *arguments):
    command = [sys.executable, os.path.realpath(__file__), kind, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def write(kind, database, count, per_second):
    """The writer process."""
    db = connect(database)
    times = []
    begin = time.monotonic()
    for number in range(int(count)):
        if kind == "commits":
            time.sleep(max(0, begin + number / float(per_second) - time.monotonic()))
            rows = [(time.time(), noise(100))]
        else:
            rows = [(time.time(), noise(1000)) for _ in range(1000)]
        start = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO t(at, body) VALUES(?, ?)", rows)
        db.execute("COMMIT")
        times.append(time.perf_counter() - start)
    seconds = time.monotonic() - begin
    times.sort()
    figures = dict(p50=times[len(times) // 2], p99=times[int(len(times) * 0.99)], max=times[-1], seconds=seconds)
    print(json.dumps(figures))
    db.close()


def compare(program, database, url, restored, environment={}):
    """Restores a replica and compares it with the database."""
    command = [program, "restore", "-o", restored, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=clean(environment))
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}{done.stdout}")
    if content(database) != content(restored):
        sys.exit(f"what {program} restores is not the database")
    for name in [restored, restored + "-wal", restored + "-shm"]:
        if os.path.exists(name):
            os.remove(name)


def content(database):
    digest = hashlib.sha256()
    with sqlite3.connect(database) as db:
        for row in db.execute("SELECT id, body FROM t ORDER BY id"):
            digest.update(repr(row).encode())
    db.close()
    return digest.digest()


if __name__ == "__main__":
    write(*sys.argv[1:])
