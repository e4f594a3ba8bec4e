"""What docs/ lists is what there is: arguments, variables, commands, keys of the files."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support.documents import (
    OTHER_PAGES,
    PAGES,
    PROJECT,
    TARGETS,
    named,
    spans,
)
from ugc_models.config import Settings
from ugc_models.gemini.settings import GeminiSettings
from ugc_tasks.benchmark import SPECS
from ugc_tasks.cli import main as cli

OPTIONS = (PROJECT / "docs" / "options.md").read_text("utf-8")
COMMANDS = (PROJECT / "docs" / "commands.md").read_text("utf-8")
RESULTS = (PROJECT / "docs" / "results.md").read_text("utf-8")
PROTOCOL = (PROJECT / "docs" / "protocol.md").read_text("utf-8")

INTERNAL = {"UGC_ENGINE_OWNER"}  # set by an engine for its own processes
MENTIONED = re.compile(r"\bUGC_[A-Z]+(?:_[A-Z]+)*\b")
WHOLE = re.compile(r"(?:ugc-videocap|make) [a-z]")


def first_cells(text: str) -> set[str]:
    """Return the names in the first column of a page's tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command of ``ugc-videocap``."""
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    for module in vars(cli).values():
        if hasattr(module, "add_parsers"):
            module.add_parsers(subparsers)
    return dict(subparsers.choices)


PARSERS = parsers()


def test_every_argument_of_the_model_is_in_the_table() -> None:
    both = (*fields(Settings), *fields(GeminiSettings))
    ours = {field.name for field in both} - {"engine", "beside"}
    assert ours <= first_cells(OPTIONS)


def test_every_variable_of_ours_is_in_the_table_and_none_that_is_not() -> None:
    sources = [
        p for folder in ("ugc_tasks", "ugc_models") for p in (PROJECT / folder).rglob("*.py")
    ]
    named_in_code = {name for p in sources for name in MENTIONED.findall(p.read_text("utf-8"))}
    named_in_docs = {name for page in PAGES for name in MENTIONED.findall(page.read_text("utf-8"))}
    listed = {name for name in first_cells(OPTIONS) if name.startswith("UGC_")}
    assert named_in_code - INTERNAL == listed
    assert named_in_docs <= listed


def test_every_command_is_in_the_table() -> None:
    assert set(PARSERS) <= first_cells(COMMANDS)


def test_every_task_is_in_the_table() -> None:
    assert {spec.task for spec in SPECS.values()} | {"ugc_videocap_full"} <= first_cells(PROTOCOL)


def test_every_key_of_a_row_is_described() -> None:
    schema = json.loads((PROJECT / "ugc_tasks/submit/bundle.schema.json").read_text())["$defs"]
    figures = {name for spec in SPECS.values() for name in (spec.name, *spec.columns)}
    left = {
        key
        for key, value in schema["row"]["properties"].items()
        if f"`{key}`" not in RESULTS and key not in figures
        # a table describes estimates by the first of them, and figures by the task's name
        if value != {"$ref": "#/$defs/figure"}
    }
    assert left <= {"macro_f1", "constant_answer"}, "these are metrics: docs/protocol.md has them"
    assert {"macro_f1", "constant_answer"} <= first_cells(PROTOCOL)
    assert [key for key in schema["judgment"]["properties"] if f"`{key}`" not in RESULTS] == []


@pytest.mark.parametrize("page", (*PAGES, *OTHER_PAGES), ids=named)
def test_commands_within_the_prose_are_there_with_their_options(page: Path) -> None:
    for span in filter(WHOLE.match, spans(page)):
        program, name, *words = span.split()
        if program == "make":
            assert name in TARGETS, f"{named(page)}: there is no `make {name}`"
            continue
        assert name in PARSERS, f"{named(page)}: there is no `ugc-videocap {name}`"
        known = {o for action in PARSERS[name]._actions for o in action.option_strings}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= known, f"{named(page)}: `{span}`"
