"""HTTP as it is on the wire, for proxy.py: heads, bodies by their framing, and what a request asks of S3."""

import urllib.parse

# What is read at once.
CHUNK = 16 << 10
KINDS = "put part get head list delete delete_batch multipart other".split()


class Head:
    """The first lines of a request or an answer."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.words = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}

    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close" or "HTTP/1.0" in self.words[0] + self.words[-1]

    def length(self) -> int | None:
        """Bytes of the body; None: in chunks, or until the end."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers["content-length"]) if "content-length" in self.headers else None

    def with_header(self, name: str, value: str) -> bytes:
        """The head with this header instead of the one it has."""
        lines = self.raw.rstrip(b"\r\n").split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(name.lower().encode() + b":")]
        return b"\r\n".join([*kept, f"{name}: {value}".encode(), b"", b""])


async def framed(some, until, head: Head):
    """The pieces of a body, as they are on the wire: of a known length, in chunks, or none."""
    if "transfer-encoding" not in head.headers:
        left = head.length() or 0
        while left > 0:
            piece = await some(min(left, CHUNK))
            if not piece:
                raise EOFError
            left -= len(piece)
            yield piece
        return
    while True:
        line = await until(b"\r\n")
        yield line
        left = int(line.split(b";")[0], 16)
        if left == 0:
            # Trailers, and an empty line.
            while line != b"\r\n":
                line = await until(b"\r\n")
                yield line
            return
        left += 2
        while left > 0:
            piece = await some(min(left, CHUNK))
            if not piece:
                raise EOFError
            left -= len(piece)
            yield piece


def kind_of(request: Head) -> str:
    """What a request asks for, of S3."""
    method, target = request.words[:2]
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query, keep_blank_values=True)
    if method == "PUT":
        return "part" if "partNumber" in query else "put"
    if method == "POST" and "delete" in query:
        return "delete_batch"
    if "uploads" in query or "uploadId" in query:
        return "multipart"
    if method == "GET":
        listing = {"list-type", "prefix", "marker", "delimiter", "max-keys"} & query.keys()
        return "list" if listing else "other" if "location" in query else "get"
    return {"HEAD": "head", "DELETE": "delete"}.get(method, "other")
