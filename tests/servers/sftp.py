#!/usr/bin/python3
"""Runs a real SSH server with SFTP on loopback for as long as somebody holds this program's standard input open.

usage: sftp.py openssh|dropbear|asyncssh DIR [--chroot] [--remove]

  openssh    sshd with its internal-sftp; with --chroot the user sees nothing but a directory
  dropbear   Dropbear's server with OpenSSH's sftp-server, as on OpenWrt
  asyncssh   a server that shares no code with them, in asyncssh_server.py; always as with --chroot

Keeps everything under DIR (new or empty; --remove deletes it at the end) and takes a free port of 127.0.0.1. The server
runs as root in namespaces of its own, in which DIR is /mnt and the user "tester" exists, whom this machine does not
know: nothing of the machine's configuration is touched, logins are by key and by password, and what the user may not
do is really refused. When the server greets it prints one line of JSON: kind, host, port, user, password, key (a file),
key_dropbear (the same in that program's format), key_locked (behind a passphrase), key_stranger (which does not open),
known_hosts (a file), host_keys (by kind, lines as in authorized_keys), place (a directory of the user's, as the user sees it),
local (the same as this machine does), dir, log, pid, uid.

Then each line on standard input is answered by a line of JSON, which holds "error" if it failed. A line is a word, or
a JSON object with the word as "do":
  kill, stop         SIGKILL the server and all sessions, or end it in order (3 s at most)
  start              the server again, on the same port, with the same keys and data; answered when it greets
  freeze, thaw       SIGSTOP and SIGCONT to the server and all sessions
  drop               kills the sessions, not the server
  new_host_key       other host keys, with the server started again: the same answer as at the start
  count              {"sessions": N}, the processes beside the server's own

At the end of standard input the server is killed. Should this program itself be killed, the kernel kills the server.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

# Nothing is to be left in the tree.
sys.dont_write_bytecode = True
from serving import Ports, ServerError, die_with_us, run, serve  # noqa: E402

PATIENCE = 30
USER, UID = "tester", 40022
# Where the server has DIR: logins reach it whatever the modes above DIR are.
SEEN = "/mnt"
HOST_KEYS = ("ed25519", "ecdsa", "rsa")
NEEDED = {
    "openssh": ["sshd"],
    "dropbear": ["dropbear", "/usr/lib/sftp-server"],
    "asyncssh": ["$WALBROOK_TEST_ASYNCSSH"],
}
# In the namespaces: who is who, and a place for sshd's separation of privileges.
SETUP = """
mount --bind "$1" /mnt
for file in passwd group shadow; do mount --bind "/mnt/etc/$file" "/etc/$file"; done
mount -t tmpfs none /run
mkdir -p /run/sshd
shift
exec "$@"
"""


class Server:
    """One server: how it is started, whether it works."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.kind, self.dir = options.kind, options.dir
        self.chroot = options.chroot or self.kind == "asyncssh"
        if os.geteuid() != 0:
            raise SystemExit("sftp.py: needs root, for the namespaces that the server runs in")
        for name in [*NEEDED[self.kind], "unshare", "ssh-keygen", "dropbearconvert", "openssl"]:
            if not found(name):
                raise SystemExit(f"sftp.py: {name} is missing: run tests/run")
        self.port = Ports(1)
        self.password = secrets.token_hex(12)
        self.log = self.path("server.log")
        self.process: subprocess.Popen | None = None

    def path(self, *names: str) -> str:
        return os.path.join(self.dir, *names)

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        with open(self.path(name), "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        return self.path(name)

    def prepare(self) -> None:
        """Makes everything that is there before the first start."""
        os.makedirs(self.dir, exist_ok=True)
        # sshd does not let anyone but root own or write to what is above a directory that users are locked into.
        os.chmod(self.dir, 0o711)
        for name, owner, mode in (("etc", 0, 0o711), ("root", 0, 0o755), ("home", UID, 0o755), ("keys", 0, 0o700)):
            os.makedirs(self.path(name))
            os.chown(self.path(name), owner, owner)
            os.chmod(self.path(name), mode)
        os.makedirs(self.local())
        os.chown(self.local(), UID, UID)
        self.make_user_keys()
        self.make_host_keys()
        self.make_user()

    def make_user_keys(self) -> None:
        key = lambda name, phrase: make_key("ed25519", self.path("keys", name), phrase)
        for name, phrase in (("user", ""), ("locked", "passphrase"), ("stranger", "")):
            key(name, phrase)
        convert(self.path("keys", "user"), self.path("keys", "dropbear"))
        known = "".join(read(self.path("keys", f"{name}.pub")) for name in ("user", "locked"))
        # sshd reads it there as the user, Dropbear in the user's home.
        self.write("etc/authorized_keys", known)
        os.makedirs(self.path("home/.ssh"), mode=0o700)
        self.write("home/.ssh/authorized_keys", known, 0o600)
        for name in ("home/.ssh", "home/.ssh/authorized_keys"):
            os.chown(self.path(name), UID, UID)

    def make_host_keys(self) -> None:
        """Three kinds, as servers have them: with ed25519 alone Dropbear aborts on clients that prefer RSA."""
        known = ""
        for kind in HOST_KEYS:
            file = self.path("etc", f"host_{kind}")
            for old in (file, f"{file}.pub", f"{file}.dropbear"):
                if os.path.exists(old):
                    os.unlink(old)
            make_key(kind, file)
            convert(file, f"{file}.dropbear")
            public = " ".join(read(f"{file}.pub").split()[:2])
            known += f"[127.0.0.1]:{self.port[0]} {public}\n"
        self.write("known_hosts", known)

    def make_user(self) -> None:
        hashed = run(["openssl", "passwd", "-6", "-stdin"], self.password).strip()
        self.write("etc/passwd", read("/etc/passwd") + f"{USER}:x:{UID}:{UID}::{SEEN}/home:/bin/sh\n")
        self.write("etc/group", read("/etc/group") + f"{USER}:x:{UID}:\n")
        self.write("etc/shadow", f"root:*:19000::::::\n{USER}:{hashed}:19000::::::\n", 0o600)

    def local(self) -> str:
        """The user's directory as this machine sees it."""
        return self.path("root" if self.chroot else "home", "data")

    def command_openssh(self) -> list:
        lines = [
            f"Port {self.port[0]}", "ListenAddress 127.0.0.1", "PidFile none", "UsePAM no", "StrictModes no",
            f"AuthorizedKeysFile {SEEN}/etc/authorized_keys", "PasswordAuthentication yes",
            "KbdInteractiveAuthentication no", "MaxStartups 100:30:200", "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
            *(f"HostKey {SEEN}/etc/host_{kind}" for kind in HOST_KEYS),
        ]  # fmt: skip
        if self.chroot:
            lines += [f"ChrootDirectory {SEEN}/root", "ForceCommand internal-sftp"]
        self.write("etc/sshd_config", "\n".join(lines) + "\n")
        # It wants its whole path, to start itself anew for each connection.
        return [found("sshd"), "-D", "-e", "-f", f"{SEEN}/etc/sshd_config"]

    def command_dropbear(self) -> list:
        keys = [word for kind in HOST_KEYS for word in ("-r", f"{SEEN}/etc/host_{kind}.dropbear")]
        return [found("dropbear"), "-F", "-E", "-p", f"127.0.0.1:{self.port[0]}", "-P", "/run/dropbear.pid", *keys]

    def command_asyncssh(self) -> list:
        self.write("etc/password", self.password, 0o600)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "asyncssh_server.py")
        keys = [f"{SEEN}/etc/host_{kind}" for kind in HOST_KEYS]
        return [
            os.environ["WALBROOK_TEST_ASYNCSSH"], "-B", script, str(self.port[0]), USER, str(UID),
            f"{SEEN}/etc/password", f"{SEEN}/etc/authorized_keys", f"{SEEN}/root", *keys,
        ]  # fmt: skip

    def start(self) -> dict:
        """Starts the server and waits until it greets."""
        if self.process and self.process.poll() is None:
            raise ServerError("it is running")
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["sh", "-euc", SETUP, "sh", self.dir, *getattr(self, f"command_{self.kind}")()]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, preexec_fn=die_with_us, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.wait_until_ready()
        return self.description()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port[0]), 5) as link:
                    if link.recv(4) == b"SSH-":
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{self.kind} is not ready\n{read(self.log)[-3000:]}")
            time.sleep(0.02)

    def description(self) -> dict:
        keys = {"key": "user", "key_dropbear": "dropbear", "key_locked": "locked", "key_stranger": "stranger"}
        return {
            "kind": self.kind, "host": "127.0.0.1", "port": self.port[0], "user": USER, "password": self.password,
            "known_hosts": self.path("known_hosts"), "local": self.local(), "dir": self.dir, "log": self.log,
            "place": "/data" if self.chroot else f"{SEEN}/home/data", "uid": UID, "pid": self.first(),
            "host_keys": {
                kind: " ".join(read(self.path("etc", f"host_{kind}.pub")).split()[:2]) for kind in HOST_KEYS
            },
        } | {name: self.path("keys", file) for name, file in keys.items()}  # fmt: skip

    def first(self) -> int:
        """The server itself, which is the first process of its namespace."""
        return int(read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()[0])

    def sessions(self) -> list:
        """The other processes of its namespace."""
        first, found = self.first(), []
        namespace = os.readlink(f"/proc/{first}/ns/pid")
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace and int(name) != first:
                    found.append(int(name))
            except OSError:
                pass
        return found

    def kill(self) -> dict:
        if self.process and self.process.poll() is None:
            try:
                # With the first one the kernel kills all others of the namespace.
                os.kill(self.first(), signal.SIGKILL)
            except (OSError, IndexError):
                self.process.kill()
        if self.process:
            self.process.wait()
        return {}

    def stop(self) -> dict:
        os.kill(self.first(), signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        return self.kill()

    def freeze(self) -> dict:
        return self.signal([self.first(), *self.sessions()], signal.SIGSTOP)

    def thaw(self) -> dict:
        return self.signal([self.first(), *self.sessions()], signal.SIGCONT)

    def drop(self) -> dict:
        return self.signal(self.sessions(), signal.SIGKILL)

    def signal(self, processes: list, number: int) -> dict:
        for process in processes:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass
        return {}

    def new_host_key(self) -> dict:
        self.kill()
        self.make_host_keys()
        return self.start()

    def count(self) -> dict:
        return {"sessions": len(self.sessions())}


COMMANDS = ("kill", "stop", "start", "freeze", "thaw", "drop", "new_host_key", "count")


def found(program: str) -> str | None:
    """Where a program is; its name may be in the environment."""
    if program.startswith("$"):
        program = os.environ.get(program[1:], "")
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def make_key(kind: str, file: str, phrase: str = "") -> None:
    bits = ["-b", "2048"] if kind == "rsa" else []
    run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", phrase, "-C", "tests", "-f", file])


def convert(key: str, to: str) -> None:
    """Writes a key in Dropbear's format."""
    run(["dropbearconvert", "openssh", "dropbear", key, to])


def read(name: str) -> str:
    with open(name, errors="replace") as file:
        return file.read()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kind", choices=tuple(NEEDED))
    parser.add_argument("dir", type=os.path.abspath)
    parser.add_argument("--chroot", action="store_true")
    parser.add_argument("--remove", action="store_true")
    chosen = parser.parse_args()
    if chosen.chroot and chosen.kind == "dropbear":
        raise SystemExit("sftp.py: Dropbear locks nobody into a directory")
    return chosen


if __name__ == "__main__":
    chosen = options()
    serve(Server(chosen), COMMANDS, chosen)
