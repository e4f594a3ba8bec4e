"""A checkpoint is known by its content, and an engine by what changes its captions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ugc_models.captions import checkpoint_identity, engine_identity


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


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "chat_template.jinja", "merges.txt", "sentencepiece.model"),
        *("model-00001.safetensors", "model.bin", "model.pt", "model.pth", "model.gguf"),
    ],
)
def test_it_changes_with_any_part_of_it(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{} " * 40)
    before = checkpoint_identity(str(folder), None, digest)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert checkpoint_identity(str(folder), None, digest) != before


def test_its_files_are_taken_in_the_order_of_their_names(folder: Path) -> None:
    names = [f"model-{number:05}.safetensors" for number in range(40)]
    for name in names:
        (folder / name).write_bytes(name.encode())
    taken: list[str] = []

    def noted(path: Path) -> str:
        taken.append(path.name)
        return digest(path)

    identity = checkpoint_identity(str(folder), None, noted)
    assert taken == sorted({*names, "config.json", "chat_template.jinja"})
    lines = "".join(f"{name} {digest(folder / name)}\n" for name in taken)
    assert identity == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


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

    other = "b" * 40
    (repository / "snapshots" / other).mkdir()
    (repository / "snapshots" / other / "config.json").write_text("{}")
    (repository / "refs" / "v2").write_text(other)
    assert checkpoint_identity("lab/omni", "v2", digest) == f"lab/omni@{other}"


def test_where_it_runs_is_no_part_of_an_engine() -> None:
    here = {"dtype": "float32", "tensor_parallel_size": 1, "gpu_memory_utilization": 0.5}
    there = {"dtype": "float32", "tensor_parallel_size": 8, "max_num_seqs": 512}
    assert engine_identity(here) == engine_identity(there) == {"dtype": "float32"}


@pytest.mark.parametrize(
    "name",
    [
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        *("distributed_executor_backend", "gpu_memory_utilization", "kv_cache_memory_bytes"),
        *("max_num_seqs", "max_num_batched_tokens", "renderer_num_workers", "download_dir"),
        *("load_format", "disable_log_stats", "skip_mm_profiling", "cpu_offload_gb", "swap_space"),
        *("enforce_eager", "max_parallel_loading_workers", "enable_log_requests"),
    ],
)
def test_a_caption_made_with_more_machines_is_found_with_fewer(name: str) -> None:
    assert engine_identity({name: 2, "dtype": "float32"}) == {"dtype": "float32"}


def test_what_changes_the_numbers_is() -> None:
    assert engine_identity({"dtype": "bfloat16"}) != engine_identity({"dtype": "float16"})
    assert engine_identity({"quantization": "fp8"}) != engine_identity({})


@pytest.mark.parametrize(
    "name",
    [
        *("dtype", "quantization", "kv_cache_dtype", "max_model_len", "seed", "revision"),
        *("hf_overrides", "tokenizer", "enable_prefix_caching", "limit_mm_per_prompt"),
    ],
)
def test_every_argument_that_may_change_the_numbers_is_part_of_it(name: str) -> None:
    assert engine_identity({name: 2, "max_num_seqs": 4}) == {name: 2}
