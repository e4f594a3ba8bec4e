"""lmms-eval's own tasks on small documents: requests go out as they should, answers are scored.

With an engine by hand here, each task by itself; all of them in one command, with the real one, in
``test_alongside.py``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models import get_model
from lmms_eval.tasks import TaskManager
from loguru import logger

from tests.suites.documents import SUITES, Bench, Suite
from tests.support.hand import Hand
from ugc_models.engine.base import EngineOutput, EngineRequest


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("suites"))


@pytest.fixture
def here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """This process finds the documents."""
    monkeypatch.chdir(bench.work)
    for name, value in bench.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", bench.home / "datasets")
    return bench


def answer(request: EngineRequest) -> EngineOutput:
    return EngineOutput(request.index, "A", finish_reason="stop", output_ids=(1,))


def kinds(request: EngineRequest) -> tuple[str, ...]:
    """Return the kinds of what a request has the model look at or listen to."""
    parts = [part for message in request.messages for part in message["content"]]
    return tuple(part["type"] for part in parts if part["type"] != "text")


def evaluated(suite: Suite, bench: Bench, checkpoint: Path) -> tuple[dict[str, Any], Hand]:
    model = get_model("qwen_omni_vllm").create_from_arg_string(
        f"model={checkpoint},store=none,frames=4,max_pixels=3136,decode_workers=1", {}
    )
    model._backend = hand = Hand(answer)  # type: ignore[assignment]
    tasks = TaskManager(include_path=bench.include_path([suite]), include_defaults=False)
    results = simple_evaluate(model=model, tasks=[suite.task], task_manager=tasks)
    assert isinstance(results, dict)
    return results, hand


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.task)
def test_it_is_asked_and_scored(
    suite: Suite, here: Bench, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suite.imports and find_spec(suite.imports) is None:
        import transformers.models.auto.processing_auto  # it uses these packages if they are there

        assert transformers
        monkeypatch.syspath_prepend(here.stubs)
    results, hand = evaluated(suite, here, checkpoint)
    assert "unanswered" not in results
    assert [kinds(request) for request in hand.asked] == [suite.media] * 2
    row = results["results"][suite.task]
    scores = [value for name, value in row.items() if name.startswith(f"{suite.metric},")]
    assert scores
    assert scores == [pytest.approx(suite.score)] * len(scores)


MISSING = {
    "worldsense": ("WorldSense/b.mp4", "no media: it is asked with text alone"),
    "videomme": ("videomme/data/b.mp4", "no answer: the task does not say what is asked: System"),
}
"""Of one task that leaves a missing file out, and of one that would end the process over it."""


@pytest.mark.parametrize("task", MISSING)
def test_a_missing_file_is_said(task: str, here: Bench, checkpoint: Path) -> None:
    file, words = here.home / MISSING[task][0], MISSING[task][1]
    suite = next(suite for suite in SUITES if suite.task == task)
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    file.rename(file.with_suffix(".away"))
    try:
        results, _ = evaluated(suite, here, checkpoint)
    finally:
        file.with_suffix(".away").rename(file)
        logger.remove(sink)
    counted = results["unanswered"][task]
    assert counted["unanswered"] + counted["without_media"]["requests"] == 1
    assert any(line.startswith(f"{task} document 1: {words}") for line in said)
