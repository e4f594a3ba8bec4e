"""Every reply stays on disk under what it answers; a file that cannot serve is said so at once."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ugc_tasks.judge.profiles import paper_profile
from ugc_tasks.judge.questions import QUESTIONS
from ugc_tasks.judge.reply import ChatReply
from ugc_tasks.judge.scores import Scores
from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore, judgment_key

REPLY = ChatReply("{...}", "stop", "gpt-4o-2024-08-06", "fp_1", 700, 18)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "judgments.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[JudgmentStore]:
    opened = JudgmentStore(path)
    yield opened
    opened.close()


def add(store: JudgmentStore, key: str, scores: Scores | None, reply: ChatReply = REPLY) -> int:
    failure = None if scores else "no object"
    return store.add(key, reply, video_id="PI-1", judge="j", scores=scores, failure=failure)


def test_a_reply_comes_back_as_it_was_from_a_reopened_store(
    store: JudgmentStore, path: Path
) -> None:
    add(store, "k", Scores(4, 3, 5))
    again = JudgmentStore(path)
    found = again.first_scored("k")
    again.close()
    assert found is not None
    assert (found.reply, found.scores, found.failure, found.attempt) == (
        REPLY, Scores(4, 3, 5), None, 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "scores", [Scores(consistent=0.0), Scores(match_score=2 / 3), Scores(audio=3), Scores(4, 3, 5)]
)
def test_the_scores_of_any_question_come_back_as_they_were(
    store: JudgmentStore, path: Path, scores: Scores
) -> None:
    add(store, "k", scores)
    found = store.first_scored("k")
    assert found is not None
    assert found.scores == scores
    with sqlite3.connect(path) as db:
        (text,) = db.execute("SELECT scores FROM reply").fetchone()
    assert json.loads(text) == dict(scores)


@pytest.mark.parametrize(
    "text", ["", "4", "[4]", "{}", '{"visual": "4"}', '{"visual": NaN}', '{"visual": true}', "{"]
)
def test_scores_that_are_none_are_a_damaged_store_not_a_judgment(
    store: JudgmentStore, path: Path, text: str
) -> None:
    add(store, "k", Scores(4, 3, 5))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE reply SET scores = ?", (text,))
    with pytest.raises(JudgeStoreError, match=r"judgments\.sqlite3 cannot be used.*scores"):
        store.first_scored("k")


def test_replies_without_scores_are_kept_and_passed_over(store: JudgmentStore, path: Path) -> None:
    assert add(store, "k", None) == 1
    assert store.first_scored("k") is None
    assert add(store, "k", Scores(2, 2, 2)) == 2
    assert add(store, "k", Scores(5, 5, 5)) == 3
    found = store.first_scored("k")
    assert found is not None
    assert (found.attempt, found.scores) == (2, Scores(2, 2, 2))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM reply").fetchone() == (3,)


def test_a_reply_is_on_disk_when_add_returns(store: JudgmentStore, path: Path) -> None:
    add(store, "k", Scores(1, 1, 1))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as other:
        assert other.execute("SELECT attempt FROM reply").fetchall() == [(1,)]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("text", ["\x00 and \ud800 and \U0001f600", 'it\'s "quoted"; DROP TABLE'])
def test_hostile_text_is_stored_as_text(store: JudgmentStore, text: str) -> None:
    add(store, "k", Scores(1, 1, 1), ChatReply(text, text, text, text))
    found = store.first_scored("k")
    assert found is not None
    assert found.reply.text == text.replace("\ud800", "?")


def test_many_threads_count_their_attempts_without_a_gap(store: JudgmentStore) -> None:
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda: got.extend(add(store, "k", None) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 41))


def test_the_key_changes_with_everything_that_determines_a_judgment() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    others = [
        paper_profile("Grade!").request("PI-1", "caption", "reference"),
        paper_profile("Grade.", "other").request("PI-1", "caption", "reference"),
        paper_profile("Grade.").request("PI-2", "caption", "reference"),
        paper_profile("Grade.").request("PI-1", "Caption", "reference"),
        paper_profile("Grade.").request("PI-1", "caption", "Reference"),
        body | {"temperature": 0},
        body | {"seed": 1},
    ]
    keys = [judgment_key("host/v1", body), judgment_key("host:1/v1", body)]
    keys += [judgment_key("host/v1", other) for other in others]
    assert len(set(keys)) == 9
    assert judgment_key("host/v1", dict(reversed(body.items()))) == keys[0]


def test_the_same_request_for_another_question_is_another_judgment() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    keys = {judgment_key("host/v1", body, name) for name in QUESTIONS}
    assert len(keys) == len(QUESTIONS)


def test_each_repeat_is_another_judgment_and_the_first_keeps_the_key_that_it_had() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    for question in ("caption", "objects"):
        keys = [judgment_key("host/v1", body, question, repeat) for repeat in range(4)]
        assert len(set(keys)) == 4
        assert keys[0] == judgment_key("host/v1", body, question)
        assert keys[2] == judgment_key("host/v1", body, question, 2)


def test_a_caption_keeps_the_key_that_it_had_when_there_was_no_other_question() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "é"}]}
    assert judgment_key("host/v1", body, "caption") == judgment_key("host/v1", body)
    assert judgment_key("host/v1", body) == (
        "c2a4238423fd62cd50f73c58385e83d18ad15678d2f9a806570abb3357de26f1"
    )


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(JudgeStoreError, match=r"notes\.txt cannot be used.*UGC_JUDGE_STORE"):
        JudgmentStore(path)
    assert path.read_text() == "not a database, " * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JudgeStoreError, match="another program's database"):
        JudgmentStore(path)
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(store: JudgmentStore, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 4")
    db.close()
    with pytest.raises(JudgeStoreError, match="newer version"):
        JudgmentStore(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "store.sqlite3", tmp_path):
        with pytest.raises(JudgeStoreError, match=str(path)):
            JudgmentStore(path)


def test_a_store_damaged_while_in_use_is_an_error_not_a_loss(
    store: JudgmentStore, path: Path
) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE reply")
    with pytest.raises(JudgeStoreError, match="no such table"):
        add(store, "k", Scores(1, 1, 1))
