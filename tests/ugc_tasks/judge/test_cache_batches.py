"""Batches are on disk before and after each step, each under the endpoint that has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ugc_tasks.judge.batch import BatchLedger
from ugc_tasks.judge.cache import JudgmentCache
from ugc_tasks.judge.transport.batch_api import Part

KEYS = ("b" * 64, "c" * 64)
BOTH, FIRST, SECOND = Part(b"", KEYS), Part(b"", KEYS[:1]), Part(b"", KEYS[1:])
HERE, ELSEWHERE = "api.example/v1", "other.example/v1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JudgmentCache]:
    store = JudgmentCache(tmp_path / "judgments.sqlite3")
    yield store
    store.close()


def test_what_the_endpoint_calls_a_batch_is_kept_step_by_step(store: JudgmentCache) -> None:
    ledger = BatchLedger(store, HERE)
    entry = ledger.enter(BOTH)
    assert (entry.keys, entry.file, entry.batch) == (KEYS, None, None)
    ledger.note(entry, "file", "file-1")
    ledger.note(entry, "batch", "batch_1")
    (kept,) = BatchLedger(store, HERE).open()
    assert (kept.tag, kept.file, kept.batch) == (entry.tag, "file-1", "batch_1")
    ledger.note(entry, "file", "file-2")
    (kept,) = ledger.open()
    assert (kept.file, kept.batch) == ("file-2", "batch_1")


def test_a_note_is_of_one_batch_only(store: JudgmentCache) -> None:
    ledger = BatchLedger(store, HERE)
    first, second = ledger.enter(FIRST), ledger.enter(SECOND)
    ledger.note(second, "batch", "batch_2")
    assert {each.tag: each.batch for each in ledger.open()} == {
        first.tag: None,
        second.tag: "batch_2",
    }
    ledger.note(first, "closed", "completed")
    assert [each.tag for each in ledger.open()] == [second.tag]


def test_each_endpoint_has_its_own(store: JudgmentCache) -> None:
    here, elsewhere = BatchLedger(store, HERE), BatchLedger(store, ELSEWHERE)
    mine, other = here.enter(BOTH), elsewhere.enter(BOTH)
    assert [each.tag for each in here.open()] == [mine.tag]
    assert store.batch_is_out(HERE)
    assert store.batch_is_out(ELSEWHERE)
    elsewhere.note(other, "closed", "completed")
    assert elsewhere.open() == []
    assert store.batch_is_out(HERE)
    assert not store.batch_is_out(ELSEWHERE)


def test_the_oldest_is_the_first(store: JudgmentCache) -> None:
    ledger = BatchLedger(store, HERE)
    first, second = ledger.enter(FIRST), ledger.enter(SECOND)
    for created, expected in ((1.0, [second.tag, first.tag]), (1e12, [first.tag, second.tag])):
        with store.writing() as db:
            db.execute("UPDATE batch SET created_at = ? WHERE tag = ?", (created, second.tag))
        assert [each.tag for each in ledger.open()] == expected


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tag", "short"), ("tag", f"{'0' * 32}\n"), ("tag", "G" * 32),
        ("keys", "no JSON"), ("keys", b"\xff"),
        ("keys", "[1]"), ("keys", json.dumps([*KEYS, "short"])), ("keys", "[" * 100_000),
        ("file", "../files"), ("file", b"x"), ("batch", ".."), ("batch", "batch_1?x="),
        ("batch", "batch_1\n"), ("batch", "x" * 201), ("created_at", "yesterday"),
    ],
)  # fmt: skip
def test_a_row_that_somebody_has_changed_is_no_batch_and_that_is_said_once(
    store: JudgmentCache, caplog: pytest.LogCaptureFixture, column: str, value: object
) -> None:
    ledger = BatchLedger(store, HERE)
    good, odd = ledger.enter(BOTH), ledger.enter(BOTH)
    with store.writing() as db:
        db.execute(f"UPDATE batch SET {column} = ? WHERE tag = ?", (value, odd.tag))  # noqa: S608
    for _ in range(3):
        assert [each.tag for each in ledger.open()] == [good.tag]
    assert caplog.text.count("are ignored") == 1
