"""How long the soak tests run: ``pytest tests/soak --rounds 2000``."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        default=None,
        help="how many rounds each soak test runs; a short form of its own choice unless given",
    )


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return the number of rounds, given the test's own for a short run."""
    # As part of the whole suite this file is read after the command line: no such option then.
    asked = request.config.getoption("--rounds", default=None)
    return lambda short: short if asked is None else int(asked)
