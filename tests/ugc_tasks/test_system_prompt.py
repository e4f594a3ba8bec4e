"""The published captions' system prompt: a part of an official text, obtained as that is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.data.official import OfficialPromptError
from ugc_tasks.system_prompt import published_system_prompt, system_turn

# Of what stands between the marks in inference_prompt.txt.
DIGEST = "c93bfe1082e2b24b4b93b21cf73db1d43ae13230b80d7820a0bff4cf90de495f"


def test_is_the_system_turn_of_the_official_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    official = reference_dir() / "prompts" / "inference_prompt.txt"
    (prompts / official.name).write_bytes(official.read_bytes())
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(tmp_path))
    text = published_system_prompt()
    assert "<|" not in text
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_that_cannot_be_had_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path))
    monkeypatch.delenv("UGC_VIDEOCAP_HOME", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfficialPromptError, match="'inference_prompt' is not on this machine"):
        published_system_prompt()


def test_ends_where_the_turn_ends() -> None:
    assert system_turn("<|im_start|>system\nBe long.<|im_end|>\n<|im_start|>user\nHi") == "Be long."


@pytest.mark.parametrize(
    "prompt", ["Be long.", "<|im_start|>user\nHi<|im_end|>", "<|im_start|>system\nBe long."]
)
def test_a_prompt_without_one_is_refused(prompt: str) -> None:
    with pytest.raises(OfficialPromptError, match="no system turn"):
        system_turn(prompt)
