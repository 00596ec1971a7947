"""What the programs here that run a server have in common: ports, children that end with us, and the talk on standard
input and output."""

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys


class ServerError(Exception):
    """A server did not do what it was told; the text says what it said."""


class Ports:
    """Free ports, held by sockets that are bound but don't listen: servers set SO_REUSEADDR and get them all the
    same, others don't, so the server finds its ports free when it is started again."""

    def __init__(self, count: int) -> None:
        self.sockets = []
        for _ in range(count):
            held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            self.sockets.append(held)

    def __getitem__(self, index: int) -> int:
        return self.sockets[index].getsockname()[1]

    def __iter__(self):
        return (self[index] for index in range(len(self.sockets)))


def die_with_us() -> None:
    """In the server before it starts: the kernel kills it when we end, however that happens."""
    set_parent_death_signal = 1
    if ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL) != 0:
        os._exit(127)


def run(command: list, given: str = "") -> str:
    """Runs a program to its end and gives what it printed."""
    done = subprocess.run(command, input=given.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise SystemExit(f"{sys.argv[0]}: {command}:\n{output}")
    return output


def serve(server, commands: tuple, chosen: argparse.Namespace) -> None:
    """Prepares and starts the server and prints what it says of itself; then does what the lines on standard input
    say, each one of `commands`, which are the server's methods. At their end the server is killed."""
    # From the first moment on, so that whatever is half made goes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        server.prepare()
        print(json.dumps(server.start()), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(server, commands, line)), flush=True)
    except ServerError as error:
        raise SystemExit(f"{sys.argv[0]}: {error}") from error
    finally:
        server.kill()
        if chosen.remove:
            shutil.rmtree(chosen.dir, ignore_errors=True)


def answer(server, commands: tuple, line: str) -> dict:
    """Does what a line of standard input says."""
    try:
        order = json.loads(line) if line.startswith("{") else {"do": line.strip()}
        command = order.pop("do")
        if command not in commands:
            raise ServerError(f"unknown command {command!r}")
        return getattr(server, command)(**order)
    except (OSError, ServerError, TypeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
