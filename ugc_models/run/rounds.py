"""Requests in rounds: what a task asks next, once it has seen the answers so far.

lmms-eval's protocol (``generate_until_multi_round``): a task's ``doc_to_messages`` gives the first
round of a document by itself. For the next one it is given the answers so far and what it said for
itself, and gives messages, whether that was all, the answers as it wants them, and what it wants
to be told the next time. A request of ``generate_until`` has one round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmms_eval.api.instance import Instance

from ugc_models.captions import Caption
from ugc_models.engine.base import shown

_MOST_FAILED = 100  # rounds of a document in a row: a task that never ends is ended


@dataclass
class Turn:
    """One round of one request."""

    index: int  # among all rounds of all requests
    place: int  # of the request among all requests
    request: Instance
    number: int  # of the round, from 0
    messages: Any = None
    error: str | None = None  # why there are none

    @property
    def lacks_media(self) -> bool:
        """Whether it has text alone and its task says what a document shows.

        Tasks give an empty list where they do not find a file, and score the answer all the same.
        """
        config = getattr(getattr(self.request.arguments[1], "__self__", None), "config", None)
        shows = getattr(config, "doc_to_visual", None) is not None and self.number == 0
        return shows and all(part["type"] == "text" for part in _parts(self.messages))


@dataclass
class _Document:
    request: Instance
    document: Any
    answers: list[Caption] = field(default_factory=list)
    result: list[Any] | None = None  # the answers as the task wants them
    told: Any = None  # ``previous_round_info``
    failed: int = 0  # rounds in a row


class Rounds(Iterator[Turn]):
    """The rounds that can be asked by now: it ends, and goes on after :meth:`answered`.

    Args:
        document: returns the document of a request.
        several: whether tasks are asked for more than one round.
    """

    def __init__(
        self, requests: Sequence[Instance], document: Callable[[Instance], Any], *, several: bool
    ) -> None:
        self._requests = iter(range(len(requests)))
        self._all, self._document, self._several = requests, document, several
        self._found: dict[int, _Document] = {}
        self._next: deque[Turn] = deque()
        self._of: dict[int, int] = {}  # a turn's index -> the request's
        self._turns = 0

    def __next__(self) -> Turn:
        """Return a later round of a request that has begun, or else the next request's first."""
        if self._next:
            return self._next.popleft()
        place = next(self._requests)
        request = self._all[place]
        turn = self._turn(place, request, 0)
        try:
            document = self._document(request)
            turn.messages = request.arguments[1](document)
        except (Exception, SystemExit) as error:  # tasks end the process over a missing file
            turn.error, document = _said(error), None
        self._found[place] = _Document(request, document if self._several else None)
        return turn

    def request(self, index: int) -> Instance:
        """Return the request of a round that is not answered."""
        return self._all[self._of[index]]

    def answered(self, index: int, answer: Caption) -> bool:
        """Take a round's answer; return whether it was the request's last round."""
        place = self._of.pop(index)
        found = self._found[place]
        found.answers.append(answer)
        found.failed = found.failed + 1 if answer.generation["error"] else 0
        # A failed round does not end it: tasks read an answer for each of their rounds.
        if not self._several or found.document is None or found.failed > _MOST_FAILED:
            return True
        turn = self._turn(place, found.request, len(found.answers))
        try:
            said = found.request.arguments[1](
                found.document,
                round_idx=turn.number,
                previous_output=list(found.answers),
                previous_round_info=found.told,
            )
            if not (isinstance(said, tuple) and len(said) == 4):
                return True
            turn.messages, last, result, found.told = said
            if last and isinstance(result, list):
                found.result = result
            if last or _asks_nothing(turn.messages):
                return True
        except (Exception, SystemExit) as error:  # of the task, or of what it says
            turn.error = _said(error)
        self._next.append(turn)
        return False

    def answers(self) -> list[list[Any]]:
        """Return each request's answers, in its rounds' order or as its task wants them."""
        found = [self._found[place] for place in range(len(self._all))]
        return [one.answers if one.result is None else one.result for one in found]

    def _turn(self, place: int, request: Instance, number: int) -> Turn:
        index, self._turns = self._turns, self._turns + 1
        self._of[index] = place
        return Turn(index, place, request, number)


def _said(error: BaseException) -> str:
    words = shown(error.code if isinstance(error, SystemExit) else error)
    return f"the task does not say what is asked: {type(error).__name__}: {words}"


def _asks_nothing(messages: Any) -> bool:
    """Whether a task had nothing more to say: lmms-eval makes a message of its None."""
    texts = [part.get("text") for part in _parts(messages) if part.get("type") == "text"]
    return not messages or (bool(texts) and all(text is None for text in texts))


def _parts(messages: Any) -> list[Any]:
    contents = (message["content"] for message in messages or ())
    return [part for content in contents if isinstance(content, list) for part in content]
