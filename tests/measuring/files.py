"""The part of tests/measure with replicas in directories."""

import os
import shutil
import tempfile
import time

import machine
import table
import work
from machine import say

SECONDS = float(os.environ.get("WALBROOK_MEASURE_SECONDS", 60))
IMPORT_MB = int(os.environ.get("WALBROOK_MEASURE_IMPORT_MB", 256))
COLUMNS = {
    "cpu": lambda v: f"{v:.3f} s", "peak": table.MB, "rss": table.MB, "local": table.MB, "wakes": table.COUNT,
    "bytes": table.MB, "files": table.COUNT, "p50": table.MILLIS, "p99": table.MILLIS,
    "max": lambda v: f"{v * 1e3:.0f} ms", "seconds": table.SECONDS,
}  # fmt: skip


def title():
    return f"{SECONDS:.0f} s of commits, {IMPORT_MB} MB imported, {SECONDS:.0f} s idle"


def measure(programs, run):
    if machine.kind_of("/dev/shm") != "tmpfs":
        raise SystemExit("/dev/shm is no tmpfs, which the replica needs so as not to be counted")
    with tempfile.TemporaryDirectory(dir=machine.near()) as near, tempfile.TemporaryDirectory(dir="/dev/shm") as far:
        return measure_in(programs, run, near, far)


def measure_in(programs, run, near, far):
    result = {}
    order = [None, *programs]
    order = order[run % 3:] + order[:run % 3]
    for kind in ["commits", "import"]:
        for name in order:
            say(f"{kind}, {name or 'alone'}")
            database = os.path.join(near, f"{kind}-{name}.db")
            work.create(database)
            replicator = Replicator(programs[name], database, far) if name else None
            if kind == "commits":
                figures = work.commits(database, int(SECONDS * 100), 100)
            else:
                figures = work.imports(database, IMPORT_MB)
            if replicator:
                machine.wait_until_quiet(replicator.state)
                figures |= replicator.finish()
            result[kind, name or "none"] = figures
            os.remove(database)
    say("idle, both at once")
    replicators = {}
    for name in programs:
        database = os.path.join(near, f"idle-{name}.db")
        work.create(database)
        work.fill(database, 16)
        replicators[name] = Replicator(programs[name], database, far)
    time.sleep(5)
    before = {name: replicator.process.used() for name, replicator in replicators.items()}
    time.sleep(SECONDS)
    for name, replicator in replicators.items():
        during = [after - earlier for after, earlier in zip(replicator.process.used(), before[name])]
        figures = replicator.finish()
        result["idle", name] = figures | dict(zip(["cpu", "local", "wakes"], during))
    return result


class Replicator:
    """A program that replicates a database, from its start to a look at what it made."""

    def __init__(self, program, database, far):
        self.program, self.database = program, database
        self.replica = os.path.join(far, os.path.basename(database))
        self.url = "file://" + self.replica
        self.process = machine.Process([program, "replicate", database, self.url], database + ".log")
        machine.wait_until(lambda: files_in(self.replica), "the replica to begin")

    def state(self):
        return sorted((file, size_of(file)) for file in files_in(self.replica))

    def finish(self):
        """Lets it send what is left and looks at what it did."""
        figures = self.process.end()
        files = self.state()
        work.compare(self.program, self.database, self.url, self.replica + ".restored")
        shutil.rmtree(self.replica)
        return figures | dict(bytes=sum(size for _, size in files), files=len(files))


def files_in(directory):
    return [os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names]


def size_of(file):
    try:
        return os.path.getsize(file)
    except FileNotFoundError:
        return 0  # It got its final name just now.
