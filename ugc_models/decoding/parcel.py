"""How a clip travels from a worker to the run: a line of JSON, then the arrays as they lie there.

Not pickled: a worker has read a stranger's file, and what it sends is data and nothing else.
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

_ARRAYS = {"frames": "|u1", "times": "<f8", "sound": "<f4"}
"""The fields that are arrays, and their type as numpy writes it."""
_LONGEST_LINE = 1 << 16
_LARGEST = 2 << 30
"""Bytes of one array. Above what any sampling of a clip gives, below what hurts."""


class BrokenParcel(ValueError):
    """What arrived is no clip: the sender ended in the middle, or is not what it should be."""


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


def send_error(error: str, to: BinaryIO) -> None:
    """Write why there is no clip."""
    to.write(json.dumps({"error": error}).encode() + b"\n")
    to.flush()


def receive(source: BinaryIO) -> Clip | str:
    """Read a clip, or why there is none.

    Raises:
        BrokenParcel: neither came.
    """
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise BrokenParcel("the sender ended")
    try:
        message = json.loads(line)
        if "error" in message:
            return str(message["error"])
        clip = dict(message["clip"])
        clip |= dict(_arrays(clip, source))
        clip["source_size"] = tuple(clip["source_size"])
        return Clip(**clip)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenParcel(f"not a clip: {error}") from error


def _arrays(clip: dict[str, Any], source: BinaryIO) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, kind in _ARRAYS.items():
        shape = clip[name]
        if shape is None:
            continue
        dtype = np.dtype(kind)
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            raise BrokenParcel(f"not a shape: {shape}")
        if math.prod(shape) * dtype.itemsize > _LARGEST:
            raise BrokenParcel(f"too large: {shape}")
        array = np.empty(shape, dtype)
        view = _bytes(array)
        read = 0
        while read < len(view):
            count = source.readinto(view[read:])  # type: ignore[attr-defined]
            if not count:
                raise BrokenParcel("the sender ended")
            read += count
        yield name, array


def _bytes(array: NDArray[Any]) -> memoryview:
    # A view of nothing cannot be cast.
    return memoryview(array.data).cast("B") if array.size else memoryview(b"")
