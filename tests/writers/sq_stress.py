"""An application without manners: writes, spills, rolls back, vacuums and checkpoints as chance has it.

Arguments: the database, a seed. Runs until killed; says "ready" first.
"""
import random, sqlite3, sys, time

path, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)


def connect():
    connection = sqlite3.connect(path, timeout=chance.choice([0, 0.2, 2]), isolation_level=None)
    connection.execute(f"PRAGMA cache_size={chance.choice([2, 10, 500])}")
    connection.execute(f"PRAGMA wal_autocheckpoint={chance.choice([0, 0, 50, 1000])}")
    connection.execute(f"PRAGMA journal_size_limit={chance.choice([-1, 0, 1000, 200000])}")
    connection.execute(f"PRAGMA secure_delete={chance.choice(['on', 'off'])}")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def change():
    rows = chance.choice([1, 1, 3, 30, 300])
    first = chance.randrange(2000)
    match chance.randrange(5):
        case 0 | 1:
            sql = "INSERT INTO t(b) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<?)"
            connection.execute(sql + " SELECT randomblob(abs(random()) % 3000) FROM n", (rows,))
        case 2 | 3:
            sql = "UPDATE t SET b = randomblob(length(b)) WHERE a BETWEEN ? AND ?"
            connection.execute(sql, (first, first + rows))
        case 4:
            connection.execute("DELETE FROM t WHERE a BETWEEN ? AND ?", (first, first + 2 * rows))


def transaction():
    connection.execute(chance.choice(["BEGIN", "BEGIN IMMEDIATE"]))
    change()
    for _ in range(chance.randrange(4)):
        connection.execute("SAVEPOINT s")
        change()
        if chance.random() < 0.5:
            connection.execute("ROLLBACK TO s")
        connection.execute("RELEASE s")
    connection.execute(chance.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))


connection = connect()
print("ready", flush=True)
while True:
    try:
        dice = chance.random()
        time.sleep(chance.choice([0, 0, 0.001, 0.005]))
        if dice < 0.01:
            connection.execute("VACUUM")
        elif dice < 0.02:
            connection.execute("DELETE FROM t WHERE a > 500")
        elif dice < 0.04:
            connection.close()
            connection = connect()
        elif dice < 0.14:
            mode = chance.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        else:
            transaction()
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
