"""An application that writes all the time: load.py DATABASE HISTORY [TRANSACTIONS_PER_SECOND]

Every transaction inserts five rows and updates five older ones. What is committed is noted in HISTORY, a line
for each transaction: its number and the rows that have it as their generation since. Lines on standard input
steer it: "pause" and "go" are answered when they are done, the end of input ends it.
"""
import random
import select
import sqlite3
import sys
import time

ROWS = 5


def body(row, generation):
    return f"{row}:{generation}:" + "x" * (generation * 37 % 300)


def main():
    path, history = sys.argv[1:3]
    pause = 1 / float(sys.argv[3]) if len(sys.argv) > 3 else 0.01
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, generation INTEGER, body TEXT)")
    last, number = db.execute("SELECT coalesce(max(id), 0), coalesce(max(generation), 0) FROM load").fetchone()
    chance = random.Random(7)
    print("going", flush=True)
    running = True
    with open(history, "a", buffering=1) as log:
        while True:
            # Waits for a command when paused, else for the time of the next transaction.
            ready, _, _ = select.select([sys.stdin], [], [], pause if running else None)
            if ready:
                command = sys.stdin.readline().strip()
                if not command:
                    return
                running = command == "go"
                print("going" if running else "paused", flush=True)
                continue
            number += 1
            rows = list(range(last + 1, last + 1 + ROWS))
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO load VALUES(?, ?, ?)", [(row, number, body(row, number)) for row in rows])
            if last:
                older = chance.sample(range(1, last + 1), min(ROWS, last))
                db.executemany(
                    "UPDATE load SET generation = ?, body = ? WHERE id = ?",
                    [(number, body(row, number), row) for row in older],
                )
                rows += older
            db.execute("COMMIT")
            last += ROWS
            log.write(f"{number} {' '.join(map(str, rows))}\n")


main()
