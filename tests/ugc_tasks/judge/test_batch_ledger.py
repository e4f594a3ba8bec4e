"""Batches are on disk before and after each step, each under the endpoint that has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ugc_tasks.judge.batch_ledger import BatchLedger
from ugc_tasks.judge.store import JudgmentStore

DIGEST, KEYS = "a" * 64, ("b" * 64, "c" * 64)
HERE, ELSEWHERE = "api.example/v1", "other.example/v1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JudgmentStore]:
    store = JudgmentStore(tmp_path / "judgments.sqlite3")
    yield store
    store.close()


def test_what_the_endpoint_calls_a_batch_is_kept_step_by_step(store: JudgmentStore) -> None:
    ledger = BatchLedger(store, HERE)
    entry = ledger.enter(DIGEST, KEYS)
    assert (entry.sha256, entry.keys, entry.file, entry.batch) == (DIGEST, KEYS, None, None)
    ledger.note(entry.tag, file="file-1")
    ledger.note(entry.tag, batch="batch_1")
    (kept,) = BatchLedger(store, HERE).open()
    assert (kept.tag, kept.file, kept.batch) == (entry.tag, "file-1", "batch_1")
    ledger.note(entry.tag, file="file-2")
    (kept,) = ledger.open()
    assert (kept.file, kept.batch) == ("file-2", "batch_1")


def test_a_note_is_of_one_batch_only(store: JudgmentStore) -> None:
    ledger = BatchLedger(store, HERE)
    first, second = ledger.enter(DIGEST, KEYS[:1]), ledger.enter(DIGEST, KEYS[1:])
    ledger.note(second.tag, batch="batch_2")
    assert {each.tag: each.batch for each in ledger.open()} == {
        first.tag: None,
        second.tag: "batch_2",
    }
    ledger.close(first.tag, "completed")
    assert [each.tag for each in ledger.open()] == [second.tag]
    assert ledger.closed_tags() == {first.tag}


def test_each_endpoint_has_its_own(store: JudgmentStore) -> None:
    here, elsewhere = BatchLedger(store, HERE), BatchLedger(store, ELSEWHERE)
    mine, other = here.enter(DIGEST, KEYS), elsewhere.enter(DIGEST, KEYS)
    assert [each.tag for each in here.open()] == [mine.tag]
    elsewhere.close(other.tag, "completed")
    assert here.closed_tags() == set()
    assert elsewhere.open() == []
