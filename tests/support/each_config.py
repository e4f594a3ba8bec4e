"""Runs ``lmms-eval`` again and again in one process, each time as a command of its own.

Its imports take longest, and the runs are many. ``python -m tests.support.each_config CASES``: a
JSON list of ``{"name", "argv", "env"}``; what each run writes comes after a line with its name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HEAD = "=== run "


def run_each(
    cases: Sequence[Mapping[str, Any]], cwd: Path, env: Mapping[str, str], timeout: float
) -> dict[str, str]:
    """Return what each run wrote, by its name."""
    file = cwd / "cases.json"
    file.write_text(json.dumps(cases))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.each_config", str(file)],
        cwd=cwd,
        env={**env, "PYTHONPATH": os.pathsep.join([env.get("PYTHONPATH", ""), str(root)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    parts = done.stdout.split(_HEAD)[1:]
    return dict(part.split("\n", 1) for part in parts)


def _main() -> None:
    from lmms_eval.__main__ import cli_evaluate

    before = dict(os.environ)
    for case in json.loads(Path(sys.argv[1]).read_text("utf-8")):
        print(f"{_HEAD}{case['name']}", flush=True)
        os.environ.clear()
        os.environ.update({**before, **case["env"]})
        sys.argv = ["lmms-eval", *case["argv"]]
        try:
            cli_evaluate()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _main()
