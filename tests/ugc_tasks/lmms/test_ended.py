"""Past its judge's last day lmms-eval makes no answers; those that are judged are shown again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager

from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.judge import judge as judge_module
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.register import TASK_DIR

MODEL = "gpt-4o-2024-08-06"
TODAY = "2026-11-28"
LAST_WEEK, NEXT_WEEK = "2026-11-21", "2026-12-05"


class Captioner(lmms):  # type: ignore[misc]
    """A model of lmms-eval that knows nothing of judges."""

    is_simple = False
    asked = 0

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        self.asked += len(requests)
        return [GenerationResult(f"Caption {i}.") for i, _ in enumerate(requests)]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise NotImplementedError

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _three_clips(
    make_home: MakeHome, judge_server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(3)
    monkeypatch.setenv("UGC_JUDGE_TODAY", TODAY)
    monkeypatch.setattr(judge_module, "_told", set())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def shut_down(server: JudgeServer, day: str) -> None:
    server.models[MODEL] = {"id": MODEL, "shutdown_date": day}


def evaluated(model: Any, **more: Any) -> dict[str, Any]:
    results: dict[str, Any] = simple_evaluate(
        model=model,
        tasks=["ugc_videocap"],
        task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
        **more,
    )
    return results


def replayed(folder: Path, captions: int = 3, **more: Any) -> dict[str, Any]:
    answers = folder / "answers.json"
    answers.write_text(json.dumps({f"PI-00{i}": f"Caption {i}." for i in range(captions)}))
    found = evaluated("ugc_replay", model_args=f"answers={answers}", **more)
    return dict(found["results"]["ugc_videocap"])


def test_a_week_before_it_says_so_in_one_line(
    judge_server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shut_down(judge_server, NEXT_WEEK)
    model = Captioner()
    assert evaluated(model)["results"]["ugc_videocap"]["n,none"] == 3
    said = capsys.readouterr().err
    assert said.count(f"{MODEL} is shut down on {NEXT_WEEK} (in 7 days)") == 1


def test_a_week_after_no_model_makes_answers_whatever_is_stored(
    judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluated(Captioner())["results"]["ugc_videocap"]["n,none"] == 3
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "500")  # another run
    shut_down(judge_server, LAST_WEEK)
    model = Captioner()
    with pytest.raises(JudgeConfigError) as caught:
        evaluated(model)
    for said in (
        f"was shut down on {LAST_WEEK}",
        "another judge with UGC_JUDGE_MODEL",
        "bridge",
        "UGC_JUDGE_PROFILE=offline",
        "captions only (UGC_JUDGE_PROFILE=none)",
    ):
        assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert model.asked == 0
    assert len(judge_server.requests) == 3


@pytest.mark.parametrize("how", ["predict_only", "none", "offline"])
def test_who_asks_for_captions_only_or_the_estimate_gets_them(
    judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    shut_down(judge_server, LAST_WEEK)
    if how != "predict_only":
        monkeypatch.setenv("UGC_JUDGE_PROFILE", how)
    model = Captioner()
    evaluated(model, predict_only=how == "predict_only")
    assert model.asked == 3
    assert not judge_server.requests


def test_saved_answers_that_are_judged_are_shown_again(
    judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = replayed(tmp_path)
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "500")
    shut_down(judge_server, LAST_WEEK)
    assert replayed(tmp_path) == before
    assert len(judge_server.requests) == 3


def test_a_judgment_that_never_came_costs_its_clip_alone(
    judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replayed(tmp_path, limit=2)
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "500")
    shut_down(judge_server, LAST_WEEK)
    found = replayed(tmp_path)
    assert (found["n,none"], found["failure,none"]) == (2, {"judge": 1})
    assert len(judge_server.requests) == 2


def test_saved_answers_without_a_judgment_end_in_the_sentence(
    judge_server: JudgeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evaluated(Captioner())
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "500")
    shut_down(judge_server, LAST_WEEK)
    answers = tmp_path / "others.json"
    answers.write_text(json.dumps({f"PI-00{i}": f"Another one, {i}." for i in range(3)}))
    with pytest.raises(JudgeConfigError, match="no judgment of these answers is on disk"):
        evaluated("ugc_replay", model_args=f"answers={answers}")
    assert len(judge_server.requests) == 3
