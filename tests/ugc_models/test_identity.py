"""A checkpoint is known by its content, and an engine by what changes its captions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ugc_models.identity import checkpoint_identity, engine_identity


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"layers": 2}')
    (tmp_path / "model-00001.safetensors").write_bytes(b"\x00" * 1000)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def test_it_stays_with_the_content_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    before = checkpoint_identity(str(folder), None, digest)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert checkpoint_identity(str(moved), None, digest) == before


@pytest.mark.parametrize("name", ["config.json", "model-00001.safetensors", "chat_template.jinja"])
def test_it_changes_with_any_part_of_it(folder: Path, name: str) -> None:
    before = checkpoint_identity(str(folder), None, digest)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert checkpoint_identity(str(folder), None, digest) != before


def test_other_files_in_the_folder_are_no_part_of_it(folder: Path) -> None:
    before = checkpoint_identity(str(folder), None, digest)
    (folder / "README.md").write_text("trained on a Monday")
    assert checkpoint_identity(str(folder), None, digest) == before


def test_a_hugging_face_name_has_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache's own layout: a snapshot folder a commit, and a reference from the branch to it."""
    commit = "a" * 40
    repository = tmp_path / "models--lab--omni"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert checkpoint_identity("lab/omni", None, digest) == f"lab/omni@{commit}"


def test_where_it_runs_is_no_part_of_an_engine() -> None:
    here = {"dtype": "float32", "tensor_parallel_size": 1, "gpu_memory_utilization": 0.5}
    there = {"dtype": "float32", "tensor_parallel_size": 8, "max_num_seqs": 512}
    assert engine_identity(here) == engine_identity(there) == {"dtype": "float32"}


def test_what_changes_the_numbers_is() -> None:
    assert engine_identity({"dtype": "bfloat16"}) != engine_identity({"dtype": "float16"})
    assert engine_identity({"quantization": "fp8"}) != engine_identity({})
