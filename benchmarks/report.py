"""The figures of a benchmark: a Markdown table to read, JSON to compare with, and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure; ``ratio`` is the value over that of the way compared with, of the same round."""

    what: str
    measure: str
    value: float | str  # in words why there is none
    unit: str = ""
    ratio: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return what a reader sees."""
        value = self.value
        if not isinstance(value, str):
            value = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what.replace("|", "\\|"), self.measure, value, self.unit, ratio


@dataclass(frozen=True)
class Report:
    """A benchmark's figures and the machine they were taken on."""

    title: str
    rows: Sequence[Row]
    machine: dict[str, str]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table in Markdown, its columns aligned."""
        lines = [("what", "measure", "value", "unit", "ratio"), *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, tuple("-" * width for width in widths))
        table = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"# {self.title}", "", *table, "", *notes, "", f"Machine: {machine}."])

    def publish(self, name: str, folder: Path) -> Report:
        """Print the table, and write ``name``.md and ``name``.json into the folder."""
        print(self.text())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.text() + "\n", "utf-8")
        (folder / f"{name}.json").write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")
        return self


def machine(packages: Iterable[str] = ()) -> dict[str, str]:
    """Return what is worth knowing of this machine, and the versions of these packages."""
    facts = {"cores": str(os.cpu_count()), "CPU": platform.machine(), "system": platform.system()}
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            facts["CPU"] = line.partition(":")[2].strip()
    facts |= {"Python": platform.python_version(), "load": f"{os.getloadavg()[0]:.1f}"}
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts
