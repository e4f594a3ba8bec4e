"""What may import what, and how long a judged document's way from lmms-eval to its row is."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ugc_tasks
from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.lmms.hooks import PrefetchFilter

PACKAGE = Path(ugc_tasks.__file__).parent
LAYERS = (
    {"common"},
    {"data"},
    {"benchmark"},
    {"judge", "estimate"},
    {"results"},
    {"bridge"},
    {"report"},
    {"run"},
    {"lmms"},
    {"caption", "choice", "ocr", "detail"},
    {"submit"},
    {"sample", "cli"},
)
"""From the lowest up; a module may import its own layer and those below."""

EXCEPTIONS = {
    "results.replay": {"run", "register"},  # a model of lmms-eval: it changes what a run looks for
}


MOST_MODULES = 14
"""Nine of them the judge's: a request is checked, paid for, sent, tried again and stored."""


def layer(module: str) -> int:
    room = module.partition(".")[0]
    return next(place for place, rooms in enumerate(LAYERS) if room in rooms)


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the modules below ``ugc_tasks``, without its own name in front."""
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name and name != "register":
            yield name, path


def imported(path: Path) -> Iterator[str]:
    """Yield what a module imports from ``ugc_tasks``, in functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "ugc_tasks":
                names = [f"ugc_tasks.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (n.removeprefix("ugc_tasks.") for n in names if n.startswith("ugc_tasks."))


def test_no_module_imports_a_higher_layer() -> None:
    found = dict(modules())
    assert len(found) > 40
    upward = [
        f"{name} imports {other}"
        for name, path in found.items()
        for other in imported(path)
        if other not in EXCEPTIONS.get(name, ()) and layer(other) > layer(name)
    ]
    assert upward == []


class Way:
    """The modules of ours that are entered in all threads, once ``begin`` was called."""

    def __init__(self) -> None:
        self.entered: set[str] = set()
        self.climbs: set[tuple[str, str]] = set()
        self._begun = False

    def begin(self) -> None:
        self._begun = True

    def called(self, frame: FrameType, event: str, _: Any) -> None:
        if not self._begun or event != "call" or not (here := self._module(frame)):
            return
        self.entered.add(here)
        caller = frame.f_back
        while caller is not None and not (there := self._module(caller)):
            caller = caller.f_back
        if caller is not None and layer(here) > layer(there):
            self.climbs.add((there, here))

    @staticmethod
    def _module(frame: FrameType) -> str:
        path = Path(frame.f_code.co_filename)
        if PACKAGE not in path.parents or frame.f_code.co_name == "<module>":
            return ""
        return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.fixture
def way() -> Iterator[Way]:
    """What threads that begin from now on pass through; this one too."""
    way = Way()
    threading.setprofile(way.called)
    sys.setprofile(way.called)
    yield way
    sys.setprofile(None)
    threading.setprofile(None)


def test_a_judged_document_passes_few_modules_and_does_not_climb(
    load_task: LoadTask, make_home: MakeHome, judge_server: JudgeServer, way: Way
) -> None:
    make_home(2)
    task = load_task("ugc_videocap")
    docs = list(task.eval_docs)
    answers = PrefetchFilter().apply([["One caption."], ["Another."]], docs)
    task.process_results(docs[0], [answers[0]])  # opens the store and the connection
    way.begin()
    row = task.process_results(docs[1], [answers[1]])
    assert row["visual"] == 80.0
    assert way.climbs == set()
    assert len(way.entered) <= MOST_MODULES, sorted(way.entered)
