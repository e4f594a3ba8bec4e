"""What other models write where they failed is told from what honest answers say."""

from __future__ import annotations

import inspect
import json

import pytest

from ugc_tasks.results.answer_text import failure_in, model_answer, reason_of

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
    '[{"caption": ["[LMMS_EVAL_BUDGET_EXCEEDED]"]}]',
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
        "<html> is the joke on the shirt of a man.",
        'The screen says "[LMMS_EVAL_BUDGET_EXCEEDED]".',
        "[LMMS_EVAL_BUDGET_EXCEEDED] flashes on a laptop, and a student cries.",
        "[SAFETY_BLOCKED:unknown] flashes on a laptop, and a student cries.",
        "[LMMS_EVAL_REQUEST_FAILED after 5 retries] flashes on a laptop. " + 20 * "A dog runs. ",
        "[ERROR] Unknown, says the sticker on a laptop in a cafe.",
        "Batch failed. Can not infer the answer.",
        "I'm sorry, but I can't tell who is in the video. A man sings.",
    ],
)
def test_a_caption_that_speaks_of_errors_is_a_caption(caption: str) -> None:
    assert model_answer(caption, "caption").failure == ""


KINDS = """unexpected unknown internal server api http network connection request model generation
inference runtime fatal"""
AFTER_ERROR = """code processing generating calling occurred while during loading reading decoding
opening in from with 503"""
FAILED_TO = """load generate process decode read open connect fetch download get parse call infer
run import"""
BEGINNINGS = [
    *(f"{kind} error: what" for kind in KINDS.split()),
    *(f"Error {word} it" for word in AFTER_ERROR.split()),
    *(f"Failed to {verb} it" for verb in FAILED_TO.split()),
    "Exception: what",
]


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_few_words_that_begin_like_a_message_are_one_and_many_are_not(beginning: str) -> None:
    assert failure_in(beginning) == beginning
    assert failure_in(beginning, shown_text=True) == ""
    assert failure_in(f"{beginning} says the red door of a house") == ""


@pytest.mark.parametrize(
    "beginning",
    [
        "ValueError: what",
        "app.models.OwnException: what",
        "ReadTimeout: what",
        "StrangeError(1)",
        "API failed",
        "Generation call failed",
        "Inference timed out",
        "Request failed",
        "Request timed out",
        "Error code: 500 - what",
        "Connection refused",
        "Connection reset",
        "Connection aborted",
        "Connection timed out",
        "Traceback (most recent call last)",
    ],
)
def test_what_only_programs_begin_with_is_a_message_however_it_goes_on(beginning: str) -> None:
    assert failure_in(f"{beginning} says the red door of a house", shown_text=True)


PROGRAMS_WORDS = """error code: 503, status 500, status code: 404, http 502, http/1.1 503,
400 bad request, 401 unauthorized, 403 forbidden, 404 not found, 429 too many requests,
500 internal server error, 502 bad gateway, 503 service unavailable, 504 gateway time, rate limited,
quota, api_key, timed out, timeout, connection error, connection refused, connection reset,
connection aborted, connection closed, connection broken, connection failed, connection pool,
connection timed, retries, try again, overloaded, unavailable, invalid request, invalid argument,
invalid literal, invalid value, invalid url, invalid response, invalid json, context length,
max_tokens, token, tokens, nonetype, traceback, exception, errno, out of memory, out of range, cuda,
gpu, tensor, object is, object has, object of, has no attribute, not subscriptable, not iterable,
not callable, not supported, not implemented, not defined, not enough values, keyerror,
expecting value, unexpected keyword, positional argument, can only concatenate, no such file,
permission denied, no module named, maximum recursion, max recursion, decode, decoder, decoding,
moov atom, ffmpeg, codec, corrupt, corrupted, empty prompt, empty response, empty output,
empty input, no response, no output, no choices, no candidates, no content, request failed,
request timed, request was, failed to, content filter, content policy, safety, blocked, bad request,
server error, gateway, ssl, certificate, proxy, socket, dns, {'a, 'error': , "message": , "code": ,
0x12ab9f, StrangeError, line 7,in, main.py, https://, http://"""


@pytest.mark.parametrize("words", PROGRAMS_WORDS.replace(",\n", ", ").split(", "))
def test_what_begins_like_a_message_and_has_a_programs_words_is_one(words: str) -> None:
    sentence = "Error: a red door of the house says {} to the boy"
    assert failure_in(sentence.format(words), shown_text=True)
    assert failure_in(sentence.format("hello")) == ""


@pytest.mark.parametrize(
    "end", ["FAILED", "FAILURE", "BLOCKED", "EXCEEDED", "ERROR", "TIMEOUT", "HTTP_ERROR: 3"]
)
def test_a_marker_in_brackets_that_ends_in_a_failure_is_one(end: str) -> None:
    assert failure_in(f"[MODEL_{end}]", shown_text=True)
    assert failure_in(f"[MODEL_{end}] connection refused", shown_text=True)
    assert failure_in(f"[MODEL_{end}] the red door")
    assert failure_in(f"[MODEL_{end}] the red door", shown_text=True) == ""
    assert failure_in(f"[MODEL_{end}] is the sign on the red door") == ""


FIELDS = "object type code status status_code message detail details param request_id success"


@pytest.mark.parametrize("field", FIELDS.split())
@pytest.mark.parametrize("error", ["error", "errors"])
def test_an_object_with_an_error_and_nothing_to_read_is_one(error: str, field: str) -> None:
    assert failure_in(json.dumps({error: "what", field: "x"}), shown_text=True)
    assert failure_in(json.dumps({error: "what", field: "x", "ocr": "y"})) == ""


@pytest.mark.parametrize("finish", ["stop", "eos", "end_turn", "STOP", "FinishReason.STOP"])
def test_a_blank_that_a_model_ended_by_itself_has_no_reason(finish: str) -> None:
    assert model_answer("", "ocr", generation={"finish_reason": finish}).failure == ""
    assert model_answer("", "caption", generation={"finish_reason": finish}).failure == (
        "the model gave no caption"
    )


@pytest.mark.parametrize("nothing", ["", " none ", "None", "null", "NaN", "false"])
def test_an_error_that_states_nothing_is_none(nothing: str) -> None:
    assert reason_of(nothing) == ""


def test_after_error_four_words_are_a_message_and_five_a_sentence() -> None:
    assert failure_in("Error: the clip was odd") == "Error: the clip was odd"
    assert failure_in("Error: the clip was very odd") == ""


def test_a_message_shows_in_its_first_five_hundred_characters_that_it_is_one() -> None:
    assert failure_in("Error: ".ljust(486, "x") + " a b c timeout")
    assert failure_in("Error: ".ljust(487, "x") + " a b c timeout") == ""


def test_reasoning_may_begin_in_an_indented_line() -> None:
    assert model_answer("A cat.\n" + " " * 10 + "<think>hm", "caption").text == "A cat."


def test_what_a_program_writes_for_nothing_is_no_visual_caption() -> None:
    assert model_answer("None", "visual_caption").failure


def test_a_failure_after_reasoning_is_one() -> None:
    assert model_answer("<think>Hm.</think>[LMMS_EVAL_BUDGET_EXCEEDED]", "tone").failure == (
        "[LMMS_EVAL_BUDGET_EXCEEDED]"
    )


def test_a_reason_is_one_line_of_bounded_length() -> None:
    failure = failure_in("Error: no such file\n" + "x " * 5000)
    assert failure.startswith("Error: no such file x x")
    assert len(failure) <= 300


def test_the_message_of_a_reply_without_text_is_pythons_own() -> None:
    """``async_openai`` adds the endpoint's None to a string and keeps what that raises."""
    from lmms_eval.models.chat import async_openai

    assert 'all_response += f"Error: {str(e)}"' in inspect.getsource(async_openai)
    with pytest.raises(TypeError) as raised:
        str.join("", "") + None  # type: ignore[operator]
    assert failure_in(f"Error: {raised.value}")
    assert failure_in(f"Looking at it.{raised.value}")
