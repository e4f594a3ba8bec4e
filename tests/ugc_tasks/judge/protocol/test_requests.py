"""A judgment is kept under what determines it, and a request is built once."""

from __future__ import annotations

import dataclasses

from ugc_tasks.judge.protocol.profiles import QUESTIONS, JudgeRequests, judgment_key, paper_profile
from ugc_tasks.judge.types import JudgeItem

ITEM = JudgeItem("PI-1", "A caption.", "A reference.")
REQUESTS = JudgeRequests(paper_profile("Grade."), "api.example.com/v1")


def test_a_request_is_the_profiles() -> None:
    expected = paper_profile("Grade.").request(ITEM.video_id, ITEM.prediction, ITEM.reference)
    assert REQUESTS.body(ITEM) == expected


def test_repeats_share_a_request_and_have_keys_of_their_own() -> None:
    again = dataclasses.replace(ITEM, repeat=2)
    assert REQUESTS.body(again) == REQUESTS.body(ITEM)
    assert REQUESTS.key(again) != REQUESTS.key(ITEM)


def test_another_answer_endpoint_or_prompt_is_another_key() -> None:
    others = {
        REQUESTS.key(dataclasses.replace(ITEM, prediction="Another.")),
        JudgeRequests(paper_profile("Grade."), "elsewhere.example.com/v1").key(ITEM),
        JudgeRequests(paper_profile("Grade strictly."), "api.example.com/v1").key(ITEM),
    }
    assert len(others | {REQUESTS.key(ITEM)}) == 4


def test_the_key_changes_with_everything_that_determines_a_judgment() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    others = [
        paper_profile("Grade!").request("PI-1", "caption", "reference"),
        paper_profile("Grade.", "other").request("PI-1", "caption", "reference"),
        paper_profile("Grade.").request("PI-2", "caption", "reference"),
        paper_profile("Grade.").request("PI-1", "Caption", "reference"),
        paper_profile("Grade.").request("PI-1", "caption", "Reference"),
        body | {"temperature": 0},
        body | {"seed": 1},
    ]
    keys = [judgment_key("host/v1", body), judgment_key("host:1/v1", body)]
    keys += [judgment_key("host/v1", other) for other in others]
    assert len(set(keys)) == 9
    assert judgment_key("host/v1", dict(reversed(body.items()))) == keys[0]


def test_the_same_request_for_another_question_is_another_judgment() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    keys = {judgment_key("host/v1", body, name) for name in QUESTIONS}
    assert len(keys) == len(QUESTIONS)


def test_each_repeat_is_another_judgment_and_the_first_keeps_the_key_that_it_had() -> None:
    body = paper_profile("Grade.").request("PI-1", "caption", "reference")
    for question in ("caption", "objects"):
        keys = [judgment_key("host/v1", body, question, repeat) for repeat in range(4)]
        assert len(set(keys)) == 4
        assert keys[0] == judgment_key("host/v1", body, question)
        assert keys[2] == judgment_key("host/v1", body, question, 2)


def test_a_caption_keeps_the_key_that_it_had_when_there_was_no_other_question() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "é"}]}
    assert judgment_key("host/v1", body, "caption") == judgment_key("host/v1", body)
    assert judgment_key("host/v1", body) == (
        "c2a4238423fd62cd50f73c58385e83d18ad15678d2f9a806570abb3357de26f1"
    )
