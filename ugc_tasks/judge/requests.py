"""What a judge is asked about an item, and the key under which its judgment is kept."""

from __future__ import annotations

import functools
from typing import Any

from ugc_tasks.judge.judgment import JudgeItem
from ugc_tasks.judge.profiles import ChatProfile
from ugc_tasks.judge.repeats import first_of
from ugc_tasks.judge.store import judgment_key


class Requests:
    """Requests of ``profile`` to ``endpoint``.

    An item's request is needed when it is announced, submitted and asked, its key oftener: both are
    remembered, for as many items as a run has.
    """

    def __init__(self, profile: ChatProfile, endpoint: str) -> None:
        self._profile = profile
        self._endpoint = endpoint
        self._bodies = functools.lru_cache(maxsize=4096)(self._make_body)
        self._keys = functools.lru_cache(maxsize=65_536)(self._make_key)

    def key(self, item: JudgeItem) -> str:
        """Return the key of the item's judgment: the same for items whose request is the same."""
        return self._keys(item)

    def body(self, item: JudgeItem) -> dict[str, Any]:
        """Return the request, the same object for all repeats of an item."""
        return self._bodies(first_of(item))

    def _make_key(self, item: JudgeItem) -> str:
        question = self._profile.question.name
        return judgment_key(self._endpoint, self.body(item), question, item.repeat)

    def _make_body(self, item: JudgeItem) -> dict[str, Any]:
        return self._profile.request(item.video_id, item.prediction, item.reference)
