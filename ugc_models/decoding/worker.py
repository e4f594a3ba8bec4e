"""The process that reads media: a line of JSON in, an answer out, until its input ends.

    python -m ugc_models.decoding.worker

Started by :mod:`ugc_models.decoding.pool`. It imports the media code and nothing else, so that it
is small and quick to replace. The bytes of a file that is none on disk follow the line. It answers
with a line of JSON and then the arrays, byte for byte. Not pickled: it has read a stranger's file,
and a pickle could run code in the main process.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ugc_models.media.audio import read_audio
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.image import read_image
from ugc_models.media.limits import Deadline, Limits, MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import Audio, Image

Read = Clip | Image | Audio
_NAMES: dict[type[Read], str] = {Clip: "clip", Image: "image", Audio: "audio"}
_ARRAYS = {"frames": "|u1", "times": "<f8", "sound": "<f4", "pixels": "|u1", "samples": "<f4"}
"""The fields that are arrays, in the order in which they are sent, and their type in numpy."""
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
            _answer(line, sys.stdin.buffer, answers)
        except BrokenPipeError:
            return  # the run is gone


def _answer(line: bytes, questions: BinaryIO, answers: BinaryIO) -> None:
    question = json.loads(line)
    content: Any = question["path"] and Path(question["path"])
    if (size := question["bytes"]) is not None:
        content = questions.read(size)
    try:
        read = _read(question["kind"], content, question)
    except MediaError as error:
        send_error(error, answers)
    except MemoryError:
        send_error(MediaError("too large: it needs more memory than one file may have"), answers)
    except Exception as error:  # one file must not end the worker, whatever it did
        send_error(MediaError(f"{type(error).__name__}: {error}"), answers)
    else:
        send(read, answers)


def _read(kind: str, content: Any, question: dict[str, Any]) -> Read:
    limits = Limits(**question["limits"])
    if kind == "image":
        return read_image(content, Deadline(limits))
    if kind == "audio":
        return read_audio(content, Deadline(limits))
    return read_clip(
        content,
        Sampling(**question["sampling"]),
        start=question["start"],
        end=question["end"],
        sound=question["sound"],
        align_sound=question["align_sound"],
        limits=limits,
    )


def send(read: Read, to: BinaryIO) -> None:
    """Write what was read."""
    values = {field.name: getattr(read, field.name) for field in fields(read)}
    arrays = {name: kind for name, kind in _ARRAYS.items() if values.get(name) is not None}
    filled = [np.ascontiguousarray(values[name], dtype=kind) for name, kind in arrays.items()]
    shapes = {name: list(values[name].shape) for name in arrays}
    to.write(json.dumps({_NAMES[type(read)]: values | shapes}).encode() + b"\n")
    for array in filled:
        to.write(_bytes(array))
    to.flush()


def send_error(error: MediaError, to: BinaryIO) -> None:
    """Write why there is nothing."""
    to.write(json.dumps({"error": str(error)}).encode() + b"\n")
    to.flush()


def receive(source: BinaryIO) -> Read:
    """Read what was sent from a buffered file, or raise the ``MediaError`` that was sent instead.

    Raises ``BrokenMessage`` where the sender ended, or sent something else.
    """
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise BrokenMessage("the sender ended")
    try:
        message = json.loads(line)
        if "error" not in message:
            kind = next(each for each, name in _NAMES.items() if name in message)
            values = dict(message[_NAMES[kind]])
            for name, dtype in _ARRAYS.items():
                if values.get(name) is not None:
                    values[name] = _array(values[name], np.dtype(dtype), source)
            return kind(**values)
        error = MediaError(str(message["error"]))
    except BrokenMessage:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration) as wrong:
        raise BrokenMessage(f"nothing that was read: {wrong}") from wrong
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
