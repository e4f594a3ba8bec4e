"""Captions that an earlier version stored answer still, without a model.

``stored/`` holds two clips, a checkpoint without weights, and the store that the state before the
modules were merged (62ba38e) wrote for them. A key that changes would make every user's captions
anew: it may, but the changelog must say so, and this store is written again then.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.instance import Instance

from tests.support.fake_vllm import FakeVllm
from ugc_models.captions import Caption
from ugc_models.qwen_omni_vllm import QwenOmniVLLM

STORED = Path(__file__).parent / "stored"
GREEDY = {"temperature": 0.0, "max_new_tokens": 16, "until": []}
WARM = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 64, "until": ["\n\n"]}
ENGINE = {"max_model_len": "8192", "dtype": "float32", "max_num_seqs": "4"}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as by default": ({}, GREEDY),
    "warm": ({}, WARM),
    "as the paper": ({"preset": "paper", "system_prompt": "Be brief."}, {}),
    "8 frames, small": ({"frames": 8, "max_pixels": 12544}, GREEDY),
    "2 frames a second": ({"fps": 2.0, "on_overflow": "fewer_frames"}, GREEDY),
    "without sound": ({"use_audio_in_video": False}, GREEDY),
    "sound not aligned": ({"align_sound": False, "seed": 3}, GREEDY),
}
"""Name -> model arguments, generation arguments."""

DOCS: list[dict[str, Any]] = [
    {"video": "sound.mp4", "question": "What is heard?"},
    {"video": "silent.mp4", "question": "What is heard?"},
    {"video": None, "question": "What is a cat?"},
]


def messages(doc: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a task makes of a document."""
    video = [{"type": "video", "url": doc["video"]}] if doc["video"] else []
    return [{"role": "user", "content": [*video, {"type": "text", "text": doc["question"]}]}]


def answered(model: QwenOmniVLLM, generation: Mapping[str, Any]) -> list[Caption]:
    """Return what the model answers about each of the documents."""
    model.task_dict = {"task": {"test": DOCS}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("", messages, dict(generation), index, "task", "test"),
            idx=0,
            metadata={"task": "task", "doc_id": index, "repeats": 1},
        )
        for index in range(len(DOCS))
    ]
    captions = [answer.text for answer in model.generate_until(requests)]
    assert all(isinstance(caption, Caption) for caption in captions)
    return captions


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stored captions, in whose folder the checkpoint and the clips lie."""
    monkeypatch.chdir(STORED)
    return Path(shutil.copy(STORED / "captions.sqlite3", tmp_path))


def expected(case: str, where: str) -> list[str]:
    """Return the texts that were stored."""
    return [f"{where}, {case}: {doc['video']}" for doc in DOCS]


@pytest.mark.engine
@pytest.mark.parametrize("case", CASES)
def test_of_an_engine_on_this_machine(
    case: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vllm.__version__", "0.32.0")
    arguments, generation = CASES[case]
    model = QwenOmniVLLM(model="checkpoint", store=str(store), **ENGINE, **arguments)
    # Without weights no engine starts: all of it comes from the store.
    captions = answered(model, generation)
    assert captions == expected(case, "here")
    assert all(caption.generation["stored"] for caption in captions)


@pytest.mark.parametrize("case", ["as by default", "as the paper"])
def test_of_a_server(case: str, store: Path) -> None:
    arguments, generation = CASES[case]
    with FakeVllm(model="checkpoint") as server:
        model = QwenOmniVLLM(model="checkpoint", store=str(store), base_url=server.url, **arguments)
        captions = answered(model, generation)
        model.clean()
        assert server.asked == []
    assert captions == expected(case, "served")
    assert all(caption.generation["stored"] for caption in captions)
