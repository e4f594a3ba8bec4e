"""The fitted figures of the estimate, as ``benchmarks/fit_offline.py`` wrote them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_tasks.estimate import vocabulary
from ugc_tasks.judge.forms import DIMENSIONS

FILE = Path(__file__).with_name("weights.json")


@dataclass(frozen=True)
class Linear:
    """An intercept and a coefficient for each measure by name."""

    intercept: float
    coefficients: Mapping[str, float]

    def of(self, measured: Mapping[str, float]) -> float:
        """Return the weighted sum of what is ``measured``."""
        terms = (weight * measured[name] for name, weight in self.coefficients.items())
        return self.intercept + sum(terms)


@dataclass(frozen=True)
class Spread:
    """How far off estimates are, in points of 100.

    Attributes:
        model: half of the 95 % interval of a mean over very many clips, from the models left out.
        clip: standard deviation of a clip's judged score.
    """

    model: float
    clip: float


@dataclass(frozen=True)
class Weights:
    """All figures.

    Attributes:
        version: name of this way of estimating.
        sha256: digest of every figure that an estimate depends on.
        fitted_on: the models whose captions it was fitted to.
        agreement: what agreement with the reference adds to a dimension.
        style: what makes a caption look like those of the models that stand above the others.
        above: what looking like those adds to a dimension.
        spread: by column, ``average`` among them.
        usual: lowest and highest value, in captions fitted to, of the measures that tell captions
            from other texts.
    """

    version: str
    sha256: str
    fitted_on: tuple[str, ...]
    agreement: Mapping[str, Linear]
    style: Linear
    above: Mapping[str, float]
    spread: Mapping[str, Spread]
    usual: Mapping[str, tuple[float, float]]


@functools.cache
def load_weights() -> Weights:
    """Return the figures that the package was built with."""
    raw = FILE.read_bytes()
    data = json.loads(raw)
    return Weights(
        version=data["version"],
        sha256=hashlib.sha256(raw + vocabulary.FILE.read_bytes()).hexdigest(),
        fitted_on=tuple(data["fitted_on"]),
        agreement={name: _linear(data[name]) for name in DIMENSIONS},
        style=_linear(data["style"]),
        above={name: data[name]["above"] for name in DIMENSIONS},
        spread={name: Spread(**spread) for name, spread in data["spread"].items()},
        usual={name: (low, high) for name, (low, high) in data["usual"].items()},
    )


def _linear(data: Mapping[str, Any]) -> Linear:
    return Linear(data["intercept"], data["coefficients"])
