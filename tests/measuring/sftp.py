"""The part of tests/measure with a replica on SFTP: OpenSSH's server, behind a long and narrow way, against OpenSSH's own
client."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import machine
import table
import work
from machine import say
from s3 import Helper

SFTP_MB = int(os.environ.get("WALBROOK_MEASURE_SFTP_MB", 64))
# One way, and bytes a second: a megabit, and 300 ms until an answer.
LATENCY_MS, RATE = 150, 125_000
COLUMNS = {"time": table.SECONDS, "sent": table.MB, "rate": lambda v: f"{v / 1000:.1f} kB/s"}


def title():
    return f"on SFTP: {SFTP_MB} MB over a link of 1 Mbit/s and 300 ms"


def measure(programs, run):
    result = {}
    with tempfile.TemporaryDirectory(dir=machine.near()) as near, tempfile.TemporaryDirectory(dir="/dev/shm") as far:
        bench = Bench(near, far, programs["walbrook"])
        try:
            for kind in [put, get]:
                for name in ["walbrook", "sftp"]:
                    say(f"{kind.__name__} on SFTP, {name}")
                    result[kind.__name__, name] = bench.timed(kind(bench, name), kind.__name__)
        finally:
            bench.close()
    return result


def put(bench, name):
    """A new database, as the program sends it; and the largest file of that, once more."""
    if name == "walbrook":
        return [bench.program, "replicate", "-once", "-config", bench.config]
    return bench.sftp(f"put {bench.largest()} {bench.facts['place']}/theirs")


def get(bench, name):
    if name == "walbrook":
        return [bench.program, "restore", "-config", bench.config, "-o", bench.restored, bench.database]
    return bench.sftp(f"get {bench.facts['place']}/theirs {bench.near}/theirs")


class Bench:
    """A server, the way to it, and a database that is not there yet."""

    def __init__(self, near, far, program):
        self.near, self.program = near, program
        self.server = Helper("sftp.py", "openssh", os.path.join(far, "server"))
        self.facts = self.server.first
        self.proxy = Helper("proxy.py", str(self.facts["port"]), "--raw")
        self.proxy.ask("link", latency_ms=LATENCY_MS, rate=RATE)
        self.port = self.proxy.first["port"]
        self.database, self.restored = os.path.join(near, "app.db"), os.path.join(near, "restored.db")
        work.create(self.database)
        work.fill(self.database, SFTP_MB)
        self.config = os.path.join(near, "config.yml")
        with open(self.config, "w") as config:
            config.write(
                f"dbs:\n  - path: {self.database}\n    replica:\n      type: sftp\n      host: 127.0.0.1:{self.port}\n"
                f"      user: {self.facts['user']}\n      key-path: {self.facts['key']}\n      path: "
                f"{self.facts['place']}/ours\n      host-key: {self.facts['host_keys']['ed25519']}\n"
            )

    def close(self):
        self.proxy.close()
        self.server.close()

    def largest(self):
        """A copy of the largest file of the replica."""
        files = [os.path.join(at, name) for at, _, names in os.walk(self.facts["local"]) for name in names]
        copy = os.path.join(self.near, "largest")
        shutil.copyfile(max(files, key=os.path.getsize), copy)
        return copy

    def sftp(self, command):
        """The command line of OpenSSH's client that does this."""
        batch = os.path.join(self.near, "batch")
        with open(batch, "w") as file:
            file.write(command + "\n")
        options = [f"UserKnownHostsFile={self.facts['known_hosts']}", "IdentitiesOnly=yes"]
        # Through the proxy it is the same server.
        options.append(f"HostKeyAlias=[127.0.0.1]:{self.facts['port']}")
        options = [word for option in options for word in ("-o", option)]
        where = ["-P", str(self.port), "-i", self.facts["key"], f"{self.facts['user']}@127.0.0.1"]
        return ["sftp", "-F", "none", *options, "-b", batch, *where]

    def timed(self, command, kind):
        self.proxy.ask("reset")
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=machine.clean({}))
        took = time.monotonic() - began
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}{done.stdout}")
        if os.path.exists(self.restored) and work.content(self.restored) != work.content(self.database):
            sys.exit("what is restored is not the database")
        counts = self.proxy.ask("counts")["counts"]
        sent = counts["bytes_up" if kind == "put" else "bytes_down"]
        return dict(time=took, sent=sent, rate=sent / took)
