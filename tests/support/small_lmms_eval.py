"""The installed lmms-eval, quick to start: without its own tasks and without ``evaluate``.

The code is the installed one, by links. Reading its thousand YAML files takes it ten seconds, and
importing ``evaluate`` (metrics by name, of which a list of tasks needs none) fifteen more.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def link_small_lmms_eval(folder: Path) -> Path:
    """Make a package ``lmms_eval`` in ``folder``, to be put on PYTHONPATH; return ``folder``."""
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    tasks = folder / "lmms_eval" / "tasks"
    tasks.mkdir(parents=True)
    for path in installed.iterdir():
        if path.name not in {"tasks", "__pycache__"}:
            (folder / "lmms_eval" / path.name).symlink_to(path)
    for name in ("__init__.py", "_task_utils"):
        (tasks / name).symlink_to(installed / "tasks" / name)
    (folder / "evaluate.py").write_text('"""Stands in for the library of that name."""\n')
    return folder
