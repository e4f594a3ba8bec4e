"""Where Qwen-Omni puts the sound of a video among its frames: token order and positions.

Qwen2.5: the arithmetic is that of transformers 5.19, the reference implementation of the model,
down to its rounding: the processor computes in double precision
(``Qwen2_5OmniProcessor.replace_multimodal_special_tokens``, the order), the model in single
(``Qwen2_5OmniPreTrainedModelForConditionalGeneration.get_rope_index``, the positions). Pure numpy,
no engine.

Time is counted in positions, ``per_second`` (25) to the second. Picture and sound are cut into
chunks of ``per_chunk`` (50) positions and alternate, picture first.

Qwen3 (:func:`merged_positions`): no chunks, tokens are merged by time, 13 positions to the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """A video as the language model sees it: ``t`` time steps of ``h`` x ``w`` tokens."""

    t: int
    h: int
    w: int

    @property
    def frame(self) -> int:
        """Tokens in one time step."""
        return self.h * self.w


@dataclass(frozen=True)
class Clock:
    """How time becomes positions: ``per_second``, and ``per_chunk`` of them in a chunk."""

    per_second: int = 25
    per_chunk: int = 50


def chunk_bounds(times: npt.NDArray[np.generic], per_chunk: int) -> list[tuple[int, int]]:
    """Cut tokens into chunks by time, as transformers' ``get_chunked_index`` does.

    A chunk ends at the first token at or after the chunk's end, and *one* chunk ends per token. So
    where frames are more than a chunk apart (fewer than one frame in two seconds), the tokens of a
    frame are cut one by one until the count has caught up. That is the reference; it is kept.

    Args:
        times: (n,) time of each token in positions, not decreasing, the first below ``per_chunk``.
        per_chunk: positions in a chunk.

    Returns:
        Half-open index ranges that cover ``0..n`` in order.
    """
    bounds: list[tuple[int, int]] = []
    start, last = 0, -1
    chunk = 1
    while (end := max(int(np.searchsorted(times, chunk * per_chunk)), last + 1)) < len(times):
        bounds.append((start, end))
        start = last = end
        chunk += 1
    bounds.append((start, len(times)))
    return bounds


def token_order(grid: Grid, sound: int, seconds_per_step: float, clock: Clock) -> list[bool]:
    """Return for each token of picture and sound, in order, whether it is one of the picture's.

    Args:
        grid: the video's token grid.
        sound: how many tokens the sound has.
        seconds_per_step: seconds from one time step of the grid to the next.
        clock: positions per second and per chunk.
    """
    steps = np.arange(grid.t) * seconds_per_step * clock.per_second
    picture = chunk_bounds(np.repeat(steps, grid.frame), clock.per_chunk)
    sounds = chunk_bounds(np.arange(sound), clock.per_chunk)
    order: list[bool] = []
    for p, s in zip_longest(picture, sounds, fillvalue=(0, 0)):
        order += [True] * (p[1] - p[0]) + [False] * (s[1] - s[0])
    return order


def positions(
    grid: Grid, sound: int, seconds_per_step: float, clock: Clock, start: int
) -> tuple[IntArray, int]:
    """Compute the positions of an interleaved span, its begin and end marks not included.

    Args:
        grid: the video's token grid.
        sound: how many tokens the sound has.
        seconds_per_step: as in :func:`token_order`; used in single precision, as the model does.
        clock: positions per second and per chunk.
        start: position of the span's first token.

    Returns:
        ``(3, n)`` positions in time, height and width, and the position of what follows. That
        continues after the *last chunk*, not after the highest position of the span.
    """
    # int * float32 tensor * int in torch stays float32, and so in numpy with these casts.
    steps = np.arange(grid.t).astype(np.float32) * np.float32(seconds_per_step)
    times = np.repeat((steps * np.float32(clock.per_second)).astype(np.int64), grid.frame)
    rows = np.tile(np.repeat(np.arange(grid.h), grid.w), grid.t)
    columns = np.tile(np.arange(grid.w), grid.t * grid.h)
    picture = np.stack([times, rows, columns]) + start
    sounds = np.broadcast_to(np.arange(sound) + start, (3, sound))

    pieces: list[IntArray] = []
    for p, s in zip_longest(
        chunk_bounds(times, clock.per_chunk),
        chunk_bounds(np.arange(sound), clock.per_chunk),
        fillvalue=None,
    ):
        if p is not None:
            pieces.append(picture[:, p[0] : p[1]])
        if s is not None and sound:
            pieces.append(sounds[:, s[0] : s[1]])
    return np.concatenate(pieces, axis=1), int(pieces[-1].max()) + 1


def merged_positions(
    grid: Grid, sound: int, seconds_per_step: float, per_second: int, start: int
) -> IntArray:
    """Compute Qwen3-Omni's positions of an interleaved span, its marks not included.

    Tokens are merged by time, of picture and sound at the same time the picture's first. Times are
    those of transformers 5.19 (``Qwen3OmniMoePreTrainedModelForConditionalGeneration.
    get_rope_index``), in single precision. There they stay fractions; an engine whose positions are
    whole numbers has them rounded down *after* the merge, so that each token still has its own
    position. (vLLM rounds before it merges, and then hands patches of the picture the positions of
    sound wherever a step is no whole number of positions.)

    Args:
        grid: the video's token grid.
        sound: how many tokens the sound has.
        seconds_per_step: seconds from one time step of the grid to the next.
        per_second: positions in a second.
        start: position of the span's first token.

    Returns:
        ``(3, n)`` positions in time, height and width.
    """
    steps = np.arange(grid.t).astype(np.float32) * np.float32(seconds_per_step)
    times = np.repeat(steps * np.float32(per_second) + np.float32(start), grid.frame)
    rows = np.tile(np.repeat(np.arange(grid.h), grid.w), grid.t) + start
    columns = np.tile(np.arange(grid.w), grid.t * grid.h) + start
    picture = np.stack([np.floor(times).astype(np.int64), rows, columns])
    sounds = np.arange(sound) + start
    # A stable sort of picture before sound is their merge, equal times included.
    order = np.argsort(np.concatenate([times, sounds.astype(np.float32)]), kind="stable")
    both: IntArray = np.concatenate([picture, np.broadcast_to(sounds, (3, sound))], axis=1)
    return both[:, order]
