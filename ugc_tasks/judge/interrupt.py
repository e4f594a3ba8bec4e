"""Ctrl-C while lmms-eval scores: nothing new is sent, what is on the wire is kept, one line said.

lmms-eval waits for the threads in which it scores, and they wait for the judge: without this, the
judge would go on sending meanwhile. The signal goes on to whoever had it before, so that lmms-eval
ends as it does; the traceback of that end is left out.
"""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from ugc_tasks.common.display import complain

if TYPE_CHECKING:
    from ugc_tasks.judge.judge import Judge

_SAID = "interrupted while the judge was asked: what it answered is kept, the same command goes on"


def stop_on_interrupt(judge: Judge) -> None:
    """From now on have Ctrl-C stop ``judge``; in another thread than the main one do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    _handler.judges.add(judge)
    before = signal.getsignal(signal.SIGINT)
    # A run in the background has it ignored, and is to go on.
    if callable(before) and before is not _handler:
        _handler.before = before
        signal.signal(signal.SIGINT, _handler)


class _Handler:
    """What is done at SIGINT, before what was to be done."""

    def __init__(self) -> None:
        self.judges: weakref.WeakSet[Judge] = weakref.WeakSet()
        self.before: Any = signal.default_int_handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.interrupted()
        self.before(number, frame)

    def interrupted(self) -> None:
        """Stop the judges; also for one who has the signal now, and does not hand it on."""
        busy = [judge for judge in self.judges if judge.interrupt()]
        if busy and sys.excepthook is not _without_traceback:
            _without_traceback.before = sys.excepthook
            sys.excepthook = _without_traceback


class _Hook:
    """An ``excepthook`` that says an interrupt in one line."""

    def __init__(self) -> None:
        self.before: Any = sys.__excepthook__

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            complain(*filter(None, (str(error), _SAID)))
        else:
            self.before(kind, error, trace)


_handler = _Handler()
_without_traceback = _Hook()
