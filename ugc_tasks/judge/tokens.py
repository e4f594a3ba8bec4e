"""How many tokens a request has: counted where the encoding is at hand, else estimated, and said.

tiktoken fetches an encoding from the network when it is first used, without a time limit of its
own, and knows only OpenAI's models. Neither may hold up or end a run: an estimate takes its place.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ugc_tasks.common.display import storable

_FETCH_S = 10.0
# Source: OpenAI's cookbook on counting tokens: three for each message, three to prime the reply.
_EACH_MESSAGE, _REPLY = 3, 3
# Measured with o200k_base: 4.7 to 5.2 characters of English a token (3,994 recorded captions, 999
# references, the judges' prompts), 1.0 to 2.9 of Chinese, Japanese, Korean, Russian and emoji. The
# estimate lies a few per cent above the count for English, and not below it for the rest.
_ASCII_A_TOKEN, _OTHERS_A_TOKEN = 4.5, 1.0


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of requests.

    Attributes:
        how: how it counts, in words that follow "tokens".
        exact: whether that is the model's own encoding.
    """

    how: str
    exact: bool
    _count: Callable[[str], int]

    def request(self, body: Mapping[str, Any]) -> int:
        """Return the tokens of a chat-completions request, its schema included."""
        messages = body["messages"]
        total = sum(_EACH_MESSAGE + self._count(str(m["content"])) for m in messages) + _REPLY
        if schema := body.get("response_format"):
            total += self._count(json.dumps(schema))
        return total


@functools.lru_cache(maxsize=16)
def counter_for(model: str, *, within: float = _FETCH_S) -> TokenCounter:
    """Return the counter for ``model``, after at most ``within`` seconds; tried once a process."""
    try:
        import tiktoken

        name = tiktoken.encoding_name_for_model(model)
    except ImportError:
        return estimating("tiktoken is not installed")
    except KeyError:
        return estimating(f"tiktoken knows no encoding of {model}")
    encoding = _fetched(lambda: tiktoken.get_encoding(name), within)
    if encoding is None:
        return estimating(f"the encoding {name} could not be fetched")
    return TokenCounter(f"counted with {name}", True, lambda text: len(_encode(encoding, text)))


def estimating(reason: str) -> TokenCounter:
    """Return a counter that estimates from characters, and says why it does."""
    return TokenCounter(f"estimated from characters: {reason}", False, _estimate)


def _encode(encoding: Any, text: str) -> list[int]:
    # Nothing in a caption is a control token, whatever it looks like. Lone surrogates are sent
    # nowhere; here they only must not break the count.
    tokens: list[int] = encoding.encode_ordinary(storable(text))
    return tokens


def _estimate(text: str) -> int:
    others = sum(not character.isascii() for character in text)
    return round((len(text) - others) / _ASCII_A_TOKEN + others / _OTHERS_A_TOKEN)


def _fetched(load: Callable[[], Any], within: float) -> Any:
    """Return what ``load`` returns, None where it raises or takes too long."""
    found: list[Any] = []

    def fetch() -> None:
        try:
            found.append(load())
        except Exception:  # requests', the hash check's, the file system's: no encoding either way
            return

    thread = threading.Thread(target=fetch, name="judge-encoding", daemon=True)
    thread.start()
    thread.join(within)
    return found[0] if found else None
