"""A program for test_positions.py: caption one clip and print its token ids as JSON.

    python one_request.py CHECKPOINT CLIP

Its environment decides how the engine runs. The guard at the end matters: the engine's own
processes import this file again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.engine import QUICK
from ugc_models.engine.local import LocalEngine, Request
from ugc_models.media.clip import read_clip
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import ChatTemplate, conversation

SAMPLING = {"temperature": 0.0, "max_tokens": 24, "ignore_eos": True}


class One:
    """A source with a single request."""

    def __init__(self, request: Request) -> None:
        self._left = [request]

    def next_request(self, *, block: bool) -> Request | None:
        return self._left.pop() if self._left else None


def request(checkpoint: Path, path: Path) -> Request:
    """Return the question that is asked in every way of running the engine."""
    content = [
        {"type": "video", "url": str(path)},
        {"type": "text", "text": "Describe the clip and its sound."},
    ]
    chat = conversation([{"role": "user", "content": content}], None)
    clip = read_clip(path, Sampling(fps=2.0, max_pixels=12 * 28 * 28))
    prompt = ChatTemplate(str(checkpoint)).render(chat)
    return Request(0, prompt, clip.frames, clip.fps, clip.sound, SAMPLING)


def answer(engine: LocalEngine, asked: Request) -> list[int]:
    """Return the ids of the tokens that the engine writes."""
    [written] = engine.run(One(asked), max_in_flight=1)
    if written.error is not None:
        raise RuntimeError(written.error)
    return list(written.output_ids)


def main() -> None:
    checkpoint, path = map(Path, sys.argv[1:])
    engine = LocalEngine(str(checkpoint), QUICK)
    client = type(engine._llm.llm_engine.engine_core).__name__
    ids = answer(engine, request(checkpoint, path))
    engine.close()
    print(json.dumps({"ids": ids, "positions": engine.positions, "client": client}))


if __name__ == "__main__":
    main()
