"""The tables of the judgment store, and how an older store becomes one of today.

Version 1 had a column for each of a caption's three scores. Since version 2 a reply's scores are
one JSON object of named numbers, whatever was judged. Since version 3 a reply has its cost in US
dollars (NULL: not known), and there are the batches that were handed to the endpoint.
"""

from __future__ import annotations

import sqlite3

VERSION = 3
APPLICATION_ID = 0x55474A44  # "UGJD": tells this file from another program's database

_REPLY = """
CREATE TABLE reply (
    key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    video_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT,
    model TEXT,
    fingerprint TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    scores TEXT,
    failure TEXT,
    created_at REAL NOT NULL,
    usd REAL,
    PRIMARY KEY (key, attempt),
    CHECK ((failure IS NULL) = (scores IS NOT NULL))
) WITHOUT ROWID
"""

# ``tag`` is ours and goes with the batch as metadata; ``keys`` are those of its judgments, as JSON.
# ``file`` and ``batch`` are the endpoint's ids, once they are known. ``closed`` says how it ended.
_BATCH = """
CREATE TABLE batch (
    tag TEXT NOT NULL PRIMARY KEY,
    endpoint TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    keys TEXT NOT NULL,
    file TEXT,
    batch TEXT,
    closed TEXT,
    created_at REAL NOT NULL
) WITHOUT ROWID
"""

# Spelled by hand: SQLite can be built without its JSON functions.
_FROM_VERSION_1 = """
INSERT INTO reply
SELECT key, attempt, video_id, judge, text, finish_reason, model, fingerprint, prompt_tokens,
       completion_tokens,
       CASE WHEN failure IS NULL THEN
           '{"visual": ' || visual || ', "audio": ' || audio || ', "details": ' || details || '}'
       END,
       failure, created_at, NULL
FROM reply_version_1
"""


def is_empty(db: sqlite3.Connection) -> bool:
    """Tell whether the database has no table yet."""
    (tables,) = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    return not tables


def has_programs(db: sqlite3.Connection) -> bool:
    """Tell whether the database changes what is written to it: ours has no triggers and views."""
    query = "SELECT COUNT(*) FROM sqlite_master WHERE type IN ('trigger', 'view')"
    (programs,) = db.execute(query).fetchone()
    return bool(programs)


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema's version, 0 for a new file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def owner_of(db: sqlite3.Connection) -> int:
    """Return the id of the application that made the file, 0 where none said so."""
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    return int(owner)


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Make the tables, or turn those of an older version into today's.

    To be called in a write transaction, which makes it whole or leaves it as it was, and lets one
    of several processes do it.
    """
    if is_empty(db):
        db.execute(_REPLY)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif version_of(db) == 1:
        db.execute("ALTER TABLE reply RENAME TO reply_version_1")
        db.execute(_REPLY)
        db.execute(_FROM_VERSION_1)
        db.execute("DROP TABLE reply_version_1")
    elif version_of(db) == 2:
        db.execute("ALTER TABLE reply ADD COLUMN usd REAL")
    else:
        return
    db.execute(_BATCH)
    db.execute(f"PRAGMA user_version = {VERSION}")
