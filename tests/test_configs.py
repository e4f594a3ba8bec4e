"""Every file in ``configs/`` is one that lmms-eval can start, and says what it needs."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ugc_models.config import Settings
from ugc_models.gemini.settings import GeminiSettings
from ugc_tasks.benchmark import SPECS

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
PUBLISHED_ROWS = {
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "qwen2.5-omni-3b",
    "qwen2.5-omni-7b",
    "ugc-videocaptioner-3b",
    "ugc-videocaptioner-3b-zero",
    "qwen2.5-omni-3b-sft-1k",
    "qwen2.5-omni-3b-sft-10k",
    "qwen2.5-omni-3b-sft-20k",
    "minicpm-o-2.6",
    "gemma-3n-e2b",
    "gemma-3n-e4b",
}
TASKS = {spec.task for spec in SPECS.values()} | {"ugc_videocap_full"}

each = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def _load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(content, dict)
    return content


def test_there_is_one_for_each_row_of_the_published_table() -> None:
    assert {path.stem for path in CONFIGS} >= PUBLISHED_ROWS
    rows = [path for path in CONFIGS if path.stem in PUBLISHED_ROWS]
    assert {_load(path)["tasks"] for path in rows} == {"ugc_videocap_full"}


@each
def test_its_keys_are_arguments_of_lmms_eval(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmms_eval.__main__ import parse_eval_args

    monkeypatch.setattr(sys, "argv", ["lmms-eval"])
    parser, _ = parse_eval_args()
    known = {action.dest for action in parser._actions} | {"env"}
    assert set(_load(path)) <= known


@each
def test_its_model_and_tasks_are_known(path: Path) -> None:
    from lmms_eval.models import MODEL_REGISTRY_V2

    content = _load(path)
    assert MODEL_REGISTRY_V2.resolve(content["model"]).class_path
    assert set(content["tasks"].split(",")) <= TASKS


@each
def test_its_model_arguments_are_taken(path: Path) -> None:
    from lmms_eval.utils import simple_parse_args_string
    from vllm import EngineArgs

    content = _load(path)
    arguments = simple_parse_args_string(content["model_args"])
    if content["model"] == "gemini_video":
        assert GeminiSettings.from_arguments(arguments).order == "text_first"
        return
    if content["model"] not in {"qwen_omni_vllm", "omni_vllm"}:
        pytest.skip("another model's arguments")
    names = {field.name for field in dataclasses.fields(EngineArgs)}
    settings = Settings.from_arguments(arguments, names)
    assert settings.engine["seed"] == 42


@each
def test_it_says_how_it_is_started_and_what_it_needs(path: Path) -> None:
    comment = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    assert f"lmms-eval --config configs/{path.name}" in comment[0]
    assert any("needs" in line.lower() or "no key" in line.lower() for line in comment)
