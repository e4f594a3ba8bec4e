"""How large the source is, beside what it may be: ``python -m benchmarks.size``.

Counted is Python outside ``tests/``, as git knows it, without empty files. Exit code 1 where a
limit is passed. Short: it only counts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SHORT = 60
"""Lines. A module with fewer needs a reason, which its docstring states."""


def counts(lines: dict[str, int]) -> Iterator[tuple[str, int, int | None]]:
    """Yield what is counted in files of so many lines, how many there are, and the most allowed."""
    modules = [name for name in lines if not name.endswith("__init__.py")]
    # 17,500 lines in 120 files, and what was added since: report, comparison, bundles (22,000 in
    # 145); other suites (24,500 in 160); judges with dates, profiles of one's own, the bridge;
    # gemini_video, Gemma-3n, what is known of others' models.
    yield "lines of Python outside tests/", sum(lines.values()), 31_000
    yield "files with content", len(lines), 182
    judge = sum(name.startswith("ugc_tasks/judge/") for name in modules)
    yield "modules in ugc_tasks/judge", judge, 17
    for wing, most in (("ugc_tasks", 3), ("ugc_models", 7)):
        top = sum(name.startswith(f"{wing}/") and name.count("/") == 1 for name in modules)
        yield f"modules at the top of {wing}", top, most
    short = sorted(name for name in modules if lines[name] < SHORT)
    yield f"modules under {SHORT} lines", len(short), None
    for name in short:
        yield f"  {name}", lines[name], None


def lines_of_source() -> dict[str, int]:
    """Return how many lines each file of Python outside ``tests/`` has, without the empty ones."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    files = [PROJECT / name for name in listed.stdout.split() if not name.startswith("tests/")]
    found = {path: len(path.read_bytes().splitlines()) for path in files if path.exists()}
    return {path.relative_to(PROJECT).as_posix(): count for path, count in found.items() if count}


def main() -> int:
    """Print the counts; return an exit code."""
    over = False
    for what, value, most in counts(lines_of_source()):
        over |= most is not None and value > most
        verdict = "" if most is None else f": at most {most:,}, {'OVER' if value > most else 'ok'}"
        print(f"{value:7,}  {what}{verdict}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
