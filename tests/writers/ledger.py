"""A ledger whose accounts sum up to nothing in every state there ever is, spread over many pages.

    ledger.py write DB SEED   until its input ends: transactions that move amounts, grow and shrink the database
    ledger.py read DB         until its input ends: fails when it ever sees another sum, or a broken database
"""

import random
import select
import sqlite3
import sys

ACCOUNTS = 400


def ended():
    return bool(select.select([sys.stdin], [], [], 0.003)[0])


def write(path, seed):
    choose = random.Random(seed)
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("BEGIN")
    db.execute("CREATE TABLE a(id INTEGER PRIMARY KEY, amount INTEGER, pad TEXT)")
    db.execute("CREATE TABLE junk(b)")
    db.executemany("INSERT INTO a VALUES (?, 0, ?)", [(i, "x" * 300) for i in range(ACCOUNTS)])
    db.execute("CREATE INDEX i ON a(amount)")
    db.execute("COMMIT")
    print("ready", flush=True)
    while not ended():
        db.execute("BEGIN")
        for _ in range(30):
            one, other, amount = choose.randrange(ACCOUNTS), choose.randrange(ACCOUNTS), choose.randrange(1000)
            db.execute("UPDATE a SET amount = amount - ? WHERE id = ?", (amount, one))
            db.execute("UPDATE a SET amount = amount + ? WHERE id = ?", (amount, other))
        if choose.random() < 0.3:
            db.execute("INSERT INTO junk VALUES (randomblob(?))", (choose.randrange(60000),))
        if choose.random() < 0.05:
            db.execute("DELETE FROM junk WHERE rowid % 3 = 0")
        db.execute("COMMIT")
        if choose.random() < 0.02:
            db.execute("DELETE FROM junk")
            db.execute("VACUUM")
    # Not the last connection's checkpoint, which would be one more state.
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")


def look(db):
    db.execute("BEGIN")
    seen = db.execute("SELECT count(*), sum(amount) FROM a NOT INDEXED").fetchone()
    indexed = db.execute("SELECT count(*), sum(amount) FROM a INDEXED BY i").fetchone()
    db.execute("COMMIT")
    assert seen == indexed == (ACCOUNTS, 0), (seen, indexed)


def read(path):
    kept = sqlite3.connect(path, timeout=30, isolation_level=None)
    looks = 0
    print("ready", flush=True)
    while not ended():
        look(kept)
        # One that remembers nothing.
        fresh = sqlite3.connect(path, timeout=30, isolation_level=None)
        look(fresh)
        if looks % 20 == 0:
            assert fresh.execute("PRAGMA quick_check").fetchone() == ("ok",)
        fresh.close()
        looks += 1
    print(looks, flush=True)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3])
else:
    read(sys.argv[2])
