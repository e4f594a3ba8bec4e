"""What ``make demo`` says and leaves; checkpoint and engine are tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ugc_tasks.judge.types import Judgment, Scores
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.rows import judged_row
from ugc_tasks.sample import demo, sample_home


def lmms_eval(folder: Path, *, failing: bool = False) -> None:
    """Write what a run of the bundled clips leaves."""
    samples = json.loads((sample_home() / "final_caption_qa.json").read_text("utf-8"))["samples"]
    rows = []
    for number, sample in enumerate(samples):
        failed = "cut off" if failing and number == 0 else ""
        video_id = sample["video_id"]
        scores = None if failed else Scores(visual=1.1, audio=1.2, details=1.0)
        rows.append(
            judged_row(
                *("caption", video_id, ModelAnswer("noise", failed), Judgment(video_id, scores)),
                judge={"label": "offline-estimate/v2", "estimate": True},
                reference=sample["answer"],
                clip=str(sample_home() / "videos" / f"{video_id}.mp4"),
                wanted=len(samples),
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"name": "tiny-omni", "seconds": 46.0, "tasks": {"ugc_videocap": run_facts(rows)}}
    (folder / "20310101_000000_run.json").write_text(json.dumps(facts))
    lines = "\n".join(map(json.dumps, rows))
    (folder / "20310101_000000_samples_ugc_videocap.jsonl").write_text(lines)


@pytest.fixture(params=[False, True], ids=["all scored", "one failed"])
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    real = demo._step

    def step(command: Sequence[str], log: Path, environment: dict[str, str]) -> tuple[float, bool]:
        if "ugc_tasks.cli.main" in command:
            return real(command, log, environment)
        if "lmms_eval" in command:
            lmms_eval(log.parent / "tiny-omni-results", failing=request.param)
        return 1.0, False

    monkeypatch.setattr(demo, "_step", step)
    return bool(request.param)


def test_it_ends_with_a_report_of_the_clips_and_names_it(
    tmp_path: Path, failing: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert demo.main(["--output", str(output)]) == int(failing)
    said = capsys.readouterr().out
    report = output / "report.html"
    assert f"  Look at it:   {report}\n" in said
    page = report.read_text("utf-8")
    assert page.count("data:image/webp") == 8
    assert "An estimate from the texts: no judge was asked." in page
    lines = said.splitlines()
    if failing:
        assert lines[-1] == f"FAILED: not every clip was scored; the whole log is {output}/demo.log"
    else:
        assert len(lines) <= 13
        assert "captions    8 of 8" in said
