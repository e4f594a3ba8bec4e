"""``ugc-videocap bridge``: planned, judged on loopback, fitted, and used by other commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch_server import BatchServer
from tests.support.judge_server import Asked, JudgeServer, scores, text
from tests.support.recordings import MODELS, captions, install
from tests.support.web_host import Answer, WebHost
from tests.ugc_tasks.bridge.judges import ORDER_ALONE, WITH_A_MAP
from tests.ugc_tasks.bridge.test_document import NEW, made
from tests.ugc_tasks.cli.test_own_profile import PROFILE
from ugc_tasks.bridge import plan
from ugc_tasks.cli.main import main

_ROOT = Path(__file__).parents[3]
CLIPS = 24
IDS = [f"PI-{n}" for n in range(CLIPS)]


@pytest.fixture
def recordings(
    host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None
) -> Iterator[WebHost]:
    """The authors' recordings of four models, on a host on loopback; references at home."""
    install(monkeypatch, host, IDS)
    home = tmp_path / "home"
    home.mkdir()
    rows = [{"video_id": f"PI-{n}", "answer": f"Reference {n}."} for n in range(CLIPS)]
    content_of = {"question": "What happens?", "samples": rows}
    (home / "final_caption_qa.json").write_text(json.dumps(content_of))
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(home))
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "rubric")
    yield host


def run(*words: str | Path) -> int:
    return main(["bridge", *map(str, words)])


def test_judge_fetches_the_captions_and_writes_a_score_file_a_model(
    recordings: WebHost, judge_server: JudgeServer, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = tmp_path / "new"
    assert run("judge", "--to", "new-judge", "--clips", "12", "-o", output, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 12
    assert len(judge_server.requests) == 48
    files = {path.name: json.loads(path.read_text()) for path in output.iterdir()}
    assert set(files) == {f"{model}.json" for model in MODELS}
    ids = {row["video_id"] for row in files["one.json"]["items"]}
    assert all({row["video_id"] for row in each["items"]} == ids for each in files.values())
    assert files["one.json"]["judge"]["model"] == "new-judge"
    # The same command asks nothing anew, nor fetches anything.
    fetched = len(recordings.asked)
    assert run("judge", "--to", "new-judge", "--clips", "12", "-o", output) == 0
    assert (len(judge_server.requests), len(recordings.asked)) == (48, fetched)
    # Its files are one side of a bridge, the recorded scores the other.
    capsys.readouterr()
    assert run("fit", found["old"], output, "-o", tmp_path / "bridge.json", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["models"] == sorted(MODELS)
    assert document["from"]["model"] == "new-judge"


def test_what_was_not_judged_is_said_and_asked_again(
    recordings: WebHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    broken = True

    def script(asked: Asked) -> Any:
        return text("no scores") if broken and "of 2" in asked.user else scores()

    with JudgeServer(script=script) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_ATTEMPTS", "1")
        words = ("judge", "--to", "new-judge", "--clips", "12", "-o", tmp_path / "new")
        assert run(*words) == 3
        assert "not judged" in capsys.readouterr().out
        before, broken = len(server.requests), False
        assert run(*words) == 0
        assert len(server.requests) - before == 12


def test_captions_with_another_digest_are_refused(
    recordings: WebHost, judge_server: JudgeServer, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    recordings.add("/x/captions/two", Answer(b'{"video_id": "PI-1", "caption": "another"}'))
    assert run("judge", "--to", "new-judge", "--clips", "12", "-o", tmp_path / "new") == 2
    assert "another file" in capsys.readouterr().err
    assert not judge_server.requests


_KILLED = """
import sys, types, pytest
from tests.support import recordings
from ugc_tasks.cli.main import main
host = types.SimpleNamespace(endpoint=sys.argv[1], add=lambda *_: None)
recordings.install(pytest.MonkeyPatch(), host, sys.argv[2].split())
main(sys.argv[3:])
"""


def test_in_batches_it_goes_on_after_a_kill_and_pays_nothing_twice(
    recordings: WebHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["judge", "--to", "new-judge", "--clips", "12", "-o", str(tmp_path / "new")]
    with BatchServer(looks=10**6) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_MODE", "batch")
        command = [sys.executable, "-c", _KILLED, recordings.endpoint, " ".join(IDS), "bridge"]
        child = subprocess.Popen([*command, *words], env={**os.environ, "PYTHONPATH": str(_ROOT)})
        while not server.batches and child.poll() is None:
            time.sleep(0.05)
        child.kill()
        child.wait()
        assert len(server.batches) == 1
        assert not (tmp_path / "new").exists()
        server.rules.looks = 1
        assert run(*words) == 0
        assert len(server.batches) == 1
        assert sorted(server.paid.values()) == [1] * 48
    assert {path.stem for path in (tmp_path / "new").iterdir()} == set(MODELS)


def test_a_profile_may_be_a_file_that_grades_the_same(
    recordings: WebHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, judge_server: JudgeServer,
) -> None:  # fmt: skip
    own = tmp_path / "story.toml"
    (tmp_path / "story.txt").write_text("How good is the story?")
    own.write_text(PROFILE)
    words = ("judge", "--to", "m", "--clips", "12", "-o", tmp_path / "new", "--profile", own)
    assert run(*words) == 2
    assert (
        "the profile grades by plot, sound, the recorded judge by visual" in capsys.readouterr().err
    )
    values = 'visual = "grade"\naudio = "grade"\ndetails = "grade"\n'
    own.write_text(PROFILE.partition("plot =")[0] + values)
    judge_server.script = lambda _: text('{"visual": 5, "audio": 4, "details": 3}')
    assert run(*words) == 0
    found = json.loads((tmp_path / "new/one.json").read_text())
    assert found["judge"]["profile"] == "story"
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "offline")
    assert run("plan", "--to", "m") == 2
    assert "asks none" in capsys.readouterr().err


def test_what_cannot_be_downloaded_is_not_looked_for_by_prepare(
    recordings: WebHost, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    judge_server: JudgeServer,
) -> None:  # fmt: skip
    recordings.add("/x/captions/two", Answer(status=404))
    assert run("judge", "--to", "m", "--clips", "12", "-o", tmp_path / "new") == 2
    said = capsys.readouterr().err
    assert "UGC_VIDEOCAP_RAW_ENDPOINT" in said
    assert "prepare" not in said


def test_plan_needs_no_key_and_asks_nothing(
    recordings: WebHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_SIZES", (200, 999))
    assert run("plan", "--to", "gpt-4.1-mini", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["simulated_on"] == "drawn scores"
    assert found["cost"]["to_ask"] == 4 * found["clips"]
    assert found["cost"]["usd"] > 0
    assert found["half_width"] > 0
    assert recordings.asked == []


def test_plan_takes_at_least_four_models(
    recordings: WebHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "--to", "m", "--models", "one", "two") == 2
    assert "four models" in capsys.readouterr().err


# ---- a bridge in use ----


def unseen(root: Path) -> Path:
    return next((root / "unseen").iterdir())


def test_summarize_has_the_raw_figures_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    path = made(tmp_path, WITH_A_MAP["shifted"])
    assert main(["summarize", str(unseen(tmp_path)), "--bridge", str(path)]) == 0
    _, raw, bridged = capsys.readouterr().out.splitlines()
    assert NEW in raw
    assert f"bridged from {NEW} to " in bridged
    assert main(["summarize", str(unseen(tmp_path)), "--bridge", str(path), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["judge"] == NEW
    assert set(row["bridged"]) >= {"visual", "audio", "details", "average", "ci95"}
    assert abs(row["bridged"]["average"] - row["average"]) > 5


def test_clips_that_both_judges_scored_correct_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    path, run_file = made(tmp_path, ORDER_ALONE["with favours"]), unseen(tmp_path)
    old = json.loads((tmp_path / "old" / run_file.name).read_text())
    some = tmp_path / "some.json"
    some.write_text(json.dumps({**old, "items": old["items"][::3]}))
    words = ["summarize", str(run_file), "--bridge", str(path)]
    assert main([*words, "--both", str(some)]) == 0
    assert "the old judge's own scores of 67 of the clips" in capsys.readouterr().out
    assert main([*words, "--both", str(some), "--json"]) == 0
    bridged = json.loads(capsys.readouterr().out)[0]["bridged"]
    truth = sum(row[d] for row in old["items"] for d in ("visual", "audio", "details")) / 3 / 200
    low, high = bridged["same_answers95"]["average"]
    assert (bridged["both"], low <= truth <= high, high - low < 6) == (67, True, True)
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["bridged"] is None
    # By the wrong judge, of too few clips, of several runs, without a bridge.
    assert main([*words, "--both", str(run_file)]) == 2
    assert "is to have scores of captions by paper/old-judge" in capsys.readouterr().err
    some.write_text(json.dumps({**old, "items": old["items"][:5]}))
    assert main([*words, "--both", str(some)]) == 2
    assert "has scores of 5 clips of this run; at least 20" in capsys.readouterr().err
    assert main([words[0], str(run_file), *words[1:], "--both", str(some)]) == 2
    assert main(["summarize", str(run_file), "--both", str(some)]) == 2
    assert "name a bridge" in capsys.readouterr().err


def test_summarize_refuses_another_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    path = made(tmp_path)
    assert main(["summarize", str(tmp_path / "old/model-0.json"), "--bridge", str(path)]) == 2
    assert "have to be the same" in capsys.readouterr().err


def test_compare_bridges_across_judges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    path = made(tmp_path)
    words = [str(unseen(tmp_path)), str(tmp_path / "old/model-0.json"), "--bridge", str(path)]
    assert main(["compare", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not comparable"  # the raw figures
    assert found["bridged"]["difference"] is not None
    assert main(["compare", *words]) == 0
    assert "bridged from" in capsys.readouterr().out


def test_the_report_has_both_and_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: None
) -> None:
    path, page = made(tmp_path), tmp_path / "report.html"
    words = ["report", str(unseen(tmp_path)), "-o", str(page), "--bridge", str(path)]
    assert main(words) == 0
    html = page.read_text()
    assert html.count(f"bridged from {NEW} to ") == 2  # the row, and what is said of it


def test_score_checks_the_judge_before_anything_is_paid(
    recordings: WebHost, judge_server: JudgeServer, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path, answers = made(tmp_path), tmp_path / "answers.jsonl"
    answers.write_bytes(captions(0, IDS))
    assert main(["score", "caption", str(answers), "--bridge", str(path)]) == 2
    assert "have to be the same" in capsys.readouterr().err
    assert not judge_server.requests
    label = json.loads(path.read_text())
    document = {**label, "from": {**label["from"], "label": own_label()}}
    path.write_text(json.dumps(document))
    assert main(["score", "caption", str(answers), "--bridge", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["bridged"]) >= {"visual", "audio", "details", "average", "ci95"}
    assert found["metrics"]["visual"] == 80.0


def own_label() -> str:
    import os

    from ugc_tasks.data.home import Home
    from ugc_tasks.results.answers import SavedAnswers
    from ugc_tasks.results.scoring import SavedRun, judge_label

    home = Home.from_env(os.environ)
    return judge_label(SavedRun("caption", SavedAnswers(Path("x"), {}), home, os.environ))
