"""Judges that are made from the grades of another, to see what a bridge to it says of them.

Each takes old grades (models x clips x dimensions, 1 to 5), the captions' lengths and a generator,
and returns its own grades of the same answers. ``noise`` is partly the same in all dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ugc_tasks.bridge.line import Paired
from ugc_tasks.bridge.plan import drawn_scores, graded

Array = Any
Judge = Callable[[Array, Array, np.random.Generator], Array]


def paired(old: Array, new: Array, models: Sequence[int] | None = None) -> list[Paired]:
    ids = [f"PI-{clip}" for clip in range(old.shape[1])]
    return [
        Paired(str(m), ids, 20 * old[m], 20 * new[m])
        for m in (range(len(old)) if models is None else models)
    ]


def drawn(judge: Judge, seed: int, models: int, clips: int) -> tuple[Array, Array]:
    """Return grades of models that vary as the recorded do, by an old judge and ``judge``."""
    random = np.random.default_rng(seed)
    old = drawn_scores(models, clips, random)
    length = random.normal(0, 0.7, (models, clips)) + random.normal(0, 0.7, (models, 1))
    return old, judge(old, length, random)


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


def odd(old: Array, _: Array, random: np.random.Generator) -> Array:
    return graded(old + random.normal(0, 0.7, (1, *old.shape[1:])) + noise(old, 0.5, random))


def uneven(old: Array, _: Array, random: np.random.Generator) -> Array:
    return graded(old + noise(old, 1.0, random) * (5.5 - old) / 3)


def deaf_at_times(old: Array, _: Array, random: np.random.Generator) -> Array:
    new = graded(old + noise(old, 0.5, random))
    new[..., 1] = np.where(random.random(old.shape[:2]) < 0.4, 1, new[..., 1])
    return new


def drifting(old: Array, _: Array, random: np.random.Generator) -> Array:
    return graded(old + np.linspace(-0.6, 0.6, old.shape[1])[:, None] + noise(old, 0.5, random))


def gives_up(old: Array, _: Array, random: np.random.Generator) -> Array:
    new = graded(old + noise(old, 0.5, random))
    new[:, 2 * old.shape[1] // 3 :] = 3
    return new


def heavy_favours(old: Array, _: Array, random: np.random.Generator) -> Array:
    own = 0.04 * random.standard_t(3, (len(old), 1, 3))
    return graded(old + own + noise(old, 0.5, random))


def against_some(old: Array, _: Array, random: np.random.Generator) -> Array:
    disliked = random.random((len(old), 1, 1)) < 0.3
    return graded(old - 0.7 * disliked + noise(old, 0.5, random))


def of_the_clip_alone(old: Array, _: Array, random: np.random.Generator) -> Array:
    return graded(3 + random.normal(0, 1, (1, *old.shape[1:])) + noise(old, 0.5, random))


def models_the_other_way_round(old: Array, _: Array, random: np.random.Generator) -> Array:
    level = old.mean(1, keepdims=True)
    return graded(old - 2 * (level - level.mean(0)) + noise(old, 0.5, random))


THREE = np.array([0, 1, 1, 3, 5, 5])

WITH_A_MAP: dict[str, Judge] = {
    "the same, noisy": changed(lambda old: old),
    "shifted": changed(lambda old: old - 0.7),
    "compressed": changed(lambda old: 3.5 + 0.5 * (old - 3), 0.4),
    "noisier": changed(lambda old: old, 1.3),
    "harsh on audio": changed(lambda old: old - np.array([0, 1.2, 0])),
    "better at telling models apart": tells_more,
    "half asleep": half_asleep,
    "with small favours": favours(0.05),
    "odd about clips": odd,
    "three grades": lambda old, _, random: THREE[
        graded(old + noise(old, 0.5, random)).astype(int)
    ].astype(float),
    "ends at 5": changed(lambda old: old + 1.2),
    "bent": changed(lambda old: 1 + 4 * ((old - 1) / 4) ** 2),
}
"""The bridge's method was chosen on these, on recorded scores of twelve models."""
HELD_OUT: dict[str, Judge] = {
    "gives no 5": lambda *given: np.minimum(4, WITH_A_MAP["the same, noisy"](*given)),
    "from 2 to 4": lambda *given: np.clip(WITH_A_MAP["the same, noisy"](*given), 2, 4),
    "kind to the poor": changed(lambda old: np.where(old <= 2, old + 1, old)),
    "noisier on the poor": uneven,
    "hears other dimensions": changed(lambda old: 0.6 * old + 0.4 * np.roll(old, 1, -1)),
    "one mood for all dimensions": changed(lambda old: (old + old.mean(-1, keepdims=True)) / 2),
    "drifting": drifting,
    "strict and sharp": changed(lambda old: 2.5 + 1.5 * (old - 3)),
    "half grades": lambda old, _, random: np.clip(
        np.rint(2 * (old - 0.3 + noise(old, 0.5, random))) / 2, 1, 5
    ),
    "deaf at times": deaf_at_times,
    "with heavy-tailed favours": heavy_favours,
}
"""First run after the method had been chosen. Three did badly and were mended: errors that cancel
in the average ("hears other dimensions", "one mood"), slopes that part ("deaf at times")."""
HELD_OUT_LAST: dict[str, Judge] = {
    "never below 2": lambda *given: np.maximum(2, changed(lambda old: old + 0.5)(*given)),
    "looks at the worst": changed(lambda old: 0.7 * old + 0.3 * old.min(-1, keepdims=True)),
    "gives up": gives_up,
    "sharp here, dull there": changed(lambda old: 3 + np.array([1.4, 1.0, 0.6]) * (old - 3)),
    "noisier on long captions": lambda old, length, random: graded(
        old + noise(old, 0.5, random) * (1 + abs(length[..., None]))
    ),
}
"""These, and the held-out ones below, were run after that, and nothing was changed for them."""
ORDER_ALONE: dict[str, Judge] = {
    "with favours": favours(0.25),
    "against some models (held out)": against_some,
}
WITHOUT: dict[str, Judge] = {
    "random": lambda old, _, random: random.integers(1, 6, old.shape).astype(float),
    "the other way round": changed(lambda old: 6 - old),
    "of length alone": changed(lambda old: np.full_like(old, 3.0), 0.5, 1.0),
    "of the clip alone (held out)": of_the_clip_alone,
    "models the other way round (held out)": models_the_other_way_round,
    "always 4": lambda old, _length, _random: np.full_like(old, 4.0),
}
LONG = changed(lambda old: old, 0.5, 0.5)
