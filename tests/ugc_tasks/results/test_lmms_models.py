"""What is known of lmms-eval's models holds for the installed version, or is not claimed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.answers_in_source import models_folder, placeholders
from ugc_tasks.results import lmms_models
from ugc_tasks.results.answer_text import failure_in
from ugc_tasks.results.lmms_models import (
    is_failure,
    sound_left_out,
    source_digest,
    writes_nothing_for_failures,
)

TABLE = tomllib.loads(Path(lmms_models.__file__).with_suffix(".toml").read_text("utf-8"))
SILENT = {name: digest for each in TABLE["silent"] for name, digest in each["models"].items()}
NO_ANSWERS = {
    *("eager", "sdpa", "none"),  # how a model is loaded
    "unknown error",  # comes after a marker
    "error",  # the name of a field
}
SYSTEM_PROMPT = "You are Uni-MoE-2"


def written(text: str) -> str:
    """Return a placeholder as it is in a run, from what stands in the source."""
    return text.replace("after X", "after 5").replace("Video X", "Video /clips/PI-1.mp4")


def model(name: str, base: type = object, **attributes: Any) -> Any:
    """Return an object of a class that lmms-eval has in this module, which need not be imported."""
    kind = type("Model", (base,), {"__module__": f"lmms_eval.models.{name}"})
    found = kind()
    for attribute, value in attributes.items():
        setattr(found, attribute, value)
    return found


FOUND = sorted(
    (name, text)
    for name, text in set(placeholders())
    if text not in NO_ANSWERS and not text.startswith(SYSTEM_PROMPT)
)


@pytest.mark.parametrize(("name", "text"), FOUND, ids=lambda value: str(value)[:40] or "blank")
def test_what_the_installed_models_write_for_a_failure_is_in_the_table(
    name: str, text: str
) -> None:
    if not text:
        assert name in TABLE["blank"]
        return
    assert failure_in(written(text)), f"{name} has a placeholder that the table does not know"
    forms = [each["form"] for each in TABLE["failed"] if name in each["models"]]
    assert any(re.fullmatch(form, written(text)) for form in forms)


@pytest.mark.skipif(version("lmms_eval") != TABLE["lmms_eval"], reason="another version")
def test_the_table_has_nothing_that_its_version_does_not_write() -> None:
    assert {name for name, text in FOUND if not text} == set(TABLE["blank"])
    for each in TABLE["failed"]:
        for name in each["models"]:
            texts = [written(text) for model, text in FOUND if model == name]
            assert any(re.fullmatch(each["form"], text) for text in texts), (each["form"], name)


@pytest.mark.skipif(version("lmms_eval") != TABLE["lmms_eval"], reason="another version")
@pytest.mark.parametrize("name", sorted(SILENT))
def test_the_source_of_a_model_that_gets_no_sound_is_as_it_was_read(name: str) -> None:
    assert source_digest(name) == SILENT[name], f"read {models_folder() / name} again"


def test_a_failure_is_the_whole_answer() -> None:
    assert is_failure("[LMMS_EVAL_BUDGET_EXCEEDED]")
    assert not is_failure("[LMMS_EVAL_BUDGET_EXCEEDED] it says")
    assert not is_failure('"[LMMS_EVAL_BUDGET_EXCEEDED]"')
    assert is_failure("[LMMS_EVAL_REQUEST_FAILED after 5 retries] " + 200 * "x")
    assert not is_failure("[LMMS_EVAL_REQUEST_FAILED after 5 retries] " + 201 * "x")
    assert is_failure("[LMMS_EVAL_REQUEST_FAILED after 5 retries]")
    assert not is_failure("")


def test_why_a_model_gets_no_sound_is_known_of_its_very_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sound_left_out(model("chat.vllm")) == "not given to the model (frames alone)"
    assert "--force_simple" in sound_left_out(model("chat.qwen2_5_omni"))
    assert "decord" in sound_left_out(model("chat.minicpm_o"))
    assert sound_left_out(model("chat.gemini")) == ""
    assert sound_left_out(model("simple.qwen2_5_omni")) == ""
    monkeypatch.setattr(lmms_models, "source_digest", lambda name: "of another version")
    assert sound_left_out(model("chat.vllm")) == ""


def test_a_model_that_may_hand_over_the_file_is_not_said_to_get_frames_alone() -> None:
    assert sound_left_out(model("chat.openai", pass_video_url=False))
    assert sound_left_out(model("chat.openai", pass_video_url=True)) == ""


def test_a_class_of_someone_else_s_is_not_known_by_the_one_it_is_derived_from() -> None:
    theirs = type("Theirs", (type(model("chat.vllm")),), {"__module__": "theirs"})
    assert sound_left_out(theirs()) == ""
    assert sound_left_out(SimpleNamespace()) == ""


def test_a_model_that_writes_nothing_for_a_failure_is_known_by_what_it_is_derived_from() -> None:
    mixin = type(model("chat._chat_base"))
    assert writes_nothing_for_failures(model("chat.minicpm_o", mixin))
    assert writes_nothing_for_failures(model("simple.llava"))
    assert not writes_nothing_for_failures(model("chat.vllm"))
    assert not writes_nothing_for_failures(SimpleNamespace())


def test_the_digest_is_of_all_source_of_lmms_eval_s_that_a_model_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "__init__": "",
        "protocol": "frames = 1",
        "models/chat/mine": "from lmms_eval.models.simple.mine import Base\n",
        "models/simple/mine": "from lmms_eval.protocol import ChatMessages\n",
        "models/simple/other": "",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    spec = spec_from_file_location("lmms_eval", tmp_path / "__init__.py")
    assert spec is not None
    assert module_from_spec(spec)
    monkeypatch.setattr(lmms_models, "find_spec", lambda name: spec)
    digest = source_digest.__wrapped__
    before = digest("chat.mine")
    (tmp_path / "models" / "simple" / "other.py").write_text("x")
    assert digest("chat.mine") == before
    (tmp_path / "protocol.py").write_text("frames = 2")
    assert digest("chat.mine") != before
    assert digest("chat.nowhere") == ""
