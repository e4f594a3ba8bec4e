"""Keeping the key out of every text: servers repeat it, whole or in part, in what they answer."""

from __future__ import annotations

_SHORTEST_SECRET = 8  # a shorter "key" is a placeholder for a local server, and matches by chance
_HIDDEN = "[redacted]"


def without_key(text: str, key: str) -> str:
    """Return ``text`` with every whole occurrence of ``key`` removed and all else untouched."""
    return text.replace(key, _HIDDEN) if len(key) >= _SHORTEST_SECRET else text


def brief_message(text: str, key: str, limit: int = 200) -> str:
    """Return a server's message on one line, at most ``limit`` characters, without the key.

    Words that could be a masked key (its first or last letters, or asterisks) go as well.
    """
    words = []
    for word in without_key(text, key).split():
        masked = "***" in word or (
            len(key) >= _SHORTEST_SECRET and (key[:6] in word or key[-4:] in word)
        )
        words.append(_HIDDEN if masked else word)
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
