"""What is scored of an answer: reasoning out, failures with their reason, whatever is given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lmms_eval.api.reasoning import strip_reasoning_tags

from tests.support.growth import assert_linear
from tests.support.reference import reference_dir
from ugc_tasks.benchmark import SPECS
from ugc_tasks.results.answer_text import ModelAnswer, model_answer

CUT_OFF = "the model's reasoning was cut off before any answer"
LMMS_EVALS_TAGS = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]


def text(value: Any, task: str = "caption") -> str:
    answer = model_answer(value, task)
    assert not answer.failure
    return answer.text


def failure(value: Any, task: str = "caption", **told: Any) -> str:
    return model_answer(value, task, **told).failure


# --- reasoning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thought",
    [
        "<think>Hm. A cat?</think>A cat sleeps.",
        " <think>\n\n</think>\n\nA cat sleeps.\n",
        "<THINK>Hm.</THINK> A cat sleeps.",
        "< think >Hm.</ think > A cat sleeps.",
        "<thinking>Hm.</thinking>A cat sleeps.",
        "<thought>Hm.</thought>A cat sleeps.",
        "<analysis>Hm.</analysis>A cat sleeps.",
        "<reasoning>Hm.</reasoning>A cat sleeps.",
        "<think>Hm.</thinking>A cat sleeps.",
        "\u25c1think\u25b7Hm.\u25c1/think\u25b7A cat sleeps.",
        "[THINK]Hm.[/THINK]A cat sleeps.",
        "The prompt opened it. Hm.</think>A cat sleeps.",
        "<think>Hm, <think> is a tag.</think>A cat sleeps.",
        "<think>a <think>b</think> c</think>A cat sleeps.",
        "<think>a</think><think>b</think>A cat sleeps.",
        "<think>a <analysis>b</analysis> c</think>A cat sleeps.",
        "A cat sleeps.\n<think>Or is it",
        "<think>a</think>A cat sleeps.<think>Or is it",
        "<think>a</think><answer>A cat sleeps.</answer>",
        "<think>a</think>\n<answer>\nA cat sleeps.",
    ],
)
def test_reasoning_is_no_part_of_an_answer(thought: str) -> None:
    assert text(thought) == "A cat sleeps."


@pytest.mark.parametrize(
    "plain",
    [
        "A sign says <think> different.",
        "A sign says [THINK] and [/think].",
        "He says he must think. [thinking]",
        "[thinking]\nA man sits.",
        "<answer>A cat</answer>",
        "<thinks>A cat</thinks>",
        "<level>Good</level>",
    ],
)
def test_a_text_that_holds_no_reasoning_stays_as_it_is(plain: str) -> None:
    assert text(plain) == plain


def test_text_on_both_sides_of_reasoning_is_kept_and_makes_no_new_tag() -> None:
    assert text("A cat <think>hm</think> sleeps.").split() == ["A", "cat", "sleeps."]
    assert "</think>" not in text("One.</th<think>x</think>ink> Two.")
    assert text("<think>a</think><answer>B</answer> or <answer>C</answer>") == (
        "<answer>B</answer> or <answer>C</answer>"
    )


@pytest.mark.parametrize("task", SPECS)
def test_reasoning_without_an_answer_is_a_failure_that_says_so(task: str) -> None:
    assert failure("<think>I see a cat", task) == CUT_OFF
    assert failure(" \n <think>one</think> <think>two", task) == CUT_OFF
    assert failure("x" * 100 + "\n <think>one", task) == ""
    assert failure("<think>one</think>", task) == (
        f"the model gave no {'caption' if task.endswith('caption') else 'answer'} after its "
        "reasoning"
    )


TAGS = ["<think>", "</think>", "<analysis>", "</analysis>", "<THINK>", "</THINK>", "<answer>"]


@given(st.lists(st.sampled_from([*TAGS, "a", "\n", " ", "B.", "</th", "ink>"]), max_size=12))
def test_lmms_eval_cutting_again_changes_nothing(parts: list[str]) -> None:
    answer = model_answer("".join(parts), "caption")
    assert strip_reasoning_tags(answer.text, LMMS_EVALS_TAGS) == answer.text
    assert model_answer(answer.text, "caption").text == answer.text


# --- answers that there are none of ---------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", " \n\t", "\u200b\ufeff", "\u3000"])
@pytest.mark.parametrize("task", [name for name in SPECS if name != "ocr"])
def test_a_blank_is_no_answer(blank: str, task: str) -> None:
    assert failure(blank, task).startswith("the model gave no ")


def test_a_blank_ocr_answer_is_one_unless_the_model_failed() -> None:
    assert model_answer("", "ocr") == ModelAnswer("")
    assert failure(None, "ocr") == "the model gave no answer"
    assert failure("", "ocr", error="out of memory") == "out of memory"
    assert failure("", "ocr", generation={"error": "broken clip"}) == "broken clip"
    assert failure("", "ocr", generation={"finish_reason": "stop"}) == ""
    assert failure("", "ocr", generation={"finish_reason": None}) == ""
    for finish in ("error", "content_filter", "length", "abort"):
        assert failure("", "ocr", generation={"finish_reason": finish}) == (
            f"the model gave no answer (finish reason: {finish})"
        )
    assert failure('{"ocr": []}', "ocr", generation={"finish_reason": "length"}) == ""


def test_an_error_stands_before_the_text_and_the_files_before_the_models() -> None:
    answer = model_answer("half a sen", "caption", error="cut off", generation={"error": "other"})
    assert (answer.text, answer.failure) == ("half a sen", "cut off")
    assert failure("text", error="") == ""
    assert failure("text", error=0) == ""
    assert failure("text", error={"code": 429}) == '{"code": 429}'
    assert len(failure("text", error="x" * 5000)) == 1000


@pytest.mark.parametrize("value", [["a"], {"caption": "a"}, 5, 1.5, True, math.nan])
def test_a_judged_answer_is_a_text(value: Any) -> None:
    for task in ("caption", "audio_caption", "background", "objects"):
        assert failure(value, task) == "the answer is not a text"
    for task in ("tone", "ocr"):
        assert text(value, task) == json.dumps(value)


@pytest.mark.parametrize(
    "word", ["None", "null", "nan", " NaN ", "N/A", "undefined", "[no output]", "No response."]
)
def test_what_a_program_writes_for_nothing_is_no_caption_and_may_be_an_answer(word: str) -> None:
    assert failure(word) == f"the model gave no caption (its text is {word.strip()!r})"
    for task in ("tone", "ocr", "objects", "background"):
        assert failure(word, task) == ""
    assert failure("None of them sings.") == ""


# --- what the model told --------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [None, 5, "text", ["a"], True, math.nan])
def test_a_generation_that_is_no_object_is_ignored(odd: Any) -> None:
    assert model_answer("text", "caption", generation=odd) == ModelAnswer("text")


def test_what_the_model_reported_becomes_plain_json() -> None:
    told = {
        "heard": True, "tokens": 3, "seconds": 1.5, "none": None, "nan": math.nan,
        "huge": 10**400, "low": -(2**70), "inf": -math.inf, "half": "a\ud83d",
        "set": {1}, 7: (1, "b"), "deep": deep(5000), "\udc00": 0,
    }  # fmt: skip
    plain = model_answer("text", "caption", generation=told).generation
    assert plain is not None
    assert {key: plain[key] for key in ("heard", "tokens", "seconds", "none")} == {
        "heard": True, "tokens": 3, "seconds": 1.5, "none": None
    }  # fmt: skip
    assert (plain["nan"], plain["inf"], plain["half"]) == ("nan", "-inf", "a?")
    assert plain["huge"] == plain["low"] == "(int)"
    assert (plain["7"], plain["set"], plain["?"]) == ([1, "b"], "(set)", 0)
    assert json.loads(json.dumps(plain, allow_nan=False).encode("utf-8")) == plain
    assert "((((" not in json.dumps(plain["deep"])


def test_an_answer_is_writable_as_utf_8() -> None:
    assert text("a \ud83d cat") == "a ? cat"
    assert text(["\ud83d"], "ocr") == '["?"]'
    assert failure("x", error="\ud83d") == "?"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(JSON_VALUES, st.sampled_from(sorted(SPECS)), JSON_VALUES, JSON_VALUES)
def test_nothing_that_json_can_hold_makes_it_fail(
    value: Any, task: str, error: Any, generation: Any
) -> None:
    answer = model_answer(value, task, error=error, generation=generation)
    json.dumps([answer.text, answer.failure, answer.generation], allow_nan=False).encode("utf-8")
    assert isinstance(answer.failure, str)


# --- time and real answers ------------------------------------------------------------------------

PIECES = ["<think>", "</think>", "<think></think>", "<", "[", "#", "_", "\u25c1", "a ", "\n<think>"]


@pytest.mark.parametrize("piece", [*PIECES, "<answer>", "\u200b", '"', "{", "_._", "Error: "])
def test_a_long_answer_takes_time_by_its_length(piece: str) -> None:
    def read(answer: str) -> None:
        model_answer(answer, "caption")
        model_answer(answer, "ocr")

    assert_linear(read, (piece * 5_000)[:5_000], (piece * 50_000)[:50_000])


def recorded(folder: Path) -> list[tuple[str, Any]]:
    files = {"captions": "caption", "ocr": "ocr"}
    found = []
    for name, task in files.items():
        for path in sorted((folder / name).glob("*.jsonl")):
            for line in path.read_text("utf-8").splitlines():
                row = json.loads(line)
                found.append((task, row.get("caption", row.get("predict_ocr"))))
    for name in ("objects", "background"):
        for path in sorted((folder / name).glob("*.json")):
            found += [(name, s["predict"]) for s in json.loads(path.read_text("utf-8"))["samples"]]
    for name in ("final_caption_qa", "audio_caption_qa", "visual_caption_qa"):
        samples = json.loads((folder / "questions" / f"{name}.json").read_text("utf-8"))["samples"]
        found += [("caption", sample["answer"]) for sample in samples]
    return found


def test_no_recorded_answer_is_taken_for_a_failure_or_changed() -> None:
    answers = recorded(reference_dir())
    assert len(answers) > 10_000
    for task, value in answers:
        answer = model_answer(value, task)
        assert answer.failure == ("" if value is not None else "the model gave no answer")
        if isinstance(value, str):
            assert answer.text == value.strip()


def test_the_edges_of_what_json_can_hold() -> None:
    told = {"most": 2**63 - 1, "over": 2**63, "nested": {"a": {"b": {"c": [1]}}}}
    plain = model_answer("text", "caption", generation=told).generation
    assert plain == {**told, "over": "(int)"}
    assert model_answer({1}, "ocr").text == "(set)"
    assert model_answer(10**5000, "ocr").text == "(int)"
    assert failure("x", error=" odd \n") == "odd"
    assert failure("\x00", "tone") == failure("\u200b ", "tone") == "the model gave no answer"
    assert failure("", "ocr", generation={"finish_reason": ""}) == ""
    assert failure(["a"], "no task") == "the answer is not a text"
    for kept in ("B</answer>", "</answer>B", "a <answer>B</answer>", "<answer>B</answer> c"):
        assert text(f"<think>x</think>{kept}") == kept
