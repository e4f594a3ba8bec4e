"""ARCHITECTURE.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`([\w/]+(?:\.py|/))`", TEXT)))
SOURCES = [
    *(p for folder in ("ugc_tasks", "ugc_models") for p in (PROJECT / folder).rglob("*.py")),
]


def test_it_names_modules() -> None:
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_each_file_and_folder_is_there(name: str) -> None:
    """A name without its package is one that ends a path of the source."""
    found = (PROJECT / name).exists() or any(
        str(path.relative_to(PROJECT)).endswith(f"/{name}") for path in SOURCES
    )
    assert found, f"ARCHITECTURE.md names {name}"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        (name, module)
        for module, names in {
            "ugc_models/run/answering.py": ("generate_until",),
            "ugc_models/run/pipeline.py": ("class Reader", "class Pipeline", "def run"),
            "ugc_models/engine/base.py": ("class Engine",),
            "ugc_tasks/lmms/hooks.py": ("process_judged",),
            "ugc_tasks/judge/judge.py": ("def submit",),
            "ugc_tasks/judge/protocol/profiles.py": ("QUESTIONS",),
            "ugc_tasks/benchmark.py": ("class Spec",),
        }.items()
        for name in names
    ],
)
def test_what_it_names_in_a_module_is_in_it(name: str, module: str) -> None:
    assert name.rsplit(maxsplit=1)[-1] in TEXT
    assert name in (PROJECT / module).read_text(encoding="utf-8")
