"""What is judged: for each kind of answer the judge's task, the words around it, and its reply.

A question says *what* is judged; a profile (``profiles.py``) says who judges it and how.
``caption``, ``background`` and ``objects`` have a published protocol. ``audio_caption`` and
``visual_caption`` have references but no published score: they are asked as captions are, against
the reference of the one modality, and only the dimension that it can speak to is kept (``details``
asks whether picture and sound are tied together, which such a reference cannot tell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ugc_tasks.judge.forms import CAPTION, FRACTION, YES_NO, Form

# The user messages of the authors' scripts, byte for byte. Every script strips both texts first.
_CAPTION_USER = (  # eval_caption.py
    "Sample ID: {video_id}\n"
    "Predicted Description: {prediction}\n"
    "Ground Truth Description: {reference}\n"
)
_BACKGROUND_USER = (  # results/background/background.py
    "Sample ID: {video_id}\n\n"
    "Ground Truth (answer): {reference}\n\n"
    "Prediction (predict): {prediction}\n"
)
_OBJECTS_USER = (  # results/object/object.py
    "Sample ID: {video_id}\n\n"
    "Answer:\n{reference}\n\n"
    "Predict:\n{prediction}\n\n"
    "IMPORTANT: Only return a plain JSON object like:\n"
    '{{"match_score": 0.67}}\n'
    "Do not add any explanation, comment, or markdown formatting such as ```json."
)


class UnknownQuestionError(ValueError):
    """The judge knows no question of that name."""


@dataclass(frozen=True)
class Question:
    """A kind of answer that can be judged.

    Attributes:
        name: its name in ``open_judge``, in labels and in the store.
        form: the values of a judgment that are kept.
        asked: the form of the reply that the judge is asked for; ``form`` is it or a part of it.
        official: name of the authors' system text (``ugc_tasks.data.official``).
        paper_user: the authors' user message, with places for the texts.
        paper_temperature: the authors' temperature.
        rubric: file with our own system text.
        rubric_schema: name of the reply's schema in our own request.
        subject: what is judged, in messages.
        published: whether the authors published a score for it.
        has_estimate: whether the free estimate was made for it.
    """

    name: str
    form: Form
    asked: Form
    official: str
    paper_user: str = field(repr=False)
    paper_temperature: float
    rubric: str
    rubric_schema: str
    subject: str = "answer"
    published: bool = True
    has_estimate: bool = False

    @property
    def tag(self) -> str:
        """What a label says of the question: nothing for captions, the benchmark's main task."""
        if self.name == "caption":
            return ""
        return f":{self.name}" if self.published else f":{self.name}(ours)"


def _caption(name: str, *kept: str) -> Question:
    whole = not kept
    return Question(
        name=name,
        form=CAPTION if whole else CAPTION.only(*kept),
        asked=CAPTION,
        official="caption_judge_system",
        paper_user=_CAPTION_USER,
        paper_temperature=1,
        rubric="rubric_system.txt",
        rubric_schema="caption_grades",
        subject="caption",
        published=whole,
        has_estimate=whole,
    )


def _detail(name: str, form: Form, official: str, user: str, schema: str) -> Question:
    return Question(
        name=name,
        form=form,
        asked=form,
        official=official,
        paper_user=user,
        paper_temperature=0,
        rubric=f"rubric_{name}_system.txt",
        rubric_schema=schema,
    )


QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {
        question.name: question
        for question in (
            _caption("caption"),
            _detail(
                "background",
                Form({"consistent": YES_NO}),
                "background_judge_system",
                _BACKGROUND_USER,
                "background_verdict",
            ),
            _detail(
                "objects",
                Form({"match_score": FRACTION}),
                "objects_judge_system",
                _OBJECTS_USER,
                "objects_found",
            ),
            _caption("audio_caption", "audio"),
            _caption("visual_caption", "visual"),
        )
    }
)


def question_named(name: str) -> Question:
    """Return the question ``name``, or raise ``UnknownQuestionError`` with the names there are."""
    try:
        return QUESTIONS[name]
    except KeyError:
        raise UnknownQuestionError(
            f"the judge knows no question {name!r}; the questions are {', '.join(QUESTIONS)}"
        ) from None
