"""lmms-eval's ``--use_cache`` must not answer for a model that keeps its answers by content.

That cache knows a request by its task and the document's number. A clip that was replaced, another
prompt in the checkpoint's template, a checkpoint written over the last: all are answered with what
was said before, and as a bare string, without how it came about.
"""

from __future__ import annotations

import functools
from typing import Any

from loguru import logger


def bypass() -> None:
    """Have lmms-eval ask models with a true ``keeps_answers`` themselves. Idempotent."""
    try:
        from lmms_eval.caching.response_cache import ResponseCache
    except ImportError:  # a version without that cache
        return
    original = ResponseCache.execute
    if getattr(original, "bypassed", False):
        return

    @functools.wraps(original)
    def execute(self: Any, lm: Any, reqtype: str, requests: list[Any]) -> list[Any]:
        if not getattr(lm, "keeps_answers", False):
            return list(original(self, lm, reqtype, requests))
        logger.info("--use_cache is not asked for this model: it keeps its answers itself.")
        return list(getattr(lm, reqtype)(requests))

    execute.bypassed = True  # type: ignore[attr-defined]
    ResponseCache.execute = execute
