"""How many requests may be open at once: few at first, more while they are answered, fewer at 429.

Pure: the caller says what happened and when, on a clock of its own that never goes back. The rule
is TCP's (RFC 5681: slow start, then additive increase and multiplicative decrease), with larger
steps, because a judge's round trip takes a second and not milliseconds.
"""

from __future__ import annotations

FIRST = 16
"""Requests at once before anything is known of the endpoint."""

QUIET_S = 0.1
"""Seconds after which it says something that nobody has been refused."""

_PATIENCE = 8.0  # so many more are let in then, because a refusal comes at once ...
_UNHEARD = 64.0  # ... but no more than so many before there was an answer
_RAMP = 3.0  # each answer makes room for three more: four times as many with each round trip
_STEP = 4.0  # after the first cut: so many more with each round trip
_FIRST_CUT, _LATER_CUT = 0.5, 0.75
_SICK_AFTER = 8


class Pace:
    """The window of one endpoint.

    Faults other than 429 may be anything (a proxy, a bad moment) and do not tell that there are too
    many requests; only a whole row of them, with no answer in between, counts as that.

    Args:
        cap: the most requests at once.
        longest_told: seconds, the most that a Retry-After can hold everything up.
    """

    def __init__(self, cap: int, *, longest_told: float = 120.0) -> None:
        self._cap = cap
        self._longest_told = longest_told
        self._window = float(min(cap, FIRST))
        self._ramping = True
        self._cut_at = float("-inf")
        self._held_until = float("-inf")
        self._failed_in_a_row = 0

    @property
    def window(self) -> int:
        """How many requests may be open at once, not counting that all may be held up."""
        return int(self._window)

    def held_for(self, now: float) -> float:
        """Return for how many seconds nothing may be sent, 0.0 where sending is fine."""
        return max(0.0, self._held_until - now)

    def answered(self) -> None:
        """Note an answer to a request, be it to decline it."""
        self._failed_in_a_row = 0
        room = _RAMP if self._ramping else _STEP / self._window
        self._window = min(float(self._cap), self._window + room)

    @property
    def ramping(self) -> bool:
        """Whether nothing has yet told against more requests."""
        return self._ramping

    def quiet(self) -> None:
        """Note that requests have been open for ``QUIET_S`` and none was refused meanwhile."""
        if self._ramping and not self._failed_in_a_row:
            most = max(self._window, min(float(self._cap), _UNHEARD))
            self._window = min(most, self._window + _PATIENCE)

    def throttled(self, sent: float, now: float, told: float = 0.0) -> None:
        """Note a 429 to a request sent at ``sent``, which says to come back in ``told`` seconds."""
        self._held_until = max(self._held_until, now + min(told, self._longest_told))
        self._cut(sent, now)

    def failed(self, sent: float, now: float) -> None:
        """Note a request without an answer: an error, a reset, silence, an unreadable body."""
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= max(_SICK_AFTER, self.window):
            self._failed_in_a_row = 0
            self._cut(sent, now)

    def _cut(self, sent: float, now: float) -> None:
        # What was sent before the last cut was sent into the window that was cut for it: one burst
        # of refusals is one piece of news.
        if sent < self._cut_at:
            return
        self._window = max(1.0, self._window * (_FIRST_CUT if self._ramping else _LATER_CUT))
        self._ramping = False
        self._cut_at = now
