"""What became of a run's requests, by task, for tasks that do not count failures themselves.

lmms-eval knows no unanswered request: to a task an empty answer is a wrong one. So failures are
counted here, said at the end of a run and written into lmms-eval's results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ugc_models.engine.base import TOO_LONG

SAID = 20
"""Failures of one kind that are said one by one; more of them are in the count only."""
_DOCUMENTS = 10  # that the results name of one kind

_KINDS = (
    (TOO_LONG, "too long for max_model_len"),
    (re.compile(r"does not exist|no such file", re.IGNORECASE), "a file that does not exist"),
)
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|/\S+|\d[\d.,]*")
_CUT = {"fewer_frames": "frames left out to fit max_model_len"}
_QUALITY = {"token_limit", "repetition"}
"""Flags that say something of an answer, not of what the model was shown."""


def kind_of(error: str) -> str:
    """Return what kind of failure it is: what is alike in many, without names and numbers."""
    for pattern, words in _KINDS:
        if pattern.search(error):
            return words
    return _PARTICULAR.sub("…", error.partition(": ")[0])


class Outcomes:
    """Counts of requests by task, of this rank until :meth:`add` brings those of others."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, Any]] = {}
        self._listening: set[str] = set()

    def listens(self, task: str) -> None:
        """Note that a task is told of each answer, and of failures with it."""
        self._listening.add(task)

    def without_media(self, task: str, document: Any) -> int:
        """Count a request that has text alone, of a task that shows media; return how many."""
        return _count(self._counted(task)["without_media"], document)

    def note(self, task: str, document: Any, generation: Mapping[str, Any]) -> int:
        """Count a request; return how many failed like it so far, 0 where it is answered."""
        counted = self._counted(task)
        counted["requests"] += 1
        for flag in set(generation["flags"]) - _QUALITY:
            counted["cut"][flag] = counted["cut"].get(flag, 0) + 1
        if generation["error"] is None:
            return 0
        counted["unanswered"] += 1
        kind = counted["reasons"].setdefault(
            kind_of(generation["error"]), {"requests": 0, "documents": []}
        )
        return _count(kind, document)

    @property
    def unwell(self) -> int:
        """How many requests were not answered, or on a part only."""
        return sum(map(_unwell, self._tasks.values()))

    def facts(self) -> dict[str, Any]:
        """Return the tasks of which not all is well: counts, reasons, the first documents."""
        return {
            task: counted
            for task, counted in sorted(self._tasks.items())
            if task not in self._listening and _unwell(counted)
        }

    def lines(self) -> list[str]:
        """Return a sentence or two for each of these tasks."""
        said = []
        for task, counted in self.facts().items():
            requests = f"of {counted['requests']:,} requests"
            if counted["unanswered"]:
                why = "; ".join(f"{v['requests']:,}: {k}" for k, v in counted["reasons"].items())
                said.append(
                    f"{task}: {counted['unanswered']:,} {requests} were not answered and count as "
                    f"wrong ({why})"
                )
            if counted["cut"]:
                why = "; ".join(
                    f"{n:,}: {_CUT.get(k, k.replace('_', ' '))}" for k, n in counted["cut"].items()
                )
                said.append(f"{task}: {requests} these were answered on a part only ({why})")
            if alone := counted["without_media"]["requests"]:
                said.append(
                    f"{task}: {alone:,} {requests} have text alone: the task shows no media in them"
                )
        return said

    def totals(self) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Return what :meth:`add` takes."""
        return self._tasks, self._listening

    def add(self, tasks: Mapping[str, dict[str, Any]], listening: set[str]) -> None:
        """Add another rank's counts."""
        self._listening |= listening
        for task, theirs in tasks.items():
            ours = self._counted(task)
            ours["requests"] += theirs["requests"]
            ours["unanswered"] += theirs["unanswered"]
            for flag, count in theirs["cut"].items():
                ours["cut"][flag] = ours["cut"].get(flag, 0) + count
            _add(ours["without_media"], theirs["without_media"])
            for kind, those in theirs["reasons"].items():
                _add(ours["reasons"].setdefault(kind, {"requests": 0, "documents": []}), those)

    def _counted(self, task: str) -> dict[str, Any]:
        nothing = {"requests": 0, "unanswered": 0, "reasons": {}, "cut": {}}
        alone: dict[str, Any] = {"requests": 0, "documents": []}
        return self._tasks.setdefault(task, {**nothing, "without_media": alone})


def _unwell(counted: Mapping[str, Any]) -> int:
    cut = sum(counted["cut"].values())
    return int(counted["unanswered"] + cut + counted["without_media"]["requests"])


def _count(kind: dict[str, Any], document: Any) -> int:
    kind["requests"] += 1
    if len(kind["documents"]) < _DOCUMENTS and document not in kind["documents"]:
        kind["documents"].append(document)
    return int(kind["requests"])


def _add(ours: dict[str, Any], theirs: Mapping[str, Any]) -> None:
    ours["requests"] += theirs["requests"]
    ours["documents"] = [*ours["documents"], *theirs["documents"]][:_DOCUMENTS]
