"""Tables that tests print at the end of a run, whichever of its processes made them."""

from __future__ import annotations

from typing import Any

import pytest

_TABLES = pytest.StashKey[list[str]]()


def print_at_end(config: pytest.Config, table: str) -> None:
    """Have a table printed below the results of this run."""
    sent = getattr(config, "workeroutput", None)  # to the process that prints, under xdist
    tables = config.stash.setdefault(_TABLES, []) if sent is None else sent.setdefault("tables", [])
    tables.append(table)


def receive(node: Any) -> None:
    """Take the tables of a worker that has ended."""
    tables = getattr(node, "workeroutput", {}).get("tables", ())
    node.config.stash.setdefault(_TABLES, []).extend(tables)


def tables_of(config: pytest.Config) -> list[str]:
    """Return the tables of this run."""
    return config.stash.get(_TABLES, [])
