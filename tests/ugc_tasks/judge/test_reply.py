"""A judge's reply is read strictly: three whole numbers from 1 to 5, said once, or a failure."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ugc_tasks.judge.reply import ReplyError, Scores, parse_reply

GOOD = Scores(4, 3, 5)


@pytest.mark.parametrize(
    "reply",
    [
        "{'visual': 4, 'audio': 3, 'details': 5}",
        '{"visual": 4, "audio": 3, "details": 5}',
        "```python\n{'visual': 4, 'audio': 3, 'details': 5}\n```",
        '```json\n{\n  "visual": 4,\n  "audio": 3,\n  "details": 5\n}\n```\n',
        "It's the judge's view: {'visual': 4, 'audio': 3, 'details': 5} - that's all, isn't it?",
        '{"visual": 4.0, "audio": "3", "details": 5}',
        '{"visual": 4, "audio": 3, "details": 5, "why": "it isn\'t {all} there"}',
        "{'visual': 4, 'audio': 3, 'details': 5, 'why': 'it isn\\'t } there'}",
        '{"scores": {"visual": 4, "audio": 3, "details": 5}}',
        "{'visual': 4, 'audio': 3, 'details': 5}, so {'details': 5, 'audio': 3, 'visual': 4}",
        "The set {a, b} is prose. {'visual': 4, 'audio': 3, 'details': 5}",
    ],
)
def test_scores_are_found_however_the_judge_wraps_them(reply: str) -> None:
    assert parse_reply(reply) == GOOD


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("I'm sorry, I can't help with that.", "no object"),
        ("visual: 4, audio: 3, details: 5", "no object"),
        ("{'visual': 4, 'audio': 3}", "no object"),
        ("{'visual': 4, 'audio': 3, 'details': 5", "no object"),
        ("{'Visual': 4, 'Audio': 3, 'Details': 5}", "no object"),
        ("{'visual': 0, 'audio': 3, 'details': 5}", "visual is not"),
        ("{'visual': 4, 'audio': 6, 'details': 5}", "audio is not"),
        ("{'visual': 4, 'audio': 3, 'details': 3.5}", "details is not"),
        ("{'visual': True, 'audio': 3, 'details': 5}", "visual is not"),
        ('{"visual": true, "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": null, "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": NaN, "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": "4/5", "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": "４", "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": [4], "audio": 3, "details": 5}', "visual is not"),
        ('{"visual": -4, "audio": 3, "details": 5}', "visual is not"),
        ("{'visual': 2+2, 'audio': 3, 'details': 5}", "no object"),
        ("{'visual': int('4'), 'audio': 3, 'details': 5}", "no object"),
        ("{'visual': __import__('os').getpid(), 'audio': 3, 'details': 5}", "no object"),
        ('{"visual": 1, "visual": 5, "audio": 3, "details": 5}', "twice"),
        ("{'visual': 1, 'visual': 5, 'audio': 3, 'details': 5}", "twice"),
        (
            "{'visual': 5, 'audio': 5, 'details': 5} {'visual': 1, 'audio': 1, 'details': 1}",
            "different scores",
        ),
        ("{" * 1000, "opening braces"),
        ("{'visual': 4, 'audio': 3, 'details': 5}" + " " * 70_000, "longer than"),
    ],
)
def test_anything_else_is_a_failure_with_a_short_reason(reply: str, reason: str) -> None:
    with pytest.raises(ReplyError, match=reason) as caught:
        parse_reply(reply)
    assert len(str(caught.value)) < 80


@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.sampled_from([json.dumps, repr]),
    st.text(st.characters(exclude_characters="{}")),
    st.text(st.characters(exclude_characters="{}")),
)
@example((1, 2, 3), repr, "it's", "don't")
def test_prose_around_the_scores_changes_nothing(
    values: tuple[int, int, int], write: object, before: str, after: str
) -> None:
    scores = dict(zip(("visual", "audio", "details"), values, strict=True))
    assert callable(write)
    assert parse_reply(before + write(scores) + after) == Scores(*values)


@given(st.integers().filter(lambda n: not 1 <= n <= 5), st.sampled_from([json.dumps, repr]))
def test_no_number_outside_the_scale_becomes_a_score(number: int, write: object) -> None:
    assert callable(write)
    with pytest.raises(ReplyError):
        parse_reply(write({"visual": 3, "audio": number, "details": 3}))


_PIECES = [
    "{",
    "}",
    "'",
    '"',
    "\\",
    ":",
    ",",
    "[",
    "(",
    "visual",
    "audio",
    "details",
    "4",
    "0",
    " ",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)))
def test_no_text_does_more_than_fail(reply: str) -> None:
    try:
        scores = parse_reply(reply)
    except ReplyError:
        return
    assert {scores.visual, scores.audio, scores.details} <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "piece", ["{", '{"a":', "{'", '{"\\"', '\\"', "'", "{}", "[", "{'a':(", "-", "1"]
)
def test_a_reply_made_to_be_slow_is_refused_in_bounded_time(piece: str) -> None:
    hostile = "{'x': " + (piece * 32_000)[:32_000]
    started = time.perf_counter()
    with pytest.raises(ReplyError):
        parse_reply(hostile)
    assert time.perf_counter() - started < 3
