#!/usr/bin/python3
"""A proxy before an S3 server that counts what passes, and does to it what networks and storages do.

usage: proxy.py UPSTREAM_PORT [--raw] [--ipv6]

Listens on a free port of 127.0.0.1 (--ipv6: ::1), passes everything on to 127.0.0.1:UPSTREAM_PORT, and prints one line
of JSON: {"host", "port", "pid"}. It reads HTTP requests and answers; with --raw it passes bytes, as TLS has to be.
Each line on standard input is a JSON object and is answered by one, {"faults", "link", "counts"}, or {"error"}. At the
end of standard input it ends.

  {"do": "fault", "kind": KIND, ...}    adds a fault; the first one that matches a request strikes it. For all kinds:
      "times": N        for so many requests only (0: until cleared)
      "match": REGEX    only requests whose "METHOD /path?query" matches; not with --raw
    refuse              nobody listens, and what is open is reset
    reset, stall        a reset, or silence for ever, once the head of the request is there
    reset-up, stall-up, reset-down, stall-down      the same after "after" bytes of the body of request or answer
    truncate            the connection is closed in order after "after" bytes of the body of the answer
    flip-up, flip-down  a bit of byte "after" of a body is another
    mute                the request is passed on, its answer is not
    answer              answered from here: "status", "code" (S3's word for the error; "": no body), "retry_after",
                        "body" (instead of an S3 error)
    late                the request is taken, whole, but passed on only when told by "deliver", or after "seconds";
                        its connection is silent, or with "close" true reset
    With --raw there are no requests: a fault strikes a connection as soon as its client sends something, "after"
    counts the bytes from there on, and there is no answer, late or match.
  {"do": "link", "latency_ms": N, "rate": N, "date_offset": N}    one way; bytes a second each way, of all connections
      together; seconds added to the Date of answers. What is not given is as it was.
  {"do": "clear"}       no faults and a perfect link from now on; a connection that is silent stays so
  {"do": "drop"}        resets all open connections
  {"do": "deliver"}     passes the late requests on; "delivered" is what became of them: [["METHOD target", status]]
  {"do": "requests"}    "requests": the last ones, [["METHOD target", status]], status 0 if no answer was passed on
  {"do": "reset"}       counts from zero again
  {"do": "counts"}      nothing more

A client may also take it for the HTTP proxy of its environment, with CONNECT or without: all goes to the one server.

Counts: requests by what they ask (put, part, get, head, list, delete, delete_batch, multipart: the rest of multipart
uploads, other), connections, open, faulted, held (late and not delivered), bytes_up and bytes_down as on the wire.
"""

import argparse
import asyncio
import collections
import dataclasses
import email.utils
import json
import os
import re
import socket
import struct
import sys
import time

# Nothing is to be left in the tree.
sys.dont_write_bytecode = True
from wire import CHUNK, KINDS, Head, framed, kind_of  # noqa: E402

HEAD_LIMIT = 64 << 10
KEPT = 20_000
# Which way a fault strikes the body of, and what it does there.
WAYS = {
    "reset-up": ("up", "reset"), "stall-up": ("up", "stall"), "flip-up": ("up", "flip"),
    "reset-down": ("down", "reset"), "stall-down": ("down", "stall"), "flip-down": ("down", "flip"),
    "truncate": ("down", "close"),
}  # fmt: skip
AT_ONCE = ("refuse", "reset", "stall", "mute")
HTTP_ONLY = ("answer", "late")


class Ended(Exception):
    """A connection ends because a fault says so."""


@dataclasses.dataclass
class Fault:
    """What goes wrong."""

    kind: str
    times: int = 0
    match: str = ""
    after: int = 0
    status: int = 503
    code: str = "SlowDown"
    retry_after: int = 0
    body: str | None = None
    seconds: float = 0
    close: bool = False

    def way(self) -> tuple:
        return WAYS.get(self.kind, ("", ""))


@dataclasses.dataclass
class Link:
    """What the link is like when nothing is wrong."""

    latency_ms: float = 0
    rate: float = 0
    date_offset: int = 0


class Allowance:
    """Lets so many bytes a second pass."""

    def __init__(self) -> None:
        self.free_at = 0.0

    async def take(self, count: int, rate: float) -> None:
        if rate > 0:
            self.free_at = max(self.free_at, time.monotonic()) + count / rate
            await asyncio.sleep(self.free_at - time.monotonic())


class Proxy:
    """Everything that all connections share."""

    def __init__(self, upstream_port: int, raw: bool, host: str) -> None:
        self.upstream_port, self.raw, self.host = upstream_port, raw, host
        self.faults: list[Fault] = []
        self.link = Link()
        self.allowances = {"up": Allowance(), "down": Allowance()}
        self.connections: set[Connection] = set()
        self.held: list[Late] = []
        self.server: asyncio.Server | None = None
        # Holds the port, so that it is still ours when nobody listens there for a while.
        self.port_holder = self.bound_socket(0)
        self.port = self.port_holder.getsockname()[1]
        self.reset()

    def bound_socket(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A slow link should be felt by the sender, and not disappear in a large buffer.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 10)
        bound.bind((self.host, port))
        return bound

    def reset(self) -> None:
        self.counts = dict.fromkeys([*KINDS, "connections", "faulted", "bytes_up", "bytes_down"], 0)
        self.log: collections.deque = collections.deque(maxlen=KEPT)

    async def listen(self) -> None:
        """Listens, unless a fault says otherwise."""
        refused = any(fault.kind == "refuse" for fault in self.faults)
        if refused and self.server:
            self.server.close()
            self.server = None
            self.drop()
        elif not refused and not self.server:
            listener = self.bound_socket(self.port)
            self.server = await asyncio.start_server(self.accept, sock=listener, limit=HEAD_LIMIT, backlog=200)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        connection = Connection(self, reader, writer)
        self.connections.add(connection)
        try:
            await connection.run()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            connection.reset()
        except Ended:
            pass
        finally:
            self.connections.discard(connection)
            connection.close()

    def strike(self, target: str) -> Fault | None:
        """The fault that this request has to bear."""
        for fault in self.faults:
            if fault.kind != "refuse" and re.search(fault.match, target):
                self.counts["faulted"] += 1
                if fault.times == 1:
                    self.faults.remove(fault)
                elif fault.times > 1:
                    fault.times -= 1
                return fault
        return None

    def drop(self) -> None:
        for connection in self.connections:
            connection.reset()

    async def order(self, line: bytes) -> dict:
        """Does what a line of standard input says."""
        try:
            order = json.loads(line)
            result = await getattr(self, "do_" + order.pop("do"))(**order) or {}
        except (AttributeError, KeyError, OSError, TypeError, ValueError, re.error) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        counts = self.counts | {"open": len(self.connections), "held": len(self.held)}
        faults = [dataclasses.asdict(fault) for fault in self.faults]
        return {"faults": faults, "link": dataclasses.asdict(self.link), "counts": counts} | result

    async def do_fault(self, **settings) -> None:
        fault = Fault(**settings)
        if fault.kind not in (*AT_ONCE, *WAYS, *HTTP_ONLY):
            raise ValueError(f"unknown fault {fault.kind!r}")
        if self.raw and (fault.kind in HTTP_ONLY or fault.match):
            raise ValueError("there are no requests to be seen in raw bytes")
        re.compile(fault.match)
        self.faults.append(fault)
        await self.listen()

    async def do_link(self, **settings) -> None:
        self.link = dataclasses.replace(self.link, **settings)

    async def do_clear(self) -> None:
        self.faults, self.link = [], Link()
        await self.listen()

    async def do_drop(self) -> None:
        self.drop()

    async def do_deliver(self) -> dict:
        late, self.held = self.held, []
        return {"delivered": [[one.target, await one.deliver(self.upstream_port)] for one in late]}

    async def do_requests(self) -> dict:
        return {"requests": [list(entry) for entry in self.log]}

    async def do_reset(self) -> None:
        self.reset()

    async def do_counts(self) -> None:
        pass


class Late:
    """A request that has been taken and not passed on."""

    def __init__(self, target: str, request: bytes) -> None:
        self.target, self.request = target, request

    async def deliver(self, port: int) -> int:
        """Passes it on, and gives the status of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=HEAD_LIMIT)
        writer.write(self.request)
        status = 100
        while status < 200:
            status = int(Head(await reader.readuntil(b"\r\n\r\n")).words[1])
        # By the answer, not its body, the request is done.
        writer.close()
        return status

    async def deliver_after(self, seconds: float, proxy: Proxy) -> None:
        await asyncio.sleep(seconds)
        if self in proxy.held:
            proxy.held.remove(self)
            await self.deliver(proxy.upstream_port)


class Connection:
    """A client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.up_reader: asyncio.StreamReader | None = None
        self.up_writer: asyncio.StreamWriter | None = None
        self.fault: Fault | None = None
        self.passed = {"up": 0, "down": 0}
        # What has been written is with the kernel, so that a reset does not take it back.
        writer.transport.set_write_buffer_limits(0)

    async def run(self) -> None:
        # A handshake is a round trip.
        await self.wait(2)
        if self.proxy.raw:
            await self.connect()
            await both(self.pass_raw("up"), self.pass_raw("down"))
        else:
            while await self.pass_request():
                pass

    async def connect(self) -> None:
        if self.up_writer is None:
            port = self.proxy.upstream_port
            self.up_reader, self.up_writer = await asyncio.open_connection("127.0.0.1", port, limit=HEAD_LIMIT)

    async def pass_request(self) -> bool:
        """One request and its answer; false when it was the last of the connection."""
        raw = await self.from_client(self.next_request())
        head = Head(raw)
        target = " ".join(head.words[:2])
        self.proxy.counts[kind_of(head)] += 1
        self.entry = [target, 0]
        self.proxy.log.append(self.entry)
        self.take_fault(target)
        kind = self.fault.kind if self.fault else ""
        await self.wait(1)
        if kind in ("reset", "stall"):
            await self.end(kind)
        if head.words[0] == "CONNECT":
            return await self.tunnel()
        if kind == "late":
            return await self.hold_back(head, target)
        if kind == "answer":
            return await self.answer_ourselves(head)
        await self.connect()
        self.up_writer.write(raw)
        last = False

        async def answer() -> None:
            nonlocal last
            last = await self.pass_answer(head)

        await both(self.pass_body(self.body_of(head), "up"), answer())
        return not last and not head.closes()

    async def next_request(self) -> bytes:
        """The head of the next request, unless the server ends the connection before."""
        reading = asyncio.ensure_future(self.reader.readuntil(b"\r\n\r\n"))
        waiting = {reading}
        if self.up_reader:
            waiting.add(asyncio.ensure_future(self.up_reader.read(1)))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting - {reading}:
            task.cancel()
        if not reading.done():
            reading.cancel()
            raise Ended
        try:
            return reading.result()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            # The client has no more requests, in good order.
            raise Ended from error

    async def tunnel(self) -> bool:
        """For clients that take us for the proxy of their environment, and speak TLS to the server."""
        await self.connect()
        await self.to_client(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await both(self.pass_raw("up"), self.pass_raw("down"))
        return False

    def take_fault(self, target: str) -> None:
        self.fault = self.proxy.strike(target)
        self.passed = {"up": 0, "down": 0}

    async def pass_answer(self, request: Head) -> bool:
        """The answer to a request; true when the connection ends with it."""
        while True:
            raw = await self.up_reader.readuntil(b"\r\n\r\n")
            head = Head(raw)
            if int(head.words[1]) >= 200:
                break
            await self.to_client(raw)
        if self.fault and self.fault.kind == "mute":
            await self.end("stall")
        await self.wait(1)
        if self.proxy.link.date_offset:
            raw = head.with_header("Date", self.date())
        await self.to_client(raw)
        self.entry[1] = int(head.words[1])
        bodiless = request.words[0] == "HEAD" or head.words[1] in ("204", "304")
        until_end = not bodiless and head.length() is None and "transfer-encoding" not in head.headers
        if not bodiless:
            body = self.rest() if until_end else framed(self.up_reader.read, self.up_reader.readuntil, head)
            await self.pass_body(body, "down")
        return until_end or head.closes()

    async def rest(self):
        while data := await self.up_reader.read(CHUNK):
            yield data

    def body_of(self, request: Head):
        """The body of a request as it comes from the client."""
        some = lambda count: self.from_client(self.reader.read(count))
        until = lambda mark: self.from_client(self.reader.readuntil(mark))
        return framed(some, until, request)

    async def pass_body(self, pieces, way: str) -> None:
        await self.pass_piece(b"", way)
        async for piece in pieces:
            await self.pass_piece(piece, way)

    async def pass_piece(self, data: bytes, way: str) -> None:
        """Passes a piece of a body on, as far as the fault lets it."""
        fault_way, action = self.fault.way() if self.fault else ("", "")
        if fault_way == way:
            room = self.fault.after - self.passed[way]
            if action == "flip" and 0 <= room < len(data):
                data = data[:room] + bytes([data[room] ^ 1]) + data[room + 1 :]
            elif action != "flip" and len(data) >= room:
                await self.send(data[:room], way)
                await self.end(action)
        self.passed[way] += len(data)
        await self.send(data, way)

    async def send(self, data: bytes, way: str) -> None:
        if way == "down":
            await self.to_client(data)
        else:
            self.up_writer.write(data)
            await self.up_writer.drain()

    async def to_client(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            await self.proxy.allowances["down"].take(len(piece), self.proxy.link.rate)
            self.proxy.counts["bytes_down"] += len(piece)
            self.writer.write(piece)
            await self.writer.drain()

    async def from_client(self, reading) -> bytes:
        data = await reading
        self.proxy.counts["bytes_up"] += len(data)
        await self.proxy.allowances["up"].take(len(data), self.proxy.link.rate)
        return data

    async def take_body(self, request: Head) -> bytes:
        """The whole body of a request that is not passed on."""
        if request.headers.get("expect", "").lower() == "100-continue":
            await self.to_client(b"HTTP/1.1 100 Continue\r\n\r\n")
        return b"".join([piece async for piece in self.body_of(request)])

    async def hold_back(self, request: Head, target: str) -> bool:
        fault = self.fault
        late = Late(target, request.raw + await self.take_body(request))
        self.proxy.held.append(late)
        if fault.seconds:
            asyncio.ensure_future(late.deliver_after(fault.seconds, self.proxy))
        await self.end("reset" if fault.close else "stall")
        return False

    async def answer_ourselves(self, request: Head) -> bool:
        fault = self.fault
        await self.take_body(request)
        await self.wait(1)
        kind, body = "text/html", fault.body
        if body is None:
            kind = "application/xml"
            body = '<?xml version="1.0" encoding="UTF-8"?>\n' if fault.code else ""
            body += f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>" if fault.code else ""
        lines = [
            f"HTTP/1.1 {fault.status} Injected", f"Date: {self.date()}", f"Content-Type: {kind}",
            f"Content-Length: {len(body.encode())}",
        ]  # fmt: skip
        if fault.retry_after:
            lines.append(f"Retry-After: {fault.retry_after}")
        answer = "\r\n".join([*lines, "", ""]) + ("" if request.words[0] == "HEAD" else body)
        await self.to_client(answer.encode())
        self.entry[1] = fault.status
        return not request.closes()

    async def pass_raw(self, way: str) -> None:
        """All bytes of one way, late by the latency, but in a stream all the same."""
        line: asyncio.Queue = asyncio.Queue(64)

        async def take() -> None:
            while True:
                data = await (self.from_client(self.reader.read(CHUNK)) if way == "up" else self.up_reader.read(CHUNK))
                await line.put((time.monotonic() + self.proxy.link.latency_ms / 1000, data))
                if not data:
                    return

        async def give() -> None:
            while True:
                due, data = await line.get()
                await asyncio.sleep(due - time.monotonic())
                if way == "up" and data and not self.fault:
                    self.take_fault("")
                    if self.fault and self.fault.kind in ("reset", "stall"):
                        await self.end(self.fault.kind)
                if not data:
                    (self.up_writer if way == "up" else self.writer).write_eof()
                    return
                if not (way == "down" and self.fault and self.fault.kind == "mute"):
                    await self.pass_piece(data, way)

        await both(take(), give())

    async def wait(self, ways: int) -> None:
        if self.proxy.link.latency_ms and not (self.proxy.raw and ways == 1):
            await asyncio.sleep(ways * self.proxy.link.latency_ms / 1000)

    def date(self) -> str:
        return email.utils.formatdate(time.time() + self.proxy.link.date_offset, usegmt=True)

    async def end(self, how: str) -> None:
        """Ends the connection, now or when the client has had enough."""
        if how == "reset":
            self.reset()
        elif how == "stall":
            await self.until_client_leaves()
        raise Ended

    async def until_client_leaves(self) -> None:
        """Without reading: what the client sends shall wait."""
        established, its_socket = 1, self.writer.get_extra_info("socket")
        while not self.writer.transport.is_closing() and not self.reader.at_eof():
            if its_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != established:
                return
            await asyncio.sleep(0.02)

    def reset(self) -> None:
        for writer in filter(None, (self.writer, self.up_writer)):
            try:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            except OSError:
                pass
            writer.transport.abort()

    def close(self) -> None:
        for writer in filter(None, (self.writer, self.up_writer)):
            writer.close()


async def both(*ways) -> None:
    """Does both until they are done, or one of them cannot go on."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("upstream_port", type=int)
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--ipv6", action="store_true")
    chosen = parser.parse_args()
    proxy = Proxy(chosen.upstream_port, chosen.raw, "::1" if chosen.ipv6 else "127.0.0.1")
    await proxy.listen()
    print(json.dumps({"host": proxy.host, "port": proxy.port, "pid": os.getpid()}), flush=True)
    orders = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        print(json.dumps(await proxy.order(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
