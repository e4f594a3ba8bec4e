"""The messages in which a worker answers: a line of JSON, then a clip's arrays, byte for byte.

Not pickled: a worker has read a stranger's file, and a pickle could run code in the main process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ugc_models.media.clip import Clip
from ugc_models.media.limits import MediaError, OutOfMemoryError

_ARRAYS = {"frames": "|u1", "times": "<f8", "sound": "<f4"}
"""The fields that are arrays, and their type as numpy writes it."""
_LONGEST_LINE = 1 << 16
_LARGEST = 2 << 30
"""Bytes of one array: more than any sampling of a clip gives."""


class BrokenMessage(ValueError):
    """What arrived is no message: the sender ended in the middle, or sent something else."""


def send(clip: Clip, to: BinaryIO) -> None:
    """Write a clip."""
    plain: dict[str, Any] = {}
    arrays: list[NDArray[Any]] = []
    for field in fields(Clip):
        value = getattr(clip, field.name)
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value, dtype=_ARRAYS[field.name]))
            value = list(value.shape)
        plain[field.name] = value
    to.write(json.dumps({"clip": plain}).encode() + b"\n")
    for array in arrays:
        to.write(_bytes(array))
    to.flush()


def send_error(error: MediaError, to: BinaryIO) -> None:
    """Write why there is no clip."""
    message = {"error": str(error), "memory": isinstance(error, OutOfMemoryError)}
    to.write(json.dumps(message).encode() + b"\n")
    to.flush()


def receive(source: BinaryIO) -> Clip:
    """Read a clip.

    Raises:
        MediaError: the sender has none, and this is why.
        BrokenMessage: the sender ended, or what it sent is no message.
    """
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise BrokenMessage("the sender ended")
    try:
        message = json.loads(line)
        if "error" not in message:
            return _clip(dict(message["clip"]), source)
        kind = OutOfMemoryError if message["memory"] else MediaError
        error = kind(str(message["error"]))
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise BrokenMessage(f"not a clip: {wrong}") from wrong
    raise error


def _clip(plain: dict[str, Any], source: BinaryIO) -> Clip:
    plain |= dict(_arrays(plain, source))
    plain["source_size"] = tuple(plain["source_size"])
    return Clip(**plain)


def _arrays(clip: dict[str, Any], source: BinaryIO) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, kind in _ARRAYS.items():
        shape = clip[name]
        if shape is None:
            continue
        dtype = np.dtype(kind)
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            raise BrokenMessage(f"not a shape: {shape}")
        if math.prod(shape) * dtype.itemsize > _LARGEST:
            raise BrokenMessage(f"too large: {shape}")
        array = np.empty(shape, dtype)
        view = _bytes(array)
        read = 0
        while read < len(view):
            count = source.readinto(view[read:])  # type: ignore[attr-defined]
            if not count:
                raise BrokenMessage("the sender ended")
            read += count
        yield name, array


def _bytes(array: NDArray[Any]) -> memoryview:
    # A view of nothing cannot be cast.
    return memoryview(array.data).cast("B") if array.size else memoryview(b"")
