"""What tests/measure needs of the machine: the programs, their processes, what /proc says of them."""

import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TESTS = os.path.dirname(HERE)
ROOT = os.path.dirname(TESTS)
# Longer than any program takes to send what is left.
PATIENCE = 120


class Process:
    """A running program, and what it has used."""

    def __init__(self, command, log, environment={}):
        self.command, self.log = command, open(log, "w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=clean(environment))

    def used(self):
        """CPU seconds, bytes written and wake-ups until now."""
        # The clock of that process, as clock_getcpuclockid(3) makes it; threads that have ended count too.
        cpu = time.clock_gettime((~self.process.pid << 3) | 2)
        wakes = sum(int(field(f"{task}/status", "voluntary_ctxt_switches:")) for task in self.tasks())
        return cpu, int(field(self.proc("io"), "write_bytes:")), wakes

    def has(self):
        """Memory, threads and open files of now."""
        status = lambda name: int(field(self.proc("status"), name))
        return dict(rss=status("VmRSS:") << 10, threads=status("Threads:"), open=len(os.listdir(self.proc("fd"))))

    def end(self):
        """Lets it send what is left, and gives all it has used: cpu, peak, rss, local and wakes."""
        _, _, wakes = self.used()
        peak, rss = (int(field(self.proc("status"), name)) << 10 for name in ["VmHWM:", "VmRSS:"])
        self.process.send_signal(signal.SIGTERM)
        ended = lambda: os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        wait_until(ended, f"{self.command[0]} to end")
        local = int(field(self.proc("io"), "write_bytes:"))
        _, status, usage = os.wait4(self.process.pid, 0)
        if status:
            self.log.seek(0)
            sys.exit(f"{self.command[0]} ended with {status}:\n{self.log.read()}")
        self.process.returncode = 0
        return dict(cpu=usage.ru_utime + usage.ru_stime, peak=peak, rss=rss, local=local, wakes=wakes)

    def tasks(self):
        return [self.proc(f"task/{task}") for task in os.listdir(self.proc("task"))]

    def proc(self, name):
        return f"/proc/{self.process.pid}/{name}"


def clean(environment):
    """The environment with this added, and without what changes how a program works."""
    # A certificate bundle makes Litestream refuse to start.
    return {key: value for key, value in os.environ.items() if key not in ("AWS_CA_BUNDLE", "LOG_LEVEL")} | environment


def wait_until_quiet(state):
    """Waits until what `state` gives has not changed for some seconds."""
    quiet_since, last = time.monotonic(), None
    deadline = quiet_since + PATIENCE
    while time.monotonic() < min(quiet_since + 4, deadline):
        now = state()
        if now != last:
            quiet_since, last = time.monotonic(), now
        time.sleep(0.2)


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited too long for {what}")
        time.sleep(0.02)


def say(text):
    print(f"measuring {text} ...", file=sys.stderr, flush=True)


def target():
    return os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")


def programs():
    """Both, by their names."""
    return {"walbrook": build(), "litestream": installed("WALBROOK_TEST_LITESTREAM_0_5_17")}


def build():
    program = os.environ.get("WALBROOK_MEASURE_BINARY")
    if program:
        return program
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return os.path.join(target(), "release", "walbrook")


def installed(name):
    """What tests/run installs under the name of this variable."""
    if name not in os.environ:
        command = f'eval "$({TESTS}/run --env)" && printf %s "${name}"'
        os.environ[name] = subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.PIPE, text=True).stdout
    return os.environ[name]


def near():
    """A directory on a real disk."""
    local = os.environ.get("WALBROOK_MEASURE_DIR") or os.path.join(target(), "measure")
    os.makedirs(local, exist_ok=True)
    if kind_of(local) == "tmpfs":
        sys.exit(f"{local} is on a tmpfs, where nothing written is counted; set WALBROOK_MEASURE_DIR")
    return local


def kind_of(path):
    """The kind of file system that holds `path`."""
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def read(path):
    with open(path) as file:
        return file.read()


def field(path, name):
    """The number after `name` at the beginning of a line."""
    return next(line.split()[1] for line in read(path).splitlines() if line.startswith(name))
