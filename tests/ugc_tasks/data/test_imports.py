"""The data stand below the tasks: what reads them knows of no task, no judge and no result."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ugc_tasks import data

MODULES = sorted(Path(data.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_nothing_is_imported_from_above(module: Path) -> None:
    nodes = list(ast.walk(ast.parse(module.read_text())))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    ours = {name.split(".")[1] for name in names if name.startswith("ugc_tasks.")}
    assert ours <= {"common", "data"}
    assert not any(name.startswith("ugc_models") for name in names)
