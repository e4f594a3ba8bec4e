"""The UGC-VideoCap benchmark as tasks of lmms-eval: data, questions, judges.

For notebooks there are ``score``, ``load_run``, ``compare``, ``summarize`` and ``frame``
(``ugc_tasks/results/api.py``). Knows nothing of any model's engine. Importing it loads nothing
heavy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # not from typing: this runs at every start of the interpreter (register.py)
    from typing import Any

    from ugc_tasks.results.api import compare, frame, load_run, score, summarize

__all__ = ["compare", "frame", "load_run", "score", "summarize"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ugc_tasks.results import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
