"""A judgment is kept under what determines it, and a request is built once."""

from __future__ import annotations

import dataclasses

from ugc_tasks.judge.judgment import JudgeItem
from ugc_tasks.judge.profiles import paper_profile
from ugc_tasks.judge.requests import Requests

ITEM = JudgeItem("PI-1", "A caption.", "A reference.")
REQUESTS = Requests(paper_profile("Grade."), "api.example.com/v1")


def test_a_request_is_the_profiles() -> None:
    expected = paper_profile("Grade.").request(ITEM.video_id, ITEM.prediction, ITEM.reference)
    assert REQUESTS.body(ITEM) == expected


def test_repeats_share_a_request_and_have_keys_of_their_own() -> None:
    again = dataclasses.replace(ITEM, repeat=2)
    assert REQUESTS.body(again) is REQUESTS.body(ITEM)
    assert REQUESTS.key(again) != REQUESTS.key(ITEM)


def test_another_answer_endpoint_or_prompt_is_another_key() -> None:
    others = {
        REQUESTS.key(dataclasses.replace(ITEM, prediction="Another.")),
        Requests(paper_profile("Grade."), "elsewhere.example.com/v1").key(ITEM),
        Requests(paper_profile("Grade strictly."), "api.example.com/v1").key(ITEM),
    }
    assert len(others | {REQUESTS.key(ITEM)}) == 4
