"""Reading a judge's reply, which is hostile text: it may say whatever the caption told it to.

The rule. Every object in the text counts that has all values of the form asked for (``forms.py``),
written as JSON, as a Python dictionary or nearly so (``literal.py``), fenced or not, with any prose
around it. An object inside another counts where the outer one lacks a value; text inside a string
never does, since it may be the caption that is quoted. What counts has to agree:

==============================================  =================================================
an integer, 4.0, "4"                            the grade 4
3.5, 6, 0, -4, true, null, NaN, "four", "4/5"   a failure: nothing is rounded, cut or guessed
a value that is missing                         the object does not count; a failure if none does
values beside those asked for                   passed over
a value stated twice in one object              a failure, also where both are the same
several objects with the same scores            those scores
several that differ, or one of them off scale   a failure: nothing says which was meant
one that states only a part, differently        a failure, for the same reason
==============================================  =================================================

A judge may think aloud first: what stands between ``<think>`` at the beginning of the text and
the first ``</think>`` is not read. Where the opening mark is in the prompt and so not in the reply,
what precedes ``</think>`` is not read either, but for an object with other scores: that may be the
answer of a judge that quotes a caption afterwards.

A reply that was cut by its token limit counts if its object is complete: what else would have come
is not asked for. One that declines does not count, whatever is in it.

Failures are asked again. Other questions than captions have other values; ``forms.py`` says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ugc_tasks.judge.forms import CAPTION, DIMENSIONS, Form
from ugc_tasks.judge.literal import Object, read_object
from ugc_tasks.judge.scores import Scores

__all__ = ["DIMENSIONS", "ChatReply", "ReplyError", "Scores", "parse_reply", "read_reply"]

_MAX_CHARS = 32 * 1024
_MAX_OBJECTS = 16
_SHOWN = 120  # characters of a refusal
_OPENED = re.compile(r"\s*(?:<(think|thinking|thought|reasoning)>|\[(think)\])", re.IGNORECASE)
_CLOSED = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/think\]", re.IGNORECASE)


@dataclass(frozen=True)
class ChatReply:
    """One answer of the judge as it came, with what the endpoint said about it.

    ``lacks`` is why its text is no answer (it declines, or there is none); None where it may be.
    """

    text: str
    finish_reason: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    lacks: str | None = None


class ReplyError(ValueError):
    """The reply holds no usable scores; the message is a short reason without the reply's text."""


def read_reply(reply: ChatReply, form: Form = CAPTION) -> Scores:
    """Return the scores of ``form`` that a judge's reply states, or raise ``ReplyError``."""
    if reply.lacks is not None:
        said = " ".join(reply.text.split())
        said = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        raise ReplyError(f"{reply.lacks}: {said}" if said else reply.lacks)
    try:
        return parse_reply(reply.text, form)
    except ReplyError as error:
        why = _STOPPED.get(reply.finish_reason or "")
        raise ReplyError(f"{why} ({error})" if why else str(error)) from None


_STOPPED = {
    "length": "the reply was cut by its token limit",
    "max_tokens": "the reply was cut by its token limit",
    "content_filter": "the reply was stopped by a content filter",
}


def parse_reply(text: str, form: Form = CAPTION) -> Scores:
    """Return the scores of ``form`` that ``text`` states, or raise ``ReplyError``.

    Takes time linear in the text, which may have 32,768 characters and 16 opening braces, not
    counting what the judge thinks aloud before it.
    """
    thought, answer = _without_thinking(text)
    if not answer.strip():
        raise ReplyError("the reply is empty")
    if len(answer) > _MAX_CHARS:
        raise ReplyError(f"the reply is longer than {_MAX_CHARS} characters")
    scores = _scores(answer, form)
    if scores is None and thought:  # it is quoted, then, in an object's text
        scores, thought = _scores(text, form), ""
    if scores is None:
        raise ReplyError(f"the reply has no object with {_listed(form.names)}")
    if thought and _scores(thought, form) not in (None, scores):
        raise ReplyError(_DIFFERENT)
    return scores


_DIFFERENT = "the reply has several objects with different scores"


def _without_thinking(text: str) -> tuple[str, str]:
    """Return what may be thinking or not, and the answer."""
    opened, closed = _OPENED.match(text), _CLOSED.search(text)
    if opened and not closed:
        raise ReplyError("the reply ends while the judge thinks")
    if not closed:
        return "", text
    return "" if opened else text[: closed.start()], text[closed.end() :]


def _scores(text: str, form: Form) -> Scores | None:
    """Return what the objects in ``text`` that have all values agree on; None without any."""
    whole: list[dict[str, float]] = []
    partial: list[dict[str, float]] = []
    for candidate in _objects(text, form):
        values = _values(candidate, form)
        (whole if len(values) == len(form.names) else partial).append(values)
    if not whole:
        return None
    if any(whole[0][name] != value for values in whole + partial for name, value in values.items()):
        raise ReplyError(_DIFFERENT)
    return Scores(**whole[0])


def _objects(text: str, form: Form) -> Iterator[Object]:
    """Yield the text's objects, outermost first; not those inside one that has all values."""
    start = text.find("{")
    seen = 0
    while start >= 0:
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ReplyError(f"the reply has more than {_MAX_OBJECTS} opening braces")
        read = read_object(text, start)
        if read is None:  # prose, or a wrapper that is none: an object may be inside it
            start = text.find("{", start + 1)
            continue
        outermost, end = read
        left = [outermost]
        while left:
            candidate = left.pop(0)
            yield candidate
            if not set(form.names) <= {name for name, _ in candidate.pairs}:
                left += candidate.objects()
        start = text.find("{", end)


def _values(candidate: Object, form: Form) -> dict[str, float]:
    """Return the values of the form that an object states."""
    values: dict[str, float] = {}
    for name, stated in candidate.pairs:
        kind = form.fields.get(name)
        if kind is None:
            continue
        value = kind.read(stated)
        if name in values:
            raise ReplyError("the reply states a value twice")
        if value is None:
            raise ReplyError(f"{name} is not {kind.meaning}")
        values[name] = value
    return values


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
