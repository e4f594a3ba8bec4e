"""The profile files say what is asked, whole and without contradiction."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ugc_tasks.data.published import FILES
from ugc_tasks.judge.parsing import FRACTION, GRADE, YES_NO
from ugc_tasks.judge.protocol.profiles import PAID_PROFILES, QUESTIONS, rubric_profile, stated

KINDS = {"grade": GRADE, "yes_no": YES_NO, "fraction": FRACTION}
BOTH = pytest.mark.parametrize("profile", PAID_PROFILES)
EVERY = pytest.mark.parametrize("question", QUESTIONS)


def asked_values(entry: Any) -> dict[str, Any]:
    return {name: KINDS[kind] for name, kind in entry["values"].items()}


@BOTH
@EVERY
def test_what_is_kept_of_a_reply_is_what_the_file_has_read(profile: str, question: str) -> None:
    entry = stated(profile, question)
    assert QUESTIONS[question].schema.fields.items() <= asked_values(entry).items()
    assert entry["name"] == profile


@BOTH
@EVERY
def test_the_texts_stand_in_the_order_that_is_stated_and_each_label_begins_one(
    profile: str, question: str
) -> None:
    entry = stated(profile, question)
    places = re.findall(r"(?<!\{)\{(video_id|prediction|reference)\}(?!\})", entry["user"])
    assert places == entry["order"]
    assert {"prediction", "reference"} <= set(places)
    assert all(label in entry["user"] for label in entry["labels"])


@EVERY
def test_the_published_prompts_are_named_with_the_digests_of_the_authors_texts(
    question: str,
) -> None:
    entry = stated("paper", question)
    assert entry["prompts"] == "official"
    assert entry["prompt_sha256"] == FILES[f"prompts/{entry['prompt']}.txt"].sha256
    assert "schema" not in entry


@EVERY
def test_the_rubrics_prompts_have_the_digests_that_are_stated(question: str) -> None:
    assert (
        rubric_profile(question=QUESTIONS[question]).system_sha256
        == (stated("rubric", question)["prompt_sha256"])
    )


@EVERY
def test_our_schema_demands_every_value_and_allows_no_other(question: str) -> None:
    entry = stated("rubric", question)
    schema = entry["schema"]
    assert schema["strict"] is True
    assert schema["schema"]["type"] == "object"
    assert schema["schema"]["additionalProperties"] is False
    assert set(schema["schema"]["required"]) == set(schema["schema"]["properties"])
    assert set(schema["schema"]["required"]) == set(asked_values(entry))


@pytest.mark.parametrize(
    ("profile", "question", "order"),
    [
        ("paper", "caption", ["prediction", "reference"]),
        ("paper", "background", ["reference", "prediction"]),
        ("paper", "objects", ["reference", "prediction"]),
        ("rubric", "caption", ["reference", "prediction"]),
    ],
)
def test_which_text_comes_first_is_as_published(
    profile: str, question: str, order: list[str]
) -> None:
    user = stated(profile, question)["user"]
    assert sorted(order, key=lambda name: user.index(f"{{{name}}}")) == order
