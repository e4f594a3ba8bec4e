"""A judge's reply is read strictly: the values asked for, on their scale, once, or a failure."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.grades import grades
from tests.support.growth import assert_linear
from tests.support.replies import write
from ugc_tasks.judge.parsing import ReplyError, ResponseSchema, parse_reply
from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.types import Scores

BACKGROUND = QUESTIONS["background"].schema
OBJECTS = QUESTIONS["objects"].schema
AUDIO = QUESTIONS["audio_caption"].schema
GOOD = grades(4, 3, 5)


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
        "{'visual': 4, 'audio': 3, 'details': 5,}",
        "{'visual': 4, 'audio': 3, 'details': 5, 'why': 'it isn't there'}",
        "[{'visual': 4, 'audio': 3, 'details': 5}]",
        "{'visual': 4} at first sight, then {'visual': 4, 'audio': 3, 'details': 5}",
        "The caption says \"{'visual': int}\". {'visual': 4, 'audio': 3, 'details': 5}",
        "{'why': \"it claims {'visual': 5, 'audio': 5, 'details': 5}\", 'visual': 4, 'audio': 3, "
        "'details': 5}",
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
        ("{'visual': 2} at first, {'visual': 4, 'audio': 3, 'details': 5}", "different scores"),
        (
            "{'a': {'visual': 4, 'audio': 3, 'details': 5}, 'b': {'visual': 1, 'audio': 1, "
            "'details': 1}}",
            "different scores",
        ),
        ("{\"why\": \"it says {'visual': 5, 'audio': 5, 'details': 5}\"}", "no object"),
        ('{"visual": 1, "vis\\u0075al": 5, "audio": 3, "details": 5}', "twice"),
        ("{'visual': " + "9" * 9_000 + ", 'audio': 3, 'details': 5}", "visual is not"),
        ("{'visual': " + "[" * 9_000 + "4, 'audio': 3, 'details': 5}", "no object"),
        ("{" * 1000, "opening braces"),
        ("{'visual': 4, 'audio': 3, 'details': 5}" + " " * 70_000, "longer than"),
    ],
)
def test_anything_else_is_a_failure_with_a_short_reason(reply: str, reason: str) -> None:
    with pytest.raises(ReplyError, match=reason) as caught:
        parse_reply(reply)
    assert len(str(caught.value)) < 80


_NO_BRACES = st.characters(exclude_characters="{}")


@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.sampled_from([json.dumps, repr]),
    st.text(_NO_BRACES),
    st.text(_NO_BRACES),
)
@example((1, 2, 3), repr, "it's", "don't")
def test_prose_around_the_scores_changes_nothing(
    values: tuple[int, int, int], write: object, before: str, after: str
) -> None:
    scores = dict(zip(("visual", "audio", "details"), values, strict=True))
    assert callable(write)
    assert parse_reply(before + write(scores) + after) == grades(*values)


@given(st.integers().filter(lambda n: not 1 <= n <= 5), st.sampled_from([json.dumps, repr]))
def test_no_number_outside_the_scale_becomes_a_score(number: int, write: object) -> None:
    assert callable(write)
    with pytest.raises(ReplyError):
        parse_reply(write({"visual": 3, "audio": number, "details": 3}))


@pytest.mark.parametrize("part", range(10))
def test_of_ten_thousand_replies_each_is_read_as_it_was_meant_or_is_a_failure(part: int) -> None:
    for seed in range(1000 * part, 1000 * (part + 1)):
        reply, meant = write(random.Random(seed))
        try:
            said = parse_reply(reply)
        except ReplyError:
            assert meant is None, (seed, reply)
        else:
            assert meant is not None, (seed, reply)
            assert said == grades(*meant), (seed, reply)


def test_the_ten_thousand_are_of_every_kind() -> None:
    replies = [write(random.Random(seed)) for seed in range(10_000)]
    assert 0.4 < sum(meant is not None for _, meant in replies) / len(replies) < 0.7
    for needed in ("```", "isn't", ",}", "NaN", "3.5", '"4"', "true", "int(", "\\u0061"):
        assert sum(needed in reply for reply, _ in replies) > 20, needed


# ---- thinking aloud ----

OTHER = "{'visual': 1, 'audio': 1, 'details': 1}"
ONE = "{'visual': 4, 'audio': 3, 'details': 5}"


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>perhaps {OTHER}, or {{'visual': 9}}</think>{ONE}",
        f" \n<THINK>{OTHER}</THINK>\n\n```json\n{ONE}\n```",
        f"<thinking>{OTHER}</thinking> {ONE}",
        f"<thought>{OTHER}</thought> {ONE}",
        f"<reasoning>{OTHER}</reasoning> {ONE}",
        f"[THINK]{OTHER}[/THINK]{ONE}",
        f"<think>{'{' * 100}{'x' * 40_000}</think>{ONE}",
        # The opening mark is a part of the prompt.
        f"the picture is {{'visual': 2}} or so </think> {ONE}",
        f"perhaps {ONE}</think>{ONE}",
        # No thinking at all: the caption is quoted.
        '{"why": "it says </think>", "visual": 4, "audio": 3, "details": 5}',
        f"{ONE} (the caption has <think> in it)",
    ],
    ids=lambda reply: reply[:30],
)
def test_the_object_after_the_thinking_counts(reply: str) -> None:
    assert parse_reply(reply) == GOOD


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (f"<think>{ONE}", "ends while the judge thinks"),
        (f"<think>{ONE} and so", "ends while the judge thinks"),
        (f"<think>{ONE}</think>", "the reply is empty"),
        (f"<think>{ONE}</think>no", "no object"),
        # What looks like the end of thinking may be a caption's, which the judge quotes.
        (f"<think>it says </think>{OTHER}</think>{ONE}", "different scores"),
        (f'{OTHER} because it says "</think>{ONE}"', "different scores"),
        (f'{OTHER} for {"{" * 20} "</think>{ONE}"', "opening braces"),
        (f'{{"visual": 1, "visual": 1}} "</think>{ONE}"', "twice"),
        (f"<think>x</think>{ONE}{' ' * 40_000}", "longer than 32768"),
    ],
    ids=lambda text: text[:30],
)
def test_thinking_that_hides_an_answer_or_has_none_after_it_is_a_failure(
    reply: str, reason: str
) -> None:
    with pytest.raises(ReplyError, match=reason):
        parse_reply(reply)


def test_a_reply_may_have_so_many_characters_and_braces_and_no_more() -> None:
    prose = "{ " * 15
    assert parse_reply(prose + ONE) == GOOD
    with pytest.raises(ReplyError, match="more than 16 opening braces"):
        parse_reply("{ " + prose + ONE)
    assert parse_reply(ONE + " " * (32_768 - len(ONE))) == GOOD
    with pytest.raises(ReplyError, match="longer than 32768"):
        parse_reply(ONE + " " * (32_769 - len(ONE)))


# ---- the other questions ----


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"consistent": "yes"}', 1.0),
        ("{'consistent': 'No'}", 0.0),
        ('```json\n{"consistent": "no"}\n```', 0.0),
        ('Both stay indoors, it\'s {"consistent": "YES", "why": "same {room}"}.', 1.0),
    ],
)
def test_a_verdict_on_the_background_is_yes_or_no(reply: str, value: float) -> None:
    assert parse_reply(reply, BACKGROUND) == Scores(consistent=value)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"match_score": 0.67}', 0.67),
        ('{"match_score": 1}', 1.0),
        ('{"match_score": "2/3"}', 2 / 3),
        ("```json\n{'match_score': '0.50'}\n```", 0.5),
        ('Two of three: {"match_score": 0.67} {"match_score": 0.67}', 0.67),
    ],
)
def test_a_share_of_the_objects_is_a_fraction(reply: str, value: float) -> None:
    assert parse_reply(reply, OBJECTS) == Scores(match_score=value)


@pytest.mark.parametrize(
    ("reply", "schema", "reason"),
    [
        ("", BACKGROUND, "empty"),
        ("yes", BACKGROUND, "no object with consistent"),
        ('{"consistent": true}', BACKGROUND, 'consistent is not "yes" or "no"'),
        ('{"consistent": "maybe"}', BACKGROUND, "consistent is not"),
        ('{"consistent": "yes"} or {"consistent": "no"}', BACKGROUND, "different scores"),
        ('{"consistent": "no", "consistent": "yes"}', BACKGROUND, "twice"),
        ('{"visual": 4, "audio": 3, "details": 5}', BACKGROUND, "no object with consistent"),
        ("0.67", OBJECTS, "no object with match_score"),
        ('{"match_score": 2/3}', OBJECTS, "no object"),
        ('{"match_score": NaN}', OBJECTS, "match_score is not a fraction from 0 to 1"),
        ('{"match_score": Infinity}', OBJECTS, "match_score is not"),
        ('{"match_score": 1e999}', OBJECTS, "match_score is not"),
        ('{"match_score": -0.1}', OBJECTS, "match_score is not"),
        ('{"match_score": 1.5}', OBJECTS, "match_score is not"),
        ('{"match_score": 67}', OBJECTS, "match_score is not"),
        ('{"match_score": true}', OBJECTS, "match_score is not"),
        ('{"match_score": 0.5} {"match_score": 0.6}', OBJECTS, "different scores"),
        ('{"visual": 4, "details": 5}', AUDIO, "no object with audio"),
    ],
)
def test_any_other_reply_is_a_failure_there_too(
    reply: str, schema: ResponseSchema, reason: str
) -> None:
    with pytest.raises(ReplyError, match=reason) as caught:
        parse_reply(reply, schema)
    assert len(str(caught.value)) < 80


def test_of_an_audio_caption_only_the_sound_counts() -> None:
    # What a judge says of a picture that the reference does not have is not read at all.
    assert parse_reply("{'visual': 'n/a', 'audio': 3, 'details': 0}", AUDIO) == Scores(audio=3)
    reply = "{'visual': 1, 'audio': 3, 'details': 2} {'visual': 5, 'audio': 3, 'details': 2}"
    assert parse_reply(reply, AUDIO) == Scores(audio=3)


@given(st.floats(0, 1), st.sampled_from([json.dumps, repr]), st.text(_NO_BRACES))
def test_every_share_is_read_as_it_was_written(share: float, write: object, prose: str) -> None:
    assert callable(write)
    reply = prose + write({"match_score": share}) + prose
    assert parse_reply(reply, OBJECTS) == Scores(match_score=share)


@given(st.floats().filter(lambda x: not 0 <= x <= 1), st.sampled_from([json.dumps, repr]))
def test_no_number_off_the_scale_becomes_a_share(number: float, write: object) -> None:
    assert callable(write)
    with pytest.raises(ReplyError):
        parse_reply(write({"match_score": number}), OBJECTS)


@given(st.sampled_from([BACKGROUND, OBJECTS, AUDIO]), st.data())
def test_no_text_does_more_than_fail_for_any_form(
    schema: ResponseSchema, data: st.DataObject
) -> None:
    words = [*schema.names, *_PIECES, "yes", "no", "0.5", "2/3", "NaN", "1"]
    reply = data.draw(st.lists(st.sampled_from(words), max_size=40).map("".join))
    try:
        scores = parse_reply(reply, schema)
    except ReplyError:
        return
    assert set(scores) == set(schema.names)
    assert all(0 <= value <= 5 for value in scores.values())


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
    assert set(scores.values()) <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "piece", ["{", '{"a":', "{'", '{"\\"', '\\"', "'", "{}", "[", "{'a':(", "-", "1"]
)
def test_time_grows_with_the_reply_and_not_with_its_square(piece: str) -> None:
    def refused(hostile: str) -> None:
        with pytest.raises(ReplyError):
            parse_reply(hostile)

    short, long = ("{'x': " + (piece * size)[:size] for size in (3_000, 32_000))
    assert_linear(refused, short, long)


def test_a_closing_mark_in_what_an_object_quotes_ends_no_thinking() -> None:
    quoted = "{'visual': 1, 'audio': 1, 'details': 1} </think>"
    text = f'{{"visual": 4, "audio": 3, "details": 5, "why": "it says {quoted}, says it"}}'
    assert parse_reply(text) == grades(4, 3, 5)
