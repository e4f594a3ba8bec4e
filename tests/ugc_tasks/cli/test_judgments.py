"""``ugc-videocap judgments``: what was paid for on one machine is not paid for on another."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import Act, Asked, JudgeServer, scores, text
from ugc_tasks.cli import judgments
from ugc_tasks.cli.main import main
from ugc_tasks.judge.cache import JudgmentCache
from ugc_tasks.judge.protocol.profiles import judgment_key
from ugc_tasks.judge.types import ChatReply, Judgment, Usage

KEYS = [f"{n:064x}" for n in range(1, 6)]
GRADES = {"visual": 4, "audio": 3, "details": 5}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "here"))


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``judgments`` with a store; return its status, stdout and stderr."""

    def call(*arguments: str | Path, store: str = "here.sqlite3") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setenv("UGC_JUDGE_STORE", store)
        status = main(["judgments", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def reply(said: str = "{'visual': 4}") -> ChatReply:
    return ChatReply(said, "stop", "gpt-4o-2024-08-06", "fp_1", 700, 18)


def fill(store: str, *keys: str, said: str = "{'visual': 4}", scored: bool = True) -> None:
    cache = JudgmentCache(Path(store))
    for key in keys:
        judgment = Judgment("PI-1", dict(GRADES), usage=Usage(700, 18, 0.00193))
        if not scored:
            judgment = Judgment("PI-1", failure="no object", usage=Usage(700, 18, None))
        cache.add(key, reply(said), judgment, judge="rubric/gpt-4o/0123")
    cache.close()


def rows(store: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as db:
        return db.execute("SELECT * FROM reply ORDER BY key, attempt").fetchall()


def lines(file: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def write(content: list[dict[str, Any]], *, digest: bool = True, end: str = "\n") -> None:
    """Write lines of which each has the digest of what is in it."""
    whole = [
        {**line, "sha256": judgments._digest(line)} if digest else line
        for line in ({k: v for k, v in each.items() if k != "sha256"} for each in content)
    ]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, whole)) + end)


# ---- there and back ----


def test_what_was_judged_on_one_machine_is_not_asked_on_another(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole scoring run, with an unreadable reply before a good one, and repeats."""
    ids = [f"PI-{n}" for n in range(5)]
    samples = [{"video_id": i, "answer": f"A cat sits on mat {i}."} for i in ids]
    content = {"question": "What happens?", "samples": samples}
    (tmp_path / "final_caption_qa.json").write_text(json.dumps(content))
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({i: f"A cat, {i}." for i in ids}))

    def grade(asked: Asked) -> Act:
        return text("I would rather not.") if asked.number in (0, 3) else scores()

    def score(cache: str) -> dict[str, Any]:
        monkeypatch.setenv("UGC_VIDEOCAP_CACHE", cache)
        monkeypatch.delenv("UGC_JUDGE_STORE", raising=False)
        capsys.readouterr()
        command = ["score", "caption", str(answers), "--references", str(tmp_path), "--json"]
        assert main([*command, "--profile", "rubric"]) == 0
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return report

    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "2")
    with JudgeServer(grade) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        paid = score("first")
        port = int(server.base_url.split(":")[2].split("/")[0])
    assert run("export", "out.jsonl", store="first/judgments.sqlite3")[0] == 0
    assert "sk-loopback" not in Path("out.jsonl").read_text()
    assert run("import", "out.jsonl", store="second/judgments.sqlite3")[0] == 0

    def refuse(asked: Asked) -> Act:
        raise AssertionError(f"asked again: {asked.user}")

    with JudgeServer(refuse, port=port) as server:
        found = score("second")
    assert server.requests == []
    assert found["metrics"] == paid["metrics"]
    assert found["spent"]["new"]["judgments"] == 0
    assert found["spent"]["stored"]["judgments"] == 2 * len(ids)


def test_all_that_a_store_has_comes_back_and_the_bytes_are_the_same(run: Run) -> None:
    for _ in range(2):  # and each was paid for
        fill("here.sqlite3", *KEYS[:2], said="?", scored=False)
    fill("here.sqlite3", *KEYS[:3], said='{"visual": 4, "é": "\u2028"}')
    status, said, _ = run("export", "out.jsonl")
    assert (status, said) == (0, "7 replies were written\n")
    assert set(lines()[0]) == {"schema", *judgments.COLUMNS, "sha256"}
    assert [each["attempt"] for each in lines()] == [1, 2, 3, 1, 2, 3, 1]
    status, said, error = run("import", "out.jsonl", store="there.sqlite3")
    assert (status, said, error) == (0, "7 replies were added, 0 were here already\n", "")
    assert rows("there.sqlite3") == rows("here.sqlite3")
    assert run("export", "again.jsonl", store="there.sqlite3")[0] == 0
    assert Path("again.jsonl").read_bytes() == Path("out.jsonl").read_bytes()
    assert Path("again.jsonl").read_bytes().isascii()


def test_importing_twice_changes_nothing(run: Run) -> None:
    fill("here.sqlite3", *KEYS)
    run("export", "out.jsonl")
    for added in (5, 0):
        status, said, _ = run("import", "out.jsonl", "--json", store="there.sqlite3")
        assert status == 0
        counts = json.loads(said)
        assert (counts["added"], counts["here"], counts["others"]) == (added, 5 - added, 0)
    assert rows("there.sqlite3") == rows("here.sqlite3")


def test_it_goes_through_a_pipe(tmp_path: Path) -> None:
    fill("here.sqlite3", *KEYS)
    command = [sys.executable, "-m", "ugc_tasks.cli.main", "judgments"]
    out = subprocess.run(
        [*command, "export", "-"],
        env={**os.environ, "UGC_JUDGE_STORE": "here.sqlite3"},
        capture_output=True,
        check=True,
    )
    assert out.stdout.count(b"\n") == 5
    assert out.stderr.decode() == "5 replies were written\n"
    into = subprocess.run(
        [*command, "import", "-"],
        env={**os.environ, "UGC_JUDGE_STORE": "there.sqlite3"},
        input=out.stdout,
        capture_output=True,
        check=True,
    )
    assert into.stdout.decode() == "5 replies were added, 0 were here already\n"
    assert rows("there.sqlite3") == rows("here.sqlite3")


# ---- two stores ----


def test_two_stores_merge_and_this_machines_replies_stay(run: Run) -> None:
    fill("theirs.sqlite3", *KEYS[:3], said="theirs")
    fill("here.sqlite3", KEYS[1], said="mine")
    fill("here.sqlite3", KEYS[3], said="mine")
    run("export", "out.jsonl", store="theirs.sqlite3")
    status, said, error = run("import", "out.jsonl")
    assert status == 0
    assert said == "2 replies were added, 0 were here already\n"
    assert error == "1 not added: this machine has another reply to the same, which stays\n"
    assert [(row[0], row[4]) for row in rows("here.sqlite3")] == [
        (KEYS[0], "theirs"),
        (KEYS[1], "mine"),
        (KEYS[2], "theirs"),
        (KEYS[3], "mine"),
    ]


def test_an_answer_that_could_not_be_read_here_is_no_reason_to_ask_again(run: Run) -> None:
    fill("here.sqlite3", KEYS[0], said="?", scored=False)
    fill("theirs.sqlite3", KEYS[0], said="a good one")
    run("export", "out.jsonl", store="theirs.sqlite3")
    assert run("import", "out.jsonl")[:2] == (0, "1 replies were added, 0 were here already\n")
    cache = JudgmentCache(Path("here.sqlite3"))
    found = cache.first_scored(KEYS[0])
    cache.close()
    assert found is not None
    assert (found.reply, found.attempts) == ("a good one", 2)


# ---- lines that are left out ----


@pytest.fixture
def exported(run: Run) -> list[dict[str, Any]]:
    fill("theirs.sqlite3", *KEYS)
    run("export", "out.jsonl", store="theirs.sqlite3")
    return lines()


def test_a_line_that_was_changed_is_left_out_and_the_rest_is_not(
    run: Run, exported: list[dict[str, Any]]
) -> None:
    exported[2]["scores"]["visual"] = 5
    write(exported, digest=False)
    Path("in.jsonl").write_text("\n".join(map(json.dumps, exported)) + "\n")
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "4 replies were added, 0 were here already\n")
    assert error == ("left out, not what the digest says: changed since it was written: line 3\n")


def test_a_file_that_was_cut_off_brings_what_is_whole(
    run: Run, exported: list[dict[str, Any]]
) -> None:
    Path("in.jsonl").write_bytes(Path("out.jsonl").read_bytes()[:-40])
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "4 replies were added, 0 were here already\n")
    assert error == (
        "left out, cut off at the end of the file: the copy is not whole, make it again: line 5\n"
    )


def test_a_last_line_without_its_end_is_whole(run: Run, exported: list[dict[str, Any]]) -> None:
    write(exported, end="")
    assert run("import", "in.jsonl")[:2] == (0, "5 replies were added, 0 were here already\n")


def test_foreign_lines_and_those_of_another_schema_are_named(
    run: Run, exported: list[dict[str, Any]]
) -> None:
    foreign = ["{}", "[1]", "nonsense", '{"video_id": "PI-1", "caption": "A cat."}', "\x00\x01", ""]
    newer = {**exported[0], "schema": 2}
    content = Path("out.jsonl").read_text()
    Path("in.jsonl").write_text("\n".join([*foreign, json.dumps(newer), content]))
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "5 replies were added, 0 were here already\n")
    first, second = error.splitlines()
    assert first == "left out, no judgment: line 1, line 2, line 3, line 4, line 5"
    assert second == (
        "left out, of another schema (known is 1): upgrade here, and import again: line 7"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "../../etc"}, {"key": 5}, {"key": KEYS[0].upper()[:-1] + "A"}, {"attempt": 0},
        {"attempt": 10**6}, {"attempt": True}, {"attempt": 1.5}, {"text": None}, {"text": 7},
        {"video_id": ["PI-1"]}, {"judge": None}, {"model": 4}, {"fingerprint": {}},
        {"prompt_tokens": -1}, {"completion_tokens": 1 << 53}, {"prompt_tokens": True},
        {"scores": None}, {"scores": {}}, {"scores": {"visual": "4"}}, {"scores": [4]},
        {"scores": {"visual": True}}, {"scores": {"a": {"b": 1}}}, {"failure": "both"},
        {"scores": {f"v{n}": 1 for n in range(65)}}, {"usd": -1.0}, {"usd": 1e7}, {"usd": "1"},
        {"created_at": None}, {"created_at": -1}, {"created_at": 1e300}, {"created_at": "now"},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_no_judgment_has_is_left_out(
    run: Run, exported: list[dict[str, Any]], changed: dict[str, Any]
) -> None:
    write([{**exported[0], **changed}, *exported[1:]])
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "4 replies were added, 0 were here already\n")
    assert error == "left out, with a value that no judgment has: line 1\n"
    assert len(rows("here.sqlite3")) == 4


def test_a_line_that_has_what_was_asked_must_have_its_key(
    run: Run, exported: list[dict[str, Any]]
) -> None:
    asked = {"endpoint": "api.openai.com/v1", "request": {"model": "m"}, "repeat": 1}
    key = judgment_key("api.openai.com/v1", {"model": "m"}, "caption", 1)
    good, bad = ({**exported[0], "asked": asked, "key": each} for each in (key, KEYS[0]))
    odd = {**exported[1], "asked": ["?"]}
    write([good, bad, odd], digest=False)
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "1 replies were added, 0 were here already\n")
    assert "not what the digest says: changed since it was written: line 2, line 3" in error
    assert [row[0] for row in rows("here.sqlite3")] == [key]


def test_a_line_without_end_takes_no_memory(
    run: Run, exported: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgments, "_LONGEST", 2_000)
    content = Path("out.jsonl").read_text()
    Path("in.jsonl").write_text(f'{{"schema": 1, "key": "{"a" * 9_000}\n{content}')
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (3, "5 replies were added, 0 were here already\n")
    assert error == "left out, no judgment: line 1\n"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"no\n", b"SQLite format 3\x00\xff\xfe"])
def test_a_file_without_any_judgment_is_an_error_and_makes_no_store(
    run: Run, content: bytes
) -> None:
    Path("in.jsonl").write_bytes(content)
    status, said, error = run("import", "in.jsonl")
    assert (status, said) == (2, "")
    assert "is a judgment that `ugc-videocap judgments export` has written" in error
    assert not Path("here.sqlite3").exists()


def test_rows_that_somebody_has_changed_are_not_exported(run: Run) -> None:
    fill("here.sqlite3", *KEYS)
    changes = ("text = x'ff'", "scores = '{'", "usd = 9e999", "created_at = 'now'")
    with closing(sqlite3.connect("here.sqlite3")) as db, db:
        for key, change in zip(KEYS, changes, strict=False):
            db.execute(f"UPDATE reply SET {change} WHERE key = ?", (key,))  # noqa: S608
    status, said, error = run("export", "out.jsonl", "--json")
    assert status == 3
    assert (json.loads(said)["written"], json.loads(said)["left_out"]) == (1, 4)
    assert error == "4 rows that are not as this program writes them were left out\n"
    assert [line["key"] for line in lines()] == KEYS[4:]


# ---- what cannot be done ----


def test_there_is_nothing_to_export_without_a_store(run: Run) -> None:
    status, _, error = run("export", "out.jsonl")
    assert status == 2
    assert "there is no store of judgments" in error
    assert not Path("here.sqlite3").exists()
    assert not Path("out.jsonl").exists()


def test_a_store_is_not_written_over_by_its_own_export(run: Run) -> None:
    fill("here.sqlite3", *KEYS)
    before = rows("here.sqlite3")
    status, _, error = run("export", "here.sqlite3")
    assert status == 2
    assert "is the store itself" in error
    assert rows("here.sqlite3") == before


def test_a_folder_that_is_not_there_is_named(run: Run) -> None:
    fill("here.sqlite3", *KEYS)
    status, _, error = run("export", "away/out.jsonl")
    assert status == 2
    assert "there is no folder away" in error


def test_an_export_that_fails_leaves_the_file_of_an_earlier_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("here.sqlite3", *KEYS)
    Path("out.jsonl").write_text("earlier")

    def broken(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(judgments, "line_of", broken)
    assert run("export", "out.jsonl")[0] == 2
    assert Path("out.jsonl").read_text() == "earlier"
    assert not list(Path().glob(".out*"))


def test_json_and_judgments_do_not_share_stdout(run: Run) -> None:
    fill("here.sqlite3", *KEYS)
    assert run("export", "-", "--json")[0] == 2


def test_many_lines_are_read_as_they_come(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are committed by hundreds, so that neither memory nor a lock is held for long."""
    fill("theirs.sqlite3", *KEYS)
    run("export", "out.jsonl", store="theirs.sqlite3")
    (one, *_) = lines()
    sizes: list[int] = []
    merge = JudgmentCache.merge

    def noted(cache: JudgmentCache, replies: list[Any], merged: Any) -> None:
        sizes.append(len(replies))
        merge(cache, replies, merged)

    monkeypatch.setattr(JudgmentCache, "merge", noted)

    def stream() -> Iterator[bytes]:
        for n in range(1_200):
            content = {**{k: v for k, v in one.items() if k != "sha256"}, "key": f"{n:064x}"}
            yield json.dumps({**content, "sha256": judgments._digest(content)}).encode() + b"\n"

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(stream()))))
    assert run("import", "-")[0] == 0
    assert sizes == [500, 500, 200]
    assert len(rows("here.sqlite3")) == 1_200
