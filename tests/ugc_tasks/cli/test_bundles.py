"""submit, verify, export and leaderboard as commands: what they print, and their exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.hub import hub
from tests.ugc_tasks.submit.conftest import edit_rows
from ugc_tasks.cli.main import main
from ugc_tasks.data.questions import read_choice_questions

TONES = ["Positive", "Neutral", "Negative"]


@pytest.fixture
def scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """What ``score --json`` prints of answers to three clips, all of them right but one."""
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(tmp_path))
    clips = [{"video_id": f"PI-{i}", "answer": "Positive", "options": TONES} for i in range(3)]
    (tmp_path / "tone.json").write_text(json.dumps({"question": "Which?", "samples": clips}))
    published = read_choice_questions(tmp_path / "tone.json").sha256
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", lambda _: published)
    answers = {"PI-0": "Positive", "PI-1": "A", "PI-2": "Neutral"}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    assert main(["score", "tone", str(tmp_path / "answers.json"), "--json"]) == 0
    (tmp_path / "model.json").write_text(capsys.readouterr().out)
    return tmp_path / "model.json"


@pytest.fixture
def bundle(scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["submit", str(scores), "-o", str(tmp_path / "all" / "b"), "--name", "me/it"]) == 0
    capsys.readouterr()
    return tmp_path / "all" / "b"


def test_scores_of_saved_answers_become_a_bundle_that_holds(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(scores), "-o", str(tmp_path / "b")]) == 0
    printed = capsys.readouterr()
    assert "model  66.7" in printed.out
    assert f"check it with: ugc-videocap verify {tmp_path / 'b'}" in printed.err
    assert main(["verify", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'b'}: all holds, 3 rows\n"


def test_a_run_that_lacks_clips_is_a_part(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"PI-0": "Positive"}))
    assert main(["score", "tone", str(answers), "--json"]) == 3
    scores.write_text(capsys.readouterr().out)
    assert main(["submit", str(scores), "-o", str(tmp_path / "b")]) == 3
    assert "ugc_videocap_tone: 2 of 3 clips have no score" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "b")]) == 0, "and says so itself"


def test_what_does_not_hold_is_exit_status_1(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_rows(bundle, "ugc_videocap_tone", lambda rows: rows[2].update(tone=100.0, score=1.0))
    assert main(["verify", str(bundle)]) == 1
    out = capsys.readouterr().out
    assert "does not hold: rows/ugc_videocap_tone.jsonl: the answer has another score" in out
    assert main(["verify", str(bundle), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"] == 3


def test_what_cannot_be_checked_is_exit_status_3(
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("UGC_VIDEOCAP_HOME")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["verify", str(bundle)]) == 3
    assert "not checked: references and clips of tone" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "."],
        ["export", "."],
        ["submit", ".", "-o", "x"],
        ["leaderboard", "."],
        ["submit", "nowhere.json", "-o", "x"],
    ],
)
def test_what_is_no_bundle_or_run_is_one_sentence(
    scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_files_for_the_hub_are_printed_or_written(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(bundle), "--format", "eval-results"]) == 0
    [entry] = yaml.safe_load(capsys.readouterr().out)
    assert entry["dataset"]["task_id"] == "tone"
    assert main(["export", str(bundle), "--format", "eval-results", "-o", str(tmp_path / "m")]) == 0
    assert (tmp_path / "m" / ".eval_results" / "ugc-videocap.yaml").is_file()
    assert main(["export", str(bundle), "--format", "eval-yaml"]) == 0
    assert main(["export", str(bundle), "--format", "markdown"]) == 0
    assert "| me/it |" in capsys.readouterr().out


def test_a_leaderboard_is_printed_and_a_page(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "board.html"
    assert main(["leaderboard", str(tmp_path / "all"), "-o", str(target)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ugc_videocap_tone, no judge\nmodel")
    assert "me/it" in target.read_text("utf-8")
    assert main(["leaderboard", str(tmp_path / "all"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["entries"][0]["name"] == "me/it"


def push(bundle: Path, *more: str, address: str, token: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: the Hub's client reads its address at the start."""
    environ = {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": token}
    environ.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-m", "ugc_tasks.cli.main", "export", str(bundle),
         "--format", "eval-results", "--push", "me/it", *more],
        env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_push_shows_what_it_would_send_and_sends_it_when_told(bundle: Path) -> None:
    with hub("me/it") as server:
        dry = push(bundle, address=server.address, token=server.token)
        assert (dry.returncode, server.requests) == (0, 0)
        assert "task_id: tone" in dry.stdout
        assert "nothing was sent; --yes sends it" in dry.stderr
        done = push(bundle, "--yes", address=server.address, token=server.token)
        assert done.returncode == 0, done.stderr
        assert f"sent: {server.address}/me/it/discussions/7" in done.stderr
        [commit] = server.commits
        assert (commit["repository"], commit["pull_request"]) == ("me/it", True)
        [entry] = yaml.safe_load(commit["files"][".eval_results/ugc-videocap.yaml"])
        assert entry["value"] == 66.67


@pytest.mark.parametrize(
    ("token", "repository", "said"),
    [("hf_wrong", "me/it", "is not accepted"), ("hf_loopback", "me/other", "no such repository")],
)
def test_what_the_hub_refuses_is_one_sentence_without_the_token(
    bundle: Path, token: str, repository: str, said: str
) -> None:
    with hub(repository) as server:
        done = push(bundle, "--yes", address=server.address, token=token)
    assert done.returncode == 2
    assert said in done.stderr
    assert token not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_hub_that_is_not_there_is_one_sentence(bundle: Path) -> None:
    with hub("me/it") as server:
        gone = server.address
    done = push(bundle, "--yes", address=gone, token="hf_loopback")
    assert done.returncode == 2
    assert "the Hub was not reached" in done.stderr
