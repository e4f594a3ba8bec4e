"""lmms-eval's cache by document number answers for other models, and not for this one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lmms_eval.api.instance import Instance
from lmms_eval.caching.response_cache import ResponseCache
from lmms_eval.models import get_model

from ugc_models.manifest import bypass


class Asked:
    """A model that answers with how often it was asked."""

    def __init__(self, *, keeps_answers: bool) -> None:
        self.keeps_answers = keeps_answers
        self.times = 0

    def generate_until(self, requests: list[Instance]) -> list[str]:
        self.times += 1
        return [f"answer {self.times}"] * len(requests)


def request() -> Instance:
    arguments = ("Describe it.", None, {"temperature": 0, "max_new_tokens": 8}, 0, "task", "test")
    return Instance(
        request_type="generate_until",
        arguments=arguments,
        idx=0,
        metadata={"task": "task", "doc_id": 0, "repeats": 1},
    )


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    bypass()
    bypass()  # a second model of the process says so again
    return ResponseCache.create(
        cache_root=str(tmp_path),
        model="some_model",
        model_args="",
        task_dict={},
        world_size=1,
        global_rank=0,
    )


def answers(cache: ResponseCache, model: Asked) -> list[str]:
    return [cache.execute(model, "generate_until", [request()])[0] for _ in range(2)]


def test_a_model_that_keeps_its_answers_is_asked_each_time(cache: ResponseCache) -> None:
    assert answers(cache, Asked(keeps_answers=True)) == ["answer 1", "answer 2"]


def test_another_model_is_answered_for_by_the_document_s_number(cache: ResponseCache) -> None:
    assert answers(cache, Asked(keeps_answers=False)) == ["answer 1", "answer 1"]


def test_it_is_taken_round_once_however_many_models_there_are(cache: ResponseCache) -> None:
    before = ResponseCache.execute
    bypass()
    assert ResponseCache.execute is before


def test_an_lmms_eval_without_that_cache_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmms_eval.caching.response_cache", None)
    bypass()


@pytest.mark.parametrize("name", ["qwen_omni_vllm", "omni_vllm"])
def test_ours_is_of_the_first_kind_by_both_of_its_names(name: str) -> None:
    assert get_model(name).keeps_answers is True
