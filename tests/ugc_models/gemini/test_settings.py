"""The arguments of ``gemini_video``."""

from __future__ import annotations

from typing import Any

import pytest

from ugc_models.gemini.settings import GeminiSettings

TASK = {"temperature": 0.2, "max_new_tokens": 1024, "top_p": 0.9, "until": ["\n", "END"]}


def settings(**arguments: Any) -> GeminiSettings:
    return GeminiSettings.from_arguments(arguments)


def test_the_task_decides_but_for_its_limit() -> None:
    assert settings().generation(TASK) == {
        "temperature": 0.2,
        "top_p": 0.9,
        "stop_sequences": ["\n", "END"],
    }
    assert "thoughts would count" in settings().remarks(TASK)["max_new_tokens"]


def test_what_is_stated_wins() -> None:
    found = settings(temperature=1.0, max_output_tokens=8192, seed=3).generation(TASK)
    assert (found["temperature"], found["max_output_tokens"], found["seed"]) == (1, 8192, 3)


def test_paper_leaves_all_to_the_api() -> None:
    paper = settings(preset="paper")
    assert paper.generation(TASK) == {}
    assert "temperature" in paper.remarks(TASK)
    assert (paper.order, paper.inline, paper.config()) == ("text_first", False, {})
    assert settings(preset="paper", temperature=0).generation(TASK) == {"temperature": 0}


def test_what_the_api_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"repetition_penalty=1.2: the Gemini API has none"):
        settings().generation({"repetition_penalty": 1.2})
    with pytest.raises(ValueError, match="5 stop sequences"):
        settings().generation({"until": list("abcdef")})
    assert "min_p" not in settings().generation({"min_p": 0, "repetition_penalty": 1.0})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_tokens": 5}, r"'max_tokens' \(did you mean 'max_output_tokens'\?\)"),
        ({"preset": "qwen"}, "preset='qwen': one of default, paper is needed"),
        ({"temperature": 3}, "a number from 0 to 2"),
        ({"temperature": True}, "a number from 0 to 2"),
        ({"fps": 30}, "up to 24"),
        ({"media_resolution": "huge"}, "low, medium or high"),
        ({"thinking_level": "deep"}, "minimal"),
        ({"thinking_budget": -2}, "-1 for as many"),
        ({"thinking_budget": 0, "thinking_level": "low"}, "one of the two"),
        ({"safety_settings": "SOME"}, "BLOCK_NONE"),
        ({"safety_settings": '[{"category": "X"}]'}, "a list of categories with thresholds"),
        ({"budget": 0}, "US dollars above 0"),
        ({"concurrency": 0}, "a whole number from 1 up"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**arguments)


def test_what_an_answer_depends_on_is_in_the_key_and_nothing_else() -> None:
    same = settings().made_of()
    assert settings(concurrency=3, budget=5, timeout=9, inline=False).made_of() == same
    for other in ({"model": "x"}, {"thinking_budget": 0}, {"fps": 2}, {"order": "text_first"},
                  {"media_resolution": "low"}, {"safety_settings": "OFF"}):  # fmt: skip
        assert settings(**other).made_of() != same


def test_the_results_say_how_clips_are_sent() -> None:
    said = settings(preset="paper", inline=True, fps=5, thinking_level="low").decoding()
    assert said == (
        "paper+inline=True: whole files 5 fps thinking low text first the API's own temperature"
    )
