"""The part of tests/measure with a directory of many databases, of which none or some are written to."""

import os
import shutil
import tempfile
import time

import files
import machine
import table
import work
from machine import say

DATABASES = int(os.environ.get("WALBROOK_MEASURE_DATABASES", 1000))
ACTIVE = max(1, DATABASES // 10)
SECONDS = float(os.environ.get("WALBROOK_MEASURE_SECONDS", 30))
COLUMNS = {
    "start": table.SECONDS, "cpu": lambda v: f"{v:.3f} s", "rss": table.MB, "peak": table.MB, "threads": table.COUNT,
    "open": table.COUNT, "wakes": table.COUNT, "local": table.MB, "files": table.COUNT, "stop": table.SECONDS,
}  # fmt: skip


def title():
    return f"{DATABASES} databases: started, idle for {SECONDS:.0f} s, {ACTIVE} of them with a commit a second"


def measure(programs, run):
    order = list(programs)
    order = order[run % 2:] + order[:run % 2]
    result = {}
    with tempfile.TemporaryDirectory(dir=machine.near()) as near, tempfile.TemporaryDirectory(dir="/dev/shm") as far:
        for name in order:
            result |= {(kind, name): figures for kind, figures in fleet(programs[name], name, near, far).items()}
    return {key: result[key] for key in sorted(result, key=lambda key: key[1] != "walbrook")}


def fleet(program, name, near, far):
    """The three works, one after the other, by one run of a program."""
    data, replica = os.path.join(near, "data"), os.path.join(far, "replica")
    databases = [f"{number:05}.db" for number in range(DATABASES)]
    fill(data, databases)
    config = os.path.join(near, "config.yml")
    with open(config, "w") as file:
        file.write(f"dbs: [{{dir: {data}, pattern: '*.db', watch: true, replica: {{path: {replica}}}}}]")
    say(f"start of {DATABASES}, {name}")
    begin = time.monotonic()
    process = machine.Process([program, "replicate", "-config", config], os.path.join(near, "log"))
    present = lambda database: files.files_in(os.path.join(replica, database, "ltx"))
    missing = list(databases)
    while missing:
        missing = [database for database in missing if not present(database)]
        time.sleep(0.1)
        if time.monotonic() - begin > 4 * machine.PATIENCE:
            raise SystemExit(f"{len(missing)} databases were never replicated")
    started = dict(start=time.monotonic() - begin) | process.has()
    started["cpu"], started["local"], started["wakes"] = process.used()
    # Past what a start brings with it.
    time.sleep(40)
    say(f"idle, {name}")
    idle = during(process, lambda: time.sleep(SECONDS))
    say(f"{ACTIVE} active, {name}")
    active = during(process, lambda: write(data, databases[:ACTIVE]))
    time.sleep(5)
    begin = time.monotonic()
    active |= dict(peak=process.end()["peak"], stop=time.monotonic() - begin, files=len(files.files_in(replica)))
    for database in databases[::max(1, DATABASES // 20)]:
        restored = os.path.join(near, "restored.db")
        url = "file://" + os.path.join(replica, database)
        work.compare(program, os.path.join(data, database), url, restored)
    shutil.rmtree(data)
    shutil.rmtree(replica)
    return dict(start=started, idle=idle, active=active)


def fill(data, databases):
    os.mkdir(data)
    first = os.path.join(data, databases[0])
    work.create(first)
    work.fill(first, 1, lambda count: b"x" * (count // 25))
    for database in databases[1:]:
        shutil.copy(first, os.path.join(data, database))


def during(process, what):
    before = process.used()
    what()
    used = [after - earlier for after, earlier in zip(process.used(), before)]
    return dict(zip(["cpu", "local", "wakes"], used)) | process.has()


def write(data, databases):
    """A commit a second to each."""
    connections = [work.connect(os.path.join(data, database)) for database in databases]
    begin = time.monotonic()
    for second in range(int(SECONDS)):
        time.sleep(max(0, begin + second - time.monotonic()))
        for connection in connections:
            connection.execute("INSERT INTO t(at, body) VALUES(?, ?)", (time.time(), work.noise(100)))
    for connection in connections:
        connection.close()
