"""Whether a failure is one clip's or everyone's: what the endpoint's other answers say about it.

An answer of a model resets it all. A row of failures of one kind, without such an answer among
them, is no bad luck: the rest of the clips would meet the same, one after another, and some of them
would be paid for.
"""

from __future__ import annotations

from ugc_tasks.judge.failures import (
    Declined,
    JudgeRefused,
    Passing,
    RequestFailed,
    RequestTimedOut,
    Unreadable,
)

_TIMED_OUT, _UNREADABLE = 3, 3
# A gateway may decline a clip quicker than others are judged that were sent before it: those that
# are under way come on top of the first number. Once there was a reply, the key and the address are
# right, and only a long row tells of something new.
_DECLINED_AT_FIRST, _DECLINED_LATER = 3, 40
# Where a model has answered, an answer that is none and cost nothing may be a proxy's bad moment:
# so many tries of one request are worth it.
_MOMENTS = 6


class Breaker:
    """Counts failures in a row; use it within one event loop.

    Attributes:
        replied: whether a model has answered in this run.
    """

    def __init__(self, endpoint: str) -> None:
        """``endpoint`` is the address as messages show it."""
        self.replied = False
        self._endpoint = endpoint
        self._reached = False
        self._kind: type[RequestFailed] | None = None
        self._in_a_row = 0

    def reply(self) -> None:
        """Note a model's answer."""
        self.replied = self._reached = True
        self._kind, self._in_a_row = None, 0

    def passing(self, error: Passing | Unreadable, tries: int) -> None:
        """Note a failure that may pass, the ``tries``-th of its request.

        Raises:
            JudgeRefused: it is the address that is wrong.
            Unreadable: it does not pass.
        """
        if isinstance(error, Unreadable):
            if error.billed is not None or not self.replied or tries >= _MOMENTS:
                raise error
            return
        self._reached = self._reached or error.answered
        if error.tries and tries >= error.tries and not self._reached:
            raise JudgeRefused(str(error)) from None
        if error.most and tries >= (_MOMENTS if self.replied else error.most):
            raise Unreadable(f"{self._endpoint}: {error}; so it went {tries} times") from None

    def failed(self, error: RequestFailed, *, others: int) -> JudgeRefused | None:
        """Return what ends the run if so it went for a whole row of requests.

        ``others`` are on the wire.
        """
        kind = type(error)
        self._reached = self._reached or kind is not RequestTimedOut
        self._in_a_row = self._in_a_row + 1 if kind is self._kind else 1
        self._kind = kind
        if kind is RequestTimedOut:
            most, verdict = _TIMED_OUT, "the judge is not reachable"
        elif kind is Unreadable:
            most, verdict = _UNREADABLE, "what answers is not a judge, or not as one"
        elif kind is Declined:
            most = _DECLINED_LATER if self.replied else _DECLINED_AT_FIRST + others
            verdict = "the judge declines everything"
        else:
            return None
        if self._in_a_row < most:
            return None
        refused = JudgeRefused(
            f"{error}; so it went for {self._in_a_row} clips in a row: {verdict}"
        )
        refused.usage = error.usage
        return refused
