"""What ``qwen_omni_vllm`` says and does in lmms-eval's own evaluation, with an engine by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models import get_model
from lmms_eval.tasks import TaskManager
from loguru import logger

from tests.support.hand import Hand
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.run.answering import RequestFailed

QUESTIONS = ["What is 1 and 1?", "What is asked?<|im_end|>", "word " * 9, "What is 2 and 2?"]

Evaluate = Callable[..., tuple[dict[str, Any], Hand]]


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., None]:
    """Write a task of four questions, as others write theirs."""
    data = tmp_path / "data.jsonl"
    rows = [{"question": question, "answer": "two"} for question in QUESTIONS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def suite(name: str, **more: Any) -> None:
        config = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "answer",
            "metric_list": [{"metric": "exact_match", "aggregation": "mean",
                             "higher_is_better": True}],
            **more,
        }  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))

    return suite


def answer(request: EngineRequest) -> EngineOutput:
    """Answer, or refuse the long question as vLLM does."""
    if "word word" in request.prompt:
        error = "the engine refused it: longer than the maximum model length of 8"
        return EngineOutput(request.index, error=error, overflow=True)
    return EngineOutput(request.index, "two", finish_reason="stop", output_ids=(1,))


@pytest.fixture
def evaluate(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def evaluate(*tasks: str, **more: Any) -> tuple[dict[str, Any], Hand]:
        stated = {"store": "none", "max_in_flight": 1, "decode_workers": 1, **more}
        line = ",".join(f"{k}={v}" for k, v in {"model": checkpoint, **stated}.items())
        model = get_model("qwen_omni_vllm").create_from_arg_string(line, {})
        model._backend = hand = Hand(answer)  # type: ignore[assignment]
        results = simple_evaluate(
            model=model,
            tasks=list(tasks),
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        )
        assert isinstance(results, dict)
        return results, hand

    return evaluate


@pytest.fixture
def said() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(lambda message: found.append(message.record["message"]))
    yield found
    logger.remove(sink)


def test_what_was_not_answered_is_said_and_stands_in_the_results(
    suite: Callable[..., None], evaluate: Evaluate, said: list[str]
) -> None:
    suite("sums")
    results, _ = evaluate("sums")
    assert results["results"]["sums"]["exact_match,none"] == 0.5
    assert results["unanswered"] == {
        "sums": {
            "requests": 4,
            "unanswered": 2,
            "reasons": {
                "the text contains the control token <|im_end|>": {
                    "requests": 1,
                    "documents": [1],
                },
                "too long for max_model_len": {"requests": 1, "documents": [2]},
            },
            "cut": {},
            "without_media": {"requests": 0, "documents": []},
        }
    }
    assert (
        "sums: 2 of 4 requests were not answered and count as wrong (1: the text contains the "
        "control token <|im_end|>; 1: too long for max_model_len)"
    ) in said


def test_nothing_stands_there_where_all_is_answered(
    suite: Callable[..., None], evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite("sums", doc_to_text="{{answer}}")
    results, _ = evaluate("sums")
    assert "unanswered" not in results


def test_on_error_stop_ends_it_at_the_first(
    suite: Callable[..., None], evaluate: Evaluate, tmp_path: Path
) -> None:
    suite("sums")
    with pytest.raises(
        RequestFailed,
        match=r"sums document 1: no answer: the text contains .* on_error=stop: [1-3] of 4 "
        "requests are answered; run the same command again to go on",
    ):
        evaluate("sums", on_error="stop", store=tmp_path / "store")
    # What was answered is kept.
    _, hand = evaluate("sums", store=tmp_path / "store")
    assert "What is 1 and 1?" not in {request.prompt for request in hand.asked}
    assert len(hand.asked) < 3


def test_likelihoods_are_refused_by_task_before_anything_is_asked(
    suite: Callable[..., None], evaluate: Evaluate
) -> None:
    suite("sums")
    for name in ("choices", "more_choices"):
        suite(name, output_type="multiple_choice", doc_to_choice=["two", "three"])
    with pytest.raises(
        ValueError,
        match="this model generates text and gives no likelihoods, which choices, "
        "more_choices would need: leave these tasks out",
    ):
        evaluate("sums", "choices", "more_choices")


def test_arguments_that_cannot_be_followed_are_refused_with_all_their_tasks(
    suite: Callable[..., None], evaluate: Evaluate
) -> None:
    suite("sums")
    suite("beams", generation_kwargs={"num_beams": 4})
    suite("limits", generation_kwargs={"max_tokens": 4, "max_new_tokens": 5})
    rounds = {"output_type": "generate_until_multi_round"}
    suite("rounds", **rounds, generation_kwargs={"num_beams": 4})
    with pytest.raises(ValueError, match="beam search") as refusal:
        evaluate("sums", "beams", "limits", "rounds")
    lines = str(refusal.value).split("; ")
    assert sorted(lines) == [
        "beam search is not offered: num_beams must be 1 (beams, rounds)",
        "max_new_tokens=5 and max_tokens=4 contradict each other: one limit is needed (limits)",
    ]


def test_what_means_something_to_other_models_is_said_once(
    suite: Callable[..., None], evaluate: Evaluate, said: list[str]
) -> None:
    for name in ("sums", "more_sums"):
        suite(name, generation_kwargs={"image_aspect_ratio": "pad"}, doc_to_text="{{answer}}")
    evaluate("sums", "more_sums")
    assert [line for line in said if "aspect" in line] == [
        "Generation argument image_aspect_ratio: means nothing to this model (more_sums, sums)."
    ]


def test_an_answer_does_not_end_at_an_empty_line_that_no_task_named(
    suite: Callable[..., None], evaluate: Evaluate
) -> None:
    suite("sums", generation_kwargs={"max_new_tokens": 8})
    suite("lines", generation_kwargs={"until": ["\n"]})
    _, hand = evaluate("sums", "lines")
    stops = [request.parameters.get("stop") for request in hand.asked]
    assert (stops.count(None), stops.count(["\n"]), len(stops)) == (3, 3, 6)
