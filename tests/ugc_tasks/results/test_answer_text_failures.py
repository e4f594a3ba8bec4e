"""What other models write where they failed is told from what honest answers say."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from ugc_tasks.results.answer_text import failure_in, model_answer

JUDGED_AND_CHOICE = ("caption", "audio_caption", "background", "objects", "tone")

OF_LMMS_EVAL = [
    "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Error code: 429 - {'error': {'code': 429}}",
    "[LMMS_EVAL_REQUEST_FAILED after 1 retries] unknown error",
    "[LMMS_EVAL_BUDGET_EXCEEDED]",
    "[SAFETY_BLOCKED:finish_reason=FinishReason.SAFETY,HARM_CATEGORY_HARASSMENT=HIGH]",
    "[SAFETY_BLOCKED:unknown]",
    "[GENERATION_FAILED] CUDA out of memory",
    "[ERROR] Empty prompt",
    "[ERROR] Unknown",
    "[ERROR] doc lookup failed",
    'Error: can only concatenate str (not "NoneType") to str',
    'Looking.<tool_call>f</tool_call>can only concatenate str (not "NoneType") to str',
    "Video /clips/PI-1.mp4 can not load, check the source",
    "Video /clips/a.mp4\n/clips/b.mp4 generate failed, check the source",
    "Can not infer the answer.",
    "Batch failed",
]
CERTAIN = [
    *OF_LMMS_EVAL[:6],
    *OF_LMMS_EVAL[10:],
    "[REQUEST_FAILED]",
    "[CONTENT_BLOCKED: violence]",
    "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "<HTML>\n<head>",
    '{"error": {"message": "overloaded", "code": 503}}',
    '{"object": "error", "message": "no such model", "type": "NotFound", "code": 404}',
    '["[SAFETY_BLOCKED:unknown]"]',
    '{"caption": "[LMMS_EVAL_BUDGET_EXCEEDED]"}',
]
MESSAGES = [
    "Error: Connection error.",
    "Error: Request timed out.",
    "error: 429 Too Many Requests",
    "ERROR: list index out of range",
    "**Error:** the API key is invalid",
    "Error: 'NoneType' object is not subscriptable",
    "Error code: 429 - {'error': {'message': 'Rate limit reached'}}",
    "Error 503 Service Unavailable",
    "Error processing video: moov atom not found",
    "An error occurred: HTTPSConnectionPool(host='h', port=443): Max retries exceeded",
    "API Error: overloaded_error",
    "RuntimeError: CUDA error",
    "openai.RateLimitError: too many",
    "Request timed out.",
    "Connection error.",
    "Failed to decode video: invalid argument",
    "Exception: no such file: 'a.mp4'",
    'Traceback (most recent call last):\n  File "a.py", line 3, in f',
]


@pytest.mark.parametrize("written", [*OF_LMMS_EVAL, *CERTAIN, *MESSAGES])
@pytest.mark.parametrize("task", JUDGED_AND_CHOICE)
def test_a_failure_written_as_text_is_a_failure_with_that_reason(written: str, task: str) -> None:
    failure = model_answer(f" {written}\n", task).failure
    assert failure
    assert failure[:12] in " ".join(written.split())


@pytest.mark.parametrize("written", [*CERTAIN, *MESSAGES[:13], "Request timed out."])
def test_where_texts_in_the_clip_are_asked_for_a_failure_is_one_too(written: str) -> None:
    assert model_answer(written, "ocr").failure


@pytest.mark.parametrize("written", ["Error: 404", "ERROR", "Error", "Error: unknown", "[Error]"])
def test_a_short_error_may_stand_on_a_screen_and_is_no_caption(written: str) -> None:
    assert model_answer(written, "ocr").failure == ""
    for task in JUDGED_AND_CHOICE:
        assert model_answer(written, task).failure == written


@pytest.mark.parametrize(
    "read",
    [
        '{"ocr": ["Error: Connection timed out"]}',
        '["Error: 429 Too Many Requests"]',
        '"RuntimeError: CUDA error"',
        '```json\n{"ocr": ["[ERROR] no such file"]}\n```',
        '{"ocr": ["[SAFETY_BLOCKED:x]", "two"]}',
    ],
)
def test_a_screen_full_of_errors_that_is_read_as_asked_for_is_an_answer(read: str) -> None:
    assert model_answer(read, "ocr").failure == ""


@pytest.mark.parametrize(
    "caption",
    [
        "A man at a laptop. The screen says Error: connection refused, and he laughs.",
        "Error: 404 flashes over the picture while a man laughs at his phone in the kitchen.",
        "Error messages fill the screen; a voice reads them aloud.",
        "Errors happen, says the woman.",
        "Errorless piano playing by a girl in red.",
        "Failed to open the jar, the man hands it to his daughter, who opens it.",
        "Timeout: the coach gathers the team and shouts.",
        "Timeout! The coach gathers the team, and the music stops.",
        "[Music] A woman dances to a pop song.",
        "[ERROR 404] is the title of the clip, in which two boys dance in front of a red wall.",
        "[Scene 1] A street at night.",
        "[SAFETY] signs hang on the wall behind the welder.",
        "Connection errors are what this skit is about: a router speaks.",
        "Exceptional cooking: a chef turns a pancake.",
        '{"caption": "A dog runs."}',
        '{"error": "", "caption": "A dog runs."}',
        '{"error": "none", "caption": "A dog runs."}',
        '"Error" is written on the shirt of a man who dances.',
        "Video of a cat that can not load, check the source of light",
        "Batch failed, says the baker, and throws the dough away.",
        "The html tag <html> is on the shirt.",
        "I'm sorry, but I can't tell who is in the video. A man sings.",
    ],
)
def test_a_caption_that_speaks_of_errors_is_a_caption(caption: str) -> None:
    assert model_answer(caption, "caption").failure == ""


def test_after_error_four_words_are_a_message_and_five_a_sentence() -> None:
    assert failure_in("Error: the clip was odd") == "Error: the clip was odd"
    assert failure_in("Error: the clip was very odd") == ""


def test_a_failure_after_reasoning_is_one() -> None:
    assert model_answer("<think>Hm.</think>[LMMS_EVAL_BUDGET_EXCEEDED]", "tone").failure == (
        "[LMMS_EVAL_BUDGET_EXCEEDED]"
    )


def test_a_reason_is_one_line_of_bounded_length() -> None:
    failure = failure_in("Error: no such file\n" + "x " * 5000)
    assert failure.startswith("Error: no such file x x")
    assert len(failure) <= 300


def test_every_marker_in_brackets_of_the_installed_lmms_eval_is_known() -> None:
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.origin is not None
    models = Path(spec.origin).parent / "models"
    marker = re.compile(r"""f?["'](\[[A-Z_]*(?:FAILED|BLOCKED|EXCEEDED)[\]: ][^"'{]*)""")
    found = {
        match for path in models.rglob("*.py") for match in marker.findall(path.read_text("utf-8"))
    }
    assert {"[LMMS_EVAL_BUDGET_EXCEEDED]", "[SAFETY_BLOCKED:"} <= found
    for written in found:
        assert failure_in(written + "x"), written


def test_the_message_of_a_reply_without_text_is_pythons_own() -> None:
    """``async_openai`` adds the endpoint's None to a string and keeps what that raises."""
    from lmms_eval.models.chat import async_openai

    assert 'all_response += f"Error: {str(e)}"' in inspect.getsource(async_openai)
    with pytest.raises(TypeError) as raised:
        str.join("", "") + None  # type: ignore[operator]
    assert failure_in(f"Error: {raised.value}")
    assert failure_in(f"Looking at it.{raised.value}")
