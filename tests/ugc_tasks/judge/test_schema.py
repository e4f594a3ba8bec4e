"""An older store becomes one of today in one step, with all that was paid for in it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from ugc_tasks.judge import schema
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore

# As version 1 of the package made it: what is on users' disks.
VERSION_1 = """
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
    visual INTEGER,
    audio INTEGER,
    details INTEGER,
    failure TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (key, attempt),
    CHECK ((failure IS NULL) = (visual IS NOT NULL AND audio IS NOT NULL AND details IS NOT NULL))
) WITHOUT ROWID;
PRAGMA user_version = 1;
PRAGMA application_id = 1430735428;
PRAGMA journal_mode = WAL;
"""
REPLIES = [
    ("k1", 1, "PI-1", "paper/m/d", "Sorry", "stop", "m", None, 7, 2, None, None, None, "none", 1.5),
    ("k1", 2, "PI-1", "paper/m/d", "{…}", "stop", "m", "fp", 700, 18, 4, 3, 5, None, 2.5),
    ("k2", 1, "PI-2", "paper/m/d", "it's", None, None, None, None, None, 1, 1, 1, None, 3.5),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "judgments.sqlite3"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    with db:
        db.executemany(f"INSERT INTO reply VALUES ({', '.join('?' * 15)})", REPLIES)  # noqa: S608
    db.close()
    return path


def read(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    rows = db.execute(sql).fetchall()
    db.close()
    return rows


def test_every_reply_of_version_1_is_there_with_its_scores_or_its_failure(old: Path) -> None:
    store = JudgmentStore(old)
    found = store.first_scored("k1"), store.first_scored("k2")
    store.close()
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].reply == ChatReply("{…}", "stop", "m", "fp", 700, 18)
    assert (found[0].attempt, found[0].scores) == (2, Scores(4, 3, 5))
    assert found[1].scores == Scores(1, 1, 1)
    unchanged = read(
        old,
        "SELECT key, attempt, video_id, judge, text, finish_reason, model, fingerprint,"
        " prompt_tokens, completion_tokens, failure, created_at FROM reply ORDER BY key, attempt",
    )
    assert unchanged == [(*reply[:10], *reply[13:]) for reply in REPLIES]


def test_the_store_is_then_like_one_that_was_made_today(old: Path, tmp_path: Path) -> None:
    JudgmentStore(old).close()
    JudgmentStore(tmp_path / "new.sqlite3").close()
    for fact in ("SELECT name, sql FROM sqlite_master", "PRAGMA user_version",
                 "PRAGMA application_id"):  # fmt: skip
        assert read(old, fact) == read(tmp_path / "new.sqlite3", fact)


def test_what_comes_next_is_counted_on_from_what_there_was(old: Path) -> None:
    store = JudgmentStore(old)
    attempt = store.add(
        "k1", ChatReply("no"), video_id="PI-1", judge="j", scores=None, failure="no object"
    )
    store.close()
    assert attempt == 3


def test_a_change_that_fails_half_way_leaves_the_store_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(old, "SELECT * FROM reply")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_FROM_VERSION_1", "INSERT INTO reply SELECT * FROM nowhere")
        with pytest.raises(JudgeStoreError, match="nowhere"):
            JudgmentStore(old)
    assert read(old, "SELECT * FROM reply") == before
    assert read(old, "PRAGMA user_version") == [(1,)]
    JudgmentStore(old).close()
    assert read(old, "PRAGMA user_version") == [(schema.VERSION,)]


def test_several_that_open_an_old_store_at_once_change_it_once(old: Path) -> None:
    at_once = threading.Barrier(6)
    found: list[object] = []

    def open_one() -> None:
        at_once.wait(20)
        store = JudgmentStore(old)
        found.append(store.first_scored("k1"))
        store.close()

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert None not in found
    assert read(old, "SELECT COUNT(*) FROM reply") == [(3,)]


# As version 2 of the package made it.
VERSION_2 = """
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
    PRIMARY KEY (key, attempt),
    CHECK ((failure IS NULL) = (scores IS NOT NULL))
) WITHOUT ROWID;
INSERT INTO reply VALUES
    ('k1', 1, 'PI-1', 'j', 'Sorry', 'stop', 'm', NULL, 7, 2, NULL, 'none', 1.5),
    ('k1', 2, 'PI-1', 'j', '{…}', 'stop', 'm', 'fp', 700, 18, '{"visual": 4}', NULL, 2.5);
PRAGMA user_version = 2;
PRAGMA application_id = 1430735428;
PRAGMA journal_mode = WAL;
"""


def test_every_reply_of_version_2_is_there_and_its_cost_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "judgments.sqlite3"
    db = sqlite3.connect(path)
    db.executescript(VERSION_2)
    before = db.execute("SELECT * FROM reply").fetchall()
    db.close()
    store = JudgmentStore(path)
    found = store.first_scored("k1")
    added = store.add(
        "k1", ChatReply("x"), video_id="v", judge="j", scores=None, failure="f", usd=0.5
    )
    store.close()
    assert found is not None
    assert (found.reply.prompt_tokens, found.scores, found.usd) == (700, Scores(4), None)
    assert added == 3
    assert read(path, "SELECT * FROM reply WHERE attempt < 3") == [(*row, None) for row in before]
    assert read(path, "SELECT usd FROM reply WHERE attempt = 3") == [(0.5,)]
    assert read(path, "SELECT COUNT(*) FROM batch") == [(0,)]


@pytest.mark.parametrize(
    "change", ["attempt = 1", "scores = NULL", "failure = 'none'", "text = NULL", "key = NULL"]
)
def test_the_file_itself_refuses_what_makes_no_sense(tmp_path: Path, change: str) -> None:
    """Two replies in one place, one that was neither read nor failed, or both."""
    path = tmp_path / "judgments.sqlite3"
    store = JudgmentStore(path)
    for _ in range(2):
        store.add("k", ChatReply("x"), video_id="v", judge="j", scores=Scores(4), failure=None)
    store.close()
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(f"UPDATE reply SET {change} WHERE attempt = 2")  # noqa: S608
    db.close()
