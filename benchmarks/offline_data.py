"""The recorded captions and the scores that GPT-4o gave them, where they lie.

From the reference folder, and more models from a bare clone of the authors' repository: its files
are read with ``git show`` and nothing in it is run.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ugc_tasks.judge.forms import DIMENSIONS

Matrix = npt.NDArray[np.float64]

ANNOTATION = "final_caption_qa.json"


@dataclass(frozen=True)
class Recording:
    """Where a model's captions and scores are, and which models are of one kind with it."""

    model: str
    kind: str
    captions: str
    scores: str


REFERENCE = (
    Recording("Qwen2.5-Omni-3B", "qwen", "omni_baseline.jsonl", "omni_baseline_4o.json"),
    Recording(
        "UGC-VideoCaptioner-3B",
        "tuned",
        "UGC_VideoCaptioner_inference.jsonl",
        "UGC_Videocaptioner_4o.json",
    ),
    Recording("Gemini-2.5-flash", "gemini", "gemini_2.5_flash.jsonl", "gemini_2.5_flash_4o.json"),
    Recording("MiniCPM-o-2.6", "minicpm", "minicpm_captions.jsonl", "minicpm_4o.json"),
)
"""The models of the reference folder."""

OTHERS = (
    Recording("Gemini-2.5-pro", "gemini", "gemini_2.5_pro.jsonl", "gemini_2.5_pro_4o.json"),
    Recording("Qwen2.5-Omni-7B", "qwen", "omni_7B_inference.jsonl", "omni_7B_4o.json"),
    Recording("Gemma-3n-E2B", "gemma", "gemma3n-e2b_results.jsonl", "gemma3n-e2b_4o.json"),
    Recording("Gemma-3n-E4B", "gemma", "gemma3n-e4b_results.jsonl", "gemma3n-e4b_4o.json"),
    Recording("3B 1k RL zero", "qwen", "1k_rl_zero_inference.jsonl", "1k_rl_zero_new_4o.json"),
    Recording("3B 1k SFT", "tuned", "1k_sft_inference.jsonl", "1k_sft_4o.json"),
    Recording("3B 10k SFT", "tuned", "10k_sft_inference.jsonl", "10k_sft_4o.json"),
    Recording("3B 20k SFT", "tuned", "20k_sft_inference.jsonl", "20k_sft_4o.json"),
)
"""The models that the authors' repository has besides."""


@dataclass(frozen=True)
class Judged:
    """A model's judged captions: their texts by clip, and scores [clips, dimensions]."""

    recording: Recording
    captions: dict[str, str]
    scores: Matrix


def read_references(folder: Path) -> dict[str, str]:
    """Return the published reference of each clip."""
    data = json.loads((folder / "questions" / ANNOTATION).read_text(encoding="utf-8"))
    return {sample["video_id"]: sample["answer"] for sample in data["samples"]}


def read_models(folder: Path, repository: Path | None, references: dict[str, str]) -> list[Judged]:
    """Return the models there are: the folder's, then the repository's where there is one."""

    def from_folder(kind: str, name: str) -> str:
        return (folder / kind / name).read_text(encoding="utf-8")

    models = [_read(recording, from_folder, references) for recording in REFERENCE]
    if repository is not None:
        show = _shower(repository)
        models += [_read(recording, show, references) for recording in OTHERS]
    return models


def _shower(repository: Path) -> Callable[[str, str], str]:
    places = {"captions": "results/omni_infer_caption_result", "scores": "results/caption_score"}

    def show(kind: str, name: str) -> str:
        return subprocess.run(
            ["git", f"--git-dir={repository}", "show", f"HEAD:{places[kind]}/{name}"],
            check=True,
            capture_output=True,
            encoding="utf-8",
        ).stdout

    return show


def _read(
    recording: Recording, text: Callable[[str, str], str], references: dict[str, str]
) -> Judged:
    given = json.loads(text("scores", recording.scores))["evaluations"]
    captions, scores = {}, []
    for row in _rows(text("captions", recording.captions)):
        clip, caption = row["video_id"], row.get("caption")
        values = [given.get(clip, {}).get(f"{name}_score", 0) for name in DIMENSIONS]
        # The authors recorded failed requests as 0: those are no judgments.
        if caption and clip in references and min(values) >= 1:
            captions[clip] = caption
            scores.append(values)
    return Judged(recording, captions, np.array(scores, dtype=np.float64))


def _rows(text: str) -> Iterator[Any]:
    return (json.loads(line) for line in text.splitlines() if line.strip())
