"""lmms-eval's generation arguments, in vLLM's words."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from ugc_models.request.generation import generation_parameters, remarks, stated


def test_nothing_said_is_greedy_with_room_for_a_caption() -> None:
    assert generation_parameters({}) == {"max_tokens": 1024, "temperature": 0.0, "seed": None}


def test_the_task_s_own_settings_arrive() -> None:
    task = {"temperature": 0.2, "max_new_tokens": 1024, "until": []}
    assert generation_parameters(task, seed=42) == {
        "max_tokens": 1024,
        "temperature": 0.2,
        "seed": 42,
    }


@pytest.mark.parametrize(
    "name",
    [
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
    ],
)
def test_what_vllm_calls_the_same_is_handed_on(name: str) -> None:
    assert generation_parameters({name: 1})[name] == 1


def test_every_result_is_one_that_vllm_takes() -> None:
    from vllm import SamplingParams

    arguments = generation_parameters(
        {"temperature": 0.2, "top_p": 0.9, "top_k": 20, "until": "###", "max_new_tokens": 7}, seed=1
    )
    params = SamplingParams(**arguments)
    assert (params.temperature, params.top_p, params.top_k) == (0.2, 0.9, 20)
    assert (params.max_tokens, params.stop, params.seed) == (7, ["###"], 1)


def test_one_token_is_enough() -> None:
    assert generation_parameters({"max_new_tokens": 1})["max_tokens"] == 1


def test_unknown_names_are_named_in_order() -> None:
    unknown = dict.fromkeys([f"name_{letter}" for letter in "hcbgadfe"], 1)
    named = ", ".join(f"'name_{letter}'" for letter in "abcdefgh")
    with pytest.raises(ValueError, match=f"^unknown generation argument {named}$"):
        generation_parameters(unknown)


@pytest.mark.parametrize("name", ["temperature", "top_p", "max_new_tokens", "until"])
def test_none_is_as_good_as_nothing(name: str) -> None:
    assert generation_parameters({name: None}) == generation_parameters({})


@pytest.mark.parametrize(
    ("until", "stop"),
    [("\n\n", ["\n\n"]), (["a", "b"], ["a", "b"]), (["a", ""], ["a"])],
)
def test_until_becomes_stop(until: object, stop: list[str]) -> None:
    assert generation_parameters({"until": until})["stop"] == stop


@pytest.mark.parametrize("until", [[], "", [""], None])
def test_an_empty_until_stops_nowhere(until: object) -> None:
    assert "stop" not in generation_parameters({"until": until})


@pytest.mark.parametrize("do_sample", [False, True, None])
def test_the_temperature_counts_whatever_do_sample_says(do_sample: bool | None) -> None:
    """As in lmms-eval's own vLLM models; some of its tasks state both."""
    said = {"do_sample": do_sample, "temperature": 0.7}
    assert generation_parameters(said)["temperature"] == 0.7


@pytest.mark.parametrize("do_sample", [False, True, None])
def test_without_a_temperature_it_is_greedy(do_sample: bool | None) -> None:
    assert generation_parameters({"do_sample": do_sample})["temperature"] == 0.0


def test_what_is_not_done_as_it_stands_is_remarked() -> None:
    said = {"do_sample": False, "temperature": 0.7, "image_aspect_ratio": "pad", "top_p": 0.9}
    assert remarks(said) == {
        "image_aspect_ratio": "means nothing to this model",
        "do_sample=False beside temperature=0.7": "the temperature counts",
    }
    assert remarks({"do_sample": True}) == {
        "do_sample=True without a temperature": "answers are greedy"
    }
    assert remarks({"do_sample": False, "temperature": 0, "until": ["a"]}) == {}


def test_a_seed_of_the_task_wins_over_the_model_s() -> None:
    assert generation_parameters({"seed": 7}, seed=42)["seed"] == 7


def test_unknown_names_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match="unknown generation argument 'best_of', 'temprature'"):
        generation_parameters({"temprature": 0.2, "best_of": 5})


@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_is_refused(beams: int) -> None:
    with pytest.raises(ValueError, match="beam search is not offered"):
        generation_parameters({"num_beams": beams})


@pytest.mark.parametrize("name", ["top_k", "min_p", "min_tokens"])
def test_nought_is_said_and_not_nothing(name: str) -> None:
    """Left out, it would be sampled otherwise than was asked."""
    assert generation_parameters({name: 0})[name] == 0


@pytest.mark.parametrize("beams", [1, None])
def test_one_beam_is_no_beam_search(beams: int | None) -> None:
    assert generation_parameters({"num_beams": beams}) == generation_parameters({})


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_no_token_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"max_new_tokens={limit}: a whole number from 1 up"):
        generation_parameters({"max_new_tokens": limit})


LIMITS = ["max_new_tokens", "max_tokens", "max_completion_tokens", "max_gen_toks"]


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        *(
            (name, value, "a whole number from 1 up")
            for name in LIMITS
            for value in ("a", 1.5, True)
        ),
        ("max_tokens", float("inf"), "a whole number from 1 up"),
        *(("temperature", value, "a number from 0 up") for value in (-1, "x", [1], float("nan"))),
        *(("top_p", value, "a number from 0 to 1") for value in (-0.1, 1.1)),
        ("repetition_penalty", 0, "a number from 0.01 up"),
        ("presence_penalty", 3, "a number from -2 to 2"),
        *((name, 1.5, "a whole number from ") for name in ("top_k", "min_tokens", "seed")),
        ("seed", 2**70, "a whole number from -1 up"),
        *((name, "no", "True or False") for name in ("do_sample", "skip_special_tokens")),
        *((name, value, "a text or") for name in ("until", "stop") for value in (5, [5], {"a": 1})),
    ],
)
def test_a_value_that_vllm_does_not_take_is_refused_by_name(
    name: str, value: Any, needed: str
) -> None:
    """Before anything is asked: at min_tokens=1.5 an engine answers no more."""
    said = re.escape(f"{name}={value!r}: {needed}")
    with pytest.raises(ValueError, match=said):
        generation_parameters({name: value})
    remarks({name: value, "do_sample": False})


def test_a_number_in_words_of_yaml_is_that_number() -> None:
    said = generation_parameters({"temperature": "0.5", "max_tokens": "7", "top_k": 50.0})
    assert (said["temperature"], said["max_tokens"], said["top_k"]) == (0.5, 7, 50)
    assert isinstance(said["top_k"], int)


def test_the_least_may_not_be_more_than_the_most() -> None:
    with pytest.raises(ValueError, match="min_tokens=10 is more than the limit of 5"):
        generation_parameters({"min_tokens": 10, "max_new_tokens": 5})


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_counts_under_each_of_its_names(name: str) -> None:
    assert generation_parameters({name: 7}) == generation_parameters({"max_new_tokens": 7})


def test_two_limits_that_agree_are_one() -> None:
    said = {"max_tokens": 7, "max_new_tokens": 7.0}
    assert generation_parameters(said)["max_tokens"] == 7


def test_two_limits_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="max_new_tokens=7 and max_tokens=8 contradict each other"):
        generation_parameters({"max_tokens": 8, "max_new_tokens": 7})


@pytest.mark.parametrize("name", ["until", "stop", "stop_sequences"])
def test_an_end_counts_under_each_of_its_names(name: str) -> None:
    assert generation_parameters({name: ["\n"]})["stop"] == ["\n"]


def test_ends_under_several_names_count_together() -> None:
    said = {"until": ["\n\n", "Q:"], "stop_sequences": ["\n", "Q:"]}
    assert generation_parameters(said)["stop"] == ["\n\n", "Q:", "\n"]


def test_special_tokens_are_shown_where_a_task_wants_them() -> None:
    assert generation_parameters({"skip_special_tokens": False})["skip_special_tokens"] is False


def test_what_means_something_to_other_models_only_changes_nothing() -> None:
    said = {"image_aspect_ratio": "original", "visual_cot": True, "max_agentic_steps": 8}
    assert generation_parameters(said) == generation_parameters({})


def test_top_p_0_is_1_as_in_lmms_eval_s_own_vllm_models() -> None:
    assert generation_parameters({"top_p": 0, "temperature": 0.5})["top_p"] == 1.0


def test_several_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="one answer a request is given: n must be 1"):
        generation_parameters({"n": 4})


PRESET = {"temperature": 0.2, "max_new_tokens": 64, "top_p": 0.9}


def test_a_preset_fills_what_the_task_leaves_open() -> None:
    said = generation_parameters({"max_tokens": 5, "top_p": None}, preset=PRESET)
    assert (said["max_tokens"], said["temperature"], said["top_p"]) == (5, 0.2, 0.9)


def test_a_preset_s_temperature_is_not_for_tasks_that_want_greedy_answers() -> None:
    assert generation_parameters({"do_sample": False}, preset=PRESET)["temperature"] == 0.0


class TestTheFramework:
    """The end at an empty line, which lmms-eval adds where a YAML file names none."""

    @staticmethod
    def task(monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return the ``doc_to_messages`` of a task, without its data."""
        from lmms_eval.api.task import ConfigurableMessagesTask

        task = object.__new__(ConfigurableMessagesTask)
        monkeypatch.setattr(type(task), "config", SimpleNamespace(fewshot_delimiter="\n\n"))
        return task.doc_to_messages

    @pytest.mark.parametrize("until", [["\n\n"], None])
    def test_ends_no_answer(self, until: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
        assert stated({"until": until, "top_k": 1}, self.task(monkeypatch)) == {"top_k": 1}

    @pytest.mark.parametrize("until", ["\n\n", ["\n\n", "Q:"], ["Q:"]])
    def test_what_was_written_counts(self, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert stated({"until": until}, self.task(monkeypatch)) == {"until": until}
