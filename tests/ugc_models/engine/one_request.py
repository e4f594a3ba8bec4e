"""A program for test_positions.py: caption one clip and print its token ids as JSON.

    python one_request.py CHECKPOINT CLIP

Its environment decides how the engine runs. The guard at the end matters: the engine's own
processes import this file again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.asking import ask, request_about
from tests.support.engine import QUICK
from ugc_models.engine.base import EngineRequest
from ugc_models.engine.local import LocalEngine
from ugc_models.media.clip import read_clip
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import ChatTemplate, conversation

SAMPLING = {"temperature": 0.0, "max_tokens": 24, "ignore_eos": True}


def request(checkpoint: Path, path: Path) -> EngineRequest:
    """Return the question that is asked in every way of running the engine."""
    content = [
        {"type": "video", "url": str(path)},
        {"type": "text", "text": "Describe the clip and its sound."},
    ]
    chat = conversation([{"role": "user", "content": content}], None)
    clip = read_clip(path, Sampling(fps=2.0, max_pixels=12 * 28 * 28))
    prompt = ChatTemplate(str(checkpoint)).render(chat)
    return request_about(clip, prompt, SAMPLING)


def answer(engine: LocalEngine, asked: EngineRequest) -> list[int]:
    """Return the ids of the tokens that the engine writes."""
    [written] = ask(engine, [asked])
    if written.error is not None:
        raise RuntimeError(written.error)
    return list(written.output_ids)


def main() -> None:
    checkpoint, path = map(Path, sys.argv[1:])
    engine = LocalEngine(str(checkpoint), QUICK)
    ids = answer(engine, request(checkpoint, path))
    engine.close()
    print(json.dumps({"ids": ids, "runs": engine.decoding()}))


if __name__ == "__main__":
    main()
