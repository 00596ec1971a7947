"""Compares a database with what load.py noted as committed: verify.py DATABASE HISTORY

Prints how many rows there should be, how many are missing, and how many are older than they should be; then
what SQLite's integrity check says.
"""
import sqlite3
import sys

database, history = sys.argv[1:3]
wanted = {}
for line in open(history):
    if line.endswith("\n"):
        number, *rows = map(int, line.split())
        wanted.update((row, number) for row in rows)
db = sqlite3.connect(f"file:{database}?immutable=1", uri=True)
found = {row: (generation, body) for row, generation, body in db.execute("SELECT id, generation, body FROM load")}
missing = sum(row not in found for row in wanted)
stale = 0
for row, generation in wanted.items():
    if row in found:
        newer, body = found[row]
        stale += newer < generation or not body.startswith(f"{row}:{newer}:")
integrity = "; ".join(row[0] for row in db.execute("PRAGMA integrity_check"))
print(len(wanted), missing, stale, integrity)
