"""lmms-eval's generation arguments, in vLLM's words."""

from __future__ import annotations

import pytest

from ugc_models.prompt import generation_parameters


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


def test_do_sample_false_is_greedy_whatever_the_temperature() -> None:
    assert generation_parameters({"do_sample": False, "temperature": 0.7})["temperature"] == 0.0


def test_do_sample_true_leaves_the_temperature() -> None:
    assert generation_parameters({"do_sample": True, "temperature": 0.7})["temperature"] == 0.7


def test_a_seed_of_the_task_wins_over_the_model_s() -> None:
    assert generation_parameters({"seed": 7}, seed=42)["seed"] == 7


def test_unknown_names_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match="unknown generation argument 'max_tokens', 'temprature'"):
        generation_parameters({"temprature": 0.2, "max_tokens": 5})


@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_is_refused(beams: int) -> None:
    with pytest.raises(ValueError, match="beam search is not offered"):
        generation_parameters({"num_beams": beams})


@pytest.mark.parametrize("name", ["top_p", "top_k", "min_p", "repetition_penalty"])
def test_nought_is_said_and_not_nothing(name: str) -> None:
    """vLLM says what it does not take; left out, it would be sampled otherwise than was asked."""
    assert generation_parameters({name: 0})[name] == 0


@pytest.mark.parametrize("beams", [1, None])
def test_one_beam_is_no_beam_search(beams: int | None) -> None:
    assert generation_parameters({"num_beams": beams}) == generation_parameters({})


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_no_token_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"max_new_tokens={limit}: a whole number from 1 up"):
        generation_parameters({"max_new_tokens": limit})
