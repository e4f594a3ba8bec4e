"""The process that reads clips: a line of JSON in, a clip out, until its input ends.

    python -m ugc_models.decoding.worker

Started by :mod:`ugc_models.decoding.pool`. It imports the media code and nothing else, so that it
is small and quick to replace. It answers with a line of JSON and then a clip's arrays, byte for
byte. Not pickled: it has read a stranger's file, and a pickle could run code in the main process.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from dataclasses import fields
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.limits import Limits, MediaError
from ugc_models.media.sampling import Sampling

_ARRAYS = {"frames": "|u1", "times": "<f8", "sound": "<f4"}
"""The fields that are arrays, and their type as numpy writes it."""
_LONGEST_LINE = 1 << 16
_LARGEST = 2 << 30
"""Bytes of one array: more than any sampling of a clip gives."""


class BrokenMessage(ValueError):
    """What arrived is no message: the sender ended in the middle, or sent something else."""


def main() -> None:
    """Answer questions from stdin until there are no more."""
    # Whatever a library prints must not get among the clips.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 20)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if memory := int(sys.argv[1]):  # bytes of address space; 0 for no bound
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
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
        send_error(MediaError("too large: it needs more memory than one clip may have"), answers)
    except Exception as error:  # one clip must not end the worker, whatever it did
        send_error(MediaError(f"{type(error).__name__}: {error}"), answers)
    else:
        send(clip, answers)


def send(clip: Clip, to: BinaryIO) -> None:
    """Write a clip."""
    values = {field.name: getattr(clip, field.name) for field in fields(Clip)}
    arrays = [
        np.ascontiguousarray(values[name], dtype=kind)
        for name, kind in _ARRAYS.items()
        if values[name] is not None
    ]
    shapes = {n: None if values[n] is None else list(values[n].shape) for n in _ARRAYS}
    to.write(json.dumps({"clip": values | shapes}).encode() + b"\n")
    for array in arrays:
        to.write(_bytes(array))
    to.flush()


def send_error(error: MediaError, to: BinaryIO) -> None:
    """Write why there is no clip."""
    to.write(json.dumps({"error": str(error)}).encode() + b"\n")
    to.flush()


def receive(source: BinaryIO) -> Clip:
    """Read a clip from a buffered file, or raise the ``MediaError`` that was sent instead.

    Raises ``BrokenMessage`` where the sender ended, or sent something else.
    """
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise BrokenMessage("the sender ended")
    try:
        message = json.loads(line)
        if "error" not in message:
            clip = dict(message["clip"])
            for name, kind in _ARRAYS.items():
                if clip[name] is not None:
                    clip[name] = _array(clip[name], np.dtype(kind), source)
            return Clip(**clip)
        error = MediaError(str(message["error"]))
    except BrokenMessage:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise BrokenMessage(f"not a clip: {wrong}") from wrong
    raise error


def _array(shape: Any, dtype: np.dtype[Any], source: BinaryIO) -> NDArray[Any]:
    if math.prod(shape) * dtype.itemsize > _LARGEST:
        raise BrokenMessage(f"too large: {shape}")
    array = np.empty(shape, dtype)
    if source.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
        raise BrokenMessage("the sender ended")
    return array


def _bytes(array: NDArray[Any]) -> memoryview:
    # A view of nothing cannot be cast.
    return memoryview(array.data).cast("B") if array.size else memoryview(bytearray())


if __name__ == "__main__":
    main()
