"""How common a word is in this benchmark: what agreement on it is worth.

The counts are of the published references; ``benchmarks/fit_offline.py`` writes them. A stem that
is not among them is rare: a name, a brand, a word of the speech. Agreement on those tells most.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("vocabulary.json")


@dataclass(frozen=True)
class Vocabulary:
    """In how many of ``references`` texts each stem that is common occurs."""

    references: int
    common: Mapping[str, int]
    rare_in: float
    """In how many a stem that is not common is taken to occur."""

    def weight(self, stem: str) -> float:
        """Return the inverse document frequency of ``stem``: log of texts by texts with it."""
        return math.log(self.references / self.common.get(stem, self.rare_in))

    def is_rare(self, stem: str) -> bool:
        """Tell whether ``stem`` is not common."""
        return stem not in self.common


@functools.cache
def load_vocabulary() -> Vocabulary:
    """Return the counts that the package was built with."""
    data = json.loads(FILE.read_text(encoding="utf-8"))
    return Vocabulary(data["references"], data["common"], data["rare_in"])
