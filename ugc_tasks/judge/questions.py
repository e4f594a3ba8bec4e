"""What is judged: the kinds of answers, and what of a judgment of each is kept.

A question says *what* is judged; a profile (``profiles.py`` and its files) says who judges it, how,
and in which words.
``caption``, ``background`` and ``objects`` have a published protocol. ``audio_caption`` and
``visual_caption`` have references but no published score: they are asked as captions are, against
the reference of the one modality, and only the dimension that it can speak to is kept (``details``
asks whether picture and sound are tied together, which such a reference cannot tell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ugc_tasks.common.display import UserError
from ugc_tasks.judge.forms import CAPTION, FRACTION, YES_NO, Form


class UnknownQuestionError(UserError, ValueError):
    """The judge knows no question of that name."""


@dataclass(frozen=True)
class Question:
    """A kind of answer that can be judged.

    Attributes:
        name: its name in ``open_judge``, in labels and in the store.
        form: the values of a judgment that are kept.
        asked_as: the question of the profile files whose prompts it shares; often its own name.
        subject: what is judged, in messages.
        published: whether the authors published a score for it.
        has_estimate: whether the free estimate was made for it.
    """

    name: str
    form: Form
    asked_as: str
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
        asked_as="caption",
        subject="caption",
        published=whole,
        has_estimate=whole,
    )


QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {
        question.name: question
        for question in (
            _caption("caption"),
            Question("background", Form({"consistent": YES_NO}), "background"),
            Question("objects", Form({"match_score": FRACTION}), "objects"),
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
