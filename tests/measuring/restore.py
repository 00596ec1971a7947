"""The part of tests/measure about restores: each program's replica on S3, restored by both, beside a copy of the file."""

import os
import subprocess
import tempfile
import time

import machine
import s3
import table
import work
from machine import say

MB = int(os.environ.get("WALBROOK_MEASURE_RESTORE_MB", 128))
SMALL = 30
# Added to each way, which is half of what a request waits for.
FAR_MS = 50
COLUMNS = {
    "wall": lambda v: f"{v:.2f} s", "cpu": lambda v: f"{v:.2f} s", "peak": table.MB, "down": table.MB, "up": table.MB,
    "requests": table.COUNT, "get": table.COUNT, "list": table.COUNT, "replica": table.MB, "files": table.COUNT,
}  # fmt: skip


def title():
    return f"restores of {MB} MB and {SMALL} small syncs from S3: each program's own replica (w, l), at hand and 100 ms away"


def measure(programs, run):
    machine.installed("WALBROOK_TEST_SEAWEEDFS")
    order = list(programs)
    order = order[run % 2:] + order[:run % 2]
    result = {}
    with tempfile.TemporaryDirectory(dir=machine.near()) as near, tempfile.TemporaryDirectory(dir="/dev/shm") as far:
        bench = s3.Bench(near, far)
        try:
            for writer in programs:
                say(f"restores, of a replica of {writer}")
                database = replicated(bench, programs[writer], writer)
                bench.proxy.ask("reset")
                for kind, delay in [(writer[0], 0), (writer[0] + " far", FAR_MS)]:
                    bench.proxy.ask("link", latency_ms=delay)
                    for name in order:
                        result[kind, name] = restored(bench, programs[name], writer, database)
                    result[kind, "none"] = copied(database)
                bench.proxy.ask("link", latency_ms=0)
        finally:
            bench.close()
    return result


def replicated(bench, program, name):
    """A database that `program` has replicated: all of it, and then in small pieces."""
    replicator = bench.replicator(program, name, lambda database: work.fill(database, MB, work.half_noise))
    replicator.settle()
    work.commits(replicator.database, SMALL, 1)
    replicator.settle()
    replicator.finish()
    return replicator.database


def restored(bench, program, path, database):
    """What a restore takes, compared with the database."""
    output = os.path.join(bench.near, "restored.db")
    bench.proxy.ask("reset")
    command = [program, "restore", "-o", output, bench.url(path, bench.proxy.first["port"])]
    start = time.monotonic()
    with open(output + ".log", "w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=machine.clean(bench.environment()))
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = status
        if status:
            log.seek(0)
            raise SystemExit(f"{command} failed:\n{log.read()}")
    figures = bench.counts()
    # The database is closed, so that all of it is in its file.
    if work.content(database) != work.content(output):
        raise SystemExit(f"{command}: another database")
    os.remove(output)
    objects = bench.server.ask("list", prefix=path + "/")["objects"]
    return figures | dict(
        wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak=usage.ru_maxrss << 10,
        replica=sum(size for _, size in objects), files=len(objects),
    )  # fmt: skip


def copied(database):
    """A copy of the file that is on the disk when it is done."""
    output = database + ".copy"
    start = time.monotonic()
    subprocess.run(["cp", "--reflink=never", database, output], check=True)
    with open(output, "rb+") as file:
        os.fsync(file.fileno())
    wall = time.monotonic() - start
    os.remove(output)
    return dict(wall=wall)
