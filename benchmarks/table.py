"""Figures of a benchmark: an aligned table to read, JSON and Markdown to keep."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_HEADINGS = ("what", "measure", "value", "unit", "ratio")


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    """Whose figure it is."""
    measure: str
    value: float | str
    """A number; or words, where there is none, on why."""
    unit: str = ""
    ratio: float | None = None
    """The figure over that of the way compared with, measured side by side."""

    def cells(self) -> tuple[str, ...]:
        """Return what a reader sees."""
        value = self.value if isinstance(self.value, str) else f"{self.value:,.3g}"
        if isinstance(self.value, float | int) and abs(self.value) >= 1000:
            value = f"{self.value:,.0f}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what, self.measure, value, self.unit, ratio


@dataclass(frozen=True)
class Report:
    """A benchmark's figures and the machine they were taken on."""

    title: str
    rows: Sequence[Row]
    machine: dict[str, str]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table, its columns aligned."""
        lines: list[tuple[str, ...]] = [_HEADINGS, *(row.cells() for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
        aligned = [
            "  ".join(
                cell.rjust(width) if column in (2, 4) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *aligned, "", *self.notes])

    def markdown(self) -> str:
        """Return the table in Markdown, the machine below it."""
        lines: list[tuple[str, ...]] = [_HEADINGS, ("---", "---", "---:", "---", "---:")]
        lines += [row.cells() for row in self.rows]
        table = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        ]
        notes = [f"- {note}" for note in self.notes]
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n".join(
            [f"# {self.title}", "", *table, "", *notes, "", f"Machine: {machine}.", ""]
        )

    def write(self, name: str, folder: Path = RESULTS) -> list[Path]:
        """Write ``name``.json and ``name``.md into the folder; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        figures = {
            "title": self.title,
            "rows": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
            "machine": self.machine,
        }
        paths = [folder / f"{name}.json", folder / f"{name}.md"]
        paths[0].write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        paths[1].write_text(self.markdown(), encoding="utf-8")
        return paths


def machine(packages: Iterable[str] = ()) -> dict[str, str]:
    """Return what is worth knowing of this machine, and the versions of these packages."""
    facts = {
        "cores": str(os.cpu_count()),
        "CPU": _processor(),
        "system": platform.system(),
        "Python": platform.python_version(),
    }
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
