"""A question fixes what the judge is asked and what of its reply is kept."""

from __future__ import annotations

import pytest

from ugc_tasks.judge.protocol.profiles import (
    QUESTIONS,
    UnknownQuestionError,
    paper_profile,
    question_named,
)


def test_five_questions_can_be_judged_and_keep_these_values() -> None:
    assert {name: question.schema.names for name, question in QUESTIONS.items()} == {
        "caption": ("visual", "audio", "details"),
        "background": ("consistent",),
        "objects": ("match_score",),
        "audio_caption": ("audio",),
        "visual_caption": ("visual",),
    }


def test_a_label_tells_the_question_unless_it_is_the_main_one_and_what_is_ours() -> None:
    labels = [paper_profile("Grade.", "m", question).label for question in QUESTIONS.values()]
    assert [label.partition("/")[0] for label in labels] == [
        "paper",
        "paper:background",
        "paper:objects",
        "paper:audio_caption(ours)",
        "paper:visual_caption(ours)",
    ]


def test_an_unknown_question_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownQuestionError, match=r"'colour'.*caption, background, objects"):
        question_named("colour")
