"""What can go wrong with a server, named by what it asks for."""

from __future__ import annotations

from ugc_models.display import shown


class RemoteError(RuntimeError):
    """The servers are of no use as things are; what to do, in one sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(shown(sentence, limit=1_000))


class Passing(Exception):
    """A failure that may pass.

    Attributes:
        wait: seconds that the server asked to be left alone.
        lost: whether the request may be what is wrong: it was taken, and nothing came of it.
        gone: whether the server may be another one when it is back.
    """

    lost = False
    gone = False

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(shown(reason, limit=1_000))
        self.wait = wait


class Away(Passing):
    """Nobody is there, or only a proxy that says so."""

    gone = True


class Busy(Passing):
    """It asks to be left alone for now."""


class Lost(Passing):
    """The request was taken, and the connection broke, time was up, or the answer is unusable."""

    lost = True
    gone = True
