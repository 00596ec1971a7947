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


def wal_index():
    """mxFrame, pages, salts, nBackfill."""
    with open(path + "-shm", "rb") as file:
        head = file.read(136)
    return struct.unpack("=II", head[16:24]) + (head[32:40].hex(),) + struct.unpack("=I", head[96:100])


def spoil_wal_index():
    """Leaves the two copies of the header different, as a writer killed between them does."""
    with open(path + "-shm", "r+b") as file:
        file.seek(16)
        file.write(b"\xff\xff\xff\x7f")


def lose_checksums(connection):
    """A transaction that SQLite before 3.42 commits with zeros for checksums: a savepoint rolled back past
    a cache spill that overwrote frames."""
    connection.execute("PRAGMA cache_size=5")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 40")
    connection.execute("SAVEPOINT s")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 200")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 200")
    connection.execute("ROLLBACK TO s")
    connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a <= 30")
    connection.execute("COMMIT")


def zero_frames():
    """How many committed frames of the WAL have zeros for salts."""
    frames = wal_index()[0]
    with open(path + "-wal", "rb") as file:
        size = struct.unpack(">I", file.read(32)[8:12])[0] + 24
        wal = file.read(frames * size)
    return sum(wal[i * size + 8 : i * size + 16] == bytes(8) for i in range(frames))


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
