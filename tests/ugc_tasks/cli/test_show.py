"""Looking at clips in a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.cli.main import main
from ugc_tasks.judge.types import Judgment, Scores, mean_judgment
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.rows import judged_row


def row(number: int, grades: list[int] | None, caption: str = "", failure: str = "") -> Any:
    """Return the row of a caption that was judged with these grades, one after the other."""
    said = [
        Judgment("x", Scores(visual=g, audio=g, details=g), reply=f"I give {g}.")
        for g in grades or []
    ] or [Judgment("x", failure=failure)]
    answer = ModelAnswer(caption or f"Caption {number}.", failure if grades is None else "")
    return judged_row(
        *("caption", f"PI-{number}", answer, mean_judgment(said)),
        judge={"label": "a judge", "estimate": False},
        reference=f"What is seen in clip {number}.",
        clip=f"/videos/PI-{number}.mp4",
        wanted=9,
    )


@pytest.fixture
def run(tmp_path: Path) -> str:
    rows = [
        row(1, [5, 5]),
        row(2, [1, 1]),
        row(3, [2, 4], "A man\x1b[2J sings " + "and sings " * 30),
        row(4, None, failure="the clip is cut off"),
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_the_worst_the_failed_and_the_disputed_come_first(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", run, "--most", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the lowest scores:"
    assert lines[1].split() == ["PI-2", "20.0", "Caption", "2."]
    assert lines[2].split()[:2] == ["PI-3", "60.0"]
    assert lines[lines.index("failed:") + 1] == "  PI-4  the clip is cut off"
    at = lines.index("judged most differently from one time to the next:")
    assert lines[at + 1].split()[:3] == ["PI-3", "±", "1.4"]
    assert lines[at + 2] == "", "the others were judged the same"
    assert lines[-1] == f"one in full: ugc-videocap show {run} VIDEO_ID"


def test_a_clip_is_shown_in_full_prediction_beside_reference(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", run, "PI-3"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[:5] == [
        "PI-3",
        "  visual 60.0   audio 60.0   details 60.0   average 60.0",
        "  clip: /videos/PI-3.mp4",
        "  judge: I give 2.",
        "  judge 2: I give 4.",
    ]
    head = next(line for line in lines if line.startswith("prediction"))
    assert head.split(" | ")[1] == "reference"
    assert "What is seen in clip 3." in out
    assert out.count("sings") == 31, "the whole of it"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out


def test_of_a_failed_clip_the_reason_is_shown(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", run, "PI-4"]) == 0
    assert "not scored: the clip is cut off" in capsys.readouterr().out


def test_a_clip_that_is_not_there_is_one_sentence(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", run, "PI-9"]) == 2
    assert "there is no clip PI-9 in it; one of it is PI-1" in capsys.readouterr().err


def test_programs_read_json(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", run, "--json", "--most", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [clip["video_id"] for clips in found.values() for clip in clips] == [
        "PI-2",
        "PI-4",
        "PI-3",
    ]
    assert main(["show", run, "PI-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["visual"] == 100


def test_scores_without_texts_are_shown_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"visual_score": 4, "audio_score": 3, "details_score": 5}
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"evaluations": {"PI-1": scores}}))
    assert main(["show", str(path)]) == 0
    assert main(["show", str(path), "PI-1"]) == 0
    assert "(not in this file)" in capsys.readouterr().out
