"""The process that reads clips: a line of JSON in, a clip out, until its input ends.

    python -m ugc_models.decoding.worker

Started by :mod:`ugc_models.decoding.pool`. It imports the media code and nothing else, so that it
is small and quick to replace.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import BinaryIO

from ugc_models.decoding.messages import send, send_error
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import Limits, MediaError, OutOfMemoryError
from ugc_models.media.sampling import Sampling


def main() -> None:
    """Answer questions from stdin until there are no more."""
    # Whatever a library prints must not get among the clips.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 20)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _bound_memory(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        try:
            _answer(line, answers)
        except BrokenPipeError:
            return  # the run is gone


def _answer(line: bytes, answers: BinaryIO) -> None:
    question = json.loads(line)
    try:
        clip = read_clip(
            question["path"],
            Sampling(**question["sampling"]),
            sound=question["sound"],
            align_sound=question["align_sound"],
            limits=Limits(**question["limits"]),
        )
    except MediaError as error:
        send_error(error, answers)
    except MemoryError:
        text = "too large: it needs more memory than one clip may have"
        send_error(OutOfMemoryError(text), answers)
    except Exception as error:  # one clip must not end the worker, whatever it did
        send_error(MediaError(f"{type(error).__name__}: {error}"), answers)
    else:
        send(clip, answers)


def _bound_memory(size: int) -> None:
    """Let this process have so many bytes of address space and no more; 0 for no bound."""
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    main()
