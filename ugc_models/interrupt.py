"""Ctrl-C: the first finishes what is in work, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from loguru import logger


class Interrupts:
    """While entered, the first Ctrl-C only sets :attr:`asked`; a second one is the usual one.

    So is the first one before :meth:`then`: there is nothing to be finished yet. Signals belong to
    the main thread; entered in another one it changes nothing. Where the process ignores Ctrl-C, as
    a shell has it for what runs in the background, it stays ignored.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._before: Any = None
        self._installed = False
        self._then: Callable[[], None] | None = None
        self.asked = False
        """Whether to stop taking new work."""

    def then(self, action: Callable[[], None]) -> None:
        """From now on have this done with the first Ctrl-C: little, it interrupts anything."""
        self._then = action

    def __enter__(self) -> Interrupts:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._first)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _first(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        # Who had the signal before may have something to stop, too, which does not end the run.
        told = getattr(self._before, "interrupted", None)
        if callable(told):
            told()
        if self._then is None:
            raise KeyboardInterrupt
        self.asked = True
        self._then()
        logger.warning(f"Interrupted: {self._what}. Once more to stop at once.")

    def _restore(self) -> None:
        if self._installed:
            # A handler that was not set from Python cannot be set back from it.
            signal.signal(signal.SIGINT, self._before or signal.default_int_handler)
