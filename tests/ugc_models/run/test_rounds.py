"""Requests in rounds, by lmms-eval's protocol, with an engine by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.models import get_model

from tests.support.hand import Hand
from ugc_models.engine.base import EngineOutput, EngineRequest

TASK, SPLIT = "some_task", "test"
Ask = Callable[..., tuple[list[GenerationResult], Hand]]


def text(words: str | None) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": words}]}]


def echo(request: EngineRequest) -> EngineOutput:
    """Answer with the question."""
    asked = request.messages[-1]["content"][-1]["text"]
    return EngineOutput(request.index, f"<{asked}>", prompt_tokens=5, output_ids=(1,))


@pytest.fixture
def ask(checkpoint: Path, tmp_path: Path) -> Ask:
    """Ask documents with a task's ``doc_to_messages``; each run has the same store."""

    def ask(task: Any, *documents: Any, **more: Any) -> tuple[list[GenerationResult], Hand]:
        stated = {"decode_workers": 2, "max_in_flight": 4, "store": tmp_path / "store", **more}
        line = ",".join(f"{k}={v}" for k, v in {"model": checkpoint, **stated}.items())
        model = get_model("qwen_omni_vllm").create_from_arg_string(line, {})
        model._backend = hand = Hand(echo, 0.02)  # type: ignore[assignment]
        model.task_dict = {TASK: {SPLIT: documents}}
        requests = [
            Instance(
                request_type="generate_until_multi_round",
                arguments=("", task, {"max_new_tokens": 8}, number, TASK, SPLIT),
                idx=0,
                metadata={"task": TASK, "doc_id": number, "repeats": 1},
            )
            for number in range(len(documents))
        ]
        return model.generate_until_multi_round(requests), hand

    return ask


def counting(doc: int, **told: Any) -> Any:
    """Ask a document as often as its number says, with what it was told."""
    number, outputs, info = (
        told.get(name) for name in ("round_idx", "previous_output", "previous_round_info")
    )
    if number is None:
        return text("0")
    if number == doc:
        return None, True, outputs, None
    return text(f"{number} {outputs[-1]} {info}"), False, outputs, number * 10


def test_each_round_is_told_of_those_before(ask: Ask) -> None:
    answers, _ = ask(counting, 1, 3)
    assert [answer.text for answer in answers] == [
        ["<0>"],
        ["<0>", "<1 <0> None>", "<2 <1 <0> None> 10>"],
    ]


def test_many_requests_are_in_flight_whatever_their_round(ask: Ask) -> None:
    answers, hand = ask(counting, *range(1, 9))
    assert [len(answer.text) for answer in answers] == list(range(1, 9))
    assert hand.most_at_once == 4


def test_each_round_is_kept(ask: Ask) -> None:
    first, hand = ask(counting, 2, 4)
    assert len(hand.asked) == 6
    again, hand = ask(counting, 2, 4)
    assert hand.asked == []
    assert [answer.text for answer in again] == [answer.text for answer in first]


def test_tokens_of_all_rounds_are_counted(ask: Ask) -> None:
    [answer], _ = ask(counting, 3)
    assert answer.token_counts is not None
    assert (answer.token_counts.input_tokens, answer.token_counts.output_tokens) == (15, 3)


def test_a_task_may_change_its_answers_at_the_end(ask: Ask) -> None:
    def changing(doc: Any, *, round_idx: int | None = None, **told: Any) -> Any:
        return text("a") if round_idx is None else (None, True, ["changed", None], None)

    [answer], _ = ask(changing, 1)
    assert answer.text == ["changed", None]


@pytest.mark.parametrize("end", ["nothing", (text(None), False, [], None), (None, False, [], None)])
def test_a_task_that_asks_nothing_more_has_ended(end: Any, ask: Ask) -> None:
    def task(doc: Any, *, round_idx: int | None = None, **told: Any) -> Any:
        return text("a") if round_idx is None else end

    [answer], _ = ask(task, 1)
    assert answer.text == ["<a>"]


def test_a_round_that_cannot_be_asked_has_an_empty_answer_and_the_next_is_asked(ask: Ask) -> None:
    def task(doc: Any, *, round_idx: int | None = None, **told: Any) -> Any:
        if round_idx == 1:
            raise SystemExit("video path:/clips/1.mp4 does not exist, please check")
        return text("0") if round_idx is None else counting(3, round_idx=round_idx, **told)

    [answer], _ = ask(task, 3)
    assert answer.text == ["<0>", "", "<2  None>"]
    assert answer.text[1].generation["error"] == (
        "the task does not say what is asked: SystemExit: "
        "video path:/clips/1.mp4 does not exist, please check"
    )


def test_a_task_that_always_fails_is_ended(ask: Ask) -> None:
    def task(doc: Any, **told: Any) -> Any:
        if told:
            raise ValueError("broken")
        return text("0")

    [answer], _ = ask(task, 1)
    assert len(answer.text) == 102


@pytest.mark.parametrize(
    "said",
    ["words", [None], [{"content": "?"}], [{"role": "user"}], [{"role": "user", "content": 7}]],
)
def test_a_task_that_gives_no_messages_has_no_answer_and_others_have_theirs(
    said: Any, ask: Ask
) -> None:
    def task(doc: str, **told: Any) -> Any:
        return (None, True, None, None) if told else said if doc == "bad" else text("0")

    bad, good = ask(task, "bad", "good")[0]
    assert (bad.text, good.text) == ([""], ["<0>"])
    assert "message" in bad.text[0].generation["error"]


class Unsaid:
    """Neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("say any or all")


@pytest.mark.parametrize(
    "bad",
    [(7, False, [], None), ([{"role": "user"}], False, None, None), (None, Unsaid(), [], None)],
)
def test_a_round_that_is_none_has_an_empty_answer_and_the_next_is_asked(bad: Any, ask: Ask) -> None:
    def task(doc: int, *, round_idx: int | None = None, **told: Any) -> Any:
        return bad if round_idx == 1 else counting(3, round_idx=round_idx, **told)

    [answer], _ = ask(task, 3)
    assert [bool(text) for text in answer.text] == [True, False, True]
    assert answer.text[1].generation["error"]
