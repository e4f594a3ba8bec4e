"""A question fixes what the judge is asked and what of its reply is kept."""

from __future__ import annotations

import pytest

from ugc_tasks.judge.protocol.profiles import QUESTIONS, UnknownQuestionError, question_named


def test_five_questions_can_be_judged_and_keep_these_values() -> None:
    assert {name: question.schema.names for name, question in QUESTIONS.items()} == {
        "caption": ("visual", "audio", "details"),
        "background": ("consistent",),
        "objects": ("match_score",),
        "audio_caption": ("audio",),
        "visual_caption": ("visual",),
    }


def test_a_label_tells_the_question_unless_it_is_the_main_one_and_what_is_ours() -> None:
    assert {name: question.tag for name, question in QUESTIONS.items()} == {
        "caption": "",
        "background": ":background",
        "objects": ":objects",
        "audio_caption": ":audio_caption(ours)",
        "visual_caption": ":visual_caption(ours)",
    }


def test_an_unknown_question_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownQuestionError, match=r"'colour'.*caption, background, objects"):
        question_named("colour")
