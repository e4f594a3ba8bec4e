"""Where Qwen-Omni puts the sound of a video among its frames: token order and positions.

Qwen2.5: the arithmetic is that of transformers 5.19, the reference implementation of the model,
down to its rounding: the processor computes the order in double precision
(``Qwen2_5OmniProcessor.replace_multimodal_special_tokens``), the model the positions in single
(``Qwen2_5OmniPreTrainedModelForConditionalGeneration.get_rope_index``).

Time is counted in positions, ``per_second`` (25) to the second. Picture and sound are cut into
chunks of ``per_chunk`` (50) positions and alternate, picture first.

Qwen3 (:func:`merged_positions`): no chunks, tokens are merged by time, 13 positions to the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


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

    ``times`` are (n,), the time of each token in positions, not decreasing, the first below
    ``per_chunk``. Returns half-open index ranges that cover ``0..n`` in order.
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

    ``sound`` is how many tokens the sound has, ``seconds_per_step`` the seconds from one time step
    of the grid to the next.
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

    Arguments are as in :func:`token_order` (seconds are used in single precision, as the model
    does) and ``start``, the position of the span's first token. Returns ``(3, n)`` positions in
    time, height and width, and the position of what follows: it continues after the *last chunk*,
    not after the highest position of the span.
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


def merged_order(grid: Grid, sound: int, seconds_per_step: float, per_second: int) -> list[bool]:
    """Return for each token of Qwen3-Omni, in order, whether it is one of the picture's."""
    picture = np.repeat(np.arange(grid.t) * seconds_per_step * per_second, grid.frame)
    # A stable sort of picture before sound is their merge, equal times included.
    order = np.argsort(np.concatenate([picture, np.arange(sound)]), kind="stable")
    return [bool(token < len(picture)) for token in order]


def merged_positions(
    grid: Grid, sound: int, seconds_per_step: float, per_second: int, start: float
) -> tuple[FloatArray, float]:
    """Compute Qwen3-Omni's ``(3, n)`` positions of an interleaved span, its marks not included.

    Tokens are merged by time; where picture and sound have the same time, the picture comes first.
    Times are those of transformers 5.19 (``Qwen3OmniMoePreTrainedModelForConditionalGeneration.
    get_rope_index``), in single precision. They may be fractions. Returns also the position of what
    follows: it continues after the last run of tokens of one kind.
    """
    steps = np.arange(grid.t).astype(np.float32) * np.float32(seconds_per_step)
    times = np.repeat(steps * np.float32(per_second) + np.float32(start), grid.frame)
    rows = np.tile(np.repeat(np.arange(grid.h), grid.w), grid.t) + np.float32(start)
    columns = np.tile(np.arange(grid.w), grid.t * grid.h) + np.float32(start)
    picture = np.stack([times, rows, columns]).astype(np.float32)
    sounds = np.broadcast_to(np.arange(sound) + np.float32(start), (3, sound)).astype(np.float32)
    order = np.argsort(np.concatenate([times, sounds[0]]), kind="stable")
    span: FloatArray = np.concatenate([picture, sounds], axis=1)[:, order]
    of_picture = order < len(times)
    others = np.flatnonzero(of_picture != of_picture[-1])
    last_run = 0 if not len(others) else int(others[-1]) + 1
    return span, float(span[:, last_run:].max()) + 1


@dataclass(frozen=True)
class Span:
    """The tokens of a medium in a prompt.

    With both a grid and sound it is interleaved, and begins with the mark of the sound's begin.
    """

    offset: int
    grid: Grid | None = None
    sound: int | None = None  # tokens
    seconds_per_step: float = 1.0


class _Prompt:
    """Positions of the tokens so far, and that of the next one."""

    def __init__(self) -> None:
        self.pieces: list[npt.NDArray[Any]] = []
        self.count = 0
        self.following: float = 0

    def text(self, to: int) -> None:
        """Count on to a token."""
        count = to - self.count
        self.add(np.broadcast_to(np.arange(count) + self.following, (3, count)))
        self.following += count

    def add(self, piece: npt.NDArray[Any]) -> None:
        self.pieces.append(piece)
        self.count += piece.shape[1]

    def whole(self) -> IntArray:
        """Return ``(3, n)``, fractions rounded down."""
        whole: IntArray = np.floor(np.concatenate(self.pieces, axis=1)).astype(np.int64)
        return whole


def prompt_positions(spans: Iterable[Span], length: int, clock: Clock) -> IntArray:
    """Return Qwen2.5-Omni's ``(3, length)`` positions of a whole prompt."""
    prompt = _Prompt()
    for span in spans:
        prompt.text(span.offset)
        start = int(prompt.following)
        if span.grid is None:
            prompt.text(span.offset + (span.sound or 0))
        elif span.sound is None:
            piece, _ = positions(span.grid, 0, span.seconds_per_step, clock, start)
            prompt.add(piece)
            # Without sound, what follows continues after the highest position.
            prompt.following = int(piece.max()) + 1
        else:
            # <|audio_bos|>, at the position of <|vision_bos|> before it.
            prompt.add(np.full((3, 1), start - 1))
            piece, end = positions(span.grid, span.sound, span.seconds_per_step, clock, start)
            prompt.add(piece)
            # <|audio_eos|> shares a position with <|vision_eos|> behind it.
            prompt.add(np.full((3, 2), end))
            prompt.following = end + 1
    prompt.text(length)
    return prompt.whole()


def merged_prompt_positions(spans: Iterable[Span], length: int, per_second: int) -> IntArray:
    """Return Qwen3-Omni's ``(3, length)`` positions of a whole prompt, rounded down.

    In transformers they stay fractions. An engine whose positions are whole numbers gets them
    rounded *after* the merge and to the end of the prompt, so that each token keeps its place.
    (vLLM rounds before it merges, and then gives patches of the picture the positions of sound
    wherever a step is not a whole number of positions.)
    """
    prompt = _Prompt()
    for span in spans:
        # An interleaved one's first mark is counted as text, and so are its last ones.
        prompt.text(span.offset + (span.grid is not None and span.sound is not None))
        if span.grid is None:
            prompt.text(span.offset + (span.sound or 0))
            continue
        piece, following = merged_positions(
            span.grid, span.sound or 0, span.seconds_per_step, per_second, prompt.following
        )
        prompt.add(piece)
        prompt.following = following
    prompt.text(length)
    return prompt.whole()
