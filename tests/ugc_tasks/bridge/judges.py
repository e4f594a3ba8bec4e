"""Judges that are made from the grades of another, to see what a bridge to it says of them.

Each takes old grades (models x clips x dimensions, 1 to 5), the captions' lengths and a generator,
and returns its own grades of the same answers. ``noise`` is partly the same in all dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ugc_tasks.bridge.plan import graded

Array = Any
Judge = Callable[[Array, Array, np.random.Generator], Array]


def noise(like: Array, size: float, random: np.random.Generator) -> Array:
    own = random.normal(0, 0.8 * size, like.shape)
    return own + random.normal(0, 0.6 * size, (*like.shape[:2], 1))


def half_asleep(old: Array, _: Array, random: np.random.Generator) -> Array:
    awake = random.random((*old.shape[:2], 1)) < 0.5
    return np.where(awake, graded(old + noise(old, 0.5, random)), 3)


def tells_more(old: Array, _: Array, random: np.random.Generator) -> Array:
    level = old.mean(1, keepdims=True)
    return graded(old + 0.6 * (level - level.mean(0)) + noise(old, 0.5, random))


def favours(size: float) -> Judge:
    """Return a judge that favours some models, each dimension of each by its own amount."""

    def judge(old: Array, _: Array, random: np.random.Generator) -> Array:
        own = random.normal(0, size, (len(old), 1, 3))
        return graded(old + own + noise(old, 0.5, random))

    return judge


def changed(change: Callable[[Array], Array], size: float = 0.5, long: float = 0.0) -> Judge:
    return lambda old, length, random: graded(
        change(old) + long * length[..., None] + noise(old, size, random)
    )


WITH_A_MAP: dict[str, Judge] = {
    "the same, noisy": changed(lambda old: old),
    "shifted": changed(lambda old: old - 0.7),
    "compressed": changed(lambda old: 3.5 + 0.5 * (old - 3), 0.4),
    "noisier": changed(lambda old: old, 1.3),
    "harsh on audio": changed(lambda old: old - np.array([0, 1.2, 0])),
    "better at telling models apart": tells_more,
    "half asleep": half_asleep,
    "with small favours": favours(0.05),
}
ORDER_ALONE: dict[str, Judge] = {
    "with favours": favours(0.25),
}
WITHOUT: dict[str, Judge] = {
    "random": lambda old, _, random: random.integers(1, 6, old.shape).astype(float),
    "the other way round": changed(lambda old: 6 - old),
    "of length alone": changed(lambda old: np.full_like(old, 3.0), 0.5, 1.0),
    "always 4": lambda old, _length, _random: np.full_like(old, 4.0),
}
LONG = changed(lambda old: old, 0.5, 0.5)
