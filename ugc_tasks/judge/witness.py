"""Noticing that what answers is not what answered before: a number of two judges is of neither."""

from __future__ import annotations

from ugc_tasks.common.display import logger
from ugc_tasks.judge.reply import ChatReply

_log = logger(__name__)


class Witness:
    """Watches the replies of one judge, those on disk included."""

    def __init__(self) -> None:
        self._seen: set[tuple[str | None, str | None]] = set()

    def watch(self, reply: ChatReply) -> None:
        """Say it, once, if this is the second model or fingerprint."""
        identity = (reply.model, reply.fingerprint)
        if identity in self._seen:
            return
        self._seen.add(identity)
        if len(self._seen) == 2:
            names = " and ".join(sorted(" ".join(filter(None, who)) or "?" for who in self._seen))
            _log.warning(
                "the judge changed while judging (%s): scores of both are in this run, and each "
                "row says whose it is",
                names,
            )
