"""Whether a site still answers, and so whether what it says of a clip can be believed.

A site that blocks this address says of every clip what it says of a deleted one. So a verdict
counts only once the same site has given a clip that was asked for after it. After many verdicts
without that, a clip that came before is asked for again; if it does not come either, the site is
not asked any further in this run, and none of the verdicts is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from ugc_tasks.data.download import NoClip, Stopped

MOST_IN_A_ROW = 20
"""Verdicts without a clip in between, after which a site is no longer believed."""

_CONTROLS = 3


def site_of(link: str) -> str:
    """Return the site that a link leads to: hosts of TikTok are one site."""
    parts = urlsplit(link)
    host = (parts.hostname or "").lower()
    return "tiktok.com" if host.endswith(".tiktok.com") else parts.netloc.lower()


class Site:
    """One site during one run; safe for several threads."""

    def __init__(
        self,
        name: str,
        controls: Iterable[str],
        comes: Callable[[str], bool],
        settle: Callable[[str, NoClip], None],
    ) -> None:
        """Begin with a site that is believed.

        Args:
            name: shown to the user.
            controls: links of this site to clips that came in an earlier run.
            comes: downloads the clip of a link and tells whether it came.
            settle: called with an id and its verdict when that can be believed.
        """
        self.closed = threading.Event()
        """Set when the site is not to be asked any further."""
        self.gave_up: str | None = None
        self._name, self._controls = name, list(controls)[:_CONTROLS]
        self._comes, self._settle = comes, settle
        self._changed = threading.Condition()
        self._checking = False
        self._verdicts = 0
        self._open: list[tuple[int, str, NoClip]] = []  # verdicts that nothing has confirmed yet

    def begin(self) -> int:
        """Say that a clip is about to be asked for; returns the verdicts so far, for ``gave``.

        Raises:
            Stopped: the site is not asked any further.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._checking)
            if self.closed.is_set():
                raise Stopped
            return self._verdicts

    def gave(self, link: str, begun: int) -> None:
        """Note that a clip came: verdicts from before it was asked for can be believed."""
        with self._changed:
            self._controls = [link]
            self._believe(begun)

    def refused(self, video_id: str, verdict: NoClip) -> None:
        """Note a verdict; after many in a row, find out whether the site still answers."""
        with self._changed:
            self._verdicts += 1
            self._open.append((self._verdicts, video_id, verdict))
            if len(self._open) < MOST_IN_A_ROW or self._checking or self.closed.is_set():
                return
            self._checking, begun = True, self._verdicts
        answers = False
        try:
            answers = self._answers()
        finally:
            with self._changed:
                self._checking = False
                if answers:
                    self._believe(begun)
                else:
                    self._give_up()
                self._changed.notify_all()

    def finish(self) -> dict[str, str]:
        """Return reasons by id of the verdicts that cannot be believed, when all was asked.

        Where no clip of the site ever came, a plain word of the server (``gone``, ``broken``) is
        believed, as there were few of them.
        """
        known = [verdict.kind for _, _, verdict in self._open]
        if not self.closed.is_set() and any(kind != "failed" for kind in known):
            if not self._controls:
                plain = [one for one in self._open if one[2].kind in ("gone", "broken")]
                self._open = [one for one in self._open if one not in plain]
                for _, video_id, verdict in plain:
                    self._settle(video_id, verdict)
            elif self._answers():
                self._believe(self._verdicts)
        return {video_id: verdict.reason for _, video_id, verdict in self._open}

    def close(self) -> None:
        """Stop asking."""
        self.closed.set()

    def _answers(self) -> bool:
        return any(self._comes(link) for link in self._controls)

    def _believe(self, begun: int) -> None:
        believed = [one for one in self._open if one[0] <= begun]
        self._open = self._open[len(believed) :]
        for _, video_id, verdict in believed:
            if verdict.kind != "failed":
                self._settle(video_id, verdict)

    def _give_up(self) -> None:
        last = self._open[MOST_IN_A_ROW - 1][2].reason
        self.gave_up = (
            f"{MOST_IN_A_ROW} downloads in a row failed at {self._name} (the last: {last}), so "
            "none of these clips counts as gone; run it again later, or from another network"
        )
        self.close()
