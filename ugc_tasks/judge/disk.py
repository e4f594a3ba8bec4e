"""The store of judgments as an event loop uses it: waiting for the disk holds up no request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ugc_tasks.common.display import logger
from ugc_tasks.judge.forms import Form
from ugc_tasks.judge.store import JudgeStoreError, JudgmentStore

_T = TypeVar("_T")
_log = logger(__name__)


class Disk:
    """The store at ``path``, whose work is done one after another in a thread of its own.

    Attributes:
        store: the store itself.
    """

    def __init__(self, path: Path, form: Form | None = None) -> None:
        """Open the store, for scores of ``form``; raises ``JudgeStoreError``."""
        self.store = JudgmentStore(path, form)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge-store")
        self._unsaved: list[Callable[[], int]] = []

    async def do(self, work: Callable[[], _T]) -> _T:
        """Return what ``work`` returns, done in the store's thread."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:  # the interpreter is ending: other threads take no more work
            return work()
        return await done

    async def keep(self, add: Callable[[], int]) -> int:
        """Return what ``add`` returns, which puts a reply into the store.

        What cannot be put there is tried once more in the end: it is paid for.

        Raises:
            JudgeStoreError: it cannot be put there now.
        """
        try:
            return await self.do(add)
        except JudgeStoreError:
            self._unsaved.append(add)
            raise

    async def aclose(self) -> None:
        """Close the store, after what could not be put there before."""
        lost = 0
        for add in self._unsaved:
            try:
                await self.do(add)
            except JudgeStoreError:
                lost += 1
        if lost:
            _log.error(
                "%d judgments that were paid for are in this run's results and could not be put "
                "into %s: a rerun will ask for them again",
                lost,
                self.store.path,
            )
        self._thread.shutdown(wait=True)
        self.store.close()
