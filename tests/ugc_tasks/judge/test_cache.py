"""Every reply stays on disk under what it answers; a file that cannot serve is said so at once."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.grades import grades
from tests.support.no_locks import SUPPORTED, said_without_locks
from ugc_tasks.judge.cache import ROOM, JudgeStoreError, JudgmentCache
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.types import ChatReply, Judgment, Scores, Usage

REPLY = ChatReply("{...}", "stop", "gpt-4o-2024-08-06", "fp_1", 700, 18)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "judgments.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[JudgmentCache]:
    opened = JudgmentCache(path)
    yield opened
    opened.close()


def add(store: JudgmentCache, key: str, scores: Scores | None, reply: ChatReply = REPLY) -> int:
    judgment = Judgment("PI-1", scores, failure=None if scores else "no object")
    return store.add(key, reply, judgment, judge="j")


def test_a_reply_comes_back_as_it_was_from_a_reopened_store(
    store: JudgmentCache, path: Path
) -> None:
    add(store, "k", grades(4, 3, 5))
    again = JudgmentCache(path)
    found = again.first_scored("k")
    again.close()
    assert found is not None
    assert found == Judgment(
        "", grades(4, 3, 5), REPLY.text, None, REPLY.model, REPLY.fingerprint,
        stored=True, attempts=1, usage=Usage(700, 18),
    )  # fmt: skip


@pytest.mark.parametrize("usd", [0.00193, 0.0, 1e6, None])
def test_what_a_reply_cost_comes_back_with_it(store: JudgmentCache, usd: float | None) -> None:
    judgment = Judgment("PI-1", grades(4, 3, 5), usage=Usage(700, 18, usd))
    store.add("k", REPLY, judgment, judge="j")
    found = store.first_scored("k")
    assert found is not None
    assert found.usage == Usage(700, 18, usd)


def test_a_reply_is_added_where_an_earlier_one_was_taken_away(
    store: JudgmentCache, path: Path
) -> None:
    """It is paid for."""
    for _ in range(3):
        add(store, "k", None)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM reply WHERE attempt = 1")
    assert add(store, "k", grades(2, 2, 2)) == 4


@pytest.mark.parametrize(
    ("question", "scores"),
    [
        ("background", Scores(consistent=0.0)),
        ("objects", Scores(match_score=2 / 3)),
        ("audio_caption", Scores(audio=3)),
        ("caption", grades(4, 3, 5)),
    ],
)
def test_the_scores_of_any_question_come_back_as_they_were(
    path: Path, question: str, scores: Scores
) -> None:
    store = JudgmentCache(path, QUESTIONS[question].schema)
    add(store, "k", scores)
    found = store.first_scored("k")
    assert found is not None
    assert found.scores == scores
    store.close()
    with sqlite3.connect(path) as db:
        (text,) = db.execute("SELECT scores FROM reply").fetchone()
    assert json.loads(text) == dict(scores)


OTHERS = [
    ("background", '{"consistent": 0.5}'), ("background", '{"consistent": true}'),
    ("objects", '{"match_score": 1.5}'), ("objects", '{"match_score": -0.1}'),
    ("objects", '{"match_score": "0.5"}'), ("audio_caption", '{"visual": 3}'),
    ("audio_caption", '{"visual": 3, "audio": 3}'),
]  # fmt: skip
CAPTIONS = [
    "", "4", "[4]", "{}", "{", "null", "no JSON", '{"visual": "4"}', '{"visual": 4, "audio": 3}',
    '{"visual": 9, "audio": 3, "details": 5}', '{"visual": 0, "audio": 3, "details": 5}',
    '{"visual": 3.5, "audio": 3, "details": 5}', '{"visual": NaN, "audio": 3, "details": 5}',
    '{"visual": true, "audio": 3, "details": 5}', '{"visual": "4", "audio": 3, "details": 5}',
    '{"visual": 4, "audio": 3, "details": 5, "humour": 5}', "[" * 100_000,
    '{"visual": 1' + "0" * 400 + ', "audio": 3, "details": 5}', '{"a": 1' + "0" * 5000 + "}",
    '{"visual": null, "audio": 3, "details": 5}', b"\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "stated"), [*OTHERS, *(("caption", stated) for stated in CAPTIONS)]
)
def test_scores_that_somebody_has_changed_are_ignored_with_a_line_and_never_a_judgment(
    path: Path, caplog: pytest.LogCaptureFixture, question: str, stated: str | bytes
) -> None:
    form = QUESTIONS[question].schema
    store = JudgmentCache(path, form)
    good = {"background": 1.0, "objects": 0.5}.get(question, 4.0)
    for key in ("k", "l"):
        add(store, key, Scores(**dict.fromkeys(form.names, good)))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE reply SET scores = ? WHERE key = 'k'", (stated,))
    assert store.first_scored("k") is None
    assert store.scored(["k", "l", "m"]) == {"l"}
    assert store.scored(["k"]) == set()
    store.close()
    assert caplog.text.count("are ignored") == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", b"\xff"), ("model", b"bytes"),
        ("fingerprint", b"\x00"), ("prompt_tokens", -1), ("prompt_tokens", 2**53),
        ("completion_tokens", "many"), ("completion_tokens", 1.5), ("usd", -0.5), ("usd", 1e300),
        ("usd", 1e6 + 1), ("usd", float("inf")), ("usd", "cheap"), ("attempt", -3),
        ("attempt", "first"), ("attempt", 1_000_000), ("attempt", 2**62), ("attempt", 1.5),
    ],
)  # fmt: skip
def test_a_row_that_is_not_as_this_program_writes_it_is_ignored_and_another_can_be_added(
    store: JudgmentCache, path: Path, column: str, value: object
) -> None:
    add(store, "k", grades(4, 3, 5))
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE reply SET {column} = ?", (value,))  # noqa: S608
    assert store.first_scored("k") is None
    add(store, "k", grades(2, 2, 2))
    found = store.first_scored("k")
    assert found is not None
    assert found.scores == grades(2, 2, 2)


@pytest.mark.parametrize("attempt", [999_998, 999_999, 1_000_000])
def test_however_high_a_file_counts_what_is_added_is_found_again(
    store: JudgmentCache, path: Path, attempt: int
) -> None:
    """It is paid for."""
    add(store, "k", None)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE reply SET attempt = ?", (attempt,))
    add(store, "k", grades(2, 2, 2))
    found = store.first_scored("k")
    assert found is not None
    assert found.scores == grades(2, 2, 2)


def test_what_is_ignored_is_said_once(
    store: JudgmentCache, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key in "abc":
        add(store, key, grades(4, 3, 5))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE reply SET scores = '9' WHERE key != 'c'")
    for key in "abcab":
        store.first_scored(key)
    assert caplog.text.count(f"rows in {path} that are not as this program writes them") == 1


def test_replies_without_scores_are_kept_and_passed_over(
    store: JudgmentCache, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert add(store, "k", None) == 1
    assert store.first_scored("k") is None
    assert add(store, "k", grades(2, 2, 2)) == 2
    assert add(store, "k", grades(5, 5, 5)) == 3
    found = store.first_scored("k")
    assert found is not None
    assert (found.attempts, found.scores) == (2, grades(2, 2, 2))
    store.close()
    assert not caplog.text, "they are as this program writes them"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM reply").fetchone() == (3,)


def test_a_reply_is_on_disk_when_add_returns(store: JudgmentCache, path: Path) -> None:
    add(store, "k", grades(1, 1, 1))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as other:
        assert other.execute("SELECT attempt FROM reply").fetchall() == [(1,)]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("text", ["\x00 and \ud800 and \U0001f600", 'it\'s "quoted"; DROP TABLE'])
def test_hostile_text_is_stored_as_text(store: JudgmentCache, text: str) -> None:
    add(store, "k", grades(1, 1, 1), ChatReply(text, text, text, text))
    found = store.first_scored("k")
    assert found is not None
    assert found.reply == text.replace("\ud800", "?")


@pytest.mark.parametrize("each_its_own", [False, True])
def test_many_threads_count_their_attempts_without_a_gap(
    store: JudgmentCache, path: Path, each_its_own: bool
) -> None:
    """On one open store, or on one for each of them, as several processes have."""
    stores = [JudgmentCache(path) if each_its_own else store for _ in range(4)]
    got: list[int] = []

    def work(own: JudgmentCache) -> None:
        got.extend(add(own, "k", None) for _ in range(20))

    threads = [threading.Thread(target=work, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in stores:
        own.close()
    assert sorted(got) == list(range(1, 81))


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(JudgeStoreError, match=r"notes\.txt cannot be used.*UGC_JUDGE_STORE"):
        JudgmentCache(path)
    assert path.read_text() == "not a database, " * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JudgeStoreError, match="another program's database"):
        JudgmentCache(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "pragmas", [("application_id = 7",), ("user_version = 3",), ("application_id = 1430735442",)]
)
def test_another_programs_empty_database_is_refused_too(
    tmp_path: Path, pragmas: tuple[str, ...]
) -> None:
    path = tmp_path / "other.sqlite3"
    with sqlite3.connect(path) as db:
        for pragma in pragmas:
            db.execute(f"PRAGMA {pragma}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JudgeStoreError, match="another program's database"):
        JudgmentCache(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("PRAGMA user_version = 4", r"newer version of ugc-videocap \(schema 4, known is 3\)"),
        ("PRAGMA user_version = 0", "its schema 0 is not known"),
        ("PRAGMA user_version = -1", "its schema -1 is not known"),
        ("CREATE TRIGGER t AFTER INSERT ON reply BEGIN DELETE FROM reply; END", "triggers"),
        ("CREATE VIEW v AS SELECT 1", "triggers or views"),
    ],
)
def test_a_store_that_is_not_as_this_version_makes_it_is_refused(
    store: JudgmentCache, path: Path, change: str, said: str
) -> None:
    add(store, "k", grades(4, 3, 5))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    with pytest.raises(JudgeStoreError, match=said):
        JudgmentCache(path)


def test_a_store_whose_end_is_missing_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "judgments.sqlite3"
    store = JudgmentCache(path)
    for n in range(50):
        add(store, str(n), grades(1, 1, 1), ChatReply("x" * 1000))
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JudgeStoreError, match=r"cannot be used: database disk image is malformed"):
        half = JudgmentCache(path)
        half.scored(map(str, range(50)))


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "FILE:memdb1?cache=shared"])
def test_a_store_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JudgeStoreError, match=r"is lost.*UGC_JUDGE_STORE"):
        JudgmentCache(Path(name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "it is a folder"), ("pipe", "a device or a pipe"), ("/dev/null", "a device or"),
        ("x" * 300, "File name too long"), ("a\0b", "null"), ("one", "file is not a database"),
        ("short", "file is not a database"),
    ],
)  # fmt: skip
def test_a_place_for_no_database_is_one_sentence(tmp_path: Path, name: str, said: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one").write_text("1")
    (tmp_path / "short").write_text("my notes")
    with pytest.raises(JudgeStoreError, match=f"cannot be used: .*{said}.*UGC_JUDGE_STORE"):
        JudgmentCache(tmp_path / name)
    assert (tmp_path / "one").read_text() == "1"


def test_a_name_that_looks_like_an_address_in_a_folder_is_a_file(tmp_path: Path) -> None:
    JudgmentCache(tmp_path / ":memory:").close()
    assert (tmp_path / ":memory:").is_file()


def test_a_reply_is_on_the_disk_and_not_only_with_the_system(store: JudgmentCache) -> None:
    with store.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


@pytest.mark.skipif(not SUPPORTED, reason="locks cannot be taken away on this machine")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_to_be_one(tmp_path: Path, code: int) -> None:
    """And not to be locked by another program, after half a minute."""
    program = f"""
from pathlib import Path
from ugc_tasks.judge.cache import ROOM, JudgeStoreError, JudgmentCache
try:
    JudgmentCache(Path({str(tmp_path / "judgments.sqlite3")!r}))
except JudgeStoreError as error:
    print(error)
"""
    assert said_without_locks(program, code) == (
        f"the judgment store {tmp_path}/judgments.sqlite3 cannot be used: its file system has no "
        f"locks ({os.strerror(code)}), without which two programs can spoil it; set "
        "UGC_JUDGE_STORE to another file\n"
    )


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that writes to the file, for half a second."""
    path.parent.mkdir(exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.5, db.execute, ["COMMIT"])
    timer.start()
    yield db
    timer.join()
    db.close()


def test_who_writes_meanwhile_is_waited_for(
    store: JudgmentCache, other: sqlite3.Connection
) -> None:
    assert add(store, "k", grades(1, 1, 1)) == 1


def test_who_makes_the_same_store_meanwhile_is_waited_for(
    path: Path, other: sqlite3.Connection
) -> None:
    """SQLite itself does not wait where a file gets its write-ahead log."""
    store = JudgmentCache(path)
    assert add(store, "k", grades(1, 1, 1)) == 1
    store.close()


def test_several_that_make_the_same_store_at_once_all_have_it(tmp_path: Path) -> None:
    for number in range(20):
        at_once, failed = threading.Barrier(4), list[Exception]()

        def open_one(
            path: Path = tmp_path / f"{number}.sqlite3",
            at_once: threading.Barrier = at_once,
            failed: list[Exception] = failed,
        ) -> None:
            at_once.wait(60)
            try:
                JudgmentCache(path).close()
            except JudgeStoreError as error:
                failed.append(error)

        threads = [threading.Thread(target=open_one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed


def test_a_change_that_another_was_quicker_with_is_no_damage(store: JudgmentCache) -> None:
    """SQLite has codes of its own for some of the ways in which a file is held."""
    quicker = JudgmentCache(store.path)
    with pytest.raises(JudgeStoreError, match="is held by another program"), store.reading() as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM reply").fetchall()
        add(quicker, "k", None)
        db.execute("DELETE FROM reply")
    quicker.close()


def test_what_fails_half_way_leaves_nothing(store: JudgmentCache) -> None:
    add(store, "k", grades(1, 1, 1))
    with pytest.raises(JudgeStoreError, match="no such table"), store.writing() as db:
        db.execute("DELETE FROM reply")
        db.execute("DELETE FROM nowhere")
    assert store.scored(["k"]) == {"k"}
    assert add(store, "k", None) == 2


def test_a_store_that_may_not_grow_has_no_room(store: JudgmentCache) -> None:
    with store.reading() as db:
        db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JudgeStoreError, match=r"has no room .*make room.*what is in it is kept"):
        add(store, "k", None, ChatReply("x" * 100_000))


def test_a_store_that_is_refused_is_not_left_open(store: JudgmentCache, path: Path) -> None:
    with store.writing() as db:
        db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(JudgeStoreError, match="newer version") as caught:
        JudgmentCache(path)
    assert caught.value.__traceback__ is not None  # which would keep it alive
    opened = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert not [name for name in opened if name.startswith(str(path))]


def test_a_store_that_another_program_holds_is_said_to_be(store: JudgmentCache, path: Path) -> None:
    with store.reading() as db:
        db.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JudgeStoreError, match=r"is held by another program .*when that has ended"):
        add(store, "k", grades(1, 1, 1))
    other.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "store.sqlite3", tmp_path):
        with pytest.raises(JudgeStoreError, match=str(path)):
            JudgmentCache(path)


def test_a_store_damaged_while_in_use_is_an_error_not_a_loss(
    store: JudgmentCache, path: Path
) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE reply")
    with pytest.raises(JudgeStoreError, match="no such table"):
        add(store, "k", grades(1, 1, 1))


def test_this_very_reply_is_known_by_key_text_and_time(store: JudgmentCache) -> None:
    before = time.time()
    add(store, "k", None)
    assert store.holds("k", REPLY, since=before - 1)
    assert not store.holds("k", REPLY, since=time.time() + 60)
    assert not store.holds("l", REPLY, since=before - 1)
    assert not store.holds("k", ChatReply("another"), since=before - 1)
    hostile = ChatReply("half a pair: \ud800")
    add(store, "k", None, hostile)
    assert store.holds("k", hostile, since=before - 1)


@pytest.mark.parametrize("free", [31, 32])
def test_where_replies_might_not_fit_the_disk_none_is_asked_for(
    store: JudgmentCache, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    disk = SimpleNamespace(free=free << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    if free < 32:
        with pytest.raises(
            JudgeStoreError, match=r"no room \(its disk has 31 MB left\): make room"
        ):
            store.require_room(ROOM)
    else:
        store.require_room(ROOM)


@pytest.mark.parametrize(
    "change", ["attempt = 1", "scores = NULL", "failure = 'none'", "text = NULL", "key = NULL"]
)
def test_the_file_itself_refuses_what_makes_no_sense(tmp_path: Path, change: str) -> None:
    """Two replies in one place, one that was neither read nor failed, or both."""
    path = tmp_path / "judgments.sqlite3"
    store = JudgmentCache(path)
    for _ in range(2):
        add(store, "k", Scores(visual=4))
    store.close()
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(f"UPDATE reply SET {change} WHERE attempt = 2")  # noqa: S608
    db.close()
