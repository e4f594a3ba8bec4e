"""How long the soak tests run: ``pytest tests/soak --rounds 2000``."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return the number of rounds, given the test's own for a short run."""
    asked = request.config.getoption("--rounds")
    return lambda short: short if asked is None else int(asked)
