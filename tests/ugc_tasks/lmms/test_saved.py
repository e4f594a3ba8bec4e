"""What stands beside lmms-eval's results and above its table; and lmms-eval's own comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager

from tests.support.annotations import video_ids
from tests.support.judge_server import Asked, JudgeServer, scores
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.register import TASK_DIR

Run = Callable[..., tuple[dict[str, Any], Path]]
COUNT = 6


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    make_full_home: MakeHome,
    judge_server: JudgeServer,
) -> Run:
    """Score captions as the command does, but in this process; return results and their folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    make_full_home(COUNT, videos=False)
    judge_server.script = graded

    def run(
        name: str, captions: list[str], *, keep: bool = True, called: str = "", **more: Any
    ) -> tuple[dict[str, Any], Path]:
        answers = tmp_path / f"{name}.json"
        answers.write_text(json.dumps(dict(zip(video_ids(COUNT), captions, strict=False))))
        tracker = EvaluationTracker(output_path=str(tmp_path / "out") if keep else None)
        results = simple_evaluate(
            model="ugc_replay",
            model_args=f"answers={answers},name={called or name}",
            tasks=["ugc_videocap"],
            task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
            evaluation_tracker=tracker,
            **more,
        )
        assert isinstance(results, dict)
        samples = results.pop("samples", None)
        tracker.save_results_aggregated(results, samples, "2026-11-28T00:00:00")
        if keep and samples:
            tracker.save_results_samples("ugc_videocap", samples["ugc_videocap"])
        return results, tmp_path / "out" / name

    return run


def graded(asked: Asked) -> Any:
    """Grade a caption by the digit in it."""
    grade = next(int(c) for c in asked.user.partition("rated ")[2] if c.isdigit())
    return scores(grade, grade, grade)


def rated(*grades: int) -> list[str]:
    return [f"A caption that is rated {grade}." for grade in grades]


def test_facts_of_the_run_and_rows_with_types_are_files_beside_the_results(run: Run) -> None:
    _, folder = run("mine", rated(1, 2, 3, 4, 5))
    facts = json.loads((folder / "2026-11-28T00-00-00_run.json").read_text("utf-8"))
    assert (facts["schema"], facts["name"], facts["model"]) == (1, "mine", "ugc_replay")
    task = facts["tasks"]["ugc_videocap"]
    assert (task["n"], task["of"], task["figures"]["average"]) == (5, 6, 60.0)
    assert [each["kind"] for each in task["failures"]] == ["caption"]
    assert task["spent"]["new"]["judgments"] == 5
    assert task["judge"]["profile"] == "rubric"
    assert task["annotations_sha256"]
    assert {"lmms-eval", "ugc-videocap"} <= set(task["packages"])
    assert task["generation_kwargs"]["max_new_tokens"] == 1024
    [samples] = folder.glob("*_samples_ugc_videocap.jsonl")
    table = pandas.read_json(samples, lines=True)
    for name in ("score", "visual", "audio", "details", "average"):
        assert table[name].dtype == float
        assert table[name].isna().sum() == 1, "the clip without a caption"
    assert table["score"].mean() == pytest.approx(0.6)
    rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    assert len({tuple(row) for row in rows}) == 1, "the same keys in every row"


def test_a_paragraph_says_what_came_of_it_and_the_results_hold_the_metrics_alone(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    results, folder = run("mine", rated(1, 2, 3, 4, 5))
    names = {key.split(",")[0] for key in results["results"]["ugc_videocap"]}
    figures = {"visual", "audio", "details", "average"}
    errors = {f"{name}_stderr_clt" for name in figures}
    assert names == {*figures, *errors, "n", "coverage", "failure", "alias"}
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ugc_videocap   mine   judge rubric/") for line in said)
    [line] = [line for line in said if "average" in line]
    assert line.split("   ")[-2:] == ["average 60.0 ±39.3", "n 5 of 6"]
    assert any("1 without a caption (PI-005: there is no saved answer" in line for line in said)
    assert any(f"files: {folder}" in line for line in said)


def test_without_samples_and_without_a_place_for_files_it_is_said_all_the_same(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run("mine", rated(1, 2, 3, 4, 5), keep=False, log_samples=False)
    said = capsys.readouterr().out
    assert "n 5 of 6" in said
    assert "for 5 judgments" in said, "what it cost"
    assert "files:" not in said


def test_a_checkpoint_on_disk_is_called_by_its_folder(run: Run, tmp_path: Path) -> None:
    run("mine", rated(5), called="/data/checkpoints/step-100")
    [facts] = (tmp_path / "out").rglob("*_run.json")
    assert json.loads(facts.read_text("utf-8"))["name"] == "step-100"


def test_lmms_evals_own_baseline_compares_two_runs_clip_by_clip(run: Run) -> None:
    _, folder = run("old", rated(1, 2, 3, 4, 4, 3))
    [samples] = folder.glob("*_samples_ugc_videocap.jsonl")
    results, _ = run("new", rated(2, 3, 4, 5, 4, 4), baseline=str(samples))
    row = results["results"]["ugc_videocap"]
    assert row["paired_baseline_score"] == pytest.approx(100 * 17 / 30)
    assert row["average,none"] - row["paired_baseline_score"] == pytest.approx(100 * 5 / 30)
    assert 0 < row["paired_ci_lower"] < 100 * 5 / 30 < row["paired_ci_upper"]
    assert row["paired_pvalue"] < 0.05


def test_a_fault_of_ours_costs_none_of_lmms_evals_files(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("odd")

    monkeypatch.setattr("ugc_tasks.lmms.saved.run_facts", broken)
    _, folder = run("mine", rated(1, 2, 3, 4, 5))
    assert len(list(folder.glob("*_results.json"))) == 1
    assert list(folder.glob("*_run.json")) == []
    assert "cannot be collected (RuntimeError('odd'))" in caplog.text
