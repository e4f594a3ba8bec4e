"""The profile files say what is asked, whole and without contradiction."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ugc_tasks.judge.protocols
from ugc_tasks.data.official import OFFICIAL_TEXTS
from ugc_tasks.judge.protocols import CHAT_PROFILES, parse_entry, protocol
from ugc_tasks.judge.questions import QUESTIONS

FOLDER = Path(ugc_tasks.judge.protocols.__file__).parent
BOTH = pytest.mark.parametrize("profile", CHAT_PROFILES)
EVERY = pytest.mark.parametrize("question", QUESTIONS)


def content(profile: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"profile_{profile}.toml").read_text())


@BOTH
@EVERY
def test_what_is_kept_of_a_reply_is_what_the_file_has_read(profile: str, question: str) -> None:
    stated, asked = protocol(profile, question), QUESTIONS[question]
    assert asked.form.fields.items() <= stated.form.fields.items()
    assert stated.profile == profile


@EVERY
def test_the_published_prompts_are_named_with_the_digests_of_the_authors_texts(
    question: str,
) -> None:
    stated = protocol("paper", question)
    assert stated.official
    assert stated.prompt_sha256 == OFFICIAL_TEXTS[stated.prompt].text_sha256
    assert stated.response_format is None


@EVERY
def test_our_schema_demands_every_value_and_allows_no_other(question: str) -> None:
    stated = protocol("rubric", question)
    assert stated.response_format is not None
    schema = stated.response_format["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["type"] == "object"
    assert schema["schema"]["additionalProperties"] is False
    assert set(schema["schema"]["required"]) == set(schema["schema"]["properties"])
    assert set(schema["schema"]["required"]) == set(stated.form.names)


@pytest.mark.parametrize(
    ("profile", "question", "order"),
    [
        ("paper", "caption", ["prediction", "reference"]),
        ("paper", "background", ["reference", "prediction"]),
        ("paper", "objects", ["reference", "prediction"]),
        ("rubric", "caption", ["reference", "prediction"]),
    ],
)
def test_the_order_of_the_texts_is_stated(profile: str, question: str, order: list[str]) -> None:
    user = protocol(profile, question).user
    assert sorted(order, key=lambda name: user.index(f"{{{name}}}")) == order


Breaking = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (lambda entry: entry.update(order=["reference", "prediction"]), "another order"),
        (lambda entry: entry.update(labels=["Truth:"]), "a label is not in"),
        (lambda entry: entry.update(values={"visual": "grade"}), "the schema asks for other"),
        (lambda entry: entry["schema"]["schema"].update(required=["visual"]), "leaves values out"),
        (
            lambda entry: entry["values"].update(audio="fraction"),
            "the values are not the question's",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_not_used(breaking: Breaking, said: str) -> None:
    whole = copy.deepcopy(content("rubric"))
    entry = whole["questions"]["caption"]
    entry |= {"user": "Said: {prediction}\nMeant: {reference}\n", "labels": ["Said:", "Meant:"]}
    entry["order"] = ["prediction", "reference"]
    parse_entry(whole, "caption", "file")
    breaking(entry)
    with pytest.raises(ValueError, match=f"file, caption: .*{said}"):
        parse_entry(whole, "caption", "file")
