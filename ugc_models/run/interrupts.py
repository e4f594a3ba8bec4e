"""Ctrl-C while requests are answered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from loguru import logger as _loguru

from ugc_models.engine.base import harmless_record

logger = _loguru.patch(harmless_record)


class Interrupts:
    """While entered, the first Ctrl-C lets what is in flight finish; the second stops at once.

    So does the first one before :meth:`then`: there is nothing to be finished yet. Signals belong
    to the main thread; entered in another one it changes nothing. Where the process ignores Ctrl-C,
    as a shell has it for what runs in the background, it stays ignored.
    """

    def __init__(self, what: str) -> None:
        self.asked = False  # whether to stop taking new work
        self._what = what
        self._before: Any = None  # the handler, once it is replaced
        self._then: Callable[[], None] | None = None

    def then(self, action: Callable[[], None]) -> None:
        """Do this at the first Ctrl-C from now on. It must be short: it interrupts anything."""
        self._then = action

    def __enter__(self) -> Interrupts:
        before = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._first)
            # A handler that was not set from Python (None) cannot be set back from it.
            self._before = before or signal.default_int_handler
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _first(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self._before)
        # The handler before this one may have something to stop, too, without ending the run.
        told = getattr(self._before, "interrupted", None)
        if callable(told):
            told()
        if self._then is None:
            raise KeyboardInterrupt
        self.asked = True
        self._then()
        logger.warning(
            f"Interrupted: what is in flight is {self._what}. Once more to stop at once."
        )
