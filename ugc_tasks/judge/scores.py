"""What a judgment says, as named numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Scores(Mapping[str, float]):
    """What a judgment says: named numbers, at least one, which do not change.

    ``Scores(4, 3, 5)`` is a caption's: visual, audio, details, each from 1 (worst) to 5, whole
    numbers from a judge and fractions from an estimate. Those of another question are given and
    found by name: ``Scores(consistent=1.0)["consistent"]``.
    """

    def __init__(
        self,
        visual: float | None = None,
        audio: float | None = None,
        details: float | None = None,
        **others: float,
    ) -> None:
        """Take the values there are; raises ``ValueError`` for none at all."""
        caption = {"visual": visual, "audio": audio, "details": details}
        values = {name: value for name, value in caption.items() if value is not None} | others
        if not values:
            raise ValueError("scores have at least one value")
        self._values = values

    @property
    def visual(self) -> float:
        """How well what can be seen is told; ``AttributeError`` where this was not judged."""
        return self._value("visual")

    @property
    def audio(self) -> float:
        """How well what can be heard is told; ``AttributeError`` where this was not judged."""
        return self._value("audio")

    @property
    def details(self) -> float:
        """How well the particulars are told; ``AttributeError`` where this was not judged."""
        return self._value("details")

    def __getitem__(self, name: str) -> float:
        """Return the value ``name``; raises ``KeyError``."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._values)

    def __hash__(self) -> int:
        """Hash as it compares: by names and values, in any order."""
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"Scores({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def _value(self, name: str) -> float:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"{name} was not judged, only {', '.join(self)}") from None
