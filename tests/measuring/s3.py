"""The part of tests/measure with replicas on S3: SeaweedFS, behind the counting proxy of tests/servers."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import machine
import table
import work
from machine import say

IDLE_SECONDS = float(os.environ.get("WALBROOK_MEASURE_IDLE_SECONDS", 60))
COMMITS_SECONDS = float(os.environ.get("WALBROOK_MEASURE_COMMITS_SECONDS", 20))
START_MB = int(os.environ.get("WALBROOK_MEASURE_START_MB", 128))
DAY_SECONDS = float(os.environ.get("WALBROOK_MEASURE_DAY_SECONDS", 420))
OFFLINE_SECONDS = float(os.environ.get("WALBROOK_MEASURE_OFFLINE_SECONDS", 60))
# How the requests are named by the proxy, and in the table.
REQUESTS = ["put", "part", "multipart", "list", "get", "head", "delete", "delete_batch", "other"]
COLUMNS = {
    "cpu": lambda v: f"{v:.3f} s", "peak": table.MB, "local": table.MB, "up": table.MB, "down": table.MB,
    "requests": table.COUNT, **{name: table.COUNT for name in REQUESTS if name not in ("delete_batch", "other")},
    "ltx": lambda v: f"{v:.4f}", "back": table.SECONDS,
}  # fmt: skip


def title():
    return (
        f"on S3: idle for {IDLE_SECONDS:.0f} s, {COMMITS_SECONDS:.0f} s of commits, first start of {START_MB} MB, "
        f"a first day of {DAY_SECONDS:.0f} s, offline for {OFFLINE_SECONDS:.0f} s"
    )


def measure(programs, run):
    machine.installed("WALBROOK_TEST_SEAWEEDFS")
    order = list(programs)
    order = order[run % 2:] + order[:run % 2]
    result = {}
    with tempfile.TemporaryDirectory(dir=machine.near()) as near, tempfile.TemporaryDirectory(dir="/dev/shm") as far:
        bench = Bench(near, far)
        try:
            for kind in [idle, commits, start, day, offline]:
                for name in order:
                    say(f"{kind.__name__} on S3, {name}")
                    result[kind.__name__, name] = kind(bench, programs[name], f"{kind.__name__}-{name}")
        finally:
            bench.close()
    return {key: result[key] for key in sorted(result, key=lambda key: key[1] != "walbrook")}


def idle(bench, program, name):
    """A database that nobody touches, after it has been sent."""
    replicator = bench.replicator(program, name, lambda database: work.fill(database, 16))
    replicator.settle()
    bench.proxy.ask("reset")
    before = replicator.process.used()
    time.sleep(IDLE_SECONDS)
    during = [after - earlier for after, earlier in zip(replicator.process.used(), before)]
    counts = bench.counts()
    return replicator.finish() | counts | dict(zip(["cpu", "local"], during))


def commits(bench, program, name):
    """A hundred small commits a second."""
    replicator = bench.replicator(program, name)
    replicator.settle()
    bench.proxy.ask("reset")
    work.commits(replicator.database, int(COMMITS_SECONDS * 100), 100)
    replicator.settle()
    counts = bench.counts()
    return replicator.finish() | counts


def start(bench, program, name):
    """A large database that is there already."""
    bench.proxy.ask("reset")
    replicator = bench.replicator(program, name, fill_and_check_in)
    replicator.settle()
    counts = bench.counts()
    figures = replicator.finish() | counts
    # Against the same database as one file of ours, in a directory.
    figures["ltx"] = counts["up"] / bench.size_of_snapshot(replicator.database)
    return figures


def fill_and_check_in(database):
    work.fill(database, START_MB, work.half_noise)
    db = work.connect(database)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def day(bench, program, name):
    """A database that is new to the program and gets two small commits a second, for as long as it takes until the first
    levels and a deletion have been due."""
    bench.proxy.ask("reset")
    replicator = bench.replicator(program, name, lambda database: work.fill(database, 16))
    work.commits(replicator.database, int(DAY_SECONDS * 2), 2)
    replicator.settle()
    counts = bench.counts()
    return replicator.finish() | counts


def offline(bench, program, name):
    """A write a second while the server refuses connections, and how it is made up for."""
    replicator = bench.replicator(program, name)
    replicator.settle()
    bench.proxy.ask("fault", kind="refuse")
    work.commits(replicator.database, int(OFFLINE_SECONDS), 1)
    bench.proxy.ask("reset")
    bench.proxy.ask("clear")
    back = time.monotonic()
    bench.wait_for_upload()
    back = time.monotonic() - back
    replicator.settle()
    counts = bench.counts()
    return replicator.finish() | counts | dict(back=back)


class Bench:
    """A server, a proxy before it, and directories for databases and everything else."""

    def __init__(self, near, far):
        self.near, self.far = near, far
        self.server = Helper("s3.py", "seaweedfs", os.path.join(far, "server"))
        self.facts = self.server.first
        self.proxy = Helper("proxy.py", self.facts["endpoint"].rpartition(":")[2])

    def close(self):
        self.proxy.close()
        self.server.close()

    def replicator(self, program, name, prepare=lambda database: None):
        return Replicator(self, program, name, prepare)

    def environment(self):
        return dict(AWS_ACCESS_KEY_ID=self.facts["access_key_id"], AWS_SECRET_ACCESS_KEY=self.facts["secret_access_key"])

    def url(self, path, port):
        query = f"endpoint=http://127.0.0.1:{port}&region={self.facts['region']}&forcePathStyle=true"
        return f"s3://{self.facts['bucket']}/{path}?{query}"

    def counts(self):
        counts = self.proxy.ask("counts")["counts"]
        requests = {name: counts[name] for name in REQUESTS}
        return requests | dict(requests=sum(requests.values()), up=counts["bytes_up"], down=counts["bytes_down"])

    def wait_for_upload(self):
        requests = lambda: self.proxy.ask("requests")["requests"]
        stored = lambda: any(target.startswith("PUT") and status == 200 for target, status in requests())
        machine.wait_until(stored, "something to be sent after the server came back")

    def size_of_snapshot(self, database):
        """Bytes of the LTX file that holds all of the database."""
        replica = os.path.join(self.far, "snapshot")
        subprocess.run([machine.build(), "replicate", "-once", database, "file://" + replica], check=True,
                       capture_output=True)  # fmt: skip
        [snapshot] = os.listdir(os.path.join(replica, "ltx/9"))
        return os.path.getsize(os.path.join(replica, "ltx/9", snapshot))


class Replicator:
    """A program that replicates a database, from its start to a look at what it made."""

    def __init__(self, bench, program, name, prepare):
        self.bench, self.program, self.path = bench, program, name
        self.database = os.path.join(bench.near, name + ".db")
        work.create(self.database)
        prepare(self.database)
        command = [program, "replicate", self.database, bench.url(name, bench.proxy.first["port"])]
        self.process = machine.Process(command, self.database + ".log", bench.environment())
        machine.wait_until(self.objects, "the replica to begin")

    def objects(self):
        return self.bench.server.ask("list", prefix=self.path + "/")["objects"]

    def settle(self):
        machine.wait_until_quiet(self.objects)

    def finish(self):
        """Lets it send what is left and looks at what it did."""
        figures = self.process.end()
        # Not through the proxy, which has counted enough.
        url = self.bench.url(self.path, self.bench.facts["endpoint"].rpartition(":")[2])
        work.compare(self.program, self.database, url, os.path.join(self.bench.far, "restored"), self.bench.environment())
        return figures


class Helper:
    """A program of tests/servers, which answers lines of JSON."""

    def __init__(self, script, *arguments):
        path = os.path.join(machine.TESTS, "servers", script)
        self.process = subprocess.Popen(
            [sys.executable, path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lock = threading.Lock()
        self.first = self.hear()

    def ask(self, command, **parameters):
        with self.lock:
            self.process.stdin.write(json.dumps(parameters | {"do": command}) + "\n")
            self.process.stdin.flush()
            return self.hear()

    def hear(self):
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            sys.exit(f"{self.process.args}: {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()
