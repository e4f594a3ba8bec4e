"""How large the source is, beside what it may be: ``python -m benchmarks.size``.

Counted is Python outside ``tests/``, as git knows it; empty files are none. It prints each count
with its limit and is not a test. Exit code 1 where a limit is passed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clips import PROJECT

SHORT = 60
"""Lines. A module with fewer needs a reason, which its docstring states."""
PARTS = ("ugc_tasks", "ugc_tasks/judge", "ugc_models", "ugc_models/engine", "ugc_models/media",
         "ugc_models/decoding", "benchmarks")  # fmt: skip


@dataclass(frozen=True)
class Count:
    """A figure, and the most that it may be; None where nothing is said."""

    what: str
    value: int
    limit: int | None = None

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.value:7,}  {self.what}"
        verdict = "ok" if self.value <= self.limit else "OVER"
        return f"{self.value:7,}  {self.what}: at most {self.limit:,}, {verdict}"


def counts(lines: dict[str, int]) -> Iterator[Count]:
    """Yield the counts, given how many lines each file has."""
    yield Count("lines of Python outside tests/", sum(lines.values()), 17_500)
    yield Count("files with content", len(lines), 120)
    yield Count("modules in ugc_tasks/judge", len(_in(lines, "ugc_tasks/judge", deep=True)), 16)
    yield Count("modules at the top of ugc_tasks", len(_in(lines, "ugc_tasks")), 3)
    yield Count("modules at the top of ugc_models", len(_in(lines, "ugc_models")), 7)
    for part in PARTS:
        inside = _in(lines, part, deep=True, packages=True)
        yield Count(f"lines in {part}, in {len(inside)} files", sum(lines[name] for name in inside))
    short = [name for name in lines if lines[name] < SHORT and not name.endswith("__init__.py")]
    yield Count(f"modules under {SHORT} lines", len(short))
    for name in sorted(short):
        yield Count(f"  {name}", lines[name])


def _in(
    lines: dict[str, int], part: str, *, deep: bool = False, packages: bool = False
) -> list[str]:
    inside = [name for name in lines if name.startswith(f"{part}/")]
    if not packages:
        inside = [name for name in inside if not name.endswith("__init__.py")]
    return inside if deep else [name for name in inside if name.count("/") == part.count("/") + 1]


def lines_of_source(project: Path = PROJECT) -> dict[str, int]:
    """Return how many lines each file of Python outside ``tests/`` has, without the empty ones."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=project, capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.splitlines() if not name.startswith("tests/")]
    found = {
        name: len((project / name).read_text("utf-8").splitlines())
        for name in names
        if (project / name).exists()
    }
    return {name: count for name, count in found.items() if count}


def main() -> int:
    """Print the counts; return an exit code."""
    all_counts = list(counts(lines_of_source()))
    print(*all_counts, sep="\n")
    return int(any(each.limit is not None and each.value > each.limit for each in all_counts))


if __name__ == "__main__":
    sys.exit(main())
