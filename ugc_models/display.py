"""Foreign text on its way to a terminal: file names, ids, what vLLM, libav and servers say.

Such text can hold escape sequences, marks that turn the writing direction and line breaks, and so
forge what a terminal shows. ``shown`` makes one harmless line of it; what is logged goes through
``logger`` or, for loguru, ``harmless_record``. (``ugc_tasks`` has the same for its own: neither
package imports the other.)
"""

from __future__ import annotations

import logging
from typing import Any

_RECORD = 2_000  # characters of a logged line


def shown(text: object, limit: int = 300) -> str:
    """Return ``str(text)`` as one line of at most ``limit`` characters that is safe to show.

    White space becomes single spaces, what is not printable its escape (``\\x1b``, ``\\u202e``).
    """
    whole = str(text).strip()
    line = " ".join(whole[:limit].split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(whole) <= limit and len(line) <= limit else f"{line[: limit - 1]}…"


def logger(name: str) -> logging.Logger:
    """Return the logger ``name``, whose messages are harmless whatever handler shows them."""
    found = logging.getLogger(name)
    found.addFilter(_harmless)  # a filter that is there is not added again
    return found


def harmless_record(record: Any) -> None:
    """Make a record of loguru harmless; for ``logger.patch``."""
    record["message"] = shown(record["message"], _RECORD)


def _harmless(record: logging.LogRecord) -> bool:
    record.msg, record.args = shown(record.getMessage(), _RECORD), ()
    return True
