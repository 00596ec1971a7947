"""An application for tests to order about: runs each line of stdin, Python in hexadecimal, and answers.

The answer is one line: "ok" and the value of an expression, or "error" and why. `path` is the database.
It is a process of its own because POSIX locks belong to processes.
"""
import fcntl, os, sqlite3, struct, sys, time

path = sys.argv[1]


def connect(timeout=0.0, at=None):
    """A connection that neither begins transactions nor checkpoints by itself."""
    connection = sqlite3.connect(at or path, timeout=timeout, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def image(to):
    """Writes what SQLite takes for the database to a file."""
    connection = connect(10)
    connection.execute("BEGIN")
    connection.execute("PRAGMA schema_version").fetchall()
    with open(to, "wb") as file:
        file.write(connection.serialize())
    connection.close()


def checkpoint(mode, timeout=0.0):
    """Busy, frames in the WAL, frames written back."""
    connection = connect(timeout)
    try:
        return connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    finally:
        connection.close()


kept = {}


def keep(at):
    """A file that stays open: closing one would drop the locks of this process's connections."""
    if at not in kept or os.stat(at).st_ino != os.fstat(kept[at].fileno()).st_ino:
        kept[at] = open(at, "r+b", buffering=0)
    kept[at].seek(0)
    return kept[at]


def wal_index():
    """mxFrame, pages, salts, nBackfill."""
    head = keep(path + "-shm").read(136)
    return struct.unpack("=II", head[16:24]) + (head[32:40].hex(),) + struct.unpack("=I", head[96:100])


def spoil_wal_index():
    """Leaves the two copies of the header different, as a writer killed between them does."""
    file = keep(path + "-shm")
    file.seek(16)
    file.write(b"\xff\xff\xff\x7f")


def lose_checksums(connection):
    """A transaction that SQLite before 3.42 commits with zeros for checksums: a savepoint rolled back past
    a cache spill that overwrote frames."""
    connection.execute("PRAGMA cache_size=20")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 40")
    connection.execute("SAVEPOINT s")
    connection.execute("INSERT INTO t(b) SELECT randomblob(900) FROM t")
    connection.execute("UPDATE t SET b = randomblob(900) WHERE a > 400")
    connection.execute("ROLLBACK TO s")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 4")
    connection.execute("COMMIT")


def zero_frames():
    """How many committed frames of the WAL have zeros for salts."""
    frames = wal_index()[0]
    file = keep(path + "-wal")
    size = struct.unpack(">I", file.read(32)[8:12])[0] + 24
    wal = file.read(frames * size)
    return sum(wal[i * size + 8 : i * size + 16] == bytes(8) for i in range(frames))


def seize(connection):
    """Takes the write lock among writers that leave hardly a gap."""
    end = time.monotonic() + 30
    while True:
        try:
            return connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise


def sum_words(order, data, s0=0, s1=0):
    """SQLite's running checksum."""
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2]):
        s0 = (s0 + first + s1) & 0xFFFFFFFF
        s1 = (s1 + second + s0) & 0xFFFFFFFF
    return s0, s1


def swap_checksums():
    """Makes the WAL one that a machine of the other byte order wrote."""
    with open(path + "-wal", "rb") as file:
        wal = bytearray(file.read())
    wal[0:4] = struct.pack(">I", 0x377F0683)
    size = struct.unpack(">I", wal[8:12])[0] + 24
    sums = sum_words(">", wal[:24])
    wal[24:32] = struct.pack(">II", *sums)
    for at in range(32, len(wal) - size + 1, size):
        sums = sum_words(">", wal[at : at + 8] + wal[at + 24 : at + size], *sums)
        wal[at + 16 : at + 24] = struct.pack(">II", *sums)
    with open(path + "-wal", "wb") as file:
        file.write(wal)


def append_growth(pages):
    """Adds a commit to a WAL that nobody has open: page 1 alone, and a database larger by so many pages."""
    with open(path + "-wal", "r+b") as file:
        wal = file.read()
        size = struct.unpack(">I", wal[8:12])[0] + 24
        frames = [wal[at : at + size] for at in range(32, len(wal), size)]
        # What an older generation left is no part of it.
        count = next((n for n, frame in enumerate(frames) if frame[8:16] != wal[16:24]), len(frames))
        last = frames[count - 1]
        first = next(frame for frame in frames[count - 1 :: -1] if frame[0:4] == bytes([0, 0, 0, 1]))
        grown = struct.unpack(">I", last[4:8])[0] + pages
        page = bytearray(first[24:])
        page[28:32] = struct.pack(">I", grown)
        head = struct.pack(">II", 1, grown)
        sums = sum_words("<", head + page, *struct.unpack(">II", last[16:24]))
        file.seek(32 + count * size)
        file.write(head + wal[16:24] + struct.pack(">II", *sums) + page)


def stretch(pages):
    """Makes a database that nobody has open larger, by pages without content."""
    with open(path, "r+b") as file:
        head = file.read(100)
        size = struct.unpack(">H", head[16:18])[0]
        file.seek(28)
        file.write(struct.pack(">I", pages))
        file.seek(92)
        file.write(head[24:28])
        file.truncate(pages * (65536 if size == 1 else size))


def take_pages(numbers, to):
    """Copies pages of the database file."""
    with open(path, "rb") as file, open(to, "wb") as out:
        size = struct.unpack(">H", file.read(18)[16:18])[0]
        size = 65536 if size == 1 else size
        for number in numbers:
            file.seek((number - 1) * size)
            out.write(file.read(size))


names = globals()
for line in sys.stdin:
    code = bytes.fromhex(line).decode()
    try:
        try:
            program = compile(code, "order", "eval")
        except SyntaxError:
            exec(code, names)
            answer = "ok"
        else:
            answer = f"ok {eval(program, names)}"
    except Exception as error:
        answer = f"error {type(error).__name__}: {error}"
    print(answer.replace("\n", " "), flush=True)
