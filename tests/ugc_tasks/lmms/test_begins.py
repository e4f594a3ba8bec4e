"""Beside models and suites of others: lost sound and failures are said, and theirs goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager

from tests.support.annotations import video_ids
from tests.support.judge_server import JudgeServer, status, text
from tests.ugc_tasks.conftest import MakeHome
from ugc_tasks.common.files import DataError
from ugc_tasks.register import TASK_DIR
from ugc_tasks.sample import sample_home

OTHER = """
task: other_suite
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: question
doc_to_target: answer
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


class Model(lmms):  # type: ignore[misc]  # lmms-eval ships no types
    """Gives the same answer to all requests."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer

    def generate_until(self, requests: list[Any]) -> list[str]:
        return [self._answer] * len(requests)

    loglikelihood = generate_until_multi_round = generate_until


def of_lmms_eval(module: str, answer: str) -> Model:
    """Return a model as if lmms-eval had its class in ``module``."""
    kind = type("Foreign", (Model,), {"__module__": f"lmms_eval.models.{module}"})
    model: Model = kind(answer)
    return model


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Another suite, of one question whose right answer is A."""
    folder = tmp_path / "others"
    folder.mkdir()
    data = folder / "data.jsonl"
    data.write_text(json.dumps({"question": "?", "answer": "A"}))
    (folder / "suite.yaml").write_text(OTHER.format(data=data))
    return folder


@pytest.fixture
def evaluate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, others: Path, environment: None
) -> Callable[..., dict[str, Any]]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def evaluate(model: Any, *tasks: str, keep: bool = False, **more: Any) -> dict[str, Any]:
        manager = TaskManager(include_path=[TASK_DIR, str(others)], include_defaults=False)
        results = simple_evaluate(model=model, tasks=list(tasks), task_manager=manager, **more)
        assert isinstance(results, dict)
        if keep:
            tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
            tracker.general_config_tracker.log_experiment_args(str(model), "", "", "", False)
            tracker.save_results_aggregated(results, results["samples"], "2026-11-28T00:00:00")
        return results

    return evaluate


def rows_of(results: dict[str, Any], task: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = results["samples"][task]
    return rows


def test_a_failure_that_lmms_evals_own_model_writes_is_no_caption_and_its_lost_sound_is_told(
    evaluate: Callable[..., dict[str, Any]],
    judge_server: JudgeServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The real ``openai`` of lmms-eval, whose endpoint answers one request and refuses the next."""
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(sample_home()))
    with JudgeServer([text("A person dances to music."), status(400)]) as endpoint:
        results = evaluate(
            "openai",
            "ugc_videocap",
            keep=True,
            limit=2,
            model_args=f"model_version=m,base_url={endpoint.base_url},api_key=k,max_frames_num=2,"
            "max_retries=1,num_concurrent=1",
        )
    rows = rows_of(results, "ugc_videocap")
    answered, failed = sorted(rows, key=lambda row: row["failure"] is not None)
    assert answered["average"] is not None
    assert failed["failure"]["kind"] == "caption"
    assert failed["failure"]["reason"].startswith("[LMMS_EVAL_REQUEST_FAILED after 1 retries] ")
    assert (failed["prediction"], failed["average"]) == (None, None)
    assert len(judge_server.requests) == 1, "no judge is asked about a failure"
    how = "not given to the model (frames alone)"
    for row in rows:
        assert (row["heard"], row["generation"]["sound_missing"]) == (False, how)
    said = [record.getMessage() for record in caplog.records if "audio used" in record.message]
    assert said == [
        f"audio used: no. With lmms-eval's openai the sound of a clip is {how}: "
        "what is said of it is a guess."
    ]
    assert f"sound used in 0, {how} in 2" in capsys.readouterr().out


def test_of_a_model_that_is_not_known_nothing_is_claimed(
    evaluate: Callable[..., dict[str, Any]],
    make_full_home: MakeHome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_full_home(2)
    results = evaluate(of_lmms_eval("chat.gemini", "A person dances."), "ugc_videocap")
    for row in rows_of(results, "ugc_videocap"):
        assert (row["heard"], row["generation"]) == (None, None)
    assert "audio used" not in caplog.text


@pytest.mark.parametrize(
    ("module", "failed"), [("simple.llava", True), ("simple.gemini", False), ("chat.vllm", False)]
)
def test_an_empty_answer_about_texts_is_a_failure_of_models_that_give_it_for_one(
    evaluate: Callable[..., dict[str, Any]], make_full_home: MakeHome, module: str, failed: bool
) -> None:
    """Of others it may say that there is no text, and counts as in the published figures."""
    make_full_home(2)
    results = evaluate(of_lmms_eval(module, ""), "ugc_videocap_ocr", "ugc_videocap_tone")
    for row in rows_of(results, "ugc_videocap_ocr"):
        reason = "an empty text, which lmms-eval's llava gives where it failed"
        assert row["failure"] == ({"kind": "answer", "reason": reason} if failed else None)
        assert row["score"] == (None if failed else 0)
    for row in rows_of(results, "ugc_videocap_tone"):
        assert row["failure"]["kind"] == "answer", "no question has an empty answer but texts"


def test_a_model_that_failed_at_one_answer_is_believed_in_the_others(
    evaluate: Callable[..., dict[str, Any]], make_full_home: MakeHome
) -> None:
    make_full_home(2)
    results = evaluate(of_lmms_eval("simple.llava", "Positive"), "ugc_videocap_tone")
    assert [row["failure"] for row in rows_of(results, "ugc_videocap_tone")] == [None, None]


def test_a_task_without_its_data_is_left_out_and_other_suites_go_on(
    evaluate: Callable[..., dict[str, Any]],
    make_home: MakeHome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_home(2, missing=range(2))
    with caplog.at_level(logging.WARNING):
        results = evaluate(Model("A"), "ugc_videocap", "other_suite")
    assert results["results"].keys() == {"other_suite"}
    assert results["results"]["other_suite"]["exact_match,none"] == 1
    assert "clips are missing" in results["not_run"]["ugc_videocap"]
    assert caplog.text.count("ugc_videocap is left out of this run, the others go on: ") == 1
    assert caplog.text.count("ugc_videocap was not run: ") == 1


def test_a_task_that_has_its_data_runs_beside_one_that_lacks_it(
    evaluate: Callable[..., dict[str, Any]], make_full_home: MakeHome
) -> None:
    (make_full_home(2) / "tone.json").write_text("[]")
    asked_for = ("ugc_videocap_tone", "ugc_videocap_voice_source", "other_suite")
    results = evaluate(Model("A"), *asked_for)
    assert results["results"].keys() == {"ugc_videocap_voice_source", "other_suite"}
    assert results["not_run"].keys() == {"ugc_videocap_tone"}
    results = evaluate(Model("A"), *asked_for[1:])
    assert "not_run" not in results, "of another run"


def test_without_other_suites_a_task_that_lacks_its_data_ends_the_run(
    evaluate: Callable[..., dict[str, Any]], make_home: MakeHome, make_full_home: MakeHome
) -> None:
    (make_full_home(2) / "tone.json").write_text("[]")
    with pytest.raises(DataError, match=r"tone\.json"):
        evaluate(Model("A"), "ugc_videocap_tone", "ugc_videocap_voice_source")
    make_home(2, missing=range(2))
    with pytest.raises(DataError, match="clips are missing"):
        evaluate(Model("A"), "ugc_videocap")


def test_saved_answers_beside_kinds_of_tasks_that_nobody_saves_answers_of(
    evaluate: Callable[..., dict[str, Any]],
    make_full_home: MakeHome,
    others: Path,
    tmp_path: Path,
) -> None:
    """``ugc_replay`` through lmms-eval's Python interface; some documents have ids of their own."""
    make_full_home(2, videos=False)
    lines = [json.dumps({"question": "?", "answer": "A", "video_id": 7, "choices": ["A", "B"]})]
    (others / "data.jsonl").write_text("\n".join(lines))
    kinds = {
        "generate_visual_cot": "exact_match",
        "generate_until_multi_round": "exact_match",
        "generate_until_agentic": "exact_match",
        "multiple_choice": "acc",
    }
    for kind, metric in kinds.items():
        more = "\ndoc_to_choice: choices" * (kind == "multiple_choice")
        suite = OTHER.format(data=others / "data.jsonl").replace("generate_until", kind)
        suite = suite.replace("other_suite", f"other_{kind}").replace("exact_match", metric)
        (others / f"{kind}.yaml").write_text(suite + more)
    answers = tmp_path / "mine.json"
    answers.write_text(json.dumps(dict.fromkeys(video_ids(2), "Positive")))
    names = ["other_suite", *(f"other_{kind}" for kind in kinds)]
    results = evaluate(
        "ugc_replay", "ugc_videocap_tone", *names, model_args=f"answers={answers},name=mine"
    )
    assert results["results"].keys() == {"ugc_videocap_tone"}
    assert results["results"]["ugc_videocap_tone"]["n,none"] == 2
    assert results["not_run"] == dict.fromkeys(
        names, "no answers are saved for tasks of other suites"
    )
    with pytest.raises(DataError, match="other_suite: no answers are saved"):
        evaluate("ugc_replay", "other_suite", model_args=f"answers={answers},name=mine")
