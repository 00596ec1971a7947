"""An application that does as it is told: session.py DATABASE [TIMEOUT_SECONDS]

Each line of standard input is an SQL statement; each is answered by a line: "ok", the milliseconds it took and the
rows, or "error" and why. Rows are parted by the record separator, their values by the unit separator.
"""
import sqlite3
import sys
import time

timeout = float(sys.argv[2]) if len(sys.argv) > 2 else 10
db = sqlite3.connect(sys.argv[1], timeout=timeout, isolation_level=None)
for line in sys.stdin:
    start = time.monotonic()
    try:
        rows = db.execute(line).fetchall()
    except sqlite3.Error as error:
        print("error", str(error).replace("\n", " "), sep="\t", flush=True)
        continue
    millis = int((time.monotonic() - start) * 1000)
    text = "\x1e".join("\x1f".join(str(value) for value in row) for row in rows)
    print("ok", millis, text.replace("\n", " "), sep="\t", flush=True)
